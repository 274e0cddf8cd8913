//! JoinGroup.

use bytes::Bytes;
use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::JoinGroupRequest;

use super::answers::not_joined;
use super::member::{Member, protocols_of};
use super::{Classic, LONGEST_STRING, Phase};
use crate::ask::Asker;
use crate::group::Group;
use crate::state::State;
use crate::step::{Name, Step};
use crate::{Reply, Timer};

/// How long a new member may wait for its first rebalance without another request, in milliseconds. Its
/// client doesn't send heartbeats before; if it gave up, nothing else would tell.
const NEW_MEMBER_MS: u64 = 5 * 60 * 1000;

/// The length of `-` and a UUID.
const ID_SUFFIX: usize = 37;

/// A member joins.
pub(super) struct Joining<'a> {
    pub(super) asker: &'a Asker,
    pub(super) from: Token,
    pub(super) version: i16,
    pub(super) request: JoinGroupRequest,
    pub(super) protocols: Vec<(Name, Bytes)>,
}

impl Joining<'_> {
    fn waiting(&self) -> (Token, i16) {
        (self.from, self.version)
    }

    pub(super) fn refuse(&self, step: &mut Step<'_, '_>, member_id: &str, error: ResponseError) {
        step.reply(self.from, not_joined(self.version, member_id, error));
    }

    /// An id that nobody has.
    fn new_id(&self, step: &mut Step<'_, '_>) -> Name {
        let prefix = self
            .request
            .group_instance_id
            .as_deref()
            .unwrap_or(&self.asker.client_id);
        let mut length = prefix.len().min(LONGEST_STRING - ID_SUFFIX);
        while !prefix.is_char_boundary(length) {
            length -= 1;
        }
        format!("{}-{}", &prefix[..length], step.world.id()).into()
    }
}

impl State {
    /// JoinGroup.
    pub(crate) fn join(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        asker: &Asker,
        version: i16,
        mut request: JoinGroupRequest,
    ) {
        if version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        if let Err(error) = check(step, &request) {
            return step.reply(from, not_joined(version, &request.member_id, error));
        }
        let id = request.group_id.as_str();
        if self.is_share(id) {
            let error = ResponseError::InconsistentGroupProtocol;
            return step.reply(from, not_joined(version, "", error));
        }
        if self.is_consumer(id) {
            if self.groups.get(id).is_some_and(|group| !group.is_empty()) {
                return self.join_consumer(step, from, asker, version, &request);
            }
            self.delete_consumer(step, id);
        }
        let is_new = !self.groups.contains_key(id);
        if is_new {
            if !request.member_id.is_empty() {
                let error = ResponseError::UnknownMemberId;
                return step.reply(from, not_joined(version, &request.member_id, error));
            }
            self.insert(id, Group::new_classic(id, step.wall_ms()));
        }
        let id = id.to_owned();
        let Some(group) = self.classic_mut(&id) else {
            return;
        };
        if is_new {
            group.write_new(step);
        }
        let protocols = protocols_of(&request);
        let joining = Joining {
            asker,
            from,
            version,
            request,
            protocols,
        };
        group.join(step, joining);
    }
}

/// What is wrong with a request, whatever the group.
fn check(step: &Step<'_, '_>, request: &JoinGroupRequest) -> Result<(), ResponseError> {
    if request.group_id.is_empty() || request.group_id.len() > LONGEST_STRING {
        return Err(ResponseError::InvalidGroupId);
    }
    let sessions = step.settings.min_session_timeout_ms..=step.settings.max_session_timeout_ms;
    if !sessions.contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    let names = request.protocols.iter().map(|protocol| protocol.name.len());
    let instance = request.group_instance_id.as_deref().map_or(0, str::len);
    if names
        .chain([instance, request.protocol_type.len()])
        .any(|length| length > LONGEST_STRING)
    {
        return Err(ResponseError::InvalidRequest);
    }
    let metadata = request
        .protocols
        .iter()
        .map(|protocol| protocol.metadata.len());
    if metadata
        .max()
        .is_some_and(|bytes| bytes > step.settings.batch_max_bytes)
    {
        // It could never be written, and would keep the whole group from getting on.
        return Err(ResponseError::MessageTooLarge);
    }
    Ok(())
}

impl Classic {
    fn join(&mut self, step: &mut Step<'_, '_>, joining: Joining<'_>) {
        let member_id = joining.request.member_id.clone();
        if !self.accepts(step, &member_id) {
            self.remove(&member_id);
            self.end_session(step, &member_id);
            joining.refuse(step, "", ResponseError::GroupMaxSizeReached);
            // The rest may have been waiting for it.
            return self.complete_if_joined(step);
        }
        if !self.supports(&joining) {
            return joining.refuse(step, &member_id, ResponseError::InconsistentGroupProtocol);
        }
        if !member_id.is_empty() {
            return self.join_known(step, joining, &member_id);
        }
        let new_id = joining.new_id(step);
        let replaced = joining
            .request
            .group_instance_id
            .as_deref()
            .and_then(|instance| self.instances.get(instance));
        match replaced.cloned() {
            Some(old_id) => self.replace_static(step, joining, &old_id, new_id),
            None if joining.request.group_instance_id.is_none() && joining.version >= 4 => {
                // So that one whose connection breaks again and again doesn't leave a member each time.
                self.pending.insert(new_id.clone());
                let session_ms = u64::try_from(joining.request.session_timeout_ms).unwrap_or(0);
                step.after(Timer::Session(self.id.clone(), new_id.clone()), session_ms);
                joining.refuse(step, &new_id, ResponseError::MemberIdRequired);
            }
            None => self.join_new(step, joining, new_id),
        }
    }

