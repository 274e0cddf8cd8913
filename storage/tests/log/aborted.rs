//! The index of transactions that were given up is what the log says, whatever becomes of the log.

use std::path::Path;
use std::rc::Rc;

use crate::fixture::*;
use bytes::Bytes;
use storage::{AbortedTransaction, Drive, Log, LogConfig, ReplayEvent};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 100_000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

/// What the batch at this offset ends; the batches here stand for markers.
fn ended_by(offset: i64) -> AbortedTransaction {
    let lived = 1 + (offset * 7919) % 20;
    AbortedTransaction {
        producer_id: offset % 7,
        first_offset: (offset - lived).max(0),
        last_offset: offset,
        last_stable_offset: (offset - 19).max(0),
    }
}

/// Numbers without order, the same ones after the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) % bound as u64) as i64
    }
}

struct World {
    path: std::path::PathBuf,
    drive: Drive,
    log: Log,
    owner: Rc<Owner>,
}

impl World {
    async fn make(path: &Path) -> Self {
        let drive = open_drive(path).await;
        let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
        let owner = Owner::of(&log);
        *owner.state.borrow_mut() = Some(Bytes::from_static(b"state"));
        let path = path.to_owned();
        Self {
            path,
            drive,
            log,
            owner,
        }
    }

    /// Opens what lies there; gives back how many batches were told.
    async fn open(path: &Path) -> (Self, usize) {
        let drive = open_drive(path).await;
        let (log, told) = open_unowned(&drive, config()).await;
        let mut batches = 0;
        for event in told {
            if let ReplayEvent::Batch(info) = event {
                log.note_aborted(ended_by(info.base_offset));
                batches += 1;
            }
        }
        let owner = Owner::of(&log);
        *owner.state.borrow_mut() = Some(Bytes::from_static(b"state"));
        let path = path.to_owned();
        (
            Self {
                path,
                drive,
                log,
                owner,
            },
            batches,
        )
    }

    fn append(&self, count: i64) {
        for _ in 0..count {
            let offset = self.log.end().appended();
            append(&self.log, 1, 10);
            self.log.note_aborted(ended_by(offset));
        }
    }

    async fn truncate(&self, to: i64) {
        let mut told = Vec::new();
        self.log
            .truncate_to(to, &mut |event| told.push(event))
            .await
            .unwrap();
        for event in told {
            if let ReplayEvent::Batch(info) = event {
                self.log.note_aborted(ended_by(info.base_offset));
            }
        }
    }

    async fn check(&self, from: i64, upto: i64, what: &str) {
        let (start, end) = (self.log.log_start(), self.log.end().appended());
        let concerns =
            |one: &AbortedTransaction| one.last_offset >= from && one.first_offset < upto;
        let expected: Vec<_> = (start..end).map(ended_by).filter(concerns).collect();
        let found = self.log.aborted(from, upto).await.unwrap();
        assert_eq!(
            found, expected,
            "{what}: {from} to {upto} of {start} to {end}"
        );
    }

    async fn close(self) {
        self.log.close().await.unwrap();
        self.drive.close(true).await.unwrap();
        drop(self.owner);
    }
}

async fn run(path: &Path, seed: u64) {
    let mut chance = Chance(seed);
    let mut world = World::make(&path.join("0")).await;
    for step in 0..40 {
        let (start, end) = (world.log.log_start(), world.log.end().appended());
        let what = match chance.below(10) {
            0..4 => {
                world.append(chance.below(1500));
                written(&world.log).await;
                "append"
            }
            4 | 5 => {
                world.log.checkpoint().await.unwrap();
                "checkpoint"
            }
            6 => {
                let to = start + chance.below(end - start + 1);
                world
                    .truncate(if chance.below(2) == 0 { to } else { end - 3 })
                    .await;
                "truncate"
            }
            7 => {
                let to = start + chance.below((end - start) / 4 + 1);
                world.log.delete_records_before(to).await.unwrap();
                "delete"
            }
            8 => {
                let path = world.path.clone();
                world.close().await;
                world = World::open(&path).await.0;
                "reopen"
            }
            _ => {
                let copy = path.join(format!("{}", step + 1));
                copy_folder(&world.path, &copy);
                world.log.delete().await.unwrap();
                world = World::open(&copy).await.0;
                "kill"
            }
        };
        let what = format!("seed {seed}, step {step}, {what}");
        let (start, end) = (world.log.log_start(), world.log.end().appended());
        world.check(start, end, &what).await;
        for _ in 0..5 {
            let from = start + chance.below(end - start + 1);
            world.check(from, from + 1 + chance.below(200), &what).await;
        }
    }
    world.close().await;
}

#[test]
fn it_is_what_the_log_says_whatever_becomes_of_the_log() {
    for seed in 1..=6 {
        on_disk(move |path| async move { run(&path, seed).await });
    }
}

#[test]
fn a_damaged_one_is_made_anew() {
    on_disk(async |path| {
        for (round, ending) in ["aborted-transactions", ".aborted"].into_iter().enumerate() {
            let path = path.join(format!("{round}"));
            let world = World::make(&path).await;
            world.append(5000);
            written(&world.log).await;
            let folder = world.log.path().to_owned();
            world.close().await;
            let file = files(&folder, ending).remove(0);
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[10] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            let (world, told) = World::open(&path).await;
            if ending == ".aborted" {
                // Nobody had a look at it: the reader that does is told, and removes it.
                assert!(world.log.aborted(0, 100).await.is_err());
                assert_eq!(told, 0);
            } else {
                assert_eq!(told, 5000);
                world.check(0, 5000, "damaged").await;
            }
            world.close().await;
            assert_eq!(file.exists(), ending != ".aborted");
            let _ = std::fs::remove_file(&file);
            let (world, told) = World::open(&path).await;
            assert_eq!(told, 5000, "{ending}");
            world.check(0, 5000, "missing").await;
            world.close().await;
            let (world, told) = World::open(&path).await;
            assert_eq!(told, 0, "{ending}");
            world.check(0, 5000, "as it was").await;
            world.close().await;
        }
    });
}
