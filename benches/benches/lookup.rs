//! Reads of what is only on the drive, from the place they are looked up by.
//!
//! One log of many segments, nothing of it in memory but what the look-ups bring there. Reads are
//! direct: none is answered by a page cache. A figure holds the index, the read of the drive, the
//! walk to the batch and the check of its checksum.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::load::{self, Chance, Feed};
use benches::store::{self, Owner};
use benches::{Bench, Clock, Job, Jobs, Shard};
use criterion::Throughput;
use storage::{Drive, Log, LogConfig, Read};

const BATCH: usize = 16 << 10;
const EPOCH_MS: i64 = 1_700_000_000_000;
/// Reading this much is what a consumer does that has fallen behind.
const LONG_READ: usize = 1 << 20;

/// What to look up.
#[derive(Clone, Copy)]
enum Look {
    /// The batch that holds a random offset, the segment's file and index being at hand.
    Offset,
    /// The same, of a segment that was not read since the log was opened.
    FirstInSegment,
    /// The first record of a random time.
    Time,
    /// A mebibyte from a random offset.
    Long,
}

/// The log's measures: small under `cargo test`, and longer than what is read without an index.
fn segments() -> (u64, u64) {
    if benches::is_full() {
        (64, 4 << 20)
    } else {
        (3, 256 << 10)
    }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: segments().1,
        ..LogConfig::default()
    }
}

async fn fill(drive: &Drive) {
    let (count, bytes) = segments();
    let log = store::create_log(drive, 0, log_config()).await;
    let owner = Owner::of([&log]);
    let mut timestamp = EPOCH_MS;
    while log.size_bytes() < count * bytes {
        let feed = Feed::new(load::batch(BATCH, timestamp));
        timestamp += feed.offsets();
        store::append(&log, &feed);
        owner.catch_up(&log, 64 * feed.offsets()).await;
    }
    owner.catch_up(&log, 0).await;
    assert!(log.segments() as u64 >= count, "{}", log.segments());
    log.close().await.expect("the log is closed");
}

async fn read(log: &Log, from: i64, max_bytes: usize) {
    let Read::Cold(read) = log.read(from, log.end().written(), max_bytes, true) else {
        panic!("offset {from} is in memory, or nowhere");
    };
    let parts = read.run().await.expect("the drive is read");
    let bytes: usize = parts.iter().map(bytes::Bytes::len).sum();
    assert!(bytes > 0 && bytes <= max_bytes.max(BATCH), "{bytes} bytes");
}

/// Reads a batch in the middle of each segment, but for the last one, as often as asked; opens the
/// log again, untimed, when there is no unread segment left.
async fn first_reads(drive: &Drive, iters: u64) -> Duration {
    let clock = Clock::from_env();
    let mut took = Duration::ZERO;
    let mut left = iters;
    while left > 0 {
        let (log, _) = store::open_log(drive, log_config()).await;
        let end = log.end().written();
        let segments = log.segments() as u64 - 1;
        let now = left.min(segments);
        let begun = clock.now();
        for at in 0..now {
            let middle = (2 * at + 1) * end as u64 / (2 * segments + 2);
            read(&log, middle as i64, 1).await;
        }
        took += clock.now() - begun;
        left -= now;
        log.close().await.expect("the log is closed");
    }
    took
}

async fn look(log: &Log, chance: &mut Chance, job: Job<Look>) {
    let end = log.end().written();
    match job.work {
        Look::Offset | Look::FirstInSegment => {
            let mut draw = || chance.below(end as u64) as i64;
            job.time(async |iters| {
                for _ in 0..iters {
                    read(log, draw(), 1).await;
                }
            })
            .await;
        }
        Look::Time => {
            job.time(async |iters| {
                for _ in 0..iters {
                    let offset = chance.below(end as u64) as i64;
                    // A record's timestamp tells its offset here.
                    let found = log.offset_for_time(EPOCH_MS + offset, end).await;
                    let found = found.expect("the drive is read");
                    assert_eq!(found.map(|found| found.offset), Some(offset));
                }
            })
            .await;
        }
        Look::Long => {
            let last = end - (LONG_READ / BATCH) as i64 * 200;
            let last = u64::try_from(last).unwrap_or(1).max(1);
            let mut draw = || chance.below(last) as i64;
            job.time(async |iters| {
                for _ in 0..iters {
                    read(log, draw(), LONG_READ).await;
                }
            })
            .await;
        }
    }
}

async fn serve(folder: PathBuf, mut jobs: Jobs<Look>) {
    let drive = store::open_drive(&folder, store::drive_config(0)).await;
    fill(&drive).await;
    let mut chance = Chance::new(42);
    let mut open: Option<Log> = None;
    while let Some(job) = jobs.next().await {
        if matches!(job.work, Look::FirstInSegment) {
            if let Some(log) = open.take() {
                log.close().await.expect("the log is closed");
            }
            let took = first_reads(&drive, job.iters).await;
            job.done(took);
            continue;
        }
        if open.is_none() {
            let (log, _) = store::open_log(&drive, log_config()).await;
            open = Some(log);
        }
        if let Some(log) = &open {
            look(log, &mut chance, job).await;
        }
    }
    if let Some(log) = open {
        log.close().await.expect("the log is closed");
    }
    drive.close(true).await.expect("the drive is closed");
}

fn start(folder: &Path) -> Shard<Look> {
    let folder = folder.to_owned();
    Shard::start(None, move |jobs| serve(folder, jobs))
}

fn lookup(bench: &mut Bench) {
    let folder = store::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut shard = None;
    let mut group = bench.benchmark_group("cold look-up");
    for (label, what, bytes) in [
        ("batch of an offset", Look::Offset, BATCH),
        (
            "batch of an offset, first in its segment",
            Look::FirstInSegment,
            BATCH,
        ),
        ("offset of a time", Look::Time, 0),
        ("1 MiB from an offset", Look::Long, LONG_READ),
    ] {
        if bytes >= LONG_READ {
            group.throughput(Throughput::Bytes(bytes as u64));
        } else {
            group.throughput(Throughput::Elements(1));
        }
        group.bench_function(label, |bencher| {
            let shard = shard.get_or_insert_with(|| start(folder.path()));
            bencher.iter_custom(|iters| shard.measure(what, iters));
        });
    }
}

fn main() {
    benches::run(&[lookup]);
}
