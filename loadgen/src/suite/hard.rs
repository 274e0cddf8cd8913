//! What benchmarks leave out, after the criticism of 2023: many producers, keys that spread records over
//! small batches, consumers that drain a backlog while producers go on, runs that go past the first
//! retention, many partitions, and durability that is paid for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Planned, scaled_seconds};
use crate::workload::{Acks, Partitioner, ReadFrom, Workload};

fn base(scale: f64) -> Workload {
    Workload {
        partitions: 100,
        replicas: 3,
        producers: 4,
        consumers: 4,
        record_bytes: 1024,
        acks: Acks::All,
        batch_bytes: 128 * 1024,
        linger: Duration::from_millis(1),
        rate: Some(20_000.0),
        seconds: scaled_seconds(600.0, scale),
        warm_up_seconds: scaled_seconds(30.0, scale).min(30.0),
        ..Workload::default()
    }
}

fn line(name: &str, title: &str, workload: Workload, note: &str) -> Planned {
    Planned {
        workload: Workload {
            name: name.to_owned(),
            title: title.to_owned(),
            ..workload
        },
        notes: vec![note.to_owned()],
        ..Planned::default()
    }
}

/// So little that a short run goes past it.
fn small_retention() -> BTreeMap<String, String> {
    [
        ("retention.bytes", 64 * 1024 * 1024),
        ("segment.bytes", 16 * 1024 * 1024),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string()))
    .into()
}

pub(super) fn lines(scale: f64) -> Vec<Planned> {
    vec![
        line(
            "many-producers",
            "50 producers at a fixed rate",
            Workload {
                producers: 50,
                ..base(scale)
            },
            "the same rate as with few producers, in many small requests",
        ),
        line(
            "keyed-small-batches",
            "50 producers, keyed records, small batches",
            Workload {
                producers: 50,
                keys: 1_000_000,
                partitioner: Partitioner::Key,
                record_bytes: 100,
                record_bytes_max: 1000,
                batch_bytes: 16 * 1024,
                linger: Duration::ZERO,
                ..base(scale)
            },
            "keys spread the records of each producer over all partitions, so batches hold few",
        ),
        line(
            "drain-backlog",
            "Consumers drain a backlog while producers go on",
            Workload {
                read_from: ReadFrom::Backlog,
                backlog_records: (10e6 * scale).max(10_000.0) as u64,
                ..base(scale)
            },
            "latency is of the records produced meanwhile, which wait behind the backlog",
        ),
        line(
            "past-retention",
            "A run that goes on past the first retention",
            Workload {
                partitions: 6,
                topic_settings: small_retention(),
                ..base(scale)
            },
            "64 MiB of each partition are kept: old segments are deleted while the run goes on",
        ),
        line(
            "many-partitions",
            "1,000 partitions",
            Workload {
                partitions: 1000,
                ..base(scale)
            },
            "batches are a tenth as full as with 100 partitions, unless partitions are filled one by one",
        ),
        line(
            "fsync",
            "Acknowledged when it would survive the loss of power",
            Workload {
                fsync: true,
                topic_settings: [("flush.messages".to_owned(), "1".to_owned())].into(),
                ..base(scale)
            },
            "acks=all with fsync before each acknowledgement, where the system can do that",
        ),
    ]
}
