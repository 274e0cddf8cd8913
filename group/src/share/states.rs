//! The states of share-partitions, as far as the group has a say: each is made with the share coordinator before
//! its partition is assigned, may be put to other offsets while the group is empty, and is deleted with it.
//!
//! What is to be done with the share coordinator is begun here, with a record, and ends here, with
//! another; one that isn't heard of again is tried again.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::{Topic, World};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::record::{Named, States};
use super::{Change, ShareGroup, Step};
use crate::ask::{ShareAltered, ShareOffsetsDeleted, ShareStart, ShareTopic};
use crate::assign::Partitions;
use crate::consumer::Refusal;
use crate::{Effect, NO_START_OFFSET};

/// How long nothing may be heard of a state that is being made, until it is tried again; in milliseconds.
const RETRY_MS: u64 = 10_000;
/// What a topic and a partition take in the record, in bytes; the first without the topic's name.
const TOPIC_BYTES: usize = 32;
const PARTITION_BYTES: usize = 4;
/// The name of a topic that is no more.
const NAMELESS: &str = "<UNKNOWN>";

fn bytes_of<'a>(topics: impl IntoIterator<Item = &'a Named>) -> usize {
    let one =
        |named: &Named| TOPIC_BYTES + named.name.len() + PARTITION_BYTES * named.partitions.len();
    topics.into_iter().map(one).sum()
}

fn name_of(world: &World<'_>, topic: Uuid) -> String {
    let name = world.topics.name_of(topic);
    name.unwrap_or_else(|| NAMELESS.to_owned())
}

impl ShareGroup {
    /// Asks for the states of partitions that somebody wants and that have none.
    pub(super) fn initialize(&mut self, step: &mut Step<'_, '_>) {
        let version = step.world.topics.version();
        if self.settled_version == Some(version) {
            return;
        }
        let lacking = self.lacking(step);
        if lacking.is_empty() {
            let under_way = !self.states.initializing.is_empty();
            self.settled_version = (!under_way).then_some(version);
            return;
        }
        let now = step.world.now.mono_ms;
        self.asked_ms
            .extend(lacking.keys().map(|topic| (*topic, now)));
        let starts = lacking.iter().flat_map(|(topic, named)| {
            named.partitions.iter().map(|partition| ShareStart {
                topic: *topic,
                partition: *partition,
                start_offset: NO_START_OFFSET,
            })
        });
        let effect = Effect::InitializeShare {
            group: self.id.clone(),
            state_epoch: self.epoch,
            partitions: starts.collect(),
        };
        self.begin(step, lacking);
        step.effects.push(effect);
    }

    /// Whether states that were asked for may be there soon.
    pub(super) fn is_initializing(&self, now_ms: u64) -> bool {
        self.asked_ms.values().any(|at| now_ms < at + RETRY_MS)
    }

    /// What the record takes of what is in it, about.
    fn known_bytes(&self) -> usize {
        let States {
            initializing,
            initialized,
            ..
        } = &self.states;
        bytes_of(initializing.values().chain(initialized.values()))
    }

    /// The partitions that want a state, as many as the record has room for.
    fn lacking(&self, step: &Step<'_, '_>) -> BTreeMap<Uuid, Named> {
        let now = step.world.now.mono_ms;
        let states = &self.states;
        let mut bytes = self.known_bytes();
        let mut lacking = BTreeMap::new();
        for name in self.wanted.keys() {
            let Some(Topic { id, partitions }) = step.world.topics.by_name(name) else {
                continue;
            };
            let is_fresh = self.asked_ms.get(&id).is_some_and(|at| now < at + RETRY_MS);
            let under_way = states.initializing.get(&id).filter(|_| is_fresh);
            let there = states.initialized.get(&id).into_iter().chain(under_way);
            let there: Vec<&BTreeSet<i32>> = there.map(|named| &named.partitions).collect();
            let lacks = |partition: &i32| there.iter().all(|there| !there.contains(partition));
            let named = Named {
                name: name.clone(),
                partitions: (0..partitions).filter(lacks).collect(),
            };
            bytes += bytes_of([&named]);
            if !named.partitions.is_empty() && bytes < step.record_max {
                lacking.insert(id, named);
            }
        }
        lacking
    }

