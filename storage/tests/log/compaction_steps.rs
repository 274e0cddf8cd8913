//! Compaction of logs on real files: what a kill leaves of a swap, what readers find, what interrupts it.

use std::path::{Path, PathBuf};

use storage::{Drive, Log, LogConfig, LogError, Read, Round, Writers};

use crate::compaction::{
    HOUR, NOW, Seen, all_bytes, compact, compact_all, config, fill, records_in, view,
};
use crate::fixture::*;

async fn filled(path: &Path) -> (Drive, Log) {
    let drive = open_drive(path).await;
    let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
    std::mem::forget(Owner::of(&log));
    fill(&log, 100, 50).await;
    (drive, log)
}

#[test]
fn a_compacted_log_is_smaller_and_its_segments_are_joined() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let (segments, size) = (log.segments(), log.size_bytes());
        let part = log.compactable(log.end().written(), NOW).await.unwrap();
        assert!((part.dirty_ratio() - 1.0).abs() < 1e-9 && part.is_due(0.5));
        let done = compact_all(&log).await;
        assert_eq!((done.keys, done.upto), (50, part.upto));
        assert!(
            log.segments() * 4 < segments,
            "{segments} to {}",
            log.segments()
        );
        assert!(log.size_bytes() * 4 < size);
        assert_eq!(
            done.before_bytes - done.after_bytes,
            size - log.size_bytes()
        );
        let part = log.compactable(log.end().written(), NOW).await.unwrap();
        assert_eq!(part.dirty_bytes, 0);
        let none = compact(&log, i64::MAX, NOW, 1 << 20, &Writers::default()).await;
        assert_eq!(none.unwrap(), None);
        // Files, and what is known of them, are the same.
        let folder = log.path().to_owned();
        assert_eq!(files(&folder, ".log").len(), log.segments());
        assert!(files(&folder, ".swap").is_empty() && files(&folder, ".cleaned").is_empty());
        let lengths = files(&folder, ".log")
            .into_iter()
            .rev()
            .skip(1)
            .map(|path| std::fs::metadata(path).unwrap().len());
        assert!(lengths.sum::<u64>() <= log.size_bytes());
    });
}

#[test]
fn a_read_that_has_begun_goes_on_in_what_was_there_or_in_what_is() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        log.close().await.unwrap();
        _drive.close(true).await.unwrap();
        let _drive = open_drive(&path).await;
        let log = open_log(&_drive, config()).await;
        let before = all_bytes(&log).await;
        let end = log.end().written();
        let mut reads = Vec::new();
        for from in (0..end - 20).step_by(17) {
            match log.read(from, end, 3_000, true) {
                Read::Cold(read) => reads.push((from, read)),
                other => panic!("{other:?}"),
            }
        }
        compact_all(&log).await;
        let after = records_in(&all_bytes(&log).await);
        let before = records_in(&before);
        for (from, read) in reads {
            let found = records_in(&read.run().await.unwrap().concat());
            let found: Vec<_> = found.into_iter().filter(|one| one.offset >= from).collect();
            let of = |all: &[Seen]| {
                let begin = all.iter().position(|one| one.offset >= from).unwrap();
                all[begin..].starts_with(&found)
            };
            assert!(
                !found.is_empty() && (of(&before) || of(&after)),
                "at {from}"
            );
        }
    });
}

/// What a log holds that is opened in a copy of `image` after `change`.
async fn opened(image: &Path, at: &Path, change: impl FnOnce(&Path)) -> (Vec<Seen>, usize) {
    copy_folder(image, at);
    change(&at.join(name("t", 0).folder()));
    let drive = open_drive(at).await;
    let log = open_log(&drive, config()).await;
    let found = records_in(&all_bytes(&log).await);
    let segments = log.segments();
    let folder = log.path().to_owned();
    assert!(files(&folder, ".swap").is_empty() && files(&folder, ".cleaned").is_empty());
    // It can be compacted, and nothing is lost by that.
    fill(&log, 20, 50).await;
    let view_before = view(&records_in(&all_bytes(&log).await));
    compact_all(&log).await;
    assert_eq!(view(&records_in(&all_bytes(&log).await)), view_before);
    log.close().await.unwrap();
    drive.close(true).await.unwrap();
    std::fs::remove_dir_all(at).unwrap();
    (found, segments)
}

