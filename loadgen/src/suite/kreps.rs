//! "Benchmarking Apache Kafka: 2 Million Writes Per Second (On Three Cheap Machines)", 2014.

use std::collections::BTreeMap;

use super::{Planned, scaled_seconds};
use crate::results::Original;
use crate::workload::{Acks, ReadFrom, Workload};

const SOURCE: &str = "Benchmarking Apache Kafka: 2 Million Writes Per Second (On Three Cheap Machines), Jay Kreps, 2014";
const RECORDS: f64 = 50e6;

fn original(records: f64, mb: f64) -> Vec<Original> {
    vec![Original {
        source: SOURCE.to_owned(),
        system: "Kafka".to_owned(),
        records_per_second: Some(records),
        mb_per_second: Some(mb),
        latency_ms: BTreeMap::new(),
    }]
}

fn base(scale: f64) -> Workload {
    Workload {
        partitions: 6,
        replicas: 3,
        record_bytes: 100,
        batch_bytes: 8 * 1024,
        acks: Acks::Leader,
        records: Some((RECORDS * scale).max(1000.0) as u64),
        warm_up_seconds: 2.0,
        ..Workload::default()
    }
}

fn line(name: &str, title: &str, workload: Workload, originals: Vec<Original>) -> Planned {
    Planned {
        workload: Workload {
            name: name.to_owned(),
            title: title.to_owned(),
            ..workload
        },
        originals,
        ..Planned::default()
    }
}

fn producers(scale: f64) -> Vec<Planned> {
    let base = || base(scale);
    let mut grown = base();
    grown.records = grown.records.map(|records| records * 4);
    let mut stored = line(
        "stored-data",
        "One producer, 3x asynchronous replication, as stored data grows",
        grown,
        Vec::new(),
    );
    stored.notes.push(
        "the original shows a curve up to 1 TB and no figure: see throughput over time".to_owned(),
    );
    vec![
        line(
            "one-producer",
            "One producer, no replication",
            Workload {
                replicas: 1,
                ..base()
            },
            original(821_557.0, 78.3),
        ),
        line(
            "one-producer-3x-async",
            "One producer, 3x asynchronous replication",
            base(),
            original(786_980.0, 75.1),
        ),
        line(
            "one-producer-3x-sync",
            "One producer, 3x synchronous replication",
            Workload {
                acks: Acks::All,
                ..base()
            },
            original(421_823.0, 40.2),
        ),
        line(
            "three-producers-3x-async",
            "Three producers, 3x asynchronous replication",
            Workload {
                producers: 3,
                ..base()
            },
            original(2_024_032.0, 193.0),
        ),
        stored,
    ]
}

fn consumers(scale: f64) -> Vec<Planned> {
    let stored = |consumers| Workload {
        consumers,
        read_from: ReadFrom::Stored,
        warm_up_seconds: 0.0,
        // Filling is not measured: three producers are done sooner.
        producers: 3,
        ..base(scale)
    };
    let mut three = line(
        "three-consumers",
        "Three consumers of stored records",
        stored(3),
        original(2_615_968.0, 249.5),
    );
    three
        .notes
        .push("partitions are dealt out among the consumers, without a group".to_owned());
    vec![
        line(
            "one-consumer",
            "One consumer of stored records",
            stored(1),
            original(940_521.0, 89.7),
        ),
        three,
        line(
            "producer-and-consumer",
            "One producer and one consumer, 3x asynchronous replication",
            Workload {
                consumers: 1,
                ..base(scale)
            },
            original(795_064.0, 75.8),
        ),
    ]
}

/// The original shows curves and no figures.
fn sizes(scale: f64) -> impl Iterator<Item = Planned> {
    [10, 100, 1000, 10_000, 100_000].into_iter().map(move |bytes| {
        let most = RECORDS * 100.0 / bytes as f64;
        let mut line = line(
            &format!("record-size-{bytes}"),
            &format!("One producer, records of {bytes} bytes"),
            Workload {
                record_bytes: bytes,
                records: Some((RECORDS.min(most) * scale).max(1000.0) as u64),
                ..base(scale)
            },
            Vec::new(),
        );
        line.notes.push(
            "the original shows curves over the record's size and no figures; here as many records as \
             elsewhere, and no more bytes"
                .to_owned(),
        );
        line
    })
}

fn latency(scale: f64) -> Planned {
    let published = [("50", 2.0), ("99", 3.0), ("99.9", 14.0)];
    let mut line = line(
        "end-to-end-latency",
        "End-to-end latency",
        Workload {
            consumers: 1,
            rate: Some(1000.0),
            records: None,
            seconds: scaled_seconds(60.0, scale),
            ..base(scale)
        },
        vec![Original {
            source: SOURCE.to_owned(),
            system: "Kafka".to_owned(),
            latency_ms: published
                .map(|(percentile, ms)| (percentile.to_owned(), ms))
                .into(),
            ..Original::default()
        }],
    );
    line.notes.push(
        "the original does not give its rate; here 1,000 records/s, from the time each was due"
            .to_owned(),
    );
    line
}

pub(super) fn lines(scale: f64) -> Vec<Planned> {
    let mut lines = producers(scale);
    lines.extend(consumers(scale));
    lines.extend(sizes(scale));
    lines.push(latency(scale));
    lines
}
