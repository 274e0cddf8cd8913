//! Members of a consumer group that speak the classic protocol: while a group is moved from one protocol
//! to the other, JoinGroup, SyncGroup, Heartbeat and LeaveGroup are heartbeats by other names.

use std::collections::BTreeSet;
use std::rc::Rc;

use coordinator::World;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::convert::by_name;
use super::fence::may_downgrade;
use super::heartbeat::Entry;
use super::member::{About, Classic, Member, State};
use super::reconcile::Owned;
use super::{Change, ConsumerGroup, Outcome, Refusal, Step, Timer};
use crate::Asker;
use crate::embedded::{Assignment, PROTOCOL_TYPE, Subscription};

/// Since which version of JoinGroup a new member is given an id first.
const ID_FIRST: i16 = 4;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn protocols(request: &JoinGroupRequest) -> Vec<(String, bytes::Bytes)> {
    let protocols = request.protocols.iter();
    protocols
        .map(|one| {
            (
                one.name.as_str().to_owned(),
                bytes::Bytes::copy_from_slice(&one.metadata),
            )
        })
        .collect()
}

fn owned_of(world: &World<'_>, subscription: &Subscription) -> Owned {
    let owned = subscription.owned.iter().filter_map(|(name, partitions)| {
        Some((world.topics.by_name(name)?.id, partitions.clone()))
    });
    Some(owned.collect())
}

impl ConsumerGroup {
    /// JoinGroup. It is answered at once: nobody waits for the others.
    ///
    /// # Errors
    /// The code of Kafka's; the group is as it was.
    pub(crate) fn join(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        version: i16,
        request: &JoinGroupRequest,
    ) -> Result<(JoinGroupResponse, Outcome), ResponseError> {
        let is_new = request.member_id.is_empty();
        let id = match is_new {
            true => step.world.id().to_string(),
            false => request.member_id.as_str().to_owned(),
        };
        self.refuse_if_full(step, &id)
            .map_err(|refusal| refusal.error)?;
        self.check_protocols(request)?;
        let response = JoinGroupResponse::default().with_member_id(text(&id));
        if is_new && version >= ID_FIRST && request.group_instance_id.is_none() {
            let response = response
                .with_error_code(ResponseError::MemberIdRequired.code())
                .with_generation_id(-1)
                // Before version 7 it can't be null.
                .with_protocol_name((version < 7).then(StrBytes::default));
            return Ok((response, Outcome::Stays));
        }
        let first = request
            .protocols
            .first()
            .ok_or(ResponseError::InconsistentGroupProtocol)?;
        let subscription = Subscription::read(&first.metadata)
            .map_err(|_| ResponseError::InconsistentGroupProtocol)?;
        let entry = self
            .enter_classic(&id, is_new, request)
            .map_err(|refusal| refusal.error)?;
        let downgrades = entry.replaces && self.can_downgrade_replacing(step, &entry);
        let had = self.take_place(step, &id, &entry);

        let bump = self.tell_classic(step, asker, &id, request, &subscription, had.as_deref());
        self.refresh(step, bump);
        if !downgrades {
            self.assign(step);
        }
        let owned = owned_of(step.world, &subscription);
        if !(downgrades && bump) {
            self.reconcile(step, &id, &owned)
                .map_err(|refusal| refusal.error)?;
        }
        let at = &self.member(&id).map_err(|refusal| refusal.error)?.at;
        let response = response
            .with_generation_id(at.epoch)
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(Some(text(&first.name)));
        if downgrades {
            let mut group = self.downgrade(step, &[]);
            group.rebalances = bump;
            return Ok((response, Outcome::Downgraded(group)));
        }
        self.timers.cancel(&(id.clone(), Timer::Join));
        self.set_timer(step, &id, Timer::Session, request.session_timeout_ms);
        self.set_timer(step, &id, Timer::Sync, request.rebalance_timeout_ms);
        Ok((response, Outcome::Stays))
    }

    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ResponseError> {
        let everybody_has = |name: &str| {
            self.counts.protocols.get(name).copied().unwrap_or(0) == self.counts.classic
        };
        let names: BTreeSet<&str> = request
            .protocols
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        match request.protocol_type.as_str() == PROTOCOL_TYPE
            && names.into_iter().any(everybody_has)
        {
            true => Ok(()),
            false => Err(ResponseError::InconsistentGroupProtocol),
        }
    }

    fn enter_classic(
        &self,
        id: &str,
        is_new: bool,
        request: &JoinGroupRequest,
    ) -> Result<Entry, Refusal> {
        let own = |(id, member): (&str, &Rc<Member>)| (id.to_owned(), member.clone());
        let Some(instance) = &request.group_instance_id else {
            let before = self.members.get_key_value(id);
            let before = before.map(|(id, member)| own((id, member)));
            return Ok(Entry {
                before,
                replaces: false,
            });
        };
        let found = self.member_of_instance(instance);
        match is_new {
            true => Ok(Entry {
                before: found.map(own),
                replaces: found.is_some(),
            }),
            false => {
                let before = self.not_fenced(found, id, instance)?;
                Ok(Entry {
                    before: Some(own(before)),
                    replaces: false,
                })
            }
        }
    }

    /// Whether only classic members are left once the last other one is replaced.
    fn can_downgrade_replacing(&self, step: &Step<'_, '_>, entry: &Entry) -> bool {
        let replaced = entry
            .before
            .as_ref()
            .is_some_and(|(_, old)| old.about.classic.is_none());
        replaced
            && self.counts.classic == self.members.len() - 1
            && may_downgrade(step)
            && self.members.len() <= step.classic_max_size
    }

