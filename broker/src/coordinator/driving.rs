//! The life of one coordinator: reading its log, then giving out what is committed and calling its timer,
//! until it ends or has to be made anew.

use std::rc::Rc;
use std::time::Duration;

use coordinator::Core;
use futures_lite::future::or;

use super::CoordinatorError;
use super::held::{Committed, Step};
use super::running::{Running, Stage};
use crate::partition::{AckError, Outcome, clock_ms};

/// How long to wait before another look at what can't be waited for.
const PAUSE: Duration = Duration::from_millis(100);

impl<C: Core> Running<C> {
    /// Runs until the coordinator has ended.
    pub(super) async fn drive(self: Rc<Self>) {
        self.until(|partition| partition.is_leader()).await;
        while !self.has_ended() {
            let begun = clock_ms();
            let loaded = self.load().await;
            let took = Duration::from_millis(clock_ms().saturating_sub(begun));
            match loaded {
                Ok(()) => self.serve().await,
                Err(error) => {
                    let index = self.partition.id().index;
                    tracing::error!(topic = self.partition.topic(), partition = index, %error, "a coordinator can't read its log; it tries again");
                }
            }
            // A drive that takes nothing must not have the log read all the time.
            self.rest(PAUSE.max(took * 4)).await;
            // Nothing is won by reading the log as long as nothing can be written to it.
            self.until(|partition| partition.takes_own()).await;
        }
    }

    /// Whether it is another node's now.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Ended)
    }

    /// Waits that long, or until the coordinator has ended.
    async fn rest(&self, pause: Duration) {
        let rested = rt::time::sleep(pause);
        let ended = async {
            while !self.has_ended() {
                self.wake.notified().await;
            }
        };
        or(rested, ended).await;
    }

    /// Waits until the partition is so, or the coordinator has ended.
    async fn until(&self, is_so: impl Fn(&crate::partition::Partition) -> bool) {
        while !self.has_ended() && !is_so(&self.partition) {
            or(rt::time::sleep(PAUSE), self.wake.notified()).await;
        }
    }

    /// Serves until that is over.
    async fn serve(&self) {
        loop {
            self.give_committed();
            self.tell_late();
            self.tick_if_due();
            if !matches!(self.state.borrow().stage, Stage::Serving(_)) {
                return;
            }
            let (first, sleep) = self.arm();
            let outcome = self.wait(first, sleep).await;
            {
                let mut state = self.state.borrow_mut();
                state.armed_ms = None;
                state.watches = false;
            }
            if let Some(outcome) = outcome {
                self.settle_first(outcome);
            }
        }
    }

    /// Says what is waited for, so that it needn't be told: the first of what is held, and a time.
    fn arm(&self) -> (Option<Committed>, Option<Duration>) {
        let timeout_ms = self.host.limits().commit_timeout_ms;
        let mut state = self.state.borrow_mut();
        let due = match &state.stage {
            Stage::Serving(core) => core.deadline(),
            _ => None,
        };
        let late = state.held.due_ms(timeout_ms);
        state.armed_ms = due.into_iter().chain(late).min();
        let first = state.held.take_first_wait();
        state.watches = first.is_some();
        let sleep = state.armed_ms.map(|at| at.saturating_sub(clock_ms()));
        (first, sleep.map(Duration::from_millis))
    }

    /// Waits for that, or to be woken; gives what became of the first of what is held if that is known.
    async fn wait(&self, first: Option<Committed>, sleep: Option<Duration>) -> Option<Outcome> {
        let time = async {
            match sleep {
                Some(duration) => rt::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let woken = or(self.wake.notified(), time);
        let Some(mut first) = first else {
            woken.await;
            return None;
        };
        let settled = async { Some((&mut first).await) };
        let outcome = or(settled, async {
            woken.await;
            None
        })
        .await;
        match outcome {
            Some(outcome) => Some(outcome.unwrap_or(Err(AckError::NotLeader))),
            None => {
                self.state.borrow_mut().held.put_first_wait(first);
                None
            }
        }
    }

    /// Gives out the steps at the front that are known to be committed.
    fn give_committed(&self) {
        loop {
            let outcome = self.state.borrow_mut().held.first_outcome();
            match outcome {
                Some(outcome) => self.settle_first(outcome),
                None => return,
            }
        }
    }

    /// Gives out the first step, or breaks down because it never will be committed.
    fn settle_first(&self, outcome: Outcome) {
        match outcome {
            // It is committed with few replicas, too, and another leader will have it.
            Ok(()) | Err(AckError::NotEnoughReplicas) => {
                let step = self.state.borrow_mut().held.take_first();
                if let Some(Step {
                    replies, effects, ..
                }) = step
                {
                    self.give(replies, effects);
                }
            }
            Err(error @ (AckError::NotWritten(_) | AckError::NotLeader)) => {
                let index = self.partition.id().index;
                tracing::warn!(topic = self.partition.topic(), partition = index, %error, "what a coordinator decided is lost; it reads its log anew");
                self.break_down(CoordinatorError::NotCoordinator);
            }
        }
    }

    /// Tells those who have waited too long for what is committed in the end, or isn't.
    fn tell_late(&self) {
        let timeout_ms = self.host.limits().commit_timeout_ms;
        let late = match clock_ms().checked_sub(timeout_ms) {
            Some(before) => self.state.borrow_mut().held.expire(before),
            None => Vec::new(),
        };
        for token in late {
            self.answer(token, Err(CoordinatorError::NotAvailable));
        }
    }

    fn tick_if_due(&self) {
        let due = {
            let mut state = self.state.borrow_mut();
            let news = std::mem::take(&mut state.news);
            match &state.stage {
                Stage::Serving(core) => {
                    news || core
                        .deadline()
                        .is_some_and(|deadline| deadline <= clock_ms())
                }
                _ => false,
            }
        };
        if due {
            self.step(|core, world, out| core.tick(world, out));
        }
    }
}