    /// Writes down that states are being made.
    fn begin(&mut self, step: &mut Step<'_, '_>, begun: BTreeMap<Uuid, Named>) {
        let mut states = self.states.clone();
        for (topic, named) in begun {
            states.deleting.remove(&topic);
            let initializing = states.initializing.entry(topic).or_default();
            initializing.name = named.name;
            initializing.partitions.extend(named.partitions);
        }
        self.put_states(step, states);
    }

    fn put_states(&mut self, step: &mut Step<'_, '_>, states: States) {
        if states != self.states {
            self.change(step, Change::States(Some(states)));
        }
    }

    /// States were made that were asked for, or `there` is false, and they weren't.
    pub(super) fn initialized(
        &mut self,
        step: &mut Step<'_, '_>,
        partitions: &Partitions,
        there: bool,
    ) {
        let mut states = self.states.clone();
        for (topic, partitions) in partitions {
            // What was deleted meanwhile isn't wanted any more.
            let Some(initializing) = states.initializing.get_mut(topic) else {
                continue;
            };
            let (now, left): (BTreeSet<i32>, BTreeSet<i32>) = initializing
                .partitions
                .iter()
                .partition(|partition| partitions.contains(partition));
            initializing.partitions = left;
            if there && !now.is_empty() {
                let initialized = states.initialized.entry(*topic).or_default();
                initialized.name.clone_from(&initializing.name);
                initialized.partitions.extend(now);
            }
            if initializing.partitions.is_empty() {
                states.initializing.remove(topic);
            }
            self.asked_ms.remove(topic);
        }
        self.put_states(step, states);
    }

    /// The partitions that have a state.
    pub(super) fn with_state(&self) -> Partitions {
        let topics = self.states.initialized.iter();
        topics
            .map(|(topic, named)| (*topic, named.partitions.clone()))
            .collect()
    }

    /// Begins to delete all states: those that are to be deleted with the share coordinator, before
    /// the group itself is.
    pub(super) fn begin_deletion(&mut self, step: &mut Step<'_, '_>) -> Partitions {
        let mut partitions = Partitions::new();
        let states = &self.states;
        for (topic, named) in states.initializing.iter().chain(&states.initialized) {
            let of_topic = partitions.entry(*topic).or_default();
            of_topic.extend(&named.partitions);
        }
        // A deletion before this one may not have come to its end.
        for (topic, name) in &states.deleting {
            let now = step.world.topics.by_name(name);
            if let Some(now) = now.filter(|now| now.id == *topic) {
                let of_topic = partitions.entry(*topic).or_default();
                of_topic.extend(0..now.partitions);
            }
        }
        let names = partitions.keys();
        let names = names.map(|topic| (*topic, name_of(step.world, *topic)));
        let states = States {
            deleting: names.collect(),
            ..States::default()
        };
        self.put_states(step, states);
        partitions
    }

