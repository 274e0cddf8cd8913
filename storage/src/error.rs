//! What can go wrong, one enum per family of operations.

use std::io;
use std::path::{Path, PathBuf};

use rt::fs::DirLockError;

use crate::checkpoint::CheckpointError;

/// A drive could not be opened or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// Another process, or another drive of this one, holds the folder.
    #[error(transparent)]
    Locked(#[from] DirLockError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The identity file cannot be believed.
    #[error(
        "{} is damaged: {reason}; restore it from a backup, or remove it to give the drive a new \
         identity", path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later release wrote the drive.
    #[error(
        "{} has format {found}, this release knows up to {known}; start the release that wrote it",
        path.display()
    )]
    NewerFormat {
        /// The identity file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Logs are still open.
    #[error("{} has {open} open logs; close them before the drive", path.display())]
    LogsOpen {
        /// The drive.
        path: PathBuf,
        /// How many.
        open: usize,
    },
}

impl DriveError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// A log could not be made, opened, flushed, cleaned up, closed or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a log of this name and id.
    #[error("{} exists already", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// A partition that Kafka wrote has no topic id.
    #[error(
        "{} has no topic id: its partition.metadata is missing or unreadable; start a Kafka of \
         release 2.8 or later on it once, or tell the topic's id", path.display()
    )]
    NoTopicId {
        /// Its folder.
        path: PathBuf,
    },
    /// A partition that Kafka wrote has records of an old format.
    #[error(
        "{} holds records of format {magic}; only format 2 is read. Copy the topic with a Kafka of \
         release 3 (it converts), or delete the records", path.display()
    )]
    OldFormat {
        /// The segment.
        path: PathBuf,
        /// Its records' format.
        magic: i8,
    },
    /// Kafka was stopped in the middle of a compaction.
    #[error(
        "{} is a step of a compaction that Kafka did not finish; start Kafka on it once and stop \
         it cleanly", path.display()
    )]
    KafkaUnfinished {
        /// The leftover file.
        path: PathBuf,
    },
    /// A later release wrote the checkpoint.
    #[error("{}: {source}; start the release that wrote it", path.display())]
    NewerFormat {
        /// The checkpoint.
        path: PathBuf,
        /// Its version.
        #[source]
        source: UnknownVersion,
    },
    /// Part of what was to be flushed was refused for lack of space.
    #[error("{log}: records not written yet were refused because the drive is full")]
    Refused {
        /// The log.
        log: String,
    },
    /// Compaction was given up because something else had to be done to the log.
    #[error("the compaction of {log} was interrupted; it goes on by itself")]
    Interrupted {
        /// The log.
        log: String,
    },
    /// There is no room for what compaction writes.
    #[error(
        "{} has no room for {bytes} bytes, which compaction needs for a while: free some space", path.display()
    )]
    NoRoom {
        /// The drive.
        path: PathBuf,
        /// What is needed.
        bytes: u64,
    },
    /// Compaction has no memory for the keys of one batch.
    #[error(
        "the batch at or behind offset {offset} of {log} has more keys than the {capacity} there is \
         memory for: raise log.cleaner.dedupe.buffer.size"
    )]
    KeysDontFit {
        /// The log.
        log: String,
        /// Where its dirty part begins.
        offset: i64,
        /// How many keys fit.
        capacity: usize,
    },
    /// A compacted segment would be longer than an index can tell.
    #[error("{} would be longer than 2 GiB when it is compacted: lower segment.bytes for new ones", path.display())]
    SegmentTooLong {
        /// The segment.
        path: PathBuf,
    },
    /// An offset outside the log.
    #[error("offset {offset} is outside {log}, which ends at {end}")]
    OffsetOutOfRange {
        /// The log.
        log: String,
        /// The offset asked for.
        offset: i64,
        /// The end that counts.
        end: i64,
    },
    /// The log's drive has failed.
    #[error("{0}")]
    DriveFailed(DriveFailed),
    /// The log has no owner that could tell its state.
    #[error("{log} has no owner that could tell its state: set one first")]
    NoOwner {
        /// The log.
        log: String,
    },
    /// The log is closed.
    #[error("{log} is closed")]
    Closed {
        /// The log.
        log: String,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A version of a file that this release does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownVersion(String);

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn newer(path: &Path, error: &CheckpointError) -> Self {
        Self::NewerFormat {
            path: path.to_owned(),
            source: UnknownVersion(error.to_string()),
        }
    }
}

/// A drive that has failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "drive {} has failed: {reason}; its logs are offline until the process is restarted with the \
     drive repaired or left out", path.display()
)]
pub struct DriveFailed {
    /// The drive's folder.
    pub path: PathBuf,
    /// What failed.
    pub reason: String,
}

/// A batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log's drive has failed.
    #[error(transparent)]
    DriveFailed(DriveFailed),
    /// The log's drive is full. It recovers by itself when there is room.
    #[error("drive {} is full: free some space or lower the retention of its topics", path.display())]
    DriveFull {
        /// The drive's folder.
        path: PathBuf,
    },
    /// The log is closed.
    #[error("{log} is closed")]
    Closed {
        /// The log.
        log: String,
    },
    /// The batch is larger than the log takes.
    #[error("a batch of {size} bytes is larger than {log} takes ({limit})")]
    TooLarge {
        /// The log.
        log: String,
        /// The batch's size.
        size: usize,
        /// The largest that is taken.
        limit: usize,
    },
}

impl AppendError {
    /// Whether it is the drive that takes nothing, from any log it has, and not this log alone.
    pub fn is_of_drive(&self) -> bool {
        matches!(self, Self::DriveFailed(_) | Self::DriveFull { .. })
    }
}

/// Records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log's drive has failed.
    #[error(transparent)]
    DriveFailed(DriveFailed),
    /// The log is closed.
    #[error("{log} is closed")]
    Closed {
        /// The log.
        log: String,
    },
    /// The segment was deleted before it was read: the offset lies below the log's start now.
    #[error("offset {offset} was deleted from {log} before it was read")]
    Deleted {
        /// The log.
        log: String,
        /// The offset asked for.
        offset: i64,
    },
    /// The bytes on the drive are not what was written.
    #[error("{} is damaged at byte {position}: {reason}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where.
        position: u64,
        /// How it shows.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What a log tells its owner when it can't keep what was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFailure {
    /// There was no room to write these offsets, which were appended and never became visible.
    /// They will be given again: the end is back at `from`.
    Refused {
        /// First offset taken back.
        from: i64,
        /// The offset behind the last one taken back.
        to: i64,
    },
    /// The drive has failed; the log takes and gives nothing any more.
    DriveFailed(DriveFailed),
}

/// Whether an error says that the drive, or this user's share of it, is full.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}
