//! What workers send to the collector: each second what was counted in it, and in the end the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Latencies;
use crate::record::{Ranges, StreamSeen, Tally};

/// Which kind of worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It sends.
    Producer,
    /// It reads.
    Consumer,
}

impl Role {
    /// As one says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// One second of one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tick {
    /// Whose.
    pub role: Role,
    /// Which second: the first that counts is zero.
    pub second: i64,
    /// Records acknowledged or read in it.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, records that count: those due in the time that is measured.
    pub counted_records: u64,
    /// Their bytes.
    pub counted_bytes: u64,
    /// When the last of them came; zero without.
    pub last_counted_ns: u64,
    /// Latencies of those that count.
    pub counted: Latencies,
    /// Latencies of the others.
    pub others: Latencies,
}

/// What a producer sent to one partition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamSent {
    /// Its number.
    pub producer: u16,
    /// Number of the topic.
    pub topic: usize,
    /// Number of the partition.
    pub partition: usize,
    /// How many were sent.
    pub sent: u32,
    /// Sequences of those acknowledged.
    pub acked: Ranges,
}

/// What a producer says in the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProducerSummary {
    /// Its number.
    pub producer: u16,
    /// What was sent where.
    pub streams: Vec<StreamSent>,
    /// Records that failed, by the reason.
    pub errors: BTreeMap<String, u64>,
    /// Records handed over and never answered.
    pub unanswered: u64,
    /// Records that were due, and for which there was no time before the end.
    pub unsent: u64,
    /// How late the latest record was handed over, in nanoseconds after it was due.
    pub latest_ns: u64,
}

/// What a consumer says in the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConsumerSummary {
    /// Its number.
    pub consumer: usize,
    /// What it found.
    pub tally: Tally,
    /// What it read.
    pub streams: Vec<StreamSeen>,
    /// What else was delivered, and how often.
    pub noted: BTreeMap<String, u64>,
    /// Records read before they were due: the clocks disagree.
    pub before_due: u64,
}

/// What a worker sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Said {
    /// It is connected, and waits to begin (a producer) or would miss nothing (a consumer).
    Ready(Role, usize),
    /// A second is over.
    Tick(Box<Tick>),
    /// A producer is done.
    Produced(Box<ProducerSummary>),
    /// A consumer is done.
    Consumed(Box<ConsumerSummary>),
    /// The worker's thread is over, and why, if it failed.
    Ended(Role, usize, Option<String>),
}
