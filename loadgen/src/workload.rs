//! What is to be done to a system: one measured line of a suite, or a workload file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a producer waits for before a record counts as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    /// Nothing.
    None,
    /// The leader (RabbitMQ: publisher confirms).
    #[default]
    Leader,
    /// All replicas that are in sync (RabbitMQ: publisher confirms).
    All,
}

/// How producers choose partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partitioner {
    /// A partition until its batch is full, then the next.
    #[default]
    Sticky,
    /// The next partition for every record.
    RoundRobin,
    /// By the key, as Kafka's clients do (murmur2).
    Key,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// What is produced while consuming.
    #[default]
    Live,
    /// What was stored before: producers fill the topic first, unmeasured, then consumers are measured
    /// reading all of it.
    Stored,
    /// Consumers begin after producers have built a backlog of this workload's `backlog_records`, and both go on.
    Backlog,
}

/// One workload. Every field has a default, so a file need only say what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// A short name, in file names.
    pub name: String,
    /// A line about it.
    pub title: String,
    /// The topic's name; made from the run's id where empty.
    pub topic: String,
    /// How many topics, each with `partitions`; for more than one a number is put behind the name.
    pub topics: usize,
    /// Partitions (RabbitMQ: queues or streams) of each topic.
    pub partitions: usize,
    /// Replicas of each partition.
    pub replicas: usize,
    /// Settings of the topic, by the system's names for them.
    pub topic_settings: BTreeMap<String, String>,
    /// Producers, each a thread with a connection of its own to every broker it needs.
    pub producers: usize,
    /// Consumers; partitions are dealt out among them.
    pub consumers: usize,
    /// Bytes of a record's value. With `record_bytes_max`, the least.
    pub record_bytes: usize,
    /// Where above `record_bytes`, sizes are uniform between the two.
    pub record_bytes_max: usize,
    /// How many different keys; none has records without keys.
    pub keys: u64,
    /// How producers choose partitions.
    pub partitioner: Partitioner,
    /// What producers wait for.
    pub acks: Acks,
    /// Whether producers are idempotent, where the system knows that.
    pub idempotent: bool,
    /// none, gzip, snappy, lz4 or zstd.
    pub compression: String,
    /// Most bytes of a batch.
    pub batch_bytes: usize,
    /// How long a batch that isn't full waits for more.
    #[serde(with = "millis")]
    pub linger: Duration,
    /// Requests on their way per producer and broker (RabbitMQ: unconfirmed batches of records).
    pub in_flight: usize,
    /// Records per second over all producers; none is as fast as they can.
    pub rate: Option<f64>,
    /// The same for each system by its name, where each has a rate of its own. A system without one has `rate`; where
    /// there is none either, it is left out.
    pub rates: BTreeMap<String, f64>,
    /// How many records to send after the warm-up over all producers; none is for `seconds`.
    pub records: Option<u64>,
    /// How long to measure, where `records` is none.
    pub seconds: f64,
    /// How long before that is not counted.
    pub warm_up_seconds: f64,
    /// What consumers read.
    pub read_from: ReadFrom,
    /// How large the backlog is for [`ReadFrom::Backlog`], in records.
    pub backlog_records: u64,
    /// Whether a record counts as stored only when it would survive the loss of power (fsync before ack),
    /// where the system can do that.
    pub fsync: bool,
    /// Seed of the records' bytes, sizes and keys.
    pub seed: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            name: "workload".to_owned(),
            title: String::new(),
            topic: String::new(),
            topics: 1,
            partitions: 6,
            replicas: 1,
            topic_settings: BTreeMap::new(),
            producers: 1,
            consumers: 0,
            record_bytes: 100,
            record_bytes_max: 0,
            keys: 0,
            partitioner: Partitioner::Sticky,
            acks: Acks::Leader,
            idempotent: false,
            compression: "none".to_owned(),
            batch_bytes: 16 * 1024,
            linger: Duration::ZERO,
            in_flight: 5,
            rate: None,
            rates: BTreeMap::new(),
            records: None,
            seconds: 30.0,
            warm_up_seconds: 5.0,
            read_from: ReadFrom::Live,
            backlog_records: 0,
            fsync: false,
            seed: 1,
        }
    }
}

