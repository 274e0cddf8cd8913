//! What a start makes of a drive that was not closed: torn, damaged and missing files.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::fixture::*;
use bytes::Bytes;
use storage::{DriveConfig, Log, LogConfig, ReplayEvent, TailBudget};

/// A log of some batches as a kill leaves it, their bytes, and where each begins.
async fn killed(path: &Path, batches: usize, records: usize) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let drive = open_drive(&path.join("live")).await;
    let log = Log::create(&drive, &name("t", 0), LogConfig::default())
        .await
        .unwrap();
    let (mut all, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..batches {
        starts.push(all.len());
        all.extend_from_slice(&append(&log, records, 40));
    }
    written(&log).await;
    let image = path.join("image");
    copy_folder(&path.join("live"), &image);
    log.close().await.unwrap();
    (image, all, starts)
}

fn segment_of(image: &Path) -> PathBuf {
    files(&image.join(name("t", 0).folder()), ".log").remove(0)
}

/// Opens a copy of the image after `change`; gives back what the log then holds.
async fn opened(image: &Path, at: &Path, change: impl FnOnce(&Path)) -> (Vec<u8>, i64) {
    copy_folder(image, at);
    change(&segment_of(at));
    let drive = open_drive(at).await;
    let log = open_log(&drive, LogConfig::default()).await;
    let end = log.end().appended();
    let all = read_all(&log, 0, 1 << 20).await;
    log.delete().await.unwrap();
    drive.close(false).await.unwrap();
    std::fs::remove_dir_all(at).unwrap();
    (all, end)
}

/// The same, and goes on: it can be written to, and what was cut off never comes back.
async fn reopened(image: &Path, at: &Path, change: impl FnOnce(&Path)) -> (Vec<u8>, i64) {
    copy_folder(image, at);
    change(&segment_of(at));
    let drive = open_drive(at).await;
    let log = open_log(&drive, LogConfig::default()).await;
    let end = log.end().appended();
    assert_eq!(end, log.end().flushed());
    let all = read_all(&log, 0, 1 << 20).await;
    // It can be written to, and what was cut off never comes back.
    let more = append(&log, 2, 30);
    written(&log).await;
    let image = at.with_extension("again");
    copy_folder(at, &image);
    log.close().await.unwrap();
    drive.close(true).await.unwrap();
    let drive = open_drive(&image).await;
    let log = open_log(&drive, LogConfig::default()).await;
    let again = read_all(&log, 0, 1 << 20).await;
    assert_eq!(again, [&all[..], &more[..]].concat());
    log.close().await.unwrap();
    std::fs::remove_dir_all(at).unwrap();
    std::fs::remove_dir_all(image).unwrap();
    (all, end)
}

#[test]
fn a_kill_loses_nothing_that_was_written() {
    on_disk(async |path| {
        let (image, all, _) = killed(&path, 50, 3).await;
        let (read, end) = reopened(&image, &path.join("copy"), |_| {}).await;
        assert!(read == all);
        assert_eq!(end, 150);
    });
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_batch_only() {
    on_disk(async |path| {
        let (image, all, starts) = killed(&path, 3, 1).await;
        let last = *starts.last().unwrap();
        for cut in last..=all.len() {
            let truncate = |file: &Path| {
                let file = OpenOptions::new().write(true).open(file).unwrap();
                file.set_len(cut as u64).unwrap();
            };
            // The same, with the rest of the file zeros, as a preallocated one has it.
            let clear = |file: &Path| {
                let file = OpenOptions::new().write(true).open(file).unwrap();
                let zeros = vec![0; all.len() - cut];
                file.write_all_at(&zeros, cut as u64).unwrap();
            };
            let (read, end) = if cut % 16 == 0 {
                reopened(&image, &path.join("again"), truncate).await
            } else {
                opened(&image, &path.join("cut"), truncate).await
            };
            let expected = if cut == all.len() { 3 } else { 2 };
            assert_eq!(end, expected, "cut at {cut}");
            assert!(all.starts_with(&read));
            let (_, end) = opened(&image, &path.join("zero"), clear).await;
            let blank = all[cut..].iter().all(|&byte| byte == 0);
            assert!(end == expected || blank, "zeros at {cut}");
        }
    });
}

#[test]
fn a_flipped_bit_ends_the_log_before_its_batch() {
    on_disk(async |path| {
        let (image, all, starts) = killed(&path, 5, 2).await;
        for (at, bit) in [
            (16, 0),
            (8, 7),
            (11, 1),
            (17, 3),
            (22, 0),
            (40, 6),
            (61, 2),
            (80, 5),
        ] {
            let place = starts[3] + at;
            let (read, end) = reopened(&image, &path.join("flip"), |file| {
                let file = OpenOptions::new().write(true).open(file).unwrap();
                file.write_all_at(&[all[place] ^ 1 << bit], place as u64)
                    .unwrap();
            })
            .await;
            assert_eq!((end, read.len()), (6, starts[3]), "byte {at}");
        }
    });
}

#[test]
fn garbage_behind_the_end_is_not_taken_for_records() {
    on_disk(async |path| {
        let (image, all, starts) = killed(&path, 4, 2).await;
        let stale = all[starts[1]..].to_vec();
        let random: Vec<u8> = (0..5000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for garbage in [
            stale,
            random,
            vec![0xff; 10_000],
            all[starts[3]..starts[3] + 70].to_vec(),
        ] {
            let (read, end) = reopened(&image, &path.join("garbage"), |file| {
                let file = OpenOptions::new().write(true).open(file).unwrap();
                file.write_all_at(&garbage, all.len() as u64).unwrap();
            })
            .await;
            assert_eq!(end, 8);
            assert!(read == all);
        }
    });
}

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 200_000,
        ..LogConfig::default()
    }
}

