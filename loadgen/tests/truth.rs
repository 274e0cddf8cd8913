//! That the generator tells the truth: a broker that drops, repeats, disorders, damages, refuses, stalls or
//! breaks is reported as just that, and one that does none of it is reported clean.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadgen::driver::{self, ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use loadgen::engine::{Cores, Interrupt, Ran, Runner, Threads, Watch};
use loadgen::machine::Brokers;
use loadgen::results::{Measured, Outcome, Second};
use loadgen::workload::{Partitioner, ReadFrom, Workload};

struct Nobody;

impl Watch for Nobody {
    fn second(&mut self, _second: &Second) {}
    fn says(&mut self, _what: &str) {}
}

fn run(workload: Workload, options: &[(&str, &str)]) -> Ran {
    run_until(workload, options, &Interrupt::default())
}

fn run_until(workload: Workload, options: &[(&str, &str)], interrupt: &Interrupt) -> Ran {
    run_on(memory(options), workload, interrupt)
}

fn memory(options: &[(&str, &str)]) -> Arc<dyn Driver> {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let target = Target {
        driver: "memory".to_owned(),
        brokers: Vec::new(),
        name: "memory".to_owned(),
        options: options.collect(),
    };
    driver::open(&target).unwrap()
}

fn run_on(driver: Arc<dyn Driver>, workload: Workload, interrupt: &Interrupt) -> Ran {
    let mut crew = Threads::new(driver.clone(), Cores::free(), None);
    Runner::new(
        &*driver,
        &mut crew,
        Brokers::default(),
        interrupt.clone(),
        &mut Nobody,
        workload,
    )
    .run()
}

fn measured(ran: &Ran) -> &Measured {
    match &ran.outcome {
        Outcome::Measured(measured) => measured,
        other => panic!("{other:?}"),
    }
}

fn short() -> Workload {
    Workload {
        topic: "t".to_owned(),
        producers: 2,
        consumers: 2,
        record_bytes: 100,
        records: Some(40_000),
        warm_up_seconds: 0.1,
        ..Workload::default()
    }
}

#[test]
fn a_clean_broker_is_reported_clean() {
    for (workload, what) in [
        (short(), "sticky"),
        (
            Workload {
                keys: 100,
                partitioner: Partitioner::Key,
                record_bytes: 20,
                record_bytes_max: 300,
                ..short()
            },
            "keys",
        ),
        (
            Workload {
                partitioner: Partitioner::RoundRobin,
                record_bytes: 10,
                topics: 3,
                ..short()
            },
            "tiny",
        ),
    ] {
        let ran = run(workload, &[]);
        let measured = measured(&ran);
        let verified = &measured.verified;
        assert!(verified.checked, "{what}");
        let faults = [
            verified.lost,
            verified.duplicated,
            verified.reordered,
            verified.corrupted,
        ];
        assert_eq!(faults, [0; 4], "{what}: {:?}", verified.examples);
        assert_eq!(measured.produced.records, 40_000, "{what}");
        if what != "tiny" {
            assert_eq!(measured.consumed.records, 40_000, "{what}");
        }
        assert!(measured.errors.is_empty(), "{what}: {:?}", measured.errors);
        assert_eq!(measured.ack_latency.as_ref().unwrap().count, 40_000);
        let acked: u64 = measured.series.iter().map(|second| second.acked).sum();
        assert!(acked > 40_000, "the warm-up is in the series too: {acked}");
    }
}

#[test]
fn each_fault_is_reported_as_what_it_is() {
    for (option, which) in [
        ("drop", 0),
        ("duplicate", 1),
        ("reorder", 2),
        ("corrupt", 3),
    ] {
        let ran = run(short(), &[(option, "1000")]);
        let verified = &measured(&ran).verified;
        let faults = [
            verified.lost,
            verified.duplicated,
            verified.reordered,
            verified.corrupted,
        ];
        for (at, count) in faults.into_iter().enumerate() {
            if at == which {
                assert!(count >= 40, "{option}: {faults:?}");
            } else {
                assert_eq!(count, 0, "{option}: {faults:?} {:?}", verified.examples);
            }
        }
        assert!(!verified.examples.is_empty(), "{option}");
    }
}

#[test]
fn refused_records_are_errors_and_not_lost() {
    let ran = run(short(), &[("refuse", "1000")]);
    let measured = measured(&ran);
    assert!(measured.errors["refused, as it was told to"] >= 40);
    assert_eq!(measured.verified.lost, 0);
    assert!(measured.produced.records < 40_000);
}

