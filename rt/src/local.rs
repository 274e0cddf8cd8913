//! What belongs to one executor thread: its task queues, its doorbell and
//! seats, its blocking threads, its counters.
//!
//! It must be entered before the first task of an executor runs and left before
//! the executor ends, so that nothing that outlives the executor reaches for it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::{Latency, Shares, TaskQueueHandle};

use crate::bell::{self, Bell, SeatCell};
use crate::file::BufferStats;
use crate::pool::{Affinity, Pool};
use crate::task::Class;

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

pub(crate) struct Local {
    queues: [TaskQueueHandle; 4],
    pub(crate) bell: Arc<Bell>,
    seats: RefCell<HashMap<u64, Rc<SeatCell>>>,
    next_seat: Cell<u64>,
    pub(crate) pool: Pool,
    pub(crate) buffers: Cell<BufferStats>,
    /// Devices whose poll ring was disarmed on this executor.
    pub(crate) disarmed: RefCell<HashSet<u64>>,
}

impl Local {
    /// The state of the executor this thread runs.
    #[track_caller]
    #[expect(
        clippy::expect_used,
        reason = "called outside an executor it can do nothing at all"
    )]
    pub(crate) fn current() -> Rc<Self> {
        Self::try_current().expect("this part of rt works only inside an executor")
    }

    pub(crate) fn try_current() -> Option<Rc<Self>> {
        LOCAL
            .try_with(|local| local.try_borrow().ok()?.clone())
            .ok()?
    }

    pub(crate) fn queue(&self, class: Class) -> TaskQueueHandle {
        self.queues[class as usize]
    }

    pub(crate) fn add_seat(&self, cell: &Rc<SeatCell>) -> u64 {
        let key = self.next_seat.get();
        self.next_seat.set(key + 1);
        self.seats.borrow_mut().insert(key, Rc::clone(cell));
        key
    }

    pub(crate) fn remove_seat(&self, key: u64) {
        self.seats.borrow_mut().remove(&key);
    }

    pub(crate) fn seat(&self, key: u64) -> Option<Rc<SeatCell>> {
        self.seats.borrow().get(&key).cloned()
    }
}

/// Keeps the state of this executor in place; leaves it on drop as well, so
/// that a panic that unwinds the executor finds nothing half alive.
pub(crate) struct Entered {
    local: Rc<Local>,
    pump: Option<glommio::Task<()>>,
}

/// Makes the state of this executor. Must run inside the executor's main task.
pub(crate) fn enter(name: &str, preempt: Duration, affinity: Affinity) -> io::Result<Entered> {
    let local = Rc::new(Local {
        queues: make_queues(preempt),
        bell: Arc::default(),
        seats: RefCell::default(),
        next_seat: Cell::new(0),
        pool: Pool::start(name, affinity)?,
        buffers: Cell::default(),
        disarmed: RefCell::default(),
    });
    LOCAL.with(|slot| slot.replace(Some(Rc::clone(&local))));
    let pump = Some(glommio::spawn_local(bell::pump(Rc::clone(&local))));
    Ok(Entered { local, pump })
}

impl Entered {
    /// Ends the pump and waits for it, so that nothing of it leaks.
    pub(crate) async fn leave(mut self) {
        self.local.bell.silence();
        if let Some(pump) = self.pump.take() {
            pump.cancel().await;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.local.bell.silence();
        LOCAL.with(|slot| slot.replace(None));
        // The blocking threads end when the last handle goes; they are waited
        // for here, because their work may be a rename that must not be cut.
        self.local.pool.stop();
    }
}

fn make_queues(preempt: Duration) -> [TaskQueueHandle; 4] {
    let executor = glommio::executor();
    // In the order of `Class`. A thousand is the most glommio knows.
    [
        executor.create_task_queue(Shares::Static(1000), Latency::Matters(preempt), "serve"),
        executor.create_task_queue(Shares::Static(600), Latency::NotImportant, "tail"),
        executor.create_task_queue(Shares::Static(200), Latency::NotImportant, "cold"),
        executor.create_task_queue(Shares::Static(60), Latency::NotImportant, "background"),
    ]
}
