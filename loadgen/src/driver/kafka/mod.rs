//! The Kafka protocol: Ottla, Apache Kafka, Redpanda.
//!
//! Topics are made and described through `net`'s blocking client; each producer and each consumer is
//! one executor with `net`'s pipelined client, a connection of its own to every broker it needs.

mod admin;
mod consume;
mod produce;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_lite::future::or;
use net::client::{ClientError, TopicPartition};
use net::link::{LinkConfig, LinkError};
use rt::executor::{ExecutorConfig, ExecutorError};
use rt::sync::oneshot;
use rt::task::{spawn, yield_now};
use rt::time::sleep;

use super::{ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use crate::engine::stop::{Stop, Wanted};
use crate::workload::Workload;

/// What is spoken, in messages.
const PROTOCOL: &str = "Kafka's protocol";

/// How often workers look whether to return at once.
const LOOK: Duration = Duration::from_millis(50);

/// Memory registered for files, of which these executors use none: little, as it counts against the
/// limit on locked memory.
const IO_MEMORY: usize = 64 * 1024;

/// A system that speaks Kafka's protocol.
#[derive(Debug, Clone)]
pub struct Kafka {
    brokers: Vec<String>,
    product: String,
    version: String,
    /// Settings of the topics, from options `topic.NAME=VALUE`.
    topic_settings: BTreeMap<String, String>,
}

impl Kafka {
    /// The system at the target's brokers. Options: `product` and `version`, which the protocol does
    /// not tell, for the report; and `topic.NAME=VALUE` for settings of its topics.
    pub fn new(target: &Target) -> Result<Self, DriverError> {
        let product = match target.driver.as_str() {
            "ottla" => "Ottla",
            "redpanda" => "Redpanda",
            _ => "",
        };
        let mut kafka = Self {
            brokers: target.brokers.clone(),
            product: product.to_owned(),
            version: String::new(),
            topic_settings: BTreeMap::new(),
        };
        for (name, value) in &target.options {
            match (name.as_str(), name.strip_prefix("topic.")) {
                (_, Some(setting)) => {
                    let setting = setting.to_owned();
                    kafka.topic_settings.insert(setting, value.clone());
                }
                ("product", _) => kafka.product.clone_from(value),
                ("version", _) => kafka.version.clone_from(value),
                _ => {
                    return Err(DriverError::Option(format!(
                        "the Kafka driver has no option {name}: it has product, version, and topic.NAME for settings of its topics"
                    )));
                }
            }
        }
        Ok(kafka)
    }

    /// Addresses with a port each.
    fn addresses(&self) -> Vec<String> {
        let with_port = |address: &String| match address.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => address.clone(),
            _ => format!("{address}:{}", net::client::DEFAULT_PORT),
        };
        self.brokers.iter().map(with_port).collect()
    }
}

impl Driver for Kafka {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        admin::describe(self)
    }

    fn prepare(&self, workload: &Workload) -> Result<(), DriverError> {
        admin::prepare(self, workload)
    }

    fn clean_up(&self, workload: &Workload) -> Result<(), DriverError> {
        admin::clean_up(self, workload)
    }

    fn produce(&self, job: ProducerJob) -> Result<(), DriverError> {
        let config = produce::config(&job.workload)?;
        let addresses = self.addresses();
        let executor = executor("producer", job.index, job.core);
        let stop = job.stop.clone();
        let work = move || unless_aborted(stop, produce::run(addresses, config, job));
        rt::executor::run(executor, work).map_err(|error| no_executor(&error))?
    }

    fn consume(&self, job: ConsumerJob) -> Result<(), DriverError> {
        let addresses = self.addresses();
        let executor = executor("consumer", job.index, job.core);
        let stop = job.stop.clone();
        let work = move || unless_aborted(stop, consume::run(addresses, job));
        rt::executor::run(executor, work).map_err(|error| no_executor(&error))?
    }
}

/// A worker's work, wherever it waits, until it is told to return at once.
async fn unless_aborted(
    stop: Stop,
    work: impl Future<Output = Result<(), DriverError>>,
) -> Result<(), DriverError> {
    // Work is woken for every batch: what is asked with it then must cost next to nothing, and a timer doesn't.
    let (abort, aborted) = oneshot();
    let watch = spawn(async move {
        while stop.wanted() != Wanted::Abort {
            sleep(LOOK).await;
        }
        // Whose work is done doesn't wait for it any more.
        let _ = abort.send(());
    });
    let aborted = async {
        let _ = aborted.await;
        Ok(())
    };
    let ended = or(work, aborted).await;
    watch.cancel().await;
    // The tasks of connections that were dropped end when they run next.
    yield_now().await;
    ended
}

fn executor(what: &str, index: usize, core: Option<usize>) -> ExecutorConfig {
    ExecutorConfig {
        name: format!("{what}-{index}"),
        core,
        io_memory: IO_MEMORY,
        // How late an answer may be seen while records are made as fast as can be.
        preempt: Duration::from_micros(100),
    }
}

/// The name of one of the workload's topics.
fn topic_name(workload: &Workload, number: usize) -> String {
    if workload.topics <= 1 {
        workload.topic.clone()
    } else {
        format!("{}-{number}", workload.topic)
    }
}

/// The names of all topics of the workload.
fn topic_names(workload: &Workload) -> Vec<String> {
    (0..workload.topics.max(1))
        .map(|number| topic_name(workload, number))
        .collect()
}

/// Partitions numbered over all topics.
fn partition_at(workload: &Workload, names: &[String], place: usize) -> TopicPartition {
    let partitions = workload.partitions.max(1);
    let partition = i32::try_from(place % partitions).unwrap_or(i32::MAX);
    TopicPartition::new(names[place / partitions].as_str(), partition)
}

fn link_config() -> LinkConfig {
    LinkConfig {
        client_id: "loadgen".to_owned(),
        ..LinkConfig::default()
    }
}

fn no_executor(error: &ExecutorError) -> DriverError {
    DriverError::Failed(error.to_string())
}

fn of_link(error: LinkError) -> DriverError {
    match error {
        LinkError::Unreachable { broker, reason } => DriverError::Unreachable {
            address: broker,
            reason,
        },
        LinkError::NotKafka { broker, reason } => DriverError::WrongProtocol {
            address: broker,
            protocol: PROTOCOL,
            reason,
        },
        other => DriverError::Failed(other.to_string()),
    }
}

fn of_client(error: ClientError, brokers: &[String]) -> DriverError {
    match error {
        ClientError::NoBroker { tried } => {
            let address = brokers.join(",");
            let reason = tried.join("; ");
            // With one address it would stand there twice.
            let reason = reason
                .strip_prefix(&format!("{address}: "))
                .map_or(reason.clone(), str::to_owned);
            DriverError::Unreachable { address, reason }
        }
        ClientError::NotKafka { broker, reason } => DriverError::WrongProtocol {
            address: broker,
            protocol: PROTOCOL,
            reason,
        },
        ClientError::Address { .. } | ClientError::NoBootstrap => {
            DriverError::Option(error.to_string())
        }
        other => DriverError::Failed(other.to_string()),
    }
}
