//! How a link fails.

use std::time::Duration;

use thiserror::Error;

use crate::client::KafkaError;

/// Why a link could not be made, or gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No connection.
    #[error("cannot reach {broker}: {reason}")]
    Unreachable {
        /// The address.
        broker: String,
        /// What the system said.
        reason: String,
    },
    /// Whoever is there speaks something else.
    #[error("{broker} does not speak Kafka's protocol: {reason}")]
    NotKafka {
        /// The address.
        broker: String,
        /// How it showed.
        reason: String,
    },
    /// The connection ended.
    #[error("the connection to {broker} ended: {reason}")]
    Closed {
        /// The address.
        broker: String,
        /// How.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {broker} within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The address.
        broker: String,
        /// The limit.
        after: Duration,
    },
    /// The broker has no version of the request that this client speaks.
    #[error("{broker} offers versions {offered:?} of request {api}, this client speaks {ours:?}")]
    Unsupported {
        /// The address.
        broker: String,
        /// The request's number.
        api: i16,
        /// The broker's least and greatest; none where it does not know the request.
        offered: Option<(i16, i16)>,
        /// This client's.
        ours: (i16, i16),
    },
    /// The broker refused.
    #[error("{broker} refused {what}: {error}")]
    Refused {
        /// The address.
        broker: String,
        /// What was asked for.
        what: String,
        /// The broker's answer.
        error: KafkaError,
    },
    /// A request that cannot be written, or an answer that cannot be read.
    #[error("{broker}: request {api} version {version}: {reason}")]
    Codec {
        /// The address.
        broker: String,
        /// The request's number.
        api: i16,
        /// The version.
        version: i16,
        /// What did not fit.
        reason: String,
    },
}

impl LinkError {
    /// Whether the same may work with a new connection.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Closed { .. } | Self::TimedOut { .. }
        )
    }

    /// Whether asking again may help, as far as the broker tells.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { error, .. } => error.is_retriable(),
            other => other.is_passing(),
        }
    }
}
