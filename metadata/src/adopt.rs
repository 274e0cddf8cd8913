//! The controller's command on directories that were found on drives: logs that the metadata
//! doesn't know, as when a directory was copied from another broker. Pure, like `core`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::core::{Controller, check_amount, new_partition, too_few_nodes};
use super::error::MetaError;
use super::image::Topic;
use super::placement::{PlacementDrive, Placer};
use super::record::{Record, TopicRecord};

/// Takes a topic's directories that were found on drives into the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptTopic {
    /// The topic's name, from the directories' names.
    pub name: String,
    /// The topic's id as the directories have it, if they have one.
    pub id: Option<Uuid>,
    /// A fresh id, for a topic that is unknown and whose directories have none.
    pub fresh_id: Uuid,
    /// The directories.
    pub partitions: Vec<FoundPartition>,
}

/// A partition's directory found on a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPartition {
    /// The partition's number.
    pub index: i32,
    /// Where it is.
    pub place: PlacementDrive,
    /// The latest leader epoch in its log; -1 when there is none.
    pub latest_epoch: i32,
}

impl Controller<'_> {
    /// Takes directories found on drives into the metadata; nothing when it has them all.
    /// Partitions between those found that nobody has are created empty on `drives`.
    pub fn adopt_topic(
        &self,
        command: &AdoptTopic,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        let known = self.image.topic(&command.name);
        let id = match (known, command.id) {
            (Some(topic), Some(id)) if topic.id != id => {
                return Err(another_topic(command, topic.id, id));
            }
            (Some(topic), _) => topic.id,
            (None, id) => id.unwrap_or(command.fresh_id),
        };
        if let (None, Some(taken)) = (known, self.image.topic_by_id(id)) {
            return Err(MetaError::InconsistentTopicId(format!(
                "a directory of topic \"{}\" has the id {id}, which is topic \"{}\"'s",
                command.name, taken.name
            )));
        }
        if known.is_none() {
            self.check_new_name(&command.name)?;
        }
        let mut records = Vec::new();
        if known.is_none() {
            records.push(Record::Topic(TopicRecord {
                id,
                name: Arc::from(command.name.as_str()),
            }));
        }
        let found = new_among_found(command, known)?;
        records.extend(self.place_found(
            id,
            known.map_or(0, |topic| topic.partitions.len()),
            &found,
            drives,
        )?);
        Ok(if found.is_empty() {
            Vec::new()
        } else {
            records
        })
    }

    /// The partitions from `first` to the last one found: the found where they are, the others on
    /// `drives`.
    fn place_found(
        &self,
        id: Uuid,
        first: usize,
        found: &BTreeMap<i32, FoundPartition>,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        let Some((&last, _)) = found.last_key_value() else {
            return Ok(Vec::new());
        };
        check_amount((last as usize + 1).saturating_sub(first))?;
        let mut placer = Placer::new(self.image, drives);
        for partition in found.values() {
            placer.count(partition.place);
        }
        let mut records = Vec::new();
        for index in first as i32..=last {
            let (places, epoch) = match found.get(&index) {
                // A new leader follows the one that wrote the log.
                Some(partition) => (
                    vec![partition.place],
                    partition.latest_epoch.saturating_add(1).max(0),
                ),
                None => (
                    placer
                        .place(1)
                        .ok_or_else(|| too_few_nodes(1, placer.nodes()))?,
                    0,
                ),
            };
            records.push(new_partition(self.image, id, index, &places, epoch));
        }
        Ok(records)
    }
}

fn another_topic(command: &AdoptTopic, known: Uuid, found: Uuid) -> MetaError {
    MetaError::InconsistentTopicId(format!(
        "a directory of topic \"{}\" has the id {found}, but the topic of that name is {known}: \
         it is left over from a deleted topic, or from another cluster",
        command.name
    ))
}

/// The found partitions that the metadata doesn't have yet, by number.
fn new_among_found(
    command: &AdoptTopic,
    known: Option<&Topic>,
) -> Result<BTreeMap<i32, FoundPartition>, MetaError> {
    let mut new: BTreeMap<i32, FoundPartition> = BTreeMap::new();
    for found in &command.partitions {
        let FoundPartition { index, place, .. } = *found;
        let twice = |other: Uuid| {
            MetaError::InconsistentTopicId(format!(
                "partition {index} of topic \"{}\" is on drive {}, but belongs on drive {other}",
                command.name, place.drive
            ))
        };
        if index < 0 {
            let text = format!(
                "a directory of topic \"{}\" has the partition number {index}",
                command.name
            );
            return Err(MetaError::InvalidPartitions(text));
        }
        match known.and_then(|topic| topic.partition(index)) {
            Some(state) if state.directory_on(place.node) == Some(place.drive) => {}
            Some(state) => {
                return Err(twice(
                    state.directories.first().copied().unwrap_or_default(),
                ));
            }
            None => match new.insert(index, *found) {
                Some(other) if other.place != place => return Err(twice(other.place.drive)),
                _ => {}
            },
        }
    }
    Ok(new)
}
