//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, for clients that look for truncation
//! (KIP-320).

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::error::{Refusal, not_served};
use crate::shard::Shard;

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let index = asked.partition;
            let (believed, epoch) = (asked.current_leader_epoch, asked.leader_epoch);
            let row = EpochEndOffset::default().with_partition(index);
            partitions.push(
                match one(shard, &topic.topic, index, believed, epoch).await {
                    Ok((epoch, end)) => row.with_leader_epoch(epoch).with_end_offset(end),
                    Err(error) => row
                        .with_error_code(error.code())
                        .with_leader_epoch(-1)
                        .with_end_offset(-1),
                },
            );
        }
        topics.push(
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions),
        );
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

async fn one(
    shard: &Rc<Shard>,
    topic: &str,
    index: i32,
    believed: i32,
    epoch: i32,
) -> Result<(i32, i64), ResponseError> {
    let (owner, partition) = shard.find(topic, index)?;
    shard
        .run_on(owner, move |shard| {
            let partition = shard.partition(partition);
            let answer = partition
                .map_err(|error| Refusal::from(error).error)
                .and_then(|partition| {
                    let end = partition.offset_for_epoch(believed, epoch);
                    end.map_err(not_served)
                });
            async move { answer }
        })
        .await
}
