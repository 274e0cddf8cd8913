//! What a run found, as it is stored: `results.json`. The schema is numbered and documented in
//! `docs/loadgen-results.md`; a field that is taken away or changes its meaning is a new number.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::workload::Workload;

/// The schema's number.
pub const SCHEMA: u32 = 1;

/// A run: everything needed to understand and to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The suite's name.
    pub suite: String,
    /// Version of the load generator.
    pub version: String,
    /// The command, as given.
    pub command: Vec<String>,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// Where it ran.
    pub machine: Machine,
    /// Why the run is not whole, where it is not: broken off, a system lost, a full disk.
    pub partial: Option<String>,
    /// In the order they were run.
    pub lines: Vec<Line>,
}

/// The machine of the load generator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processor's name.
    pub processor: String,
    /// Processors it has.
    pub processors: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel's version.
    pub kernel: String,
    /// TCP congestion control, which paces even on loopback.
    pub congestion_control: String,
}

/// A system under test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// What the report calls it.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// What it says it is.
    pub product: String,
    /// Its version, as far as it tells.
    pub version: String,
    /// How many brokers.
    pub brokers: usize,
    /// Settings that matter.
    pub settings: BTreeMap<String, String>,
}

/// One workload run once on one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The same for the same line on other systems and in other repeats.
    pub id: String,
    /// What a reader sees.
    pub title: String,
    /// The system.
    pub system: System,
    /// Which repeat, from zero.
    pub repeat: usize,
    /// Seconds since the run began.
    pub began: f64,
    /// All parameters.
    pub workload: Workload,
    /// What the original benchmark published for this line.
    pub original: Option<Original>,
    /// What came of it.
    pub outcome: Outcome,
    /// What a reader must know, such as what was left out.
    pub notes: Vec<String>,
    /// The processes its producers and consumers ran in; empty where they were threads of the load generator.
    #[serde(default)]
    pub workers: Vec<Worker>,
}

/// A process that ran some of a line's producers and consumers, and its clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Where it listened.
    pub address: String,
    /// Name of its host.
    pub host: String,
    /// Numbers of its producers.
    pub producers: Vec<usize>,
    /// Numbers of its consumers.
    pub consumers: Vec<usize>,
    /// Whether it read the same clock as the coordinator, being on the same machine.
    pub same_clock: bool,
    /// What its clock was set forward by before the line, in nanoseconds.
    pub offset_ns: i64,
    /// How wrong that is at most, in nanoseconds: half of the round trip; 0 with the same clock.
    pub error_ns: u64,
    /// The least round trip before the line, in nanoseconds.
    pub round_trip_ns: u64,
    /// What its clock would have had to be set forward by after the line, if it was still there.
    pub offset_after_ns: Option<i64>,
    /// The least round trip after the line, in nanoseconds, if it was still there.
    pub round_trip_after_ns: Option<u64>,
}

/// A published figure; what the source doesn't give is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Original {
    /// Where it is from.
    pub source: String,
    /// On which system.
    pub system: String,
    /// Records per second.
    pub records_per_second: Option<f64>,
    /// Megabytes per second, as the source counts them.
    pub mb_per_second: Option<f64>,
    /// Latencies in milliseconds by percentile, such as "99.9".
    pub latency_ms: BTreeMap<String, f64>,
}

/// What came of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Outcome {
    /// It was measured.
    Measured(Box<Measured>),
    /// The system can't do it, or there is too little of it; and why.
    Skipped {
        /// Why.
        why: String,
    },
    /// It broke off.
    Failed {
        /// Why.
        why: String,
        /// What was measured until then.
        until: Option<Box<Measured>>,
    },
}

impl Outcome {
    /// What was measured, be it to the end or not.
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Measured(measured) => Some(measured),
            Self::Failed { until, .. } => until.as_deref(),
            Self::Skipped { .. } => None,
        }
    }
}

/// Figures of one line. Rates are totals over the whole measured time, never means of rates; latencies of
/// several workers are of merged histograms, never means of percentiles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds measured, the warm-up left out.
    pub seconds: f64,
    /// Whether the rate that was asked for was held ([`Self::held`]); none at full speed, and where the line was
    /// broken off.
    pub rate_held: Option<bool>,
    /// What was acknowledged to producers.
    pub produced: Flow,
    /// What consumers got.
    pub consumed: Flow,
    /// From the moment a record was due (open loop) or was handed over (closed loop) to its acknowledgement.
    pub ack_latency: Option<Latency>,
    /// From the same moment to its arrival at a consumer.
    pub end_to_end_latency: Option<Latency>,
    /// Second by second, the warm-up included, with negative numbers.
    pub series: Vec<Second>,
    /// The system's processes, where they run here.
    pub broker: Option<BrokerUse>,
    /// CPU seconds of the load generator itself.
    pub generator_cpu_seconds: f64,
    /// What consumers checked.
    pub verified: Verified,
    /// Records that were not acknowledged, by the reason.
    pub errors: BTreeMap<String, u64>,
}

