//! One share-partition: its core, what waits for it, its timer.
//!
//! Owns the core from when its state is read ([`super::loading`]) until this node doesn't lead the partition in the same
//! epoch any more, its state is changed from elsewhere, or its group has gone. Changes are stored one write after the
//! other ([`super::storing`]); who waits for one is told what became of it. Whatever makes records free that
//! somebody may wait for wakes the waiters.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_lite::future::or;
use kafka_protocol::ResponseError;
use rt::sync::{Notify, oneshot};
use share::TopicIdPartition;
use share::partition::{SharePartition, Ticket};

use super::settings::GroupSettings;
use crate::partition::{Partition, PartitionId, Waiter, Waiters, clock_ms};
use crate::shard::Shard;

/// What becomes of a change that was asked for.
pub(super) type Outcome = Result<(), ResponseError>;

/// How far a share-partition is.
pub(super) enum Stage {
    /// Its state is being read.
    Loading,
    /// It serves.
    Serving(Box<SharePartition>),
    /// It is none any more, for this reason.
    Ended(ResponseError),
}

struct State {
    stage: Stage,
    waiters: Waiters,
    /// Who waits for a write, by its ticket.
    told: BTreeMap<Ticket, Vec<oneshot::Sender<Outcome>>>,
    /// When the timer's task wakes; none if there is no such task.
    armed_ms: Option<u64>,
    /// Whether a task stores changes.
    storing: bool,
    /// Whether it is to end when all is stored.
    retiring: bool,
}

/// One share-partition on the shard that owns the partition.
pub(super) struct SharePart {
    group: Rc<str>,
    pub(super) partition: Rc<Partition>,
    pub(super) leader_epoch: i32,
    shard: Weak<Shard>,
    state: RefCell<State>,
    /// Counts the times that waiters were woken.
    round: Cell<u64>,
    /// Whether somebody reads for it from the drive, and whether somebody else came meanwhile.
    reading: Cell<Option<bool>>,
    timer: Notify,
}

/// Holds a share-partition's place for one reader.
pub(super) struct Reading<'a>(&'a SharePart);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.0.reading.take() == Some(true) {
            self.0.wake();
        }
    }
}

impl SharePart {
    /// One whose state isn't known yet; [`begin`](Self::begin) reads it.
    pub(super) fn new(shard: &Rc<Shard>, group: &Rc<str>, partition: Rc<Partition>) -> Rc<Self> {
        let state = State {
            stage: Stage::Loading,
            waiters: Waiters::default(),
            told: BTreeMap::new(),
            armed_ms: None,
            storing: false,
            retiring: false,
        };
        Rc::new(Self {
            group: Rc::clone(group),
            leader_epoch: partition.leader_epoch(),
            partition,
            shard: Rc::downgrade(shard),
            state: RefCell::new(state),
            round: Cell::new(0),
            reading: Cell::new(None),
            timer: Notify::new(),
        })
    }

    /// The group.
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// The partition.
    pub(super) fn id(&self) -> PartitionId {
        self.partition.id()
    }

    /// The partition, as its share coordinator knows it.
    pub(super) fn of(&self) -> TopicIdPartition {
        let PartitionId { topic_id, index } = self.id();
        TopicIdPartition {
            topic_id,
            partition: index,
        }
    }

    /// Its shard, unless that is gone.
    pub(super) fn shard(&self) -> Option<Rc<Shard>> {
        self.shard.upgrade()
    }

