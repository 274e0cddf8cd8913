//! Segments: rolling, retention, DeleteRecords, look-ups by time, leader epochs.

use crate::fixture::*;
use batch::{Builder, Compression, NewRecord};
use storage::{Drive, Log, LogConfig, LogError, Read, ReadError, TimedOffset};

const T0: i64 = 1_700_000_000_000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 50_000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

/// A log of 400 batches of one record of 1000 bytes, a second apart.
async fn filled(drive: &Drive) -> Log {
    let log = Log::create(drive, &name("t", 0), config()).await.unwrap();
    for at in 0..400 {
        append_at(&log, 1, 1000, T0 + at * 1000);
        if at % 50 == 0 {
            written(&log).await;
        }
    }
    written(&log).await;
    log
}

#[test]
fn segments_are_closed_and_finished() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = filled(&drive).await;
        assert!(log.segments() >= 8);
        log.checkpoint().await.unwrap();
        let segments = files(log.path(), ".log");
        let (_, closed) = segments.split_last().unwrap();
        let sizes: Vec<_> = closed
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .collect();
        assert!(
            sizes.iter().all(|&size| size > 40_000 && size <= 50_000),
            "{sizes:?}"
        );
        assert_eq!(files(log.path(), ".index").len(), segments.len());
        let last = log.end().written() - 1;
        assert!(!read_once(&log, last, 1).await.is_empty());
        log.close().await.unwrap();
    });
}

#[test]
fn retention_by_size_and_by_time_deletes_whole_segments() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = filled(&drive).await;
        let kept = log.retain(T0 + 1_000_000, i64::MAX).await.unwrap();
        assert_eq!((kept.segments, kept.log_start), (0, 0));

        log.set_config(LogConfig {
            retention_bytes: 200_000,
            ..config()
        });
        let kept = log.retain(T0, i64::MAX).await.unwrap();
        assert!(kept.segments >= 4 && log.log_start() > 0, "{kept:?}");
        assert!(
            (200_000..250_000).contains(&log.size_bytes()),
            "{}",
            log.size_bytes()
        );
        assert!(matches!(
            log.read(log.log_start() - 1, 400, 1, true),
            Read::OutOfRange
        ));
        assert_eq!(
            info(&read_once(&log, log.log_start(), 1).await).base_offset,
            log.log_start()
        );

        log.set_config(LogConfig {
            retention_ms: 100_000,
            ..config()
        });
        let before = log.log_start();
        // Records older than number 250 have expired.
        let kept = log.retain(T0 + 350_000, i64::MAX).await.unwrap();
        assert!(kept.segments >= 1 && log.log_start() > before);
        assert!(
            (200..=250).contains(&log.log_start()),
            "{}",
            log.log_start()
        );
        let start = log.log_start();
        log.close().await.unwrap();
        let log = open_log(&drive, config()).await;
        assert_eq!((log.log_start(), log.end().written()), (start, 400));
        log.close().await.unwrap();
    });
}

#[test]
fn an_expired_active_segment_is_closed_and_its_offsets_stay_given() {
    on_disk(async |path| {
        let live = path.join("live");
        let drive = open_drive(&live).await;
        let log = filled(&drive).await;
        log.set_config(LogConfig {
            retention_ms: 1000,
            ..config()
        });
        let kept = log.retain(T0 + 10_000_000, i64::MAX).await.unwrap();
        assert_eq!(
            (kept.log_start, log.size_bytes(), log.segments()),
            (400, 0, 1)
        );
        assert!(files(log.path(), ".log").is_empty());
        assert_eq!(
            log.retain(T0 + 10_000_000, i64::MAX)
                .await
                .unwrap()
                .segments,
            0
        );
        assert!(matches!(log.read(400, 400, 1, true), Read::Empty));
        // Killed here, the log still knows where it was.
        copy_folder(&live, &path.join("image"));
        let killed = open_drive(&path.join("image")).await;
        let again = open_log(&killed, config()).await;
        assert_eq!((again.log_start(), again.end().appended()), (400, 400));
        append(&again, 1, 10);
        written(&again).await;
        assert_eq!(info(&read_once(&again, 400, 1).await).base_offset, 400);
        again.close().await.unwrap();
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        let drive = open_drive(&live).await;
        let log = open_log(&drive, config()).await;
        assert_eq!((log.log_start(), log.end().appended()), (400, 400));
        log.close().await.unwrap();
    });
}