    fn tell_classic(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        id: &str,
        request: &JoinGroupRequest,
        subscription: &Subscription,
        had: Option<&Member>,
    ) -> bool {
        let old = had.map(|had| had.about.clone()).unwrap_or_default();
        let mut new = About {
            client_id: asker.client_id.clone(),
            client_host: asker.client_host.clone(),
            topics: subscription.topics.iter().cloned().collect(),
            classic: Some(Rc::new(Classic {
                session_timeout_ms: request.session_timeout_ms,
                protocols: protocols(request),
            })),
            ..old.clone()
        };
        if let Some(instance) = &request.group_instance_id {
            new.instance_id = Some(instance.as_str().to_owned());
        }
        if let Some(rack) = subscription.rack.as_ref().filter(|rack| !rack.is_empty()) {
            new.rack_id = Some(rack.clone());
        }
        if request.rebalance_timeout_ms != -1 {
            new.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        let bump = old.topics != new.topics;
        if had.is_none() || old != new {
            self.change(step, Change::Member(id.to_owned(), Some(new)));
        }
        bump
    }

    /// The member that a request of the classic protocol is from.
    fn classic_member(
        &self,
        id: &str,
        instance: Option<&StrBytes>,
        generation: i32,
    ) -> Result<(Rc<Member>, Rc<Classic>), ResponseError> {
        let member = match instance {
            None => self.member(id),
            Some(instance) => {
                let found = self.member_of_instance(instance);
                self.not_fenced(found, id, instance)
                    .map(|(_, member)| member)
            }
        };
        let member = member.map_err(|refusal| refusal.error)?.clone();
        let classic = member
            .about
            .classic
            .clone()
            .ok_or(ResponseError::UnknownMemberId)?;
        match member.at.epoch == generation {
            true => Ok((member, classic)),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    /// SyncGroup: tells a member what it has.
    ///
    /// # Errors
    /// The code of Kafka's.
    pub(crate) fn sync(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ResponseError> {
        let id = request.member_id.as_str().to_owned();
        let instance = request.group_instance_id.as_ref();
        let (member, classic) = self.classic_member(&id, instance, request.generation_id)?;
        let (name, metadata) = classic
            .protocols
            .first()
            .ok_or(ResponseError::InconsistentGroupProtocol)?;
        let is_other = |asked: &Option<StrBytes>, known: &str| {
            asked.as_ref().is_some_and(|asked| **asked != *known)
        };
        if is_other(&request.protocol_type, PROTOCOL_TYPE) || is_other(&request.protocol_name, name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.epoch > member.at.epoch && member.at.state != State::UnrevokedPartitions {
            self.expect_join(step, &id, &member);
            return Err(ResponseError::RebalanceInProgress);
        }
        let assignment = Assignment::write(metadata, &by_name(step.world, &member.at.assigned))
            .map_err(|_| ResponseError::UnknownServerError)?;
        self.timers.cancel(&(id.clone(), Timer::Sync));
        self.set_timer(step, &id, Timer::Session, classic.session_timeout_ms);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.as_deref().map(text))
            .with_protocol_name(request.protocol_name.as_deref().map(text))
            .with_assignment(assignment))
    }

    fn expect_join(&mut self, step: &Step<'_, '_>, id: &str, member: &Member) {
        let timeout = u64::try_from(member.about.rebalance_timeout_ms).unwrap_or(0);
        let at = step.world.now.mono_ms + timeout;
        self.timers.set_if_absent((id.to_owned(), Timer::Join), at);
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The code of Kafka's: REBALANCE_IN_PROGRESS if the member has to join again.
    pub(crate) fn classic_heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ResponseError> {
        let id = request.member_id.as_str();
        let instance = request.group_instance_id.as_ref();
        let (member, classic) = self.classic_member(id, instance, request.generation_id)?;
        self.set_timer(step, id, Timer::Session, classic.session_timeout_ms);
        let rejoins = member.at.epoch < self.epoch
            || match member.at.state {
                State::UnrevokedPartitions => true,
                State::UnreleasedPartitions => !self.waits_for_others(id, &member),
                State::Stable | State::Unknown => false,
            };
        if rejoins {
            self.expect_join(step, id, &member);
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    fn waits_for_others(&self, id: &str, member: &Member) -> bool {
        let Some(target) = self.targets.get(id) else {
            return false;
        };
        target.iter().any(|(topic, partitions)| {
            let has = |partition: &i32| {
                member
                    .at
                    .assigned
                    .get(topic)
                    .is_some_and(|assigned| assigned.contains(partition))
            };
            partitions
                .iter()
                .any(|partition| !has(partition) && self.is_taken(*topic, *partition))
        })
    }

    /// LeaveGroup, of members of either protocol.
    pub(crate) fn classic_leave(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &LeaveGroupRequest,
    ) -> (LeaveGroupResponse, Outcome) {
        let mut response = LeaveGroupResponse::default();
        let mut leaving = BTreeSet::new();
        for identity in &request.members {
            let found = match &identity.group_instance_id {
                None => self
                    .member(&identity.member_id)
                    .map(|_| identity.member_id.as_str()),
                Some(instance) => {
                    let found = self.member_of_instance(instance);
                    let id = match (identity.member_id.is_empty(), found) {
                        (true, Some((id, _))) => id,
                        _ => identity.member_id.as_str(),
                    };
                    self.not_fenced(found, id, instance).map(|(id, _)| id)
                }
            };
            let mut answer = MemberResponse::default()
                .with_member_id(text(&identity.member_id))
                .with_group_instance_id(identity.group_instance_id.as_deref().map(text));
            match found {
                Ok(id) => drop(leaving.insert(id.to_owned())),
                Err(refusal) => answer.error_code = refusal.error.code(),
            }
            response.members.push(answer);
        }
        let leaving: Vec<String> = leaving.into_iter().collect();
        let outcome = self.fence(step, &leaving);
        (response, outcome)
    }
}
