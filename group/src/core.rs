//! The coordinator of one partition of `__consumer_offsets`.

use coordinator::{Core, Out, Replayed, Token, World};

use crate::ask::{Ask, Reply, ShareStart};
use crate::settings::Settings;
use crate::state::{Figures, State};
use crate::step::{Name, Step};
use crate::timers::Timers;

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The session of a member of a classic group, or of one that was given an id and hasn't joined.
    Session(Name, Name),
    /// The end of a classic group's joining.
    Join(Name),
    /// The end of the time in which the members of a classic group have to ask for their assignment.
    Sync(Name),
    /// Whatever is due first in a consumer group.
    Consumer(Name),
    /// Whatever is due first in a share group.
    Share(Name),
}

/// The start offset of a share-partition that is where `share.auto.offset.reset` says.
pub const NO_START_OFFSET: i64 = -1;

/// What the coordinator of groups wants done elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The share coordinator is to make the states of share-partitions. What came of it is told by
    /// [`ShareAsk::Initialized`](crate::ShareAsk::Initialized) or
    /// [`ShareAsk::NotInitialized`](crate::ShareAsk::NotInitialized).
    InitializeShare {
        /// The group.
        group: String,
        /// The epoch of the states: the group's.
        state_epoch: i32,
        /// The partitions, and where each begins.
        partitions: Vec<ShareStart>,
    },
}

/// The coordinator of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Groups {
    settings: Settings,
    timers: Timers<Timer>,
    state: State,
}

impl Groups {
    /// When the next timer of a group is due.
    #[cfg(test)]
    pub(crate) fn deadline_of_groups(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// What was done, and what there is. Looks at every group.
    pub fn figures(&self) -> Figures {
        self.state.figures()
    }
}

impl Core for Groups {
    type Ask = Ask;
    type Reply = Reply;
    type Effect = Effect;
    type Settings = Settings;

    fn new(settings: Settings) -> Self {
        Self {
            settings,
            timers: Timers::default(),
            state: State::default(),
        }
    }

    fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        self.state.replay(record).map_err(|error| error.to_string())
    }

    fn transaction_ended(&mut self, producer_id: i64, epoch: i16, committed: bool) {
        self.state
            .offsets
            .transaction_ended(producer_id, epoch, committed);
    }

    fn loaded(&mut self, world: &mut World<'_>, out: &mut Out<Self>) {
        let step = &mut Step::new(world, &self.settings, &mut self.timers, out);
        self.state.loaded_classic(step);
        self.state.loaded_consumer(step);
        self.state.loaded_share(step);
        self.state.sweeps.begin(step);
    }

    fn ask(&mut self, world: &mut World<'_>, from: Token, ask: Ask, out: &mut Out<Self>) {
        let step = &mut Step::new(world, &self.settings, &mut self.timers, out);
        let state = &mut self.state;
        match ask {
            Ask::Join(asker, version, request) => state.join(step, from, &asker, version, request),
            Ask::Sync(version, request) => state.sync(step, from, version, &request),
            Ask::Heartbeat(request) => state.heartbeat(step, from, &request),
            Ask::Leave(version, request) => state.leave(step, from, version, request),
            Ask::Commit(version, request) => state.commit(step, from, version, request),
            Ask::TxnCommit(_, request) => {
                state.commit_of_transaction(step, from, request);
            }
            Ask::Fetch {
                group,
                require_stable,
            } => state.fetch(step, from, group, require_stable),
            Ask::DeleteOffsets(request) => state.delete_offsets(step, from, &request),
            Ask::List { states, types } => state.list(step, from, &states, &types),
            Ask::Describe(group, version) => state.describe(step, from, group, version),
            Ask::Delete(group) => state.delete(step, from, group),
            Ask::ConsumerHeartbeat(asker, version, request) => {
                state.consumer_heartbeat(step, from, &asker, version, &request);
            }
            Ask::ConsumerDescribe(group) => state.consumer_describe(step, from, group),
            Ask::ShareHeartbeat(asker, request) => {
                state.share_heartbeat(step, from, &asker, &request);
            }
            Ask::ShareDescribe(group) => state.share_describe(step, from, group),
            Ask::Share(group, ask) => state.share(step, from, &group, ask),
        }
    }

    fn tick(&mut self, world: &mut World<'_>, out: &mut Out<Self>) {
        let step = &mut Step::new(world, &self.settings, &mut self.timers, out);
        while let Some(timer) = step.timers.pop(step.world.now.mono_ms) {
            match timer {
                Timer::Session(group, member) => self.state.session_over(step, &group, &member),
                Timer::Join(group) => self.state.join_over(step, &group),
                Timer::Sync(group) => self.state.sync_over(step, &group),
                Timer::Consumer(group) => self.state.consumer_due(step, &group),
                Timer::Share(group) => self.state.share_due(step, &group),
            }
        }
        self.state.sweep(step);
    }

    fn deadline(&self) -> Option<u64> {
        self.timers
            .next_ms()
            .into_iter()
            .chain(self.state.sweeps.next_ms())
            .min()
    }
}
