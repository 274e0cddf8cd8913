//! A run as it could have been: made up, the same every time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use loadgen::results::{
    BrokerUse, Flow, Latency, Line, Machine, Measured, Original, Outcome, Results, SCHEMA, Second,
    System, Verified,
};
use loadgen::workload::Workload;

/// Numbers that look like chance.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From zero to one.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around zero.
    pub(crate) fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

pub(crate) fn system(name: &str) -> System {
    let settings = [
        ("acks", "leader"),
        ("queue.type", "quorum"),
        ("log.flush", "by the page cache"),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    System {
        name: name.to_owned(),
        driver: if name.contains("Rabbit") {
            "amqp"
        } else {
            "kafka"
        }
        .to_owned(),
        product: name.to_owned(),
        version: "4.1.0".to_owned(),
        brokers: 1,
        settings: settings.into_iter().collect(),
    }
}

/// Latencies around `micros`, of which one in two thousand is far out.
pub(crate) fn latency(chance: &mut Chance, micros: f64, records: u64) -> Latency {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for _ in 0..records {
        let mut value = micros * (0.35 * chance.bell()).exp();
        if chance.share() < 0.0005 {
            value *= 4.0 + 30.0 * chance.share();
        }
        histogram.record((value as u64).max(1)).unwrap();
    }
    Latency::of(&histogram).unwrap()
}

/// What to make up.
pub(crate) struct Plan {
    pub(crate) rate: f64,
    pub(crate) micros: f64,
    pub(crate) seconds: usize,
    pub(crate) consumers: bool,
    pub(crate) cpu: Option<f64>,
    pub(crate) seed: u64,
}

pub(crate) fn measured(plan: &Plan) -> Measured {
    let mut chance = Chance::new(plan.seed);
    let factor = (0.01 * chance.bell()).exp();
    let mut measured = Measured {
        seconds: plan.seconds as f64,
        generator_cpu_seconds: 10.0,
        ..Measured::default()
    };
    for second in -5..plan.seconds as i64 {
        let warm = if second < 0 {
            0.7 + 0.05 * (second + 6) as f64
        } else {
            1.0
        };
        let records = plan.rate * factor * warm * (1.0 + 0.03 * chance.bell());
        let records = records.max(0.0) as u64;
        let p99 = plan.micros * 2.3 * (0.2 * chance.bell()).exp();
        measured.series.push(Second {
            second,
            acked: records,
            consumed: if plan.consumers { records } else { 0 },
            acked_bytes: records * 100,
            consumed_bytes: if plan.consumers { records * 100 } else { 0 },
            latency: [
                plan.micros as u64,
                p99 as u64,
                (p99 * 1.6) as u64,
                (p99 * 5.0) as u64,
            ],
            broker_cpu: 0.8,
        });
        if second >= 0 {
            measured.produced.records += records;
        }
    }
    measured.produced = flow(measured.produced.records, plan.seconds);
    let distribution = latency(&mut chance, plan.micros, 40_000);
    if plan.consumers {
        measured.consumed = measured.produced.clone();
        measured.end_to_end_latency = Some(distribution);
        measured.verified.checked = true;
    }
    measured.ack_latency = Some(latency(&mut chance, plan.micros * 0.7, 40_000));
    measured.broker = plan.cpu.map(|cpu| BrokerUse {
        processes: 1,
        cpu_seconds: cpu * measured.produced.records as f64 / 1e6,
        cpu_seconds_per_million: cpu,
        resident_bytes: 900 << 20,
        ..BrokerUse::default()
    });
    measured
}

pub(crate) fn flow(records: u64, seconds: usize) -> Flow {
    let seconds = seconds as f64;
    Flow {
        records,
        bytes: records * 100,
        records_per_second: records as f64 / seconds,
        mb_per_second: records as f64 * 100.0 / 1_048_576.0 / seconds,
    }
}

pub(crate) fn line(
    id: &str,
    title: &str,
    system_name: &str,
    repeat: usize,
    outcome: Outcome,
) -> Line {
    Line {
        id: id.to_owned(),
        title: title.to_owned(),
        system: system(system_name),
        repeat,
        began: 40.0 * repeat as f64,
        workload: Workload {
            name: id.to_owned(),
            title: title.to_owned(),
            consumers: 1,
            batch_bytes: 8192,
            ..Workload::default()
        },
        original: None,
        outcome,
        notes: Vec::new(),
        workers: Vec::new(),
    }
}

pub(crate) fn empty() -> Results {
    let words = [
        "loadgen",
        "suite",
        "kreps-2014",
        "--scale",
        "0.01",
        "--out",
        "a b",
    ];
    Results {
        schema: SCHEMA,
        suite: "kreps-2014".to_owned(),
        version: "0.1.0".to_owned(),
        command: words.map(str::to_owned).to_vec(),
        started: "2026-03-01T12:00:00Z".to_owned(),
        machine: Machine {
            processor: "AMD EPYC 7763 64-Core Processor".to_owned(),
            processors: 16,
            memory_bytes: 64 << 30,
            kernel: "6.12.0".to_owned(),
            congestion_control: "cubic".to_owned(),
        },
        partial: None,
        lines: Vec::new(),
    }
}

fn original(records: f64, mb: f64) -> Original {
    Original {
        source: "LinkedIn's engineering blog, April 2014".to_owned(),
        system: "Kafka 0.8.1".to_owned(),
        records_per_second: Some(records),
        mb_per_second: Some(mb),
        latency_ms: BTreeMap::new(),
    }
}

const SYSTEMS: [(&str, f64, f64, f64); 3] = [
    ("Ottla", 1_900_000.0, 900.0, 0.4),
    ("Kafka", 900_000.0, 2_400.0, 1.9),
    ("RabbitMQ quorum", 41_000.0, 9_000.0, 19.0),
];

/// Three systems, three repeats, lines of every outcome.
pub(crate) fn three_systems() -> Results {
    let mut results = empty();
    results.partial = Some(
        "broken off by Ctrl-C in the line end-to-end, third run of RabbitMQ quorum".to_owned(),
    );
    for repeat in 0..3 {
        for (number, (name, rate, micros, cpu)) in SYSTEMS.into_iter().enumerate() {
            let plan = Plan {
                rate,
                micros,
                seconds: 30,
                consumers: false,
                cpu: Some(cpu),
                seed: (repeat * 10 + number) as u64 + 1,
            };
            results.lines.push(single_producer(&plan, name, repeat));
            let plan = Plan {
                consumers: true,
                seed: plan.seed + 100,
                rate: rate * 0.6,
                ..plan
            };
            results.lines.push(end_to_end(&plan, name, repeat));
        }
    }
    results
        .lines
        .extend(SYSTEMS.map(|(name, ..)| not_run(name)));
    results
}

fn single_producer(plan: &Plan, name: &str, repeat: usize) -> Line {
    let outcome = Outcome::Measured(Box::new(measured(plan)));
    let title = "Single producer, no replication";
    let mut line = line("single-producer", title, name, repeat, outcome);
    line.original = Some(original(821_557.0, 78.3));
    line
}

fn end_to_end(plan: &Plan, name: &str, repeat: usize) -> Line {
    let mut found = measured(plan);
    if name == "RabbitMQ quorum" && repeat == 1 {
        found.verified = Verified {
            checked: true,
            lost: 0,
            duplicated: 1_204,
            reordered: 17,
            corrupted: 0,
            examples: vec!["partition 3: 88,120 came again after 88,190".to_owned()],
        };
        let reason = "publisher confirm timed out".to_owned();
        found.errors.insert(reason, 12);
    }
    let outcome = if name == "RabbitMQ quorum" && repeat == 2 {
        found.seconds = 12.0;
        found.series.truncate(17);
        Outcome::Failed {
            why: "127.0.0.1:5672 closed the connection: broken off by Ctrl-C".to_owned(),
            until: Some(Box::new(found)),
        }
    } else {
        Outcome::Measured(Box::new(found))
    };
    let mut line = line("end-to-end", "End-to-end latency", name, repeat, outcome);
    let latency_ms = [("50", 2.0), ("99", 3.0), ("99.9", 14.0)];
    line.original = Some(Original {
        records_per_second: None,
        mb_per_second: None,
        latency_ms: latency_ms.map(|(p, ms)| (p.to_owned(), ms)).into(),
        ..original(0.0, 0.0)
    });
    let note = "one broker: partitions are assigned, not shared by a group";
    line.notes.push(note.to_owned());
    line
}

fn not_run(name: &str) -> Line {
    let outcome = match name {
        "RabbitMQ quorum" => Outcome::Failed {
            why: "could not declare the queue: <precondition failed> & closed".to_owned(),
            until: None,
        },
        _ => Outcome::Skipped {
            why: "needs three brokers, and there is one".to_owned(),
        },
    };
    let title = "Three producers, 3x asynchronous replication";
    let mut line = line("three-producers-3x-async", title, name, 0, outcome);
    line.original = Some(original(2_024_032.0, 193.0));
    line
}

/// So many systems with so many seconds, one run each.
pub(crate) fn many(systems: usize, seconds: usize) -> Results {
    let names = [
        "Ottla",
        "Kafka",
        "RabbitMQ classic",
        "RabbitMQ quorum",
        "RabbitMQ streams",
    ];
    let mut results = empty();
    for (number, name) in names.into_iter().take(systems).enumerate() {
        let plan = Plan {
            rate: 700_000.0 / (number + 1) as f64,
            micros: 800.0 * 1.8_f64.powi(number as i32),
            seconds,
            consumers: true,
            cpu: (number != 1).then_some(1.0 + number as f64),
            seed: number as u64 + 1,
        };
        let outcome = Outcome::Measured(Box::new(measured(&plan)));
        results
            .lines
            .push(line("fixed-rate", "Fixed rate, 5 MB/s", name, 0, outcome));
    }
    results
}