/// A log of several segments, as a kill leaves it.
async fn killed_in_segments(path: &Path) -> (PathBuf, Vec<u8>) {
    let drive = open_drive(&path.join("live")).await;
    let log = Log::create(&drive, &name("t", 0), small_segments())
        .await
        .unwrap();
    let _owner = Owner::of(&log);
    let mut all = Vec::new();
    for _ in 0..1000 {
        all.extend_from_slice(&append(&log, 1, 1000));
        if log.backlog() > 100_000 {
            written(&log).await;
        }
    }
    written(&log).await;
    log.checkpoint().await.unwrap();
    for _ in 0..5 {
        all.extend_from_slice(&append(&log, 1, 1000));
    }
    written(&log).await;
    assert!(log.segments() >= 5);
    let image = path.join("image");
    copy_folder(&path.join("live"), &image);
    log.close().await.unwrap();
    (image, all)
}

#[test]
fn a_start_after_a_kill_reads_only_from_the_checkpoint() {
    on_disk(async |path| {
        let (image, all) = killed_in_segments(&path).await;
        let drive = open_drive(&image).await;
        let (log, seen) = open_log_seen(&drive, small_segments()).await;
        let read = drive.metrics().read_bytes;
        assert!(read <= 128 << 10, "{read} bytes read");
        assert_eq!(seen.len(), 5, "only what came after the checkpoint is told");
        assert_eq!(log.end().appended(), 1005);
        assert!(read_all(&log, 0, 300_000).await == all);
        log.close().await.unwrap();
    });
}

#[test]
fn missing_and_damaged_indexes_are_made_anew() {
    on_disk(async |path| {
        let (image, all) = killed_in_segments(&path).await;
        type Damage = fn(&Path);
        let damages: [Damage; 5] = [
            |file| std::fs::remove_file(file).unwrap(),
            |file| std::fs::write(file, [7; 13]).unwrap(),
            |file| std::fs::write(file, []).unwrap(),
            |file| {
                let len = std::fs::metadata(file).unwrap().len() as usize;
                std::fs::write(file, vec![0; len]).unwrap();
            },
            |file| {
                // In order, within the segment, and wrong.
                let len = std::fs::metadata(file).unwrap().len() as usize;
                let entry = |at: u32| [(at + 1).to_be_bytes(), (at * 5 + 3).to_be_bytes()].concat();
                let bytes: Vec<u8> = (0..len as u32 / 8).flat_map(entry).collect();
                std::fs::write(file, bytes).unwrap();
            },
        ];
        for (at, damage) in damages.iter().enumerate() {
            let copy = path.join(format!("damage-{at}"));
            copy_folder(&image, &copy);
            let folder = copy.join(name("t", 0).folder());
            let damaged = files(&folder, ".index");
            assert!(damaged.len() >= 5);
            damaged.iter().for_each(|file| damage(file));
            let drive = open_drive(&copy).await;
            let log = open_log(&drive, small_segments()).await;
            for from in [0, 1, 199, 450, 700, 999, 1004] {
                let read = read_once(&log, from, 5000).await;
                let first = info(&read);
                assert_eq!(first.base_offset, from, "damage {at}");
            }
            assert!(read_all(&log, 0, 50_000).await == all, "damage {at}");
            assert!(drive.metrics().indexes_rebuilt > 0, "damage {at}");
            log.close().await.unwrap();
            drive.close(true).await.unwrap();
            // They are on the drive again.
            let drive = open_drive(&copy).await;
            let log = open_log(&drive, small_segments()).await;
            read_once(&log, 450, 5000).await;
            assert_eq!(drive.metrics().indexes_rebuilt, 0, "damage {at}");
            log.close().await.unwrap();
        }
    });
}