    /// Whether what is known here is still that of the partition's leader.
    pub(super) fn is_current(&self, partition: &Partition) -> bool {
        std::ptr::eq(&raw const *self.partition, partition)
            && partition.is_leader()
            && partition.leader_epoch() == self.leader_epoch
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Ended(_))
    }

    /// Whether it is to end.
    pub(super) fn is_retiring(&self) -> bool {
        self.state.borrow().retiring
    }

    /// How many records are between the first that isn't done and the last that was given out.
    pub(super) fn in_flight(&self) -> u64 {
        match &self.state.borrow().stage {
            Stage::Serving(core) => core.in_flight(),
            Stage::Loading | Stage::Ended(_) => 0,
        }
    }

    /// Counts the times that waiters were woken: who saw nothing, and finds the same number, may wait.
    pub(super) fn round(&self) -> u64 {
        self.round.get()
    }

    /// Adds a fetch that waits for records to be free.
    pub(super) fn watch(&self, waiter: &Rc<Waiter>) {
        self.state.borrow_mut().waiters.add(waiter);
    }

    /// Has all who wait look again.
    pub(super) fn wake(&self) {
        self.round.set(self.round.get() + 1);
        self.state.borrow_mut().waiters.wake_all();
    }

    /// Its place for one who reads from the log; none if somebody has it.
    pub(super) fn read(&self) -> Option<Reading<'_>> {
        let free = self.reading.get().is_none();
        self.reading.set(Some(!free));
        free.then(|| Reading(self))
    }

    /// Looks at the core, or changes it without making anything free; none while it doesn't serve.
    ///
    /// # Errors
    /// Why it has ended.
    pub(super) fn with<R>(
        self: &Rc<Self>,
        look: impl FnOnce(&mut SharePartition) -> R,
    ) -> Result<Option<R>, ResponseError> {
        let looked = match &mut self.state.borrow_mut().stage {
            Stage::Serving(core) => look(core),
            Stage::Loading => return Ok(None),
            Stage::Ended(why) => return Err(*why),
        };
        self.arm();
        Ok(Some(looked))
    }

    /// Changes the core: stores what is to be stored, and wakes who waits if that made records free.
    ///
    /// # Errors
    /// Why it has ended.
    pub(super) fn step<R>(
        self: &Rc<Self>,
        change: impl FnOnce(&mut SharePartition) -> R,
    ) -> Result<Option<R>, ResponseError> {
        let changed = self.with(change)?;
        if changed.is_some() {
            self.store();
            self.wake_if_free();
        }
        Ok(changed)
    }

    /// What tells what becomes of a write.
    pub(super) fn until(&self, ticket: Ticket) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot();
        let mut state = self.state.borrow_mut();
        state.told.entry(ticket).or_default().push(sender);
        receiver
    }

    /// Takes up the state that was read.
    pub(super) fn serve(self: &Rc<Self>, core: SharePartition) {
        {
            let mut state = self.state.borrow_mut();
            if !matches!(state.stage, Stage::Loading) {
                return;
            }
            state.stage = Stage::Serving(Box::new(core));
        }
        self.wake();
    }

    /// Ends it, if it hasn't: whoever waits is told why.
    pub(super) fn end(&self, why: ResponseError) {
        let told = {
            let mut state = self.state.borrow_mut();
            if !matches!(state.stage, Stage::Ended(_)) {
                state.stage = Stage::Ended(why);
            }
            std::mem::take(&mut state.told)
        };
        for waiting in told.into_values().flatten() {
            // Who asked may be gone.
            let _ = waiting.send(Err(why));
        }
        self.timer.notify_one();
        self.wake();
    }

    /// Ends it as soon as all is stored.
    pub(super) fn retire(self: &Rc<Self>) {
        self.state.borrow_mut().retiring = true;
        self.end_if_stored();
    }

    /// Ends it if it is to end and all is stored.
    pub(super) fn end_if_stored(self: &Rc<Self>) {
        let over = {
            let state = self.state.borrow();
            state.retiring && !state.storing
        };
        if over && let Some(shard) = self.shard() {
            // Whoever comes now finds a new one.
            shard.shares.end(self, ResponseError::NotLeaderOrFollower);
        }
    }

    /// A task begins to store changes; false if one does already.
    pub(super) fn begin_storing(&self) -> bool {
        !std::mem::replace(&mut self.state.borrow_mut().storing, true)
    }

    /// All is stored for now.
    pub(super) fn stored(&self) {
        self.state.borrow_mut().storing = false;
    }

    /// Tells those who wait for a write what became of it.
    pub(super) fn tell(&self, ticket: Ticket, outcome: Outcome) {
        let told = self.state.borrow_mut().told.remove(&ticket);
        for waiting in told.into_iter().flatten() {
            // Who asked may be gone.
            let _ = waiting.send(outcome);
        }
    }

    /// Wakes those who wait if there is something for them. That it is committed, too, they see themselves.
    pub(super) fn wake_if_free(&self) {
        let visible_end = self.partition.high_watermark();
        let free = match &self.state.borrow().stage {
            Stage::Serving(core) => core.next_fetch().is_some_and(|at| at < visible_end),
            Stage::Loading | Stage::Ended(_) => false,
        };
        if free {
            self.wake();
        }
    }

    /// Sees to it that the core's deadline is kept.
    fn arm(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let Stage::Serving(core) = &state.stage else {
            return;
        };
        let Some(due) = core.deadline() else {
            return;
        };
        match state.armed_ms {
            Some(armed) if armed <= due => {}
            Some(_) => self.timer.notify_one(),
            None => {
                state.armed_ms = Some(due);
                rt::task::spawn(Rc::clone(self).keep_time()).detach();
            }
        }
    }

    /// Takes back records whose time is over, as long as any are out.
    async fn keep_time(self: Rc<Self>) {
        loop {
            let due = {
                let mut state = self.state.borrow_mut();
                let due = match &state.stage {
                    Stage::Serving(core) => core.deadline(),
                    Stage::Loading | Stage::Ended(_) => None,
                };
                state.armed_ms = due;
                due
            };
            let Some(due) = due else { return };
            let now = clock_ms();
            if due > now {
                let time = rt::time::sleep(Duration::from_millis(due - now));
                or(time, self.timer.notified()).await;
            } else if self.step(|core| core.tick(now)).is_err() {
                return;
            }
        }
    }

    /// The settings of the group, in force now.
    pub(super) fn settings(&self) -> Option<GroupSettings> {
        Some(self.shard()?.share_settings(&self.group))
    }
}
