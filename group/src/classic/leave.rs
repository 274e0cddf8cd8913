//! LeaveGroup.

use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Classic, Phase};
use crate::Reply;
use crate::state::State;
use crate::step::Step;

impl State {
    /// LeaveGroup. Before version 3 it is of one member, and its error is that of the whole.
    pub(crate) fn leave(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        version: i16,
        request: LeaveGroupRequest,
    ) {
        let mut answer = LeaveGroupResponse::default();
        if request.group_id.is_empty() {
            answer.error_code = ResponseError::InvalidGroupId.code();
            return step.reply(from, Reply::Leave(answer));
        }
        let members = match version {
            ..3 => vec![MemberIdentity::default().with_member_id(request.member_id)],
            _ => request.members,
        };
        if self.is_consumer(&request.group_id) {
            let mut request = LeaveGroupRequest::default().with_group_id(request.group_id);
            request.members = members;
            answer = self.leave_consumer(step, &request);
            return reply(step, from, version, answer);
        }
        answer.members = match self.classic_mut(&request.group_id) {
            Some(group) => group.leave(step, &members),
            None => members
                .iter()
                .map(|member| answer_to(member, Err(ResponseError::UnknownMemberId)))
                .collect(),
        };
        reply(step, from, version, answer);
    }
}

fn reply(step: &mut Step<'_, '_>, from: Token, version: i16, mut answer: LeaveGroupResponse) {
    if version < 3 {
        answer.error_code = answer.members.pop().map_or(0, |member| member.error_code);
    }
    step.reply(from, Reply::Leave(answer));
}

fn answer_to(member: &MemberIdentity, result: Result<(), ResponseError>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(member.member_id.clone())
        .with_group_instance_id(member.group_instance_id.clone())
        .with_error_code(result.map_or_else(|error| error.code(), |()| 0))
}

impl Classic {
    fn leave(
        &mut self,
        step: &mut Step<'_, '_>,
        members: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let mut answers = Vec::with_capacity(members.len());
        let mut any = false;
        for member in members {
            let result = self.leave_one(step, member);
            any |= result.is_ok();
            answers.push(answer_to(member, result));
        }
        if any && self.phase != Phase::Empty {
            self.rebalance_or_complete(step);
        }
        answers
    }

    fn leave_one(
        &mut self,
        step: &mut Step<'_, '_>,
        member: &MemberIdentity,
    ) -> Result<(), ResponseError> {
        let instance = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            // An operator has a static member removed.
            let id = instance.and_then(|instance| self.instances.get(instance));
            let id = id.cloned().ok_or(ResponseError::UnknownMemberId)?;
            self.dismiss(step, &id);
            return Ok(());
        }
        if !self.pending.contains(member.member_id.as_str()) {
            self.check_member(&member.member_id, instance)?;
        }
        self.dismiss(step, &member.member_id);
        Ok(())
    }
}
