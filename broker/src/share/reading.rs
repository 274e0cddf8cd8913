//! Giving records to members: reading from where a share-partition has something free, acquiring what was read, and
//! waiting until there is something.
//!
//! What is acquired is given, so a read never takes more than it was told to. Between a read and what is acquired of
//! it nobody else reads for the same share-partition, or both would read the same for one to have it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use net::share_fetch::AcquiredRange;
use share::partition::{Acquire, Acquired};
use uuid::Uuid;

use super::part::SharePart;
use crate::partition::{PartitionId, Waiter, clock_ms};
use crate::shard::reads::{ReadOutcome, ReadPart, read_one};
use crate::shard::{Shard, ShardId};

/// How often a read is repeated at once that gave nothing to anybody: a log may have long stretches of that.
const READS_MOST: usize = 16;

/// What a member wants of the partitions of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShareReads {
    /// The group.
    pub(crate) group: Arc<str>,
    /// The member.
    pub(crate) member: Uuid,
    /// Where each outcome belongs in the request, and which partition.
    pub(crate) parts: Vec<(usize, PartitionId)>,
    /// Bytes that are still wanted; a first batch is given whole.
    pub(crate) max_bytes: usize,
    /// Bytes for each partition.
    pub(crate) max_bytes_each: usize,
    /// Records that are still wanted; the last one's batch is given whole.
    pub(crate) max_records: u32,
    /// How large the pieces are to be that records are acquired in.
    pub(crate) batch_size: u32,
    /// Whether something was given by another shard.
    pub(crate) given: bool,
    /// Whether only to see how much there is.
    pub(crate) measure: bool,
}

/// What a member is given of one partition.
#[derive(Debug)]
pub(crate) struct ShareRead {
    /// Where it belongs in the request.
    pub(crate) place: usize,
    /// What it is, or why it is nothing.
    pub(crate) records: Result<SharedRecords, ResponseError>,
    /// How to wait for more.
    pub(crate) watch: Option<ShareWatch>,
}

/// Records for one member.
#[derive(Debug, Default)]
pub(crate) struct SharedRecords {
    /// Whole batches.
    pub(crate) records: Vec<Bytes>,
    /// What of them is the member's.
    pub(crate) acquired: Vec<AcquiredRange>,
    /// How many bytes there are; all of it was read, and only given if it was acquired.
    pub(crate) size: usize,
}

impl SharedRecords {
    /// How many offsets were acquired.
    pub(crate) fn count(&self) -> u32 {
        let each = self.acquired.iter();
        let sum: u64 = each.map(|range| range.last.abs_diff(range.first) + 1).sum();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }
}

/// A share-partition that had nothing, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShareWatch {
    partition: PartitionId,
    round: u64,
    /// How far the log could be seen.
    visible_end: i64,
    committed: bool,
}

impl ShareRead {
    /// A partition that can't be asked.
    pub(crate) fn refused(place: usize, error: ResponseError) -> Self {
        Self {
            place,
            records: Err(error),
            watch: None,
        }
    }

    /// Bytes that were read.
    pub(crate) fn size(&self) -> usize {
        self.records.as_ref().map_or(0, |records| records.size)
    }
}

impl Shard {
    /// Reads for a member what this shard has, in order, and gives it what is free.
    pub(crate) async fn share_read(self: &Rc<Self>, asked: ShareReads) -> Vec<ShareRead> {
        let group: Rc<str> = Rc::from(&*asked.group);
        let committed = self.share_settings(&group).committed;
        let mut left = Left {
            bytes: asked.max_bytes,
            records: asked.max_records,
            nothing_yet: !asked.given,
        };
        let mut reads = Vec::with_capacity(asked.parts.len());
        for &(place, id) in &asked.parts {
            let read = match self.share_part(&group, id) {
                Err(error) => ShareRead::refused(place, error),
                Ok(part) => {
                    let asked = &asked;
                    let wanted = Wanted {
                        asked,
                        committed,
                        left,
                    };
                    let read = self.read_shared(&part, place, wanted).await;
                    if read.records.is_err() && part.has_ended() {
                        // Who comes next finds a new one.
                        self.shares.remove(&part);
                    }
                    read
                }
            };
            left.took(&read);
            reads.push(read);
        }
        reads
    }

