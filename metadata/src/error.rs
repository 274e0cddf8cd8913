//! Why the controller refuses a command; each reason has one of Kafka's error codes, and a text for
//! the client.

use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::image::ApplyError;
use super::record::Resource;

/// Why a command was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetaError {
    /// A topic of this name is there.
    #[error("topic \"{0}\" already exists")]
    TopicExists(Arc<str>),
    /// No topic of this name is there.
    #[error("topic \"{0}\" does not exist")]
    UnknownTopic(String),
    /// No topic of this id is there.
    #[error("topic id {0} does not exist")]
    UnknownTopicId(Uuid),
    /// The topic is there, but has no partition of this number.
    #[error("topic \"{topic}\" has no partition {index}")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition.
        index: i32,
    },
    /// The name can't be a topic's.
    #[error("\"{name}\" can't be a topic's name: {reason}")]
    InvalidTopicName {
        /// The name, cut when it is long.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A number of partitions that can't be.
    #[error("{0}")]
    InvalidPartitions(String),
    /// A replication factor that can't be.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// An assignment of replicas to nodes that can't be.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A config key or value that can't be.
    #[error("{0}")]
    InvalidConfig(String),
    /// A command that contradicts itself.
    #[error("{0}")]
    InvalidRequest(String),
    /// A command that goes beyond a limit of ours.
    #[error("{0}")]
    PolicyViolation(String),
    /// `delete.topic.enable` is false.
    #[error("topics can't be deleted: delete.topic.enable is false")]
    TopicDeletionDisabled,
    /// A directory on a drive isn't the one the metadata knows.
    #[error("{0}")]
    InconsistentTopicId(String),
    /// No node of this id has registered.
    #[error("no node with id {0} has registered")]
    BrokerNotRegistered(i32),
    /// A broker's registration that can't be.
    #[error("{0}")]
    InvalidRegistration(String),
    /// Another process that is alive has the node id.
    #[error("{0}")]
    DuplicateBroker(String),
    /// The broker's drives belong to another cluster.
    #[error(
        "the broker's data is of cluster {theirs}, this is cluster {ours}: it has the address of \
         another cluster, or the drives of one"
    )]
    InconsistentClusterId {
        /// The cluster that the broker asked.
        ours: String,
        /// The one it is of.
        theirs: String,
    },
    /// The broker's version can't take part in the cluster as it is.
    #[error("{0}")]
    UnsupportedVersion(String),
    /// The broker's epoch isn't the one it has: it registered again, or another process did.
    #[error("{0}")]
    StaleBrokerEpoch(String),
    /// What was asked rests on metadata that is ahead of this controller's.
    #[error("{0}")]
    NotController(String),
    /// A leader of an earlier epoch asked.
    #[error("{0}")]
    FencedLeaderEpoch(String),
    /// The partition has changed since.
    #[error("{0}")]
    InvalidUpdateVersion(String),
    /// A replica can't be in sync now.
    #[error("{0}")]
    IneligibleReplica(String),
    /// The partition has the leader that the election would give it.
    #[error("the election isn't needed: {0}")]
    ElectionNotNeeded(String),
    /// The preferred leader can't lead now.
    #[error("{0}")]
    PreferredLeaderNotAvailable(String),
    /// No replica can lead now.
    #[error("{0}")]
    EligibleLeadersNotAvailable(String),
    /// There is no reassignment to cancel.
    #[error("partition {index} of topic \"{topic}\" is not being reassigned")]
    NoReassignment {
        /// The topic's name.
        topic: String,
        /// The partition.
        index: i32,
    },
    /// Every producer id is given away.
    #[error("every producer id is given away")]
    ProducerIdsExhausted,
    /// The controller decided what its image can't take: a defect of ours.
    #[error("the decision doesn't fit the metadata it was made on: {0}")]
    Inconsistent(#[from] ApplyError),
}

impl MetaError {
    /// Kafka's error code of this reason.
    pub fn code(&self) -> i16 {
        match self {
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } => 3,
            Self::InvalidTopicName { .. } => 17,
            Self::UnsupportedVersion(_) => 35,
            Self::TopicExists(_) => 36,
            Self::InvalidPartitions(_) => 37,
            Self::InvalidReplicationFactor(_) => 38,
            Self::InvalidReplicaAssignment(_) => 39,
            Self::InvalidConfig(_) => 40,
            Self::NotController(_) => 41,
            Self::InvalidRequest(_) => 42,
            Self::PolicyViolation(_) => 44,
            Self::TopicDeletionDisabled => 73,
            Self::FencedLeaderEpoch(_) => 74,
            Self::StaleBrokerEpoch(_) => 77,
            Self::PreferredLeaderNotAvailable(_) => 80,
            Self::EligibleLeadersNotAvailable(_) => 83,
            Self::ElectionNotNeeded(_) => 84,
            Self::NoReassignment { .. } => 85,
            Self::InvalidUpdateVersion(_) => 95,
            Self::UnknownTopicId(_) => 100,
            Self::DuplicateBroker(_) => 101,
            Self::BrokerNotRegistered(_) => 102,
            Self::InconsistentTopicId(_) => 103,
            Self::InconsistentClusterId { .. } => 104,
            Self::IneligibleReplica(_) => 107,
            Self::InvalidRegistration(_) => 119,
            Self::ProducerIdsExhausted | Self::Inconsistent(_) => -1,
        }
    }
}

/// A resource as people call it.
pub(crate) fn describe(resource: &Resource) -> String {
    use super::record::ResourceType::{Broker, ClientMetrics, Group, Topic};
    match (resource.kind, resource.name.as_str()) {
        (Topic, name) => format!("topic \"{name}\""),
        (Broker, "") => "the brokers".to_owned(),
        (Broker, name) => format!("broker {name}"),
        (ClientMetrics, name) => format!("client metrics subscription \"{name}\""),
        (Group, name) => format!("group \"{name}\""),
    }
}
