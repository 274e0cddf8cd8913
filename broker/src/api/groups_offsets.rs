//! The offsets of groups: OffsetCommit (key 8), OffsetFetch (9) and OffsetDelete (47).
//!
//! Owns the look at what exists: partitions that don't are refused here, the rest goes to the group's
//! coordinator, and the answer tells of all in the order of the request.

use std::rc::Rc;

use group::{Ask, Reply};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::stray;
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

/// The first version of OffsetFetch that asks for several groups.
const SEVERAL_SINCE: i16 = 8;
/// The first version of OffsetFetch with an error that is the group's.
const GROUP_ERROR_SINCE: i16 = 2;
const NO_OFFSET: i64 = -1;

/// The code of a partition that there isn't.
const UNKNOWN: i16 = 3;

/// Whether the metadata has a partition.
fn exists(shard: &Shard, topic: &str, partition: i32) -> bool {
    let route = shard.routes().by_name(topic);
    route.is_some_and(|route| route.partition(partition).is_some())
}

/// Answers OffsetCommit.
pub(super) async fn commit(
    shard: &Rc<Shard>,
    request: OffsetCommitRequest,
    version: i16,
) -> OffsetCommitResponse {
    let group = request.group_id.clone();
    let mut response = OffsetCommitResponse::default();
    let mut known = request;
    for topic in &mut known.topics {
        let mut row = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let there = exists(shard, &topic.name, index);
            let outcome = OffsetCommitResponsePartition::default().with_partition_index(index);
            let code = if there { 0 } else { UNKNOWN };
            row.partitions.push(outcome.with_error_code(code));
            there
        });
        response.topics.push(row);
    }
    known.topics.retain(|topic| !topic.partitions.is_empty());
    if known.topics.is_empty() {
        return response;
    }
    let asked = shard.ask_group(&group, Ask::Commit(version, known)).await;
    let outcomes = match asked {
        Ok(Reply::Commit(answer)) => answer.topics,
        Ok(other) => stray(&other),
        Err(error) => {
            refuse(
                response
                    .topics
                    .iter_mut()
                    .flat_map(|topic| &mut topic.partitions),
                error,
            );
            return response;
        }
    };
    let outcomes = outcomes.iter().flat_map(|topic| &topic.partitions);
    let all = response
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions);
    let asked = all.filter(|row| row.error_code != UNKNOWN);
    for (row, outcome) in asked.zip(outcomes) {
        row.error_code = outcome.error_code;
    }
    response
}

/// Gives what was asked of the coordinator its error.
fn refuse<'a>(
    rows: impl Iterator<Item = &'a mut OffsetCommitResponsePartition>,
    error: CoordinatorError,
) {
    for row in rows.filter(|row| row.error_code != UNKNOWN) {
        row.error_code = error.code();
    }
}

/// Answers OffsetFetch.
pub(super) async fn fetch(
    shard: &Rc<Shard>,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if version < SEVERAL_SINCE {
        let group = single(request);
        return of_single(fetch_one(shard, group, stable, version).await, version);
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(fetch_one(shard, group, stable, version).await);
    }
    OffsetFetchResponse::default().with_groups(groups)
}

/// The one group of an older request.
fn single(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topic = topics.into_iter().map(|topic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name)
                .with_partition_indexes(topic.partition_indexes)
        });
        topic.collect()
    });
    OffsetFetchRequestGroup::default()
        .with_group_id(request.group_id)
        .with_topics(topics)
}

async fn fetch_one(
    shard: &Rc<Shard>,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
) -> OffsetFetchResponseGroup {
    let (id, topics) = (group.group_id.clone(), group.topics.clone());
    let ask = Ask::Fetch {
        group,
        require_stable,
    };
    let mut answer = match shard.ask_group(&id, ask).await {
        Ok(Reply::Fetch(answer)) => answer,
        Ok(other) => stray(&other),
        Err(error) => OffsetFetchResponseGroup::default()
            .with_group_id(id)
            .with_error_code(error.code()),
    };
    if version < GROUP_ERROR_SINCE && answer.error_code != 0 {
        let code = answer.error_code;
        let topics = topics.unwrap_or_default().into_iter();
        answer.topics = topics.map(|topic| refused_topic(topic, code)).collect();
    }
    answer
}

/// A topic whose partitions all have an error.
fn refused_topic(topic: OffsetFetchRequestTopics, code: i16) -> OffsetFetchResponseTopics {
    let row = |index| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(NO_OFFSET)
            .with_metadata(Some(StrBytes::default()))
            .with_error_code(code)
    };
    OffsetFetchResponseTopics::default()
        .with_name(topic.name)
        .with_partitions(topic.partition_indexes.into_iter().map(row).collect())
}

/// The answer to an older request.
fn of_single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    };
    let topic = |topic: OffsetFetchResponseTopics| {
        let partitions = topic.partitions.into_iter().map(partition).collect();
        OffsetFetchResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    };
    let code = match version {
        ..GROUP_ERROR_SINCE => 0,
        _ => group.error_code,
    };
    OffsetFetchResponse::default()
        .with_error_code(code)
        .with_topics(group.topics.into_iter().map(topic).collect())
}

/// Answers OffsetDelete.
pub(super) async fn delete(
    shard: &Rc<Shard>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let group = request.group_id.clone();
    let mut known = request;
    let mut unknown: Vec<(TopicName, i32)> = Vec::new();
    for topic in &mut known.topics {
        topic.partitions.retain(|partition| {
            let there = exists(shard, &topic.name, partition.partition_index);
            if !there {
                unknown.push((topic.name.clone(), partition.partition_index));
            }
            there
        });
    }
    known.topics.retain(|topic| !topic.partitions.is_empty());
    let mut response = match shard.ask_group(&group, Ask::DeleteOffsets(known)).await {
        Ok(Reply::DeleteOffsets(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    if response.error_code != 0 {
        return response;
    }
    for (name, index) in unknown {
        let row = OffsetDeleteResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(ResponseError::UnknownTopicOrPartition.code());
        match response.topics.iter_mut().find(|topic| topic.name == name) {
            Some(topic) => topic.partitions.push(row),
            None => response.topics.push(
                OffsetDeleteResponseTopic::default()
                    .with_name(name)
                    .with_partitions(vec![row]),
            ),
        }
    }
    response
}
