//! What the coordinator of groups is asked, and what it answers: Kafka's requests and responses, or the
//! part of them that is about one group.

use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

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
}