/// Less of the rate than this is not that rate.
const HELD_SHARE: f64 = 0.98;
/// Whose 99th percentile, in microseconds, is above this has fallen behind.
const BEHIND_MICROS: u64 = 1_000_000;

impl Measured {
    /// Whether a rate was held: 98 % of it was acknowledged, and read where there are consumers who read what is
    /// produced (`read`); nothing failed; and 99 % of the records were there within a second of when they were due.
    pub fn held(&self, rate: f64, read: bool) -> bool {
        let enough = |flow: &Flow| flow.records_per_second >= HELD_SHARE * rate;
        let latency = match (read, &self.end_to_end_latency) {
            (true, Some(end_to_end)) => Some(end_to_end),
            _ => self.ack_latency.as_ref(),
        };
        let p99 = latency.and_then(|latency| latency.percentiles.get("99"));
        enough(&self.produced)
            && (!read || enough(&self.consumed))
            && self.errors.is_empty()
            && p99.is_none_or(|p99| *p99 < BEHIND_MICROS)
    }
}

/// A stream of records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Records.
    pub records: u64,
    /// Bytes of their values and keys.
    pub bytes: u64,
    /// Records over seconds.
    pub records_per_second: f64,
    /// Megabytes (2^20, as the benchmark of 2014 counts) of values and keys over seconds.
    pub mb_per_second: f64,
}

/// A distribution of latencies, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Values recorded.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Percentiles: "50", "90", "95", "99", "99.9", "99.99", "100".
    pub percentiles: BTreeMap<String, u64>,
    /// The whole histogram, HdrHistogram V2 with DEFLATE, in base64.
    pub histogram: String,
}

/// A histogram that cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It cannot be written in the format.
    #[error("a histogram cannot be encoded: {0}")]
    Encode(String),
    /// The text is not base64.
    #[error("a stored histogram is not base64 ({0}): the file was changed or cut")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are no histogram.
    #[error(
        "a stored histogram is not HdrHistogram V2 with DEFLATE ({0}): the file was changed or cut"
    )]
    Decode(String),
}

impl Latency {
    /// The percentiles that are stored beside the histogram.
    pub const PERCENTILES: [&'static str; 7] = ["50", "90", "95", "99", "99.9", "99.99", "100"];

    /// What is stored of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Result<Self, HistogramError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .map_err(|error| HistogramError::Encode(error.to_string()))?;
        let percentiles = Self::PERCENTILES.iter().map(|&name| {
            let percentile = name.parse().unwrap_or(100.0);
            (name.to_owned(), histogram.value_at_percentile(percentile))
        });
        Ok(Self {
            count: histogram.len(),
            mean: histogram.mean(),
            percentiles: percentiles.collect(),
            histogram: STANDARD.encode(bytes),
        })
    }

    /// The whole histogram, in microseconds.
    pub fn decode(&self) -> Result<Histogram<u64>, HistogramError> {
        let bytes = STANDARD.decode(&self.histogram)?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| HistogramError::Decode(format!("{error:?}")))
    }
}

/// One second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which: the first that counts is zero.
    pub second: i64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records consumed.
    pub consumed: u64,
    /// Bytes acknowledged.
    pub acked_bytes: u64,
    /// Bytes consumed.
    pub consumed_bytes: u64,
    /// Latency at p50, p99, p99.9 and the worst, in microseconds: end to end where there are consumers, else
    /// to the acknowledgement. Zero without records.
    pub latency: [u64; 4],
    /// CPU seconds used by the system's processes.
    pub broker_cpu: f64,
}

/// What the system's processes used while measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerUse {
    /// Processes looked at.
    pub processes: usize,
    /// CPU seconds, user and system.
    pub cpu_seconds: f64,
    /// For a million records produced and consumed together.
    pub cpu_seconds_per_million: f64,
    /// Most resident bytes seen.
    pub resident_bytes: u64,
    /// Bytes they had written to drives.
    pub disk_written: u64,
    /// Bytes they had read from drives.
    pub disk_read: u64,
    /// Bytes over the loopback and other interfaces of the machine, in and out, whoever's they were.
    pub network_bytes: u64,
}

/// What became of the records, as consumers saw it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether anybody looked: false where there were no consumers.
    pub checked: bool,
    /// Acknowledged and never read.
    pub lost: u64,
    /// Read more than once.
    pub duplicated: u64,
    /// Read after one that was sent later to the same partition.
    pub reordered: u64,
    /// With bytes other than those sent.
    pub corrupted: u64,
    /// A few of them, in words.
    pub examples: Vec<String>,
}
