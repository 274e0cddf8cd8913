//! Groups of the consumer protocol (KIP-848): the broker assigns the partitions, and each member is brought
//! from what it has to what it shall have by its own heartbeats.
//!
//! Whatever a group is, its records say: it only changes by [`Change`]s, which are applied as they are
//! written, and applied again when the log is replayed. What isn't in them (timers, when something was last
//! looked at) may be lost at any time.

mod asks;
mod classic;
mod convert;
mod counts;
mod describe;
mod fence;
mod heartbeat;
mod member;
mod reconcile;
mod record;
mod regexes;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;

use coordinator::{Record, World};
use kafka_protocol::ResponseError;
use uuid::Uuid;

pub(crate) use convert::{Convertible, ConvertibleMember};
pub(crate) use heartbeat::validate;
pub(crate) use record::{Change, is_known, read_partitions, write_partitions};

use crate::assign::Partitions;
use crate::settings::ConsumerSettings;
use crate::timers::Timers;
use counts::Counts;
use member::{LEAVING, Member, Standing};
use record::Resolved;

/// Why something isn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As a number of Kafka's.
    pub error: ResponseError,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
        }
    }
}

/// What a group's step may look at, and where its records go.
pub(crate) struct Step<'a, 'w> {
    /// The world.
    pub world: &'a mut World<'w>,
    /// The settings.
    pub settings: &'a ConsumerSettings,
    /// `group.max.size`: the most members that a group may have to become a classic one.
    pub classic_max_size: usize,
    /// What is to be appended.
    pub records: &'a mut Vec<Record>,
}

/// What a timer of a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Nothing was heard of it.
    Session,
    /// It didn't give its partitions up.
    Rebalance,
    /// It speaks the classic protocol and didn't join again.
    Join,
    /// It speaks the classic protocol and didn't ask for its assignment.
    Sync,
}

/// What else happened to a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Stays,
    /// Only members of the classic protocol are left: its records are gone, and it is a classic group of
    /// these from now on, which rebalances.
    Downgraded(Convertible),
}

/// A consumer group.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    id: String,
    epoch: i32,
    hash: i64,
    assignment_epoch: i32,
    members: BTreeMap<String, Rc<Member>>,
    targets: BTreeMap<String, Rc<Partitions>>,
    regexes: BTreeMap<String, Resolved>,
    has_partition_metadata: bool,
    /// What can be counted from the above.
    counts: Counts,
    timers: Timers<(String, Timer)>,
    /// The version of the topics that the hash was made of.
    topics_version: Option<i64>,
    /// When the topics may be matched against regular expressions again, and the version they were last.
    regexes_after_ms: u64,
    regexes_version: Option<i64>,
    /// When the next assignment may be made, by [`Now::mono_ms`](coordinator::Now::mono_ms).
    assign_after_ms: u64,
}

impl ConsumerGroup {
    /// A group without anybody.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: 0,
            hash: 0,
            assignment_epoch: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            has_partition_metadata: false,
            counts: Counts::default(),
            timers: Timers::default(),
            topics_version: None,
            regexes_after_ms: 0,
            regexes_version: None,
            assign_after_ms: 0,
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether somebody wants a topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.counts.names.contains_key(topic)
    }

    /// Whether nothing was ever written of it.
    fn is_unwritten(&self) -> bool {
        self.epoch == 0 && self.members.is_empty()
    }

    /// The name of its state.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.counts.stable_at(self.assignment_epoch) == self.members.len() {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Takes a record of the log, or of a step. `false`: the group is no more.
    pub(crate) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Epoch(Some((epoch, hash))) => (self.epoch, self.hash) = (*epoch, *hash),
            Change::Epoch(None) => return false,
            Change::PartitionMetadata(there) => self.has_partition_metadata = *there,
            Change::Member(id, Some(about)) => {
                let at = self.standing(id);
                self.put(
                    id,
                    Some(Member {
                        about: about.clone(),
                        at,
                    }),
                );
            }
            Change::Member(id, None) => self.put(id, None),
            Change::AssignmentEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or(-1),
            Change::Target(id, Some(partitions)) => {
                self.targets.insert(id.clone(), Rc::new(partitions.clone()));
            }
            Change::Target(id, None) => {
                self.targets.remove(id);
            }
            Change::Standing(id, at) => self.stand(id, at.as_ref()),
            Change::Regex(regex, resolved) => {
                let old = match resolved {
                    Some(resolved) => self.regexes.insert(regex.clone(), resolved.clone()),
                    None => self.regexes.remove(regex),
                };
                self.counts.resolve(old.as_ref(), resolved.as_ref());
            }
        }
        true
    }

    fn standing(&self, id: &str) -> Standing {
        let member = self.members.get(id);
        member.map_or_else(Standing::default, |member| member.at.clone())
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
        self.counts.replace(id, old.as_deref(), member.as_deref());
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

    /// The member that has an instance.
    fn member_of_instance(&self, instance: &str) -> Option<(&str, &Rc<Member>)> {
        let id = self.counts.instances.get(instance)?;
        self.members
            .get_key_value(id)
            .map(|(id, member)| (id.as_str(), member))
    }

    fn is_taken(&self, topic: Uuid, partition: i32) -> bool {
        self.counts.owned.contains_key(&(topic, partition))
    }

    fn set_timer(&mut self, step: &Step<'_, '_>, id: &str, timer: Timer, after_ms: i32) {
        let at = step.world.now.mono_ms + u64::try_from(after_ms).unwrap_or(0);
        self.timers.set((id.to_owned(), timer), at);
    }

    /// Begins the timers of a group that was replayed.
    pub(crate) fn loaded(&mut self, step: &mut Step<'_, '_>) {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.clone()))
            .collect();
        for (id, member) in members {
            self.set_timer(
                step,
                &id,
                Timer::Session,
                member.session_timeout_ms(step.settings),
            );
            if member.at.state == member::State::UnrevokedPartitions
                && member.about.classic.is_none()
            {
                self.set_timer(
                    step,
                    &id,
                    Timer::Rebalance,
                    member.about.rebalance_timeout_ms,
                );
            }
        }
    }

    /// When [`tick`](Self::tick) is due, in milliseconds of the clock that never jumps.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.timers.next_ms()
    }
}

impl Member {
    fn session_timeout_ms(&self, settings: &ConsumerSettings) -> i32 {
        match &self.about.classic {
            Some(classic) => classic.session_timeout_ms,
            None => settings.session_timeout_ms,
        }
    }
}
