//! The controller: decides what a command changes, as records against an image.
//!
//! Pure: no clock, no randomness (ids come with the commands), no I/O, no state of its own. A
//! command that is refused changes nothing; one that is only to be validated is decided and its
//! records dropped. The shell commits what is decided here and applies it. Commands on topics are
//! here, those on configs in `configs`, on directories that were found in `adopt`; brokers come and
//! go in `registration` and `fencing`, their heartbeats are in `sessions`; who leads is in
//! `election`, who is in sync in `isr`, and moves are in `reassignment`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use uuid::Uuid;

use super::configs::ConfigRules;
use super::error::MetaError;
use super::image::{Image, Topic};
use super::placement::{PlacementDrive, Placer, check_nodes};
use super::record::{
    ClusterIdRecord, ConfigRecord, FeatureRecord, METADATA_VERSION, METADATA_VERSION_LEVEL,
    PartitionRecord, PartitionState, ProducerIdBlockRecord, Record, RemoveTopicRecord, Resource,
    TopicRecord,
};

/// The longest topic name: with a partition number and a suffix it still is a file name.
pub const TOPIC_NAME_MAX: usize = 249;

/// Partitions that one command may create, as in Kafka: what is decided must fit one commit.
pub const NEW_PARTITIONS_MAX: usize = 10_000;

/// Producer ids given away at a time.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Kafka's own metadata topic; a client that creates it mistakes us for something else.
const KAFKA_METADATA_TOPIC: &str = "__cluster_metadata";

/// What commands take from the configuration when they don't say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `num.partitions`.
    pub default_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
}

/// Creates a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// A fresh id for it.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the default.
    pub replication_factor: i16,
    /// Instead of both: the nodes of each partition, the preferred leader first.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Its configs.
    pub configs: Vec<(String, Option<String>)>,
}

/// Gives a topic more partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// The topic's name.
    pub name: String,
    /// How many it is to have in all.
    pub count: i32,
    /// The nodes of each new partition; `None` leaves it to us.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// A topic as a command names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(Uuid),
}

/// A block of producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIds {
    /// The first id.
    pub first: i64,
    /// How many.
    pub count: i64,
}

/// Decides commands against one image.
#[derive(Clone, Copy)]
pub struct Controller<'a> {
    pub(crate) image: &'a Image,
    pub(crate) rules: &'a dyn ConfigRules,
    policy: Policy,
}

impl<'a> Controller<'a> {
    /// A controller over `image`.
    pub fn new(image: &'a Image, rules: &'a dyn ConfigRules, policy: Policy) -> Self {
        Self {
            image,
            rules,
            policy,
        }
    }

