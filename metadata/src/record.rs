//! The metadata records as owned values: what the log stores, what is broadcast to every shard,
//! what `Image` applies.
//!
//! A record says what *is*, never what was asked: applying one needs no clock, no choice and no
//! validation beyond its own consistency, so that every shard and every later start gets the same
//! image. Their bytes are in `codec`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use uuid::Uuid;

/// The feature whose level says which records and fields a broker has to understand to read this
/// log.
pub const METADATA_VERSION: &str = "metadata.version";

/// The level of [`METADATA_VERSION`] that this broker writes, and the highest it reads.
///
/// Level 1 knew single nodes only. Level 2 brought what a cluster needs: broker epochs, fencing,
/// reassignments.
pub const METADATA_VERSION_LEVEL: i16 = 2;

/// The lowest and the highest level of [`METADATA_VERSION`] that this broker reads.
pub const METADATA_VERSIONS: (i16, i16) = (1, METADATA_VERSION_LEVEL);

/// One change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A topic exists; its partitions follow as records of their own.
    Topic(TopicRecord),
    /// A partition exists.
    Partition(PartitionRecord),
    /// A topic is gone, with its partitions and configs.
    RemoveTopic(RemoveTopicRecord),
    /// Something of a partition changed.
    PartitionChange(PartitionChangeRecord),
    /// A config key of a resource has a value, or has none any more.
    Config(ConfigRecord),
    /// A block of producer ids was given away.
    ProducerIdBlock(ProducerIdBlockRecord),
    /// A broker registered.
    Broker(BrokerRecord),
    /// A feature has a level.
    Feature(FeatureRecord),
    /// The id of the cluster.
    ClusterId(ClusterIdRecord),
    /// Something of a broker changed since it registered.
    BrokerChange(BrokerChangeRecord),
    /// A broker is no longer part of the cluster.
    UnregisterBroker(UnregisterBrokerRecord),
    /// The highest epoch that a broker has had.
    LastBrokerEpoch(LastBrokerEpochRecord),
}

/// A topic exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The topic's id, never used again after the topic is removed.
    pub id: Uuid,
    /// The topic's name.
    pub name: Arc<str>,
}

/// A partition exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// The topic it belongs to, which is there already.
    pub topic_id: Uuid,
    /// Its number: the next one of its topic.
    pub index: i32,
    /// Where it is and who leads it.
    pub state: PartitionState,
}

/// Where a partition is and who leads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// The nodes that hold a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas in sync.
    pub isr: Vec<i32>,
    /// The leading node, or -1.
    pub leader: i32,
    /// Counts the leaders.
    pub leader_epoch: i32,
    /// Counts the changes.
    pub partition_epoch: i32,
    /// The drive of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// Those of `replicas` that a reassignment in progress brings in.
    pub adding: Vec<i32>,
    /// Those of `replicas` that go when a reassignment in progress is complete.
    pub removing: Vec<i32>,
}

impl PartitionState {
    /// Whether the replicas are being reassigned.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// This with `change`.
    pub fn with(&self, change: &PartitionChangeRecord) -> Self {
        let new = |list: &Option<Vec<i32>>, old: &Vec<i32>| list.as_ref().unwrap_or(old).clone();
        let directories = change.directories.as_ref().unwrap_or(&self.directories);
        Self {
            replicas: new(&change.replicas, &self.replicas),
            isr: new(&change.isr, &self.isr),
            leader: change.leader.unwrap_or(self.leader),
            leader_epoch: change.leader_epoch.unwrap_or(self.leader_epoch),
            partition_epoch: change.partition_epoch,
            directories: directories.clone(),
            adding: new(&change.adding, &self.adding),
            removing: new(&change.removing, &self.removing),
        }
    }

    /// The replica that leads when it can: the first.
    pub fn preferred_leader(&self) -> Option<i32> {
        self.replicas.first().copied()
    }

    /// The drive that holds the replica of `node`, if it has one.
    pub fn directory_on(&self, node: i32) -> Option<Uuid> {
        let at = self.replicas.iter().position(|&replica| replica == node)?;
        self.directories.get(at).copied()
    }
}

/// A topic is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveTopicRecord {
    /// The topic's id.
    pub id: Uuid,
}

/// Something of a partition changed; what is `None` stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionChangeRecord {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's number.
    pub index: i32,
    /// New replicas; `directories` comes with them.
    pub replicas: Option<Vec<i32>>,
    /// New in-sync replicas.
    pub isr: Option<Vec<i32>>,
    /// New leader, or -1.
    pub leader: Option<i32>,
    /// New leader epoch.
    pub leader_epoch: Option<i32>,
    /// The partition's epoch from here on.
    pub partition_epoch: i32,
    /// New drives, one per replica.
    pub directories: Option<Vec<Uuid>>,
    /// New adding replicas; empty when there are none any more.
    pub adding: Option<Vec<i32>>,
    /// New removing replicas; empty when there are none any more.
    pub removing: Option<Vec<i32>>,
}

