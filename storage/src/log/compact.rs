//! Compaction of one log: what [`crate::compact`] decides, carried out in the background.
//!
//! It reads closed segments that the last checkpoint vouches for, and writes new ones beside them; a log is
//! changed only by [`LogInner::swap`], one group of segments at a time. Appends and reads go on. Truncation,
//! closing and deletion interrupt it; what it had swapped by then stays.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::aborted::Chunk;
use crate::compact::plan::{self, Closed, Compactable};
use crate::compact::transactions::Writers;
use crate::error::LogError;
use crate::log::round::Work;
use crate::log::{Log, LogInner};
use crate::reader::Walk;
use crate::segment::Segment;

/// What a round of compaction is given.
pub struct Round<'a> {
    /// Nothing from here on is touched: the high watermark, or the last stable offset.
    pub upto: i64,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// Producers of the log.
    pub writers: &'a Writers,
    /// Most bytes of memory for keys.
    pub memory: usize,
    /// How full that memory may get, of 1.
    pub load: f64,
    /// Most bytes to read and write in a second; asked for again and again.
    pub rate: &'a dyn Fn() -> f64,
}

/// What a round of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Where the log is compacted up to now.
    pub upto: i64,
    /// Whether it stopped there for want of memory.
    pub full: bool,
    /// Keys it told apart.
    pub keys: u64,
    /// Bytes of memory that took.
    pub key_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes of the segments it looked at before, and of what is left of them.
    pub before_bytes: u64,
    /// See there.
    pub after_bytes: u64,
}

/// Keeps compaction away for as long as it lives.
pub(crate) struct Hold<'a>(&'a Cell<usize>);

impl<'a> Hold<'a> {
    pub(crate) fn on(log: &'a LogInner) -> Self {
        let holds = &log.tasks.compaction_holds;
        holds.set(holds.get() + 1);
        log.progress.notify_waiters();
        Self(holds)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Says that a log is being compacted.
struct Running<'a>(&'a LogInner);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.tasks.compacting.set(false);
        self.0.progress.notify_waiters();
    }
}

impl Log {
    /// What of the log can be compacted now, none of it at or above `upto`. An active segment whose first
    /// record is over `max.compaction.lag.ms` is closed, so that it can be compacted soon.
    pub async fn compactable(&self, upto: i64, now_ms: i64) -> Result<Compactable, LogError> {
        let log = &self.0;
        log.check_usable()?;
        log.close_overdue(now_ms);
        let segments = log.closed_segments();
        log.part_of(&segments, upto, now_ms).await
    }

    /// Compacts the log. `None` if there is nothing to do.
    ///
    /// # Errors
    /// [`LogError::Interrupted`] where something else has to be done to the log first; others where it can't
    /// be read or written. What was done by then stays, and is whole.
    pub async fn compact(&self, round: &Round<'_>) -> Result<Option<Compacted>, LogError> {
        let log = &self.0;
        log.check_usable()?;
        if log.tasks.compacting.replace(true) {
            return Err(log.interrupted());
        }
        let _running = Running(log);
        let chunks = log.forget_aborted();
        // Segments that a checkpoint doesn't vouch for may be read at a start from where it says. And what the
        // index of aborted transactions forgot must be forgotten for good before their markers go.
        self.checkpoint().await?;
        {
            let _files = log.files.acquire(1).await;
            log.remove_chunks(&chunks).await?;
        }
        let segments = log.vouched_segments();
        let part = log.part_of(&segments, round.upto, round.now_ms).await?;
        if part.from >= part.upto || part.dirty_bytes == 0 {
            return Ok(None);
        }
        let aborted = self.aborted(self.log_start(), part.upto).await?;
        let mut work = Work::new(log, round, &aborted);
        let within = |upto: i64| {
            segments
                .iter()
                .take_while(move |one| one.base_offset() < upto)
        };
        let dirty: Vec<_> = within(part.upto).cloned().collect();
        let rules = work.read_keys(&dirty, part).await?;
        let covered: Vec<_> = within(work.done.upto).cloned().collect();
        work.rewrite(&covered, rules).await?;
        let state = &mut *log.state.borrow_mut();
        state.compacted = work.done.upto;
        state.changed = true;
        Ok(Some(work.done))
    }

    /// Where the log was compacted up to.
    pub fn compacted_to(&self) -> i64 {
        self.0.state.borrow().compacted
    }
}

impl LogInner {
    pub(crate) fn interrupted(&self) -> LogError {
        let log = self.name.to_string();
        LogError::Interrupted { log }
    }

    /// An error if compaction has to stop.
    pub(crate) fn check_compacting(&self) -> Result<(), LogError> {
        self.check_usable()?;
        if self.tasks.compaction_holds.get() > 0 {
            return Err(self.interrupted());
        }
        Ok(())
    }

    /// Sleeps, unless compaction has to stop.
    pub(crate) async fn nap(&self, wait: Duration) {
        let until = rt::time::now() + wait;
        loop {
            let progress = self.progress.notified();
            let left = until.saturating_duration_since(rt::time::now());
            if left.is_zero() || self.check_compacting().is_err() {
                return;
            }
            // Woken or timed out, it looks again.
            let _ = rt::time::timeout(left, progress).await;
        }
    }

