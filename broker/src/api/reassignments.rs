//! ElectLeaders (43), AlterPartitionReassignments (45) and ListPartitionReassignments (46): which
//! replicas partitions have, and which of them lead.

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    TopicName,
};
use metadata::{ElectionType, Reassignment, reassignments};

use super::seen::{ids, text};
use crate::cluster::{Outcome, Step};
use crate::shard::Shard;
use crate::shard::control::ControlError;

/// What the controller is asked at a time: it must fit one commit of the metadata.
const STEPS_AT_ONCE: usize = 1000;

/// Has the controller take all steps; gives what came of each, in order.
async fn carry_out(shard: &Rc<Shard>, steps: &[Step]) -> Result<Vec<Outcome>, ControlError> {
    let mut outcomes = Vec::with_capacity(steps.len());
    for some in steps.chunks(STEPS_AT_ONCE) {
        outcomes.extend(shard.steps(some.to_vec()).await?);
    }
    Ok(outcomes)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Answers ElectLeaders.
pub(super) async fn elect(
    shard: &Rc<Shard>,
    request: ElectLeadersRequest,
    version: i16,
) -> ElectLeadersResponse {
    let number = if version == 0 {
        ElectionType::Preferred as i8
    } else {
        request.election_type
    };
    let kind = match ElectionType::from_number(number) {
        Ok(kind) => kind,
        Err(error) => return ElectLeadersResponse::default().with_error_code(error.code()),
    };
    let all = request.topic_partitions.is_none();
    let partitions: Vec<(String, i32)> = match request.topic_partitions {
        None => shard.with_image(|image| {
            let topics = image.topics();
            let of = |topic: &metadata::Topic| {
                let name = topic.name.to_string();
                (0..)
                    .zip(&topic.partitions)
                    .map(move |(index, _)| (name.clone(), index))
                    .collect::<Vec<_>>()
            };
            topics.flat_map(of).collect()
        }),
        Some(topics) => {
            let one = |topic: kafka_protocol::messages::elect_leaders_request::TopicPartitions| {
                let name = topic.topic.to_string();
                let indexes = topic.partitions.into_iter();
                indexes.map(move |index| (name.clone(), index))
            };
            topics.into_iter().flat_map(one).collect()
        }
    };
    let step = |(topic, index): &(String, i32)| Step::ElectLeader {
        topic: topic.clone(),
        index: *index,
        kind,
    };
    let steps: Vec<Step> = partitions.iter().map(step).collect();
    let outcomes = match carry_out(shard, &steps).await {
        Ok(outcomes) => outcomes,
        Err(error) => return ElectLeadersResponse::default().with_error_code(error.code()),
    };
    let mut topics: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for ((topic, index), outcome) in partitions.into_iter().zip(outcomes) {
        let rows = topics.entry(topic).or_default();
        // Whoever asks for all wants to know of those where there was something to do.
        if !all || !is_idle(&outcome) {
            rows.push(election_row(index, outcome));
        }
    }
    let row = |(topic, rows): (String, Vec<PartitionResult>)| {
        ReplicaElectionResult::default()
            .with_topic(topic_name(&topic))
            .with_partition_result(rows)
    };
    let rows = topics.into_iter().map(row);
    ElectLeadersResponse::default().with_replica_election_results(rows.collect())
}

/// Whether the partition has the leader it is to have, or is gone in the meantime.
fn is_idle(outcome: &Outcome) -> bool {
    let idle = [
        ResponseError::ElectionNotNeeded,
        ResponseError::UnknownTopicOrPartition,
    ];
    let refused = outcome.as_ref().map(|(code, _)| *code);
    refused.is_some_and(|code| idle.iter().any(|error| error.code() == code))
}

fn election_row(index: i32, outcome: Outcome) -> PartitionResult {
    let row = PartitionResult::default().with_partition_id(index);
    match outcome {
        None => row.with_error_message(None),
        Some((code, why)) => row
            .with_error_code(code)
            .with_error_message(Some(text(&why))),
    }
}

/// Answers AlterPartitionReassignments: each partition by itself; null replicas cancel.
pub(super) async fn alter(
    shard: &Rc<Shard>,
    request: AlterPartitionReassignmentsRequest,
    version: i16,
) -> AlterPartitionReassignmentsResponse {
    let response = AlterPartitionReassignmentsResponse::default().with_error_message(None);
    let allow_factor_change = version < 1 || request.allow_replication_factor_change;
    let mut response = match version {
        0 => response,
        _ => response.with_allow_replication_factor_change(allow_factor_change),
    };
    let mut steps = Vec::new();
    for topic in &request.topics {
        steps.extend(topic.partitions.iter().map(|partition| {
            let replicas = partition.replicas.as_ref();
            Step::Reassign(Reassignment {
                topic: topic.name.to_string(),
                index: partition.partition_index,
                replicas: replicas.map(|nodes| nodes.iter().map(|node| node.0).collect()),
                allow_factor_change,
            })
        }));
    }
    let outcomes = match carry_out(shard, &steps).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            // Clients look for the error at each partition as well.
            let (code, why) = (error.code(), error.to_string());
            response = response
                .with_error_code(code)
                .with_error_message(Some(text(&why)));
            vec![Some((code, why)); steps.len()]
        }
    };
    let mut outcomes = outcomes.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(outcomes.by_ref());
        let rows = partitions.map(|(partition, outcome)| {
            let (code, why) = outcome.map_or((0, None), |(code, why)| (code, Some(why)));
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
                .with_error_message(why.as_deref().map(text))
        });
        let rows = rows.collect();
        ReassignableTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(rows)
    });
    let topics = topics.collect();
    response.with_responses(topics)
}

/// Answers ListPartitionReassignments; topics and partitions that aren't there are left out.
pub(super) fn list(
    shard: &Shard,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let wanted: Option<Vec<(String, Vec<i32>)>> = request.topics.map(|topics| {
        let topics = topics.into_iter();
        let wanted = topics.map(|topic| (topic.name.to_string(), topic.partition_indexes));
        wanted.collect()
    });
    let ongoing = shard.with_image(|image| reassignments(image, wanted.as_deref()));
    let mut topics: BTreeMap<String, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    for one in ongoing {
        let row = OngoingPartitionReassignment::default()
            .with_partition_index(one.index)
            .with_replicas(ids(&one.replicas))
            .with_adding_replicas(ids(&one.adding))
            .with_removing_replicas(ids(&one.removing));
        topics.entry(one.topic).or_default().push(row);
    }
    let rows = topics.into_iter().map(|(name, partitions)| {
        OngoingTopicReassignment::default()
            .with_name(topic_name(&name))
            .with_partitions(partitions)
    });
    ListPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_topics(rows.collect())
}
