//! What the coordinator of groups is asked, and what it answers: Kafka's requests and responses, or the
//! part of them that is about one group.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_share_group_offsets_response::AlterShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup as DescribedShareGroup;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    DeleteShareGroupOffsetsRequest, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use uuid::Uuid;

use crate::assign::Partitions;
use crate::consumer::Refusal;

/// The client that asks, as it is shown by DescribeGroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The client id of the request's header; empty if it has none.
    pub client_id: String,
    /// Where the connection comes from, as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
}

/// A question to the coordinator of groups. An `i16` is the version of the request.
#[derive(Clone, Debug)]
pub enum Ask {
    /// JoinGroup; the answer may take as long as the group's rebalance.
    Join(Asker, i16, JoinGroupRequest),
    /// SyncGroup; the answer waits for the leader's assignment.
    Sync(i16, SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(i16, LeaveGroupRequest),
    /// OffsetCommit, of partitions that exist.
    Commit(i16, OffsetCommitRequest),
    /// TxnOffsetCommit, of partitions that exist.
    TxnCommit(i16, TxnOffsetCommitRequest),
    /// OffsetFetch of one group. Topics have names, whatever the version of the request.
    Fetch {
        /// The group and what of it.
        group: OffsetFetchRequestGroup,
        /// Whether partitions with commits of open transactions get UNSTABLE_OFFSET_COMMIT.
        require_stable: bool,
    },
    /// OffsetDelete.
    DeleteOffsets(OffsetDeleteRequest),
    /// ListGroups: the groups in one of these states and of one of these types; empty means all.
    List {
        /// Names of states, in any case.
        states: Vec<String>,
        /// Names of types, in any case.
        types: Vec<String>,
    },
    /// DescribeGroups of one group.
    Describe(GroupId, i16),
    /// DeleteGroups of one group.
    Delete(GroupId),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Asker, i16, ConsumerGroupHeartbeatRequest),
    /// ConsumerGroupDescribe of one group.
    ConsumerDescribe(GroupId),
    /// ShareGroupHeartbeat.
    ShareHeartbeat(Asker, ShareGroupHeartbeatRequest),
    /// ShareGroupDescribe of one group.
    ShareDescribe(GroupId),
    /// About the states of a share group's partitions; the group's id first.
    Share(String, ShareAsk),
}

/// A question or news about the states of a share group's partitions, which the share coordinator keeps. What
/// is to be done there is done by who asks.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareAsk {
    /// These were made, as an [`Effect`](crate::Effect) or [`ShareReply::Altered`] had it.
    Initialized(Partitions),
    /// These could not be made.
    NotInitialized(Partitions),
    /// Which partitions have one; [`ShareReply::Partitions`], of none if there is no such group.
    WithState,
    /// The group is to be deleted: which states are to be deleted before; [`ShareReply::Partitions`]. None if it
    /// is no share group.
    Delete,
    /// AlterShareGroupOffsets; [`ShareReply::Altered`].
    Alter(AlterShareGroupOffsetsRequest),
    /// DeleteShareGroupOffsets; [`ShareReply::OffsetsDeleted`].
    DeleteOffsets(DeleteShareGroupOffsetsRequest),
    /// Those of all partitions of these topics were deleted.
    OffsetsDeleted(Vec<Uuid>),
}

/// The answer to a [`ShareAsk`]; an error has a text for people.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareReply {
    /// It was only news.
    Noted,
    /// Partitions by topic.
    Partitions(Result<Partitions, (ResponseError, String)>),
    /// What is to be put where.
    Altered(Result<ShareAltered, (ResponseError, String)>),
    /// What is to be deleted.
    OffsetsDeleted(Result<ShareOffsetsDeleted, (ResponseError, String)>),
}

/// A share-partition and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareStart {
    /// The topic's id.
    pub topic: Uuid,
    /// The partition.
    pub partition: i32,
    /// The offset, [`NO_START_OFFSET`](crate::NO_START_OFFSET) for none.
    pub start_offset: i64,
}

/// What AlterShareGroupOffsets comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareAltered {
    /// The rows of the response, where nothing else goes wrong.
    pub rows: Vec<AlterShareGroupOffsetsResponseTopic>,
    /// The epoch of the states.
    pub state_epoch: i32,
    /// What is to be put where.
    pub starts: Vec<ShareStart>,
}

/// What DeleteShareGroupOffsets comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareOffsetsDeleted {
    /// The rows of topics that nothing is deleted of.
    pub refused: Vec<DeleteShareGroupOffsetsResponseTopic>,
    /// What is to be deleted.
    pub topics: Vec<ShareTopic>,
}

/// Some partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareTopic {
    /// The topic's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The partitions.
    pub partitions: BTreeSet<i32>,
}

impl From<Refusal> for (ResponseError, String) {
    fn from(refusal: Refusal) -> Self {
        (refusal.error, refusal.message)
    }
}

/// The answer to the [`Ask`] of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// JoinGroup.
    Join(JoinGroupResponse),
    /// SyncGroup.
    Sync(SyncGroupResponse),
    /// Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// LeaveGroup.
    Leave(LeaveGroupResponse),
    /// OffsetCommit, the partitions in the order of the request.
    Commit(OffsetCommitResponse),
    /// TxnOffsetCommit, the partitions in the order of the request.
    TxnCommit(TxnOffsetCommitResponse),
    /// OffsetFetch of one group.
    Fetch(OffsetFetchResponseGroup),
    /// OffsetDelete.
    DeleteOffsets(OffsetDeleteResponse),
    /// ListGroups, in order of the groups' ids.
    List(Vec<ListedGroup>),
    /// DescribeGroups of one group.
    Describe(DescribedGroup),
    /// DeleteGroups of one group.
    Delete(DeletableGroupResult),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// ConsumerGroupDescribe of one group.
    ConsumerDescribe(DescribedConsumerGroup),
    /// ShareGroupHeartbeat.
    ShareHeartbeat(ShareGroupHeartbeatResponse),
    /// ShareGroupDescribe of one group.
    ShareDescribe(DescribedShareGroup),
    /// About the states of a share group's partitions.
    Share(ShareReply),
}
