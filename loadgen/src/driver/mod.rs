//! What a system under test has to be able to do; a new peer is one implementation more.
//!
//! A driver owns the ways of one system: how a topic is made there, how records are sent and acknowledged,
//! how they are read. It must never decide when a record is sent or what is in it, nor what counts as lost:
//! that is the engine's, alike for all systems.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::stop::Stop;
use crate::measure::recorder::{ConsumerProbe, ProducerProbe};
use crate::workload::Workload;

pub mod amqp;
pub mod kafka;
pub mod memory;
mod rabbitmq;
pub mod streams;

/// What kind of system, by the protocol spoken to it, and where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The driver's name, as given with `--driver`.
    pub driver: String,
    /// Addresses to begin with, HOST:PORT or the driver's kind of URL.
    pub brokers: Vec<String>,
    /// What the report calls it; the driver's name unless given.
    pub name: String,
    /// Settings of the driver, such as `queue=quorum` (`--option NAME=VALUE`).
    pub options: BTreeMap<String, String>,
}

/// Why a driver could not go on. The text says what happened, to what, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Nobody answers there.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// The address tried.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Whoever answers there speaks something else.
    #[error("{address} does not speak {protocol}: {reason}")]
    WrongProtocol {
        /// The address.
        address: String,
        /// What was spoken to it.
        protocol: &'static str,
        /// How it showed.
        reason: String,
    },
    /// The system cannot do what the workload asks. Reported as skipped, not as failed.
    #[error("{0}")]
    Unsupported(String),
    /// An option that the driver does not know or cannot use.
    #[error("{0}")]
    Option(String),
    /// The system refused or failed.
    #[error("{0}")]
    Failed(String),
}

/// What a system says of itself.
#[derive(Debug, Clone, Default)]
pub struct SystemInfo {
    /// The product, such as "Apache Kafka"; empty if it doesn't say.
    pub product: String,
    /// Its version, as far as it tells.
    pub version: String,
    /// How many brokers there are.
    pub brokers: usize,
    /// Settings that matter for what is measured, as the system has them.
    pub settings: BTreeMap<String, String>,
}

/// One producer of a workload; it runs on a thread of its own.
pub struct ProducerJob {
    /// The workload, with its topic's name made.
    pub workload: Arc<Workload>,
    /// Its number among the producers of all workers, from zero.
    pub index: usize,
    /// The core to stay on, where given.
    pub core: Option<usize>,
    /// Says when to begin, to end, or to break off.
    pub stop: Stop,
    /// Gives the records that are due, and takes what became of them.
    pub probe: ProducerProbe,
}

/// One consumer of a workload; it runs on a thread of its own.
pub struct ConsumerJob {
    /// The workload, with its topic's name made.
    pub workload: Arc<Workload>,
    /// Its number among the consumers of all workers, from zero.
    pub index: usize,
    /// The core to stay on, where given.
    pub core: Option<usize>,
    /// Says when to end or to break off.
    pub stop: Stop,
    /// Takes every record that was read.
    pub probe: ConsumerProbe,
}

/// A kind of system under test.
pub trait Driver: Send + Sync {
    /// Says what is there; also the proof that it is, and that it speaks this protocol.
    fn describe(&self) -> Result<SystemInfo, DriverError>;

    /// Makes the topic (queues, streams) of the workload, new and empty. [`DriverError::Unsupported`] where
    /// the system cannot do what the workload asks.
    fn prepare(&self, workload: &Workload) -> Result<(), DriverError>;

    /// Takes away what [`Self::prepare`] made.
    fn clean_up(&self, workload: &Workload) -> Result<(), DriverError>;

    /// Sends what the probe gives until it gives no more, and returns when all of it was answered or
    /// given up. Blocks the calling thread.
    fn produce(&self, job: ProducerJob) -> Result<(), DriverError>;

    /// Reads its share of the topic (`job.index` of `workload.consumers`), and hands every record to the probe until told to end.
    /// Blocks the calling thread. Calls [`ConsumerProbe::ready`] once it would miss nothing that is sent
    /// from then on.
    fn consume(&self, job: ConsumerJob) -> Result<(), DriverError>;
}

/// The driver for a target.
pub fn open(target: &Target) -> Result<Arc<dyn Driver>, DriverError> {
    match target.driver.as_str() {
        "kafka" | "ottla" | "redpanda" => Ok(Arc::new(kafka::Kafka::new(target)?)),
        "rabbitmq" | "amqp" => Ok(Arc::new(amqp::Amqp::new(target)?)),
        "rabbitmq-stream" => Ok(Arc::new(streams::Streams::new(target)?)),
        "memory" => Ok(Arc::new(memory::Memory::new(target)?)),
        other => Err(DriverError::Option(format!(
            "there is no driver {other}: there are kafka (for ottla and redpanda too), rabbitmq, rabbitmq-stream, memory"
        ))),
    }
}
