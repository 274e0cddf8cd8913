//! OffsetFetch of one group.

use coordinator::{Token, World};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Committed, OfTopic};
use crate::Reply;
use crate::state::State;
use crate::step::Step;

impl State {
    /// OffsetFetch. A group that isn't there has nothing committed.
    pub(crate) fn fetch(
        &self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: OffsetFetchRequestGroup,
        stable: bool,
    ) {
        let mut answer =
            OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone());
        let group = self.groups.get(request.group_id.as_str());
        let may =
            group.map(|group| group.may_fetch(request.member_id.as_deref(), request.member_epoch));
        match (may, &request.topics) {
            (Some(Err(error)), _) => answer.error_code = error.code(),
            (may, Some(topics)) => {
                let there = may.is_some();
                let one =
                    |topic| self.fetch_topic(step.world, &request.group_id, there, topic, stable);
                answer.topics = topics.iter().map(one).collect();
            }
            (Some(Ok(())), None) => {
                answer.topics = self.fetch_all(step.world, &request.group_id, stable);
            }
            (None, None) => {}
        }
        step.reply(from, Reply::Fetch(answer));
    }

    fn fetch_topic(
        &self,
        world: &World<'_>,
        group: &str,
        there: bool,
        asked: &OffsetFetchRequestTopics,
        stable: bool,
    ) -> OffsetFetchResponseTopics {
        let of = self.offsets.of(group, &asked.name).filter(|_| there);
        let id = current_id(world, &asked.name, asked.topic_id);
        let one = |partition: &i32| answer(of, *partition, id, stable);
        OffsetFetchResponseTopics::default()
            .with_name(asked.name.clone())
            .with_topic_id(asked.topic_id)
            .with_partitions(asked.partition_indexes.iter().map(one).collect())
    }

    fn fetch_all(
        &self,
        world: &World<'_>,
        group: &str,
        stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let topics = self.offsets.groups.get(group).into_iter().flatten();
        let with_any = topics.filter(|(_, of)| !of.committed.is_empty());
        let one = |(topic, of): (&_, &OfTopic)| {
            let topic: &crate::step::Name = topic;
            let id = current_id(world, topic, Uuid::nil());
            let partitions = of.committed.keys();
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_string())))
                .with_partitions(
                    partitions
                        .map(|partition| answer(Some(of), *partition, id, stable))
                        .collect(),
                )
        };
        with_any.map(one).collect()
    }
}

/// The id that a commit has to be of: what the client said, or what the topic has now.
fn current_id(world: &World<'_>, topic: &str, said: Uuid) -> Uuid {
    if !said.is_nil() {
        return said;
    }
    world
        .topics
        .by_name(topic)
        .map_or(Uuid::nil(), |topic| topic.id)
}

fn answer(
    of: Option<&OfTopic>,
    partition: i32,
    id: Uuid,
    stable: bool,
) -> OffsetFetchResponsePartitions {
    let nothing = OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()));
    let Some(of) = of else {
        return nothing;
    };
    if stable && of.open.contains_key(&partition) {
        return nothing.with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    // One of a topic of the same name that was deleted is none of this topic.
    let same = |committed: &&Committed| {
        committed.topic_id.is_nil() || id.is_nil() || committed.topic_id == id
    };
    match of.committed.get(&partition).filter(same) {
        Some(committed) => nothing
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(StrBytes::from_string(committed.metadata.to_string()))),
        None => nothing,
    }
}
