//! Who leads a partition: what becomes of it when its replicas, those in sync, or those that can
//! lead change, and the elections that are asked for. Pure, like `core`; the rules are Kafka's.

use serde::{Deserialize, Serialize};
use std::cell::OnceCell;

use uuid::Uuid;

use super::core::Controller;
use super::error::MetaError;
use super::image::Topic;
use super::record::{PartitionChangeRecord, PartitionState, Record, Resource, ResourceType};

/// The setting that allows a leader that wasn't in sync, when no other is left.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Which leader a client asks for, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i8)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred = 0,
    /// Any replica, in sync or not, where none leads. What only the others have is lost.
    Unclean = 1,
}

impl ElectionType {
    /// The election of Kafka's number.
    ///
    /// # Errors
    /// [`MetaError::InvalidRequest`] when there is none of this number.
    pub fn from_number(number: i8) -> Result<Self, MetaError> {
        match number {
            0 => Ok(Self::Preferred),
            1 => Ok(Self::Unclean),
            _ => Err(MetaError::InvalidRequest(format!(
                "{number} is no type of election"
            ))),
        }
    }
}

/// What a partition is to become. Begins as what it is; whoever has a reason changes a part of it.
pub(crate) struct Target<'a> {
    topic_id: Uuid,
    index: i32,
    now: &'a PartitionState,
    /// The replicas and the drive of each.
    pub(crate) places: Vec<(i32, Uuid)>,
    /// May become empty: then the last member stays, without leading.
    pub(crate) isr: Vec<i32>,
    pub(crate) adding: Vec<i32>,
    pub(crate) removing: Vec<i32>,
    /// Whether the first replica takes over from another that leads as well.
    pub(crate) preferred: bool,
}

impl<'a> Target<'a> {
    pub(crate) fn new(topic_id: Uuid, index: i32, now: &'a PartitionState) -> Self {
        let replicas = now.replicas.iter().copied();
        Self {
            topic_id,
            index,
            now,
            places: replicas.zip(now.directories.iter().copied()).collect(),
            isr: now.isr.clone(),
            adding: now.adding.clone(),
            removing: now.removing.clone(),
            preferred: false,
        }
    }

    /// The change that gets there, with the leader that follows from it; `None` when all stays.
    /// `can_lead` says which replica on which drive may lead, `unclean` whether one that isn't in
    /// sync may where no other can.
    pub(crate) fn decide(
        mut self,
        can_lead: impl Fn(i32, Uuid) -> bool,
        unclean: impl FnOnce() -> bool,
    ) -> Option<PartitionChangeRecord> {
        self.complete_reassignment();
        let clean_leader = self.elect(&can_lead);
        let unclean_leader = match clean_leader {
            None if unclean() => {
                // What a reassignment is bringing in has the least of the records.
                let old = |node, drive| !self.adding.contains(&node) && can_lead(node, drive);
                self.first(old).or_else(|| self.first(&can_lead))
            }
            _ => None,
        };
        if let Some(node) = unclean_leader {
            // The others may have what it hasn't: they have to take its log before they are in sync.
            self.isr = vec![node];
        } else if self.isr.is_empty() {
            self.isr.clone_from(&self.now.isr);
        }
        let leader = clean_leader.or(unclean_leader).unwrap_or(-1);
        self.change_to(leader, unclean_leader.is_some())
    }

