//! A counted budget: bytes of memory, requests in flight.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct State {
    total: usize,
    available: usize,
    next: u64,
    /// In the order they came. One that is gone from here has been granted.
    waiting: BTreeMap<u64, (usize, Waker)>,
}

impl State {
    fn give_back(&mut self, amount: usize) {
        self.available += amount;
        assert!(
            self.available <= self.total,
            "more credit came back than was given"
        );
    }

    /// Grants from the front only: a large request is never starved by small
    /// ones that come after it.
    fn grant_next(&mut self) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        let need = first.get().0;
        if need > self.available {
            return None;
        }
        self.available -= need;
        Some(first.remove().1)
    }
}

/// A budget that tasks take from and give back to. Clones are handles to the
/// same budget.
#[derive(Clone)]
pub struct Credit {
    state: Rc<RefCell<State>>,
}

impl Credit {
    /// Makes a budget of `total`.
    pub fn new(total: usize) -> Self {
        let state = State {
            total,
            available: total,
            next: 0,
            waiting: BTreeMap::new(),
        };
        Self {
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// Waits until `n` are free and everybody who came earlier has theirs. More
    /// than the total is cut to the total, so that it can ever be granted.
    pub fn acquire(&self, n: usize) -> Acquire {
        let need = n.min(self.total());
        Acquire {
            credit: self.clone(),
            need,
            step: Step::Start,
        }
    }

    /// Takes `n` (cut to the total) if they are free and nobody waits for them.
    pub fn try_acquire(&self, n: usize) -> Option<Permit> {
        let mut state = self.state.borrow_mut();
        let need = n.min(state.total);
        if need > 0 && (need > state.available || !state.waiting.is_empty()) {
            return None;
        }
        state.available -= need;
        Some(Permit {
            credit: self.clone(),
            amount: need,
        })
    }

    /// How much nobody holds.
    pub fn available(&self) -> usize {
        self.state.borrow().available
    }

    /// How much there is in all.
    pub fn total(&self) -> usize {
        self.state.borrow().total
    }

    /// How much permits hold, among them those granted but not yet taken.
    pub fn in_use(&self) -> usize {
        let state = self.state.borrow();
        state.total - state.available
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    fn release(&self, amount: usize) {
        self.state.borrow_mut().give_back(amount);
        self.grant();
    }

    fn grant(&self) {
        loop {
            // One borrow per grant: a waker may run anything.
            let granted = self.state.borrow_mut().grant_next();
            match granted {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Credit")
            .field("total", &state.total)
            .field("available", &state.available)
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

enum Step {
    Start,
    Waiting(u64),
    Done,
}

/// Waits for credit; made by [`Credit::acquire`].
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire {
    credit: Credit,
    need: usize,
    step: Step,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let permit = match self.step {
            Step::Start => match self.credit.try_acquire(self.need) {
                Some(permit) => permit,
                None => {
                    let id = {
                        let mut state = self.credit.state.borrow_mut();
                        let id = state.next;
                        state.next += 1;
                        state.waiting.insert(id, (self.need, cx.waker().clone()));
                        id
                    };
                    self.step = Step::Waiting(id);
                    return Poll::Pending;
                }
            },
            Step::Waiting(id) => {
                if let Some((_, waker)) = self.credit.state.borrow_mut().waiting.get_mut(&id) {
                    waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                Permit {
                    credit: self.credit.clone(),
                    amount: self.need,
                }
            }
            Step::Done => panic!("an acquired credit was polled again"),
        };
        self.step = Step::Done;
        Poll::Ready(permit)
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Step::Waiting(id) = self.step else { return };
        let waited = self.credit.state.borrow_mut().waiting.remove(&id).is_some();
        if waited {
            // Whoever stood behind may fit now.
            self.credit.grant();
        } else {
            self.credit.release(self.need);
        }
    }
}

/// Credit held; given back on drop.
#[must_use = "dropping a permit gives its credit back at once"]
pub struct Permit {
    credit: Credit,
    amount: usize,
}

impl Permit {
    /// How much it holds.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Gives back all but `to`. Does nothing if it holds no more than that.
    pub fn shrink(&mut self, to: usize) {
        if to < self.amount {
            let extra = self.amount - to;
            self.amount = to;
            self.credit.release(extra);
        }
    }

    /// Moves `n`, or all there is if that is less, into a permit of its own.
    pub fn split(&mut self, n: usize) -> Self {
        let amount = n.min(self.amount);
        self.amount -= amount;
        Self {
            credit: self.credit.clone(),
            amount,
        }
    }

    /// Takes in a permit of the same budget. One of another budget comes back.
    pub fn merge(&mut self, mut other: Self) -> Option<Self> {
        if !Rc::ptr_eq(&self.credit.state, &other.credit.state) {
            return Some(other);
        }
        self.amount += std::mem::take(&mut other.amount);
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.credit.release(self.amount);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.amount).finish()
    }
}