impl PartitionChangeRecord {
    /// A change of nothing but the partition's epoch.
    pub fn of(topic_id: Uuid, index: i32, partition_epoch: i32) -> Self {
        Self {
            topic_id,
            index,
            replicas: None,
            isr: None,
            leader: None,
            leader_epoch: None,
            partition_epoch,
            directories: None,
            adding: None,
            removing: None,
        }
    }
}

/// The kinds of resource that have configs, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum ResourceType {
    /// A topic, by name.
    Topic = 2,
    /// A broker by node id, or all brokers by the empty name.
    Broker = 4,
    /// Client metrics subscriptions.
    ClientMetrics = 16,
    /// A group, by id.
    Group = 32,
}

impl ResourceType {
    /// Kafka's number of this kind.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind of Kafka's number, if it has configs that are stored.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }
}

/// Something that has configs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// Its kind.
    pub kind: ResourceType,
    /// Its name; for all brokers it is empty.
    pub name: String,
}

impl Resource {
    /// The topic called `name`.
    pub fn topic(name: impl Into<String>) -> Self {
        Self {
            kind: ResourceType::Topic,
            name: name.into(),
        }
    }

    /// The broker `node`.
    pub fn broker(node: i32) -> Self {
        Self {
            kind: ResourceType::Broker,
            name: node.to_string(),
        }
    }

    /// What holds for every broker that says nothing of its own.
    pub fn all_brokers() -> Self {
        Self {
            kind: ResourceType::Broker,
            name: String::new(),
        }
    }
}

/// A config key of a resource has a value, or has none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRecord {
    /// Whose config.
    pub resource: Resource,
    /// The key, by Kafka's name.
    pub key: String,
    /// The value; `None` puts the key back to its default.
    pub value: Option<String>,
}

/// A block of producer ids was given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlockRecord {
    /// Every id below is given away.
    pub next_producer_id: i64,
    /// The broker that got the last block.
    pub broker: i32,
}

/// A broker registered; replaces what it registered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRecord {
    /// Its node id.
    pub node_id: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// How many shards it runs.
    pub shards: u32,
    /// Its drives.
    pub drives: Vec<DriveInfo>,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// Rises over the whole cluster with each start of a broker; 0 is a start before there were
    /// epochs.
    pub epoch: i64,
    /// A fresh id of this start of the broker; nil is a start before there were any.
    pub incarnation: Uuid,
    /// The machine's start that the broker runs in; nil is unknown.
    pub boot_id: Uuid,
    /// Whether the broker was stopped cleanly before this start.
    pub clean: bool,
    /// Where its shards listen for other brokers, one a shard; none when it takes part in no
    /// replication.
    pub internal_endpoints: Vec<InternalEndpoint>,
    /// Whether it may not lead or be in sync: it has not caught up yet, or isn't heard of.
    pub fenced: bool,
    /// Whether it asked to stop and gives its partitions away.
    pub in_controlled_shutdown: bool,
    /// Those of its drives that have failed since it started, in the order they were reported.
    pub offline_drives: Vec<Uuid>,
}

impl BrokerRecord {
    /// Whether it may lead partitions and be in sync: neither fenced nor about to stop.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether `drive` is one of its drives and hasn't failed.
    pub fn has_online(&self, drive: Uuid) -> bool {
        self.drives.iter().any(|info| info.id == drive) && !self.offline_drives.contains(&drive)
    }
}

/// Where one shard of a broker listens for other brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalEndpoint {
    /// The host that other brokers connect to.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Something of a broker changed since it registered; what is `None` stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerChangeRecord {
    /// Its node id.
    pub node_id: i32,
    /// The epoch it has, and keeps.
    pub epoch: i64,
    /// Whether it is fenced from here on.
    pub fenced: Option<bool>,
    /// Whether it is in controlled shutdown from here on.
    pub in_controlled_shutdown: Option<bool>,
    /// All drives of it that have failed.
    pub offline_drives: Option<Vec<Uuid>>,
}

/// A broker is no longer part of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnregisterBrokerRecord {
    /// Its node id.
    pub node_id: i32,
    /// The epoch it had.
    pub epoch: i64,
}

/// No broker has had a higher epoch than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBrokerEpochRecord {
    /// The epoch.
    pub epoch: i64,
}

/// A drive of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveInfo {
    /// The drive's id, kept on the drive itself.
    pub id: Uuid,
    /// The shard that owns it since the broker's last start.
    pub shard: u32,
    /// Where it was mounted then.
    pub path: String,
}

/// An address a broker listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// The host that clients are told.
    pub host: String,
    /// The port that clients are told.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// A feature has a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureRecord {
    /// The feature's name.
    pub name: String,
    /// Its level; 0 is off.
    pub level: i16,
}

/// The id of the cluster, given once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdRecord {
    /// The id as clients see it.
    pub id: String,
}
