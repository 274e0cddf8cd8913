//! Logs on a real drive.

use std::path::Path;
use std::rc::Rc;

use rt::sync::Notify;
use storage::{
    Drive, DriveConfig, Log, LogConfig, LogEnd, LogFailure, LogName, LogOwner, ReplayEvent,
    TailBudget,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::load::Feed;

/// An empty folder, removed when dropped: in `BENCH_DIR` where that is set, else in `default`
/// (cargo's folder for such things: on a real drive mostly, while /tmp may be memory).
pub fn folder(default: &str) -> TempDir {
    let parent = std::env::var_os("BENCH_DIR").unwrap_or_else(|| default.into());
    tempfile::tempdir_in(&parent).expect("BENCH_DIR, or cargo's folder, takes a new folder")
}

/// Settings of a drive whose logs keep up to `hot` bytes of records in memory.
pub fn drive_config(hot: usize) -> DriveConfig {
    DriveConfig::new(TailBudget::new(hot))
}

/// Opens a drive.
pub async fn open_drive(path: &Path, config: DriveConfig) -> Drive {
    Drive::open(path, config).await.expect("the drive opens")
}

/// Makes a log; no two on a drive may have the same number.
pub async fn create_log(drive: &Drive, number: i32, config: LogConfig) -> Log {
    let name = LogName {
        topic: "bench".to_owned(),
        partition: number,
        topic_id: Uuid::from_u128(0xbe9c),
    };
    let created = Log::create(drive, &name, config).await;
    created.expect("the log is made")
}

/// Opens the drive's only log; gives back how many batches had to be read for that.
pub async fn open_log(drive: &Drive, config: LogConfig) -> (Log, u64) {
    let dirs = drive.logs().await.expect("the drive is listed");
    let [dir] = &dirs[..] else {
        panic!("not one log, but {}", dirs.len());
    };
    let mut batches = 0;
    let mut replay = |event| batches += u64::from(matches!(event, ReplayEvent::Batch(_)));
    let opened = Log::open(drive, dir, config, &mut replay).await;
    (opened.expect("the log opens"), batches)
}

/// Wakes whoever waits for a log to come further.
#[derive(Debug, Default)]
pub struct Owner(Notify);

impl Owner {
    /// An owner of all these logs.
    pub fn of<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Rc<Self> {
        let owner = Rc::new(Self::default());
        let weak = Rc::downgrade(&owner);
        for log in logs {
            log.set_owner(weak.clone());
        }
        owner
    }

    /// Waits until at most `behind` offsets of the log are appended and not stored. For one task.
    pub async fn catch_up(&self, log: &Log, behind: i64) {
        while log.end().appended() - log.stable_end() > behind {
            self.0.notified().await;
        }
    }
}

impl LogOwner for Owner {
    fn moved(&self, _: LogEnd) {
        self.0.notify_one();
    }

    fn failed(&self, failure: &LogFailure) {
        panic!("the drive under a benchmark failed: {failure:?}");
    }

    fn snapshot(&self) -> Option<bytes::Bytes> {
        None
    }
}

/// Appends a batch at the log's end.
pub fn append(log: &Log, feed: &Feed) {
    let (bytes, info) = feed.at(log.end().appended());
    log.append(bytes, &info).expect("the log takes the batch");
}
