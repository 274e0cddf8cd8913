//! The one place where the broker's own errors become Kafka's error codes.
//!
//! Every match here is exhaustive on purpose: a new error has to be given a code.

use batch::{BatchError, ErrorClass};
use kafka_protocol::ResponseError;
use replica::NotServed;
use storage::{AppendError, ReadError};

use crate::partition::{AckError, ProduceError};
use crate::producers::ProducerError;
use crate::shard::PartitionUnavailable;

/// A refusal as a client sees it: a code, and a sentence where the protocol has room for one.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Kafka's error.
    pub error: ResponseError,
    /// What happened, to what, what to do.
    pub message: Option<String>,
    /// Records that are at fault, by their index in the batch (KIP-467).
    pub record_errors: Vec<(i32, Option<String>)>,
}

impl Refusal {
    /// A refusal that its code says all about.
    pub fn of(error: ResponseError) -> Self {
        Self {
            error,
            message: None,
            record_errors: Vec::new(),
        }
    }

    /// A refusal with a sentence.
    pub fn with(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: Some(message.into()),
            record_errors: Vec::new(),
        }
    }
}

impl From<PartitionUnavailable> for Refusal {
    fn from(error: PartitionUnavailable) -> Self {
        let code = match &error {
            PartitionUnavailable::Unknown => ResponseError::UnknownTopicOrPartition,
            PartitionUnavailable::Opening | PartitionUnavailable::NotHere => {
                ResponseError::NotLeaderOrFollower
            }
            PartitionUnavailable::Offline(_) => ResponseError::KafkaStorageError,
        };
        Self::with(code, error.to_string())
    }
}

impl From<ProduceError> for Refusal {
    fn from(error: ProduceError) -> Self {
        let code = match &error {
            ProduceError::Producer(why) => producer_code(why),
            ProduceError::Append(append) => append_code(append),
            ProduceError::NotServed(why) => not_served(*why),
            ProduceError::Transaction(why) => *why,
        };
        Self::with(code, error.to_string())
    }
}

impl From<AckError> for Refusal {
    fn from(error: AckError) -> Self {
        let code = match &error {
            AckError::NotWritten(_) => ResponseError::KafkaStorageError,
            AckError::NotEnoughReplicas => ResponseError::NotEnoughReplicasAfterAppend,
            AckError::NotLeader => ResponseError::NotLeaderOrFollower,
        };
        Self::with(code, error.to_string())
    }
}

/// The code of what a producer's state stands against.
fn producer_code(error: &ProducerError) -> ResponseError {
    match error {
        ProducerError::OutOfOrder { .. } => ResponseError::OutOfOrderSequenceNumber,
        ProducerError::OldEpoch { .. } => ResponseError::InvalidProducerEpoch,
        ProducerError::NotTransactional { .. } | ProducerError::NotInTransaction { .. } => {
            ResponseError::InvalidTxnState
        }
        ProducerError::OldCoordinator { .. } => ResponseError::TransactionCoordinatorFenced,
    }
}

/// The code of what a replica doesn't serve.
pub fn not_served(why: NotServed) -> ResponseError {
    match why {
        NotServed::NotLeaderOrFollower => ResponseError::NotLeaderOrFollower,
        NotServed::FencedLeaderEpoch => ResponseError::FencedLeaderEpoch,
        NotServed::UnknownLeaderEpoch => ResponseError::UnknownLeaderEpoch,
        NotServed::OffsetNotAvailable => ResponseError::OffsetNotAvailable,
        NotServed::NotEnoughReplicas => ResponseError::NotEnoughReplicas,
    }
}

/// Whether a client with this error should be told who leads (KIP-951).
pub fn wants_leader(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::NotLeaderOrFollower | ResponseError::FencedLeaderEpoch
    )
}

/// The code of a refused append: a drive that fails or fills is Kafka's storage error, which clients
/// retry.
fn append_code(error: &AppendError) -> ResponseError {
    match error {
        AppendError::Closed { .. } => ResponseError::NotLeaderOrFollower,
        AppendError::DriveFull { .. } | AppendError::DriveFailed(_) => {
            ResponseError::KafkaStorageError
        }
        AppendError::TooLarge { .. } => ResponseError::RecordListTooLarge,
    }
}

/// The code of a failed read.
pub fn read_code(error: &ReadError) -> ResponseError {
    match error {
        ReadError::Damaged { .. } => ResponseError::CorruptMessage,
        ReadError::Closed { .. } => ResponseError::NotLeaderOrFollower,
        ReadError::Deleted { .. } => ResponseError::OffsetOutOfRange,
        ReadError::DriveFailed(_) | ReadError::Io { .. } => ResponseError::KafkaStorageError,
    }
}

/// The refusal of a record set that is not what a producer may send.
pub fn refused_batch(error: &BatchError) -> Refusal {
    let record_errors = error.records().iter().map(|at| (*at, None)).collect();
    Refusal {
        record_errors,
        ..Refusal::with(batch_code(error), error.to_string())
    }
}

/// The code of a batch that breaks a rule.
fn batch_code(error: &BatchError) -> ResponseError {
    match error.class() {
        ErrorClass::Corrupt => ResponseError::CorruptMessage,
        // Kafka 4 knows no message format but the present one, and answers so.
        ErrorClass::InvalidRecord | ErrorClass::OldFormat => ResponseError::InvalidRecord,
        ErrorClass::InvalidTimestamp => ResponseError::InvalidTimestamp,
        ErrorClass::TooLarge => ResponseError::MessageTooLarge,
        ErrorClass::UnsupportedCompression => ResponseError::UnsupportedCompressionType,
    }
}