    /// Lets go of the replicas to be removed once all others are in sync.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let stays = |node: &i32| !self.removing.contains(node);
        let places = self.places.iter().filter(|(node, _)| stays(node));
        let places: Vec<(i32, Uuid)> = places.copied().collect();
        let isr: Vec<i32> = self.isr.iter().copied().filter(stays).collect();
        if isr.is_empty() || !places.iter().all(|(node, _)| isr.contains(node)) {
            return;
        }
        self.places = places;
        self.isr = isr;
        self.adding.clear();
        self.removing.clear();
    }

    fn elect(&self, can_lead: &impl Fn(i32, Uuid) -> bool) -> Option<i32> {
        let valid = |node, drive| self.isr.contains(&node) && can_lead(node, drive);
        let first = self.first(valid);
        let preferred = self.places.first().map(|&(node, _)| node);
        if self.preferred && first == preferred {
            return first;
        }
        let stays = self.first(|node, drive| node == self.now.leader && valid(node, drive));
        stays.or(first)
    }

    fn first(&self, fits: impl Fn(i32, Uuid) -> bool) -> Option<i32> {
        let place = self.places.iter().find(|&&(node, drive)| fits(node, drive));
        place.map(|&(node, _)| node)
    }

    fn change_to(self, leader: i32, unclean: bool) -> Option<PartitionChangeRecord> {
        let now = self.now;
        let (replicas, directories): (Vec<i32>, Vec<Uuid>) = self.places.into_iter().unzip();
        // A replica that is gone must not be believed by a leader of the same epoch.
        let lost = now.replicas.iter().any(|node| !replicas.contains(node));
        let new_epoch = leader != now.leader || unclean || lost;
        let change = PartitionChangeRecord {
            topic_id: self.topic_id,
            index: self.index,
            isr: (self.isr != now.isr).then_some(self.isr),
            leader: (leader != now.leader).then_some(leader),
            leader_epoch: new_epoch.then(|| now.leader_epoch.saturating_add(1)),
            partition_epoch: now.partition_epoch,
            directories: (directories != now.directories || replicas != now.replicas)
                .then_some(directories),
            replicas: (replicas != now.replicas).then_some(replicas),
            adding: (self.adding != now.adding).then_some(self.adding),
            removing: (self.removing != now.removing).then_some(self.removing),
        };
        let nothing = PartitionChangeRecord::of(self.topic_id, self.index, now.partition_epoch);
        (change != nothing).then(|| PartitionChangeRecord {
            partition_epoch: now.partition_epoch.saturating_add(1),
            ..change
        })
    }
}

/// Whether topics allow a leader that wasn't in sync; what those without a setting of their own
/// inherit is found out once.
pub(crate) struct UncleanRule<'a> {
    controller: Controller<'a>,
    inherited: OnceCell<bool>,
}

