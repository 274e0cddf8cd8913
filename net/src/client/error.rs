//! What can go wrong between a command line and a broker, in words a person can act on.

use std::fmt;
use std::io;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use thiserror::Error;

/// A Kafka error code as a broker sent it. Never zero, which means success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KafkaError(i16);

impl KafkaError {
    /// UNKNOWN_SERVER_ERROR.
    pub const UNKNOWN_SERVER_ERROR: Self = Self(-1);
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// LEADER_NOT_AVAILABLE.
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// NOT_LEADER_OR_FOLLOWER.
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    /// INVALID_REQUEST.
    pub const INVALID_REQUEST: Self = Self(42);
    /// UNSUPPORTED_VERSION.
    pub const UNSUPPORTED_VERSION: Self = Self(35);

    /// `Err` for every code but zero.
    pub fn check(code: i16) -> Result<(), Self> {
        Self::from_code(code).map_or(Ok(()), Err)
    }

    /// The error behind `code`; `None` for zero, which is success.
    pub fn from_code(code: i16) -> Option<Self> {
        (code != 0).then_some(Self(code))
    }

    /// The number on the wire.
    pub fn code(self) -> i16 {
        self.0
    }

    /// Kafka's name for it, such as `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn name(self) -> String {
        match ResponseError::try_from_code(self.0) {
            Some(ResponseError::Unknown(_)) | None => format!("UNKNOWN_CODE_{}", self.0),
            Some(known) => upper_snake(&known.to_string()),
        }
    }

    /// Whether Kafka calls it one that may go away when asked again.
    pub fn is_retriable(self) -> bool {
        ResponseError::try_from_code(self.0).is_some_and(|known| known.is_retriable())
    }

    /// Whether the same request may be sent again without storing anything twice: the
    /// broker refused it before appending.
    pub(super) fn refused_before_append(self) -> bool {
        // LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION,
        // NOT_ENOUGH_REPLICAS, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH,
        // UNKNOWN_TOPIC_ID, THROTTLING_QUOTA_EXCEEDED
        matches!(self.0, 3 | 5 | 6 | 19 | 74 | 75 | 89 | 100)
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for KafkaError {}

/// `UnknownTopicOrPartition` to `UNKNOWN_TOPIC_OR_PARTITION`.
fn upper_snake(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for (at, letter) in camel.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// An error a broker answered for one topic, partition or resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub error: KafkaError,
    /// The broker's own words, where it sent any.
    pub message: Option<String>,
}

impl Refusal {
    /// What a pair of code and message on the wire means: `Ok` for code zero.
    pub(super) fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        KafkaError::check(code).map_err(|error| Self {
            error,
            message: message.filter(|text| !text.is_empty()).map(str::to_owned),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} [{}]", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<KafkaError> for Refusal {
    fn from(error: KafkaError) -> Self {
        Self {
            error,
            message: None,
        }
    }
}

/// Why a request of the client brought no answer that can be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The bootstrap list is empty.
    #[error("no broker address given: name at least one, as HOST:PORT")]
    NoBootstrap,
    /// An address that is not HOST:PORT.
    #[error("broker address {address:?} is not of the form HOST:PORT")]
    Address {
        /// As given.
        address: String,
    },
    /// No broker of the list took a connection.
    #[error("no broker answered ({}): is one running there, and is the address right?", .tried.join("; "))]
    NoBroker {
        /// `address: reason`, one per address tried.
        tried: Vec<String>,
    },
    /// Whoever took the connection does not speak Kafka's protocol.
    #[error("{broker} does not speak Kafka's protocol: {reason}")]
    NotKafka {
        /// The broker's address.
        broker: String,
        /// How it showed.
        reason: String,
    },
    /// A connection failed in the middle of a request.
    #[error("{broker}: {api}: connection failed: {source}")]
    Io {
        /// The broker's address.
        broker: String,
        /// The request.
        api: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The broker closed the connection instead of answering.
    #[error(
        "{broker}: {api}: the connection was closed without an answer; if it is Kafka that is spoken there, its log says why"
    )]
    Closed {
        /// The broker's address.
        broker: String,
        /// The request.
        api: &'static str,
    },
    /// No answer in time.
    #[error("{broker}: {api}: no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The broker's address.
        broker: String,
        /// The request.
        api: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The broker does not offer the request, or no version that this client speaks.
    #[error("{broker}: {api}: {reason}")]
    Unsupported {
        /// The broker's address.
        broker: String,
        /// The request.
        api: &'static str,
        /// Which versions each side has.
        reason: String,
    },
    /// A request that cannot be written in the version agreed on, or an answer that
    /// cannot be read in it.
    #[error("{broker}: {api} version {version}: {reason}")]
    Codec {
        /// The broker's address.
        broker: String,
        /// The request.
        api: &'static str,
        /// The version agreed on.
        version: i16,
        /// What did not fit.
        reason: String,
    },
    /// The broker refused the request as a whole.
    #[error("{what}: {refusal}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The broker's answer.
        refusal: Refusal,
    },
    /// A topic or partition has no leader to send to, also after waiting.
    #[error("{topic} partition {partition}: no leader: {error}")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What metadata says about it.
        error: KafkaError,
    },
    /// Two batches for one partition in one call.
    #[error("{topic} partition {partition} is named twice in one produce call")]
    NamedTwice {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

impl ClientError {
    /// Whether asking again may help: the connection failed, or the broker named an error
    /// that passes. Says nothing about whether a write has happened.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoBroker { .. }
            | Self::Io { .. }
            | Self::Closed { .. }
            | Self::TimedOut { .. } => true,
            Self::Refused { refusal, .. } => refusal.error.is_retriable(),
            Self::NoLeader { error, .. } => error.is_retriable(),
            _ => false,
        }
    }

    /// The Kafka error in it, if a broker sent one.
    pub fn kafka(&self) -> Option<KafkaError> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.error),
            Self::NoLeader { error, .. } => Some(*error),
            _ => None,
        }
    }

    pub(super) fn refused(what: impl Into<String>, refusal: Refusal) -> Self {
        Self::Refused {
            what: what.into(),
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for (code, name) in [
            (-1, "UNKNOWN_SERVER_ERROR"),
            (1, "OFFSET_OUT_OF_RANGE"),
            (3, "UNKNOWN_TOPIC_OR_PARTITION"),
            (10, "MESSAGE_TOO_LARGE"),
            (17, "INVALID_TOPIC_EXCEPTION"),
            (36, "TOPIC_ALREADY_EXISTS"),
            (56, "KAFKA_STORAGE_ERROR"),
            (87, "INVALID_RECORD"),
            (100, "UNKNOWN_TOPIC_ID"),
        ] {
            assert_eq!(
                KafkaError::from_code(code).map(KafkaError::name).as_deref(),
                Some(name)
            );
        }
        assert_eq!(KafkaError(4242).name(), "UNKNOWN_CODE_4242");
        assert_eq!(KafkaError::from_code(0), None);
        assert_eq!(
            KafkaError::UNKNOWN_TOPIC_OR_PARTITION.to_string(),
            "UNKNOWN_TOPIC_OR_PARTITION (3)"
        );
    }

    #[test]
    fn a_refusal_prefers_the_brokers_own_words() {
        let plain = Refusal::check(36, None).err();
        assert_eq!(
            plain.map(|r| r.to_string()).as_deref(),
            Some("TOPIC_ALREADY_EXISTS (36)")
        );
        let told = Refusal::check(37, Some("partitions must be at least 1")).err();
        assert_eq!(
            told.map(|r| r.to_string()).as_deref(),
            Some("partitions must be at least 1 [INVALID_PARTITIONS (37)]")
        );
        assert_eq!(Refusal::check(0, Some("ignored")), Ok(()));
    }

    #[test]
    fn only_refusals_before_append_are_resent() {
        assert!(KafkaError::NOT_LEADER_OR_FOLLOWER.refused_before_append());
        assert!(!KafkaError(7).refused_before_append(), "timed out: unknown");
        assert!(!KafkaError(20).refused_before_append(), "was appended");
    }
}
