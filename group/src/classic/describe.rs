//! DescribeGroups.

use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::protocol::StrBytes;

use super::answers::text;
use super::{Classic, Phase};
use crate::Reply;
use crate::group::Group;
use crate::state::State;
use crate::step::Step;

impl State {
    /// DescribeGroups of one group.
    pub(crate) fn describe(&self, step: &mut Step<'_, '_>, from: Token, id: GroupId, version: i16) {
        let answer = match self.groups.get(id.as_str()) {
            Some(Group::Classic(group)) => group.describe(id),
            Some(Group::Consumer(_) | Group::Share(_)) | None => missing(id, version),
        };
        step.reply(from, Reply::Describe(answer));
    }
}

/// Before version 6 one that isn't there is said to be dead.
fn missing(id: GroupId, version: i16) -> DescribedGroup {
    let message = format!("Group {} not found.", id.as_str());
    let answer = DescribedGroup::default()
        .with_group_id(id)
        .with_group_state(StrBytes::from_static_str("Dead"));
    match version {
        ..6 => answer,
        _ => answer
            .with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(message))),
    }
}

impl Classic {
    fn describe(&self, id: GroupId) -> DescribedGroup {
        let protocol = self
            .protocol
            .as_deref()
            .filter(|_| self.phase == Phase::Stable);
        let one = |(id, member): (&_, &super::Member)| {
            let id: &crate::step::Name = id;
            DescribedGroupMember::default()
                .with_member_id(text(id))
                .with_group_instance_id(member.instance.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(
                    protocol
                        .map(|protocol| member.metadata(protocol))
                        .unwrap_or_default(),
                )
                .with_member_assignment(member.assignment.clone())
        };
        DescribedGroup::default()
            .with_group_id(id)
            .with_group_state(StrBytes::from_static_str(self.phase.name()))
            .with_protocol_type(self.protocol_type().map(text).unwrap_or_default())
            .with_protocol_data(protocol.map(text).unwrap_or_default())
            .with_members(self.members.iter().map(one).collect())
    }
}
