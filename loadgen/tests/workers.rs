//! Several worker processes: that together they do and count what one would, and what happens when one, or
//! whoever tells them what to do, is lost, busy, of another version or somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod workers_bench;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use loadgen::driver::{self, Driver};
use loadgen::engine::{Crew, Interrupt, Phase};
use loadgen::measure::recorder::own_clock_ns;
use loadgen::measure::tick::Role;
use loadgen::results::{Measured, Outcome, Results};
use loadgen::workers::Workers;
use loadgen::workers::wire::{
    FromWorker, Greeting, Hello, MAGIC, PROGRAM, PROTOCOL, ToWorker, receive,
};
use loadgen::workload::{ReadFrom, Workload};
use workers_bench::{Held, Here, Process, Seconds, frame, loadgen, memory, run, text};

fn measured(outcome: &Outcome) -> &Measured {
    match outcome {
        Outcome::Measured(measured) => measured,
        other => panic!("{other:?}"),
    }
}

fn short() -> Workload {
    Workload {
        topic: "t".to_owned(),
        producers: 3,
        consumers: 3,
        record_bytes: 100,
        records: Some(40_001),
        warm_up_seconds: 0.1,
        ..Workload::default()
    }
}

/// It goes on until somebody ends it.
fn endless() -> Workload {
    Workload {
        records: None,
        seconds: 600.0,
        rate: Some(1000.0),
        consumers: 0,
        ..short()
    }
}

#[test]
fn processes_do_together_what_was_asked_for() {
    let workers = [Process::start(), Process::start()];
    let addresses = format!("{},{}", workers[0].address, workers[1].address);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let done = loadgen()
        .args(["run", "kreps-2014", "--lines", "three-producers-3x-async"])
        .args(["--driver", "memory", "--option", "discard=true"])
        .args(["--records", "100001", "--set", "warm_up_seconds=0.1"])
        .args(["--workers", &addresses, "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).contains("workers: "),
        "{}",
        text(&done.stdout)
    );
    let json = std::fs::read(out.join("results.json")).unwrap();
    let results: Results = serde_json::from_slice(&json).unwrap();
    let line = &results.lines[0];
    assert_eq!(measured(&line.outcome).produced.records, 100_001);
    let shares: Vec<_> = line
        .workers
        .iter()
        .map(|worker| &worker.producers[..])
        .collect();
    assert_eq!(shares, [&[0, 2][..], &[1]]);
    for (worker, process) in line.workers.iter().zip(&workers) {
        assert_eq!(worker.address, process.address);
        assert!(worker.same_clock && worker.offset_ns == 0, "{worker:?}");
        assert!(
            worker.round_trip_ns > 0 && worker.offset_after_ns.is_some(),
            "{worker:?}"
        );
    }
    assert!(measured(&line.outcome).generator_cpu_seconds > 0.0);
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains(&format!("{} on ", workers[1].address)));
    for worker in workers {
        assert_eq!(worker.terminate(), Some(0));
    }
}

#[test]
fn what_some_produce_others_read_and_nothing_is_lost() {
    for read_from in [ReadFrom::Live, ReadFrom::Stored, ReadFrom::Backlog] {
        let driver = memory(&[]);
        let here = [Here::start(&driver), Here::start(&driver)];
        let mut workers = Workers::connect(&here.each_ref().map(Here::address)).unwrap();
        let workload = Workload {
            read_from,
            backlog_records: 30_000,
            ..short()
        };
        let mut crew = workers.line(&workers_bench::target(), false).unwrap();
        let ran = run(&driver, &mut crew, workload, &mut Seconds::default());
        let of = crew.end();
        assert_eq!(
            (&of[0].consumers[..], &of[1].consumers[..]),
            (&[0, 2][..], &[1][..])
        );
        let measured = measured(&ran.outcome);
        let verified = &measured.verified;
        assert!(verified.checked);
        let faults = [
            verified.lost,
            verified.duplicated,
            verified.reordered,
            verified.corrupted,
        ];
        assert_eq!(
            faults, [0; 4],
            "{read_from:?}: {:?} {:?}",
            verified.examples, ran.notes
        );
        if read_from != ReadFrom::Stored {
            assert_eq!(measured.produced.records, 40_001, "{read_from:?}");
        }
        match read_from {
            ReadFrom::Backlog => assert!(measured.consumed.records >= 70_000, "{measured:?}"),
            _ => assert_eq!(measured.consumed.records, 40_001, "{read_from:?}"),
        }
        if read_from == ReadFrom::Stored {
            let first = measured.series.first().unwrap().second;
            assert_eq!(first, 0, "one second zero for all: {:?}", measured.series);
        }
    }
}