#[test]
fn deleted_records_stay_deleted() {
    on_disk(async |path| {
        let live = path.join("live");
        let drive = open_drive(&live).await;
        let log = filled(&drive).await;
        assert_eq!(log.delete_records_before(10).await.unwrap(), 10);
        let segments = log.segments();
        assert_eq!(
            log.delete_records_before(5).await.unwrap(),
            10,
            "never backwards"
        );
        assert_eq!(log.delete_records_before(222).await.unwrap(), 222);
        assert!(log.segments() < segments);
        let beyond = log.delete_records_before(401).await;
        assert!(matches!(
            beyond,
            Err(LogError::OffsetOutOfRange { end: 400, .. })
        ));
        assert!(matches!(log.read(221, 400, 1, true), Read::OutOfRange));
        assert_eq!(info(&read_once(&log, 222, 1).await).base_offset, 222);
        copy_folder(&live, &path.join("image"));
        let killed = open_drive(&path.join("image")).await;
        let again = open_log(&killed, config()).await;
        assert_eq!((again.log_start(), again.end().appended()), (222, 400));
        again.close().await.unwrap();
        assert_eq!(log.delete_records_before(400).await.unwrap(), 400);
        assert_eq!(log.segments(), 1);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        let drive = open_drive(&live).await;
        let log = open_log(&drive, config()).await;
        assert_eq!((log.log_start(), log.end().appended()), (400, 400));
        append(&log, 1, 10);
        log.close().await.unwrap();
    });
}

#[test]
fn a_read_of_a_segment_that_is_deleted_meanwhile_is_safe() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = filled(&drive).await;
        log.close().await.unwrap();
        let log = open_log(&drive, config()).await;
        let plan = || match log.read(3, 400, 5000, true) {
            Read::Cold(read) => read,
            other => panic!("{other:?}"),
        };
        // One whose file was opened before, and one whose file was not.
        let (first, second) = (plan(), plan());
        let parts = first.run().await.unwrap();
        assert_eq!(info(&parts[0]).base_offset, 3);
        log.delete_records_before(300).await.unwrap();
        let gone = second.run().await;
        assert!(
            matches!(gone, Err(ReadError::Deleted { offset: 3, .. })),
            "{gone:?}"
        );
        log.close().await.unwrap();
    });
}

fn found(offset: i64, timestamp: i64) -> Option<TimedOffset> {
    Some(TimedOffset {
        offset,
        timestamp,
        leader_epoch: 1,
    })
}

#[test]
fn offsets_are_found_by_time() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = filled(&drive).await;
        for reopened in [false, true] {
            let log = if reopened {
                log.close().await.unwrap();
                open_log(&drive, config()).await
            } else {
                log.clone()
            };
            for at in [0_i64, 1, 77, 250, 399] {
                let exact = log.offset_for_time(T0 + at * 1000, 400).await.unwrap();
                assert_eq!(exact, found(at, T0 + at * 1000));
                let before = log.offset_for_time(T0 + at * 1000 - 1, 400).await.unwrap();
                assert_eq!(before, found(at, T0 + at * 1000));
            }
            let late = log.offset_for_time(T0 + 399_001, 400).await.unwrap();
            assert_eq!(late, None);
            let unseen = log.offset_for_time(T0 + 77_000, 77).await.unwrap();
            assert_eq!(unseen, None, "not below what may be seen");
            let newest = log.max_timestamp(400).await.unwrap();
            assert_eq!(newest, found(399, T0 + 399_000));
        }
        let log = open_log(&drive, config()).await;
        log.delete_records_before(100).await.unwrap();
        let start = log.offset_for_time(0, 400).await.unwrap();
        assert_eq!(start, found(100, T0 + 100_000));
        log.close().await.unwrap();
    });
}