impl Workload {
    /// The most bytes of a value.
    pub fn most_bytes(&self) -> usize {
        self.record_bytes.max(self.record_bytes_max)
    }

    /// The workload at the rate that this system is to have.
    #[must_use]
    pub fn at_rate_of(&self, system: &str) -> Self {
        Self {
            rate: self.rates.get(system).copied().or(self.rate),
            ..self.clone()
        }
    }

    /// Whether a system is to do this: not where others have rates of their own, and it has none.
    pub fn has_rate_for(&self, system: &str) -> bool {
        self.rates.is_empty() || self.rate.is_some() || self.rates.contains_key(system)
    }

    /// What is the same in all runs and on all systems of the same line: neither the topic nor the records' bytes,
    /// nor the rate where each system has its own.
    #[must_use]
    pub fn in_common(&self) -> Self {
        Self {
            topic: String::new(),
            seed: 0,
            rate: self.rate.filter(|_| self.rates.is_empty()),
            ..self.clone()
        }
    }

    /// Says what can't be, if something can't.
    pub fn check(&self) -> Result<(), String> {
        let least = crate::record::LEAST_BYTES;
        let bad = |what: String| Err(format!("workload {}: {what}", self.name));
        if self.topics == 0 || self.partitions == 0 || self.replicas == 0 {
            return bad("topics, partitions and replicas are 1 at least".to_owned());
        }
        if self.producers == 0 {
            return bad("it takes a producer, also to store what consumers read".to_owned());
        }
        if self.producers > MOST_PRODUCERS {
            return bad(format!(
                "more than {MOST_PRODUCERS} producers can't be told apart"
            ));
        }
        if self.record_bytes < least {
            return bad(format!(
                "record_bytes is {least} at least: a record says which one it is"
            ));
        }
        if self.most_bytes() > MOST_BYTES {
            return bad(format!(
                "records of more than {MOST_BYTES} bytes can't be made"
            ));
        }
        if self.partitioner == Partitioner::Key && self.keys == 0 {
            return bad("partitioner key takes keys: say how many with `keys`".to_owned());
        }
        let timed = |seconds: f64| seconds.is_finite() && (0.0..1e8).contains(&seconds);
        if !timed(self.seconds) || !timed(self.warm_up_seconds) {
            return bad("seconds and warm_up_seconds are 0 or more".to_owned());
        }
        if self.records.is_none() && self.seconds <= 0.0 {
            return bad("either records or seconds says when it ends".to_owned());
        }
        if self.records == Some(0) {
            return bad("records is 1 at least".to_owned());
        }
        for rate in self.rate.iter().chain(self.rates.values()) {
            if !(rate.is_finite() && *rate > 0.0 && *rate <= MOST_RATE) {
                return bad(format!(
                    "a rate is above 0 and up to {MOST_RATE:e} records/s, not {rate}"
                ));
            }
        }
        if self.read_from != ReadFrom::Live && self.consumers == 0 {
            return bad("read_from takes consumers".to_owned());
        }
        if self.read_from == ReadFrom::Backlog && self.backlog_records == 0 {
            return bad("read_from backlog takes backlog_records".to_owned());
        }
        Ok(())
    }
}

/// A record says the number of its producer in 16 bits, and producers that fill have numbers too.
const MOST_PRODUCERS: usize = 32_000;
/// A record is made in memory, and its length fits the wire's.
const MOST_BYTES: usize = 1 << 30;
/// Times are told to a nanosecond.
const MOST_RATE: f64 = 1e9;

/// Durations as milliseconds, which may be broken: `linger = 0.5`.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(value.as_secs_f64() * 1e3)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(from)?;
        Duration::try_from_secs_f64(millis / 1e3).map_err(serde::de::Error::custom)
    }
}
