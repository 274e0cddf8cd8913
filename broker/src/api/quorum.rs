//! DescribeQuorum (55), AddRaftVoter (80) and RemoveRaftVoter (81): who agrees on the metadata.
//!
//! Kafka knows a voter by its node and the directory of its log; here the node says it all. As its
//! directory the node's first drive is told, which the metadata lies on.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, BrokerId, DescribeQuorumRequest,
    DescribeQuorumResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use metadata::Image;
use uuid::Uuid;

use super::error::Refusal;
use super::seen::text;
use crate::cluster::{CONTROLLER_LISTENER, MemberState, QuorumState};
use crate::shard::Shard;

/// The name of the log that a quorum agrees on, as Kafka has it.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Answers DescribeQuorum.
pub(super) async fn describe(
    shard: &Rc<Shard>,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let response = DescribeQuorumResponse::default();
    if !asks_for_metadata(&request) {
        return unknown(request);
    }
    let state = match shard.describe_quorum().await {
        Ok(state) => state,
        Err(error) => {
            return response
                .with_error_code(error.code())
                .with_error_message(Some(text(&error.to_string())));
        }
    };
    let (partition, nodes) = shard.with_image(|image| {
        let partition = partition_row(image, &state, version);
        (partition, voters(image, &state))
    });
    let topic = TopicData::default()
        .with_topic_name(TopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![partition]);
    let response = response.with_error_message(None).with_topics(vec![topic]);
    match version {
        ..2 => response,
        _ => response.with_nodes(nodes),
    }
}

fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &request.topics[..] else {
        return false;
    };
    let indexes = topic.partitions.iter().map(|one| one.partition_index);
    **topic.topic_name == *METADATA_TOPIC && indexes.eq([0])
}

/// The answer to whoever asks for the quorum of something else.
fn unknown(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let error = ResponseError::UnknownTopicOrPartition;
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|one| {
            PartitionData::default()
                .with_partition_index(one.partition_index)
                .with_error_code(error.code())
                .with_error_message(Some(text("only the metadata has a quorum")))
        });
        let rows = rows.collect();
        TopicData::default()
            .with_topic_name(topic.topic_name)
            .with_partitions(rows)
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

fn partition_row(image: &Image, state: &QuorumState, version: i16) -> PartitionData {
    let replica = |member: &MemberState| {
        let row = ReplicaState::default()
            .with_replica_id(BrokerId(member.node))
            .with_log_end_offset(member.log_end);
        let row = match version {
            0 => row,
            _ => row
                .with_last_fetch_timestamp(member.heard_ms)
                .with_last_caught_up_timestamp(member.caught_up_ms),
        };
        match version {
            ..2 => row,
            _ => row.with_replica_directory_id(directory(image, member.node)),
        }
    };
    let epoch = i32::try_from(state.term).unwrap_or(i32::MAX);
    PartitionData::default()
        .with_error_message(None)
        .with_partition_index(0)
        .with_leader_id(BrokerId(state.leader))
        .with_leader_epoch(epoch)
        .with_high_watermark(state.high_watermark)
        .with_current_voters(state.voters.iter().map(replica).collect())
        .with_observers(state.observers.iter().map(replica).collect())
}

/// The directory by which Kafka's clients know a member; nil where the node isn't registered.
fn directory(image: &Image, node: i32) -> Uuid {
    let drives = image.broker(node).map(|broker| &broker.drives);
    let first = drives.and_then(|drives| drives.first());
    first.map_or(Uuid::nil(), |drive| drive.id)
}

/// Where the voters are reached by each other.
fn voters(image: &Image, state: &QuorumState) -> Vec<Node> {
    let one = |member: &MemberState| {
        let broker = image.broker(member.node);
        let endpoints = broker.map_or(&[][..], |broker| &broker.endpoints);
        let internal = endpoints.iter().filter(|at| at.name == CONTROLLER_LISTENER);
        let listeners = internal.map(|at| {
            Listener::default()
                .with_name(text(&at.name))
                .with_host(text(&at.host))
                .with_port(at.port)
        });
        Node::default()
            .with_node_id(BrokerId(member.node))
            .with_listeners(listeners.collect())
    };
    state.voters.iter().map(one).collect()
}

/// Answers AddRaftVoter.
pub(super) async fn add(shard: &Rc<Shard>, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
    let (node, dir) = (request.voter_id, request.voter_directory_id);
    let done = match check_cluster(shard, request.cluster_id.as_ref()) {
        Err(refusal) => Err(refusal),
        Ok(()) => change(shard, node, dir, true).await,
    };
    let (code, why) = outcome(done);
    AddRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(why)
}

/// Answers RemoveRaftVoter.
pub(super) async fn remove(
    shard: &Rc<Shard>,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let (node, dir) = (request.voter_id, request.voter_directory_id);
    let done = match check_cluster(shard, request.cluster_id.as_ref()) {
        Err(refusal) => Err(refusal),
        Ok(()) => change(shard, node, dir, false).await,
    };
    let (code, why) = outcome(done);
    RemoveRaftVoterResponse::default()
        .with_error_code(code)
        .with_error_message(why)
}

fn check_cluster(shard: &Shard, theirs: Option<&StrBytes>) -> Result<(), Refusal> {
    let ours = shard.with_image(|image| image.cluster_id().map(str::to_owned));
    match theirs {
        Some(theirs) if ours.as_deref() != Some(theirs.as_str()) => Err(Refusal::with(
            ResponseError::InconsistentClusterId,
            format!(
                "the request is for cluster {}, this is {}",
                theirs.as_str(),
                ours.unwrap_or_default()
            ),
        )),
        _ => Ok(()),
    }
}

/// Makes a node a voter, or a voter none. Who names a directory has to name the node's own: the node
/// may have been set up anew since.
async fn change(shard: &Rc<Shard>, node: i32, dir: Uuid, add: bool) -> Result<(), Refusal> {
    let own = shard.with_image(|image| directory(image, node));
    if !dir.is_nil() && dir != own {
        let error = match add {
            true => ResponseError::InvalidRequest,
            false => ResponseError::VoterNotFound,
        };
        let why = match own.is_nil() {
            true => format!(
                "node {node} isn't registered, so its directory isn't known; name it by directory {}",
                Shard::shown_id(own)
            ),
            false => format!(
                "the directory of node {node} is {}, not {}",
                Shard::shown_id(own),
                Shard::shown_id(dir)
            ),
        };
        return Err(Refusal::with(error, why));
    }
    let changed = shard.change_voter(node, add).await;
    changed.map_err(|error| error.refusal())
}

fn outcome(done: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match done {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.error.code(), refusal.message.as_deref().map(text)),
    }
}
