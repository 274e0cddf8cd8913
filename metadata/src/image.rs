//! The cluster's metadata as it stands after so many records.
//!
//! Every shard owns an `Image` of its own and reads it without a lock; it changes only by `apply`,
//! with the records of the log in their order, so that all images of one offset are equal. The maps
//! are ordered: what is built by walking an image is the same everywhere. No clock, no choice, no
//! I/O.

mod brokers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::record::{
    BrokerRecord, ClusterIdRecord, ConfigRecord, FeatureRecord, METADATA_VERSION,
    METADATA_VERSION_LEVEL, PartitionChangeRecord, PartitionRecord, PartitionState,
    ProducerIdBlockRecord, Record, ResourceType, TopicRecord,
};

/// The configs of one resource that have a value of their own.
pub type Configs = BTreeMap<String, String>;

/// Why a record can't follow those before it: the log is damaged, or of a later version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A record names a topic that isn't there.
    #[error("a record names topic id {0}, which isn't there")]
    UnknownTopic(Uuid),
    /// The topic's id or name is taken.
    #[error("a record creates topic \"{name}\" ({id}), whose name or id is taken")]
    TopicExists {
        /// The topic's name.
        name: Arc<str>,
        /// The topic's id.
        id: Uuid,
    },
    /// A partition isn't the next one of its topic.
    #[error(
        "a record creates partition {index} of topic id {topic_id}, where {expected} comes next"
    )]
    PartitionGap {
        /// The topic.
        topic_id: Uuid,
        /// The partition the record creates.
        index: i32,
        /// The one that comes next.
        expected: usize,
    },
    /// A record changes a partition that isn't there.
    #[error("a record changes partition {index} of topic id {topic_id}, which isn't there")]
    UnknownPartition {
        /// The topic.
        topic_id: Uuid,
        /// The partition.
        index: i32,
    },
    /// The drives of a partition don't match its replicas.
    #[error(
        "a record gives partition {index} of topic id {topic_id} {directories} drives for \
         {replicas} replicas"
    )]
    DrivesOfReplicas {
        /// The topic.
        topic_id: Uuid,
        /// The partition.
        index: i32,
        /// How many replicas it has.
        replicas: usize,
        /// How many drives are named.
        directories: usize,
    },
    /// Producer ids would be given away twice.
    #[error(
        "a record sets the next producer id to {next}, below {current}: ids would be given away \
         twice"
    )]
    ProducerIdsBackwards {
        /// What the record says.
        next: i64,
        /// What is given away already.
        current: i64,
    },
    /// A record changes a broker that hasn't registered with this epoch.
    #[error("a record changes broker {node} of epoch {epoch}, which has epoch {known:?}")]
    UnknownBroker {
        /// The broker.
        node: i32,
        /// The epoch in the record.
        epoch: i64,
        /// The epoch that the broker has, if it is there.
        known: Option<i64>,
    },
    /// A broker's registration is older than the one before it.
    #[error("a record registers broker {node} with epoch {epoch}, below its {known}")]
    BrokerEpochBackwards {
        /// The broker.
        node: i32,
        /// The epoch in the record.
        epoch: i64,
        /// The epoch that the broker has.
        known: i64,
    },
    /// The log is of a later version.
    #[error(
        "the metadata is of {name} {level}; this version reads up to {supported}: start the \
         version that wrote it, or a later one"
    )]
    UnsupportedFeature {
        /// The feature.
        name: String,
        /// Its level in the log.
        level: i16,
        /// The highest level this version reads.
        supported: i16,
    },
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The topic's id.
    pub id: Uuid,
    /// The topic's name.
    pub name: Arc<str>,
    /// Its partitions; a partition's number is its place here.
    pub partitions: Vec<PartitionState>,
}

impl Topic {
    /// The partition of this number, if there is one.
    pub fn partition(&self, index: i32) -> Option<&PartitionState> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index))
    }
}

/// How much a drive carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriveLoad {
    /// Replicas on it.
    pub replicas: u32,
    /// Those of them that are their partition's preferred leader.
    pub preferred_leaders: u32,
}

/// The cluster's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    cluster_id: Option<String>,
    features: BTreeMap<String, i16>,
    brokers: BTreeMap<i32, BrokerRecord>,
    /// The highest epoch that a broker has had, unregistered ones too.
    last_broker_epoch: i64,
    topics: BTreeMap<Uuid, Topic>,
    names: BTreeMap<Arc<str>, Uuid>,
    /// Names with a dot or an underscore, by what they are with underscores only (see
    /// [`metric_name`]).
    metric_names: BTreeMap<String, BTreeSet<Arc<str>>>,
    configs: BTreeMap<ResourceType, BTreeMap<String, Configs>>,
    producer_ids: Option<ProducerIdBlockRecord>,
    /// Derived from the partitions, by node and drive; a drive that carries nothing has no entry.
    loads: BTreeMap<(i32, Uuid), DriveLoad>,
}

