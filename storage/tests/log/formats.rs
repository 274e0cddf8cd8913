//! Drives that earlier releases wrote, one folder per format version beside these tests, still
//! open. `STORAGE_WRITE_FIXTURE=<folder>` writes one of the present version.

use std::path::Path;

use bytes::Bytes;
use storage::{Log, LogConfig, ReplayEvent, id_text};

use crate::fixture::*;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 9_000,
        index_interval_bytes: 1000,
        ..LogConfig::default()
    }
}

async fn write(path: &Path) {
    let drive = open_drive(path).await;
    let log = Log::create(&drive, &name("fixture", 0), config())
        .await
        .unwrap();
    let owner = Owner::of(&log);
    *owner.state.borrow_mut() = Some(Bytes::from_static(b"the owner's state"));
    for at in 0..40 {
        append_at(&log, 2, 150, 1_700_000_000_000 + at * 1000);
    }
    written(&log).await;
    log.delete_records_before(7).await.unwrap();
    log.close().await.unwrap();
    drive.close(true).await.unwrap();
}

#[test]
fn a_drive_of_format_1_opens() {
    if let Some(to) = std::env::var_os("STORAGE_WRITE_FIXTURE") {
        return on_disk(async move |_| write(Path::new(&to)).await);
    }
    on_disk(async |path| {
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
        let copy = path.join("copy");
        copy_folder(&stored, &copy);
        let drive = open_drive(&copy).await;
        let identity = std::fs::read_to_string(stored.join("drive.properties")).unwrap();
        assert!(identity.contains(&id_text(drive.id())), "{identity}");
        assert!(drive.was_clean());
        let (log, seen) = open_log_seen(&drive, config()).await;
        match &seen[..] {
            [ReplayEvent::Snapshot(80, state)] => assert_eq!(&state[..], b"the owner's state"),
            other => panic!("{other:?}"),
        }
        assert_eq!(log.name(), &name("fixture", 0));
        assert_eq!((log.log_start(), log.end().flushed()), (7, 80));
        assert_eq!(log.epoch_end(1), (1, 80));
        let expected: Vec<u8> = (3..40)
            .flat_map(|at| batch_of(at * 2, 2, 150, 1_700_000_000_000 + at * 1000))
            .collect();
        assert!(read_all(&log, 7, 1000).await == expected);
        let timed = log.offset_for_time(1_700_000_030_001, 80).await.unwrap();
        assert_eq!(timed.map(|found| found.offset), Some(61));
        let metrics = drive.metrics();
        assert_eq!(metrics.indexes_rebuilt, 0, "its indexes are believed");
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
    });
}
