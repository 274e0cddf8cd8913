//! What the cluster looks like: brokers, topics, and who leads each partition.

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, TopicName};
use uuid::Uuid;

use super::error::{ClientError, KafkaError};
use super::{Client, TopicPartition, text};

/// A broker as the cluster names it to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its node id.
    pub id: i32,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: i32,
    /// Its rack, where one is set.
    pub rack: Option<String>,
}

impl Broker {
    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// One partition, as metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The leading node, if there is one.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 where the broker does not tell.
    pub leader_epoch: i32,
    /// The nodes with a replica.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
    /// Those of them that are offline.
    pub offline: Vec<i32>,
    /// What is wrong with it, if anything.
    pub error: Option<KafkaError>,
}

/// One topic, as metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id; nil where the broker does not tell.
    pub id: Uuid,
    /// Whether it is one of the cluster's own.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionInfo>,
    /// Why it cannot be described, if it cannot.
    pub error: Option<KafkaError>,
}

/// The cluster as one metadata answer described it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: Option<String>,
    /// The controller's node id, if one is known.
    pub controller: Option<i32>,
    /// The live brokers, by id.
    pub brokers: Vec<Broker>,
    /// The topics that were asked for, by name.
    pub topics: BTreeMap<String, TopicInfo>,
}

impl Cluster {
    /// The broker with that id.
    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.id == id)
    }

    /// What metadata says about a partition's leader: its node, or why there is none.
    pub(crate) fn leader(&self, at: &TopicPartition) -> Result<i32, KafkaError> {
        let topic = self
            .topics
            .get(&at.topic)
            .ok_or(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)?;
        if let Some(error) = topic.error {
            return Err(error);
        }
        let partition = topic
            .partitions
            .iter()
            .find(|info| info.partition == at.partition)
            .ok_or(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)?;
        // A partition may have an error and a leader: a replica of it is offline.
        partition
            .leader
            .ok_or(partition.error.unwrap_or(KafkaError::LEADER_NOT_AVAILABLE))
    }

    /// The error that keeps `name` from being used as a whole, if there is one.
    fn trouble(&self, name: &str) -> Option<KafkaError> {
        let Some(topic) = self.topics.get(name) else {
            return Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        };
        if topic.error.is_some() {
            return topic.error;
        }
        let leaderless = topic.partitions.iter().find(|p| p.leader.is_none());
        leaderless.map(|p| p.error.unwrap_or(KafkaError::LEADER_NOT_AVAILABLE))
    }
}

impl Client {
    /// Describes the brokers and the named topics. With `create`, topics that do not exist
    /// are created where the cluster allows that.
    pub fn metadata(&mut self, topics: &[&str], create: bool) -> Result<Cluster, ClientError> {
        let wanted = topics
            .iter()
            .map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))))
            .collect();
        self.ask_metadata(Some(wanted), create)
    }

    /// Describes the brokers and every topic.
    pub fn all_topics(&mut self) -> Result<Cluster, ClientError> {
        self.ask_metadata(None, false)
    }

    /// Describes the named topics, asking again until each has a leader for every
    /// partition. With `create` it also waits for topics that do not exist yet.
    ///
    /// Returns the last answer when the client's `retry_for` has passed; look at the
    /// topics' errors.
    pub fn wait_for_leaders(
        &mut self,
        topics: &[&str],
        create: bool,
    ) -> Result<Cluster, ClientError> {
        let deadline = std::time::Instant::now() + self.config.retry_for;
        loop {
            let cluster = self.metadata(topics, create)?;
            let waiting = topics.iter().any(|name| {
                cluster.trouble(name).is_some_and(|error| {
                    let missing = error == KafkaError::UNKNOWN_TOPIC_OR_PARTITION;
                    error.is_retriable() && (create || !missing)
                })
            });
            if !waiting || std::time::Instant::now() >= deadline {
                return Ok(cluster);
            }
            std::thread::sleep(super::RETRY_PAUSE);
        }
    }

    /// The address of a partition's leader, asking the cluster where it is not known.
    pub(super) fn leader_address(&mut self, at: &TopicPartition) -> Result<String, ClientError> {
        if self.cluster.leader(at).is_err() {
            self.metadata(&[&at.topic], false)?;
        }
        let node = self
            .cluster
            .leader(at)
            .map_err(|error| ClientError::NoLeader {
                topic: at.topic.clone(),
                partition: at.partition,
                error,
            })?;
        self.address_of(node)
    }

    /// Forgets who leads the topic's partitions: the next use asks again.
    pub(super) fn forget_leaders(&mut self, topic: &str) {
        self.cluster.topics.remove(topic);
    }

    fn ask_metadata(
        &mut self,
        topics: Option<Vec<MetadataRequestTopic>>,
        create: bool,
    ) -> Result<Cluster, ClientError> {
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(create);
        let answer = self.retrying(|client| client.call_any(&request, i16::MAX))?;
        Ok(self.learn(&answer))
    }

    /// Asks for the brokers, once.
    pub(super) fn learn_brokers(&mut self) -> Result<(), ClientError> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let answer = self.call_any(&request, i16::MAX)?;
        self.learn(&answer);
        Ok(())
    }

    fn learn(&mut self, answer: &MetadataResponse) -> Cluster {
        let cluster = describe_cluster(answer);
        self.cluster.id.clone_from(&cluster.id);
        self.cluster.controller = cluster.controller;
        self.cluster.brokers.clone_from(&cluster.brokers);
        for (name, topic) in &cluster.topics {
            self.cluster.topics.insert(name.clone(), topic.clone());
        }
        cluster
    }
}

/// What a metadata answer says.
pub(crate) fn describe_cluster(answer: &MetadataResponse) -> Cluster {
    let mut brokers: Vec<_> = answer
        .brokers
        .iter()
        .map(|broker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: broker.port,
            rack: broker.rack.as_ref().map(ToString::to_string),
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    Cluster {
        id: answer.cluster_id.as_ref().map(ToString::to_string),
        controller: Some(answer.controller_id.0).filter(|id| *id >= 0),
        brokers,
        topics: answer.topics.iter().filter_map(describe_topic).collect(),
    }
}

fn describe_topic(topic: &MetadataResponseTopic) -> Option<(String, TopicInfo)> {
    let name = topic.name.as_ref()?.to_string();
    let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|id| id.0).collect();
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| PartitionInfo {
            partition: partition.partition_index,
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
            offline: ids(&partition.offline_replicas),
            error: KafkaError::from_code(partition.error_code),
        })
        .collect();
    partitions.sort_by_key(|info| info.partition);
    let info = TopicInfo {
        name: name.clone(),
        id: topic.topic_id,
        internal: topic.is_internal,
        partitions,
        error: KafkaError::from_code(topic.error_code),
    };
    Some((name, info))
}
