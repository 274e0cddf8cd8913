//! A shard's part of a fetch: reading its partitions up to what is visible, and waiting for more.
//!
//! Owns the registry of waits that other shards began here. Reads in two steps, as everything on a
//! shard does: what is visible and where it lies is decided in one go; the drive is asked afterwards,
//! with no borrow held.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use storage::{AbortedTransaction, Read};

use super::router::Call;
use super::{Shard, ShardId};
use crate::api::error::{Refusal, not_served, read_code};
use crate::partition::{Partition, PartitionId, Waiter};

/// What to read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadPart {
    /// Where the outcome belongs in the request.
    pub place: usize,
    /// Which partition.
    pub partition: PartitionId,
    /// The offset to read from.
    pub offset: i64,
    /// The most bytes to give, but for a first batch.
    pub max_bytes: usize,
    /// The leader epoch the client believes in, -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record the client has, -1 for none.
    pub last_fetched_epoch: i32,
    /// Whether only the leader may answer: the client doesn't know of reads from followers.
    pub by_leader: bool,
    /// Whether only what counts is to be read: up to the last stable offset, with the transactions that
    /// were given up.
    pub committed: bool,
}

/// What was read of one partition.
#[derive(Debug)]
pub struct ReadOutcome {
    /// Where it belongs in the request.
    pub place: usize,
    /// Whole batches, or why there are none.
    pub records: Result<Vec<Bytes>, ResponseError>,
    /// The partition's high watermark, -1 if unknown.
    pub high_watermark: i64,
    /// The partition's last stable offset, -1 if unknown.
    pub last_stable_offset: i64,
    /// The partition's log start offset, -1 if unknown.
    pub log_start_offset: i64,
    /// Producer and first offset of the transactions in the records that were given up, in order of the
    /// offsets; `None` if nobody asked for them.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// Where the client's log has left the leader's: an epoch and its end offset (KIP-595).
    pub diverging: Option<(i32, i64)>,
    /// The replica that the client should rather read from (KIP-392); nothing was read then.
    pub preferred: Option<i32>,
    /// Whether there was more to give, and only the limit over all partitions stood against it.
    pub cut_short: bool,
}

impl ReadOutcome {
    /// Bytes of records in it.
    pub fn size(&self) -> usize {
        self.records
            .as_ref()
            .map_or(0, |records| records.iter().map(Bytes::len).sum())
    }

    /// A partition that can't be asked.
    pub fn refused(place: usize, error: ResponseError) -> Self {
        Self {
            place,
            records: Err(error),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: None,
            diverging: None,
            preferred: None,
            cut_short: false,
        }
    }
}

impl ReadOutcome {
    /// A partition as it stands, with nothing read yet.
    fn empty(partition: &Partition, part: ReadPart) -> Self {
        Self {
            place: part.place,
            records: Ok(Vec::new()),
            high_watermark: partition.high_watermark(),
            last_stable_offset: partition.last_stable_offset(),
            log_start_offset: partition.log().log_start(),
            aborted: part.committed.then(Vec::new),
            diverging: None,
            preferred: None,
            cut_short: false,
        }
    }

    /// A partition that the client should read from another replica of.
    fn elsewhere(partition: &Partition, place: usize, node: i32) -> Self {
        Self {
            records: Ok(Vec::new()),
            high_watermark: partition.high_watermark(),
            last_stable_offset: partition.last_stable_offset(),
            log_start_offset: partition.log().log_start(),
            preferred: Some(node),
            ..Self::refused(place, ResponseError::NotLeaderOrFollower)
        }
    }
}

/// A partition at which a fetch waits, with how far it could see there.
#[derive(Clone, Copy, Debug)]
pub struct WatchPart {
    /// Which partition.
    pub partition: PartitionId,
    /// The high watermark at the last read, or the last stable offset.
    pub seen: i64,
    /// Whether it is the last stable offset.
    pub committed: bool,
}

/// Waits that fetches on other shards have begun here, so that they can be called off.
#[derive(Default)]
pub struct RemoteWaits {
    by_token: RefCell<HashMap<(ShardId, u64), Rc<Waiter>>>,
    next_token: Cell<u64>,
}

impl RemoteWaits {
    /// A token that no other wait of this shard carries.
    pub fn token(&self) -> u64 {
        let token = self.next_token.get();
        self.next_token.set(token + 1);
        token
    }