#[test]
fn faults_are_found_across_processes() {
    let driver = memory(&[("drop", "1000")]);
    let here = [Here::start(&driver), Here::start(&driver)];
    let mut workers = Workers::connect(&here.each_ref().map(Here::address)).unwrap();
    let workload = Workload {
        consumers: 2,
        producers: 1,
        ..short()
    };
    let mut crew = workers.line(&workers_bench::target(), false).unwrap();
    let ran = run(&driver, &mut crew, workload, &mut Seconds::default());
    let verified = &measured(&ran.outcome).verified;
    assert!(verified.lost >= 40, "{verified:?}");
    assert_eq!(
        verified.duplicated + verified.reordered + verified.corrupted,
        0
    );
}

#[test]
fn a_lost_worker_ends_its_line_with_what_was_measured() {
    let driver = memory(&[("discard", "true")]);
    let mut lost = Process::start();
    let (stays, address) = (Process::start(), lost.address.clone());
    let mut workers = Workers::connect(&[address.clone(), stays.address.clone()]).unwrap();
    let mut target = workers_bench::target();
    target
        .options
        .insert("discard".to_owned(), "true".to_owned());
    let mut crew = workers.line(&target, false).unwrap();
    let mut watch = Seconds::then(2, || lost.kill());
    let ran = run(&driver, &mut crew, endless(), &mut watch);
    let of = crew.end();
    drop(watch);
    assert_eq!(of[0].offset_after_ns, None);
    assert!(of[1].offset_after_ns.is_some());
    let Outcome::Failed { why, until } = &ran.outcome else {
        panic!("{:?}", ran.outcome);
    };
    assert!(why.contains(&address) && why.contains("was lost"), "{why}");
    assert!(until.as_ref().unwrap().produced.records > 500, "{until:?}");
    let again = workers.line(&target, false).err().unwrap();
    assert!(
        again.contains(&format!("cannot reach worker {address}")),
        "{again}"
    );
    drop(workers);
    assert_eq!(stays.terminate(), Some(0));
}

#[test]
fn a_worker_that_is_told_to_end_says_so() {
    let driver = memory(&[("discard", "true")]);
    let here = Here::start(&driver);
    let mut workers = Workers::connect(&[here.address()]).unwrap();
    let mut crew = workers.line(&workers_bench::target(), false).unwrap();
    let mut watch = Seconds::then(0, || here.ending.store(true, Ordering::Relaxed));
    let ran = run(&driver, &mut crew, endless(), &mut watch);
    assert!(
        matches!(&ran.outcome, Outcome::Failed { why, .. } if why.contains("it was told to end")),
        "{:?}",
        ran.outcome
    );
}

#[test]
fn breaking_off_reaches_the_workers() {
    let driver = memory(&[]);
    let here = [Here::start(&driver), Here::start(&driver)];
    let mut workers = Workers::connect(&here.each_ref().map(Here::address)).unwrap();
    let mut crew = workers.line(&workers_bench::target(), false).unwrap();
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    let mut watch = Seconds::then(1, || {
        asks.0.fetch_add(1, Ordering::Relaxed);
    });
    let workload = Workload {
        consumers: 2,
        ..endless()
    };
    let ran = workers_bench::run_until(&driver, &mut crew, workload, &mut watch, &interrupt);
    assert!(ran.interrupted);
    assert!(
        matches!(&ran.outcome, Outcome::Failed { until: Some(until), .. } if until.produced.records > 500),
        "{:?}",
        ran.outcome
    );
    assert!(
        !ran.notes.iter().any(|note| note.contains("did not end")),
        "{:?}",
        ran.notes
    );
}

