//! The nodes of a cluster: those that are away too, their drives, and who agrees on the metadata.

use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{
    AddRaftVoterRequest, BrokerId, DescribeClusterRequest, DescribeLogDirsRequest,
    DescribeQuorumRequest, RemoveRaftVoterRequest, TopicName, UnregisterBrokerRequest,
};
use uuid::Uuid;

use super::error::{ClientError, Refusal};
use super::{Broker, Client, text};

/// The name of the log that the quorum agrees on.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A node that is registered in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where clients reach it.
    pub broker: Broker,
    /// Whether it may not lead or be in sync: it isn't heard of, or hasn't caught up yet.
    pub fenced: bool,
}

/// A drive of a node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveInfo {
    /// Its directory.
    pub path: String,
    /// Why it can't be used, if it can't.
    pub error: Option<Refusal>,
    /// Bytes of its file system, and how many of them are free; where the node tells.
    pub space: Option<(i64, i64)>,
}

/// A member of the metadata's quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumMember {
    /// Its node.
    pub node: i32,
    /// The directory by which Kafka knows it; nil where that isn't told.
    pub directory: Uuid,
    /// The offset up to which it has the metadata; -1 where that isn't known.
    pub log_end: i64,
    /// When it last had all of it, in milliseconds since 1970; -1 where that isn't known.
    pub caught_up_ms: i64,
}

/// Who agrees on the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The node that leads it, the controller.
    pub leader: i32,
    /// Counts the leaders.
    pub epoch: i32,
    /// The offset after the last record that all agree on.
    pub high_watermark: i64,
    /// Those who vote.
    pub voters: Vec<QuorumMember>,
    /// Those who follow without a vote.
    pub observers: Vec<QuorumMember>,
}

impl Quorum {
    /// All members, the voters first.
    pub fn members(&self) -> impl Iterator<Item = &QuorumMember> {
        self.voters.iter().chain(&self.observers)
    }
}

impl QuorumMember {
    fn from_wire(state: &ReplicaState) -> Self {
        Self {
            node: state.replica_id.0,
            directory: state.replica_directory_id,
            log_end: state.log_end_offset,
            caught_up_ms: state.last_caught_up_timestamp,
        }
    }
}

impl Client {
    /// All registered nodes by id, those that are away too where the cluster tells of them.
    pub fn nodes(&mut self) -> Result<Vec<Node>, ClientError> {
        let request = DescribeClusterRequest::default();
        let all = request.clone().with_include_fenced_brokers(true);
        let answer = match self.call(&all) {
            // Versions before 2 can't say that they want all.
            Err(ClientError::Codec { .. }) => self.call(&request)?,
            answer => answer?,
        };
        Refusal::check(answer.error_code, answer.error_message.as_deref())
            .map_err(|refusal| ClientError::refused("the cluster".to_owned(), refusal))?;
        let mut nodes: Vec<Node> = answer
            .brokers
            .iter()
            .map(|broker| Node {
                broker: Broker {
                    id: broker.broker_id.0,
                    host: broker.host.to_string(),
                    port: broker.port,
                    rack: broker.rack.as_ref().map(ToString::to_string),
                },
                fenced: broker.is_fenced,
            })
            .collect();
        nodes.sort_by_key(|node| node.broker.id);
        Ok(nodes)
    }

    /// The drives of a node.
    pub fn drives(&mut self, node: i32) -> Result<Vec<DriveInfo>, ClientError> {
        // No topic is asked for: what lies on the drives is of no interest here.
        let request = DescribeLogDirsRequest::default().with_topics(Some(Vec::new()));
        let answer = self.call_node(node, &request)?;
        let one =
            |dir: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
                DriveInfo {
                    path: dir.log_dir.to_string(),
                    error: Refusal::check(dir.error_code, None).err(),
                    space: (dir.total_bytes >= 0).then_some((dir.total_bytes, dir.usable_bytes)),
                }
            };
        Ok(answer.results.iter().map(one).collect())
    }

    /// Who agrees on the metadata.
    pub fn quorum(&mut self) -> Result<Quorum, ClientError> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default()
            .with_topic_name(TopicName(text(METADATA_TOPIC)))
            .with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let answer = self.call(&request)?;
        let refused = |refusal| ClientError::refused("the quorum".to_owned(), refusal);
        Refusal::check(answer.error_code, answer.error_message.as_deref()).map_err(refused)?;
        let rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let found = rows.into_iter().next();
        let row = found
            .ok_or_else(|| refused(Refusal::from(super::KafkaError::UNKNOWN_TOPIC_OR_PARTITION)))?;
        Refusal::check(row.error_code, row.error_message.as_deref()).map_err(refused)?;
        Ok(Quorum {
            leader: row.leader_id.0,
            epoch: row.leader_epoch,
            high_watermark: row.high_watermark,
            voters: row
                .current_voters
                .iter()
                .map(QuorumMember::from_wire)
                .collect(),
            observers: row.observers.iter().map(QuorumMember::from_wire).collect(),
        })
    }

    /// Makes a node, known by its directory too, a voter of the quorum.
    pub fn add_voter(&mut self, node: i32, directory: Uuid) -> Result<(), ClientError> {
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(self.cluster.id.as_deref().map(text))
            .with_timeout_ms(self.timeout_ms())
            .with_voter_id(node)
            .with_voter_directory_id(directory);
        let answer = self.call(&request)?;
        Refusal::check(answer.error_code, answer.error_message.as_deref())
            .map_err(|refusal| ClientError::refused(format!("node {node}"), refusal))
    }

    /// Makes a voter of the quorum none.
    pub fn remove_voter(&mut self, node: i32, directory: Uuid) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest::default()
            .with_cluster_id(self.cluster.id.as_deref().map(text))
            .with_voter_id(node)
            .with_voter_directory_id(directory);
        let answer = self.call(&request)?;
        Refusal::check(answer.error_code, answer.error_message.as_deref())
            .map_err(|refusal| ClientError::refused(format!("node {node}"), refusal))
    }

    /// Takes a node out of the cluster.
    pub fn unregister(&mut self, node: i32) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(node));
        let answer = self.call(&request)?;
        Refusal::check(answer.error_code, answer.error_message.as_deref())
            .map_err(|refusal| ClientError::refused(format!("node {node}"), refusal))
    }
}
