//! Requests in few words.

use bytes::Bytes;
use coordinator::Token;
use coordinator::wire::Writer;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, ProducerId, SyncGroupRequest, SyncGroupResponse,
    TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::rig::{Rig, asker};
use crate::{Ask, Reply};

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// What a consumer says that is subscribed to these.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut writer = Writer::of_version(1);
    writer.array(topics.len());
    topics.iter().for_each(|topic| writer.string(topic));
    writer.i32(-1);
    writer.array(0);
    writer.finish()
}

/// A JoinGroup of a consumer to the group "g".
pub(super) fn join(member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(subscription(&["t"]));
    JoinGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(member_id))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

pub(super) fn assigned(members: &[(&str, &str)]) -> Vec<SyncGroupRequestAssignment> {
    let one = |(id, assignment): &(&str, &str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(id))
            .with_assignment(Bytes::from(assignment.to_string()))
    };
    members.iter().map(one).collect()
}

pub(super) fn commit(
    generation: i32,
    member_id: &str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(3)
        .with_committed_metadata(Some(text("said")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("t"))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member_id))
        .with_topics(vec![topic])
}

pub(super) fn commit_of(producer_id: i64, partition: i32, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name("t"))
        .with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_producer_id(ProducerId(producer_id))
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

impl Rig {
    pub(super) fn join(&mut self, version: i16, request: JoinGroupRequest) -> Token {
        self.ask(Ask::Join(asker(), version, request))
    }

    pub(super) fn joined(&mut self, token: Token) -> JoinGroupResponse {
        match self.taken(token) {
            Reply::Join(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// A new member that was given its id, and waits for the rebalance.
    pub(super) fn join_new(&mut self) -> (String, Token) {
        let token = self.join(9, join("", None));
        let answer = self.joined(token);
        assert_eq!(answer.error_code, 79);
        let id = answer.member_id.to_string();
        let token = self.join(9, join(&id, None));
        (id, token)
    }

    pub(super) fn sync(
        &mut self,
        generation: i32,
        id: &str,
        assignments: &[(&str, &str)],
    ) -> Token {
        let request = SyncGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(generation)
            .with_member_id(text(id))
            .with_assignments(assigned(assignments));
        self.ask(Ask::Sync(4, request))
    }

    pub(super) fn synced(&mut self, token: Token) -> SyncGroupResponse {
        match self.taken(token) {
            Reply::Sync(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, generation: i32, id: &str) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(generation)
            .with_member_id(text(id));
        match self.answer(Ask::Heartbeat(request)) {
            Reply::Heartbeat(answer) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
        let one = |(id, instance): &(&str, Option<&str>)| {
            MemberIdentity::default()
                .with_member_id(text(id))
                .with_group_instance_id(instance.map(text))
        };
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_members(members.iter().map(one).collect());
        match self.answer(Ask::Leave(5, request)) {
            Reply::Leave(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The error code of a commit of one partition.
    pub(super) fn commit(&mut self, request: OffsetCommitRequest) -> i16 {
        match self.answer(Ask::Commit(8, request)) {
            Reply::Commit(answer) => answer.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit_of(&mut self, request: TxnOffsetCommitRequest) -> i16 {
        match self.answer(Ask::TxnCommit(3, request)) {
            Reply::TxnCommit(answer) => answer.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    /// The offset that is committed of a partition of "t", and the error code.
    pub(super) fn fetch(&mut self, partition: i32, require_stable: bool) -> (i64, i16) {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(topic_name("t"))
            .with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group_id("g"))
            .with_topics(Some(vec![topics]));
        match self.answer(Ask::Fetch {
            group,
            require_stable,
        }) {
            Reply::Fetch(answer) => {
                let partition = &answer.topics[0].partitions[0];
                (partition.committed_offset, partition.error_code)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The state of "g" as ListGroups has it.
    pub(super) fn state(&mut self) -> Option<String> {
        let ask = Ask::List {
            states: Vec::new(),
            types: Vec::new(),
        };
        match self.answer(ask) {
            Reply::List(groups) => groups.first().map(|group| group.group_state.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// A stable group of these many dynamic members: their ids, the leader first.
    pub(super) fn stable(&mut self, members: usize) -> Vec<String> {
        let joining: Vec<_> = (0..members).map(|_| self.join_new()).collect();
        self.pass(self.settings.initial_rebalance_delay_ms * 2);
        let mut ids = Vec::new();
        let mut leader = String::new();
        let mut generation = 0;
        for (id, token) in joining {
            let answer = self.joined(token);
            assert_eq!(answer.error_code, 0);
            leader = answer.leader.to_string();
            generation = answer.generation_id;
            ids.push(id);
        }
        ids.sort_by_key(|id| *id != leader);
        for id in &ids {
            let given: Vec<(&str, &str)> =
                ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
            let given = if *id == leader { given } else { Vec::new() };
            let token = self.sync(generation, id, &given);
            assert_eq!(self.synced(token).assignment, id.as_bytes());
        }
        ids
    }
}
