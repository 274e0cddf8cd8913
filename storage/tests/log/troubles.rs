//! Drives that fill or fail, many logs on one drive, bounded memory and files.

use crate::fixture::*;
use storage::{
    AppendError, Drive, DriveConfig, Health, Log, LogConfig, LogError, LogFailure, Read, ReadError,
    TailBudget,
};

#[test]
fn a_full_drive_refuses_and_recovers_by_itself() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        let owner = Owner::of(&log);
        let first = append(&log, 3, 1000);
        written(&log).await;
        // From here on no file may grow; the first preallocation still has room.
        drive.set_reserve(u64::MAX);
        let mut all = first.to_vec();
        for _ in 0..10 {
            all.extend_from_slice(&append(&log, 1, 10_000));
        }
        written(&log).await;
        assert_eq!(drive.health(), Health::Online, "nothing had to grow");
        // More than there is room for.
        let end = log.end().written();
        for _ in 0..40 {
            append(&log, 1, 100_000);
        }
        until("full", || drive.health() == Health::Full).await;
        until("settled", || log.end().appended() == log.end().written()).await;
        let kept = log.end().written();
        assert!((end..end + 40).contains(&kept), "{kept}");
        let refused = LogFailure::Refused {
            from: kept,
            to: end + 40,
        };
        assert_eq!(owner.failures.borrow().clone(), [refused]);
        let bytes = batch_of(kept, 1, 10, 0);
        let full = log.append(bytes.clone(), &info(&bytes));
        assert!(matches!(full, Err(AppendError::DriveFull { .. })));
        assert!(!read_once(&log, 0, 1000).await.is_empty(), "reads go on");
        assert!(
            log.delete_records_before(1).await.is_ok(),
            "and room can be made"
        );
        drive.set_reserve(0);
        until("room again", || drive.health() == Health::Online).await;
        append(&log, 1, 10);
        written(&log).await;
        assert_eq!(
            log.end().written(),
            kept + 1,
            "refused offsets are given again"
        );
        assert_eq!(drive.metrics().full, 1);
        let before = read_all(&log, 3, 1 << 20).await;
        log.close().await.unwrap();
        let log = open_log(&drive, LogConfig::default()).await;
        assert!(read_all(&log, 3, 1 << 20).await == before);
        assert!(before.starts_with(&all[first.len()..]));
        log.close().await.unwrap();
    });
}

#[test]
fn a_drive_full_from_the_start_takes_nothing_and_loses_nothing() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let config = LogConfig {
            segment_bytes: 10_000,
            ..LogConfig::default()
        };
        let log = Log::create(&drive, &name("t", 0), config.clone())
            .await
            .unwrap();
        let owner = Owner::of(&log);
        drive.set_reserve(u64::MAX);
        for _ in 0..20 {
            // Several segments, none of which gets a file.
            append(&log, 1, 3000);
        }
        until("refused", || !owner.failures.borrow().is_empty()).await;
        assert_eq!(
            (log.end().appended(), log.size_bytes(), log.segments()),
            (0, 0, 1)
        );
        drive.set_reserve(0);
        until("room again", || drive.health() == Health::Online).await;
        let mut all = Vec::new();
        for _ in 0..20 {
            all.extend_from_slice(&append(&log, 1, 3000));
        }
        written(&log).await;
        log.close().await.unwrap();
        let log = open_log(&drive, config).await;
        assert!(read_all(&log, 0, 1 << 20).await == all);
        log.close().await.unwrap();
    });
}

