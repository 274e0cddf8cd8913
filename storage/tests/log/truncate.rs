//! Cutting a log back: what is cut off never comes back, and a kill in between leaves a log without
//! a hole.

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::fixture::*;
use bytes::Bytes;
use storage::{Drive, Log, LogConfig, LogError, Read, ReplayEvent};

const T0: i64 = 1_700_000_000_000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 1000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

/// A log of 100 batches of two records in segments of about 20 kB, its owner, and the bytes.
async fn filled(drive: &Drive) -> (Log, std::rc::Rc<Owner>, Vec<Bytes>) {
    let log = Log::create(drive, &name("t", 0), config()).await.unwrap();
    let owner = Owner::of(&log);
    let mut all = Vec::new();
    for at in 0..100 {
        all.push(append_at(&log, 2, 500, T0 + at * 1000));
        if at % 10 == 0 {
            written(&log).await;
        }
    }
    written(&log).await;
    (log, owner, all)
}

fn nothing_told(event: ReplayEvent) {
    panic!("the owner has no state: {event:?}");
}

#[test]
fn a_batch_is_cut_off_whole_and_offsets_are_given_again() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, all) = filled(&drive).await;
        let end = log.truncate_to(131, &mut nothing_told).await.unwrap();
        assert_eq!(end, 130);
        assert_eq!(log.end(), storage::LogEnd::at(130));
        assert!(matches!(log.read(131, 200, 1000, true), Read::OutOfRange));
        let mut expected = all[..65].concat();
        assert_eq!(read_all(&log, 0, 10_000).await, expected);
        // As long as what was there, of another time.
        for at in 0..10 {
            expected.extend_from_slice(&append_at(&log, 2, 500, T0 - 1_000_000 + at));
        }
        written(&log).await;
        assert_eq!(read_all(&log, 0, 10_000).await, expected);
        let found = log.offset_for_time(T0 + 64_500, 150).await.unwrap();
        assert_eq!(found, None, "the times of what was cut off are forgotten");
        copy_folder(&path, &path.with_extension("killed"));
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        for path in [path.clone(), path.with_extension("killed")] {
            let drive = open_drive(&path).await;
            let log = open_log(&drive, config()).await;
            assert_eq!(log.end().appended(), 150);
            assert_eq!(read_all(&log, 0, 10_000).await, expected);
            log.close().await.unwrap();
            drive.close(true).await.unwrap();
        }
        std::fs::remove_dir_all(path.with_extension("killed")).unwrap();
    });
}

#[test]
fn the_end_and_beyond_cut_nothing_and_the_start_cuts_all() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, all) = filled(&drive).await;
        for offset in [200, 1000] {
            let end = log.truncate_to(offset, &mut nothing_told).await;
            assert_eq!(end.unwrap(), 200);
        }
        assert_eq!(read_all(&log, 0, 10_000).await, all.concat());
        assert_eq!(log.truncate_to(1, &mut nothing_told).await.unwrap(), 0);
        assert_eq!((log.log_start(), log.size_bytes()), (0, 0));
        assert!(matches!(log.read(0, 0, 1000, true), Read::Empty));
        log.close().await.unwrap();
    });
}

#[test]
fn a_log_begins_anew_where_it_is_told() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, _) = filled(&drive).await;
        log.assign_epoch(7, 200);
        log.start_over(5000).await.unwrap();
        assert_eq!(log.latest_epoch(), None, "no epoch is left");
        let more = append(&log, 3, 100);
        written(&log).await;
        assert_eq!((log.log_start(), log.end().written()), (5000, 5003));
        assert!(matches!(log.read(199, 5003, 1000, true), Read::OutOfRange));
        log.close().await.unwrap();
        let log = open_log(&drive, config()).await;
        assert_eq!((log.log_start(), log.end().written()), (5000, 5003));
        assert_eq!(read_all(&log, 5000, 10_000).await, more);
        log.close().await.unwrap();
    });
}

#[test]
fn epochs_end_where_the_log_does() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, _) = filled(&drive).await;
        log.assign_epoch(4, 200);
        append(&log, 1, 10);
        written(&log).await;
        log.truncate_to(150, &mut nothing_told).await.unwrap();
        assert_eq!(log.latest_epoch(), Some(1));
        assert_eq!(log.epoch_end(1), (1, 150));
        log.close().await.unwrap();
    });
}

