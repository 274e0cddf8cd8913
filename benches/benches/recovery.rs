//! A start after a kill: a log opened that no checkpoint vouches for, so that all of it is read
//! and checked, and its indexes are made.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use benches::load::{self, Feed};
use benches::store::{self, Owner};
use benches::{Bench, Jobs, Shard};
use criterion::{SamplingMode, Throughput};
use storage::{Drive, DriveConfig, LogConfig};

const BATCH: usize = 16 << 10;

fn log_bytes() -> u64 {
    if benches::is_full() {
        256 << 20
    } else {
        1 << 20
    }
}

/// Writes the log and lets go of it as a kill would. Gives back how many batches it has.
async fn fill(drive: &Drive) -> u64 {
    let log = store::create_log(drive, 0, LogConfig::default()).await;
    let owner = Owner::of([&log]);
    let feed = Feed::new(load::batch(BATCH, 1_700_000_000_000));
    let mut batches = 0;
    while log.size_bytes() < log_bytes() {
        store::append(&log, &feed);
        batches += 1;
        owner.catch_up(&log, 64 * feed.offsets()).await;
    }
    owner.catch_up(&log, 0).await;
    batches
}

async fn serve(folder: PathBuf, mut jobs: Jobs<()>) {
    let config = DriveConfig {
        checkpoint_bytes: u64::MAX,
        ..store::drive_config(0)
    };
    let drive = store::open_drive(&folder, config).await;
    let batches = fill(&drive).await;
    while let Some(job) = jobs.next().await {
        job.time(async |iters| {
            for _ in 0..iters {
                // Without an owner it writes no checkpoint: the next one reads all again.
                let (log, read) = store::open_log(&drive, LogConfig::default()).await;
                assert_eq!(read, batches, "the whole log is read");
                assert!(log.size_bytes() >= log_bytes(), "nothing is lost");
            }
        })
        .await;
    }
    drive.close(false).await.expect("the drive is closed");
}

fn recovery(bench: &mut Bench) {
    let folder = store::folder(env!("CARGO_TARGET_TMPDIR"));
    let mut group = bench.benchmark_group("recovery");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Bytes(log_bytes()));
    let mut shard = None;
    group.bench_function("256 MiB in batches of 16 KiB", |bencher| {
        let path = folder.path().to_owned();
        let start = || Shard::start(None, move |jobs| serve(path, jobs));
        let shard = shard.get_or_insert_with(start);
        bencher.iter_custom(|iters| shard.measure((), iters));
    });
}

fn main() {
    benches::run(&[recovery]);
}
