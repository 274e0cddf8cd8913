//! Transactions as an operator sees them: what their coordinators know, and what is open in partitions.

use std::thread;
use std::time::Instant;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListTransactionsRequest, ProducerId, TopicName, TransactionalId,
    WriteTxnMarkersRequest,
};

use super::error::{ClientError, KafkaError, Refusal};
use super::{Client, RETRY_PAUSE, TopicPartition, text};

/// What FindCoordinator calls a transactional id.
const TRANSACTION: i8 = 1;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;

/// A transactional id, as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedTransaction {
    /// The id.
    pub transactional_id: String,
    /// Its producer's id.
    pub producer_id: i64,
    /// How far its transaction is, as Kafka names it.
    pub state: String,
    /// The node that coordinates it.
    pub coordinator: i32,
}

/// What a coordinator knows of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionInfo {
    /// The id.
    pub transactional_id: String,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// Its producer's id.
    pub producer_id: i64,
    /// Its producer's epoch.
    pub producer_epoch: i16,
    /// How far its transaction is, as Kafka names it.
    pub state: String,
    /// After how many milliseconds its transactions are aborted.
    pub timeout_ms: i32,
    /// When its transaction began, in milliseconds since 1970; -1 without one.
    pub started_ms: i64,
    /// The partitions of its transaction, in order.
    pub partitions: Vec<TopicPartition>,
}

/// A transaction that is open in a partition, as the partition's leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator that ended the producer's last transaction here, or -1.
    pub coordinator_epoch: i32,
    /// Where it begins.
    pub start_offset: i64,
    /// When the producer wrote last, in milliseconds since 1970.
    pub last_ms: i64,
}

impl Client {
    /// The transactional ids of the whole cluster, in order: those in one of `states` (all if it is
    /// empty), with a transaction older than `older_ms` if that is given.
    pub fn list_transactions(
        &mut self,
        states: &[String],
        older_ms: Option<i64>,
    ) -> Result<Vec<ListedTransaction>, ClientError> {
        let all = ListTransactionsRequest::default()
            .with_state_filters(states.iter().map(|state| text(state)).collect());
        // Brokers before version 1 can't tell how old.
        let request = match older_ms {
            Some(older_ms) => all.with_duration_filter(older_ms),
            None => all.with_duration_filter(-1),
        };
        let nodes = self.metadata(&[], false)?.brokers;
        let mut listed = Vec::new();
        for node in nodes {
            let answer = self.retrying(|client| {
                let answer = client.call_node(node.id, &request)?;
                refused("transactions", answer.error_code)?;
                Ok(answer)
            })?;
            if let Some(unknown) = answer.unknown_state_filters.first() {
                let refusal = Refusal {
                    error: KafkaError::INVALID_REQUEST,
                    message: Some("there is no such state".to_owned()),
                };
                return Err(ClientError::refused(format!("state {unknown}"), refusal));
            }
            listed.extend(
                answer
                    .transaction_states
                    .iter()
                    .map(|of| ListedTransaction {
                        transactional_id: of.transactional_id.to_string(),
                        producer_id: of.producer_id.0,
                        state: of.transaction_state.to_string(),
                        coordinator: node.id,
                    }),
            );
        }
        listed.sort();
        Ok(listed)
    }