    /// Begins to delete the states of some topics' partitions.
    pub(super) fn begin_offset_deletion(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &DeleteShareGroupOffsetsRequest,
    ) -> ShareOffsetsDeleted {
        let mut states = self.states.clone();
        let mut answer = ShareOffsetsDeleted::default();
        for asked in &request.topics {
            let refused = |error: ResponseError, message: &str| {
                DeleteShareGroupOffsetsResponseTopic::default()
                    .with_topic_name(asked.topic_name.clone())
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_string(message.to_owned())))
            };
            let unknown = ResponseError::UnknownTopicOrPartition;
            let name = asked.topic_name.as_str();
            let Some(topic) = step.world.topics.by_name(name) else {
                let message = "This server does not host this topic-partition.";
                answer.refused.push(refused(unknown, message));
                continue;
            };
            let partitions = match states.initialized.remove(&topic.id) {
                Some(named) => {
                    states.deleting.insert(topic.id, named.name);
                    named.partitions
                }
                // A deletion before this one may not have come to its end.
                None if states.deleting.contains_key(&topic.id) => (0..topic.partitions).collect(),
                None => {
                    let message = "There is no offset information to delete.";
                    answer.refused.push(refused(unknown, message));
                    continue;
                }
            };
            answer.topics.push(ShareTopic {
                id: topic.id,
                name: name.to_owned(),
                partitions,
            });
        }
        self.put_states(step, states);
        answer
    }

    /// The states of these topics' partitions are deleted.
    pub(super) fn offsets_deleted(&mut self, step: &mut Step<'_, '_>, topics: &[Uuid]) {
        let mut states = self.states.clone();
        for topic in topics {
            states.deleting.remove(topic);
        }
        self.put_states(step, states);
    }

    /// Begins to put partitions to other offsets, those of them that there are.
    ///
    /// # Errors
    /// They are too many.
    pub(super) fn begin_alteration(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &AlterShareGroupOffsetsRequest,
    ) -> Result<ShareAltered, Refusal> {
        let mut answer = ShareAltered {
            state_epoch: self.epoch,
            ..ShareAltered::default()
        };
        let mut begun: BTreeMap<Uuid, Named> = BTreeMap::new();
        for asked in &request.topics {
            let topic = step.world.topics.by_name(asked.topic_name.as_str());
            answer.rows.push(altered(asked, topic));
            let Some(Topic { id, partitions }) = topic else {
                continue;
            };
            let there = asked.partitions.iter();
            for one in there.filter(|one| (0..partitions).contains(&one.partition_index)) {
                answer.starts.push(ShareStart {
                    topic: id,
                    partition: one.partition_index,
                    start_offset: one.start_offset,
                });
                let named = begun.entry(id).or_default();
                named.name = asked.topic_name.as_str().to_owned();
                named.partitions.insert(one.partition_index);
            }
        }
        if self.known_bytes() + bytes_of(begun.values()) > step.record_max {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                "The group has more partitions than a record can have.",
            ));
        }
        self.begin(step, begun);
        Ok(answer)
    }

    /// Forgets topics that are no more; the share coordinator does so by itself.
    pub(super) fn forget_deleted_topics(&mut self, step: &mut Step<'_, '_>) {
        let mut states = self.states.clone();
        let topics = step.world.topics;
        let is_there = |topic: &Uuid| topics.name_of(*topic).is_some();
        states.initializing.retain(|topic, _| is_there(topic));
        states.initialized.retain(|topic, _| is_there(topic));
        states.deleting.retain(|topic, _| is_there(topic));
        self.asked_ms.retain(|topic, _| is_there(topic));
        self.put_states(step, states);
    }
}

/// What is answered of a topic whose partitions are put to other offsets.
fn altered(
    asked: &AlterShareGroupOffsetsRequestTopic,
    topic: Option<Topic>,
) -> AlterShareGroupOffsetsResponseTopic {
    let there = 0..topic.map_or(0, |topic| topic.partitions);
    let rows = asked.partitions.iter().map(|one| {
        let row = AlterShareGroupOffsetsResponsePartition::default()
            .with_partition_index(one.partition_index);
        match there.contains(&one.partition_index) {
            true => row,
            false => row
                .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                .with_error_message(Some(StrBytes::from_static_str(
                    "This server does not host this topic-partition.",
                ))),
        }
    });
    AlterShareGroupOffsetsResponseTopic::default()
        .with_topic_name(asked.topic_name.clone())
        .with_topic_id(topic.map_or(Uuid::nil(), |topic| topic.id))
        .with_partitions(rows.collect())
}
