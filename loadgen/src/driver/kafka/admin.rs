//! What is done before and after a workload: asking who is there, making topics, taking them away.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use net::client::{
    Client, ClientConfig, Cluster, ConfigEntry, KafkaError, NewTopic, Refusal, Resource,
};

use super::{Kafka, of_client, topic_names};
use crate::driver::{DriverError, SystemInfo};
use crate::workload::Workload;

/// Kafka's number for a topic that is there already.
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// How long topics may take until all their partitions can be used.
const LEADERS_WITHIN: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(100);

/// Brokers' settings that matter for what is measured.
const SETTINGS: [&str; 15] = [
    "auto.create.topics.enable",
    "compression.type",
    "default.replication.factor",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.message.timestamp.type",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "socket.receive.buffer.bytes",
    "socket.request.max.bytes",
    "socket.send.buffer.bytes",
];

/// How long an answer may take. Topics with many partitions are made and deleted in less.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

fn connect(kafka: &Kafka) -> Result<Client, DriverError> {
    let config = ClientConfig {
        client_id: "loadgen".to_owned(),
        request_timeout: ANSWER_WITHIN,
        ..ClientConfig::new(&kafka.brokers.join(","))
    };
    Client::connect(config).map_err(|error| of_client(error, &kafka.brokers))
}

pub(super) fn describe(kafka: &Kafka) -> Result<SystemInfo, DriverError> {
    let mut client = connect(kafka)?;
    let cluster = client
        .metadata(&[], false)
        .map_err(|error| of_client(error, &kafka.brokers))?;
    let mut settings = BTreeMap::new();
    if let Some(broker) = cluster.brokers.first() {
        // A system that does not tell its settings can be measured all the same.
        match client.describe_configs(&Resource::Broker(broker.id), None) {
            Ok(entries) => settings.extend(entries.into_iter().filter_map(told)),
            Err(error) => tracing::warn!(%error, "the brokers do not tell their settings"),
        }
    }
    Ok(SystemInfo {
        product: kafka.product.clone(),
        version: kafka.version.clone(),
        brokers: cluster.brokers.len(),
        settings,
    })
}

fn told(entry: ConfigEntry) -> Option<(String, String)> {
    let value = entry.value?;
    SETTINGS
        .contains(&entry.name.as_str())
        .then_some((entry.name, value))
}

pub(super) fn prepare(kafka: &Kafka, workload: &Workload) -> Result<(), DriverError> {
    let fail = |error| of_client(error, &kafka.brokers);
    let mut client = connect(kafka)?;
    let brokers = client.metadata(&[], false).map_err(fail)?.brokers.len();
    if workload.replicas > brokers {
        return Err(DriverError::Unsupported(format!(
            "{} replicas of each partition need as many brokers, and there {}",
            workload.replicas,
            match brokers {
                1 => "is one".to_owned(),
                more => format!("are {more}"),
            }
        )));
    }
    let names = topic_names(workload);
    let topics = new_topics(kafka, workload, &names)?;
    let mut missing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let deadline = Instant::now() + LEADERS_WITHIN;
    while !missing.is_empty() {
        let wanted: Vec<_> = topics
            .iter()
            .filter(|topic| missing.contains(topic.name.as_str()))
            .cloned()
            .collect();
        for outcome in client.create_topics(&wanted, false).map_err(fail)? {
            match outcome.result {
                Ok(_) => {
                    missing.remove(outcome.topic.as_str());
                }
                Err(refusal) if refusal.error.code() == TOPIC_ALREADY_EXISTS => {
                    // Of a run that was broken off; taking it away may take its time.
                    client.delete_topics(&[&outcome.topic]).map_err(fail)?;
                }
                Err(refusal) if refusal.error.is_retriable() => {}
                Err(refusal) => return Err(not_made(&outcome.topic, &refusal)),
            }
        }
        if !missing.is_empty() {
            if Instant::now() >= deadline {
                return Err(DriverError::Failed(format!(
                    "topics {missing:?} could not be made within {} s",
                    LEADERS_WITHIN.as_secs()
                )));
            }
            thread::sleep(PAUSE);
        }
    }
    wait_until_whole(kafka, &mut client, workload, &names, deadline)
}

fn new_topics(
    kafka: &Kafka,
    workload: &Workload,
    names: &[String],
) -> Result<Vec<NewTopic>, DriverError> {
    let too_many = |what: &str| DriverError::Unsupported(format!("too many {what} for Kafka"));
    let partitions = i32::try_from(workload.partitions).map_err(|_| too_many("partitions"))?;
    let replicas = i16::try_from(workload.replicas).map_err(|_| too_many("replicas"))?;
    let mut settings = workload.topic_settings.clone();
    settings.extend(kafka.topic_settings.clone());
    if workload.fsync {
        let flush = settings.entry("flush.messages".to_owned());
        flush.or_insert_with(|| "1".to_owned());
    }
    let configs: Vec<_> = settings.into_iter().collect();
    Ok(names
        .iter()
        .map(|name| NewTopic {
            replication: Some(replicas),
            configs: configs.clone(),
            ..NewTopic::new(name, partitions)
        })
        .collect())
}

fn not_made(topic: &str, refusal: &Refusal) -> DriverError {
    const INVALID_REPLICATION_FACTOR: i16 = 38;
    const INVALID_CONFIG: i16 = 40;
    let text = format!("topic {topic} cannot be made: {refusal}");
    match refusal.error.code() {
        INVALID_REPLICATION_FACTOR | INVALID_CONFIG => DriverError::Unsupported(text),
        _ => DriverError::Failed(text),
    }
}

/// Waits until every partition has a leader and all its replicas in sync.
fn wait_until_whole(
    kafka: &Kafka,
    client: &mut Client,
    workload: &Workload,
    names: &[String],
    deadline: Instant,
) -> Result<(), DriverError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    loop {
        let cluster = client
            .metadata(&names, false)
            .map_err(|error| of_client(error, &kafka.brokers))?;
        let missing = missing(&cluster, workload, &names);
        if missing == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(DriverError::Failed(format!(
                "{missing} partitions of {} have no leader or not all replicas in sync after {} s",
                names.join(","),
                LEADERS_WITHIN.as_secs()
            )));
        }
        thread::sleep(PAUSE);
    }
}

/// How many partitions cannot be used yet.
fn missing(cluster: &Cluster, workload: &Workload, names: &[&str]) -> usize {
    let whole = names
        .iter()
        .filter_map(|name| cluster.topics.get(*name))
        .flat_map(|topic| &topic.partitions)
        .filter(|info| info.leader.is_some() && info.in_sync.len() >= workload.replicas)
        .count();
    (names.len() * workload.partitions).saturating_sub(whole)
}

pub(super) fn clean_up(kafka: &Kafka, workload: &Workload) -> Result<(), DriverError> {
    let mut client = connect(kafka)?;
    let names = topic_names(workload);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let deleted = client
        .delete_topics(&names)
        .map_err(|error| of_client(error, &kafka.brokers))?;
    for outcome in deleted {
        match outcome.result {
            Err(refusal) if refusal.error != KafkaError::UNKNOWN_TOPIC_OR_PARTITION => {
                return Err(DriverError::Failed(format!(
                    "topic {} cannot be deleted: {refusal}",
                    outcome.topic
                )));
            }
            _ => {}
        }
    }
    Ok(())
}
