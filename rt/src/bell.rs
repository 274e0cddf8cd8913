//! How other threads wake an executor.
//!
//! Owns the one doorbell of each executor, the seats its tasks wait on, and the
//! task that answers the bell. Other threads must never hold the waker of an
//! ordinary glommio task: its count is an `i16` that panics past 32,767, and a
//! join handle dropped between a foreign decrement and what follows it frees
//! the task under that thread. So a foreign thread only pushes a number here
//! and wakes the pump, a task without a join handle, by reference, once per
//! batch; the pump then wakes the real task on its own thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::local::Local;

/// Locks, also when a panic elsewhere poisoned it: no user code runs under any
/// lock of this crate, so what it guards is whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct BellState {
    rung: Vec<u64>,
    pump: Option<Waker>,
}

/// The doorbell of one executor; shared with every thread that may ring it.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
}

impl Bell {
    fn ring(&self, key: u64) {
        let mut state = lock(&self.state);
        state.rung.push(key);
        // One wake per batch: a foreign wake costs an eventfd write, and holds
        // one of the 32,767 references until the executor gets to it.
        if state.rung.len() == 1
            && let Some(pump) = &state.pump
        {
            pump.wake_by_ref();
        }
    }

    /// Forgets the pump, on the pump's own thread; later rings do nothing.
    pub(crate) fn silence(&self) {
        let pump = lock(&self.state).pump.take();
        drop(pump);
    }

    fn poll_rung(&self, cx: &mut Context<'_>, into: &mut Vec<u64>) -> Poll<()> {
        let mut state = lock(&self.state);
        if !state.rung.is_empty() {
            std::mem::swap(&mut state.rung, into);
            return Poll::Ready(());
        }
        match &mut state.pump {
            Some(pump) => pump.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// The right to wake one seat, from any thread.
#[derive(Clone)]
pub(crate) struct Ringer {
    bell: Arc<Bell>,
    key: u64,
}

impl Ringer {
    pub(crate) fn ring(&self) {
        self.bell.ring(self.key);
    }
}

pub(crate) type SeatCell = RefCell<Option<Waker>>;

/// A place where one task of this executor waits to be rung for.
pub(crate) struct Seat {
    cell: Rc<SeatCell>,
    ringer: Ringer,
}

impl Seat {
    pub(crate) fn new(local: &Local) -> Self {
        let cell = Rc::new(SeatCell::default());
        let key = local.add_seat(&cell);
        let bell = Arc::clone(&local.bell);
        Self {
            cell,
            ringer: Ringer { bell, key },
        }
    }

    /// Waits for the next ring. Rings may be spurious: look again after each.
    pub(crate) fn park(&self, waker: &Waker) {
        let mut cell = self.cell.borrow_mut();
        match &mut *cell {
            Some(held) => held.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    pub(crate) fn ringer(&self) -> Ringer {
        self.ringer.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(local) = Local::try_current() {
            local.remove_seat(self.ringer.key);
        }
    }
}

/// Answers the bell of this executor until it is cancelled.
pub(crate) async fn pump(local: Rc<Local>) {
    let mut rung = Vec::new();
    loop {
        poll_fn(|cx| local.bell.poll_rung(cx, &mut rung)).await;
        for key in rung.drain(..) {
            if let Some(waker) = local.seat(key).and_then(|cell| cell.take()) {
                waker.wake();
            }
        }
    }
}
