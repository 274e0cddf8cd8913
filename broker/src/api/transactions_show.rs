//! What is known of transactions, and ending them by hand: WriteTxnMarkers (key 27), which nodes use among
//! themselves, too, DescribeTransactions (65) and ListTransactions (66).

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest,
    ListTransactionsResponse, ProducerId, TopicName, TransactionalId, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};
use kafka_protocol::protocol::StrBytes;
use txn::{Ask, Description, Producer, Reply};

use super::transactions::stray;
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;
use crate::transactions::Ending;

/// Answers WriteTxnMarkers.
pub(super) async fn write_markers(
    shard: &Rc<Shard>,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    // All are begun before the first is waited for.
    let mut writing = Vec::new();
    for marker in request.markers {
        let ending = Ending {
            producer: Producer {
                id: marker.producer_id.0,
                epoch: marker.producer_epoch,
            },
            coordinator_epoch: marker.coordinator_epoch,
            commit: marker.transaction_result,
        };
        let topics = marker.topics.into_iter().map(|topic| {
            let indexes = topic.partition_indexes.into_iter().map(|index| {
                let (shard, name) = (Rc::clone(shard), topic.name.clone());
                let done = async move { shard.end_transaction(&name, index, ending).await };
                (index, rt::task::spawn(done))
            });
            (topic.name.clone(), indexes.collect::<Vec<_>>())
        });
        writing.push((marker.producer_id, topics.collect::<Vec<_>>()));
    }
    let mut results = Vec::with_capacity(writing.len());
    for (producer, topics) in writing {
        let mut rows = Vec::with_capacity(topics.len());
        for (name, indexes) in topics {
            let mut partitions = Vec::with_capacity(indexes.len());
            for (index, done) in indexes {
                let code = done.await.err().map_or(0, |error| error.code());
                let row = WritableTxnMarkerPartitionResult::default();
                partitions.push(row.with_partition_index(index).with_error_code(code));
            }
            let row = WritableTxnMarkerTopicResult::default();
            rows.push(row.with_name(name).with_partitions(partitions));
        }
        let row = WritableTxnMarkerResult::default();
        results.push(row.with_producer_id(producer).with_topics(rows));
    }
    WriteTxnMarkersResponse::default().with_markers(results)
}

/// Answers DescribeTransactions.
pub(super) async fn describe(
    shard: &Rc<Shard>,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let mut states = Vec::with_capacity(request.transactional_ids.len());
    for id in request.transactional_ids {
        let state = match described(shard, &id).await {
            Ok(described) => state(described),
            Err(error) => TransactionState::default().with_error_code(error.code()),
        };
        states.push(state.with_transactional_id(id));
    }
    DescribeTransactionsResponse::default().with_transaction_states(states)
}

async fn described(shard: &Rc<Shard>, id: &TransactionalId) -> Result<Description, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let asked = shard.ask_txn(id, Ask::Describe(id.to_string())).await;
    match asked.map_err(|error| error.error())? {
        Reply::Describe(described) => described,
        other => stray(&other),
    }
}

fn state(described: Description) -> TransactionState {
    let topics = described.partitions.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(StrBytes::from_string(topic)))
            .with_partitions(partitions.into_iter().collect())
    });
    TransactionState::default()
        .with_transaction_state(StrBytes::from_static_str(described.state))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.started_ms)
        .with_producer_id(ProducerId(described.producer.id))
        .with_producer_epoch(described.producer.epoch)
        .with_topics(topics.collect())
}

/// Answers ListTransactions, of the coordinators on this node.
pub(super) async fn list(
    shard: &Rc<Shard>,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let mut all = ListTransactionsResponse::default();
    let filters = request.clone();
    let answers = shard.all_txns(move || Ask::List(request.clone())).await;
    for answer in answers {
        match answer {
            Ok(Reply::List(part)) if part.error_code == 0 => {
                all.transaction_states.extend(part.transaction_states);
            }
            Ok(Reply::List(refused)) => return refused,
            Ok(other) => stray(&other),
            // Another node lists it.
            Err(CoordinatorError::NotCoordinator) => {}
            Err(error) => return ListTransactionsResponse::default().with_error_code(error.code()),
        }
    }
    let unknown = filters.state_filters.into_iter();
    all.unknown_state_filters = unknown.filter(|name| !txn::is_state(name)).collect();
    all
}
