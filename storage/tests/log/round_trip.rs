//! What is appended is read back: from memory, from the drive, after a restart.

use crate::fixture::*;
use bytes::Bytes;
use storage::{
    AppendError, Drive, DriveError, Health, Log, LogConfig, LogError, Read, ReplayEvent,
};

#[test]
fn batches_come_back_from_memory_and_from_the_drive() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let owner = Owner::of(&log);
        let mut all = Vec::new();
        for at in 0..200 {
            all.extend_from_slice(&append(&log, 1 + at % 7, 50 + at * 13 % 900));
            if at % 20 == 0 {
                written(&log).await;
            }
        }
        written(&log).await;
        assert_eq!(read_all(&log, 0, 10_000).await, all, "from memory");
        assert_eq!(log.metrics().cold_reads, 0);
        assert_eq!(log.size_bytes(), all.len() as u64);
        let ends = owner.ends.borrow().clone();
        assert!(ends.is_sorted_by_key(|end| end.written()), "{ends:?}");
        assert_eq!(ends.last().unwrap().written(), log.end().appended());
        let end = log.end().written();
        log.close().await.unwrap();

        let log = open_log(&drive, LogConfig::default()).await;
        assert_eq!((log.end().written(), log.end().flushed()), (end, end));
        for max in [1, 5_000, 100_000, 10 << 20] {
            assert_eq!(read_all(&log, 0, max).await, all, "in reads of {max}");
        }
        assert!(log.metrics().cold_reads > 0 && log.metrics().tail_reads == 0);
        // Goes on in the middle of a block.
        all.extend_from_slice(&append(&log, 3, 100));
        written(&log).await;
        assert_eq!(read_all(&log, 0, 100_000).await, all);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
    });
}

#[test]
fn the_file_is_the_batches_and_nothing_else_after_a_clean_close() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let mut all = Vec::new();
        for _ in 0..300 {
            all.extend_from_slice(&append(&log, 5, 150));
        }
        log.close().await.unwrap();
        let file = std::fs::read(&files(log.path(), ".log")[0]).unwrap();
        assert!(file == all, "{} and {} bytes", file.len(), all.len());
        let index = std::fs::read(&files(log.path(), ".index")[0]).unwrap();
        assert!(!index.is_empty() && index.len().is_multiple_of(8));
        let times = std::fs::read(&files(log.path(), ".timeindex")[0]).unwrap();
        assert!(!times.is_empty() && times.len().is_multiple_of(12));
    });
}

#[test]
fn a_clean_start_reads_no_data() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let config = LogConfig {
            segment_bytes: 100_000,
            ..LogConfig::default()
        };
        let log = Log::create(&drive, &name("t", 0), config.clone())
            .await
            .unwrap();
        let owner = Owner::of(&log);
        *owner.state.borrow_mut() = Some(Bytes::from_static(b"who wrote what"));
        for _ in 0..500 {
            append(&log, 1, 1000);
        }
        log.close().await.unwrap();
        drive.close(true).await.unwrap();

        let drive = open_drive(&path).await;
        assert!(drive.was_clean());
        let (log, seen) = open_log_seen(&drive, config).await;
        assert_eq!(drive.metrics().read_bytes, 0);
        assert_eq!(log.end().flushed(), 500);
        assert!(log.segments() > 5);
        match &seen[..] {
            [ReplayEvent::Snapshot(500, bytes)] => assert_eq!(&bytes[..], b"who wrote what"),
            other => panic!("{other:?}"),
        }
        log.close().await.unwrap();
        assert_eq!(
            drive.metrics().checkpoints,
            0,
            "nothing changed, nothing is written"
        );
    });
}

#[test]
fn a_drive_has_one_process_and_keeps_its_id() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let id = drive.id();
        assert!(!drive.was_clean());
        let second = Drive::open(&path, drive_config()).await;
        match second {
            Err(DriveError::Locked(error)) => assert!(error.to_string().contains("in use")),
            other => panic!("{other:?}"),
        }
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        assert!(matches!(
            drive.close(true).await,
            Err(DriveError::LogsOpen { open: 1, .. })
        ));
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        drop(drive);
        let drive = open_drive(&path).await;
        assert_eq!(drive.id(), id);
        assert!(drive.was_clean());
        drive.close(false).await.unwrap();
        let drive = open_drive(&path).await;
        assert!(!drive.was_clean());
        drive.close(true).await.unwrap();
        let identity = path.join("drive.properties");
        let text = std::fs::read_to_string(&identity).unwrap();
        std::fs::write(
            &identity,
            text.replace("format.version=1", "format.version=2"),
        )
        .unwrap();
        let damaged = Drive::open(&path, drive_config()).await;
        assert!(
            matches!(damaged, Err(DriveError::Identity { .. })),
            "{damaged:?}"
        );
    });
}