    /// What its coordinator knows of a transactional id; `None` if that is nothing.
    pub fn describe_transaction(
        &mut self,
        transactional_id: &str,
    ) -> Result<Option<TransactionInfo>, ClientError> {
        let id = TransactionalId(text(transactional_id));
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id]);
        self.retrying(|client| {
            let coordinator = client.transaction_coordinator(transactional_id)?;
            let answer = client.call_node(coordinator, &request)?;
            let Some(of) = answer.transaction_states.first() else {
                return Ok(None);
            };
            if of.error_code == TRANSACTIONAL_ID_NOT_FOUND {
                return Ok(None);
            }
            refused(transactional_id, of.error_code)?;
            let partitions = of.topics.iter().flat_map(|topic| {
                let of = topic.partitions.iter();
                of.map(|index| TopicPartition::new(topic.topic.to_string(), *index))
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort();
            Ok(Some(TransactionInfo {
                transactional_id: transactional_id.to_owned(),
                coordinator,
                producer_id: of.producer_id.0,
                producer_epoch: of.producer_epoch,
                state: of.transaction_state.to_string(),
                timeout_ms: of.transaction_timeout_ms,
                started_ms: of.transaction_start_time_ms,
                partitions,
            }))
        })
    }

    /// Shuts the producer of a transactional id out and aborts its transaction, if it has one: what
    /// another producer that begins with the id does.
    pub fn fence_producer(&mut self, transactional_id: &str) -> Result<(), ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(transactional_id))))
            .with_transaction_timeout_ms(self.timeout_ms())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let deadline = Instant::now() + self.config.retry_for;
        loop {
            let code = self.retrying(|client| {
                let coordinator = client.transaction_coordinator(transactional_id)?;
                let answer = client.call_node(coordinator, &request)?;
                match answer.error_code {
                    CONCURRENT_TRANSACTIONS => Ok(CONCURRENT_TRANSACTIONS),
                    code => refused(transactional_id, code).map(|()| code),
                }
            })?;
            // It is being aborted.
            if code == 0 || Instant::now() >= deadline {
                return refused(transactional_id, code);
            }
            thread::sleep(RETRY_PAUSE);
        }
    }

    /// The transactions that are open in a partition.
    pub fn open_transactions(
        &mut self,
        at: &TopicPartition,
    ) -> Result<Vec<OpenTransaction>, ClientError> {
        let topic = TopicRequest::default()
            .with_name(TopicName(text(&at.topic)))
            .with_partition_indexes(vec![at.partition]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        self.retrying(|client| {
            let leader = client.leader_of(at)?;
            let answer = client.call_node(leader, &request)?;
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let mut open = Vec::new();
            for partition in partitions {
                Refusal::check(partition.error_code, partition.error_message.as_deref())
                    .map_err(|refusal| ClientError::refused(at.to_string(), refusal))?;
                let producers = partition.active_producers.iter();
                let producers = producers.filter(|of| of.current_txn_start_offset >= 0);
                open.extend(producers.map(|of| OpenTransaction {
                    producer_id: of.producer_id.0,
                    producer_epoch: i16::try_from(of.producer_epoch).unwrap_or(-1),
                    coordinator_epoch: of.coordinator_epoch,
                    start_offset: of.current_txn_start_offset,
                    last_ms: of.last_timestamp,
                }));
            }
            Ok(open)
        })
    }

    /// Aborts a transaction in one partition, whatever its coordinator knows of it. Only for one that
    /// nobody else ends: it may be half of a transaction that is committed elsewhere.
    pub fn abort_in(
        &mut self,
        at: &TopicPartition,
        open: &OpenTransaction,
    ) -> Result<(), ClientError> {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(text(&at.topic)))
            .with_partition_indexes(vec![at.partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(open.producer_id))
            .with_producer_epoch(open.producer_epoch)
            .with_coordinator_epoch(open.coordinator_epoch.max(0))
            .with_transaction_result(false)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        self.retrying(|client| {
            let leader = client.leader_of(at)?;
            let answer = client.call_node(leader, &request)?;
            let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
            for partition in topics.flat_map(|topic| &topic.partitions) {
                refused(&at.to_string(), partition.error_code)?;
            }
            Ok(())
        })
    }

    /// The node that coordinates a transactional id.
    fn transaction_coordinator(&mut self, transactional_id: &str) -> Result<i32, ClientError> {
        let keys = vec![text(transactional_id)];
        let request = FindCoordinatorRequest::default()
            .with_key_type(TRANSACTION)
            .with_coordinator_keys(keys);
        let answer = self.call(&request)?;
        let Some(found) = answer.coordinators.first() else {
            return Err(unavailable(transactional_id));
        };
        Refusal::check(found.error_code, found.error_message.as_deref())
            .map_err(|refusal| ClientError::refused(transactional_id.to_owned(), refusal))?;
        Ok(found.node_id.0)
    }

    fn leader_of(&mut self, at: &TopicPartition) -> Result<i32, ClientError> {
        let cluster = self.metadata(&[&at.topic], false)?;
        let topic = cluster.topics.get(&at.topic);
        let partition = topic.and_then(|topic| {
            let mut partitions = topic.partitions.iter();
            partitions.find(|partition| partition.partition == at.partition)
        });
        let error = match partition {
            Some(partition) => match partition.leader {
                Some(leader) => return Ok(leader),
                None => KafkaError::LEADER_NOT_AVAILABLE,
            },
            None => topic
                .and_then(|topic| topic.error)
                .unwrap_or(KafkaError::UNKNOWN_TOPIC_OR_PARTITION),
        };
        let message = None;
        Err(ClientError::refused(
            at.to_string(),
            Refusal { error, message },
        ))
    }
}

fn unavailable(what: &str) -> ClientError {
    match refused(what, COORDINATOR_NOT_AVAILABLE) {
        Err(error) => error,
        Ok(()) => unreachable!("a code that is not 0 is an error"),
    }
}

fn refused(what: &str, code: i16) -> Result<(), ClientError> {
    Refusal::check(code, None).map_err(|refusal| ClientError::refused(what.to_owned(), refusal))
}
