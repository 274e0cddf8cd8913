//! The answers to members of classic groups.

use bytes::Bytes;
use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::Classic;
use crate::Reply;
use crate::step::Step;

/// A string for an answer.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The answer to a JoinGroup that came to nothing.
pub(crate) fn not_joined(version: i16, member_id: &str, error: ResponseError) -> Reply {
    let answer = JoinGroupResponse::default()
        .with_generation_id(-1)
        .with_member_id(text(member_id))
        .with_protocol_name(absent(version))
        .with_error_code(error.code());
    Reply::Join(answer)
}

/// No protocol: before version 7 it can't be null.
fn absent(version: i16) -> Option<StrBytes> {
    (version < 7).then(StrBytes::default)
}

/// The answer to a SyncGroup that came to nothing.
pub(crate) fn not_synced(error: ResponseError) -> Reply {
    Reply::Sync(SyncGroupResponse::default().with_error_code(error.code()))
}

/// What all answers to the JoinGroups of a generation have in common.
#[derive(Clone)]
pub(super) struct Joined {
    answer: JoinGroupResponse,
}

impl Joined {
    pub(super) fn answer(&self, version: i16, member_id: &str) -> JoinGroupResponse {
        let mut answer = self.answer.clone();
        answer.member_id = text(member_id);
        if answer.protocol_name.is_none() {
            answer.protocol_name = absent(version);
        }
        answer
    }
}

impl Classic {
    /// The answer to the JoinGroup of a member of this generation, without the leader's list.
    pub(super) fn joined(&self) -> Joined {
        let answer = JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_leader(self.leader.as_deref().map(text).unwrap_or_default());
        Joined { answer }
    }

    /// The list that the leader gets.
    pub(super) fn joined_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let one = |(id, member): (&_, &super::Member)| {
            let id: &crate::step::Name = id;
            JoinGroupResponseMember::default()
                .with_member_id(text(id))
                .with_group_instance_id(member.instance.as_deref().map(text))
                .with_metadata(member.metadata(protocol))
        };
        self.members.iter().map(one).collect()
    }

    /// Tells a member what it joined.
    pub(super) fn tell_joined(&self, step: &mut Step<'_, '_>, to: (Token, i16), member_id: &str) {
        let mut answer = self.joined().answer(to.1, member_id);
        if self.is_leader(member_id) {
            answer.members = self.joined_members();
        }
        step.reply(to.0, Reply::Join(answer));
    }

    /// The answer to a SyncGroup of this generation.
    pub(super) fn synced(&self, assignment: Bytes) -> Reply {
        let answer = SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(assignment);
        Reply::Sync(answer)
    }
}
