//! What a shard counts while it works: plain cells, no lock, read by the admin server when asked.

use std::array;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

/// API keys that are counted are below this.
const KEYS: usize = 128;

/// The bounds that request latencies are counted by, in microseconds.
pub const LATENCY_BOUNDS_US: [u64; 21] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
];

const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;

/// How long requests took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many took at most as long as the bound of the same place in [`LATENCY_BOUNDS_US`], and
    /// longer than the one before; the last one is for all longer ones.
    pub counts: [u64; BUCKETS],
    /// All their times together, in nanoseconds.
    pub sum_ns: u64,
}

/// What was counted of one API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCounts {
    /// The API's key.
    pub key: i16,
    /// Requests begun.
    pub requests: u64,
    /// The time from a request's first look until its answer was given.
    pub latency: Latency,
}

/// What was counted of the records that went through a shard's partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records appended.
    pub records_in: u64,
    /// Batches appended.
    pub batches_in: u64,
    /// Bytes of batches appended.
    pub bytes_in: u64,
    /// Bytes of batches read for clients.
    pub bytes_out: u64,
}

struct ApiCells {
    requests: Cell<u64>,
    buckets: [Cell<u64>; BUCKETS],
    sum_ns: Cell<u64>,
}

impl ApiCells {
    fn new() -> Box<Self> {
        Box::new(Self {
            requests: Cell::new(0),
            buckets: array::from_fn(|_| Cell::new(0)),
            sum_ns: Cell::new(0),
        })
    }
}

/// A shard's counters.
pub struct ShardMetrics {
    apis: [OnceCell<Box<ApiCells>>; KEYS],
    records: Cell<RecordCounts>,
    /// Drives that were asked for their room and have not said yet.
    pub(super) asked_for_room: RefCell<BTreeSet<Uuid>>,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            apis: array::from_fn(|_| OnceCell::new()),
            records: Cell::default(),
            asked_for_room: RefCell::default(),
        }
    }
}

fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get().wrapping_add(n));
}

impl ShardMetrics {
    fn api(&self, key: i16) -> Option<&ApiCells> {
        let cells = self.apis.get(usize::try_from(key).ok()?)?;
        Some(cells.get_or_init(ApiCells::new))
    }

    /// A request of an API that is served was begun.
    pub fn begun(&self, key: i16) {
        if let Some(api) = self.api(key) {
            add(&api.requests, 1);
        }
    }

    /// A request was answered, `took` after it was begun.
    pub fn answered(&self, key: i16, took: Duration) {
        let Some(api) = self.api(key) else { return };
        let us = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let at = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        add(&api.buckets[at], 1);
        add(
            &api.sum_ns,
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    /// A batch was appended to a partition of this shard's.
    pub fn appended(&self, records: i32, bytes: usize) {
        let mut counts = self.records.get();
        counts.records_in += u64::try_from(records).unwrap_or(0);
        counts.batches_in += 1;
        counts.bytes_in += bytes as u64;
        self.records.set(counts);
    }

    /// Records were read of a partition of this shard's.
    pub fn fetched(&self, bytes: usize) {
        let mut counts = self.records.get();
        counts.bytes_out += bytes as u64;
        self.records.set(counts);
    }

    /// What was counted of records.
    pub fn records(&self) -> RecordCounts {
        self.records.get()
    }

    /// What was counted of each API that was called, by key.
    pub fn apis(&self) -> Vec<ApiCounts> {
        let called = (0..).zip(&self.apis);
        let called = called.filter_map(|(key, cells)| Some((key, cells.get()?)));
        let counts = called.map(|(key, cells)| ApiCounts {
            key,
            requests: cells.requests.get(),
            latency: Latency {
                counts: array::from_fn(|at| cells.buckets[at].get()),
                sum_ns: cells.sum_ns.get(),
            },
        });
        counts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advertised_api_can_be_counted() {
        let metrics = ShardMetrics::default();
        for api in net::registry::ADVERTISED {
            metrics.begun(api.key);
        }
        let counted: Vec<i16> = metrics.apis().iter().map(|api| api.key).collect();
        let mut advertised: Vec<i16> = net::registry::ADVERTISED
            .iter()
            .map(|api| api.key)
            .collect();
        advertised.sort_unstable();
        assert_eq!(counted, advertised);
    }

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let metrics = ShardMetrics::default();
        for (ns, bucket) in [
            (0, 0),
            (10_000, 0),
            (10_001, 1),
            (20_000, 1),
            (50_000_000_000, BUCKETS - 2),
            (50_000_000_001, BUCKETS - 1),
        ] {
            let before = metrics
                .apis()
                .first()
                .map_or(0, |api| api.latency.counts[bucket]);
            metrics.answered(3, Duration::from_nanos(ns));
            let after = metrics.apis()[0].latency.counts[bucket];
            assert_eq!(after, before + 1, "{ns} ns");
        }
        let latency = &metrics.apis()[0].latency;
        assert_eq!(latency.counts.iter().sum::<u64>(), 6);
        assert_eq!(latency.sum_ns, 100_000_040_002);
    }

    #[test]
    fn a_request_without_an_answer_is_begun_only() {
        let metrics = ShardMetrics::default();
        metrics.begun(0);
        metrics.begun(0);
        metrics.answered(0, Duration::from_millis(3));
        let produce = &metrics.apis()[0];
        assert_eq!((produce.key, produce.requests), (0, 2));
        assert_eq!(produce.latency.counts.iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_key_that_is_no_api_is_not_counted() {
        let metrics = ShardMetrics::default();
        metrics.begun(-1);
        metrics.begun(i16::MAX);
        assert_eq!(metrics.apis(), Vec::new());
    }
}
