//! The way of a batch from memory to the drive: `Log::append` until the log calls it stored.
//!
//! A figure is per 16 KiB batch, and holds the copy that makes the batch, the tail, the writer
//! with its gather, the direct write, checkpoints, and the tail's eviction. Up to "in flight"
//! batches per log are appended and not stored; further ones wait. "synced" waits for fdatasync
//! too (`flush.messages=1`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::rc::Rc;

use benches::load::{self, Feed};
use benches::store::{self, Owner};
use benches::{Bench, Jobs, Shard};
use criterion::Throughput;
use storage::{Drive, Log, LogConfig};

const BATCH: usize = 16 << 10;
/// Memory for hot records: small, so that it is full soon and evictions are part of the figure.
const HOT: usize = 16 << 20;
/// Logs are made anew between two rounds when they are longer than this, together.
const ENOUGH: u64 = 1 << 30;

/// One way to append.
#[derive(Clone, Copy)]
struct Way {
    label: &'static str,
    logs: usize,
    in_flight: i64,
    synced: bool,
}

const WAYS: [Way; 5] = [
    Way::new("1 log, 1 in flight", 1, 1),
    Way::new("1 log, 16 in flight", 1, 16),
    Way::new("1 log, 64 in flight", 1, 64),
    Way::new("6 logs, 16 in flight", 6, 16),
    Way {
        synced: true,
        ..Way::new("1 log, 16 in flight, synced", 1, 16)
    },
];

impl Way {
    const fn new(label: &'static str, logs: usize, in_flight: i64) -> Self {
        Self {
            label,
            logs,
            in_flight,
            synced: false,
        }
    }
}

struct Logs {
    way: Way,
    feed: Feed,
    logs: Vec<Log>,
    owner: Rc<Owner>,
    turn: usize,
}

impl Logs {
    async fn create(drive: &Drive, way: Way, round: i32) -> Self {
        let config = LogConfig {
            flush_messages: if way.synced { 1 } else { u64::MAX },
            ..LogConfig::default()
        };
        let mut logs = Vec::new();
        for at in 0..way.logs {
            let number = round * way.logs as i32 + at as i32;
            logs.push(store::create_log(drive, number, config.clone()).await);
        }
        Self {
            way,
            feed: Feed::new(load::batch(BATCH, 1_700_000_000_000)),
            owner: Owner::of(&logs),
            logs,
            turn: 0,
        }
    }

    async fn append(&mut self, batches: u64) {
        let free = (self.way.in_flight - 1) * self.feed.offsets();
        for _ in 0..batches {
            let log = &self.logs[self.turn % self.logs.len()];
            self.turn += 1;
            self.owner.catch_up(log, free).await;
            store::append(log, &self.feed);
        }
        for log in &self.logs {
            self.owner.catch_up(log, 0).await;
        }
    }

    fn size(&self) -> u64 {
        self.logs.iter().map(Log::size_bytes).sum()
    }

    async fn delete(self) {
        for log in &self.logs {
            log.delete().await.expect("the log is deleted");
        }
    }
}

async fn serve(folder: PathBuf, way: Way, mut jobs: Jobs<()>) {
    let drive = store::open_drive(&folder, store::drive_config(HOT)).await;
    let mut round = 0;
    let mut logs = Logs::create(&drive, way, round).await;
    while let Some(job) = jobs.next().await {
        if logs.size() > ENOUGH {
            logs.delete().await;
            round += 1;
            logs = Logs::create(&drive, way, round).await;
        }
        job.time(async |batches| logs.append(batches).await).await;
    }
    logs.delete().await;
    drive.close(true).await.expect("the drive is closed");
}

fn append(bench: &mut Bench) {
    let mut group = bench.benchmark_group("append 16 KiB");
    group.throughput(Throughput::Bytes(BATCH as u64));
    for way in WAYS {
        let folder = store::folder(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.path().to_owned();
        let mut shard = None;
        group.bench_function(way.label, |bencher| {
            let path = path.clone();
            let start = || Shard::start(None, move |jobs| serve(path, way, jobs));
            let shard = shard.get_or_insert_with(start);
            bencher.iter_custom(|iters| shard.measure((), iters));
        });
    }
}

fn main() {
    benches::run(&[append]);
}
