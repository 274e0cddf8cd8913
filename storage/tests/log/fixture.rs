//! What the tests of this crate share: an executor on a folder of the real disk, batches, and an
//! owner that remembers what it was told.

use std::cell::RefCell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use batch::{BatchInfo, Builder, Compression, NewRecord};
use bytes::Bytes;
use rt::executor::{self, ExecutorConfig};
use storage::{
    Drive, DriveConfig, Log, LogConfig, LogDir, LogEnd, LogFailure, LogName, LogOwner, Read,
    ReplayEvent, TailBudget,
};
use uuid::Uuid;

/// Runs a test on an executor of its own, in an empty folder of the disk the build is on.
pub(crate) fn on_disk<T, Fut>(test: impl FnOnce(PathBuf) -> Fut + Send + 'static) -> T
where
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().to_owned();
    let config = ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 4 << 20,
        ..ExecutorConfig::default()
    };
    executor::run(config, move || test(path)).unwrap()
}

pub(crate) fn drive_config() -> DriveConfig {
    DriveConfig {
        reserve_bytes: 0,
        full_check: Duration::from_millis(5),
        ..DriveConfig::new(TailBudget::new(64 << 20))
    }
}

pub(crate) async fn open_drive(path: &Path) -> Drive {
    Drive::open(path, drive_config()).await.unwrap()
}

pub(crate) fn name(topic: &str, partition: i32) -> LogName {
    LogName {
        topic: topic.to_owned(),
        partition,
        topic_id: Uuid::from_u128(0xabcd_0000 + partition as u128),
    }
}

/// A batch of `count` records of `size` bytes, the first of `timestamp`, each a millisecond later.
pub(crate) fn batch_of(base: i64, count: usize, size: usize, timestamp: i64) -> Bytes {
    let mut builder = Builder::new(Compression::None)
        .base_offset(base)
        .leader_epoch(1);
    for at in 0..count {
        let value: Vec<u8> = (0..size)
            .map(|i| (base as usize * 31 + at + i) as u8)
            .collect();
        builder.push(NewRecord {
            timestamp: timestamp + at as i64,
            value: Some(&value),
            ..NewRecord::default()
        });
    }
    builder.build().unwrap()
}

pub(crate) fn info(bytes: &[u8]) -> BatchInfo {
    batch::Batch::parse(bytes).unwrap().info()
}

/// Appends a batch at the end; gives back its bytes.
pub(crate) fn append(log: &Log, count: usize, size: usize) -> Bytes {
    append_at(log, count, size, 1_700_000_000_000)
}

pub(crate) fn append_at(log: &Log, count: usize, size: usize, timestamp: i64) -> Bytes {
    let bytes = batch_of(log.end().appended(), count, size, timestamp);
    log.append(bytes.clone(), &info(&bytes)).unwrap();
    bytes
}

/// Waits until everything appended is written.
pub(crate) async fn written(log: &Log) {
    while log.end().written() < log.end().appended() {
        rt::time::sleep(Duration::from_micros(200)).await;
    }
}

/// Waits, five seconds at most, until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        rt::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}

pub(crate) async fn open_log(drive: &Drive, config: LogConfig) -> Log {
    open_log_seen(drive, config).await.0
}

/// The same, with an owner that keeps nothing.
pub(crate) async fn open_log_seen(drive: &Drive, config: LogConfig) -> (Log, Vec<ReplayEvent>) {
    let (log, seen) = open_unowned(drive, config).await;
    // Kept to the end of the process, as a log's owner outlives it.
    std::mem::forget(Owner::of(&log));
    (log, seen)
}

/// Opens the drive's only log, and gives back what its owner was told.
pub(crate) async fn open_unowned(drive: &Drive, config: LogConfig) -> (Log, Vec<ReplayEvent>) {
    let dirs: Vec<LogDir> = drive.logs().await.unwrap();
    assert_eq!(dirs.len(), 1, "{dirs:?}");
    let mut seen = Vec::new();
    let log = Log::open(drive, &dirs[0], config, &mut |event| seen.push(event)).await;
    (log.unwrap(), seen)
}

/// All batches of the log from `from` on, by as many reads as it takes.
pub(crate) async fn read_all(log: &Log, mut from: i64, max: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while from < log.end().written() {
        let read = read_once(log, from, max).await;
        assert!(!read.is_empty(), "nothing at {from}");
        for batch in batch::batches(&read) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.next_offset() > from, "a batch before the offset");
            from = batch.next_offset();
        }
        all.extend_from_slice(&read);
    }
    all
}

pub(crate) async fn read_once(log: &Log, from: i64, max: usize) -> Vec<u8> {
    let parts = match log.read(from, log.end().written(), max, true) {
        Read::Tail(parts) => parts,
        Read::Cold(read) => read.run().await.unwrap(),
        other => panic!("{other:?}"),
    };
    parts.concat()
}

/// Copies a folder as a kill would leave it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_name() != ".lock" {
            // A background step may be at its small files: before it or after it, both are a kill.
            let copied = std::fs::copy(entry.path(), target);
            let vanished = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
            assert!(
                copied.is_ok() || copied.as_ref().is_err_and(vanished),
                "{copied:?}"
            );
        }
    }
}

/// Files of the log with this ending, in order.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

#[derive(Default)]
pub(crate) struct Owner {
    pub(crate) ends: RefCell<Vec<LogEnd>>,
    pub(crate) failures: RefCell<Vec<LogFailure>>,
    pub(crate) state: RefCell<Option<Bytes>>,
}

impl Owner {
    pub(crate) fn of(log: &Log) -> Rc<Self> {
        let owner = Rc::new(Self::default());
        let weak: Weak<Self> = Rc::downgrade(&owner);
        log.set_owner(weak);
        owner
    }
}

impl LogOwner for Owner {
    fn moved(&self, end: LogEnd) {
        self.ends.borrow_mut().push(end);
    }

    fn failed(&self, failure: &LogFailure) {
        self.failures.borrow_mut().push(failure.clone());
    }

    fn snapshot(&self) -> Option<Bytes> {
        self.state.borrow().clone()
    }
}