/// Records due in the second of the stall waited from its whole length down to nothing, evenly.
#[test]
fn a_stall_shows_as_it_should_under_open_loop() {
    let workload = Workload {
        records: None,
        rate: Some(5000.0),
        seconds: 4.0,
        warm_up_seconds: 0.5,
        producers: 1,
        consumers: 1,
        ..short()
    };
    let ran = run(workload, &[("stall-at", "2000"), ("stall", "1000")]);
    let measured = measured(&ran);
    for latency in [&measured.ack_latency, &measured.end_to_end_latency] {
        let latency = latency.as_ref().unwrap();
        assert_eq!(latency.count, 20_000);
        let at = |name: &str| latency.percentiles[name] as f64 / 1e3;
        // A quarter of the records were due in the stall: among all, p90 is at 0.6 of them, p95 at 0.8.
        assert!((at("90") - 600.0).abs() < 60.0, "p90 {}", at("90"));
        assert!((at("95") - 800.0).abs() < 60.0, "p95 {}", at("95"));
        assert!((at("100") - 1000.0).abs() < 60.0, "worst {}", at("100"));
        assert!(at("50") < 100.0, "p50 {}", at("50"));
    }
    let stalled = measured.series.iter().filter(|second| {
        let full = (4000..6000).contains(&second.acked);
        second.second >= 0 && !full
    });
    assert!(stalled.count() >= 1, "{:?}", measured.series);
}

#[test]
fn stored_records_are_read_and_counted() {
    for read_from in [ReadFrom::Stored, ReadFrom::Backlog] {
        let ran = run(
            Workload {
                read_from,
                backlog_records: 30_000,
                ..short()
            },
            &[],
        );
        let measured = measured(&ran);
        let backlog = read_from == ReadFrom::Backlog;
        if backlog {
            assert_eq!(measured.produced.records, 40_000);
            assert!(measured.consumed.records >= 70_000, "{measured:?}");
        } else {
            assert_eq!(measured.consumed.records, 40_000);
            assert_eq!(measured.end_to_end_latency, None);
        }
        let verified = &measured.verified;
        assert_eq!(verified.lost + verified.duplicated + verified.corrupted, 0);
        assert!(measured.consumed.records_per_second > 0.0);
    }
}

#[test]
fn an_impossible_rate_is_said() {
    let ran = run(
        Workload {
            rate: Some(500_000_000.0),
            records: None,
            seconds: 1.0,
            consumers: 0,
            ..short()
        },
        &[("discard", "true")],
    );
    let said = |note: &String| note.contains("asked for 500000000 records/s, reached");
    assert!(ran.notes.iter().any(said), "{:?}", ran.notes);
}

#[test]
fn a_broker_that_breaks_leaves_what_was_measured() {
    let ran = run(
        Workload {
            records: None,
            seconds: 60.0,
            rate: Some(1000.0),
            ..short()
        },
        &[("break-at", "700")],
    );
    let Outcome::Failed { why, until } = &ran.outcome else {
        panic!("{:?}", ran.outcome);
    };
    assert!(why.contains("the broker broke"), "{why}");
    let until = until.as_ref().unwrap();
    assert!(until.produced.records > 100);
    assert_eq!(until.verified.lost, 0, "what was not read yet is not lost");
}

/// A system that answers once what it is, and then is not there any more.
struct Gone {
    memory: Arc<dyn Driver>,
    asked: AtomicUsize,
}

impl Driver for Gone {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => self.memory.describe(),
            _ => Err(DriverError::Failed("nobody answers".to_owned())),
        }
    }

    fn prepare(&self, workload: &Workload) -> Result<(), DriverError> {
        self.memory.prepare(workload)
    }

    fn clean_up(&self, _workload: &Workload) -> Result<(), DriverError> {
        panic!("nobody is there to clean up");
    }

    fn produce(&self, job: ProducerJob) -> Result<(), DriverError> {
        self.memory.produce(job)
    }

    fn consume(&self, job: ConsumerJob) -> Result<(), DriverError> {
        self.memory.consume(job)
    }
}

/// A driver may wait for a dead system for as long as the line goes on: the line ends all the same.
#[test]
fn a_system_that_is_gone_ends_its_line() {
    let driver = Arc::new(Gone {
        memory: memory(&[("stall-at", "700"), ("stall", "3600000")]),
        asked: AtomicUsize::new(0),
    });
    let workload = Workload {
        records: None,
        seconds: 3600.0,
        rate: Some(1000.0),
        ..short()
    };
    let ran = run_on(driver, workload, &Interrupt::default());
    let Outcome::Failed { why, until } = &ran.outcome else {
        panic!("{:?}", ran.outcome);
    };
    assert!(why.contains("the system was lost: nobody answers"), "{why}");
    assert!(until.as_ref().unwrap().produced.records > 100);
    let left = |note: &String| note.contains("topic t was left there");
    assert!(ran.notes.iter().any(left), "{:?}", ran.notes);
}

#[test]
fn the_user_can_break_off_and_keeps_what_was_measured() {
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    let user = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(900));
        asks.0.fetch_add(1, Ordering::Relaxed);
    });
    let workload = Workload {
        records: None,
        seconds: 60.0,
        rate: Some(1000.0),
        ..short()
    };
    let ran = run_until(workload, &[], &interrupt);
    user.join().unwrap();
    assert!(ran.interrupted);
    assert!(
        matches!(&ran.outcome, Outcome::Failed { until: Some(until), .. } if until.produced.records > 100),
        "{:?}",
        ran.outcome
    );
}

#[test]
fn what_a_system_cannot_do_is_skipped() {
    let workload = Workload {
        replicas: 3,
        ..short()
    };
    let ran = run(workload, &[]);
    assert!(matches!(&ran.outcome, Outcome::Skipped { why } if why.contains("3 replicas")));
}
