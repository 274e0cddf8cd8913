//! Compaction of a log of which every tenth record stays: bytes of log a second, from the first look at its
//! keys until what is left is durable. The log is read twice for that, and a tenth of it written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::time::Duration;

use batch::{Batch, Builder, Compression, NewRecord};
use benches::load::Chance;
use benches::store::{self, Owner};
use benches::{Bench, Clock, Jobs, Shard};
use criterion::{SamplingMode, Throughput};
use storage::{Drive, Log, LogConfig, Round, Writers};

/// Records of a batch: about 16 KiB of them.
const RECORDS: u64 = 128;
const VALUE: usize = 100;
/// Memory for a key, as the map is filled to nine tenths.
const KEY_BYTES: u64 = 27;

fn batches() -> u64 {
    if benches::is_full() { 8192 } else { 64 }
}

fn keys() -> u64 {
    batches() * RECORDS / 10
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 16 << 20,
        compact: true,
        delete: false,
        ..LogConfig::default()
    }
}

/// A new log, all of it dirty, and its size up to the segment that is still open.
async fn fill(drive: &Drive, number: i32, codec: Compression) -> Log {
    let log = store::create_log(drive, number, config()).await;
    let owner = Owner::of([&log]);
    let mut chance = Chance::new(u64::from(number.unsigned_abs()) + 1);
    for at in 0..batches() {
        let base = log.end().appended();
        let mut builder = Builder::new(codec).base_offset(base).leader_epoch(1);
        for n in 0..RECORDS {
            // In order first, so that all occur.
            let key = match at * RECORDS + n {
                first if first < keys() => first,
                _ => chance.below(keys()),
            };
            let value: [u8; VALUE] = std::array::from_fn(|place| (key >> (place % 8)) as u8);
            builder.push(NewRecord {
                timestamp: 1_700_000_000_000,
                key: Some(format!("key-{key:016}").as_bytes()),
                value: Some(&value),
                ..NewRecord::default()
            });
        }
        let bytes = builder.build().expect("the records fit a batch");
        let info = Batch::parse(&bytes).expect("it is a batch").info();
        log.append(bytes, &info).expect("the log takes the batch");
        owner.catch_up(&log, 64 * RECORDS as i64).await;
    }
    owner.catch_up(&log, 0).await;
    // Closed and opened again, as the owner goes when this ends.
    log
}

async fn compact(log: &Log, clock: &Clock) -> Duration {
    // The active segment is closed because its records are old, so that all of the log is compacted.
    log.set_config(LogConfig {
        max_compaction_lag_ms: 1,
        ..config()
    });
    let (end, now_ms) = (log.end().written(), 1_800_000_000_000);
    let owner = Owner::of([log]);
    let part = log.compactable(end, now_ms).await.expect("it can be read");
    assert_eq!((part.from, part.upto), (0, end), "all of it is dirty");
    let round = Round {
        upto: end,
        now_ms,
        writers: &Writers::new(),
        memory: 128 << 20,
        load: 0.9,
        rate: &|| f64::MAX,
    };
    let begun = clock.now();
    let done = log.compact(&round).await.expect("it is compacted");
    let took = clock.now() - begun;
    let done = done.expect("there is something to do");
    assert_eq!((done.keys, done.upto), (keys(), end));
    assert!(done.key_bytes <= (batches() * RECORDS * KEY_BYTES).min(128 << 20));
    drop(owner);
    took
}

async fn serve(folder: PathBuf, mut jobs: Jobs<Compression>) {
    let drive = store::open_drive(&folder, store::drive_config(0)).await;
    let clock = Clock::from_env();
    let mut number = 0;
    while let Some(job) = jobs.next().await {
        let mut took = Duration::ZERO;
        for _ in 0..job.iters {
            let log = fill(&drive, number, job.work).await;
            number += 1;
            took += compact(&log, &clock).await;
            log.delete().await.expect("the log goes");
        }
        job.done(took);
    }
    drive.close(false).await.expect("the drive is closed");
}

fn compaction(bench: &mut Bench) {
    let folder = store::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut group = bench.benchmark_group("compaction");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    // Keys, values, and what a record takes around them.
    group.throughput(Throughput::Bytes(
        batches() * RECORDS * (20 + VALUE as u64 + 9),
    ));
    let mut shard = None;
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        group.bench_function(format!("uncompressed bytes, {codec}"), |bencher| {
            let path = folder.path().to_owned();
            let start = || Shard::start(None, move |jobs| serve(path, jobs));
            let shard = shard.get_or_insert_with(start);
            bencher.iter_custom(|iters| shard.measure(codec, iters));
        });
    }
}

fn main() {
    benches::run(&[compaction]);
}
