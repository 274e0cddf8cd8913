//! ListOffsets (key 2): the earliest, latest and greatest-timestamp offset of a partition, or the
//! first one at or after a time.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use storage::Log;

use super::error::{Refusal, not_served, read_code};
use super::fetch::READ_COMMITTED;
use crate::partition::{Partition, PartitionId};
use crate::shard::Shard;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// What is asked of one partition.
#[derive(Clone, Copy)]
struct Query {
    partition: PartitionId,
    timestamp: i64,
    believed_epoch: i32,
    /// Whether only what counts is to be seen.
    committed: bool,
}

/// An offset with its timestamp (-1 for none) and leader epoch.
#[derive(Clone, Copy)]
struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let committed = request.isolation_level == READ_COMMITTED;
    let mut seen = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let index = asked.partition_index;
            let found = if seen.insert((topic.name.clone(), index)) {
                let query = |partition| Query {
                    partition,
                    timestamp: asked.timestamp,
                    believed_epoch: asked.current_leader_epoch,
                    committed,
                };
                one(shard, &topic.name, index, version, query).await
            } else {
                Err(ResponseError::InvalidRequest)
            };
            partitions.push(row(index, found, version));
        }
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// The first version with room for leader epochs.
const EPOCHS_SINCE: i16 = 4;

fn row(
    index: i32,
    found: Result<Found, ResponseError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let row = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok(found) => row
            .with_offset(found.offset)
            .with_timestamp(found.timestamp)
            .with_leader_epoch(if version < EPOCHS_SINCE {
                -1
            } else {
                found.leader_epoch
            }),
        Err(error) => row
            .with_error_code(told(error, version).code())
            .with_offset(-1)
            .with_timestamp(-1)
            .with_leader_epoch(-1),
    }
}

/// The first version that knows `OFFSET_NOT_AVAILABLE`.
const NOT_AVAILABLE_SINCE: i16 = 5;

/// The error as clients of this version know it.
fn told(error: ResponseError, version: i16) -> ResponseError {
    if error == ResponseError::OffsetNotAvailable && version < NOT_AVAILABLE_SINCE {
        return ResponseError::LeaderNotAvailable;
    }
    error
}

async fn one(
    shard: &Rc<Shard>,
    topic: &str,
    index: i32,
    version: i16,
    query: impl FnOnce(PartitionId) -> Query,
) -> Result<Found, ResponseError> {
    let (owner, partition) = shard.find(topic, index)?;
    let query = query(partition);
    let known_from = match query.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        LATEST | EARLIEST | 0.. => 1,
        _ => i16::MAX,
    };
    if version < known_from {
        return Err(ResponseError::UnsupportedVersion);
    }
    shard
        .run_on(owner, move |shard| {
            let partition = shard.partition(query.partition);
            async move {
                let partition = partition.map_err(|error| Refusal::from(error).error)?;
                find(&partition, query).await
            }
        })
        .await
}

/// The leader epoch of the record at `offset`; none where the log has no record there yet.
fn epoch_of(log: &Log, offset: i64) -> Option<i32> {
    let ends = (0..=log.latest_epoch()?).map(|epoch| log.epoch_end(epoch));
    let mut behind = ends.filter(|(epoch, end)| *epoch >= 0 && *end > offset);
    behind.next().map(|(epoch, _)| epoch)
}

async fn find(partition: &Partition, query: Query) -> Result<Found, ResponseError> {
    let served = partition.check(query.believed_epoch, true);
    served.map_err(not_served)?;
    let log = partition.log();
    let visible_end = partition.visible_end(query.committed);
    let at = |offset: i64| Found {
        offset,
        timestamp: -1,
        leader_epoch: partition.leader_epoch(),
    };
    const NONE: Found = Found {
        offset: -1,
        timestamp: -1,
        leader_epoch: -1,
    };
    let timed = match query.timestamp {
        LATEST => {
            let latest = partition.latest_offset().map_err(not_served)?;
            return Ok(at(latest.min(visible_end)));
        }
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.log_start();
            return Ok(Found {
                leader_epoch: epoch_of(log, start).unwrap_or(partition.leader_epoch()),
                ..at(start)
            });
        }
        // Nothing is tiered here.
        LATEST_TIERED => return Ok(NONE),
        MAX_TIMESTAMP => log.max_timestamp(visible_end).await,
        time => log.offset_for_time(time, visible_end).await,
    };
    match timed {
        Ok(Some(timed)) => Ok(Found {
            offset: timed.offset,
            timestamp: timed.timestamp,
            leader_epoch: timed.leader_epoch,
        }),
        // A new leader that doesn't know yet how far its predecessor had got may find it later.
        Ok(None) => match partition.latest_offset() {
            Ok(_) => Ok(NONE),
            Err(why) => Err(not_served(why)),
        },
        Err(error) => Err(read_code(&error)),
    }
}
