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
use std::time::{Duration, Instant};

use glommio::{Latency, Shares, TaskQueueHandle};

use crate::bell::{self, Bell, SeatCell};
use crate::file::BufferStats;
use crate::pool::{Affinity, Pool};
use crate::task::Class;

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// How often an idle executor wakes itself; see [`Turn`].
const HEARTBEAT: Duration = Duration::from_millis(100);

/// How long this turn of the reactor has run tasks.
///
/// glommio's own preempt timer is switched off. When it fires between the poll
/// of the reactor and the first task (at 1 ms and on a busy machine: often),
/// glommio takes the turn for an idle one and goes to sleep with tasks ready to
/// run, until something else happens, perhaps for ever. A turn then ends only
/// when nothing is ready, so tasks that may hold up others measure it here.
///
/// What else can set off the same mistake (the late answer to a connect that
/// was given up) is rare, and a heartbeat ends it.
struct Turn {
    slice: Duration,
    number: Cell<u64>,
    /// When this turn was first looked at.
    since: Cell<Instant>,
}

impl Turn {
    fn new(slice: Duration) -> Self {
        Self {
            slice,
            number: Cell::new(0),
            since: Cell::new(Instant::now()),
        }
    }

    /// Counts the turns that were looked at.
    fn number(&self) -> u64 {
        // Taking the statistics clears them, and glommio adds the run time at
        // the end of each turn. Nobody else may take them.
        let ended = !glommio::executor()
            .executor_stats()
            .total_runtime()
            .is_zero();
        if ended {
            self.number.set(self.number.get() + 1);
            self.since.set(Instant::now());
        }
        self.number.get()
    }

    fn is_over(&self) -> bool {
        self.number();
        self.since.get().elapsed() >= self.slice
    }
}

pub(crate) struct Local {
    turn: Turn,
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

    /// Whether a task of this queue steps back when a turn takes too long.
    pub(crate) fn steps_back(&self, queue: TaskQueueHandle) -> bool {
        self.queues[1..].contains(&queue)
    }

    /// Whether tasks have run for so long that the reactor should be looked at.
    pub(crate) fn turn_is_over(&self) -> bool {
        self.turn.is_over()
    }

    /// Tells one turn of the reactor from the next.
    pub(crate) fn turn_number(&self) -> u64 {
        self.turn.number()
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
    tasks: Vec<glommio::Task<()>>,
}

/// Makes the state of this executor. Must run inside the executor's main task.
pub(crate) fn enter(name: &str, preempt: Duration, affinity: Affinity) -> io::Result<Entered> {
    let local = Rc::new(Local {
        turn: Turn::new(preempt),
        queues: make_queues(),
        bell: Arc::default(),
        seats: RefCell::default(),
        next_seat: Cell::new(0),
        pool: Pool::start(name, affinity)?,
        buffers: Cell::default(),
        disarmed: RefCell::default(),
    });
    LOCAL.with(|slot| slot.replace(Some(Rc::clone(&local))));
    let pump = glommio::spawn_local(bell::pump(Rc::clone(&local)));
    let heartbeat = glommio::spawn_local(async {
        loop {
            glommio::timer::sleep(HEARTBEAT).await;
        }
    });
    Ok(Entered {
        local,
        tasks: vec![pump, heartbeat],
    })
}

impl Entered {
    /// Ends the tasks of this module and waits for them, so that nothing of
    /// them leaks.
    pub(crate) async fn leave(mut self) {
        self.local.bell.silence();
        for task in std::mem::take(&mut self.tasks) {
            task.cancel().await;
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

fn make_queues() -> [TaskQueueHandle; 4] {
    let executor = glommio::executor();
    // In the order of `Class`. A thousand is the most glommio knows. A queue
    // whose latency matters would switch on the timer that `Turn` replaces.
    [
        (1000, "serve"),
        (600, "tail"),
        (200, "cold"),
        (60, "background"),
    ]
    .map(|(shares, name)| {
        executor.create_task_queue(Shares::Static(shares), Latency::NotImportant, name)
    })
}
