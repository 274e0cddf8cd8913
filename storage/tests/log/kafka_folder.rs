//! A partition's folder as a stopped Kafka leaves it opens here.

use std::path::{Path, PathBuf};

use crate::fixture::*;
use storage::{Log, LogConfig, LogError, ReplayEvent, id_text, parse_id};

/// A folder as Kafka writes it: two segments of different sizes, indexes of which the last ones
/// are preallocated and not trimmed, a snapshot, epochs, the topic's id.
fn kafka_folder(drive: &Path) -> (PathBuf, Vec<u8>) {
    let folder = drive.join("orders.eu-3");
    std::fs::create_dir_all(&folder).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let (mut all, mut base) = (Vec::new(), 0);
    for (segment, batches) in [(0, 200), (600, 7)] {
        assert_eq!(segment, base);
        let (mut log, mut index, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..batches {
            let bytes = batch_of(base, 3, 300, 1_700_000_000_000 + base);
            if at % 5 == 4 {
                let last = (base + 2 - segment) as u32;
                index.extend_from_slice(&last.to_be_bytes());
                index.extend_from_slice(&(log.len() as u32).to_be_bytes());
                times.extend_from_slice(&info(&bytes).max_timestamp.to_be_bytes());
                times.extend_from_slice(&last.to_be_bytes());
            }
            log.extend_from_slice(&bytes);
            base += 3;
        }
        if segment == 600 {
            index.resize(10_240, 0);
            times.resize(12_000, 0);
        }
        put(&format!("{segment:020}.log"), &log);
        put(&format!("{segment:020}.index"), &index);
        put(&format!("{segment:020}.timeindex"), &times);
        all.extend_from_slice(&log);
    }
    put("00000000000000000600.snapshot", b"kafka's producers");
    put(
        "00000000000000000621.snapshot",
        b"kafka's producers at the end",
    );
    put("leader-epoch-checkpoint", b"0\n1\n1 0\n");
    put(
        "partition.metadata",
        b"version: 0\ntopic_id: 4Tq1yRwlSLeNzRAzP6AsfA",
    );
    (folder, all)
}

#[test]
fn it_becomes_one_of_ours() {
    on_disk(async |path| {
        let (folder, all) = kafka_folder(&path);
        let drive = open_drive(&path).await;
        let dirs = drive.logs().await.unwrap();
        assert_eq!(
            (dirs[0].topic.as_str(), dirs[0].partition),
            ("orders.eu", 3)
        );
        assert!(dirs[0].kafka);
        assert_eq!(dirs[0].topic_id, parse_id("4Tq1yRwlSLeNzRAzP6AsfA"));
        let (log, seen) = open_log_seen(&drive, LogConfig::default()).await;
        assert!(!folder.exists());
        assert!(log.path().ends_with("orders.eu-3.4Tq1yRwlSLeNzRAzP6AsfA"));
        assert_eq!((log.log_start(), log.end().appended()), (0, 621));
        match &seen[0] {
            ReplayEvent::Snapshot(600, bytes) => assert_eq!(&bytes[..], b"kafka's producers"),
            other => panic!("{other:?}"),
        }
        assert_eq!(seen.len(), 8, "the last segment's batches");
        assert_eq!(log.epoch_end(1), (1, 621));
        for from in [0, 1, 299, 599, 600, 620] {
            let first = info(&read_once(&log, from, 1).await);
            assert!((first.base_offset..=first.last_offset).contains(&from));
        }
        assert!(read_all(&log, 0, 50_000).await == all);
        let timed = log
            .offset_for_time(1_700_000_000_300, 621)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(timed.offset, 300);
        let before = std::fs::read(files(log.path(), "600.log").remove(0)).unwrap();
        let more = append(&log, 2, 100);
        written(&log).await;
        assert_eq!(
            files(log.path(), ".log").len(),
            3,
            "new records go to a new segment"
        );
        log.close().await.unwrap();
        assert!(std::fs::read(files(log.path(), "600.log").remove(0)).unwrap() == before);
        drive.close(true).await.unwrap();

        let drive = open_drive(&path).await;
        let dirs = drive.logs().await.unwrap();
        assert!(!dirs[0].kafka);
        let (log, seen) = open_log_seen(&drive, LogConfig::default()).await;
        assert!(seen.is_empty(), "the owner kept nothing");
        assert_eq!(drive.metrics().read_bytes, 0);
        assert!(read_all(&log, 0, 50_000).await == [all, more.to_vec()].concat());
        log.close().await.unwrap();
    });
}

#[test]
fn an_empty_one_and_one_with_an_empty_segment_open() {
    on_disk(async |path| {
        let (folder, _) = kafka_folder(&path);
        // Rolled, preallocated, and not written to.
        std::fs::write(folder.join("00000000000000000621.log"), vec![0; 1 << 20]).unwrap();
        std::fs::write(folder.join("00000000000000000621.index"), vec![0; 1024]).unwrap();
        let drive = open_drive(&path).await;
        let log = open_log(&drive, LogConfig::default()).await;
        assert_eq!(log.end().appended(), 621);
        append(&log, 2, 100);
        written(&log).await;
        assert_eq!(info(&read_once(&log, 621, 1).await).base_offset, 621);
        log.close().await.unwrap();

        let empty = path.join("second");
        let folder = empty.join("nothing-0");
        std::fs::create_dir_all(&folder).unwrap();
        let drive = open_drive(&empty).await;
        let dirs = drive.logs().await.unwrap();
        assert_eq!(dirs[0].topic_id, None);
        let refused = Log::open(&drive, &dirs[0], LogConfig::default(), &mut |_| {}).await;
        assert!(matches!(refused, Err(LogError::NoTopicId { .. })));
        let mut told = dirs[0].clone();
        told.topic_id = Some(name("x", 0).topic_id);
        let log = Log::open(&drive, &told, LogConfig::default(), &mut |_| {})
            .await
            .unwrap();
        assert_eq!(log.end().appended(), 0);
        let text = std::fs::read_to_string(log.path().join("partition.metadata")).unwrap();
        assert!(text.ends_with(&id_text(name("x", 0).topic_id)));
        log.close().await.unwrap();
    });
}

#[test]
fn records_deleted_in_kafka_stay_deleted() {
    on_disk(async |path| {
        kafka_folder(&path);
        let entry = "0\n2\norders.eu 2 9\norders.eu 3 333\n";
        std::fs::write(path.join("log-start-offset-checkpoint"), entry).unwrap();
        let drive = open_drive(&path).await;
        let log = open_log(&drive, LogConfig::default()).await;
        assert_eq!((log.log_start(), log.end().appended()), (333, 621));
        // Killed before it has a checkpoint of its own; Kafka's file means nothing any more.
        std::fs::remove_file(path.join("log-start-offset-checkpoint")).unwrap();
        let folder = log.path().to_owned();
        log.close().await.unwrap();
        std::fs::remove_file(folder.join("checkpoint")).unwrap();
        let log = open_log(&drive, LogConfig::default()).await;
        assert_eq!((log.log_start(), log.end().appended()), (333, 621));
        log.close().await.unwrap();
    });
}

#[test]
fn a_segment_without_records_leaves_no_index_alone() {
    on_disk(async |path| {
        let folder = path.join("nothing-0");
        std::fs::create_dir_all(&folder).unwrap();
        for kind in ["log", "index", "timeindex"] {
            let file = folder.join(format!("00000000000000000000.{kind}"));
            std::fs::write(file, []).unwrap();
        }
        let id = b"version: 0\ntopic_id: 4Tq1yRwlSLeNzRAzP6AsfA";
        std::fs::write(folder.join("partition.metadata"), id).unwrap();
        let drive = open_drive(&path).await;
        let log = open_log(&drive, LogConfig::default()).await;
        let folder = log.path().to_owned();
        log.close().await.unwrap();
        for kind in ["log", "index", "timeindex"] {
            assert!(files(&folder, kind).is_empty(), "{kind}");
        }
    });
}

#[test]
fn what_cannot_be_taken_over_is_refused_and_left_alone() {
    on_disk(async |path| {
        let (folder, _) = kafka_folder(&path);
        let drive = open_drive(&path).await;
        let dirs = drive.logs().await.unwrap();
        let segment = folder.join("00000000000000000000.log");
        let good = std::fs::read(&segment).unwrap();
        let mut old = good.clone();
        old[16] = 1;
        std::fs::write(&segment, old).unwrap();
        let refused = Log::open(&drive, &dirs[0], LogConfig::default(), &mut |_| {}).await;
        assert!(
            matches!(refused, Err(LogError::OldFormat { magic: 1, .. })),
            "{refused:?}"
        );
        std::fs::write(&segment, good).unwrap();
        let swap = folder.join("00000000000000000000.log.swap");
        std::fs::write(&swap, b"x").unwrap();
        let refused = Log::open(&drive, &dirs[0], LogConfig::default(), &mut |_| {}).await;
        assert!(
            matches!(refused, Err(LogError::KafkaUnfinished { .. })),
            "{refused:?}"
        );
        assert!(folder.exists());
        std::fs::remove_file(swap).unwrap();
        let log = open_log(&drive, LogConfig::default()).await;
        assert_eq!(log.end().appended(), 621);
        log.close().await.unwrap();
    });
}