    /// Whether there is room.
    fn accepts(&self, step: &Step<'_, '_>, member_id: &str) -> bool {
        let most = step.settings.max_size;
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing => {
                let waits = self
                    .members
                    .get(member_id)
                    .is_some_and(|member| member.joining.is_some());
                waits || self.joining < most
            }
            Phase::Completing | Phase::Stable => {
                self.members.contains_key(member_id) || self.members.len() < most
            }
        }
    }

    /// Whether it could work together with the other members.
    fn supports(&self, joining: &Joining<'_>) -> bool {
        let protocol_type = joining.request.protocol_type.as_str();
        if self.is_empty() {
            return !protocol_type.is_empty() && !joining.protocols.is_empty();
        }
        self.protocol_type() == Some(protocol_type)
            && joining
                .protocols
                .iter()
                .any(|(name, _)| self.all_know(name))
    }

    fn join_new(&mut self, step: &mut Step<'_, '_>, joining: Joining<'_>, id: Name) {
        if let Some(gathering) = &mut self.gathering {
            gathering.joined = true;
        }
        let waiting = joining.waiting();
        let mut member = Member::new(joining.asker, &joining.request, joining.protocols);
        member.joining = Some(waiting);
        self.add(id.clone(), member, &joining.request.protocol_type);
        step.after(Timer::Session(self.id.clone(), id), NEW_MEMBER_MS);
        self.rebalance_or_complete(step);
    }

    /// One joins that says who it is.
    fn join_known(&mut self, step: &mut Step<'_, '_>, joining: Joining<'_>, id: &str) {
        if self.pending.contains(id) {
            if joining.request.group_instance_id.is_some() {
                // The id was given to somebody without an instance.
                return joining.refuse(step, id, ResponseError::UnknownMemberId);
            }
            return self.join_new(step, joining, id.into());
        }
        if let Err(error) = self.check_member(id, joining.request.group_instance_id.as_deref()) {
            return joining.refuse(step, id, error);
        }
        let unchanged = self
            .members
            .get(id)
            .is_some_and(|member| member.protocols == joining.protocols);
        let repeats = match self.phase {
            Phase::Completing => unchanged,
            // The leader joins again to have the work given out anew.
            Phase::Stable => unchanged && !self.is_leader(id),
            Phase::Preparing => false,
            Phase::Empty => return joining.refuse(step, id, ResponseError::UnknownMemberId),
        };
        match repeats {
            true => self.tell_joined(step, joining.waiting(), id),
            false => self.join_again(step, joining, id),
        }
    }

    fn join_again(&mut self, step: &mut Step<'_, '_>, joining: Joining<'_>, id: &str) {
        self.take_update(step, joining, id);
        self.rebalance_or_complete(step);
    }

    /// Takes what it says. Whoever waited in its name before is sent away.
    fn take_update(&mut self, step: &mut Step<'_, '_>, joining: Joining<'_>, id: &str) {
        let waiting = joining.waiting();
        if let Some((before, version)) =
            self.update(id, &joining.request, joining.protocols, waiting)
        {
            step.reply(
                before,
                not_joined(version, id, ResponseError::RebalanceInProgress),
            );
        }
    }

    /// A static member comes back without knowing who it was.
    fn replace_static(
        &mut self,
        step: &mut Step<'_, '_>,
        joining: Joining<'_>,
        old_id: &str,
        new_id: Name,
    ) {
        let leader_before = self.leader.clone();
        self.take_place(step, old_id, &new_id);
        let (waiting, version) = (joining.from, joining.version);
        self.take_update(step, joining, &new_id);
        if let Some(member) = self.members.get(&new_id) {
            self.put_off_session(step, &new_id, member);
        }
        match self.phase {
            Phase::Stable if self.protocol == self.choose_protocol() => {
                if !step.fit(&[self.record()]) {
                    // As when it can't be written: it isn't a member yet, and may try again.
                    self.remove(&new_id);
                    self.end_session(step, &new_id);
                    step.reply(
                        waiting,
                        not_joined(version, "", ResponseError::UnknownServerError),
                    );
                    return self.rebalance_or_complete(step);
                }
                step.write(vec![self.record()]);
                self.take_joining(&new_id);
                step.reply(
                    waiting,
                    Reply::Join(self.rejoined(version, &new_id, leader_before.as_deref())),
                );
            }
            Phase::Stable | Phase::Completing => self.rebalance_or_complete(step),
            Phase::Preparing | Phase::Empty => self.complete_if_joined(step),
        }
    }

    /// The answer to a static member that came back to an unchanged group.
    fn rejoined(
        &self,
        version: i16,
        id: &str,
        leader_before: Option<&str>,
    ) -> kafka_protocol::messages::JoinGroupResponse {
        let mut answer = self.joined().answer(version, id);
        if version < 9 {
            // Not told that it is the leader, it won't give out work that is given out.
            answer.leader = leader_before.map(super::answers::text).unwrap_or_default();
        } else if self.is_leader(id) {
            answer.members = self.joined_members();
            answer.skip_assignment = true;
        }
        answer
    }

    /// Gives a member a new id. Whoever waits in its name is fenced.
    fn take_place(&mut self, step: &mut Step<'_, '_>, old_id: &str, new_id: &Name) {
        let fenced = ResponseError::FencedInstanceId;
        if let Some((waiting, version)) = self.take_joining(old_id) {
            step.reply(waiting, not_joined(version, old_id, fenced));
        }
        self.end_session(step, old_id);
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        if let Some((waiting, _)) = member.syncing.take() {
            step.reply(waiting, super::answers::not_synced(fenced));
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
    }
}