    /// How many wait here for other shards.
    pub fn count(&self) -> usize {
        self.by_token.borrow().len()
    }
}

impl Shard {
    /// Reads `parts` in order, at most `max_bytes` in all but for a first batch. `rack` is the client's,
    /// where it is to be sent to a replica there.
    pub async fn read_parts(
        self: &Rc<Self>,
        parts: Vec<ReadPart>,
        max_bytes: usize,
        rack: Option<Arc<str>>,
    ) -> Vec<ReadOutcome> {
        let mut left = max_bytes;
        let mut nothing_yet = true;
        let mut outcomes = Vec::with_capacity(parts.len());
        for part in parts {
            let outcome = match self.partition(part.partition) {
                Ok(partition) => match self.preferred(&partition, part, rack.as_deref()) {
                    Some(node) => ReadOutcome::elsewhere(&partition, part.place, node),
                    None => read_one(&partition, part, left, nothing_yet).await,
                },
                Err(error) => ReadOutcome::refused(part.place, Refusal::from(error).error),
            };
            let size = outcome.size();
            left = left.saturating_sub(size);
            nothing_yet &= size == 0;
            self.metrics.fetched(size);
            outcomes.push(outcome);
        }
        outcomes
    }

    /// The replica in the client's rack that it should rather read from.
    fn preferred(&self, partition: &Partition, part: ReadPart, rack: Option<&str>) -> Option<i32> {
        let rack = rack?;
        partition.check(part.current_leader_epoch, true).ok()?;
        self.with_image(|image| {
            let in_rack = |node| {
                let broker = image.broker(node).filter(|broker| broker.is_active());
                broker.and_then(|broker| broker.rack.as_deref()) == Some(rack)
            };
            partition.preferred_read_replica(part.offset, in_rack)
        })
    }

    /// Ready when `wanted` bytes have become visible at `parts`, one of them changed since it was
    /// seen, the wait is called off, or `limit` has passed.
    pub async fn wait_here(
        self: &Rc<Self>,
        parts: Vec<WatchPart>,
        wanted: usize,
        limit: Duration,
        token: Option<(ShardId, u64)>,
    ) {
        let waiter = Waiter::new(wanted);
        for part in parts {
            match self.partition(part.partition) {
                Ok(partition) if partition.visible_end(part.committed) == part.seen => {
                    partition.watch(&waiter, part.committed);
                }
                _ => return,
            }
        }
        self.wait_for(waiter, limit, token).await;
    }

    /// Waits until the waiter fires, the wait is called off, or `limit` has passed.
    pub(crate) async fn wait_for(
        &self,
        waiter: Rc<Waiter>,
        limit: Duration,
        token: Option<(ShardId, u64)>,
    ) {
        let waits = &self.waits.by_token;
        if let Some(token) = token {
            waits.borrow_mut().insert(token, Rc::clone(&waiter));
        }
        // Elapsed is as good as fired: whoever waits looks at its own clock. A node that stops answers
        // with what there is.
        let news = futures_lite::future::or(waiter.fired(), self.shutdown.begun());
        let _ = rt::time::timeout(limit, news).await;
        if let Some(token) = token {
            waits.borrow_mut().remove(&token);
        }
    }

    /// Ready when the first of these waits is. The others, on shards `elsewhere`, are called off.
    pub(crate) async fn first_wait(
        self: &Rc<Self>,
        mut calls: Vec<Call<()>>,
        token: (ShardId, u64),
        elsewhere: Vec<ShardId>,
    ) {
        first_of(&mut calls).await;
        // Those that have not fired would hold their place until the limit; one call each sets them free.
        if calls.len() > 1 {
            for owner in elsewhere {
                let call = self.start_on(owner, move |shard| {
                    shard.call_off_wait(token);
                    async {}
                });
                drop(call.await);
            }
        }
    }

    /// Calls off a wait that a fetch on another shard has begun here.
    pub fn call_off_wait(&self, token: (ShardId, u64)) {
        let waiter = self.waits.by_token.borrow_mut().remove(&token);
        if let Some(waiter) = waiter {
            waiter.call_off();
        }
    }
}

