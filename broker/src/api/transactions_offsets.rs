//! TxnOffsetCommit (key 28): a group's offsets as part of a producer's transaction.
//!
//! Owns the look at what exists, and has the coordinator of transactions say whether the group is in the
//! transaction; the rest is the coordinator of groups'.

use std::rc::Rc;

use group::{Ask, Reply};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::groups::stray;
use crate::coordinator::Internal;
use crate::shard::Shard;

/// The first version whose clients don't add the group to the transaction themselves.
const ADDS_SINCE: i16 = 5;
/// The first version whose clients know `COORDINATOR_LOAD_IN_PROGRESS` here.
const LOADING_SINCE: i16 = 2;
/// The first version whose clients know `TRANSACTION_ABORTABLE`.
const ABORTABLE_SINCE: i16 = 4;

/// Answers TxnOffsetCommit.
pub(super) async fn commit(
    shard: &Rc<Shard>,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> TxnOffsetCommitResponse {
    let mut response = TxnOffsetCommitResponse::default();
    let mut known = request;
    for topic in &mut known.topics {
        let route = shard.routes().by_name(&topic.name);
        let mut row = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let there = route
                .as_deref()
                .is_some_and(|route| route.partition(index).is_some());
            let outcome = TxnOffsetCommitResponsePartition::default().with_partition_index(index);
            row.partitions.push(outcome.with_error_code(match there {
                true => 0,
                false => UNKNOWN,
            }));
            there
        });
        response.topics.push(row);
    }
    known.topics.retain(|topic| !topic.partitions.is_empty());
    if known.topics.is_empty() {
        return response;
    }
    let rows = response
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions);
    let rows = rows.filter(|row| row.error_code != UNKNOWN);
    match commit_known(shard, known, version).await {
        Ok(answer) => {
            let outcomes = answer.topics.iter().flat_map(|topic| &topic.partitions);
            for (row, outcome) in rows.zip(outcomes) {
                row.error_code = outcome.error_code;
            }
        }
        Err(error) => {
            let code = told(error, version).code();
            rows.for_each(|row| row.error_code = code);
        }
    }
    response
}

/// The code of a partition that there isn't.
const UNKNOWN: i16 = 3;

async fn commit_known(
    shard: &Rc<Shard>,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> Result<TxnOffsetCommitResponse, ResponseError> {
    let group = request.group_id.clone();
    let id = request.transactional_id.clone();
    let producer = (request.producer_id.0, request.producer_epoch);
    let add = version >= ADDS_SINCE;
    let topic = Internal::ConsumerOffsets.name();
    let verify = async |index| {
        let (producer, epoch) = producer;
        shard
            .verify_transaction(&id, producer, epoch, topic, index, add)
            .await
    };
    let ask = Ask::TxnCommit(version, request);
    let answer = shard.ask_group_in_transaction(&group, producer.0, verify, ask);
    match answer.await? {
        Reply::TxnCommit(answer) => Ok(answer),
        other => stray(&other),
    }
}

/// The error as a client knows it.
fn told(error: ResponseError, version: i16) -> ResponseError {
    match error {
        // Nobody could say whether the group is in the transaction.
        ResponseError::NotEnoughReplicas | ResponseError::CoordinatorLoadInProgress => {
            match version {
                ..LOADING_SINCE => ResponseError::CoordinatorNotAvailable,
                _ => ResponseError::CoordinatorLoadInProgress,
            }
        }
        ResponseError::TransactionAbortable if version < ABORTABLE_SINCE => {
            ResponseError::InvalidTxnState
        }
        error => error,
    }
}
