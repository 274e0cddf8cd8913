//! A classic group on its way to the consumer protocol, and back.

use kafka_protocol::ResponseError;

use super::answers::{not_joined, not_synced};
use super::member::Member;
use super::{CONSUMER, Classic, Phase};
use crate::Timer;
use crate::consumer::{Convertible, ConvertibleMember};
use crate::step::{Name, Step};

impl Classic {
    /// What a consumer group can be made of; `None` if its members aren't consumers.
    pub(crate) fn convertible(&self) -> Option<Convertible> {
        if self.protocol_type() != Some(CONSUMER) {
            return None;
        }
        let one = |(id, member): (&Name, &Member)| ConvertibleMember {
            id: id.to_string(),
            instance_id: member.instance.as_deref().map(str::to_owned),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: member
                .protocols
                .iter()
                .map(|(name, metadata)| (name.to_string(), metadata.clone()))
                .collect(),
            assignment: member.assignment.clone(),
        };
        Some(Convertible {
            generation: self.generation,
            protocol: self.protocol.as_deref().map(str::to_owned),
            rebalances: false,
            members: self.members.iter().map(one).collect(),
        })
    }

    /// Ends as a classic group: whoever waits is told to come again.
    pub(crate) fn end(&mut self, step: &mut Step<'_, '_>) {
        let again = ResponseError::RebalanceInProgress;
        for (id, member) in &mut self.members {
            if let Some((waiting, version)) = member.joining.take() {
                step.reply(waiting, not_joined(version, id, again));
            }
            if let Some((waiting, _)) = member.syncing.take() {
                step.reply(waiting, not_synced(again));
            }
        }
        for id in self.members.keys() {
            self.end_session(step, id);
        }
        step.timers.cancel(&Timer::Sync(self.id.clone()));
        self.delete(step);
    }

    /// The group that a consumer group becomes, with the timers of its members. It is written down.
    pub(crate) fn begin(step: &mut Step<'_, '_>, id: Name, was: Convertible) -> Self {
        let mut group = Self::new(id, step.wall_ms());
        for said in was.members {
            let protocols = said.protocols.into_iter();
            let member = Member {
                instance: said.instance_id.map(Name::from),
                client_id: said.client_id.into(),
                client_host: said.client_host.into(),
                rebalance_timeout_ms: said.rebalance_timeout_ms,
                session_timeout_ms: said.session_timeout_ms,
                protocols: protocols
                    .map(|(name, metadata)| (name.into(), metadata))
                    .collect(),
                assignment: said.assignment,
                joining: None,
                syncing: None,
                is_new: false,
            };
            group.add(said.id.into(), member, CONSUMER);
        }
        group.phase = Phase::Stable;
        group.generation = was.generation;
        group.protocol = group.choose_protocol();
        group.topics = group.subscribed();
        let leader = group.leader.clone();
        if was.rebalances {
            // A coordinator that takes over before they have come again learns by this that they have to.
            group.leader = None;
        }
        step.write(vec![group.record()]);
        group.leader = leader;
        let ids: Vec<Name> = group.members.keys().cloned().collect();
        group.put_off_sessions(step, &ids);
        if was.rebalances {
            group.prepare(step);
        }
        group
    }
}