    async fn read_shared(
        self: &Rc<Self>,
        part: &Rc<SharePart>,
        place: usize,
        wanted: Wanted<'_>,
    ) -> ShareRead {
        let watch = ShareWatch {
            partition: part.id(),
            round: part.round(),
            visible_end: part.partition.visible_end(wanted.committed),
            committed: wanted.committed,
        };
        let records = match part.read() {
            // Somebody else reads, and wakes who waits when that is done. So does what ends.
            None => Ok(SharedRecords::default()),
            Some(_) if part.is_retiring() => Ok(SharedRecords::default()),
            Some(_reading) => self.read_free(part, place, wanted).await,
        };
        ShareRead {
            place,
            records,
            watch: Some(watch),
        }
    }

    async fn read_free(
        self: &Rc<Self>,
        part: &Rc<SharePart>,
        place: usize,
        wanted: Wanted<'_>,
    ) -> Result<SharedRecords, ResponseError> {
        let partition = &part.partition;
        for _ in 0..READS_MOST {
            let Some(read) = wanted.next_read(part, place)? else {
                return Ok(SharedRecords::default());
            };
            let from = read.offset;
            let left = wanted.left;
            let outcome = read_one(partition, read, read.max_bytes, left.nothing_yet).await;
            match outcome.records {
                // What is deleted by now is passed over.
                Err(ResponseError::OffsetOutOfRange) if partition.log().log_start() > from => {}
                Err(error) => return Err(error),
                Ok(_) if wanted.asked.measure => {
                    return Ok(SharedRecords {
                        size: outcome.size(),
                        ..SharedRecords::default()
                    });
                }
                Ok(_) => match self.acquire(part, from, outcome, &wanted)? {
                    // It was for nobody.
                    Some(given) if given.acquired.is_empty() => {}
                    given => return Ok(given.unwrap_or_default()),
                },
            }
        }
        // There is more to read: nobody is to wait for it.
        part.wake();
        Ok(SharedRecords::default())
    }

    /// Gives the member what is free of what was read; none if nothing was read, or nobody can say.
    fn acquire(
        &self,
        part: &Rc<SharePart>,
        from: i64,
        outcome: ReadOutcome,
        wanted: &Wanted<'_>,
    ) -> Result<Option<SharedRecords>, ResponseError> {
        let records = outcome.records.unwrap_or_default();
        let read = ranges(&records);
        if read.is_empty() {
            return Ok(None);
        }
        let aborted = for_nobody(&records, outcome.aborted.as_deref().unwrap_or_default());
        let Some(settings) = part.settings() else {
            return Ok(None);
        };
        let acquired = part.with(|core| {
            core.set_settings(settings.partition);
            core.acquire(&Acquire {
                member: wanted.asked.member,
                now_ms: clock_ms(),
                from,
                read: &read,
                aborted: &aborted,
                max_records: wanted.left.records,
                batch_size: wanted.asked.batch_size.max(1),
            })
        })?;
        let Some(acquired) = acquired else {
            return Ok(None);
        };
        let records = match (acquired.first(), acquired.last()) {
            (Some(first), Some(last)) => overlapping(records, first.first_offset, last.last_offset),
            _ => Vec::new(),
        };
        let given = SharedRecords {
            size: records.iter().map(Bytes::len).sum(),
            records,
            acquired: acquired.into_iter().map(range).collect(),
        };
        self.metrics.fetched(given.size);
        let delivered = u64::from(given.count());
        self.shares.count(|counts| counts.delivered += delivered);
        Ok(Some(given))
    }

