//! A group of any type, as far as offsets, listing and deletion are concerned.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::protocol::StrBytes;

use crate::classic::Classic;
use crate::consumer::ConsumerGroup;
use crate::embedded::PROTOCOL_TYPE;
use crate::share::{self, ShareGroup};
use crate::step::Step;

/// A group.
#[derive(Debug)]
pub(crate) enum Group {
    /// Of the classic protocol, or of none: one that only commits offsets.
    Classic(Box<Classic>),
    /// Of the consumer protocol.
    Consumer(Box<ConsumerGroup>),
    /// Of the share protocol: it commits no offsets.
    Share(Box<ShareGroup>),
}

/// Who commits offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance: Option<&'a str>,
    /// The generation, or the member's epoch; negative if it isn't a member.
    pub(crate) generation: i32,
    /// The version of OffsetCommit; `None` for a transaction.
    pub(crate) version: Option<i16>,
}

/// From when on the retention of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It doesn't: the group is using them.
    Never,
    /// From when each was committed.
    SinceCommit,
    /// From this time on, in milliseconds since 1970.
    Since(i64),
}

impl Group {
    /// An empty one without a protocol.
    pub(crate) fn new_classic(id: &str, now_ms: i64) -> Self {
        Self::Classic(Box::new(Classic::new(id.into(), now_ms)))
    }

    /// The name of its type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
            Self::Share(_) => "share",
        }
    }

    /// The name of its state.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state(),
            Self::Share(group) => group.state(),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
            Self::Share(group) => group.is_empty(),
        }
    }

    /// Whether it may commit offsets: the error that it gets if not.
    pub(crate) fn may_commit(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        match self {
            Self::Classic(group) => group.may_commit(committer),
            Self::Consumer(group) => group.may_commit(committer),
            Self::Share(_) => Err(ResponseError::GroupIdNotFound),
        }
    }

    /// Takes note of a commit of a member, which for a classic one is as good as a heartbeat.
    pub(crate) fn committed(&self, step: &mut Step<'_, '_>, member_id: &str) {
        match self {
            Self::Classic(group) => group.committed(step, member_id),
            Self::Consumer(_) | Self::Share(_) => {}
        }
    }

    /// Whether this member may see offsets: the error that it gets if not. A classic group lets everybody.
    pub(crate) fn may_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ResponseError> {
        match self {
            Self::Classic(_) => Ok(()),
            Self::Consumer(group) => group.may_fetch(member_id, member_epoch),
            Self::Share(_) => Err(ResponseError::GroupIdNotFound),
        }
    }

    /// Whether offsets of topics that it isn't subscribed to may be deleted.
    pub(crate) fn may_delete_offsets(&self) -> Result<(), ResponseError> {
        match self {
            Self::Classic(group) => group.may_delete_offsets(),
            Self::Consumer(_) => Ok(()),
            Self::Share(_) => Err(ResponseError::GroupIdNotFound),
        }
    }

    /// Whether it has, as far as is known, a member that is subscribed to the topic.
    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.subscribes(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
            Self::Share(group) => group.is_subscribed_to(topic),
        }
    }

    /// From when on the retention of its offsets counts.
    pub(crate) fn expiry(&self) -> Expiry {
        match self {
            Self::Classic(group) => group.expiry(),
            Self::Consumer(_) => Expiry::SinceCommit,
            Self::Share(_) => Expiry::Never,
        }
    }

    /// As ListGroups shows it.
    pub(crate) fn listed(&self, id: &str) -> ListedGroup {
        let protocol_type = match self {
            Self::Classic(group) => group.protocol_type().unwrap_or_default(),
            Self::Consumer(_) => PROTOCOL_TYPE,
            Self::Share(_) => share::PROTOCOL_TYPE,
        };
        ListedGroup::default()
            .with_group_id(GroupId(StrBytes::from_string(id.to_owned())))
            .with_protocol_type(StrBytes::from_string(protocol_type.to_owned()))
            .with_group_state(StrBytes::from_static_str(self.state()))
            .with_group_type(StrBytes::from_static_str(self.kind()))
    }
}