impl UncleanRule<'_> {
    pub(crate) fn allows(&self, topic: &str) -> bool {
        let own = self
            .controller
            .image
            .config(ResourceType::Topic, topic, UNCLEAN);
        match own {
            Some(value) => is_true(value),
            None => *self.inherited.get_or_init(|| {
                let Controller { image, rules, .. } = self.controller;
                let value = rules.inherited(image, &Resource::topic(topic), UNCLEAN);
                value.is_some_and(|value| is_true(&value))
            }),
        }
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

impl<'a> Controller<'a> {
    pub(crate) fn unclean_rule(&self) -> UncleanRule<'a> {
        UncleanRule {
            controller: *self,
            inherited: OnceCell::new(),
        }
    }

    /// The topic of this name and its partition of this number.
    pub(crate) fn known_partition(
        &self,
        topic: &str,
        index: i32,
    ) -> Result<(&'a Topic, &'a PartitionState), MetaError> {
        let found = self
            .image
            .topic(topic)
            .ok_or_else(|| MetaError::UnknownTopic(topic.to_owned()))?;
        let unknown = || MetaError::UnknownPartition {
            topic: topic.to_owned(),
            index,
        };
        Ok((found, found.partition(index).ok_or_else(unknown)?))
    }

    /// Elects a leader as a client asks for one (ElectLeaders).
    ///
    /// # Errors
    /// [`MetaError::ElectionNotNeeded`] when the wanted one leads,
    /// [`MetaError::PreferredLeaderNotAvailable`] and [`MetaError::EligibleLeadersNotAvailable`]
    /// when none can, and those of a partition that isn't there.
    pub fn elect_leader(
        &self,
        topic: &str,
        index: i32,
        kind: ElectionType,
    ) -> Result<Vec<Record>, MetaError> {
        let (found, state) = self.known_partition(topic, index)?;
        let name = format!("partition {index} of topic \"{topic}\"");
        let needed = match kind {
            ElectionType::Preferred => state.preferred_leader() != Some(state.leader),
            ElectionType::Unclean => state.leader == -1,
        };
        if !needed {
            let text = format!("{name} is led by node {}", state.leader);
            return Err(MetaError::ElectionNotNeeded(text));
        }
        let target = Target {
            preferred: kind == ElectionType::Preferred,
            ..Target::new(found.id, index, state)
        };
        let change = target.decide(
            |node, drive| self.image.is_online(node, drive),
            || kind == ElectionType::Unclean,
        );
        match (change, kind) {
            (Some(change), _) => Ok(vec![Record::PartitionChange(change)]),
            (None, ElectionType::Preferred) => Err(MetaError::PreferredLeaderNotAvailable(
                format!("the first replica of {name} is not in sync, or can't lead now"),
            )),
            (None, ElectionType::Unclean) => Err(MetaError::EligibleLeadersNotAvailable(format!(
                "no replica of {name} is on a broker and a drive that are up"
            ))),
        }
    }

    /// Ends the epoch in which `node` leads, because it can't go on in it: another replica in sync leads
    /// from here on, or else the same one in a new epoch. Nothing when the epoch is over already.
    ///
    /// # Errors
    /// [`MetaError::StaleBrokerEpoch`], [`MetaError::UnknownTopicId`], [`MetaError::UnknownPartition`].
    pub fn resign(
        &self,
        (node, broker_epoch): (i32, i64),
        topic_id: Uuid,
        index: i32,
        leader_epoch: i32,
    ) -> Result<Vec<Record>, MetaError> {
        self.check_broker_epoch(node, broker_epoch)?;
        let topic = self.image.topic_by_id(topic_id);
        let topic = topic.ok_or(MetaError::UnknownTopicId(topic_id))?;
        let unknown = || MetaError::UnknownPartition {
            topic: topic.name.to_string(),
            index,
        };
        let state = topic.partition(index).ok_or_else(unknown)?;
        if (state.leader, state.leader_epoch) != (node, leader_epoch) {
            return Ok(Vec::new());
        }
        let others = |other, drive| other != node && self.image.is_online(other, drive);
        let change = Target::new(topic_id, index, state).decide(others, || false);
        let moved = change.filter(|change| change.leader.is_some_and(|leader| leader >= 0));
        let change = moved.unwrap_or_else(|| PartitionChangeRecord {
            leader_epoch: Some(leader_epoch.saturating_add(1)),
            ..PartitionChangeRecord::of(topic_id, index, state.partition_epoch.saturating_add(1))
        });
        Ok(vec![Record::PartitionChange(change)])
    }

    /// Elects leaders for up to `most` partitions that have none, where one can be had: after
    /// `unclean.leader.election.enable` was set. When as many are decided, there may be more.
    pub fn elect_leaderless(&self, most: usize) -> Vec<Record> {
        let unclean = self.unclean_rule();
        let leaderless = self.partitions().filter(|(_, _, state)| state.leader == -1);
        let changes = leaderless.filter_map(|(topic, index, state)| {
            Target::new(topic.id, index, state).decide(
                |node, drive| self.image.is_online(node, drive),
                || unclean.allows(&topic.name),
            )
        });
        changes.take(most).map(Record::PartitionChange).collect()
    }

    /// Gives up to `most` partitions back to their first replicas, of those nodes that lead too few
    /// of the partitions they come first in: more than `percentage` % of them are led by others
    /// (`leader.imbalance.per.broker.percentage`). When as many are decided, there may be more.
    pub fn rebalance_leaders(&self, percentage: u32, most: usize) -> Vec<Record> {
        let mut counts = std::collections::BTreeMap::<i32, (u64, u64)>::new();
        for (_, _, state) in self.partitions() {
            if let Some(first) = state.preferred_leader() {
                let (all, elsewhere) = counts.entry(first).or_default();
                *all += 1;
                *elsewhere += u64::from(state.leader != first);
            }
        }
        let imbalanced = |node| {
            let (all, elsewhere) = counts.get(&node).copied().unwrap_or_default();
            elsewhere * 100 > u64::from(percentage) * all
        };
        let wanted = self.partitions().filter(|(_, _, state)| {
            let first = state.preferred_leader();
            first.is_some_and(|first| first != state.leader && imbalanced(first))
        });
        let changes = wanted.filter_map(|(topic, index, state)| {
            let target = Target {
                preferred: true,
                ..Target::new(topic.id, index, state)
            };
            target.decide(|node, drive| self.image.is_online(node, drive), || false)
        });
        changes.take(most).map(Record::PartitionChange).collect()
    }

    /// Every partition, by the names of the topics.
    pub(crate) fn partitions(
        &self,
    ) -> impl Iterator<Item = (&'a Topic, i32, &'a PartitionState)> + use<'a> {
        let image = self.image;
        image.topics().flat_map(|topic| {
            let partitions = (0..).zip(&topic.partitions);
            partitions.map(move |(index, state)| (topic, index, state))
        })
    }
}
