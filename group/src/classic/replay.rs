//! A classic group's record, and what becomes of it when the log is read again.

use bytes::Bytes;
use coordinator::Record;

use super::member::Member;
use super::{Classic, Phase};
use crate::Timer;
use crate::group::Group;
use crate::records::classic::{GroupMetadata, MemberMetadata, tombstone};
use crate::state::State;
use crate::step::{Name, Step};

impl State {
    /// Begins the sessions of all members, when the log has been read.
    pub(crate) fn loaded_classic(&mut self, step: &mut Step<'_, '_>) {
        for group in self.groups.values_mut() {
            let Group::Classic(group) = group else {
                continue;
            };
            let ids: Vec<Name> = group.members.keys().cloned().collect();
            group.put_off_sessions(step, &ids);
            if group.members.len() > step.settings.max_size || group.was_to_rebalance {
                group.was_to_rebalance = false;
                group.prepare(step);
            }
        }
    }
}

impl Classic {
    /// What the group is, as a record.
    pub(super) fn record(&self) -> Record {
        let protocol = self.protocol.as_deref();
        let metadata = |member: &Member| {
            protocol
                .map(|protocol| member.metadata(protocol))
                .unwrap_or_default()
        };
        let subscriptions: Vec<Bytes> = self.members.values().map(metadata).collect();
        let one = |((id, member), subscription)| {
            let (id, member): (&Name, &Member) = (id, member);
            let subscription: &Bytes = subscription;
            MemberMetadata {
                id,
                instance: member.instance.as_deref(),
                client_id: &member.client_id,
                client_host: &member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                subscription,
                assignment: &member.assignment,
            }
        };
        let metadata = GroupMetadata {
            protocol_type: self.protocol_type().unwrap_or_default(),
            generation: self.generation,
            protocol,
            leader: self.leader.as_deref(),
            state_since_ms: self.since_ms.unwrap_or(-1),
            members: self.members.iter().zip(&subscriptions).map(one).collect(),
        };
        metadata.record(&self.id)
    }

    /// Writes that there is a group without members.
    pub(super) fn write_new(&self, step: &mut Step<'_, '_>) {
        let metadata = GroupMetadata {
            state_since_ms: self.since_ms.unwrap_or(-1),
            ..GroupMetadata::default()
        };
        step.write(vec![metadata.record(&self.id)]);
    }

    /// Writes that the group is no more. Those who were to join it don't learn that before they try.
    pub(crate) fn delete(&mut self, step: &mut Step<'_, '_>) {
        step.write(vec![tombstone(&self.id)]);
        for id in std::mem::take(&mut self.pending) {
            self.end_session(step, &id);
        }
        step.timers.cancel(&Timer::Join(self.id.clone()));
    }

    /// The group of a record. What a member may have offered besides the protocol that was agreed on isn't
    /// in it.
    pub(crate) fn replayed(id: Name, metadata: &GroupMetadata<'_>) -> Self {
        let mut group = Self::new(id, metadata.state_since_ms);
        let protocol: Name = metadata.protocol.unwrap_or_default().into();
        for said in &metadata.members {
            let rebalance_timeout_ms = match said.rebalance_timeout_ms {
                -1 => said.session_timeout_ms,
                stated => stated,
            };
            let member = Member {
                instance: said.instance.map(Name::from),
                client_id: said.client_id.into(),
                client_host: said.client_host.into(),
                rebalance_timeout_ms,
                session_timeout_ms: said.session_timeout_ms,
                protocols: vec![(protocol.clone(), Bytes::copy_from_slice(said.subscription))],
                assignment: Bytes::copy_from_slice(said.assignment),
                joining: None,
                syncing: None,
                is_new: false,
            };
            group.add(said.id.into(), member, metadata.protocol_type);
        }
        group.phase = if group.members.is_empty() {
            Phase::Empty
        } else {
            Phase::Stable
        };
        group.since_ms = (metadata.state_since_ms != -1).then_some(metadata.state_since_ms);
        group.generation = metadata.generation;
        group.protocol_type = Some(metadata.protocol_type)
            .filter(|name| !name.is_empty())
            .map(Name::from);
        group.protocol = metadata.protocol.map(Name::from);
        group.was_to_rebalance = metadata.leader.is_none() && !group.members.is_empty();
        group.leader = metadata.leader.map(Name::from).or(group.leader);
        group.topics = group.subscribed();
        group
    }
}
