//! What the coordinator is asked, what it answers, and what it wants done.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use uuid::Uuid;

/// No producer id.
pub const NO_PRODUCER_ID: i64 = -1;
/// No producer epoch.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// A producer: an id, and which of those that had the id one after another it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// The producer id.
    pub id: i64,
    /// The epoch, from 0.
    pub epoch: i16,
}

/// Partitions by the name of their topic.
pub type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// The level of the feature `transaction.version` that a client speaks (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionVersion(pub i16);

impl TransactionVersion {
    /// Clients that keep their epoch from one transaction to the next.
    pub const V0: Self = Self(0);
    /// Clients that get a new epoch with the end of each transaction, and whose partitions are added
    /// by the brokers they write to.
    pub const V2: Self = Self(2);

    /// Whether the end of a transaction raises the producer's epoch.
    pub fn bumps_epochs(self) -> bool {
        self >= Self::V2
    }
}

/// `InitProducerId` with a transactional id that isn't empty.
#[derive(Clone, Debug)]
pub struct Init {
    /// The transactional id.
    pub transactional_id: String,
    /// After how many milliseconds its transactions are to be aborted.
    pub timeout_ms: i32,
    /// The producer that asks, if it has been one before (KIP-360).
    pub expected: Option<Producer>,
    /// A producer id that nobody has had; [`Reply::NeedsProducerId`] asks for one.
    pub fresh_id: Option<i64>,
}

/// What a producer adds to its transaction, or is said to have in it.
#[derive(Clone, Debug)]
pub struct InTransaction {
    /// The transactional id, not empty.
    pub transactional_id: String,
    /// The producer.
    pub producer: Producer,
    /// Partitions, which exist.
    pub partitions: Partitions,
    /// What the client speaks.
    pub version: TransactionVersion,
}

/// `EndTxn` with a transactional id that isn't empty.
#[derive(Clone, Debug)]
pub struct End {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer.
    pub producer: Producer,
    /// Commit, or abort.
    pub commit: bool,
    /// What the client speaks.
    pub version: TransactionVersion,
    /// A producer id that nobody has had; [`Reply::NeedsProducerId`] asks for one.
    pub fresh_id: Option<i64>,
}

/// A coordinator's decision that a transaction has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The coordinator, another one whenever it has read its log.
    pub(crate) coordinator: Uuid,
    /// Counts its decisions.
    pub(crate) number: u64,
}

/// The end of a transaction as it is written into each of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer, with the epoch that the markers have.
    pub producer: Producer,
    /// The epoch of the coordinator that decided, by which partitions refuse an earlier one's.
    pub coordinator_epoch: i32,
    /// Which decision they are of: a later transaction of the same producer may have the same epoch.
    pub decision: Decision,
    /// Commit, or abort.
    pub commit: bool,
    /// The partitions.
    pub partitions: Partitions,
}

/// What the coordinator can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A producer begins, and ends all earlier ones of its transactional id.
    Init(Init),
    /// Partitions come into a transaction, the first of them begin it.
    Add(InTransaction),
    /// Are these partitions in the transaction?
    Verify(InTransaction),
    /// A transaction ends.
    End(End),
    /// These markers are in their partitions, or never need to be; `partitions` may be some of those.
    Written(Markers),
    /// What is known of a transactional id?
    Describe(String),
    /// Which transactional ids are there?
    List(ListTransactionsRequest),
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The state, as Kafka names it.
    pub state: &'static str,
    /// After how many milliseconds a transaction is aborted.
    pub timeout_ms: i32,
    /// When the transaction began, in milliseconds since 1970; -1 without one.
    pub started_ms: i64,
    /// The producer.
    pub producer: Producer,
    /// The transaction's partitions, those that wait for their marker if it is ending.
    pub partitions: Partitions,
}

/// What the coordinator answers. Errors are those that a client of the newest version understands.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Ask::Init`]: the producer.
    Init(Result<Producer, ResponseError>),
    /// To [`Ask::Init`] and [`Ask::End`]: ask again, with a fresh producer id.
    NeedsProducerId,
    /// To [`Ask::Add`].
    Add(Result<(), ResponseError>),
    /// To [`Ask::Verify`]: those of the partitions that are not in the transaction.
    Verify(Result<Partitions, ResponseError>),
    /// To [`Ask::End`]: the producer from now on.
    End(Result<Producer, ResponseError>),
    /// To [`Ask::Written`]: whether somebody waited for them.
    Written(bool),
    /// To [`Ask::Describe`].
    Describe(Result<Description, ResponseError>),
    /// To [`Ask::List`], of this coordinator's partition.
    List(ListTransactionsResponse),
}

/// What the coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have the markers written, again and again until they are; then tell by [`Ask::Written`].
    Write(Markers),
}

/// The settings of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The leader epoch of its partition.
    pub coordinator_epoch: i32,
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_interval_ms: u64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expire_interval_ms: u64,
}

impl Default for Settings {
    /// Kafka's defaults, in the first epoch.
    fn default() -> Self {
        Self {
            coordinator_epoch: 0,
            max_timeout_ms: 15 * 60 * 1000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1000,
            abort_interval_ms: 10_000,
            expire_interval_ms: 60 * 60 * 1000,
        }
    }
}
