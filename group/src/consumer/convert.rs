//! How a group changes its protocol while it has members, both ways.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use coordinator::World;

use super::member::{About, Classic, Standing, State};
use super::{Change, ConsumerGroup, Step, Timer};
use crate::assign::Partitions;
use crate::embedded::{Assignment, NamedPartitions, Subscription};

/// A group as both protocols can have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Convertible {
    /// The generation or epoch.
    pub generation: i32,
    /// The protocol that a classic group has chosen.
    pub protocol: Option<String>,
    /// Whether the group has to rebalance at once.
    pub rebalances: bool,
    /// The members, all of which speak the classic protocol.
    pub members: Vec<ConvertibleMember>,
}

/// A member of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConvertibleMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// In milliseconds.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols by preference, with the metadata of each.
    pub protocols: Vec<(String, Bytes)>,
    /// What it is assigned, as clients write it; may be empty.
    pub assignment: Bytes,
}

/// Partitions with their topics' names; those of topics that are no more are left out.
pub(super) fn by_name(world: &World<'_>, partitions: &Partitions) -> Vec<NamedPartitions> {
    let named = partitions.iter().filter_map(|(topic, partitions)| {
        let name = world.topics.name_of(*topic)?;
        Some((name, partitions.iter().copied().collect()))
    });
    named.collect()
}

/// Partitions by the ids of their topics; those of topics that aren't there are left out.
fn by_id(world: &World<'_>, partitions: &[NamedPartitions]) -> Partitions {
    let mut ids = Partitions::new();
    for (name, partitions) in partitions
        .iter()
        .filter(|(_, partitions)| !partitions.is_empty())
    {
        if let Some(topic) = world.topics.by_name(name) {
            ids.entry(topic.id).or_default().extend(partitions);
        }
    }
    ids
}

/// Why a classic group can't become a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CannotConvert {
    /// Its members' metadata can't be read.
    #[error("the embedded consumer protocol is malformed")]
    Malformed,
    /// Its assignor keeps notes, which would be lost.
    #[error("an unsupported custom assignor is in use")]
    CustomAssignor,
}

/// What a member of a classic group is in a consumer group.
fn converted(
    world: &World<'_>,
    group: &Convertible,
    member: &ConvertibleMember,
) -> Result<(About, Partitions), CannotConvert> {
    let assignment = Assignment::read(&member.assignment).map_err(|_| CannotConvert::Malformed)?;
    if assignment.has_user_data {
        return Err(CannotConvert::CustomAssignor);
    }
    let chosen = |(name, _): &&(String, Bytes)| group.protocol.as_ref().is_none_or(|it| it == name);
    let metadata = member
        .protocols
        .iter()
        .find(chosen)
        .ok_or(CannotConvert::Malformed)?;
    let subscription = Subscription::read(&metadata.1).map_err(|_| CannotConvert::Malformed)?;
    let about = About {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: BTreeSet::from_iter(subscription.topics),
        regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        assignor: None,
        classic: Some(Rc::new(Classic {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        })),
    };
    Ok((about, by_id(world, &assignment.partitions)))
}

impl ConsumerGroup {
    /// The consumer group that a classic one becomes. The caller takes the classic one's records away first.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) fn upgrade(
        step: &mut Step<'_, '_>,
        id: &str,
        group: &Convertible,
    ) -> Result<Self, CannotConvert> {
        let members: Result<Vec<_>, _> = group
            .members
            .iter()
            .map(|member| converted(step.world, group, member))
            .collect();
        let mut upgraded = Self::new(id);
        let all = || group.members.iter().map(|member| member.id.clone());
        let (abouts, assigned): (Vec<_>, Vec<_>) = members?.into_iter().unzip();
        for (id, about) in all().zip(abouts) {
            upgraded.change(step, Change::Member(id, Some(about)));
        }
        upgraded.epoch = group.generation.saturating_sub(1);
        upgraded.refresh(step, true);
        for (id, assigned) in all().zip(&assigned) {
            upgraded.change(step, Change::Target(id, Some(assigned.clone())));
        }
        upgraded.change(step, Change::AssignmentEpoch(Some(group.generation)));
        for (id, assigned) in all().zip(assigned) {
            let standing = Standing {
                epoch: group.generation,
                previous_epoch: group.generation,
                state: State::Stable,
                assigned,
                revoking: Partitions::new(),
            };
            upgraded.change(step, Change::Standing(id, Some(standing)));
        }
        for member in &group.members {
            upgraded.set_timer(step, &member.id, Timer::Session, member.session_timeout_ms);
        }
        Ok(upgraded)
    }

    /// Takes the group's records away and tells what its members are, without those that leave, in a
    /// classic group.
    pub(super) fn downgrade(&mut self, step: &mut Step<'_, '_>, leaving: &[String]) -> Convertible {
        let leaving: BTreeSet<&String> = leaving.iter().collect();
        let staying = self.members.iter().filter(|(id, _)| !leaving.contains(id));
        let members = staying.filter_map(|(id, member)| {
            let about = &member.about;
            let classic = about.classic.as_ref()?;
            let metadata = classic
                .protocols
                .first()
                .map_or(&[][..], |(_, metadata)| metadata);
            let target = self
                .targets
                .get(id)
                .map(|target| by_name(step.world, target));
            Some(ConvertibleMember {
                id: id.clone(),
                instance_id: about.instance_id.clone(),
                client_id: about.client_id.clone(),
                client_host: about.client_host.clone(),
                rebalance_timeout_ms: about.rebalance_timeout_ms,
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic.protocols.clone(),
                // What can't be written is assigned anew by the rebalance.
                assignment: Assignment::write(metadata, &target.unwrap_or_default())
                    .unwrap_or_default(),
            })
        });
        let group = Convertible {
            generation: self.epoch,
            protocol: None,
            rebalances: true,
            members: members.collect(),
        };
        self.write_tombstones(step);
        group
    }

    /// Takes all of the group's records away.
    pub(crate) fn write_tombstones(&self, step: &mut Step<'_, '_>) {
        let mut gone = |change: Change| step.records.push(change.record(&self.id));
        for id in self.members.keys() {
            gone(Change::Standing(id.clone(), None));
        }
        for id in self.members.keys() {
            gone(Change::Target(id.clone(), None));
        }
        gone(Change::AssignmentEpoch(None));
        for id in self.members.keys() {
            gone(Change::Member(id.clone(), None));
        }
        for regex in self.regexes.keys() {
            gone(Change::Regex(regex.clone(), None));
        }
        gone(Change::PartitionMetadata(false));
        gone(Change::Epoch(None));
    }
}
