//! Whether a partition is in a producer's transaction, as the transaction's coordinator says (KIP-890).

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use txn::{Ask, InTransaction, Partitions, Producer, Reply, TransactionVersion};

use crate::coordinator::Internal;
use crate::partition::clock_ms;
use crate::shard::Shard;

/// The latest version of AddPartitionsToTxn that is spoken between nodes.
const VERSION: i16 = 5;
/// How long it is asked again while the transaction before is ending, and after which pause: the client
/// would wait longer, and send its records once more.
const ENDING_MS: u64 = 100;
const ENDING_PAUSE: Duration = Duration::from_millis(10);

impl Shard {
    /// Asks a transaction's coordinator, wherever it is, whether a partition is in the transaction of this
    /// producer; with `add` it is put in. A producer's batches may be taken only then. Without `add` nobody is
    /// asked where `transaction.partition.verification.enable` is off.
    ///
    /// # Errors
    /// What the producer is told: `NOT_ENOUGH_REPLICAS` for what passes by itself, and without `add` also for a
    /// transaction that is ending; `TRANSACTION_ABORTABLE` if the partition isn't in it;
    /// `INVALID_PRODUCER_EPOCH`, `INVALID_PRODUCER_ID_MAPPING`, `CONCURRENT_TRANSACTIONS`.
    pub async fn verify_transaction(
        self: &Rc<Self>,
        transactional_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        topic: &str,
        partition: i32,
        add: bool,
    ) -> Result<(), ResponseError> {
        if !add && !self.settings().verify_transactions {
            return Ok(());
        }
        let asked = InTransaction {
            transactional_id: transactional_id.to_owned(),
            producer: Producer {
                id: producer_id,
                epoch: producer_epoch,
            },
            partitions: Partitions::from([(topic.to_owned(), [partition].into())]),
            version: TransactionVersion::V2,
        };
        let begun = clock_ms();
        loop {
            let answer = self.ask_whether(&asked, add).await;
            let ending = answer == Err(ResponseError::ConcurrentTransactions);
            if !ending || !add || clock_ms().saturating_sub(begun) >= ENDING_MS {
                return answer.map_err(|error| told(error, add));
            }
            rt::time::sleep(ENDING_PAUSE).await;
        }
    }

    async fn ask_whether(
        self: &Rc<Self>,
        asked: &InTransaction,
        add: bool,
    ) -> Result<(), ResponseError> {
        let node = self.coordinating_node(Internal::TransactionState, &asked.transactional_id);
        let node = node.ok_or(ResponseError::CoordinatorNotAvailable)?;
        if node != self.node_id() {
            let request = request(asked, add);
            return match self.ask_node(node, &request, VERSION).await {
                Ok(answer) => first_error(&answer),
                Err(error) => {
                    tracing::debug!(node, %error, "a transaction's coordinator could not be asked");
                    Err(ResponseError::NetworkException)
                }
            };
        }
        let id = &asked.transactional_id;
        let ask = if add {
            Ask::Add(asked.clone())
        } else {
            Ask::Verify(asked.clone())
        };
        match self.ask_txn(id, ask).await.map_err(|error| error.error())? {
            Reply::Add(done) => done,
            Reply::Verify(lacking) => match lacking?.is_empty() {
                true => Ok(()),
                false => Err(ResponseError::TransactionAbortable),
            },
            other => crate::api::transactions::stray(&other),
        }
    }
}

/// What a producer is told.
fn told(error: ResponseError, add: bool) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        // Clients before transactions V2 know these for other requests only. They retry what too few
        // replicas are for, and don't ask for the metadata first.
        ResponseError::NetworkException
        | ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator => ResponseError::NotEnoughReplicas,
        ResponseError::ConcurrentTransactions if !add => ResponseError::NotEnoughReplicas,
        error => error,
    }
}

fn request(asked: &InTransaction, add: bool) -> AddPartitionsToTxnRequest {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let topics = asked.partitions.iter().map(|(topic, partitions)| {
        AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(partitions.iter().copied().collect())
    });
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(TransactionalId(text(&asked.transactional_id)))
        .with_producer_id(ProducerId(asked.producer.id))
        .with_producer_epoch(asked.producer.epoch)
        .with_verify_only(!add)
        .with_topics(topics.collect());
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}

/// The first error of an answer.
fn first_error(answer: &AddPartitionsToTxnResponse) -> Result<(), ResponseError> {
    let results = answer.results_by_transaction.iter();
    let topics = results.flat_map(|result| &result.topic_results);
    let partitions = topics.flat_map(|topic| &topic.results_by_partition);
    let mut codes = partitions.map(|partition| partition.partition_error_code);
    let code = codes.find(|code| *code != 0).unwrap_or(answer.error_code);
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
