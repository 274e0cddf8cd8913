//! What producers and other nodes ask of the coordinator of transactions: AddPartitionsToTxn (key 24),
//! AddOffsetsToTxn (25) and EndTxn (26).
//!
//! Owns the look at what exists, and the errors as the versions of a request have them. Whether a
//! transaction may go on is its coordinator's to say.

use std::rc::Rc;

use coordinator::partition_for;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, ProducerId,
};
use txn::{
    Ask, End, InTransaction, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Partitions, Producer, Reply,
    TransactionVersion,
};

use super::producer_id::fresh_id;
use crate::coordinator::Internal;
use crate::shard::Shard;

/// The first version of AddPartitionsToTxn that has several transactions. It is for nodes only.
const SEVERAL_SINCE: i16 = 4;
/// The first version of EndTxn whose clients take a new epoch.
const BUMPS_SINCE: i16 = 5;
/// The first version of each of these requests whose clients know `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 2;

/// An answer to another question than was asked.
pub(crate) fn stray(reply: &Reply) -> ! {
    unreachable!("a coordinator of transactions answers what it was asked, not with {reply:?}")
}

/// The error as a client knows it.
pub(super) fn fenced(error: ResponseError, knows: bool) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if !knows => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

/// Answers AddPartitionsToTxn.
pub(super) async fn add_partitions(
    shard: &Rc<Shard>,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    if version < SEVERAL_SINCE {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let result = add_to_one(shard, transaction, version).await;
        return AddPartitionsToTxnResponse::default()
            .with_results_by_topic_v3_and_below(result.topic_results);
    }
    let mut asked = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let shard = Rc::clone(shard);
        asked.push(rt::task::spawn(async move {
            add_to_one(&shard, transaction, version).await
        }));
    }
    let mut results = Vec::with_capacity(asked.len());
    for one in asked {
        results.push(one.await);
    }
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
}

async fn add_to_one(
    shard: &Rc<Shard>,
    transaction: AddPartitionsToTxnTransaction,
    version: i16,
) -> AddPartitionsToTxnResult {
    let topics = &transaction.topics;
    let exists = |topic: &str, index: i32| {
        let route = shard.routes().by_name(topic);
        route.is_some_and(|route| route.partition(index).is_some())
    };
    let mut all = topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(move |index| (&topic.name, *index))
    });
    let row = if !all.all(|(topic, index)| exists(topic, index)) {
        // One that isn't there, and none is added.
        results(topics, |topic, index| {
            Some(match exists(topic, index) {
                true => ResponseError::OperationNotAttempted,
                false => ResponseError::UnknownTopicOrPartition,
            })
        })
    } else {
        match add(shard, &transaction, version).await {
            Ok(lacking) => results(topics, |topic, index| {
                let lacks = lacking.get(topic).is_some_and(|of| of.contains(&index));
                lacks.then_some(ResponseError::TransactionAbortable)
            }),
            Err(error) => {
                let error = fenced(error, version >= FENCED_SINCE);
                results(topics, |_, _| Some(error))
            }
        }
    };
    AddPartitionsToTxnResult::default()
        .with_transactional_id(transaction.transactional_id)
        .with_topic_results(row)
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    error: impl Fn(&str, i32) -> Option<ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let row = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| {
            let code = error(&topic.name, *index).map_or(0, |error| error.code());
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(row).collect()
}

/// Has the partitions added, or verified; gives those that are not in the transaction.
async fn add(
    shard: &Rc<Shard>,
    transaction: &AddPartitionsToTxnTransaction,
    version: i16,
) -> Result<Partitions, ResponseError> {
    let mut partitions = Partitions::new();
    for topic in &transaction.topics {
        let of = partitions.entry(topic.name.to_string()).or_default();
        of.extend(&topic.partitions);
    }
    let asked = InTransaction {
        transactional_id: transaction.transactional_id.to_string(),
        producer: Producer {
            id: transaction.producer_id.0,
            epoch: transaction.producer_epoch,
        },
        partitions,
        version: if version < SEVERAL_SINCE {
            TransactionVersion::V0
        } else {
            TransactionVersion::V2
        },
    };
    ask(shard, asked, transaction.verify_only).await
}

async fn ask(
    shard: &Rc<Shard>,
    asked: InTransaction,
    verify: bool,
) -> Result<Partitions, ResponseError> {
    if asked.transactional_id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let id = asked.transactional_id.clone();
    let ask = match verify {
        true => Ask::Verify(asked),
        false => Ask::Add(asked),
    };
    match shard
        .ask_txn(&id, ask)
        .await
        .map_err(|error| error.error())?
    {
        Reply::Add(done) => done.map(|()| Partitions::new()),
        Reply::Verify(lacking) => lacking,
        other => stray(&other),
    }
}

/// Answers AddOffsetsToTxn.
pub(super) async fn add_offsets(
    shard: &Rc<Shard>,
    request: AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let done = add_group(shard, &request).await;
    let code = done
        .err()
        .map_or(0, |error| fenced(error, version >= FENCED_SINCE).code());
    AddOffsetsToTxnResponse::default().with_error_code(code)
}

async fn add_group(
    shard: &Rc<Shard>,
    request: &AddOffsetsToTxnRequest,
) -> Result<(), ResponseError> {
    let topic = Internal::ConsumerOffsets;
    let Some(route) = shard.routes().by_name(topic.name()) else {
        shard.make_internal(topic);
        return Err(ResponseError::CoordinatorNotAvailable);
    };
    let partitions = i32::try_from(route.partitions.len()).unwrap_or(i32::MAX);
    let index = partition_for(&request.group_id, partitions);
    let asked = InTransaction {
        transactional_id: request.transactional_id.to_string(),
        producer: Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        },
        partitions: Partitions::from([(topic.name().to_owned(), [index].into())]),
        version: TransactionVersion::V0,
    };
    ask(shard, asked, false).await.map(drop)
}

/// Answers EndTxn.
pub(super) async fn end(shard: &Rc<Shard>, request: EndTxnRequest, version: i16) -> EndTxnResponse {
    let (code, producer) = match end_one(shard, &request, version).await {
        Ok(producer) if version >= BUMPS_SINCE => (0, producer),
        Ok(_) => (0, NOBODY),
        Err(error) => (fenced(error, version >= FENCED_SINCE).code(), NOBODY),
    };
    EndTxnResponse::default()
        .with_error_code(code)
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

const NOBODY: Producer = Producer {
    id: NO_PRODUCER_ID,
    epoch: NO_PRODUCER_EPOCH,
};

async fn end_one(
    shard: &Rc<Shard>,
    request: &EndTxnRequest,
    version: i16,
) -> Result<Producer, ResponseError> {
    if request.transactional_id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let mut end = End {
        transactional_id: request.transactional_id.to_string(),
        producer: Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        },
        commit: request.committed,
        version: if version < BUMPS_SINCE {
            TransactionVersion::V0
        } else {
            TransactionVersion::V2
        },
        fresh_id: None,
    };
    loop {
        let asked = shard.ask_txn(&request.transactional_id, Ask::End(end.clone()));
        match asked.await.map_err(|error| error.error())? {
            Reply::End(done) => return done,
            Reply::NeedsProducerId => end.fresh_id = Some(fresh_id(shard).await?),
            other => stray(&other),
        }
    }
}
