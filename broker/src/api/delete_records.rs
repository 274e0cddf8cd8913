//! DeleteRecords (key 21): moves a partition's log start offset up, on all its live replicas.

use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::error::{Refusal, not_served};
use super::metadata::is_internal;
use crate::shard::Shard;

/// Answers one request; each partition's new start is on its drives before it is told.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = rt::time::now() + timeout;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let index = asked.partition_index;
            let row = DeleteRecordsPartitionResult::default().with_partition_index(index);
            let done = one(shard, &topic.name, index, asked.offset, deadline).await;
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
    deadline: Instant,
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
                partition.check(-1, true).map_err(not_served)?;
                let high_watermark = partition.high_watermark();
                let up_to = if offset == -1 { high_watermark } else { offset };
                if up_to < 0 || up_to > high_watermark {
                    return Err(ResponseError::OffsetOutOfRange);
                }
                let start = partition.delete_records_before(up_to).await;
                let start = start.map_err(|_| ResponseError::KafkaStorageError)?;
                if !partition.is_replicated() {
                    return Ok(start);
                }
                let left = deadline.saturating_duration_since(rt::time::now());
                match rt::time::timeout(left, partition.deleted_everywhere(up_to)).await {
                    Ok(deleted) => deleted.map_err(not_served),
                    Err(_) => Err(ResponseError::RequestTimedOut),
                }
            }
        })
        .await
}