#[test]
fn without_a_checkpoint_everything_is_read() {
    on_disk(async |path| {
        let (image, all) = killed_in_segments(&path).await;
        let file = |image: &Path| image.join(name("t", 0).folder()).join("checkpoint");
        for damaged in [false, true] {
            let copy = path.join(format!("copy-{damaged}"));
            copy_folder(&image, &copy);
            if damaged {
                std::fs::write(file(&copy), b"version=1\nsegment=0\ncrc32c=00000000\n").unwrap();
            } else {
                std::fs::remove_file(file(&copy)).unwrap();
            }
            let drive = open_drive(&copy).await;
            let (log, seen) = open_log_seen(&drive, small_segments()).await;
            assert_eq!(seen.len(), 1005);
            assert_eq!(log.end().appended(), 1005);
            assert!(read_all(&log, 0, 300_000).await == all);
            // The owner can give its state now, so the next start reads little again.
            let _owner = Owner::of(&log);
            until("a checkpoint", || log.unchecked_bytes() == 0).await;
            log.close().await.unwrap();
        }
        std::fs::write(file(&image), sealed("version=2\n")).unwrap();
        let drive = open_drive(&image).await;
        let dirs = drive.logs().await.unwrap();
        let refused = Log::open(&drive, &dirs[0], small_segments(), &mut |_| {}).await;
        assert!(refused.unwrap_err().to_string().contains("version 2"));
    });
}

fn sealed(text: &str) -> String {
    format!("{text}crc32c={:08x}\n", crc32c::crc32c(text.as_bytes()))
}

#[test]
fn a_hole_ends_the_log_and_later_segments_go() {
    on_disk(async |path| {
        let (image, all) = killed_in_segments(&path).await;
        let folder = image.join(name("t", 0).folder());
        std::fs::remove_file(folder.join("checkpoint")).unwrap();
        let segments = files(&folder, ".log");
        // As a power loss leaves a segment whose last writes never came to the drive.
        let file = OpenOptions::new().write(true).open(&segments[2]).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(100_000).unwrap();
        file.set_len(len).unwrap();
        let drive = open_drive(&image).await;
        let log = open_log(&drive, small_segments()).await;
        let read = read_all(&log, 0, 300_000).await;
        assert!(all.starts_with(&read) && read.len() < all.len());
        assert_eq!(files(&folder, ".log").len(), 3);
        assert_eq!(
            log.end().appended() as usize,
            read.len() / batch_of(0, 1, 1000, 0).len()
        );
        append(&log, 1, 10);
        log.close().await.unwrap();
    });
}

#[test]
fn the_owners_state_and_what_came_after_it_come_back() {
    on_disk(async |path| {
        let live = path.join("live");
        let drive = open_drive(&live).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let owner = Owner::of(&log);
        for at in 0..10_i64 {
            append(&log, 1, 100);
            *owner.state.borrow_mut() = Some(Bytes::from(format!("state {at}")));
            if at % 3 == 0 {
                log.checkpoint().await.unwrap();
            }
        }
        append(&log, 2, 100);
        written(&log).await;
        copy_folder(&live, &path.join("image"));
        log.close().await.unwrap();

        let snapshots = files(&path.join("image").join(name("t", 0).folder()), ".snapshot");
        assert_eq!(snapshots.len(), 2, "older ones are removed: {snapshots:?}");
        let drive = open_drive(&path.join("image")).await;
        let (log, seen) = open_unowned(&drive, LogConfig::default()).await;
        match &seen[..] {
            [ReplayEvent::Snapshot(10, state), ReplayEvent::Batch(batch)] => {
                assert_eq!(&state[..], b"state 9");
                assert_eq!((batch.base_offset, batch.last_offset), (10, 11));
            }
            other => panic!("{other:?}"),
        }
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        // The newest snapshot lost: the one before it and the batches between.
        let folder = path.join("image").join(name("t", 0).folder());
        let snapshots = files(&folder, ".snapshot");
        assert_eq!(snapshots.len(), 2, "{snapshots:?}");
        std::fs::remove_file(&snapshots[1]).unwrap();
        let drive = open_drive(&path.join("image")).await;
        let (log, seen) = open_unowned(&drive, LogConfig::default()).await;
        let offsets: Vec<_> = seen
            .iter()
            .map(|event| match event {
                ReplayEvent::Snapshot(offset, _) => *offset,
                ReplayEvent::Batch(batch) => batch.base_offset,
            })
            .collect();
        assert!(
            offsets.len() >= 2 && offsets.ends_with(&[10]),
            "{offsets:?}"
        );
        log.close().await.unwrap();
    });
}

#[test]
fn checkpoints_come_with_what_is_written() {
    on_disk(async |path| {
        let budget = TailBudget::new(1 << 20);
        let config = DriveConfig {
            reserve_bytes: 0,
            checkpoint_bytes: 500_000,
            ..DriveConfig::new(budget.clone())
        };
        let drive = storage::Drive::open(&path, config).await.unwrap();
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let _owner = Owner::of(&log);
        for _ in 0..300 {
            append(&log, 1, 10_000);
            written(&log).await;
        }
        until("checkpoints", || log.unchecked_bytes() < 500_000).await;
        assert!(drive.metrics().checkpoints >= 3);
        assert!(log.end().flushed() > 200);
        assert!(budget.used() <= 1 << 20, "the tail is bounded");
        log.close().await.unwrap();
    });
}
