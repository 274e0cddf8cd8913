//! A round of compaction under way: the keys are read, then what is left is written.
//!
//! After each batch it sees whether to go on and how fast. A round that fails or is interrupted leaves a log
//! of which some segments are compacted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use batch::{Batch, BatchError, Compression, DecompressLimit, Retained};
use bytes::Bytes;
use rt::task;

use crate::aborted::AbortedTransaction;
use crate::compact::filter::{self, Rules};
use crate::compact::keys::{KeyHasher, KeyMap};
use crate::compact::plan::{self, Closed, Compactable};
use crate::compact::throttle::Throttle;
use crate::compact::transactions::{Verdict, Walked};
use crate::error::LogError;
use crate::log::LogInner;
use crate::log::compact::{Compacted, Round};
use crate::log::rewrite::Rewrite;
use crate::policy::SEGMENT_MAX;
use crate::reader::{READ_MAX, Walk, damaged};
use crate::segment::Segment;

/// Batches longer than this, or that are compressed and longer than the other, are worked on by a thread of
/// their own: they would hold up the shard.
const LONG: usize = 64 << 10;
const LONG_COMPRESSED: usize = 4 << 10;

/// A round under way.
pub(crate) struct Work<'a> {
    log: &'a LogInner,
    round: &'a Round<'a>,
    aborted: &'a [AbortedTransaction],
    throttle: Throttle,
    began: Instant,
    pub(crate) done: Compacted,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        log: &'a LogInner,
        round: &'a Round<'a>,
        aborted: &'a [AbortedTransaction],
    ) -> Self {
        Self {
            log,
            round,
            aborted,
            throttle: Throttle::default(),
            began: rt::time::now(),
            done: Compacted::default(),
        }
    }

    fn limit(&self) -> DecompressLimit {
        DecompressLimit::bytes(self.log.config.borrow().decompress_bytes)
    }

    /// Reads the keys of the dirty part, as far as there is memory for them.
    pub(crate) async fn read_keys(
        &mut self,
        segments: &[Rc<Segment>],
        part: Compactable,
    ) -> Result<Rules, LogError> {
        let (round, limit) = (self.round, self.limit());
        let wanted = u64::try_from(part.upto - part.from).unwrap_or(0);
        let mut keys = KeyMap::new(round.memory, round.load, wanted);
        let hasher = KeyHasher::default();
        let mut walked = Walked::new(round.writers, self.aborted);
        'all: for segment in segments {
            if segment.state().next_offset <= part.from {
                continue;
            }
            let near = self.log.locate(segment, part.from).await;
            let near = near.map_err(|error| self.failed(segment, error))?;
            let walk = Walk::begin(&self.log.drive, segment, near, READ_MAX).await;
            let mut walk = walk.map_err(|error| self.failed(segment, error))?;
            loop {
                let at = walk.position();
                let batch = walk
                    .next()
                    .await
                    .map_err(|error| self.failed(segment, error))?;
                let Some(batch) = batch else { break };
                if batch.next_offset() <= part.from {
                    continue;
                }
                let verdict = walked.next(&batch);
                if verdict.control || verdict.void {
                    keys.covered(batch.last_offset());
                } else {
                    let noted = note_keys(&batch, part.from, &mut keys, &hasher, limit).await;
                    let noted =
                        noted.map_err(|error| damaged(segment.path(), at, &error.to_string()))?;
                    if !noted {
                        self.done.full = true;
                        break 'all;
                    }
                }
                let bytes = batch.size() as u64;
                self.pace(bytes, 0).await?;
            }
        }
        if !self.done.full {
            keys.covered(part.upto - 1);
        }
        let Some(latest) = keys.latest() else {
            return Err(LogError::KeysDontFit {
                log: self.log.name.to_string(),
                offset: part.from,
                capacity: keys.capacity(),
            });
        };
        self.done.upto = latest + 1;
        self.done.keys = keys.len() as u64;
        self.done.key_bytes = keys.bytes() as u64;
        Ok(Rules {
            keys,
            hasher,
            now_ms: round.now_ms,
            delete_retention_ms: self.log.config.borrow().delete_retention_ms,
            limit,
        })
    }

    /// Rewrites these segments, which are all from the log's start on. What is left of several is put
    /// together as far as it makes one segment.
    pub(crate) async fn rewrite(
        &mut self,
        segments: &[Rc<Segment>],
        rules: Rules,
    ) -> Result<(), LogError> {
        let rules = Arc::new(rules);
        let mut walked = Walked::new(self.round.writers, self.aborted);
        let mut rest = segments;
        while let Some(first) = rest.first() {
            let mut output = Rewrite::begin(self.log, first.base_offset()).await?;
            let filled = self.fill(&mut output, rest, &rules, &mut walked).await;
            let count = match filled {
                Ok(count) => count,
                Err(error) => {
                    output.discard().await;
                    return Err(error);
                }
            };
            let (group, others) = rest.split_at(count);
            self.put_in_place(group, output).await?;
            rest = others;
        }
        Ok(())
    }

    async fn put_in_place(
        &mut self,
        group: &[Rc<Segment>],
        output: Rewrite,
    ) -> Result<(), LogError> {
        let before: u64 = group.iter().map(|one| one.state().len).sum();
        self.done.before_bytes += before;
        self.done.written_bytes += output.written_bytes();
        if output.changed() || group.len() > 1 {
            self.done.after_bytes += output.len();
            self.log.swap(group, output).await
        } else {
            self.done.after_bytes += before;
            output.discard().await;
            Ok(())
        }
    }

    /// Fills a segment with what is left of the first of these; gives back of how many.
    async fn fill(
        &mut self,
        output: &mut Rewrite,
        segments: &[Rc<Segment>],
        rules: &Arc<Rules>,
        walked: &mut Walked<'_>,
    ) -> Result<usize, LogError> {
        let mut count = 0;
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1).map(|next| next.base_offset());
            let closed = segment.as_closed(next);
            if at > 0 && !self.fits(output, &closed) {
                break;
            }
            output.make_room(self.log, closed.len).await?;
            self.fill_from(output, segment, rules, walked).await?;
            count = at + 1;
        }
        output.finish(self.log, &segments[..count]).await?;
        Ok(count)
    }

    fn fits(&self, output: &Rewrite, next: &Closed) -> bool {
        let config = self.log.config.borrow();
        let most = config.segment_bytes.min(SEGMENT_MAX);
        plan::fits(output.growing(), next, most, config.segment_index_bytes)
    }

    async fn fill_from(
        &mut self,
        output: &mut Rewrite,
        segment: &Rc<Segment>,
        rules: &Arc<Rules>,
        walked: &mut Walked<'_>,
    ) -> Result<(), LogError> {
        if segment.state().len == 0 {
            return Ok(());
        }
        let walk = Walk::begin(&self.log.drive, segment, 0, READ_MAX).await;
        let mut walk = walk.map_err(|error| self.failed(segment, error))?;
        loop {
            let at = walk.position();
            let batch = walk
                .next()
                .await
                .map_err(|error| self.failed(segment, error))?;
            let Some(batch) = batch else {
                return Ok(());
            };
            let verdict = walked.next(&batch);
            let left = apply(&batch, verdict, rules).await;
            let left = left.map_err(|error| damaged(segment.path(), at, &error.to_string()))?;
            let before = output.len();
            output.take(self.log, &batch, left).await?;
            let read = batch.size() as u64;
            self.pace(read, output.len() - before).await?;
        }
    }

    /// Notes that so many bytes were read and written, sees whether to go on, and waits as the rate asks.
    async fn pace(&mut self, read: u64, written: u64) -> Result<(), LogError> {
        self.done.read_bytes += read;
        self.log.check_compacting()?;
        let rate = (self.round.rate)();
        let wait = self
            .throttle
            .note(read + written, rate, self.began.elapsed());
        if let Some(wait) = wait {
            self.log.nap(wait).await;
        }
        Ok(())
    }

    /// An error of a segment that was taken out of the log meanwhile is that.
    fn failed(&self, segment: &Segment, error: crate::ReadError) -> LogError {
        if segment.state().removed {
            self.log.interrupted()
        } else {
            error.into()
        }
    }
}