#[test]
fn time_is_searched_within_batches_of_each_codec() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
        assert_eq!(log.max_timestamp(0).await.unwrap(), None);
        assert_eq!(log.offset_for_time(0, 0).await.unwrap(), None);
        for (at, codec) in Compression::ALL.into_iter().enumerate() {
            let base = at as i64 * 10;
            let mut builder = Builder::new(codec).base_offset(base).leader_epoch(1);
            for i in 0..10 {
                // The greatest time of a batch is not its last.
                let timestamp = T0 + at as i64 * 100 + [0, 5, 9, 3, 7, 2, 8, 1, 6, 4][i];
                let value = Some(&b"a value of some length"[..]);
                builder.push(NewRecord {
                    timestamp,
                    value,
                    ..NewRecord::default()
                });
            }
            let bytes = builder.build().unwrap();
            log.append(bytes.clone(), &info(&bytes)).unwrap();
        }
        written(&log).await;
        for at in 0..5 {
            let (base, time) = (at * 10, T0 + at * 100);
            let exact = log.offset_for_time(time + 6, 50).await.unwrap();
            assert_eq!(exact, found(base + 2, time + 9), "the first at or after");
            let first = log.offset_for_time(time - 50, 50).await.unwrap();
            assert_eq!(first, found(base, time));
        }
        let newest = log.max_timestamp(50).await.unwrap();
        assert_eq!(newest, found(42, T0 + 409));
        log.set_config(LogConfig {
            decompress_bytes: 50,
            ..config()
        });
        let bounded = log.offset_for_time(T0 + 101, 50).await;
        assert!(
            matches!(bounded, Err(ReadError::Damaged { .. })),
            "{bounded:?}"
        );
        log.close().await.unwrap();
    });
}

#[test]
fn epochs_that_were_cut_off_are_not_believed_after_a_kill() {
    on_disk(async |path| {
        let (live, image) = (path.join("live"), path.join("image"));
        let drive = open_drive(&live).await;
        let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
        append(&log, 10, 10);
        let mut bytes = batch_of(10, 10, 10, T0).to_vec();
        batch::stamp(&mut bytes, 10, 4);
        let described = info(&bytes);
        log.append(bytes.into(), &described).unwrap();
        written(&log).await;
        copy_folder(&live, &image);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        let stale = image
            .join(name("t", 0).folder())
            .join("leader-epoch-checkpoint");
        std::fs::write(stale, "0\n2\n1 0\n5 10\n").unwrap();
        let drive = open_drive(&image).await;
        let log = open_log(&drive, config()).await;
        assert_eq!((log.epoch_end(1), log.epoch_end(4)), ((1, 10), (4, 20)));
        log.close().await.unwrap();
    });
}

#[test]
fn what_lies_above_a_limit_is_kept() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let config = LogConfig {
            retention_ms: 0,
            ..config()
        };
        let log = Log::create(&drive, &name("t", 0), config).await.unwrap();
        for _ in 0..100 {
            append_at(&log, 2, 500, T0);
        }
        written(&log).await;
        let later = T0 + 1_000_000;
        let kept = log.retain(later, 100).await.unwrap();
        assert!(kept.segments > 0 && kept.log_start <= 100, "{kept:?}");
        let all = log.retain(later, 200).await.unwrap();
        assert_eq!(all.log_start, 200);
        log.close().await.unwrap();
    });
}

#[test]
fn leader_epochs_survive() {
    on_disk(async |path| {
        let live = path.join("live");
        let drive = open_drive(&live).await;
        let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
        let append_in = |epoch: i32| {
            let mut bytes = batch_of(log.end().appended(), 5, 10, T0).to_vec();
            batch::stamp(&mut bytes, log.end().appended(), epoch);
            let described = info(&bytes);
            log.append(bytes.into(), &described).unwrap();
        };
        log.assign_epoch(3, 0);
        append_in(3);
        append_in(3);
        append_in(7);
        assert_eq!(log.latest_epoch(), Some(7));
        assert_eq!(log.epoch_end(3), (3, 10));
        assert_eq!(log.epoch_end(5), (3, 10));
        assert_eq!(log.epoch_end(7), (7, 15));
        assert_eq!(log.epoch_end(8), (-1, -1));
        written(&log).await;
        copy_folder(&live, &path.join("image"));
        log.close().await.unwrap();
        let text = std::fs::read_to_string(log.path().join("leader-epoch-checkpoint")).unwrap();
        assert_eq!(text, "0\n2\n3 0\n7 10\n");
        for image in [&live, &path.join("image")] {
            drive.close(true).await.unwrap();
            let drive = open_drive(image).await;
            let log = open_log(&drive, config()).await;
            assert_eq!(log.epoch_end(3), (3, 10), "also from the batches alone");
            assert_eq!(log.epoch_end(7), (7, 15));
            log.delete_records_before(12).await.unwrap();
            assert_eq!(log.epoch_end(3), (3, 12));
            log.close().await.unwrap();
        }
    });
}