impl Image {
    /// An image of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster's id, once it has one.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The level of a feature; 0 when it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The features that are on, by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// The topics from `name` on, by name: for answers in pages.
    pub fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Topic> + use<'a> {
        use std::ops::Bound::{Included, Unbounded};
        let names = self.names.range::<str, _>((Included(name), Unbounded));
        names.filter_map(|(_, id)| self.topics.get(id))
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// The topics whose names differ from `name` by nothing but dots and underscores, `name` itself
    /// among them.
    pub fn alike(&self, name: &str) -> impl Iterator<Item = &Arc<str>> {
        self.metric_names
            .get(&metric_name(name))
            .into_iter()
            .flatten()
    }

    /// The configs of a resource that have a value of their own; `None` when none has.
    pub fn configs(&self, kind: ResourceType, name: &str) -> Option<&Configs> {
        self.configs.get(&kind)?.get(name)
    }

    /// The value that a resource has of its own for a config.
    pub fn config(&self, kind: ResourceType, name: &str, key: &str) -> Option<&str> {
        self.configs(kind, name)?.get(key).map(String::as_str)
    }

    /// The names of the resources of a kind that have configs of their own.
    pub fn configured(&self, kind: ResourceType) -> impl Iterator<Item = &str> {
        self.configs
            .get(&kind)
            .into_iter()
            .flat_map(|resources| resources.keys().map(String::as_str))
    }

    /// The lowest producer id not given away.
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.map_or(0, |block| block.next_producer_id)
    }

    /// What the drive `drive` of `node` carries.
    pub fn drive_load(&self, node: i32, drive: Uuid) -> DriveLoad {
        self.loads.get(&(node, drive)).copied().unwrap_or_default()
    }

    /// How many partitions have `node` as their preferred leader.
    pub fn preferred_leaders(&self, node: i32) -> u32 {
        let drives = self.loads.range((node, Uuid::nil())..=(node, Uuid::max()));
        drives.map(|(_, load)| load.preferred_leaders).sum()
    }

    /// Takes the next record. On an error the image is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        match record {
            Record::Topic(r) => self.add_topic(r),
            Record::Partition(r) => self.add_partition(r),
            Record::RemoveTopic(r) => self.remove_topic(r.id),
            Record::PartitionChange(r) => self.change_partition(r),
            Record::Config(r) => {
                self.set_config(r);
                Ok(())
            }
            Record::ProducerIdBlock(r) => self.give_producer_ids(*r),
            Record::Broker(r) => self.add_broker(r),
            Record::BrokerChange(r) => self.change_broker(r),
            Record::UnregisterBroker(r) => self.remove_broker(*r),
            Record::LastBrokerEpoch(r) => {
                self.last_broker_epoch = self.last_broker_epoch.max(r.epoch);
                Ok(())
            }
            Record::Feature(r) => self.set_feature(r),
            Record::ClusterId(r) => {
                self.cluster_id = Some(r.id.clone());
                Ok(())
            }
        }
    }

    /// Records that make this image out of an empty one.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(
            self.features
                .iter()
                .map(|(name, &level)| feature(name, level)),
        );
        records.extend(
            self.cluster_id
                .iter()
                .map(|id| Record::ClusterId(ClusterIdRecord { id: id.clone() })),
        );
        records.extend(self.broker_records());
        for topic in self.topics() {
            records.push(Record::Topic(TopicRecord {
                id: topic.id,
                name: Arc::clone(&topic.name),
            }));
            records.extend((0..).zip(&topic.partitions).map(|(index, state)| {
                Record::Partition(PartitionRecord {
                    topic_id: topic.id,
                    index,
                    state: state.clone(),
                })
            }));
        }
        for (&kind, resources) in &self.configs {
            for (name, configs) in resources {
                records.extend(
                    configs
                        .iter()
                        .map(|(key, value)| config(kind, name, key, value)),
                );
            }
        }
        records.extend(self.producer_ids.map(Record::ProducerIdBlock));
        records
    }

    fn add_topic(&mut self, record: &TopicRecord) -> Result<(), ApplyError> {
        let TopicRecord { id, name } = record;
        if self.topics.contains_key(id) || self.names.contains_key(name) {
            return Err(ApplyError::TopicExists {
                name: Arc::clone(name),
                id: *id,
            });
        }
        let topic = Topic {
            id: *id,
            name: Arc::clone(name),
            partitions: Vec::new(),
        };
        self.topics.insert(*id, topic);
        self.names.insert(Arc::clone(name), *id);
        if has_collision_chars(name) {
            self.metric_names
                .entry(metric_name(name))
                .or_default()
                .insert(Arc::clone(name));
        }
        Ok(())
    }

    fn add_partition(&mut self, record: &PartitionRecord) -> Result<(), ApplyError> {
        let PartitionRecord {
            topic_id,
            index,
            ref state,
        } = *record;
        check_directories(topic_id, index, state)?;
        let topic = self
            .topics
            .get_mut(&topic_id)
            .ok_or(ApplyError::UnknownTopic(topic_id))?;
        let expected = topic.partitions.len();
        if usize::try_from(index) != Ok(expected) {
            return Err(ApplyError::PartitionGap {
                topic_id,
                index,
                expected,
            });
        }
        topic.partitions.push(state.clone());
        load(&mut self.loads, state);
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid) -> Result<(), ApplyError> {
        let topic = self
            .topics
            .remove(&id)
            .ok_or(ApplyError::UnknownTopic(id))?;
        for state in &topic.partitions {
            unload(&mut self.loads, state);
        }
        self.names.remove(&topic.name);
        let metric = metric_name(&topic.name);
        if let Some(alike) = self.metric_names.get_mut(&metric) {
            alike.remove(&topic.name);
            if alike.is_empty() {
                self.metric_names.remove(&metric);
            }
        }
        if let Some(topics) = self.configs.get_mut(&ResourceType::Topic) {
            topics.remove(&*topic.name);
            if topics.is_empty() {
                self.configs.remove(&ResourceType::Topic);
            }
        }
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), ApplyError> {
        let (topic_id, index) = (record.topic_id, record.index);
        let topic = self
            .topics
            .get_mut(&topic_id)
            .ok_or(ApplyError::UnknownTopic(topic_id))?;
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| topic.partitions.get_mut(index));
        let state = place.ok_or(ApplyError::UnknownPartition { topic_id, index })?;
        let changed = state.with(record);
        check_directories(topic_id, index, &changed)?;
        unload(&mut self.loads, state);
        load(&mut self.loads, &changed);
        *state = changed;
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord) {
        let kind = record.resource.kind;
        if let Some(value) = &record.value {
            let configs = self
                .configs
                .entry(kind)
                .or_default()
                .entry(record.resource.name.clone())
                .or_default();
            configs.insert(record.key.clone(), value.clone());
            return;
        }
        // A resource without configs has no entry, so that an image says the same whatever way led
        // to it.
        let Some(resources) = self.configs.get_mut(&kind) else {
            return;
        };
        let Some(configs) = resources.get_mut(&record.resource.name) else {
            return;
        };
        configs.remove(&record.key);
        if configs.is_empty() {
            resources.remove(&record.resource.name);
        }
        if resources.is_empty() {
            self.configs.remove(&kind);
        }
    }

    fn give_producer_ids(&mut self, block: ProducerIdBlockRecord) -> Result<(), ApplyError> {
        let (next, current) = (block.next_producer_id, self.next_producer_id());
        if next < current {
            return Err(ApplyError::ProducerIdsBackwards { next, current });
        }
        self.producer_ids = Some(block);
        Ok(())
    }

    fn set_feature(&mut self, record: &FeatureRecord) -> Result<(), ApplyError> {
        let FeatureRecord { name, level } = record;
        if name == METADATA_VERSION && *level > METADATA_VERSION_LEVEL {
            let (name, supported) = (name.clone(), METADATA_VERSION_LEVEL);
            return Err(ApplyError::UnsupportedFeature {
                name,
                level: *level,
                supported,
            });
        }
        match level {
            0 => self.features.remove(name),
            level => self.features.insert(name.clone(), *level),
        };
        Ok(())
    }
}