async fn first_of(calls: &mut [Call<()>]) {
    poll_fn(|cx| {
        for call in calls.iter_mut() {
            if Pin::new(call).poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

/// Reads of one partition, at most `left` bytes but for a first batch where there is `nothing_yet`.
pub(crate) async fn read_one(
    partition: &Partition,
    part: ReadPart,
    left: usize,
    nothing_yet: bool,
) -> ReadOutcome {
    let visible_end = partition.visible_end(part.committed);
    let log = partition.log();
    let mut outcome = ReadOutcome::empty(partition, part);
    if let Err(why) = partition.check(part.current_leader_epoch, part.by_leader) {
        outcome.records = Err(not_served(why));
        return outcome;
    }
    if part.last_fetched_epoch >= 0 {
        let (epoch, end) = log.epoch_end(part.last_fetched_epoch);
        if epoch < 0 {
            // Nothing is known of the client's epoch, so nothing can be said of where it ended.
            outcome.records = Err(ResponseError::OffsetOutOfRange);
            return outcome;
        }
        if epoch < part.last_fetched_epoch || end < part.offset {
            outcome.diverging = Some((epoch, end));
            return outcome;
        }
    }
    if part.offset < outcome.log_start_offset || part.offset > log.end().appended() {
        outcome.records = Err(ResponseError::OffsetOutOfRange);
        return outcome;
    }
    let max_bytes = part.max_bytes.min(left);
    if part.offset >= visible_end {
        return outcome;
    }
    let limited = left < part.max_bytes;
    if max_bytes == 0 && !nothing_yet {
        outcome.cut_short = limited;
        return outcome;
    }
    outcome.records = match log.read(part.offset, visible_end, max_bytes, nothing_yet) {
        Read::Empty => Ok(Vec::new()),
        Read::OutOfRange => Err(ResponseError::OffsetOutOfRange),
        Read::Unavailable(error) => Err(read_code(&error)),
        Read::Tail(records) => Ok(records),
        Read::Cold(read) => read.run().await.map_err(|error| {
            tracing::warn!(
                topic = partition.topic(),
                partition = part.partition.index,
                offset = part.offset,
                %error,
                "a fetch could not read its records"
            );
            read_code(&error)
        }),
    };
    let end = outcome.records.as_deref().ok().and_then(end_of);
    outcome.cut_short = limited && end.is_none_or(|end| end < visible_end);
    if part.committed
        && let Some(end) = end
    {
        outcome = with_aborted(partition, (part.offset, end), outcome).await;
    }
    outcome
}

/// Names the transactions in the records that were given up.
async fn with_aborted(
    partition: &Partition,
    (from, end): (i64, i64),
    mut outcome: ReadOutcome,
) -> ReadOutcome {
    match partition.log().aborted(from, end).await {
        Ok(aborted) => {
            let records = outcome.records.as_deref().unwrap_or_default();
            outcome.aborted = Some(in_records(&aborted, records));
        }
        Err(error) => {
            let index = partition.id().index;
            tracing::warn!(
                topic = partition.topic(),
                partition = index,
                %error,
                "a fetch could not learn which transactions were given up"
            );
            outcome.records = Err(read_code(&error));
        }
    }
    outcome
}

/// Producer and first offset of those of these transactions that have a record here. Others don't concern
/// the reader; and where compaction removed all of a transaction, its marker too, a reader would take
/// what the producer wrote later for given up.
fn in_records(aborted: &[AbortedTransaction], records: &[Bytes]) -> Vec<(i64, i64)> {
    if aborted.is_empty() {
        return Vec::new();
    }
    // Those of one producer follow each other, so the last one that began before a batch is the batch's.
    let by_begin: BTreeMap<(i64, i64), i64> = aborted
        .iter()
        .map(|one| ((one.producer_id, one.first_offset), one.last_offset))
        .collect();
    let batches = records
        .iter()
        .flat_map(|bytes| batch::batches(bytes).map_while(Result::ok));
    let mut found: Vec<(i64, i64)> = batches
        .filter(|batch| batch.attributes().is_transactional() && !batch.attributes().is_control())
        .filter_map(|batch| {
            let id = batch.producer_id();
            let before = by_begin.range((id, i64::MIN)..=(id, batch.last_offset()));
            let (&begin, &last) = before.last()?;
            (batch.base_offset() <= last).then_some(begin)
        })
        .collect();
    found.sort_unstable_by_key(|&(id, first)| (first, id));
    found.dedup();
    found
}

/// The offset after the last of these batches.
fn end_of(records: &[Bytes]) -> Option<i64> {
    let whole = batch::batches(records.last()?).map_while(Result::ok);
    whole.last().map(|batch| batch.next_offset())
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