// Cases X, Y and Z.
#[test]
fn a_kill_at_any_step_of_a_swap_leaves_the_old_log_or_the_new_one() {
    on_disk(async |path| {
        let (drive, log) = filled(&path.join("live")).await;
        log.checkpoint().await.unwrap();
        let old = path.join("old");
        copy_folder(&path.join("live"), &old);
        compact_all(&log).await;
        let new = path.join("new");
        copy_folder(&path.join("live"), &new);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        let folder = name("t", 0).folder();
        let compacted = std::fs::read(&files(&new.join(&folder), ".log")[0]).unwrap();
        let at = path.join("at");
        let first = "00000000000000000000.log";
        let (before, many) = opened(&old, &at, |_| {}).await;
        let (after, _) = opened(&new, &at, |_| {}).await;
        assert!(after.len() < before.len() / 4);
        let write = |ending: &'static str, length: usize| {
            let bytes = compacted[..length].to_vec();
            move |folder: &Path| {
                std::fs::write(folder.join(first.to_owned() + ending), bytes).unwrap();
            }
        };
        for length in [0, 100, compacted.len()] {
            let left = opened(&old, &at, write(".cleaned", length)).await;
            assert_eq!(left, (before.clone(), many), "X: {length} bytes");
        }
        for length in [0, 60, compacted.len() - 1] {
            let left = opened(&old, &at, write(".swap", length)).await;
            assert_eq!(left, (before.clone(), many), "Z: {length} bytes");
        }
        let end = batch::batches(&compacted)
            .last()
            .unwrap()
            .unwrap()
            .next_offset();
        let of_group = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let base: i64 = name[..20].parse().unwrap();
            0 < base && base < end
        };
        let others = files(&old.join(&folder), ".log");
        let others: Vec<_> = others.into_iter().filter(of_group).collect();
        assert!(others.len() > 5, "{others:?}");
        let expected: Vec<_> = {
            let new = records_in(&compacted);
            let behind = before.iter().filter(|one| one.offset >= end).cloned();
            new.into_iter().chain(behind).collect()
        };
        for removed in 0..=others.len() {
            let names: Vec<_> = others[..removed]
                .iter()
                .map(|path| path.file_name().unwrap().to_owned())
                .collect();
            let swap = write(".swap", compacted.len());
            let (left, segments) = opened(&old, &at, |folder| {
                swap(folder);
                for name in &names {
                    std::fs::remove_file(folder.join(name)).unwrap();
                }
            })
            .await;
            assert!(left == expected, "Y: {removed} removed");
            assert_eq!(segments, many - others.len());
        }
    });
}

#[test]
fn a_truncation_interrupts_it_and_takes_its_place() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let before = records_in(&all_bytes(&log).await);
        let slow = log.clone();
        let task = rt::task::spawn(async move {
            let writers = Writers::default();
            let round = Round {
                upto: i64::MAX,
                now_ms: NOW,
                writers: &writers,
                memory: 1 << 20,
                load: 0.9,
                rate: &|| 1_000.0,
            };
            slow.compact(&round).await
        });
        until("it is under way", || {
            !files(log.path(), "checkpoint").is_empty()
        })
        .await;
        rt::time::sleep(std::time::Duration::from_millis(20)).await;
        let end = log.truncate_to(300, &mut |_| {}).await.unwrap();
        assert_eq!(end, 300);
        assert!(matches!(task.await, Err(LogError::Interrupted { .. })));
        assert_eq!(records_in(&all_bytes(&log).await), before[..300]);
        fill(&log, 30, 50).await;
        compact_all(&log).await;
        let upto = log.compacted_to();
        assert!(upto > 300);
        log.truncate_to(200, &mut |_| {}).await.unwrap();
        assert!(
            log.compacted_to() <= 200,
            "what comes there now isn't compacted"
        );
        // Offsets that compaction left out are a place to cut at as any other.
        assert!(log.end().appended() <= 200);
        log.close().await.unwrap();
    });
}

#[test]
fn young_records_wait_and_old_ones_are_overdue() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let end = log.end().written();
        let lag = |min, max| LogConfig {
            min_compaction_lag_ms: min,
            max_compaction_lag_ms: max,
            ..config()
        };
        log.set_config(lag(HOUR, i64::MAX));
        let part = log.compactable(end, NOW).await.unwrap();
        assert_eq!((part.from, part.upto, part.dirty_bytes), (0, 0, 0));
        let all = log.compactable(end, NOW + 2 * HOUR).await.unwrap();
        assert!(all.upto > 0 && all.overdue_ms == 0);
        // The offset is the age in milliseconds.
        let some = log
            .compactable(end, NOW - 10_000 + HOUR + 500)
            .await
            .unwrap();
        assert!(
            some.upto > 0 && some.upto <= 500 && some.upto > 300,
            "{some:?}"
        );
        log.set_config(lag(0, HOUR));
        let segments = log.segments();
        assert_eq!(log.compactable(end, NOW).await.unwrap().overdue_ms, 0);
        assert_eq!(log.segments(), segments);
        let part = log.compactable(end, NOW + HOUR).await.unwrap();
        assert!(part.overdue_ms > 0 && part.is_due(1.0));
        assert_eq!(log.segments(), segments + 1, "the active segment is closed");
        assert_eq!(part.upto, end);
        compact_all(&log).await;
        assert_eq!(log.compacted_to(), end, "all of it");
    });
}
