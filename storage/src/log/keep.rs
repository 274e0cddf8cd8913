//! What is kept and what goes: retention and DeleteRecords.
//!
//! The log's start is on the drive before anything is deleted or anybody is told; segments are
//! removed oldest first, so a stop in between leaves a log without a hole.

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use rt::task;

use crate::error::LogError;
use crate::listing::remove_if_there;
use crate::log::{Log, LogInner};
use crate::policy::{self, OldestFacts};
use crate::segment::Segment;

/// What a round of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments deleted.
    pub segments: usize,
    /// Bytes of theirs.
    pub bytes: u64,
    /// The log's start after it.
    pub log_start: i64,
}

impl Log {
    /// Makes `offset` the log's start, durably, and deletes the segments that lie wholly below it.
    /// Gives back the start: never lower than it was. `offset` may not lie above
    /// [`Log::stable_end`].
    pub async fn delete_records_before(&self, offset: i64) -> Result<i64, LogError> {
        let log = &self.0;
        log.check_usable()?;
        let end = log.stable_end();
        if offset > end || offset < 0 {
            return Err(LogError::OffsetOutOfRange {
                log: log.name.to_string(),
                offset,
                end,
            });
        }
        if offset > self.log_start() {
            log.move_start(offset).await?;
        }
        Ok(self.log_start())
    }

    /// Deletes what its settings say is too old or too much, by the wall clock `now_ms`, and lies
    /// wholly below `upto`. The active segment is closed first if it is to go.
    pub async fn retain(&self, now_ms: i64, upto: i64) -> Result<Retained, LogError> {
        let log = &self.0;
        log.check_usable()?;
        let limit = upto.min(log.stable_end());
        let mut retained = Retained::default();
        let mut start = self.log_start();
        let mut gone = 0;
        let mut from = i64::MIN;
        loop {
            let (oldest, log_bytes) = {
                let state = log.state.borrow();
                let oldest = state.segments.range(from..).next();
                let oldest = oldest.map(|(_, segment)| Rc::clone(segment));
                (oldest, state.size.saturating_sub(gone))
            };
            let Some(oldest) = oldest else { break };
            let expired = log
                .expired(&oldest, (log_bytes, start, limit), now_ms)
                .await;
            if oldest.state().removed {
                // Compaction put another in its place: the next round looks at that.
                break;
            }
            let Some(next_base) = expired? else { break };
            retained.segments += 1;
            gone += oldest.state().len;
            start = start.max(next_base);
            from = next_base;
        }
        if retained.segments > 0 {
            retained.bytes = gone;
            log.move_start(start).await?;
        }
        retained.log_start = self.log_start();
        Ok(retained)
    }
}

impl LogInner {
    /// Where the next segment begins, if this one, the oldest, may go.
    async fn expired(
        &self,
        oldest: &Rc<Segment>,
        (log_bytes, log_start, limit): (u64, i64, i64),
        now_ms: i64,
    ) -> Result<Option<i64>, LogError> {
        let newest_ms = self.newest_ms(oldest).await?.unwrap_or(now_ms);
        if oldest.state().removed {
            return Ok(None);
        }
        let config = self.config.borrow().clone();
        let state = &mut *self.state.borrow_mut();
        let end = state.end;
        let next = state.segments.range(oldest.base_offset() + 1..).next();
        let next_base = next.map_or(end.appended(), |(&base, _)| base);
        let facts = OldestFacts {
            next_base,
            len: oldest.state().len,
            newest_ms,
            log_bytes,
            log_start,
        };
        let active = state.is_active(oldest);
        if facts.len == 0 && active || next_base > limit {
            return Ok(None);
        }
        let reason = policy::expired(facts, now_ms, &config);
        // An active segment that lies below the start stays until it is closed for another reason.
        let Some(reason) = reason.filter(|&why| !active || why != policy::Expired::BelowStart)
        else {
            return Ok(None);
        };
        if active {
            state.roll(&self.folder, end.appended(), now_ms);
        }
        tracing::info!(log = %self.name, segment = oldest.base_offset(), ?reason, "segment expires");
        Ok(Some(next_base))
    }

    /// Greatest timestamp in the segment, or when it was last written where its records have none.
    pub(crate) async fn newest_ms(&self, segment: &Rc<Segment>) -> Result<Option<i64>, LogError> {
        match self.newest_of(segment).await? {
            Some(newest) => Ok(Some(newest.0)),
            None => Ok(written_ms(segment).await),
        }
    }

    /// Moves the log's start, durably, and deletes the segments below it.
    async fn move_start(&self, start: i64) -> Result<(), LogError> {
        self.checkpoint_now(Some(start)).await?;
        let _files = self.files.acquire(1).await;
        let (removed, chunks) = {
            let state = &mut *self.state.borrow_mut();
            let start = state.start;
            state.epochs_changed |= state.epochs.truncate_start(start);
            let chunks = state.aborted.drop_below(start);
            (state.take_below(start), chunks)
        };
        self.remove_chunks(&chunks).await?;
        {
            use crate::budget::Evict;
            self.evict(start);
        }
        for segment in &removed {
            self.remove_files(segment).await?;
        }
        let count = removed.len() as u64;
        self.drive
            .meter(|metrics| metrics.segments_deleted += count);
        self.progress.notify_waiters();
        Ok(())
    }

    pub(crate) async fn remove_files(&self, segment: &Segment) -> Result<(), LogError> {
        let indexes = [
            segment.offset_index_path(),
            segment.time_index_path(),
            segment.kafka_aborted_path(),
        ];
        // The records first: an index alone is nothing, and removed at the next start.
        for path in [segment.path().to_owned()].into_iter().chain(indexes) {
            remove_if_there(path).await?;
        }
        segment.set_file(None);
        Ok(())
    }
}

/// When a segment's file was last written.
async fn written_ms(segment: &Segment) -> Option<i64> {
    let path = segment.path().to_owned();
    let modified = task::blocking(move || std::fs::metadata(path)?.modified()).await;
    let since = modified.ok()?.ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
