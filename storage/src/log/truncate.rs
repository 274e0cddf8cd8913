//! Cutting a log back, and beginning it anew elsewhere: what a follower does whose leader's log took
//! another course.
//!
//! At every moment the drive holds a log without a hole. First a checkpoint takes back what the last
//! one vouched for; then segments go, newest first; then the last one that stays is cut. A kill in
//! between leaves a log that is longer than it was to be, which its leader will cut again. New records
//! go to a new segment, so a cut segment is as any closed one, and its indexes are made anew when
//! somebody needs them.

use std::rc::Rc;

use crate::checkpoint::Checkpoint;
use crate::error::LogError;
use crate::listing::{Listing, remove_if_there};
use crate::log::compact::Hold;
use crate::log::open::replay_state;
use crate::log::{Log, LogInner, ReplayEvent};
use crate::name::CHECKPOINT_FILE;
use crate::reader::{READ_MAX, Walk};
use crate::segment::Segment;

/// Where a log is to end.
struct Cut {
    /// The last segment that stays, and how many bytes of it do; none where no segment stays.
    last: Option<(Rc<Segment>, u64)>,
    /// The offset.
    end: i64,
}

impl Log {
    /// Cuts the log back to end at `offset`, or at the beginning of the batch that holds it; gives
    /// back its end. Leader epochs that began there or later are forgotten, also where no record has to
    /// go. `replay` is told what an owner has to know of the log as it is then, as when it
    /// is opened; nothing where the owner has no state now. Nothing that was cut off comes back.
    ///
    /// Whoever calls it appends nothing until it comes back.
    pub async fn truncate_to(
        &self,
        offset: i64,
        replay: &mut dyn FnMut(ReplayEvent),
    ) -> Result<i64, LogError> {
        let log = &self.0;
        let offset = offset.max(0);
        let _hold = Hold::on(log);
        loop {
            log.check_usable()?;
            log.settled().await;
            if offset >= self.end().appended() {
                log.drop_epochs_from(offset);
                return Ok(self.end().appended());
            }
            let cut = log.find_cut(offset).await?;
            let end = cut.end;
            if log.carry_out(cut).await? {
                log.tell_state(replay).await?;
                log.want_checkpoint();
                return Ok(end);
            }
        }
    }

    /// Throws all records away and begins at `offset`, which may lie above the end.
    ///
    /// Whoever calls it appends nothing until it comes back.
    pub async fn start_over(&self, offset: i64) -> Result<(), LogError> {
        let log = &self.0;
        let _hold = Hold::on(log);
        loop {
            log.check_usable()?;
            log.settled().await;
            let cut = Cut {
                last: None,
                end: offset.max(0),
            };
            if log.carry_out(cut).await? {
                log.want_checkpoint();
                return Ok(());
            }
        }
    }
}

impl LogInner {
    /// Waits until no task works on the log or makes one of its files longer.
    async fn settled(&self) {
        loop {
            let progress = self.progress.notified();
            if !self.is_busy() && !self.grows() {
                return;
            }
            progress.await;
        }
    }

    /// Forgets epochs that began at `end` or above without a record in the log.
    fn drop_epochs_from(&self, end: i64) {
        let state = &mut *self.state.borrow_mut();
        if state.epochs.truncate_end(end) {
            state.epochs_changed = true;
            state.changed = true;
        }
    }

    fn grows(&self) -> bool {
        let state = self.state.borrow();
        state.segments.values().any(|s| s.state().growing)
    }

    /// Finds where the log can be cut to end at `offset` or a little below.
    async fn find_cut(&self, offset: i64) -> Result<Cut, LogError> {
        let (mut end, mut below) = (offset, offset);
        loop {
            let last = {
                let state = self.state.borrow();
                let last = state.segments.range(..below).next_back();
                last.map(|(_, segment)| Rc::clone(segment))
            };
            let Some(segment) = last else {
                return Ok(Cut { last: None, end });
            };
            // Compaction may have left nothing of a segment's first offsets.
            below = segment.base_offset();
            let (position, found) = self.place_of(&segment, end).await?;
            end = found;
            if position > 0 {
                return Ok(Cut {
                    last: Some((segment, position)),
                    end,
                });
            }
        }
    }

