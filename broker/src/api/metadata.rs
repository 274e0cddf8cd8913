//! Metadata (key 3): brokers, topics and partitions, and the making of topics that are only named.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use uuid::Uuid;

use super::NO_OPERATIONS;
use super::seen::{self, text};
use crate::coordinator::Internal;
use crate::shard::Shard;
use metadata::{CreateTopic, Image, PartitionState, Topic};

/// The first version that knows topics by id.
const BY_ID_SINCE: i16 = 12;

/// How the client named a topic.
enum Named {
    Name(TopicName),
    Id(Uuid),
}

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    let mut response = MetadataResponse::default()
        .with_brokers(shard.with_image(brokers))
        .with_controller_id(seen::controller(shard))
        .with_cluster_id(shard.with_image(|image| image.cluster_id().map(text)))
        .with_cluster_authorized_operations(NO_OPERATIONS);
    let lost = shard.lost_nodes();
    // Version 0 asks for all topics with an empty list, later ones with null; an empty list is none.
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    if all {
        response.topics = shard.with_image(|image| {
            let topics = image.topics();
            topics
                .map(|topic| topic_row(image, topic, version))
                .collect()
        });
        without_leaders(&mut response.topics, &lost);
        return response;
    }
    // Versions before 4 can't say that they don't want a topic made.
    let may_create = version < 4 || request.allow_auto_topic_creation;
    let mut seen = BTreeSet::new();
    for asked in request.topics.unwrap_or_default() {
        // As in Kafka, a topic is told of once, however often it is named: its partitions may be many.
        if !seen.insert((asked.name.clone(), asked.topic_id)) {
            continue;
        }
        let row = match asked.name {
            // Kafka's consumer names it with nothing then.
            _ if version >= BY_ID_SINCE && !asked.topic_id.is_nil() => {
                by_id(shard, asked.topic_id, version)
            }
            Some(name) => by_name(shard, name, may_create, version).await,
            // Versions 10 and 11 have the field, but their answers can't leave the name out.
            None if version < BY_ID_SINCE => error_row(
                Named::Name(TopicName::default()),
                ResponseError::InvalidRequest.code(),
            ),
            None => by_id(shard, asked.topic_id, version),
        };
        response.topics.push(row);
    }
    without_leaders(&mut response.topics, &lost);
    response
}

/// Tells of partitions that a node leads which was just lost that they have no leader.
fn without_leaders(topics: &mut [MetadataResponseTopic], lost: &BTreeSet<i32>) {
    if lost.is_empty() {
        return;
    }
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| lost.contains(&partition.leader_id.0)) {
        partition.leader_id = BrokerId(-1);
        partition.error_code = ResponseError::LeaderNotAvailable.code();
    }
}

fn brokers(image: &Image) -> Vec<MetadataResponseBroker> {
    let rows = seen::contacts(image).map(|(broker, at)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(broker.node_id))
            .with_host(text(&at.host))
            .with_port(i32::from(at.port))
            .with_rack(broker.rack.as_deref().map(text))
    });
    rows.collect()
}

/// The topic of that name, if there is one.
fn known(shard: &Shard, name: &str, version: i16) -> Option<MetadataResponseTopic> {
    shard.with_image(|image| Some(topic_row(image, image.topic(name)?, version)))
}

async fn by_name(
    shard: &Rc<Shard>,
    name: TopicName,
    may_create: bool,
    version: i16,
) -> MetadataResponseTopic {
    if let Some(row) = known(shard, &name, version) {
        return row;
    }
    if !may_create || !shard.settings().auto_create_topics {
        let error = match metadata::check_topic_name(&name) {
            Ok(()) => ResponseError::UnknownTopicOrPartition.code(),
            Err(error) => error.code(),
        };
        return error_row(Named::Name(name), error);
    }
    let command = CreateTopic {
        id: Uuid::new_v4(),
        name: name.to_string(),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let created = shard.create_topic(command, false).await;
    let code = created.map_or_else(|error| error.code(), |()| 0);
    // Another client may have been first.
    if code != 0 && code != ResponseError::TopicAlreadyExists.code() {
        return error_row(Named::Name(name), code);
    }
    let row = known(shard, &name, version);
    row.unwrap_or_else(|| error_row(Named::Name(name), ResponseError::LeaderNotAvailable.code()))
}

fn by_id(shard: &Shard, id: Uuid, version: i16) -> MetadataResponseTopic {
    let row = shard.with_image(|image| Some(topic_row(image, image.topic_by_id(id)?, version)));
    row.unwrap_or_else(|| error_row(Named::Id(id), ResponseError::UnknownTopicId.code()))
}

fn error_row(named: Named, error: i16) -> MetadataResponseTopic {
    let row = MetadataResponseTopic::default()
        .with_error_code(error)
        .with_topic_authorized_operations(NO_OPERATIONS);
    match named {
        Named::Name(name) => row.with_name(Some(name)),
        Named::Id(id) => row.with_name(None).with_topic_id(id),
    }
}

fn topic_row(image: &Image, topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(
            partitions
                .map(|(index, state)| partition_row(image, index, state, version))
                .collect(),
        )
}

fn partition_row(
    image: &Image,
    index: i32,
    state: &PartitionState,
    version: i16,
) -> MetadataResponsePartition {
    // The clients of version 0 take it for an error when they can't reach a replica, and are told so.
    let told = |nodes: &[i32]| -> Vec<i32> {
        let nodes = nodes.iter().copied();
        let told = nodes.filter(|node| version > 0 || seen::is_reachable(image, *node));
        told.collect()
    };
    let (replicas, isr) = (told(&state.replicas), told(&state.isr));
    let leader = seen::leader(image, state);
    let error = match leader {
        None => ResponseError::LeaderNotAvailable.code(),
        Some(_) if replicas.len() < state.replicas.len() || isr.len() < state.isr.len() => {
            ResponseError::ReplicaNotAvailable.code()
        }
        Some(_) => 0,
    };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_leader_id(leader.unwrap_or(BrokerId(-1)))
        .with_leader_epoch(state.leader_epoch)
        .with_replica_nodes(seen::ids(&replicas))
        .with_isr_nodes(seen::ids(&isr))
        .with_offline_replicas(seen::offline(image, state))
}

/// Whether clients should keep away from a topic: it is the broker's own.
pub(super) fn is_internal(name: &str) -> bool {
    Internal::of_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_lost_leader_are_told_to_have_none() {
        let partition = |leader| {
            MetadataResponsePartition::default()
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(4)
        };
        let topic =
            MetadataResponseTopic::default().with_partitions([1, 2, -1].map(partition).to_vec());
        let told = |lost: &[i32]| -> Vec<(i32, i16)> {
            let mut topics = vec![topic.clone()];
            without_leaders(&mut topics, &lost.iter().copied().collect());
            let partitions = topics[0].partitions.iter();
            partitions
                .map(|one| (one.leader_id.0, one.error_code))
                .collect()
        };
        assert_eq!(told(&[]), [(1, 0), (2, 0), (-1, 0)]);
        assert_eq!(told(&[3]), [(1, 0), (2, 0), (-1, 0)]);
        let none = ResponseError::LeaderNotAvailable.code();
        assert_eq!(told(&[2, 3]), [(1, 0), (-1, none), (-1, 0)]);
    }
}
