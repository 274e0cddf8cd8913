//! Random operations on a log, compared with what a list of batches would do. A failing run prints
//! its seed; `STORAGE_SEED` runs that one again, `STORAGE_ROUNDS` runs more.

use std::path::{Path, PathBuf};

use crate::fixture::*;
use storage::{Drive, DriveConfig, Log, LogConfig, Read, ReplayEvent, TailBudget};

/// A small generator, so that a seed means the same run everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What the log should be.
#[derive(Default)]
struct Model {
    /// Base offset, next offset, bytes, newest timestamp.
    batches: Vec<(i64, i64, Vec<u8>, i64)>,
    start: i64,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.1)
    }

    fn bytes_from(&self, from: i64) -> Vec<u8> {
        let found = self.batches.iter().filter(|batch| batch.1 > from);
        found.flat_map(|batch| batch.2.clone()).collect()
    }
}

struct Run {
    random: Random,
    root: PathBuf,
    lives: u64,
    drive: Drive,
    log: Log,
    model: Model,
    clock: i64,
}

fn config(random: &mut Random) -> LogConfig {
    LogConfig {
        segment_bytes: 20_000 + random.below(60_000),
        flush_messages: if random.below(4) == 0 { 1 } else { u64::MAX },
        index_interval_bytes: 1000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

fn settings() -> DriveConfig {
    DriveConfig {
        reserve_bytes: 0,
        open_files: 3,
        checkpoint_bytes: 30_000,
        write_bytes: 20_000,
        ..DriveConfig::new(TailBudget::new(40_000))
    }
}

async fn open(path: &Path, config: LogConfig) -> (Drive, Log, Vec<ReplayEvent>) {
    let drive = Drive::open(path, settings()).await.unwrap();
    let (log, seen) = open_log_seen(&drive, config).await;
    (drive, log, seen)
}

impl Run {
    async fn begin(root: &Path, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let drive = Drive::open(root.join("0"), settings()).await.unwrap();
        let config = config(&mut random);
        let log = Log::create(&drive, &name("t", 0), config).await.unwrap();
        std::mem::forget(Owner::of(&log));
        Self {
            random,
            root: root.to_owned(),
            lives: 0,
            drive,
            log,
            model: Model::default(),
            clock: 1_700_000_000_000,
        }
    }

    fn append(&mut self) {
        for _ in 0..=self.random.below(12) {
            let count = 1 + self.random.below(5) as usize;
            let size = self.random.below(if self.random.0.is_multiple_of(20) {
                30_000
            } else {
                1500
            });
            self.clock += self.random.below(50) as i64;
            let base = self.log.end().appended();
            let bytes = append_at(&self.log, count, size as usize, self.clock);
            let newest = info(&bytes).max_timestamp;
            let batch = (base, self.log.end().appended(), bytes.to_vec(), newest);
            self.model.batches.push(batch);
        }
    }

    async fn read(&mut self) {
        let (start, end) = (self.model.start, self.log.end().written());
        if start == end {
            return;
        }
        let from = start + self.random.below((end - start) as u64) as i64;
        let max = 1 + self.random.below(30_000) as usize;
        let parts = match self.log.read(from, end, max, true) {
            Read::Tail(parts) => parts,
            Read::Cold(read) => read.run().await.unwrap(),
            other => panic!("{other:?} at {from} of {start} to {end}"),
        };
        let got = parts.concat();
        let expected = self.model.bytes_from(from);
        assert!(
            !got.is_empty() && expected.starts_with(&got),
            "read at {from}"
        );
        let first = info(&got);
        assert!((first.base_offset..=first.last_offset).contains(&from));
        assert!(got.len() <= max.max(first.size), "{} of {max}", got.len());
    }

    async fn search(&mut self) {
        let end = self.log.end().written();
        let span = (self.clock - 1_700_000_000_000) as u64 + 10;
        let time = 1_700_000_000_000 + self.random.below(span) as i64;
        let got = self.log.offset_for_time(time, end).await.unwrap();
        let batches = self
            .model
            .batches
            .iter()
            .filter(|batch| batch.1 > self.model.start);
        let mut records = batches.flat_map(|(base, next, bytes, _)| {
            let first = info(bytes).base_timestamp;
            (*base..*next).map(move |offset| (offset, first + offset - base))
        });
        let start = self.model.start;
        let expected = records.find(|&(offset, at)| at >= time && offset >= start);
        let expected = expected.filter(|&(offset, _)| offset < end);
        assert_eq!(
            got.map(|got| (got.offset, got.timestamp)),
            expected,
            "time {time}"
        );
    }

    async fn delete_records(&mut self) {
        let (start, end) = (self.model.start, self.log.stable_end());
        if end > start {
            let to = start + self.random.below((end - start) as u64 / 3 + 1) as i64;
            assert_eq!(self.log.delete_records_before(to).await.unwrap(), to);
            self.model.start = to;
        }
    }

    async fn retain(&mut self) {
        let mut config = self.log.config();
        config.retention_bytes = 100_000;
        self.log.set_config(config.clone());
        written(&self.log).await;
        self.log.flush().await.unwrap();
        let kept = self.log.retain(self.clock, i64::MAX).await.unwrap();
        assert!(kept.log_start >= self.model.start && kept.log_start <= self.model.end());
        self.model.start = kept.log_start;
        config.retention_bytes = -1;
        self.log.set_config(config);
    }

    async fn truncate(&mut self) {
        let (start, end) = (self.model.start, self.model.end());
        if end == start {
            return;
        }
        let to = start + self.random.below((end - start) as u64 + 1) as i64;
        let within = |batch: &&(i64, i64, Vec<u8>, i64)| batch.0 < to && batch.1 > to;
        let expected = self.model.batches.iter().find(within);
        let expected = expected.map_or(to, |batch| batch.0);
        let mut told = |event| panic!("the owner has no state: {event:?}");
        assert_eq!(
            self.log.truncate_to(to, &mut told).await.unwrap(),
            expected,
            "cut to {to} of {start} to {end}"
        );
        self.model.batches.retain(|batch| batch.1 <= expected);
        self.model.start = start.min(expected);
        if self.model.batches.is_empty() {
            self.model.start = expected;
        }
        assert_eq!(self.log.end().written(), expected);
    }

    async fn start_over(&mut self) {
        let to = self.random.below(2 * self.model.end() as u64 + 2) as i64;
        self.log.start_over(to).await.unwrap();
        self.model.batches.clear();
        self.model.start = to;
    }

    /// A kill: the drive is copied as it is and the copy opened.
    async fn kill(&mut self) {
        let promised = self.log.end().written();
        let old = self.root.join(self.lives.to_string());
        self.lives += 1;
        let new = self.root.join(self.lives.to_string());
        copy_folder(&old, &new);
        self.log.delete().await.unwrap();
        self.drive.close(false).await.unwrap();
        std::fs::remove_dir_all(old).unwrap();
        let config = config(&mut self.random);
        let (drive, log, _) = open(&new, config).await;
        let end = log.end().appended();
        assert!(end >= promised, "written up to {promised}, found {end}");
        assert!(end <= self.model.end());
        self.model.batches.retain(|batch| batch.1 <= end);
        assert_eq!(
            end,
            self.model.end().max(self.model.start),
            "ends within a batch"
        );
        (self.drive, self.log) = (drive, log);
    }

    async fn restart(&mut self) {
        self.log.close().await.unwrap();
        self.drive.close(true).await.unwrap();
        let path = self.root.join(self.lives.to_string());
        let config = config(&mut self.random);
        let (drive, log, seen) = open(&path, config).await;
        assert!(seen.is_empty(), "a clean start tells nothing: {seen:?}");
        assert_eq!(drive.metrics().read_bytes, 0);
        (self.drive, self.log) = (drive, log);
    }

    async fn step(&mut self) {
        match self.random.below(44) {
            0..18 => self.append(),
            18..28 => self.read().await,
            28..31 => written(&self.log).await,
            31 => self.log.flush().await.unwrap(),
            32..35 => self.search().await,
            35 => self.delete_records().await,
            36 => self.retain().await,
            37 => self.log.checkpoint().await.unwrap(),
            38..40 => self.kill().await,
            40..43 => self.truncate().await,
            43 => self.start_over().await,
            _ => self.restart().await,
        }
        assert_eq!(
            self.log.end().appended(),
            self.model.end().max(self.model.start)
        );
        assert_eq!(self.log.log_start(), self.model.start);
    }

    async fn finish(self) {
        written(&self.log).await;
        let (start, end) = (self.model.start, self.log.end().written());
        let all = read_all(&self.log, start, 20_000).await;
        assert!(all == self.model.bytes_from(start), "from {start} to {end}");
        self.log.close().await.unwrap();
        self.drive.close(true).await.unwrap();
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    on_disk(async move |path| {
        let mut run = Run::begin(&path, seed).await;
        for _ in 0..250 {
            run.step().await;
        }
        run.finish().await;
    });
}

#[test]
fn a_log_does_what_a_list_of_batches_would() {
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = asked("STORAGE_SEED") {
        return run(seed);
    }
    let first = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    for at in 0..asked("STORAGE_ROUNDS").unwrap_or(4) {
        run(first.wrapping_add(at * 7_919_113));
    }
}