/// Notes the keys of a batch, on a thread of its own if that takes a while.
async fn note_keys(
    batch: &Batch<'_>,
    from: i64,
    keys: &mut KeyMap,
    hasher: &KeyHasher,
    limit: DecompressLimit,
) -> Result<bool, BatchError> {
    if !is_long(batch) {
        return filter::note_keys(batch, from, keys, hasher, limit);
    }
    let bytes = Bytes::copy_from_slice(batch.bytes());
    let (mut taken, hasher) = (std::mem::take(keys), hasher.clone());
    let noted = task::blocking(move || {
        let batch = Batch::parse(&bytes);
        let noted =
            batch.and_then(|batch| filter::note_keys(&batch, from, &mut taken, &hasher, limit));
        (taken, noted)
    });
    match noted.await {
        Ok((taken, noted)) => {
            *keys = taken;
            noted
        }
        Err(_) => Err(BatchError::Unbuildable("its records could not be opened")),
    }
}

/// What stays of a batch, found on a thread of its own if that takes a while.
async fn apply(
    batch: &Batch<'_>,
    verdict: Verdict,
    rules: &Arc<Rules>,
) -> Result<Retained, BatchError> {
    if !is_long(batch) {
        return rules.apply(batch, verdict);
    }
    let bytes = Bytes::copy_from_slice(batch.bytes());
    let rules = Arc::clone(rules);
    let left = task::blocking(move || rules.apply(&Batch::parse(&bytes)?, verdict));
    match left.await {
        Ok(left) => left,
        Err(_) => Err(BatchError::Unbuildable("its records could not be opened")),
    }
}

fn is_long(batch: &Batch<'_>) -> bool {
    let plain = matches!(batch.attributes().compression(), Ok(Compression::None));
    batch.size() > if plain { LONG } else { LONG_COMPRESSED }
}
