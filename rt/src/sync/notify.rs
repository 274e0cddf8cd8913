//! A notice that something changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct State {
    /// A `notify_one` that found nobody waiting.
    permit: bool,
    /// How often `notify_waiters` was called.
    round: u64,
    next: u64,
    /// In the order they came. One that is gone from here has been notified.
    waiting: BTreeMap<u64, Waker>,
}

impl State {
    /// Takes the first waiter out, or remembers the notice.
    fn hand_over(&mut self) -> Option<Waker> {
        let first = self.waiting.pop_first();
        self.permit |= first.is_none();
        first.map(|(_, waker)| waker)
    }
}

/// Wakes tasks that wait for a change. Clones are handles to the same notice.
#[derive(Clone, Default)]
pub struct Notify {
    state: Rc<RefCell<State>>,
}

impl Notify {
    /// Makes a notice nobody waits for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the first task that waits. If none does, the next to wait goes on
    /// at once; several such calls count as one.
    pub fn notify_one(&self) {
        let waker = self.state.borrow_mut().hand_over();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes every task that waits, and nobody who comes later.
    pub fn notify_waiters(&self) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.round += 1;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Waits for a notice. `notify_waiters` counts from this call on, even
    /// before the first poll, so: take it, check the condition, then await it.
    pub fn notified(&self) -> Notified {
        let round = self.state.borrow().round;
        Notified {
            state: Rc::clone(&self.state),
            step: Step::Start { round },
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Notify")
            .field("waiting", &state.waiting.len())
            .field("permit", &state.permit)
            .finish()
    }
}

#[derive(Clone, Copy)]
enum Step {
    Start { round: u64 },
    Waiting { id: u64, round: u64 },
    Done,
}

/// Waits for a notice; made by [`Notify::notified`].
#[must_use = "futures do nothing unless awaited"]
pub struct Notified {
    state: Rc<RefCell<State>>,
    step: Step,
}

impl Future for Notified {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let step = {
            let mut state = self.state.borrow_mut();
            match self.step {
                Step::Done => Step::Done,
                Step::Start { round } if state.round != round => Step::Done,
                Step::Start { round } => {
                    if std::mem::take(&mut state.permit) {
                        Step::Done
                    } else {
                        let id = state.next;
                        state.next += 1;
                        state.waiting.insert(id, cx.waker().clone());
                        Step::Waiting { id, round }
                    }
                }
                Step::Waiting { id, round } => match state.waiting.get_mut(&id) {
                    Some(waker) => {
                        waker.clone_from(cx.waker());
                        Step::Waiting { id, round }
                    }
                    None => Step::Done,
                },
            }
        };
        self.step = step;
        match step {
            Step::Done => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let Step::Waiting { id, round } = self.step else {
            return;
        };
        let next = {
            let mut state = self.state.borrow_mut();
            if state.waiting.remove(&id).is_some() || state.round != round {
                None
            } else {
                // A `notify_one` reached us and was not used: it is the next
                // waiter's.
                state.hand_over()
            }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
