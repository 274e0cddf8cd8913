//! Share groups (KIP-932): members that share partitions, each of which may be several members'.
//!
//! Whatever a group is, its records say, as with consumer groups: it only changes by [`Change`]s. What
//! its members did with which record isn't known here but to the partitions' leaders, which keep it with the
//! share coordinator; here is only whether that has a state of each partition, as none is assigned before.

mod asks;
mod assignor;
mod describe;
mod heartbeat;
mod member;
mod record;
mod states;
mod target;

use std::collections::BTreeMap;
use std::rc::Rc;

use coordinator::{Record, World};
use kafka_protocol::ResponseError;
use uuid::Uuid;

pub(crate) use record::{Change, is_known};

use crate::Effect;
use crate::assign::Partitions;
use crate::consumer::Refusal;
use crate::settings::ShareSettings;
use crate::timers::Timers;
use member::{LEAVING, Member, Standing};
use record::States;

/// The type of the protocol, as groups are listed.
pub(crate) const PROTOCOL_TYPE: &str = "share";

/// What a group's step may look at, and where what comes of it goes.
pub(crate) struct Step<'a, 'w> {
    /// The world.
    pub world: &'a mut World<'w>,
    /// The settings.
    pub settings: &'a ShareSettings,
    /// How large a record may be, in bytes.
    pub record_max: usize,
    /// What is to be appended.
    pub records: &'a mut Vec<Record>,
    /// What is to be done once that is committed.
    pub effects: &'a mut Vec<Effect>,
}

/// A share group.
#[derive(Clone, Debug)]
pub(crate) struct ShareGroup {
    id: String,
    epoch: i32,
    hash: i64,
    assignment_epoch: i32,
    members: BTreeMap<String, Rc<Member>>,
    targets: BTreeMap<String, Rc<Partitions>>,
    states: States,
    /// How many members want each topic; none with a count of zero.
    wanted: BTreeMap<String, usize>,
    /// The sessions.
    timers: Timers<String>,
    /// The version of the topics that the hash was made of.
    topics_version: Option<i64>,
    /// Whether the assignment may lack something that could be assigned by now.
    may_lack: bool,
    /// The version of the topics with which every wanted partition has its state.
    settled_version: Option<i64>,
    /// When the state of partitions of a topic was last asked for, by
    /// [`Now::mono_ms`](coordinator::Now::mono_ms).
    asked_ms: BTreeMap<Uuid, u64>,
    /// When the next assignment may be made, by the same clock.
    assign_after_ms: u64,
}

impl ShareGroup {
    /// A group without anybody.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: 0,
            hash: 0,
            assignment_epoch: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            states: States::default(),
            wanted: BTreeMap::new(),
            timers: Timers::default(),
            topics_version: None,
            may_lack: true,
            settled_version: None,
            asked_ms: BTreeMap::new(),
            assign_after_ms: 0,
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether somebody wants a topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.wanted.contains_key(topic)
    }

    /// Whether nothing was ever written of it.
    fn is_unwritten(&self) -> bool {
        self.epoch == 0 && self.members.is_empty()
    }

    /// The name of its state.
    pub(crate) fn state(&self) -> &'static str {
        match self.members.is_empty() {
            true => "Empty",
            false => "Stable",
        }
    }

    /// Takes a record of the log, or of a step. `false`: the group is no more.
    pub(crate) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Epoch(Some((epoch, hash))) => (self.epoch, self.hash) = (*epoch, *hash),
            Change::Epoch(None) => return false,
            Change::Member(id, Some(about)) => {
                let at = self.members.get(id).map(|member| member.at.clone());
                let member = Member {
                    about: about.clone(),
                    at: at.unwrap_or_default(),
                };
                self.put(id, Some(member));
            }
            Change::Member(id, None) => self.put(id, None),
            Change::AssignmentEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or(-1),
            Change::Target(id, Some(partitions)) => {
                self.targets.insert(id.clone(), Rc::new(partitions.clone()));
                self.may_lack = true;
            }
            Change::Target(id, None) => {
                self.targets.remove(id);
                self.may_lack = true;
            }
            Change::Standing(id, at) => self.stand(id, at.as_ref()),
            Change::States(states) => {
                self.states = states.clone().unwrap_or_default();
                self.may_lack = true;
                self.settled_version = None;
            }
        }
        true
    }

    fn stand(&mut self, id: &str, at: Option<&Standing>) {
        let about = match self.members.get(id) {
            Some(member) => member.about.clone(),
            // Compaction may have kept what it had, but not that it left.
            None if at.is_none() => return,
            None => Default::default(),
        };
        let gone = || Standing {
            epoch: LEAVING,
            previous_epoch: LEAVING,
            ..Standing::default()
        };
        let at = at.map_or_else(gone, Clone::clone);
        self.put(id, Some(Member { about, at }));
    }

    fn put(&mut self, id: &str, member: Option<Member>) {
        let member = member.map(Rc::new);
        let old = match &member {
            Some(member) => self.members.insert(id.to_owned(), member.clone()),
            None => self.members.remove(id),
        };
        let topics = |member: &Option<Rc<Member>>| {
            let topics = member.as_ref().map(|member| member.about.topics.clone());
            topics.unwrap_or_default()
        };
        let (had, has) = (topics(&old), topics(&member));
        for topic in has.difference(&had) {
            *self.wanted.entry(topic.clone()).or_default() += 1;
            self.settled_version = None;
        }
        for topic in had.difference(&has) {
            if let Some(count) = self.wanted.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    self.wanted.remove(topic);
                }
            }
        }
    }

    /// Makes a change and writes it down.
    fn change(&mut self, step: &mut Step<'_, '_>, change: Change) {
        step.records.push(change.record(&self.id));
        self.apply(&change);
    }

    fn member(&self, id: &str) -> Result<&Rc<Member>, Refusal> {
        self.members.get(id).ok_or_else(|| {
            Refusal::new(
                ResponseError::UnknownMemberId,
                format!("Member {id} is not a member of group {}.", self.id),
            )
        })
    }

    fn put_off(&mut self, step: &Step<'_, '_>, id: &str) {
        let timeout_ms = u64::try_from(step.settings.session_timeout_ms).unwrap_or(0);
        let due_ms = step.world.now.mono_ms.saturating_add(timeout_ms);
        self.timers.set(id.to_owned(), due_ms);
    }

    /// Begins the sessions of a group that was replayed.
    pub(crate) fn loaded(&mut self, step: &mut Step<'_, '_>) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.put_off(step, &id);
        }
    }

    /// Takes out those of whom nothing was heard.
    pub(crate) fn tick(&mut self, step: &mut Step<'_, '_>) {
        while let Some(id) = self.timers.pop(step.world.now.mono_ms) {
            if self.members.contains_key(&id) {
                self.fence(step, &id);
            }
        }
    }

    /// When [`tick`](Self::tick) is due, in milliseconds of the clock that never jumps.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Writes that the group is no more.
    pub(crate) fn write_tombstones(&self, step: &mut Step<'_, '_>) {
        let mut write = |change: Change| step.records.push(change.record(&self.id));
        // What was left of members by a compaction in part.
        for id in self.targets.keys() {
            write(Change::Target(id.clone(), None));
        }
        write(Change::AssignmentEpoch(None));
        write(Change::States(None));
        write(Change::Epoch(None));
    }
}