#[test]
fn an_epoch_without_records_goes_where_nothing_else_does() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, _) = filled(&drive).await;
        log.assign_epoch(4, 200);
        assert_eq!(log.truncate_to(200, &mut nothing_told).await.unwrap(), 200);
        assert_eq!(log.latest_epoch(), Some(1));
        log.close().await.unwrap();
    });
}

#[test]
fn an_owner_is_told_what_is_left() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, owner, _) = filled(&drive).await;
        *owner.state.borrow_mut() = Some(Bytes::from_static(b"as of 200"));
        log.checkpoint().await.unwrap();
        let mut told = Vec::new();
        log.truncate_to(100, &mut |event| told.push(event))
            .await
            .unwrap();
        // The snapshot is of what was cut off: all is told that is left.
        let offsets = told.iter().map(|event| match event {
            ReplayEvent::Batch(info) => info.base_offset,
            ReplayEvent::Snapshot(offset, _) => panic!("a snapshot as of {offset}"),
        });
        assert!(offsets.eq((0..100).step_by(2)));
        *owner.state.borrow_mut() = Some(Bytes::from_static(b"as of 100"));
        log.checkpoint().await.unwrap();
        append(&log, 1, 10);
        append(&log, 1, 10);
        written(&log).await;
        let mut told = Vec::new();
        log.truncate_to(101, &mut |event| told.push(event))
            .await
            .unwrap();
        let [ReplayEvent::Snapshot(100, bytes), ReplayEvent::Batch(info)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!((&bytes[..], info.base_offset), (&b"as of 100"[..], 100));
        log.close().await.unwrap();
    });
}

#[test]
fn who_waits_for_what_is_cut_off_to_be_flushed_is_told() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let (log, _owner, _) = filled(&drive).await;
        let flush = {
            let log = log.clone();
            async move { log.flush().await }
        };
        let mut flush = pin!(flush);
        // It has begun to wait when the cut begins.
        assert!(poll(flush.as_mut()).is_pending());
        log.truncate_to(50, &mut nothing_told).await.unwrap();
        let flushed = flush.await;
        let refused = matches!(flushed, Err(LogError::Refused { .. }));
        assert!(refused || flushed.is_ok(), "{flushed:?}");
        append(&log, 1, 10);
        log.flush().await.unwrap();
        assert_eq!(log.end().flushed(), 51);
        log.close().await.unwrap();
    });
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Opens a copy of what a kill left, and says what it holds.
async fn after_kill(live: &Path, at: &Path) -> (i64, Vec<u8>) {
    copy_folder(live, at);
    let drive = open_drive(at).await;
    let log = open_log(&drive, config()).await;
    let (start, end) = (log.log_start(), log.end().appended());
    let all = read_all(&log, start, 10_000).await;
    log.close().await.unwrap();
    drive.close(false).await.unwrap();
    std::fs::remove_dir_all(at).unwrap();
    assert!(end == start || !all.is_empty());
    (start, all)
}

#[test]
fn a_kill_in_the_middle_leaves_a_log_without_a_hole() {
    on_disk(async |path| {
        for (round, cut) in [131_i64, 0, 160, 40].into_iter().enumerate() {
            let live = path.join(format!("live{round}"));
            let drive = open_drive(&live).await;
            let (log, _owner, all) = filled(&drive).await;
            log.checkpoint().await.unwrap();
            let whole = all.concat();
            let left = all[..cut as usize / 2].concat();
            let mut told = nothing_told;
            let mut truncation = pin!(log.truncate_to(cut, &mut told));
            let mut steps = 0;
            while poll(truncation.as_mut()).is_pending() {
                // What it has begun comes to its end, and nothing else begins.
                rt::time::sleep(Duration::from_millis(3)).await;
                steps += 1;
                let (start, found) = after_kill(&live, &path.join("killed")).await;
                assert_eq!(start, 0, "cut to {cut}, step {steps}");
                let prefix = whole.starts_with(&found) && found.starts_with(&left);
                assert!(prefix, "cut to {cut}, step {steps}: {} bytes", found.len());
            }
            assert!(steps > 5, "{steps} steps");
            let (_, found) = after_kill(&live, &path.join("killed")).await;
            assert_eq!(found.len(), left.len(), "cut to {cut}");
            log.close().await.unwrap();
        }
    });
}