    /// Where in the segment the records end that lie wholly below `offset`, and the offset there.
    async fn place_of(&self, segment: &Rc<Segment>, offset: i64) -> Result<(u64, i64), LogError> {
        let near = self.locate(segment, offset).await?;
        match self.walk_to(segment, near, offset).await? {
            Some(found) => Ok(found),
            None => {
                // The index led behind the place, or to where no batch begins.
                self.distrust_indexes(segment).await?;
                let found = self.walk_to(segment, 0, offset).await?;
                Ok(found.unwrap_or((0, segment.base_offset())))
            }
        }
    }

    async fn walk_to(
        &self,
        segment: &Rc<Segment>,
        from: u64,
        offset: i64,
    ) -> Result<Option<(u64, i64)>, LogError> {
        let mut walk = Walk::begin(&self.drive, segment, from, READ_MAX).await?;
        loop {
            let at = walk.position();
            let first = at == from && from > 0;
            let batch = match walk.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(Some((at, offset))),
                Err(crate::ReadError::Damaged { .. }) if first => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if batch.next_offset() > offset {
                let end = offset.min(batch.base_offset());
                return Ok((!first).then_some((at, end)));
            }
        }
    }

    /// Carries the cut out. False, and nothing done, if the log changed since the cut was found.
    async fn carry_out(&self, cut: Cut) -> Result<bool, LogError> {
        let _files = self.files.acquire(1).await;
        if !self.still_fits(&cut) {
            return Ok(false);
        }
        let failed = |error: LogError| {
            // Part of it may be done. Opening the log again sorts that out, going on does not.
            self.drive.fail(error.to_string());
            error
        };
        self.take_back_checkpoint(&cut).await.map_err(failed)?;
        let kept = cut.last.as_ref().map_or(i64::MIN, |_| cut.end);
        self.cut_aborted(kept).await.map_err(failed)?;
        let removed = self.take_above(&cut);
        for segment in removed.iter().rev() {
            self.remove_files(segment).await.map_err(failed)?;
        }
        let kept = match &cut.last {
            Some((segment, position)) => self.cut_file(segment, *position).await.map_err(failed)?,
            None => false,
        };
        let synced = rt::fs::sync_dir(&self.folder).await;
        synced
            .map_err(LogError::io("sync", &self.folder))
            .map_err(failed)?;
        self.settle_cut(&cut, kept);
        self.drop_tail();
        self.progress.notify_waiters();
        Ok(true)
    }

    /// Whether no task works on the log, and the segment to be cut is still in it.
    fn still_fits(&self, cut: &Cut) -> bool {
        if self.is_busy() || self.grows() {
            return false;
        }
        cut.last.as_ref().is_none_or(|(segment, _)| {
            let state = self.state.borrow();
            let found = state.segments.get(&segment.base_offset());
            found.is_some_and(|found| Rc::ptr_eq(found, segment))
        })
    }

    /// Puts a checkpoint in place that is true before the cut and after it.
    async fn take_back_checkpoint(&self, cut: &Cut) -> Result<(), LogError> {
        let owned = self.has_owned_state();
        let known = {
            let state = self.state.borrow();
            let base = cut
                .last
                .as_ref()
                .map_or(cut.end, |(segment, _)| segment.base_offset());
            Checkpoint {
                segment: base,
                position: 0,
                offset: base,
                log_start: state.start.min(cut.end),
                newest: None,
                first_timestamp: None,
                offset_entries: 0,
                time_entries: 0,
                snapshot: owned,
                compacted: state.compacted.min(cut.end),
                aborted: !state.aborted.is_empty(),
            }
        };
        self.put(CHECKPOINT_FILE, known.encode()).await?;
        self.state.borrow_mut().vouched = known.segment;
        Ok(())
    }