    /// The image that is decided against.
    pub fn image(&self) -> &'a Image {
        self.image
    }

    /// What a new cluster starts with; nothing when it has started.
    pub fn bootstrap(&self, cluster_id: &str) -> Vec<Record> {
        if self.image.cluster_id().is_some() {
            return Vec::new();
        }
        let version = FeatureRecord {
            name: METADATA_VERSION.to_owned(),
            level: METADATA_VERSION_LEVEL,
        };
        let id = ClusterIdRecord {
            id: cluster_id.to_owned(),
        };
        vec![Record::Feature(version), Record::ClusterId(id)]
    }

    /// Creates a topic with its partitions on `drives`.
    pub fn create_topic(
        &self,
        command: &CreateTopic,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        self.check_new_name(&command.name)?;
        if let Some(known) = self.image.topic_by_id(command.id) {
            return Err(MetaError::TopicExists(Arc::clone(&known.name)));
        }
        let configs = self.check_new_configs(&command.name, &command.configs)?;
        let mut placer = Placer::new(self.image, drives);
        let places = if command.assignments.is_empty() {
            self.place_new_topic(command, &mut placer)?
        } else {
            place_assigned_topic(command, &mut placer)?
        };
        let name: Arc<str> = Arc::from(command.name.as_str());
        let mut records = vec![Record::Topic(TopicRecord {
            id: command.id,
            name,
        })];
        records.extend(
            (0..)
                .zip(&places)
                .map(|(index, place)| new_partition(self.image, command.id, index, place, 0)),
        );
        let resource = Resource::topic(&command.name);
        records.extend(configs.into_iter().map(|(key, value)| {
            Record::Config(ConfigRecord {
                resource: resource.clone(),
                key,
                value: Some(value),
            })
        }));
        Ok(records)
    }

    /// Removes a topic.
    pub fn delete_topic(&self, topic: &TopicRef) -> Result<Vec<Record>, MetaError> {
        if !self.policy.delete_topics {
            return Err(MetaError::TopicDeletionDisabled);
        }
        let found = match topic {
            TopicRef::Name(name) => self.known(name)?,
            TopicRef::Id(id) => self
                .image
                .topic_by_id(*id)
                .ok_or(MetaError::UnknownTopicId(*id))?,
        };
        Ok(vec![Record::RemoveTopic(RemoveTopicRecord {
            id: found.id,
        })])
    }

    /// Gives a topic more partitions, on `drives`.
    pub fn create_partitions(
        &self,
        command: &CreatePartitions,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        let topic = self.known(&command.name)?;
        let present = topic.partitions.len();
        let wanted = usize::try_from(command.count).unwrap_or(0);
        if wanted <= present {
            return Err(MetaError::InvalidPartitions(format!(
                "topic \"{}\" has {present} partitions; {} would not be an increase",
                command.name, command.count
            )));
        }
        let added = wanted - present;
        check_amount(added)?;
        let replicas = topic
            .partitions
            .first()
            .map_or(1, |partition| partition.replicas.len());
        let mut placer = Placer::new(self.image, drives);
        let places = match &command.assignments {
            None => place_all(&mut placer, added, replicas)?,
            Some(assignments) => {
                if assignments.len() != added {
                    return Err(MetaError::InvalidReplicaAssignment(format!(
                        "{added} partitions are to be added, but {} assignments are given",
                        assignments.len()
                    )));
                }
                let indexed =
                    (command.count - added as i32..).zip(assignments.iter().map(Vec::as_slice));
                place_assigned(&mut placer, indexed, Some(replicas))?
            }
        };
        let first = command.count - added as i32;
        Ok((first..)
            .zip(&places)
            .map(|(index, place)| new_partition(self.image, topic.id, index, place, 0))
            .collect())
    }

    /// Gives `broker` a block of producer ids, all of them from `free` on: those below may have
    /// written to logs without the metadata knowing, where the logs are older than it is.
    pub fn allocate_producer_ids(
        &self,
        broker: i32,
        free: i64,
    ) -> Result<(ProducerIds, Vec<Record>), MetaError> {
        let first = self.image.next_producer_id().max(free);
        let next_producer_id = first
            .checked_add(PRODUCER_ID_BLOCK)
            .ok_or(MetaError::ProducerIdsExhausted)?;
        let block = ProducerIdBlockRecord {
            next_producer_id,
            broker,
        };
        Ok((
            ProducerIds {
                first,
                count: PRODUCER_ID_BLOCK,
            },
            vec![Record::ProducerIdBlock(block)],
        ))
    }

    fn known(&self, name: &str) -> Result<&'a Topic, MetaError> {
        self.image
            .topic(name)
            .ok_or_else(|| MetaError::UnknownTopic(name.to_owned()))
    }

    pub(crate) fn check_new_name(&self, name: &str) -> Result<(), MetaError> {
        check_topic_name(name)?;
        if let Some(topic) = self.image.topic(name) {
            return Err(MetaError::TopicExists(Arc::clone(&topic.name)));
        }
        let invalid = |reason| MetaError::InvalidTopicName {
            name: name.to_owned(),
            reason,
        };
        if name == KAFKA_METADATA_TOPIC {
            return Err(invalid("it is reserved".to_owned()));
        }
        if let Some(other) = self.image.alike(name).next() {
            return Err(invalid(format!(
                "topic \"{other}\" differs from it by dots and underscores only; their metrics \
                 would be the same"
            )));
        }
        Ok(())
    }

    fn place_new_topic(
        &self,
        command: &CreateTopic,
        placer: &mut Placer,
    ) -> Result<Vec<Vec<PlacementDrive>>, MetaError> {
        let count = match command.partitions {
            -1 => self.policy.default_partitions,
            count => count,
        };
        if count <= 0 {
            return Err(MetaError::InvalidPartitions(format!(
                "a topic can't have {count} partitions; the least is 1"
            )));
        }
        let factor = match command.replication_factor {
            -1 => self.policy.default_replication_factor,
            factor => factor,
        };
        if factor <= 0 {
            let text =
                format!("a topic can't have a replication factor of {factor}; the least is 1");
            return Err(MetaError::InvalidReplicationFactor(text));
        }
        check_amount(count as usize)?;
        place_all(placer, count as usize, factor as usize)
    }
}

