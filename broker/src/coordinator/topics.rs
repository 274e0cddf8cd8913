//! The cluster's topics as coordinators see them: a look at the metadata image.

use coordinator::{Topic, Topics};
use metadata::Image;
use uuid::Uuid;

/// The topics of an image.
pub(super) struct ImageTopics<'a> {
    image: &'a Image,
    version: i64,
}

impl<'a> ImageTopics<'a> {
    /// Those of `image`, which have changed `version` times.
    pub(super) fn new(image: &'a Image, version: i64) -> Self {
        Self { image, version }
    }
}

impl Topics for ImageTopics<'_> {
    fn version(&self) -> i64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<Topic> {
        let topic = self.image.topic(name)?;
        Some(Topic {
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        })
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        let topic = self.image.topic_by_id(id)?;
        Some(topic.name.to_string())
    }

    fn each(&self, each: &mut dyn FnMut(&str)) {
        for topic in self.image.topics() {
            each(&topic.name);
        }
    }

    fn racks(&self, id: Uuid, partition: i32) -> Vec<String> {
        let state = self.image.topic_by_id(id);
        let replicas = state
            .and_then(|topic| topic.partition(partition))
            .map_or(&[][..], |state| &state.replicas);
        let rack = |node: &i32| self.image.broker(*node)?.rack.clone();
        replicas.iter().filter_map(rack).collect()
    }
}