#[test]
fn a_failed_write_takes_its_drive_offline_and_no_other() {
    on_disk(async |path| {
        let bad = open_drive(&path.join("bad")).await;
        let good = open_drive(&path.join("good")).await;
        let config = LogConfig::default;
        let first = Log::create(&bad, &name("t", 0), config()).await.unwrap();
        let second = Log::create(&bad, &name("t", 1), config()).await.unwrap();
        let third = Log::create(&good, &name("t", 2), config()).await.unwrap();
        let owners = [Owner::of(&first), Owner::of(&second), Owner::of(&third)];
        append(&second, 1, 10);
        written(&second).await;
        std::fs::remove_dir_all(first.path()).unwrap();
        append(&first, 1, 10);
        until("failed", || matches!(bad.health(), Health::Failed(_))).await;
        let told: Vec<_> = owners
            .iter()
            .map(|owner| owner.failures.borrow().len())
            .collect();
        assert_eq!(told, [1, 1, 0]);
        assert_eq!(
            first.end().written(),
            0,
            "what was not written is not said to be"
        );
        for log in [&first, &second] {
            let bytes = batch_of(log.end().appended(), 1, 1, 0);
            let refused = log.append(bytes.clone(), &info(&bytes));
            let Err(AppendError::DriveFailed(failed)) = refused else {
                panic!("{refused:?}");
            };
            assert!(failed.to_string().contains("cannot create"), "{failed}");
            let unread = log.read(0, 1, 1, true);
            assert!(
                matches!(unread, Read::Unavailable(ReadError::DriveFailed(_))),
                "{unread:?}"
            );
            assert!(matches!(log.flush().await, Err(LogError::DriveFailed(_))));
            assert!(log.close().await.is_err());
        }
        let refused = Log::create(&bad, &name("t", 9), config()).await;
        assert!(matches!(refused, Err(LogError::DriveFailed(_))));
        bad.close(true).await.unwrap();
        assert!(!bad.path().join(".clean-shutdown").exists());
        append(&third, 1, 10);
        written(&third).await;
        third.close().await.unwrap();
        good.close(true).await.unwrap();
        assert!(good.path().join(".clean-shutdown").exists());
    });
}

#[test]
fn many_logs_share_bounded_memory_and_files() {
    on_disk(async |path| {
        let budget = TailBudget::new(300_000);
        let config = || DriveConfig {
            reserve_bytes: 0,
            open_files: 16,
            write_bytes: 64 << 10,
            ..DriveConfig::new(budget.clone())
        };
        let drive = Drive::open(&path, config()).await.unwrap();
        let mut logs = Vec::new();
        for at in 0..150 {
            let log = Log::create(&drive, &name("t", at), LogConfig::default()).await;
            logs.push((log.unwrap(), Vec::new()));
        }
        for round in 0..6 {
            for (log, all) in &mut logs {
                all.extend_from_slice(&append(log, 2, 500 + round * 100));
            }
            for (log, _) in &logs {
                written(log).await;
            }
            assert!(budget.used() <= 300_000, "{budget:?}");
            assert_eq!(budget.unwritten(), 0);
        }
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let open = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        let open = open.filter(|target| target.starts_with(&path) && target.ends_with(".log"));
        let suffix = |target: &std::path::PathBuf| target.to_string_lossy().ends_with(".log");
        assert!(open.filter(suffix).count() <= 16);
        for (log, all) in &logs {
            assert!(read_all(log, 0, 4000).await == *all, "{}", log.name());
        }
        for (log, _) in &logs {
            log.close().await.unwrap();
        }
        assert_eq!(budget.used(), 0);
        drive.close(true).await.unwrap();
        let drive = Drive::open(&path, config()).await.unwrap();
        for dir in drive.logs().await.unwrap() {
            let log = Log::open(&drive, &dir, LogConfig::default(), &mut |_| {})
                .await
                .unwrap();
            let (_, all) = &logs[dir.partition as usize];
            assert!(read_all(&log, 0, 4000).await == *all);
            log.close().await.unwrap();
        }
    });
}

#[test]
fn what_comes_while_a_write_is_in_flight_goes_together() {
    on_disk(async |path| {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), LogConfig::default())
            .await
            .unwrap();
        for _ in 0..1000 {
            append(&log, 1, 1000);
        }
        written(&log).await;
        assert!(log.metrics().writes <= 4, "{:?}", log.metrics());
        let one = log.metrics().writes;
        append(&log, 1, 10);
        written(&log).await;
        assert_eq!(log.metrics().writes, one + 1);
        assert_eq!(log.backlog(), 0);
        log.close().await.unwrap();
    });
}
