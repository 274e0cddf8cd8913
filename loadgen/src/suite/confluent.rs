//! "Benchmarking Apache Kafka, Apache Pulsar, and RabbitMQ: Which is the Fastest?", 2020.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Planned, scaled_seconds};
use crate::results::Original;
use crate::workload::{Acks, Partitioner, Workload};

const SOURCE: &str = "Benchmarking Apache Kafka, Apache Pulsar, and RabbitMQ: Which is the Fastest?, Confluent, 2020";
/// Above this the original has no figures of RabbitMQ, whose peak it found at 38 MB/s.
const RABBITMQ_MOST: u32 = 50;

fn peak(system: &str, mb: f64) -> Original {
    Original {
        source: SOURCE.to_owned(),
        system: system.to_owned(),
        mb_per_second: Some(mb),
        ..Original::default()
    }
}

fn p99(system: &str, ms: f64) -> Original {
    Original {
        source: SOURCE.to_owned(),
        system: system.to_owned(),
        latency_ms: BTreeMap::from([("99".to_owned(), ms)]),
        ..Original::default()
    }
}

fn base(scale: f64) -> Workload {
    Workload {
        partitions: 100,
        replicas: 3,
        producers: 4,
        consumers: 4,
        record_bytes: 1024,
        acks: Acks::All,
        partitioner: Partitioner::Sticky,
        batch_bytes: 1024 * 1024,
        linger: Duration::from_millis(10),
        seconds: scaled_seconds(300.0, scale),
        warm_up_seconds: scaled_seconds(60.0, scale).min(60.0),
        ..Workload::default()
    }
}

pub(super) fn lines(scale: f64) -> Vec<Planned> {
    let mut lines = vec![Planned {
        workload: Workload {
            name: "peak".to_owned(),
            title: "Peak throughput".to_owned(),
            ..base(scale)
        },
        originals: vec![peak("Kafka", 605.0), peak("RabbitMQ", 38.0)],
        notes: vec![
            "the original found 305 MB/s for Pulsar, and mirrored classic queues for RabbitMQ"
                .to_owned(),
        ],
        not_for: None,
    }];
    for mb in [5, 15, 30, 50, 100, 200] {
        // A megabyte a second is a thousand records of 1 KB, as the original counts.
        let workload = Workload {
            name: format!("latency-{mb}"),
            title: format!("End-to-end latency at {mb} MB/s"),
            rate: Some(f64::from(mb) * 1000.0),
            ..base(scale)
        };
        let mut line = Planned {
            workload,
            ..Planned::default()
        };
        if mb == 200 {
            line.originals.push(p99("Kafka", 5.0));
            line.notes
                .push("the original found a p99 of 25 ms for Pulsar".to_owned());
        }
        if mb == 30 {
            line.originals.push(p99("RabbitMQ", 1.0));
        }
        if mb > RABBITMQ_MOST {
            line.not_for = Some((
                "amqp",
                format!(
                    "the original's peak of RabbitMQ is 38 MB/s, and {mb} MB/s would only fill its memory"
                ),
            ));
        }
        lines.push(line);
    }
    lines
}