/// What a topic's name becomes in the name of a metric, where dots aren't allowed: Kafka refuses
/// two topics that would be the same there.
pub fn metric_name(topic: &str) -> String {
    topic.replace('.', "_")
}

fn has_collision_chars(topic: &str) -> bool {
    topic.contains(['.', '_'])
}

fn feature(name: &str, level: i16) -> Record {
    Record::Feature(FeatureRecord {
        name: name.to_owned(),
        level,
    })
}

fn config(kind: ResourceType, name: &str, key: &str, value: &str) -> Record {
    let resource = super::record::Resource {
        kind,
        name: name.to_owned(),
    };
    Record::Config(ConfigRecord {
        resource,
        key: key.to_owned(),
        value: Some(value.to_owned()),
    })
}

fn check_directories(topic_id: Uuid, index: i32, state: &PartitionState) -> Result<(), ApplyError> {
    let (replicas, directories) = (state.replicas.len(), state.directories.len());
    if replicas == directories {
        return Ok(());
    }
    Err(ApplyError::DrivesOfReplicas {
        topic_id,
        index,
        replicas,
        directories,
    })
}

fn places(state: &PartitionState) -> impl Iterator<Item = ((i32, Uuid), bool)> {
    let drives = state
        .replicas
        .iter()
        .copied()
        .zip(state.directories.iter().copied());
    drives.enumerate().map(|(at, place)| (place, at == 0))
}

fn load(loads: &mut BTreeMap<(i32, Uuid), DriveLoad>, state: &PartitionState) {
    for (place, preferred) in places(state) {
        let load = loads.entry(place).or_default();
        load.replicas += 1;
        load.preferred_leaders += u32::from(preferred);
    }
}

fn unload(loads: &mut BTreeMap<(i32, Uuid), DriveLoad>, state: &PartitionState) {
    for (place, preferred) in places(state) {
        let Some(load) = loads.get_mut(&place) else {
            continue;
        };
        load.replicas -= 1;
        load.preferred_leaders -= u32::from(preferred);
        if load.replicas == 0 {
            loads.remove(&place);
        }
    }
}
