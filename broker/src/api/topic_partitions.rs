//! DescribeTopicPartitions (key 75, KIP-966): topics and their partitions, page by page.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use metadata::{Image, PartitionState, Topic, check_topic_name};

use super::NO_OPERATIONS;
use super::metadata::is_internal;
use super::seen::{self, text};
use crate::shard::Shard;

/// A topic to describe, or that there is none of that name.
enum Found<'a> {
    Topic(&'a Topic),
    Missing(String),
}

impl Found<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Topic(topic) => &topic.name,
            Self::Missing(name) => name,
        }
    }
}

/// Answers one request: at most `max.request.partition.size.limit` partitions, and where to go on.
pub(super) fn answer(
    shard: &Shard,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let limit = limit.clamp(1, shard.settings().max_request_partitions.max(1));
    shard.with_image(|image| page(image, &request, limit))
}

fn page(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let mut left = limit;
    let (start_name, start_index) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index.max(0)),
        None => (String::new(), 0),
    };
    let mut response = DescribeTopicPartitionsResponse::default();
    for found in wanted(image, request, &start_name) {
        let from = if found.name() == start_name {
            start_index
        } else {
            0
        };
        if left == 0 {
            response.next_cursor = Some(cursor(found.name(), from));
            break;
        }
        match found {
            Found::Missing(name) => response.topics.push(
                DescribeTopicPartitionsResponseTopic::default()
                    .with_error_code(missing(&name))
                    .with_name(Some(topic_name(&name)))
                    .with_topic_authorized_operations(NO_OPERATIONS),
            ),
            Found::Topic(topic) => {
                let first = usize::try_from(from).unwrap_or(usize::MAX);
                let end = first.saturating_add(left).min(topic.partitions.len());
                let row = topic_row(image, topic, first, end);
                left -= row.partitions.len();
                response.topics.push(row);
                if end < topic.partitions.len() {
                    let next = i32::try_from(end).unwrap_or(i32::MAX);
                    response.next_cursor = Some(cursor(&topic.name, next));
                    break;
                }
            }
        }
    }
    response
}

/// The topics asked for, by name, from `start` on.
fn wanted<'a>(
    image: &'a Image,
    request: &DescribeTopicPartitionsRequest,
    start: &str,
) -> Box<dyn Iterator<Item = Found<'a>> + 'a> {
    if request.topics.is_empty() {
        return Box::new(image.topics_from(start).map(Found::Topic));
    }
    let topics = request.topics.iter();
    let names: BTreeSet<String> = topics
        .map(|topic| topic.name.to_string())
        .filter(|name| name.as_str() >= start)
        .collect();
    let one = |name: String| match image.topic(&name) {
        Some(topic) => Found::Topic(topic),
        None => Found::Missing(name),
    };
    Box::new(names.into_iter().map(one))
}

/// The code for a topic that isn't there.
fn missing(name: &str) -> i16 {
    match check_topic_name(name) {
        Ok(()) => ResponseError::UnknownTopicOrPartition.code(),
        Err(error) => error.code(),
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(topic_name(name))
        .with_partition_index(partition)
}

fn topic_row(
    image: &Image,
    topic: &Topic,
    first: usize,
    end: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = (0..).zip(&topic.partitions).take(end).skip(first);
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(
            partitions
                .map(|(index, state)| partition_row(image, index, state))
                .collect(),
        )
}

/// As in Kafka, a partition without a leader is no error here: its leader is -1.
fn partition_row(
    image: &Image,
    index: i32,
    state: &PartitionState,
) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(seen::leader(image, state).unwrap_or(BrokerId(-1)))
        .with_leader_epoch(state.leader_epoch)
        .with_replica_nodes(seen::ids(&state.replicas))
        .with_isr_nodes(seen::ids(&state.isr))
        .with_offline_replicas(seen::offline(image, state))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}