#[test]
fn what_may_not_be_seen_is_not_given() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        for _ in 0..10 {
            append(&log, 10, 100);
        }
        let visible = |from, upto| match log.read(from, upto, 1 << 20, true) {
            Read::Tail(parts) => Some(parts.len()),
            Read::Empty => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(visible(0, 0), None);
        assert_eq!(
            visible(0, 35),
            Some(3),
            "whole batches below the visible end"
        );
        assert_eq!(visible(35, 100), Some(7));
        assert_eq!(visible(100, 100), None);
        assert!(matches!(log.read(101, 200, 1, true), Read::OutOfRange));
        assert!(matches!(log.read(-1, 200, 1, true), Read::OutOfRange));
        written(&log).await;
        log.close().await.unwrap();
        assert!(matches!(log.read(0, 100, 1, true), Read::Unavailable(_)));
        let bytes = batch_of(100, 1, 1, 0);
        let refused = log.append(bytes.clone(), &info(&bytes));
        assert!(matches!(refused, Err(AppendError::Closed { .. })));
    });
}

#[test]
fn a_batch_larger_than_a_write_and_a_segment_is_kept() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let config = LogConfig {
            segment_bytes: 1 << 20,
            ..LogConfig::default()
        };
        let log = Log::create(&drive, &name("t", 0), config.clone())
            .await
            .unwrap();
        let mut all = Vec::new();
        for size in [100, 3 << 20, 200, 5_000_000, 10] {
            all.extend_from_slice(&append(&log, 1, size));
        }
        written(&log).await;
        assert_eq!(log.segments(), 5);
        log.close().await.unwrap();
        let log = open_log(&drive, config).await;
        assert_eq!(read_all(&log, 0, 1000).await, all);
        assert_eq!(
            read_once(&log, 1, 1).await.len(),
            batch_of(1, 1, 3 << 20, 0).len()
        );
        let none = match log.read(1, 5, 1, false) {
            Read::Cold(read) => read.run().await.unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(none.is_empty(), "without at_least_one nothing fits");
        log.close().await.unwrap();
    });
}

#[test]
fn flushes_come_as_the_settings_say() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let each = LogConfig {
            flush_messages: 1,
            ..LogConfig::default()
        };
        let log = Log::create(&drive, &name("each", 0), each).await.unwrap();
        for _ in 0..50 {
            append(&log, 2, 500);
        }
        until("all flushed", || log.stable_end() == 100).await;
        assert_eq!(log.end().flushed(), 100);
        assert!(log.metrics().syncs < 50, "flushes are grouped");

        let timed = LogConfig {
            flush_ms: 20,
            ..LogConfig::default()
        };
        let log = Log::create(&drive, &name("timed", 1), timed).await.unwrap();
        append(&log, 2, 500);
        written(&log).await;
        assert_eq!((log.stable_end(), log.end().flushed()), (2, 0));
        until("flushed in time", || log.end().flushed() == 2).await;

        let never = LogConfig::default();
        let log = Log::create(&drive, &name("never", 2), never).await.unwrap();
        append(&log, 2, 500);
        written(&log).await;
        rt::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(log.end().flushed(), 0);
        log.flush().await.unwrap();
        assert_eq!(log.end().flushed(), 2);
    });
}

#[test]
fn a_deleted_log_is_gone_and_its_name_is_free() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let again = Log::create(&drive, &name("t", 0), LogConfig::default()).await;
        assert!(matches!(again, Err(LogError::Exists { .. })));
        for _ in 0..100 {
            append(&log, 1, 10_000);
        }
        log.delete().await.unwrap();
        assert!(drive.logs().await.unwrap().is_empty());
        assert!(!log.path().exists());
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        assert_eq!(log.end().appended(), 0);
        append(&log, 1, 10);
        written(&log).await;
        assert_eq!(drive.health(), Health::Online);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        // A deletion that a stop interrupted is completed by the next start.
        let half = path.join("~deleted.3.AAAAAAAAAAAAAAAAAAAAAQ");
        std::fs::create_dir(&half).unwrap();
        std::fs::write(half.join("00000000000000000000.log"), b"x").unwrap();
        let drive = open_drive(&path).await;
        assert!(!half.exists());
        drop(drive);
    });
}

#[test]
fn the_longest_topic_name_survives_a_restart() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let name = name(&"x".repeat(249), 3);
        let log = Log::create(&drive, &name, LogConfig::default())
            .await
            .unwrap();
        log.close().await.unwrap();
        let dirs = drive.logs().await.unwrap();
        assert_eq!(
            (&dirs[0].topic, dirs[0].topic_id),
            (&name.topic, Some(name.topic_id))
        );
    });
}