#[test]
fn a_worker_whose_coordinator_is_gone_ends_its_threads_and_waits_for_the_next() {
    let held = Arc::new(Held::default());
    let driver: Arc<dyn Driver> = held.clone();
    let here = Here::start(&driver);
    let mut workers = Workers::connect(&[here.address()]).unwrap();
    let mut crew = workers.line(&workers_bench::target(), false).unwrap();
    crew.phase(&Arc::new(endless()), Phase::Live);
    crew.start(Role::Producer);
    held.wait_for(|held| held.running.load(Ordering::Relaxed) == 3);
    let busy = Workers::connect(&[here.address()])
        .err()
        .unwrap()
        .to_string();
    assert!(
        busy.contains("is busy: it works for the coordinator at 127.0.0.1"),
        "{busy}"
    );
    // Nothing is said any more: the connection is just closed.
    std::mem::forget(crew);
    drop(workers);
    held.wait_for(|held| held.aborted.load(Ordering::Relaxed) == 3);
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(error) = Workers::connect(&[here.address()]) {
        assert!(Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody who answers the first connection with these bytes.
fn answers(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&bytes).unwrap();
        // Lets the other side read it before the connection is reset.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    address
}

fn greeting(program: &str) -> Greeting {
    Greeting {
        program: program.to_owned(),
        host: "elsewhere".to_owned(),
        boot: "another".to_owned(),
        busy: None,
    }
}

fn beginning(protocol: u32) -> Vec<u8> {
    [&MAGIC[..], &protocol.to_be_bytes()].concat()
}

#[test]
fn who_is_no_worker_of_this_version_is_refused() {
    let refused = |bytes: Vec<u8>| {
        let error = Workers::connect(&[answers(bytes)]).err().unwrap();
        error.to_string()
    };
    let other = refused(b"AMQP\x00\x00\x09\x01 and more".to_vec());
    assert!(
        other.contains("does not speak as loadgen's workers"),
        "{other}"
    );
    let newer = refused(beginning(PROTOCOL + 1));
    assert!(
        newer.contains("protocol 2, and this is") && newer.contains("same version"),
        "{newer}"
    );
    let program = [beginning(PROTOCOL), frame(&greeting("99.0.0"))].concat();
    let program = refused(program);
    assert!(
        program.contains("is loadgen 99.0.0, and this is loadgen"),
        "{program}"
    );
    let long = [beginning(PROTOCOL), vec![0xff; 4]].concat();
    let long = refused(long);
    assert!(long.contains("is longer than"), "{long}");

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let done = loadgen()
        .args(["run", "kreps-2014", "--brokers", "127.0.0.1:1", "--workers"])
        .arg(nobody.to_string())
        .output()
        .unwrap();
    let said = text(&done.stderr);
    assert!(
        said.contains(&format!("cannot reach worker {nobody}")),
        "{said}"
    );
    assert_eq!(done.status.code(), Some(1), "{said}");
}

#[test]
fn a_worker_sends_strangers_away_and_goes_on() {
    let worker = Process::start();
    let knock = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(&worker.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let mut stranger = knock(b"GET / HTTP/1.1\r\n\r\n");
    let closed = receive::<Greeting>(&mut stranger);
    assert!(closed.is_err(), "{closed:?}");
    let hello = Hello {
        program: "0.0.0".to_owned(),
    };
    let mut other = knock(&[beginning(PROTOCOL), frame(&hello)].concat());
    let mut begins = [0; 12];
    std::io::Read::read_exact(&mut other, &mut begins).unwrap();
    assert_eq!(begins.to_vec(), beginning(PROTOCOL));
    assert_eq!(receive::<Greeting>(&mut other).unwrap().0.program, PROGRAM);
    assert!(
        receive::<FromWorker>(&mut other).is_err(),
        "it goes on with another version"
    );
    Workers::connect(std::slice::from_ref(&worker.address)).unwrap();
    assert_eq!(worker.terminate(), Some(0));
}

/// A worker whose clock is three seconds ahead, and which says what it was told to set it forward by.
#[test]
fn clocks_are_set_by_the_coordinators() {
    const AHEAD_NS: u64 = 3_000_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let greets = [beginning(PROTOCOL), frame(&greeting(PROGRAM))].concat();
        stream.write_all(&greets).unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
        receive::<Hello>(&mut stream).unwrap();
        let mut told = None;
        while let Ok((order, at_ns)) = receive::<ToWorker>(&mut stream) {
            let answer = match order {
                ToWorker::Clock { number } => FromWorker::Clock {
                    number,
                    received_ns: at_ns + AHEAD_NS,
                    answered_ns: own_clock_ns() + AHEAD_NS,
                },
                ToWorker::Line {
                    line, offset_ns, ..
                } => {
                    told = Some(offset_ns);
                    FromWorker::Opened { line, why: None }
                }
                _ => continue,
            };
            stream.write_all(&frame(&answer)).unwrap();
        }
        told.unwrap()
    });
    let mut workers = Workers::connect(&[address]).unwrap();
    let of = workers.line(&workers_bench::target(), false).unwrap().end();
    drop(workers);
    let told = fake.join().unwrap();
    let worker = &of[0];
    assert_eq!(worker.offset_ns, told);
    assert!(
        !worker.same_clock && worker.host == "elsewhere",
        "{worker:?}"
    );
    assert_eq!(worker.error_ns, worker.round_trip_ns.div_ceil(2));
    let off = told.abs_diff(-(AHEAD_NS as i64));
    assert!(off <= worker.error_ns, "{off} {worker:?}");
    assert!(worker.offset_after_ns.is_some());
}

#[test]
fn a_driver_that_a_worker_cannot_open_is_said() {
    let worker = Process::start();
    let mut workers = Workers::connect(std::slice::from_ref(&worker.address)).unwrap();
    let mut target = workers_bench::target();
    target.driver = "pigeon".to_owned();
    assert!(driver::open(&target).is_err());
    let why = workers.line(&target, false).err().unwrap();
    assert!(
        why.contains(&worker.address) && why.contains("there is no driver pigeon"),
        "{why}"
    );
}