/// Checks that `name` can be a topic's.
pub fn check_topic_name(name: &str) -> Result<(), MetaError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name == "." || name == ".." {
        "it means a directory".to_owned()
    } else if name.len() > TOPIC_NAME_MAX {
        format!(
            "it is {} bytes long, the most is {TOPIC_NAME_MAX}",
            name.len()
        )
    } else if let Some(bad) = name.chars().find(|&c| !allowed(c)) {
        format!("{bad:?} isn't one of the ASCII letters and digits, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    let name = name.chars().take(TOPIC_NAME_MAX).collect();
    Err(MetaError::InvalidTopicName { name, reason })
}

pub(crate) fn check_amount(partitions: usize) -> Result<(), MetaError> {
    if partitions <= NEW_PARTITIONS_MAX {
        return Ok(());
    }
    Err(MetaError::PolicyViolation(format!(
        "{partitions} partitions are too many for one request; the most is {NEW_PARTITIONS_MAX}"
    )))
}

pub(crate) fn too_few_nodes(replicas: usize, nodes: usize) -> MetaError {
    MetaError::InvalidReplicationFactor(format!(
        "{replicas} replicas need {replicas} nodes with a drive that takes new partitions, one of \
         them active; there are {nodes}"
    ))
}

fn place_all(
    placer: &mut Placer,
    count: usize,
    replicas: usize,
) -> Result<Vec<Vec<PlacementDrive>>, MetaError> {
    if replicas > placer.nodes() {
        return Err(too_few_nodes(replicas, placer.nodes()));
    }
    (0..count)
        .map(|_| {
            placer
                .place(replicas)
                .ok_or_else(|| too_few_nodes(replicas, placer.nodes()))
        })
        .collect()
}

fn place_assigned_topic(
    command: &CreateTopic,
    placer: &mut Placer,
) -> Result<Vec<Vec<PlacementDrive>>, MetaError> {
    if command.partitions != -1 || command.replication_factor != -1 {
        return Err(MetaError::InvalidRequest(format!(
            "topic \"{}\" is given an assignment of replicas and also a number of partitions or \
             replicas; give one",
            command.name
        )));
    }
    check_amount(command.assignments.len())?;
    let mut sorted: Vec<(i32, &[i32])> = command
        .assignments
        .iter()
        .map(|(at, nodes)| (*at, nodes.as_slice()))
        .collect();
    sorted.sort_by_key(|&(index, _)| index);
    if !sorted
        .iter()
        .map(|&(index, _)| index)
        .eq(0..sorted.len() as i32)
    {
        return Err(MetaError::InvalidReplicaAssignment(format!(
            "the assignment of topic \"{}\" doesn't name each of the partitions 0 to {} once",
            command.name,
            sorted.len() - 1
        )));
    }
    place_assigned(placer, sorted.into_iter(), None)
}

/// Places partitions on the nodes they are assigned to; all have as many replicas as the first, or
/// as `replicas`.
fn place_assigned<'n>(
    placer: &mut Placer,
    assignments: impl Iterator<Item = (i32, &'n [i32])>,
    mut replicas: Option<usize>,
) -> Result<Vec<Vec<PlacementDrive>>, MetaError> {
    let mut places = Vec::new();
    for (index, nodes) in assignments {
        let bad = |what: String| {
            MetaError::InvalidReplicaAssignment(format!(
                "the assignment of partition {index} {what}"
            ))
        };
        let expected = *replicas.get_or_insert(nodes.len());
        check_nodes(nodes).map_err(bad)?;
        if nodes.len() != expected {
            return Err(bad(format!(
                "has {} replicas, others have {expected}",
                nodes.len()
            )));
        }
        let unfit = |node| {
            bad(format!(
                "names node {node}, which has no drive that takes new partitions"
            ))
        };
        let taken = placer.place_on(nodes).map_err(unfit)?;
        if !nodes.iter().any(|&node| placer.can_lead(node)) {
            return Err(bad(
                "names only nodes that are fenced or stopping, and none that could lead".to_owned(),
            ));
        }
        places.push(taken);
    }
    Ok(places)
}

/// A partition that is created at `places`: its active replicas are in sync, the first of them
/// leads. Where none is, all are, and none leads until one is back.
pub(crate) fn new_partition(
    image: &Image,
    topic_id: Uuid,
    index: i32,
    places: &[PlacementDrive],
    leader_epoch: i32,
) -> Record {
    let replicas: Vec<i32> = places.iter().map(|place| place.node).collect();
    let active = places.iter().filter(|p| image.is_online(p.node, p.drive));
    let active: Vec<i32> = active.map(|place| place.node).collect();
    let state = PartitionState {
        leader: active.first().copied().unwrap_or(-1),
        isr: if active.is_empty() {
            replicas.clone()
        } else {
            active
        },
        leader_epoch,
        partition_epoch: 0,
        directories: places.iter().map(|place| place.drive).collect(),
        replicas,
        adding: Vec::new(),
        removing: Vec::new(),
    };
    Record::Partition(PartitionRecord {
        topic_id,
        index,
        state,
    })
}