    /// Takes the segments behind the cut out of the log, and gives them back, oldest first.
    fn take_above(&self, cut: &Cut) -> Vec<Rc<Segment>> {
        let last = cut.last.as_ref().map(|(segment, _)| segment.base_offset());
        let state = &mut *self.state.borrow_mut();
        let above = match last {
            Some(base) => state.segments.split_off(&(base + 1)),
            None => std::mem::take(&mut state.segments),
        };
        state
            .unfinished
            .retain(|segment| !above.contains_key(&segment.base_offset()));
        for segment in above.values() {
            segment.state().removed = true;
        }
        if state.segments.is_empty() {
            // A log always has an active segment; this one has no file.
            let first = Segment::new(&self.folder, cut.end, rt::time::wall_ms());
            state.segments.insert(cut.end, first);
        }
        above.into_values().collect()
    }

    /// Cuts the segment's file; whether there was more in it than `position`.
    async fn cut_file(&self, segment: &Rc<Segment>, position: u64) -> Result<bool, LogError> {
        let (len, finished) = {
            let state = segment.state();
            (state.len, state.finished)
        };
        if len == position && finished {
            return Ok(false);
        }
        let file = self.drive.files.get(segment).await;
        let file = file.map_err(LogError::io("open", segment.path()))?;
        let cut = file.truncate(position).await;
        cut.map_err(LogError::io("cut", segment.path()))?;
        let synced = file.fdatasync().await;
        synced.map_err(LogError::io("sync", segment.path()))?;
        for path in [segment.offset_index_path(), segment.time_index_path()] {
            remove_if_there(path).await?;
        }
        Ok(true)
    }

    /// Brings what is known of the log in line with what is on the drive.
    fn settle_cut(&self, cut: &Cut, was_cut: bool) {
        let state = &mut *self.state.borrow_mut();
        if let Some((segment, position)) = &cut.last {
            let base = segment.base_offset();
            if was_cut {
                segment.state().removed = true;
                segment.set_file(None);
                let closed = Segment::closed(&self.folder, base, *position, cut.end, (0, 0));
                state.segments.insert(base, closed);
                state.unfinished.retain(|other| other.base_offset() != base);
            }
            let active = Segment::new(&self.folder, cut.end, rt::time::wall_ms());
            state.segments.insert(cut.end, active);
        }
        state.start = match cut.last {
            Some(_) => state.start.min(cut.end),
            None => cut.end,
        };
        state.end.cut_to(cut.end);
        state.compacted = state.compacted.min(cut.end);
        // Where nothing stays, no epoch does.
        let known = cut.last.as_ref().map_or(0, |_| cut.end);
        state.epochs.truncate_end(known);
        state.epochs_changed = true;
        state.partial = None;
        state.size = state.segments.values().map(|s| s.state().len).sum();
        state.since_checkpoint += 1;
        state.changed = true;
        // Who waits for what was cut off to be flushed waits in vain.
        state.refusals += 1;
    }

    /// Whether the owner has a state that a start would have to give back.
    fn has_owned_state(&self) -> bool {
        let mut owned = false;
        self.tell(|owner| owned = owner.snapshot().is_some());
        owned
    }

    /// Tells the owner the state as of the end.
    async fn tell_state(&self, replay: &mut dyn FnMut(ReplayEvent)) -> Result<(), LogError> {
        if !self.has_owned_state() {
            return Ok(());
        }
        let (segments, end) = {
            let state = self.state.borrow();
            let segments: Vec<_> = state.segments.values().map(Rc::clone).collect();
            (segments, state.end.appended())
        };
        let snapshots = Listing::read(&self.folder).await?.snapshots;
        let newest = snapshots.range(..=end).next_back().copied();
        replay_state(&self.drive, &self.folder, &segments, (newest, end), replay).await
    }
}
