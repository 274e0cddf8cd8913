//! What the replication's core wants done, and doing it.
//!
//! Owns the work on the log that takes its time: cutting it back, beginning it anew, raising its start.
//! It must never let the core be assigned anew while the log is being cut.

use std::rc::Rc;

use replica::{Assignment, Effect, Replica};
use storage::LogError;

use super::{AckError, Given, Partition, RETRY_MS, Rebuilt, View, clock_ms};

/// What is under way, and what waits for its end.
pub(super) struct Work {
    /// The high watermark as the core told it last.
    high_watermark: i64,
    /// While the log is being cut: the high watermark of before.
    cutting: Option<i64>,
    /// The newest assignment that came meanwhile.
    held: Option<Given>,
    /// Where the log start is being raised to.
    raising: Option<i64>,
    /// While the log takes nothing: when it may be tried again.
    pub(super) refused_until_ms: Option<u64>,
    /// Whether the last records that came were refused: that is told once, not with every try.
    pub(super) refusing: bool,
}

/// Where a log is to end.
#[derive(Clone, Copy)]
enum Cut {
    Back(i64),
    Anew(i64),
}

impl Work {
    pub(super) fn new(high_watermark: i64) -> Self {
        Self {
            high_watermark,
            cutting: None,
            held: None,
            raising: None,
            refused_until_ms: None,
            refusing: false,
        }
    }

    /// True if the assignment has to wait, and is kept until then.
    pub(super) fn hold(&mut self, given: &Assignment<'_>) -> bool {
        if !self.is_cutting() {
            return false;
        }
        self.held = Some(Given::of(given));
        true
    }

    /// Whether the log is being cut.
    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.is_some()
    }

    /// Whether something is being done to the log that takes its time.
    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.is_cutting() || self.raising.is_some()
    }

    /// The high watermark that is true of the log as it is on the drive, whatever a cut under way has
    /// done to it.
    fn certain_watermark(&self) -> i64 {
        let before = self.cutting.unwrap_or(self.high_watermark);
        before.min(self.high_watermark)
    }
}

impl Partition {
    /// Has the core act, and does what it wants done.
    pub(super) fn act<R>(
        &self,
        call: impl FnOnce(&mut Replica, &View<'_>, &mut Vec<Effect>) -> R,
    ) -> R {
        let (result, mut effects) = {
            let state = &mut *self.state.borrow_mut();
            let mut effects = std::mem::take(&mut state.effects);
            let result = call(&mut state.replica, &View(&self.log), &mut effects);
            (result, effects)
        };
        for effect in effects.drain(..) {
            self.perform(effect);
        }
        self.state.borrow_mut().effects = effects;
        if self.waiting_for_starts.get() > 0 {
            self.starts.notify_waiters();
        }
        self.tell_moved();
        result
    }

    /// Tells who sends to the followers if there is something new for them.
    pub(super) fn tell_moved(&self) {
        let moved = {
            let state = &mut *self.state.borrow_mut();
            if !state.replicated || !state.replica.is_leader() {
                return;
            }
            let end = self.log.end().appended();
            let now = (end, state.replica.high_watermark(), self.log.log_start());
            std::mem::replace(&mut state.told, now) != now
        };
        if moved {
            self.peers.leader_moved(self);
        }
    }

    /// The log was written to or flushed, or its start was raised.
    pub fn log_moved(&self) {
        self.log_moved_by(|_| {});
    }

    /// As [`log_moved`](Self::log_moved), after another change of the core.
    pub(super) fn log_moved_by(&self, change: impl FnOnce(&mut Replica)) {
        self.act(|replica, log, out| {
            change(replica);
            replica.log_moved(log, out);
        });
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::AssignEpoch { epoch, start } => self.log.assign_epoch(epoch, start),
            Effect::Truncate { end } => self.cut(Cut::Back(end)),
            Effect::RestartAt { start } => self.cut(Cut::Anew(start)),
            Effect::RaiseLogStart { start } => self.raise_start(start),
            Effect::HighWatermark {
                high_watermark,
                enough,
            } => self.committed(high_watermark, enough),
            Effect::LeadershipLost => self.leadership_lost(),
            Effect::Resign { leader_epoch } => self.peers.resign(self.id, leader_epoch),
            Effect::AlterPartition(change) => self.peers.alter_partition(self.id, change),
            Effect::Follow { to, follow } => self.peers.follow(&self.handle(), to, follow),
            Effect::Progress { to, progress } => self.peers.progress(self.id, to, progress),
            Effect::Answer { to, answer } => self.peers.answer(self.id, to, answer),
        }
    }

    fn committed(&self, high_watermark: i64, enough: bool) {
        let outcome = if enough {
            Ok(())
        } else {
            Err(AckError::NotEnoughReplicas)
        };
        let state = &mut *self.state.borrow_mut();
        let committed_before = std::mem::replace(&mut state.work.high_watermark, high_watermark);
        state.producers.committed(high_watermark);
        let visible = state.uncommitted.reached(high_watermark, &outcome);
        match visible {
            // It went back, or over batches from before this process.
            0 => state.waiters.wake_all(),
            visible => state.waiters.arrived(visible),
        }
        let held_back = state.producers.first_unstable(high_watermark);
        let last_stable = held_back.unwrap_or(high_watermark).min(high_watermark);
        let before = std::mem::replace(&mut state.last_stable, last_stable);
        if last_stable == before {
            return;
        }
        // How much a transaction's end makes visible nobody has counted.
        match held_back {
            None if visible > 0 && before == committed_before => {
                state.stable_waiters.arrived(visible);
            }
            _ => state.stable_waiters.wake_all(),
        }
    }

