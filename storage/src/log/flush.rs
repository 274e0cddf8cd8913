//! fdatasync: grouped, and beside the writes.
//!
//! One flusher per log at a time. What is written while it syncs is covered by its next turn.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rt::task::{self, Class};

use crate::error::LogError;
use crate::log::{Log, LogInner, Status};
use crate::segment::Segment;

impl Log {
    /// Makes everything appended so far durable.
    pub async fn flush(&self) -> Result<(), LogError> {
        let target = self.end().appended();
        self.0.flushed_to(target).await
    }
}

impl LogInner {
    /// What a completed write may call for.
    pub(crate) fn after_write(&self) {
        let unflushed = {
            let end = self.state.borrow().end;
            end.written() - end.flushed()
        };
        let (messages, ms) = {
            let config = self.config.borrow();
            (config.flush_messages, config.flush_ms)
        };
        if u64::try_from(unflushed).is_ok_and(|unflushed| unflushed >= messages.max(1)) {
            self.want_flush();
        } else if ms < u64::MAX {
            self.start_flush_timer(Duration::from_millis(ms));
        }
        // One that runs looks by itself whether another is due.
        if !self.tasks.checkpointer.get() && self.checkpoint_due() {
            self.want_checkpoint();
        }
    }

    /// Asks for a flush of what is written.
    pub(crate) fn want_flush(&self) {
        self.tasks.flush_wanted.set(true);
        if !self.tasks.flusher.replace(true) {
            let log = self.handle();
            task::spawn_in(Class::Serve, async move { log.flush_loop().await }).detach();
        }
    }

    fn start_flush_timer(&self, after: Duration) {
        if self.tasks.flush_timer.replace(true) {
            return;
        }
        let log = Rc::downgrade(&self.handle());
        let timer = async move {
            rt::time::sleep(after).await;
            if let Some(log) = log.upgrade() {
                log.tasks.flush_timer.set(false);
                log.want_flush();
            }
        };
        task::spawn_in(Class::Background, timer).detach();
    }

    async fn flush_loop(&self) {
        while self.tasks.flush_wanted.replace(false) {
            if self.check_usable().is_err() {
                break;
            }
            if let Err(reason) = self.flush_once().await {
                self.drive.fail(reason);
                break;
            }
            // Only what still has to be is asked for again.
            let unflushed = {
                let end = self.state.borrow().end;
                u64::try_from(end.written() - end.flushed()).unwrap_or(0)
            };
            if unflushed >= self.config.borrow().flush_messages.max(1) {
                self.tasks.flush_wanted.set(true);
            }
        }
        self.tasks.flusher.set(false);
        self.progress.notify_waiters();
    }

    /// Syncs what was written before the call.
    async fn flush_once(&self) -> Result<(), String> {
        let (target, refusals, dirty, folder_changed) = {
            let state = &mut *self.state.borrow_mut();
            let folder_changed = std::mem::take(&mut state.folder_changed);
            let target = state.end.written();
            (target, state.refusals, state.take_dirty(), folder_changed)
        };
        for segment in &dirty {
            let synced = self.sync_segment(segment).await;
            synced.map_err(|error| format!("cannot sync {}: {error}", segment.path().display()))?;
        }
        if folder_changed {
            let synced = rt::fs::sync_dir(&self.folder).await;
            synced.map_err(|error| format!("cannot sync {}: {error}", self.folder.display()))?;
        }
        let moved = {
            let state = &mut *self.state.borrow_mut();
            // What was synced may have been cut off meanwhile, and its offsets given again.
            let moved = target > state.end.flushed() && state.refusals == refusals;
            if moved {
                state.end.flush_to(target);
            }
            moved
        };
        if moved {
            self.announce();
        }
        Ok(())
    }

    pub(crate) async fn sync_segment(&self, segment: &Rc<Segment>) -> io::Result<()> {
        if segment.state().removed {
            return Ok(());
        }
        let file = match self.drive.files.get(segment).await {
            Ok(file) => file,
            Err(_) if segment.state().removed => return Ok(()),
            Err(error) => return Err(error),
        };
        let began = rt::time::now();
        file.fdatasync().await?;
        self.drive
            .meter(|metrics| metrics.sync.note(began.elapsed()));
        self.counters.update(|counters| counters.syncs += 1);
        Ok(())
    }

    /// Waits until all below `target` is flushed, asking for it as soon as it is written.
    pub(crate) async fn flushed_to(&self, target: i64) -> Result<(), LogError> {
        let refusals = self.state.borrow().refusals;
        loop {
            let progress = self.progress.notified();
            let end = {
                let state = self.state.borrow();
                if state.end.flushed() >= target {
                    return Ok(());
                }
                if state.refusals != refusals {
                    let log = self.name.to_string();
                    return Err(LogError::Refused { log });
                }
                state.end
            };
            self.check_usable()?;
            if end.written() >= target {
                self.want_flush();
            }
            progress.await;
        }
    }

    /// Waits until the writer has nothing left to do.
    pub(crate) async fn written_out(&self) -> Result<(), LogError> {
        loop {
            let progress = self.progress.notified();
            if let Status::Failed(failed) = &self.state.borrow().status {
                return Err(LogError::DriveFailed(failed.clone()));
            }
            if !self.tasks.writer.get() {
                return Ok(());
            }
            progress.await;
        }
    }
}
