//! DescribeProducers (key 61): who writes to partitions, and whose transactions are open there.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use super::error::Refusal;
use crate::producers::Description;
use crate::shard::Shard;

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let row = match producers(shard, &topic.name, index).await {
                Ok(all) => PartitionResponse::default()
                    .with_active_producers(all.into_iter().map(state).collect()),
                Err(error) => PartitionResponse::default().with_error_code(error.code()),
            };
            partitions.push(row.with_partition_index(index));
        }
        let row = TopicResponse::default().with_name(topic.name);
        topics.push(row.with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(topics)
}

async fn producers(
    shard: &Rc<Shard>,
    topic: &str,
    index: i32,
) -> Result<Vec<Description>, ResponseError> {
    let (owner, id) = shard.find(topic, index)?;
    let found = shard.run_on(owner, move |shard| {
        let partition = shard.partition(id);
        let found = partition.map_err(|error| Refusal::from(error).error);
        let found = found.and_then(|partition| match partition.is_leader() {
            true => Ok(partition.producers()),
            false => Err(ResponseError::NotLeaderOrFollower),
        });
        std::future::ready(found)
    });
    found.await
}

fn state(of: Description) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(of.producer_id))
        .with_producer_epoch(i32::from(of.epoch))
        .with_last_sequence(of.last_sequence)
        .with_last_timestamp(of.last_used_ms)
        .with_coordinator_epoch(of.coordinator_epoch)
        .with_current_txn_start_offset(of.open.unwrap_or(-1))
}