    fn leadership_lost(&self) {
        let state = &mut *self.state.borrow_mut();
        state.verifying.lost();
        state.unstable.fail_waiting(&AckError::NotLeader);
        state.uncommitted.fail_waiting(&AckError::NotLeader);
        state.wake_all();
    }

    fn cut(&self, cut: Cut) {
        {
            let work = &mut self.state.borrow_mut().work;
            work.cutting = Some(work.high_watermark);
        }
        let partition = self.handle();
        rt::task::spawn(async move { partition.carry_out(cut).await }).detach();
    }

    async fn carry_out(&self, cut: Cut) {
        loop {
            match self.try_cut(cut).await {
                Ok(()) => break,
                // Deleted, closed, or offline: there is nothing to go on with.
                Err(LogError::Closed { .. } | LogError::DriveFailed(_)) => return,
                Err(error) => {
                    let index = self.id.index;
                    tracing::warn!(topic = self.topic(), partition = index, %error, "a log could not be cut back; it is tried again");
                    rt::time::sleep(std::time::Duration::from_millis(RETRY_MS)).await;
                }
            }
        }
        self.keep_lower_watermark().await;
        let held = {
            let state = &mut *self.state.borrow_mut();
            state.work.cutting = None;
            state.wake_all();
            state.work.held.take()
        };
        self.act(|replica, log, out| replica.truncated(log, clock_ms(), out));
        if let Some(held) = held {
            self.assign(&held.assignment());
        }
    }

    async fn try_cut(&self, cut: Cut) -> Result<(), LogError> {
        let mut rebuilt = None;
        let end = match cut {
            Cut::Back(end) => {
                let now_ms = rt::time::wall_ms();
                let place = (self.topic(), self.id.index);
                let mut replay = |event| {
                    let rebuilt: &mut Rebuilt = rebuilt.get_or_insert_default();
                    rebuilt.take(event, now_ms, place);
                };
                self.log.truncate_to(end, &mut replay).await?
            }
            Cut::Anew(start) => {
                self.log.start_over(start).await?;
                rebuilt = Some(Rebuilt::default());
                i64::MIN
            }
        };
        let state = &mut *self.state.borrow_mut();
        match rebuilt {
            Some(Rebuilt { producers, aborted }) => {
                state.producers = producers;
                for entry in aborted {
                    self.log.note_aborted(entry);
                }
            }
            None => state.producers.take_back(end),
        }
        state.unstable.fail_above(end, &AckError::NotLeader);
        state.uncommitted.fail_above(end, &AckError::NotLeader);
        Ok(())
    }

    /// A high watermark that went back has to be known to the drive before the log grows again: else a
    /// start could take what comes next for committed.
    async fn keep_lower_watermark(&self) {
        let lower = {
            let work = &self.state.borrow().work;
            let before = work.cutting.unwrap_or(i64::MIN);
            work.high_watermark < before
        };
        if !lower {
            return;
        }
        self.note_watermark();
        if let Err(error) = self.watermarks.write().await {
            let index = self.id.index;
            tracing::warn!(topic = self.topic(), partition = index, %error, "a lower high watermark is not on the drive yet");
        }
    }

    /// Puts the high watermark where the drive's next checkpoint takes it from. A partition with one
    /// replica needs none: whatever it has stored is committed.
    pub fn note_watermark(&self) {
        let state = self.state.borrow();
        let (topic, index) = (self.topic(), self.id.index);
        if state.replicated {
            let certain = state.work.certain_watermark();
            self.watermarks.set(topic, index, certain);
        } else {
            self.watermarks.remove(topic, index);
        }
    }

    /// Takes the high watermark out of the drive's next checkpoint.
    pub fn forget_watermark(&self) {
        self.watermarks.remove(self.topic(), self.id.index);
    }

    fn raise_start(&self, start: i64) {
        let running = {
            let raising = &mut self.state.borrow_mut().work.raising;
            let running = raising.is_some();
            *raising = (*raising).max(Some(start));
            running
        };
        if !running {
            let partition = self.handle();
            rt::task::spawn(async move { partition.raise_until_done().await }).detach();
        }
    }

    async fn raise_until_done(self: Rc<Self>) {
        loop {
            let start = {
                let raising = &mut self.state.borrow_mut().work.raising;
                let wanted = raising.filter(|start| *start > self.log.log_start());
                *raising = wanted;
                wanted
            };
            let Some(start) = start else { return };
            if let Err(error) = self.log.delete_records_before(start).await {
                // The next word of the leader asks for it again.
                let index = self.id.index;
                tracing::warn!(topic = self.topic(), partition = index, %error, "a log start could not follow its leader's");
                self.state.borrow_mut().work.raising = None;
                return;
            }
            self.log_moved();
        }
    }
}
