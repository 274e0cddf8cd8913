//! Metadata (key 3): brokers, topics and partitions, and the making of topics that are only named.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::NO_OPERATIONS;
use crate::shard::Shard;
use crate::shard::routes::{PartitionRoute, TopicRoute};
use metadata::CreateTopic;

/// Where a client is told to connect.
pub struct Advertised {
    /// A host name or address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

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
    advertised: &Advertised,
) -> MetadataResponse {
    let node = BrokerId(shard.node_id());
    let mut response = MetadataResponse::default()
        .with_brokers(vec![broker(shard, advertised)])
        .with_controller_id(node)
        .with_cluster_id(shard.with_image(|image| image.cluster_id().map(text)))
        .with_cluster_authorized_operations(NO_OPERATIONS);
    // Version 0 asks for all topics with an empty list, later ones with null; an empty list is none.
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    if all {
        let routes = shard.routes().all();
        response.topics = routes.iter().map(|route| topic_row(shard, route)).collect();
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
            Some(name) => by_name(shard, name, may_create).await,
            // Versions 10 and 11 have the field, but their answers can't leave the name out.
            None if version < BY_ID_SINCE => error_row(
                Named::Name(TopicName::default()),
                ResponseError::InvalidRequest.code(),
            ),
            None => by_id(shard, asked.topic_id),
        };
        response.topics.push(row);
    }
    response
}

fn broker(shard: &Shard, advertised: &Advertised) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(shard.node_id()))
        .with_host(text(&advertised.host))
        .with_port(i32::from(advertised.port))
        .with_rack(shard.settings().rack.as_deref().map(text))
}

fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

async fn by_name(shard: &Rc<Shard>, name: TopicName, may_create: bool) -> MetadataResponseTopic {
    if let Some(route) = shard.routes().by_name(&name) {
        return topic_row(shard, &route);
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
    match shard.routes().by_name(&name) {
        Some(route) => topic_row(shard, &route),
        None => error_row(Named::Name(name), ResponseError::LeaderNotAvailable.code()),
    }
}

fn by_id(shard: &Shard, id: Uuid) -> MetadataResponseTopic {
    match shard.routes().by_id(id) {
        Some(route) => topic_row(shard, &route),
        None => error_row(Named::Id(id), ResponseError::UnknownTopicId.code()),
    }
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

fn topic_row(shard: &Shard, route: &TopicRoute) -> MetadataResponseTopic {
    let node = shard.node_id();
    let partitions = (0..).zip(&route.partitions);
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&route.name))))
        .with_topic_id(route.id)
        .with_is_internal(is_internal(&route.name))
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(
            partitions
                .map(|(index, part)| partition_row(node, index, part))
                .collect(),
        )
}

fn partition_row(node: i32, index: i32, route: &PartitionRoute) -> MetadataResponsePartition {
    let row = MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_replica_nodes(vec![BrokerId(node)])
        .with_leader_epoch(route.leader_epoch);
    if route.owner.is_some() {
        row.with_leader_id(BrokerId(route.leader))
            .with_isr_nodes(vec![BrokerId(node)])
    } else {
        row.with_error_code(ResponseError::LeaderNotAvailable.code())
            .with_leader_id(BrokerId(-1))
            .with_offline_replicas(vec![BrokerId(node)])
    }
}

/// Whether clients should keep away from a topic: it is the broker's own.
pub(super) fn is_internal(name: &str) -> bool {
    name == "__consumer_offsets" || name == "__transaction_state"
}
