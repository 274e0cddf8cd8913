//! The log of one partition on one drive.
//!
//! A [`Log`] belongs to the shard of its drive and never leaves it. Appending is one synchronous
//! step; a writer task, alive only while there is something to write, carries the tail to the
//! drive and tells the [`LogOwner`] when an end moves. Reads of recent records come from memory,
//! older ones through a [`ColdRead`].
//!
//! What it must never do: hold a borrow across an await; acknowledge (let `written` or `flushed`
//! pass) what a kill or, for `flushed`, a power loss could take back; believe an index over the
//! bytes of the log.

mod aborted;
mod append;
mod checkpoint;
mod close;
mod compact;
mod flush;
mod keep;
mod lookup;
mod open;
mod read;
mod rewrite;
mod round;
mod state;
mod swap;
mod time;
mod truncate;
mod writer;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use rt::sync::{Credit, Notify};

use crate::budget::Evict;
use crate::config::LogConfig;
use crate::drive::DriveInner;
use crate::end::LogEnd;
use crate::error::{DriveFailed, LogError, LogFailure};
use crate::metrics::{Counters, LogMetrics};
use crate::name::LogName;

pub use compact::{Compacted, Round};
pub use keep::Retained;
pub use open::ReplayEvent;
pub use read::{ColdRead, Read};
pub(crate) use state::{State, Status};
pub use time::TimedOffset;

/// Whoever a log belongs to. Called with no borrow held; may call the log.
pub trait LogOwner {
    /// An end moved: something was written or flushed.
    fn moved(&self, end: LogEnd);
    /// The log could not keep what was appended.
    fn failed(&self, failure: &LogFailure);
    /// The owner's state as of everything appended; asked for at a checkpoint and at a close, and
    /// given back when the log is opened. `None` where there is nothing to keep.
    fn snapshot(&self) -> Option<Bytes>;
}

/// A log. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct Log(pub(crate) Rc<LogInner>);

/// What a log's handle and tasks share.
pub(crate) struct LogInner {
    pub(crate) name: LogName,
    pub(crate) folder: PathBuf,
    pub(crate) drive: Rc<DriveInner>,
    pub(crate) config: RefCell<LogConfig>,
    pub(crate) state: RefCell<State>,
    pub(crate) owner: RefCell<Option<Weak<dyn LogOwner>>>,
    /// Whether there is state that only an owner can tell: no checkpoint without it.
    pub(crate) owned: Cell<bool>,
    /// Told whenever anything changes that a task of the log may wait for.
    pub(crate) progress: Notify,
    /// Held while the log's small files are written.
    pub(crate) files: Credit,
    pub(crate) tasks: Tasks,
    pub(crate) counters: Counters,
    this: Weak<Self>,
}

/// Which tasks run, and what they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) writer: Cell<bool>,
    pub(crate) flusher: Cell<bool>,
    pub(crate) flush_wanted: Cell<bool>,
    pub(crate) flush_timer: Cell<bool>,
    pub(crate) checkpointer: Cell<bool>,
    pub(crate) checkpoint_wanted: Cell<bool>,
    pub(crate) compacting: Cell<bool>,
    /// How many there are that want no compaction now.
    pub(crate) compaction_holds: Cell<usize>,
}

impl LogInner {
    pub(crate) fn new(
        name: LogName,
        folder: PathBuf,
        drive: &Rc<DriveInner>,
        config: LogConfig,
        state: State,
        owned: bool,
    ) -> Rc<Self> {
        let inner = Rc::new_cyclic(|this| Self {
            name,
            folder,
            drive: Rc::clone(drive),
            config: RefCell::new(config),
            state: RefCell::new(state),
            owner: RefCell::new(None),
            owned: Cell::new(owned),
            progress: Notify::new(),
            files: Credit::new(1),
            tasks: Tasks::default(),
            counters: Counters::default(),
            this: this.clone(),
        });
        drive.register(Rc::downgrade(&inner));
        inner
    }