    /// Forgets the aborted transactions of the part that was compacted: none of their records is left. Not
    /// while somebody may still be reading what was there before. Gives back what is then to be removed.
    fn forget_aborted(&self) -> Vec<Chunk> {
        let state = &mut *self.state.borrow_mut();
        state.replaced.retain(|segment| segment.strong_count() > 0);
        if !state.replaced.is_empty() {
            return Vec::new();
        }
        let compacted = state.compacted;
        let had_some = !state.aborted.is_empty();
        let chunks = state.aborted.drop_below(compacted);
        state.changed |= had_some;
        chunks
    }

    /// Closes the active segment if its first record has waited too long to be compacted.
    fn close_overdue(&self, now_ms: i64) {
        let config = self.config.borrow();
        let state = &mut *self.state.borrow_mut();
        let active = state.active();
        let since = active.state().first_timestamp;
        let overdue = since.is_some_and(|since| {
            config.compact && now_ms.saturating_sub(since) > config.max_compaction_lag_ms
        });
        if overdue && active.state().len > 0 && self.tasks.compaction_holds.get() == 0 {
            let end = state.end.appended();
            state.roll(&self.folder, end, now_ms);
        }
    }

    /// All segments but the active one.
    fn closed_segments(&self) -> Vec<Rc<Segment>> {
        let state = self.state.borrow();
        let mut all: Vec<_> = state.segments.values().map(Rc::clone).collect();
        all.pop();
        all
    }

    /// The segments that lie before the one the last checkpoint says was active.
    fn vouched_segments(&self) -> Vec<Rc<Segment>> {
        let vouched = self.state.borrow().vouched;
        let mut closed = self.closed_segments();
        closed.retain(|segment| segment.base_offset() < vouched);
        closed
    }

    /// What can be compacted of these segments.
    async fn part_of(
        &self,
        segments: &[Rc<Segment>],
        upto: i64,
        now_ms: i64,
    ) -> Result<Compactable, LogError> {
        let (from, closed) = {
            let state = self.state.borrow();
            let end = state.end.appended();
            let from = plan::dirty_from(state.compacted, state.start, end);
            let next = |base| {
                state
                    .segments
                    .range(base + 1..)
                    .next()
                    .map(|(&next, _)| next)
            };
            let closed = segments
                .iter()
                .map(|one| one.as_closed(next(one.base_offset())));
            (from, closed.collect::<Vec<_>>())
        };
        let upto = plan::whole_segments(&closed, upto);
        let upto = self.old_enough(segments, (from, upto), now_ms).await?;
        let (clean_bytes, dirty_bytes) = plan::sizes(&closed, from, upto);
        Ok(Compactable {
            from,
            upto,
            clean_bytes,
            dirty_bytes,
            overdue_ms: self.overdue(segments, from, now_ms).await?,
        })
    }

    /// How far the dirty segments are older than `min.compaction.lag.ms`.
    async fn old_enough(
        &self,
        segments: &[Rc<Segment>],
        (from, upto): (i64, i64),
        now_ms: i64,
    ) -> Result<i64, LogError> {
        let lag = self.config.borrow().min_compaction_lag_ms;
        if lag <= 0 {
            return Ok(upto);
        }
        let latest = now_ms.saturating_sub(lag);
        for segment in segments {
            let clean = segment.state().next_offset <= from;
            if clean || segment.base_offset() >= upto {
                continue;
            }
            if self.newest_ms(segment).await?.unwrap_or(now_ms) > latest {
                return Ok(segment.base_offset());
            }
        }
        Ok(upto)
    }

    /// By how much the oldest dirty segment is over `max.compaction.lag.ms`.
    async fn overdue(
        &self,
        segments: &[Rc<Segment>],
        from: i64,
        now_ms: i64,
    ) -> Result<i64, LogError> {
        let lag = self.config.borrow().max_compaction_lag_ms;
        if lag == i64::MAX {
            return Ok(0);
        }
        let mut overdue = 0;
        for segment in segments {
            if segment.state().next_offset <= from || segment.state().len == 0 {
                continue;
            }
            if let Some(first) = self.first_ms(segment).await? {
                overdue = overdue.max(now_ms.saturating_sub(lag).saturating_sub(first));
            }
        }
        Ok(overdue)
    }

    /// Greatest timestamp of the segment's first batch.
    async fn first_ms(&self, segment: &Rc<Segment>) -> Result<Option<i64>, LogError> {
        let known = segment.state().first_timestamp;
        if known.is_some() {
            return Ok(known);
        }
        let mut walk = Walk::begin(&self.drive, segment, 0, 0).await?;
        let first = walk.next().await?.map(|first| first.max_timestamp());
        let first = first.filter(|&first| first > 0);
        segment.state().first_timestamp = first;
        Ok(first)
    }
}

impl Segment {
    /// What plans of compaction need to know of it; `next` is where the next segment begins.
    pub(crate) fn as_closed(&self, next: Option<i64>) -> Closed {
        let state = self.state();
        Closed {
            base_offset: self.base_offset(),
            next_base: next.unwrap_or(state.next_offset),
            len: state.len,
            index_bytes: state.indexes.larger_bytes(),
        }
    }
}
