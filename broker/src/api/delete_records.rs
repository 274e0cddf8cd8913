//! DeleteRecords (key 21): moves a partition's log start offset up.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::error::Refusal;
use super::metadata::is_internal;
use crate::shard::Shard;

/// Answers one request; each partition's new start is on its drive before it is told.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let index = asked.partition_index;
            let row = DeleteRecordsPartitionResult::default().with_partition_index(index);
            let done = one(shard, &topic.name, index, asked.offset).await;
            partitions.push(match done {
                Ok(start) => row.with_low_watermark(start),
                Err(error) => row.with_low_watermark(-1).with_error_code(error.code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn one(
    shard: &Rc<Shard>,
    topic: &str,
    index: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let (owner, partition) = shard.find(topic, index)?;
    if is_internal(topic) {
        return Err(ResponseError::InvalidTopicException);
    }
    let route = shard.routes().by_id(partition.topic_id);
    if !route.is_some_and(|route| route.config.cleanup_policy.delete) {
        return Err(ResponseError::PolicyViolation);
    }
    shard
        .run_on(owner, move |shard| {
            let partition = shard.partition(partition);
            async move {
                let partition = partition.map_err(|error| Refusal::from(error).error)?;
                let high_watermark = partition.high_watermark();
                let up_to = if offset == -1 { high_watermark } else { offset };
                if up_to < 0 || up_to > high_watermark {
                    return Err(ResponseError::OffsetOutOfRange);
                }
                let log = partition.log();
                log.delete_records_before(up_to)
                    .await
                    .map_err(|_| ResponseError::KafkaStorageError)
            }
        })
        .await
}