    /// Ready when one of these share-partitions has changed since it was seen, `wanted` bytes have become visible, the
    /// wait is called off, or `limit` has passed.
    pub(crate) async fn share_wait_here(
        self: &Rc<Self>,
        group: Arc<str>,
        parts: Vec<ShareWatch>,
        wanted: usize,
        limit: Duration,
        token: Option<(ShardId, u64)>,
    ) {
        let waiter = Waiter::new(wanted);
        for watch in parts {
            let Some(part) = self.shares.get(&group, watch.partition) else {
                return;
            };
            let visible_end = part.partition.visible_end(watch.committed);
            if part.round() != watch.round || visible_end != watch.visible_end || part.has_ended() {
                return;
            }
            part.watch(&waiter);
            part.partition.watch(&waiter, watch.committed);
        }
        self.wait_for(waiter, limit, token).await;
    }
}

/// What is still wanted in a request.
#[derive(Clone, Copy)]
struct Left {
    bytes: usize,
    records: u32,
    nothing_yet: bool,
}

impl Left {
    fn took(&mut self, read: &ShareRead) {
        if let Ok(records) = &read.records {
            self.bytes = self.bytes.saturating_sub(records.size);
            self.records = self.records.saturating_sub(records.count());
            self.nothing_yet &= records.size == 0;
        }
    }
}

/// What is wanted of one share-partition.
struct Wanted<'a> {
    asked: &'a ShareReads,
    committed: bool,
    left: Left,
}

impl Wanted<'_> {
    /// What to read next; none if nothing is free, or nothing is wanted any more.
    fn next_read(
        &self,
        part: &Rc<SharePart>,
        place: usize,
    ) -> Result<Option<ReadPart>, ResponseError> {
        let log_start = part.partition.log().log_start();
        let from = part.with(|core| {
            core.log_start(log_start);
            core.next_fetch()
        })?;
        let visible_end = part.partition.visible_end(self.committed);
        let max_bytes = self.left.bytes.min(self.asked.max_bytes_each);
        let wants = self.left.records > 0 && (max_bytes > 0 || self.left.nothing_yet);
        let from = from.flatten().filter(|from| wants && *from < visible_end);
        Ok(from.map(|offset| ReadPart {
            place,
            partition: part.id(),
            offset,
            max_bytes,
            current_leader_epoch: part.leader_epoch,
            last_fetched_epoch: -1,
            by_leader: true,
            committed: self.committed,
        }))
    }
}

fn range(acquired: Acquired) -> AcquiredRange {
    AcquiredRange {
        first: acquired.first_offset,
        last: acquired.last_offset,
        delivery_count: acquired.delivery_count,
    }
}

/// The first and last offset of each batch.
fn ranges(records: &[Bytes]) -> Vec<(i64, i64)> {
    let each = records.iter().flat_map(|bytes| batch::batches(bytes));
    let whole = each.map_while(Result::ok);
    whole
        .map(|batch| (batch.base_offset(), batch.last_offset()))
        .collect()
}

/// Offsets that no member is given: those of markers, which carry nothing, and of transactions that were given
/// up, by producer and first offset in order.
fn for_nobody(records: &[Bytes], aborted: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut begun = aborted.iter().peekable();
    let mut open = BTreeSet::new();
    let mut found = Vec::new();
    let each = records.iter().flat_map(|bytes| batch::batches(bytes));
    for batch in each.map_while(Result::ok) {
        let (first, last) = (batch.base_offset(), batch.last_offset());
        while let Some((id, _)) = begun.next_if(|(_, begin)| *begin <= last) {
            open.insert(*id);
        }
        let attributes = batch.attributes();
        if attributes.is_control() {
            open.remove(&batch.producer_id());
            found.push((first, last));
        } else if attributes.is_transactional() && open.contains(&batch.producer_id()) {
            found.push((first, last));
        }
    }
    found
}

/// The batches with offsets from `first` to `last`, and what lies between them.
fn overlapping(records: Vec<Bytes>, first: i64, last: i64) -> Vec<Bytes> {
    let one = |bytes: Bytes| {
        let (mut begin, mut end) = (0, 0);
        for batch in batch::batches(&bytes).map_while(Result::ok) {
            if batch.last_offset() < first {
                begin += batch.size();
            }
            if batch.base_offset() <= last {
                end += batch.size();
            }
        }
        (begin < end).then(|| bytes.slice(begin..end))
    };
    records.into_iter().filter_map(one).collect()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
