//! ShareAcknowledge (key 79): takes what a member of a share group says of the records it has, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::share_acknowledge_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeTopicResponse,
};
use kafka_protocol::messages::{BrokerId, ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use kafka_protocol::protocol::StrBytes;
use share::TopicIdPartition;
use uuid::Uuid;

use super::error::{Refusal, wants_leader};
use super::share_asked::{SaidOf, acknowledge, key_of, said_alone};
use crate::shard::Shard;

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: ShareAcknowledgeRequest,
) -> ShareAcknowledgeResponse {
    match done(shard, request).await {
        Ok(outcomes) => response(shard, outcomes),
        Err(refusal) => ShareAcknowledgeResponse::default()
            .with_error_code(refusal.error.code())
            .with_error_message(refusal.message.map(StrBytes::from_string)),
    }
}

type Outcomes = BTreeMap<TopicIdPartition, Result<(), ResponseError>>;

async fn done(shard: &Rc<Shard>, request: ShareAcknowledgeRequest) -> Result<Outcomes, Refusal> {
    let key = key_of(request.group_id, request.member_id)?;
    let mut said = SaidOf::new();
    for topic in request.topics {
        for asked in topic.partitions {
            let partition = TopicIdPartition {
                topic_id: topic.topic_id,
                partition: asked.partition_index,
            };
            let batches = asked.acknowledgement_batches.into_iter();
            said.entry(partition)
                .or_default()
                .extend(batches.map(said_alone));
        }
    }
    let epoch = request.share_session_epoch;
    let stepped = shard.step_share_session(key.clone(), epoch).await;
    let last = stepped.map_err(|error| Refusal::with(error.error(), error.to_string()))?;
    let outcomes = acknowledge(shard, &key, said).await.outcomes().await;
    if last {
        shard.close_share_session(key).await;
    }
    Ok(outcomes)
}

fn response(shard: &Shard, outcomes: Outcomes) -> ShareAcknowledgeResponse {
    let mut topics: BTreeMap<Uuid, Vec<PartitionData>> = BTreeMap::new();
    let mut leaders = BTreeSet::new();
    for (partition, outcome) in outcomes {
        let mut row = PartitionData::default().with_partition_index(partition.partition);
        if let Err(error) = outcome {
            row.error_code = error.code();
            let route = shard.routes().by_id(partition.topic_id);
            let leader = route.and_then(|route| route.leader(partition.partition));
            if let Some((node, epoch)) = leader.filter(|_| wants_leader(error)) {
                leaders.insert(node);
                row.current_leader = LeaderIdAndEpoch::default()
                    .with_leader_id(node)
                    .with_leader_epoch(epoch);
            }
        }
        topics.entry(partition.topic_id).or_default().push(row);
    }
    let topics = topics.into_iter().map(|(id, partitions)| {
        ShareAcknowledgeTopicResponse::default()
            .with_topic_id(id)
            .with_partitions(partitions)
    });
    let endpoints = shard.endpoints(&leaders).into_iter().map(|endpoint| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(StrBytes::from_string(endpoint.host))
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.map(StrBytes::from_string))
    });
    ShareAcknowledgeResponse::default()
        .with_responses(topics.collect())
        .with_node_endpoints(endpoints.collect())
}
