//! The topics of a producer, and the numbers of their partitions in it.

use std::collections::BTreeMap;

/// Partitions of all topics, numbered through in the order of the topics.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    names: Vec<String>,
    /// Topic and partition by slot.
    slots: Vec<(usize, i32)>,
    /// The first slot of each topic, and how many it has.
    places: BTreeMap<String, (usize, usize)>,
}

impl Topics {
    pub(super) fn new(topics: &[(&str, usize)]) -> Self {
        let mut slots = Vec::new();
        let mut places = BTreeMap::new();
        for (topic, (name, partitions)) in topics.iter().enumerate() {
            places.insert((*name).to_owned(), (slots.len(), *partitions));
            slots.extend((0..*partitions).map(|partition| (topic, partition as i32)));
        }
        Self {
            names: topics.iter().map(|(name, _)| (*name).to_owned()).collect(),
            slots,
            places,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn name(&self, topic: usize) -> &str {
        &self.names[topic]
    }

    pub(super) fn topic_of(&self, slot: usize) -> usize {
        self.slots[slot].0
    }

    pub(super) fn partition_of(&self, slot: usize) -> i32 {
        self.slots[slot].1
    }

    pub(super) fn slot(&self, topic: &str, partition: i32) -> Option<usize> {
        let (first, count) = *self.places.get(topic)?;
        let partition = usize::try_from(partition).ok()?;
        (partition < count).then_some(first + partition)
    }
}