    /// A handle to this log. There is one as long as anybody can call this.
    pub(crate) fn handle(&self) -> Rc<Self> {
        match self.this.upgrade() {
            Some(handle) => handle,
            None => unreachable!("a log that is called exists"),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().status == Status::Closed
    }

    /// An error unless the log may still be worked on.
    pub(crate) fn check_usable(&self) -> Result<(), LogError> {
        match &self.state.borrow().status {
            Status::Open | Status::Closing => Ok(()),
            Status::Closed => Err(LogError::Closed {
                log: self.name.to_string(),
            }),
            Status::Failed(failed) => Err(LogError::DriveFailed(failed.clone())),
        }
    }

    /// Calls the owner, if there is one.
    pub(crate) fn tell(&self, what: impl FnOnce(&dyn LogOwner)) {
        let owner = self.owner.borrow().as_ref().and_then(Weak::upgrade);
        if let Some(owner) = owner {
            what(&*owner);
        }
    }

    /// Tells the owner and the waiting tasks that an end moved.
    pub(crate) fn announce(&self) {
        let end = self.state.borrow().end;
        self.tell(|owner| owner.moved(end));
        self.progress.notify_waiters();
    }

    /// Takes the log offline.
    pub(crate) fn drive_failed(&self, failed: &DriveFailed) {
        {
            let state = &mut *self.state.borrow_mut();
            if matches!(state.status, Status::Closed | Status::Failed(_)) {
                return;
            }
            state.status = Status::Failed(failed.clone());
        }
        if !self.tasks.writer.get() {
            self.drop_tail();
        }
        self.progress.notify_waiters();
        self.tell(|owner| owner.failed(&LogFailure::DriveFailed(failed.clone())));
    }

    /// Lets go of the whole tail, written or not.
    pub(crate) fn drop_tail(&self) {
        let (unwritten, written) = {
            let tail = &mut self.state.borrow_mut().tail;
            (tail.take_back(), tail.evict(i64::MAX))
        };
        let budget = &self.drive.config.tail;
        budget.release(unwritten, false);
        budget.release(written, true);
    }
}

impl Evict for LogInner {
    fn evict(&self, upto: i64) {
        let freed = self.state.borrow_mut().tail.evict(upto);
        self.drive.config.tail.release(freed, true);
    }

    fn holds(&self, upto: i64) -> bool {
        self.state.borrow().tail.holds(upto)
    }
}

impl Drop for LogInner {
    fn drop(&mut self) {
        self.drop_tail();
    }
}

impl fmt::Debug for LogInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Log {
    /// Which log it is.
    pub fn name(&self) -> &LogName {
        &self.0.name
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.0.folder
    }

    /// Sets who is told of its ends. Call it before the first append, and keep the owner until the
    /// log is closed: a log that was opened, or had an owner, writes no checkpoint without one.
    pub fn set_owner(&self, owner: Weak<dyn LogOwner>) {
        self.0.owned.set(true);
        *self.0.owner.borrow_mut() = Some(owner);
        // What recovery found is made certain as soon as the owner can give its state.
        let recovered = self.0.state.borrow().since_checkpoint > 0;
        if recovered {
            self.0.want_checkpoint();
        }
    }

    /// Its settings.
    pub fn config(&self) -> LogConfig {
        self.0.config.borrow().clone()
    }

    /// Changes its settings.
    pub fn set_config(&self, config: LogConfig) {
        *self.0.config.borrow_mut() = config;
    }

    /// How far it has come.
    pub fn end(&self) -> LogEnd {
        self.0.state.borrow().end
    }

    /// The end that its settings call stored: flushed with `flush.messages` of 1, else written.
    /// Nothing below it is lost by what that setting is meant to survive.
    pub fn stable_end(&self) -> i64 {
        self.0.stable_end()
    }

    /// The first offset it still has.
    pub fn log_start(&self) -> i64 {
        self.0.state.borrow().start
    }

    /// Bytes of its record batches.
    pub fn size_bytes(&self) -> u64 {
        self.0.state.borrow().size
    }

    /// How many segments it has.
    pub fn segments(&self) -> usize {
        self.0.state.borrow().segments.len()
    }

    /// Bytes appended and not yet written.
    pub fn backlog(&self) -> usize {
        self.0.state.borrow().tail.backlog()
    }

    /// Bytes written since its last checkpoint: what a start after a kill would read.
    pub fn unchecked_bytes(&self) -> u64 {
        self.0.state.borrow().since_checkpoint
    }

    /// What it did so far.
    pub fn metrics(&self) -> LogMetrics {
        self.0.counters.get()
    }

    /// The greatest leader epoch not above `epoch`, and where it ends; -1 and -1 where it isn't
    /// known. Kafka's OffsetForLeaderEpoch.
    pub fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let state = self.0.state.borrow();
        state.epochs.end_of(epoch, state.end.appended())
    }

    /// The latest leader epoch.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.0.state.borrow().epochs.latest()
    }

    /// Notes that `epoch` begins at `start`. Kept in memory until the next checkpoint; the
    /// batches say it too.
    pub fn assign_epoch(&self, epoch: i32, start: i64) {
        let state = &mut *self.0.state.borrow_mut();
        if state.epochs.assign(epoch, start) {
            state.epochs_changed = true;
            state.changed = true;
        }
    }
}

impl LogInner {
    pub(crate) fn stable_end(&self) -> i64 {
        let end = self.state.borrow().end;
        if self.config.borrow().flush_messages <= 1 {
            end.flushed()
        } else {
            end.written()
        }
    }
}
