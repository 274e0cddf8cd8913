//! Runs seeds of the simulation on as many threads as it is told, until one fails or the time is over.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use simulator::{Failure, Options, run};

/// Runs the simulation of a whole cluster, seed after seed, and stops at the first failure.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Args {
    /// For how many hours; without it and --seeds, until a failure.
    #[arg(long, value_name = "HOURS", conflicts_with = "seeds")]
    hours: Option<f64>,
    /// How many seeds.
    #[arg(long, value_name = "COUNT")]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Threads; as many as there are cores if not given.
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
    /// Lines of the trace shown of a failure.
    #[arg(long, value_name = "COUNT", default_value_t = 400)]
    lines: usize,
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    ended: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let hours = args
        .hours
        .map(|hours| Duration::from_secs_f64(hours.max(0.0) * 3600.0));
    let until = hours.map(|hours| begun + hours);
    let end = args
        .seeds
        .map_or(u64::MAX, |count| args.from.saturating_add(count));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let shared = Shared {
        next: AtomicU64::new(args.from),
        done: AtomicU64::new(0),
        ended: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or(cores).max(1) {
            scope.spawn(|| work(&shared, end, until));
        }
    });
    let done = shared.done.into_inner();
    let seconds = begun.elapsed().as_secs();
    println!("{done} seeds from {} on, in {seconds} s", args.from);
    let failure = shared.failure.into_inner();
    match failure.unwrap_or_else(PoisonError::into_inner) {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            show(&failure, args.lines);
            ExitCode::FAILURE
        }
    }
}

fn work(shared: &Shared, end: u64, until: Option<Instant>) {
    while !shared.ended.load(Ordering::Relaxed) {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
        if let Err(failure) = run(seed, Options::default()) {
            shared.ended.store(true, Ordering::Relaxed);
            let first = shared.failure.lock();
            first
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(failure);
            return;
        }
        let done = shared.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10_000) {
            println!("{done} seeds");
        }
    }
}

/// Runs the seed again, with a trace.
fn show(failure: &Failure, lines: usize) {
    let options = Options {
        trace: true,
        ..Options::default()
    };
    if let Err(again) = run(failure.seed, options) {
        for line in &again.trace[again.trace.len().saturating_sub(lines)..] {
            println!("{line}");
        }
    }
    println!("{failure}");
}
