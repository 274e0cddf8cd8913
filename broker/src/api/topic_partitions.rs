//! DescribeTopicPartitions (key 75, KIP-966): topics and their partitions, page by page.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::NO_OPERATIONS;
use super::metadata::is_internal;
use crate::shard::Shard;
use crate::shard::routes::{PartitionRoute, TopicRoute};

/// A topic to describe, or that there is none of that name.
enum Found {
    Topic(Rc<TopicRoute>),
    Missing(String),
}

impl Found {
    fn name(&self) -> &str {
        match self {
            Self::Topic(route) => &route.name,
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
    let mut left = limit.clamp(1, shard.settings().max_request_partitions.max(1));
    let (start_name, start_index) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index.max(0)),
        None => (String::new(), 0),
    };
    let mut response = DescribeTopicPartitionsResponse::default();
    for found in wanted(shard, &request) {
        if found.name() < start_name.as_str() {
            continue;
        }
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
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_name(Some(topic_name(&name)))
                    .with_topic_authorized_operations(NO_OPERATIONS),
            ),
            Found::Topic(route) => {
                let first = usize::try_from(from).unwrap_or(usize::MAX);
                let end = first.saturating_add(left).min(route.partitions.len());
                let row = topic_row(shard.node_id(), &route, first, end);
                left -= row.partitions.len();
                response.topics.push(row);
                if end < route.partitions.len() {
                    let next = i32::try_from(end).unwrap_or(i32::MAX);
                    response.next_cursor = Some(cursor(&route.name, next));
                    break;
                }
            }
        }
    }
    response
}

fn wanted(shard: &Shard, request: &DescribeTopicPartitionsRequest) -> Vec<Found> {
    if request.topics.is_empty() {
        return shard.routes().all().into_iter().map(Found::Topic).collect();
    }
    let mut names: Vec<_> = request
        .topics
        .iter()
        .map(|topic| topic.name.to_string())
        .collect();
    names.sort();
    names.dedup();
    let one = |name: String| match shard.routes().by_name(&name) {
        Some(route) => Found::Topic(route),
        None => Found::Missing(name),
    };
    names.into_iter().map(one).collect()
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(topic_name(name))
        .with_partition_index(partition)
}

fn topic_row(
    node: i32,
    route: &TopicRoute,
    first: usize,
    end: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = (0..).zip(&route.partitions).take(end).skip(first);
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(&route.name)))
        .with_topic_id(route.id)
        .with_is_internal(is_internal(&route.name))
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(
            partitions
                .map(|(index, part)| partition_row(node, index, part))
                .collect(),
        )
}

fn partition_row(
    node: i32,
    index: i32,
    route: &PartitionRoute,
) -> DescribeTopicPartitionsResponsePartition {
    let row = DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_epoch(route.leader_epoch)
        .with_replica_nodes(vec![BrokerId(node)])
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    if route.owner.is_some() {
        row.with_leader_id(BrokerId(route.leader))
            .with_isr_nodes(vec![BrokerId(node)])
    } else {
        row.with_error_code(ResponseError::LeaderNotAvailable.code())
            .with_leader_id(BrokerId(-1))
            .with_offline_replicas(vec![BrokerId(node)])
    }
}
