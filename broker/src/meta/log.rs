//! The metadata log: commits of records on a drive, made durable before anyone sees them.
//!
//! In its directory are log files and snapshots, both named by an offset. At a snapshot a new log
//! file is begun; the snapshot before the newest is kept with its log file, so that a damaged
//! snapshot costs nothing. Opening reads the newest snapshot that is whole and the commits after
//! it. A commit that was cut short by a crash was never acknowledged and is cut off; damage
//! anywhere else refuses to open, since to go on would forget what was promised.
//!
//! Lives on shard 0; one call at a time. A future of it must not be dropped halfway (the shell sees
//! to that).

use std::io;
use std::path::{Path, PathBuf};

use batch::BatchError;
use bytes::Bytes;
use rt::file::{DirectFile, WriteBuffer};
use rt::{fs, task, time};
use thiserror::Error;
use tracing::{info, warn};

use super::files::{
    Files, LOG_SUFFIX, Loaded, SNAPSHOT_SUFFIX, begin_file, file_path, load_snapshot, read_log,
    set_aside,
};
use super::format::{self, BLOCK, FormatError, Scanned};
use metadata::Record;
use metadata::{ApplyError, Image};

/// Log files grow in steps of this, ahead of the commits.
const GROW: u64 = 1 << 20;
/// The most bytes in one write.
const WRITE_MAX: usize = 1 << 20;

/// When the log is replaced by a snapshot. The log may also become as long as the last snapshot
/// first, so that the work stays in proportion when the metadata is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaLogOptions {
    /// After that many records.
    pub snapshot_records: u64,
    /// After that many bytes.
    pub snapshot_bytes: u64,
}

impl Default for MetaLogOptions {
    fn default() -> Self {
        Self {
            snapshot_records: 8192,
            snapshot_bytes: 16 << 20,
        }
    }
}

/// Why the metadata log can't be opened, or can't take a commit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetaLogError {
    /// A file operation failed.
    #[error("metadata log: {action} {} failed: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room for another commit; nothing was written.
    #[error(
        "metadata log: no room in {}: {source}; make room on the drive of the first data directory",
        path.display()
    )]
    Full {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged in a way that no crash explains, or is of a later version.
    #[error(
        "metadata log: {} can't be read: {error}; restore the directory from a copy, or start the \
         version of ottla that wrote it",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: FormatError,
    },
    /// Commits are missing between two files.
    #[error(
        "metadata log: {} has nothing at offset {offset}, which comes next; a file is missing or \
         was cut: restore the directory from a copy",
        dir.display()
    )]
    Gap {
        /// The directory.
        dir: PathBuf,
        /// The offset that isn't there.
        offset: i64,
    },
    /// A record doesn't follow those before it.
    #[error("metadata log: {} before offset {next}: {error}", path.display())]
    Apply {
        /// The file.
        path: PathBuf,
        /// The offset after the commit.
        next: i64,
        /// What is wrong.
        error: ApplyError,
    },
    /// The records don't fit a batch.
    #[error("metadata log: the records don't make a commit: {0}")]
    Commit(#[from] BatchError),
    /// A write failed before; what is on the drive isn't known.
    #[error(
        "metadata log: a write to {} failed before; it takes no more until the broker is started \
         again",
        path.display()
    )]
    Poisoned {
        /// The log file.
        path: PathBuf,
    },
}

impl MetaLogError {
    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the log is as it was, so that the same may be tried again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Commit(_))
    }
}

#[cfg(test)]
thread_local! {
    /// Set by a test: the drive under this executor's logs is full.
    pub(super) static NO_ROOM: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The open log.
#[derive(Debug)]
pub(super) struct MetaLog {
    dir: PathBuf,
    options: MetaLogOptions,
    file: DirectFile,
    path: PathBuf,
    /// The offset of the first record in `file`.
    base: i64,
    /// Where the next commit goes in `file`.
    end: u64,
    /// The length of `file`.
    allocated: u64,
    /// The offset of the next record.
    next: i64,
    poisoned: bool,
    since: Amount,
    /// What the last snapshot took.
    snapshot: Amount,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amount {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl MetaLog {
    /// Opens the log in `dir`, or begins one; gives the image as of its end.
    pub(super) async fn open(
        dir: &Path,
        options: MetaLogOptions,
    ) -> Result<(Self, Image), MetaLogError> {
        fs::create_dir_all(dir)
            .await
            .map_err(MetaLogError::io("making", dir))?;
        if let Some(parent) = dir.parent() {
            fs::sync_dir(parent)
                .await
                .map_err(MetaLogError::io("syncing", parent))?;
        }
        rt::file::disarm_iopoll(dir)
            .await
            .map_err(MetaLogError::io("preparing", dir))?;
        let mut files = Files::list(dir).await?;
        if files.logs.is_empty() && files.snapshots.is_empty() {
            begin_file(dir, 0).await?;
            files.logs.push(0);
        }
        let Loaded {
            offset: from,
            mut image,
            size: snapshot,
            damaged,
        } = load_snapshot(dir, &files).await?;
        let mut since = Amount::default();
        let mut last = None;
        let mut next = from;
        for &base in files.logs.iter().filter(|&&base| base >= from) {
            let path = file_path(dir, base, LOG_SUFFIX);
            let scanned = read_log(&path).await?;
            if scanned.base != next || base != next {
                return Err(MetaLogError::Gap {
                    dir: dir.to_owned(),
                    offset: next,
                });
            }
            next = scanned.next;
            apply(&mut image, &scanned, &path)?;
            since.records += (next - base) as u64;
            since.bytes += (scanned.end - BLOCK) as u64;
            last = Some((path, scanned));
        }
        let (path, scanned) = last.ok_or_else(|| MetaLogError::Gap {
            dir: dir.to_owned(),
            offset: from,
        })?;
        let (base, end) = (scanned.base, scanned.end as u64);
        let (file, allocated) = open_file(&path, &scanned).await?;
        set_aside(&damaged).await?;
        let (dir, poisoned) = (dir.to_owned(), false);
        Ok((
            Self {
                dir,
                options,
                file,
                path,
                base,
                end,
                allocated,
                next,
                poisoned,
                since,
                snapshot,
            },
            image,
        ))
    }

    /// The offset of the next record.
    pub(super) fn next_offset(&self) -> i64 {
        self.next
    }

    /// Stores commits, each whole or not at all. When this returns they are on stable storage.
    /// After a transient error nothing was stored; after another one the log takes no more.
    pub(super) async fn append(&mut self, commits: &[&[Record]]) -> Result<(), MetaLogError> {
        if self.poisoned {
            return Err(MetaLogError::Poisoned {
                path: self.path.clone(),
            });
        }
        let (batches, next) = self.batches(commits)?;
        let size: usize = batches
            .iter()
            .map(|batch| batch.len().next_multiple_of(BLOCK))
            .sum();
        self.make_room(size as u64).await?;
        // Poisoned until it has succeeded, so that it stays so if this future is dropped.
        self.poisoned = true;
        self.write(&batches)
            .await
            .map_err(MetaLogError::io("writing to", &self.path))?;
        self.file
            .fdatasync()
            .await
            .map_err(MetaLogError::io("syncing", &self.path))?;
        self.poisoned = false;
        self.since.records += (next - self.next) as u64;
        self.since.bytes += size as u64;
        self.end += size as u64;
        self.next = next;
        Ok(())
    }

    /// The commits' batches, and the offset after the last.
    fn batches(&self, commits: &[&[Record]]) -> Result<(Vec<Bytes>, i64), MetaLogError> {
        let (mut next, now_ms) = (self.next, time::wall_ms());
        let mut batches = Vec::with_capacity(commits.len());
        for records in commits {
            batches.push(format::commit(next, now_ms, records)?);
            next += records.len() as i64;
        }
        Ok((batches, next))
    }

    async fn make_room(&mut self, size: u64) -> Result<(), MetaLogError> {
        let needed = self.end + size;
        if needed <= self.allocated {
            return Ok(());
        }
        let length = needed.next_multiple_of(GROW);
        self.preallocate(length).await.map_err(|source| {
            let full = matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            let path = self.path.clone();
            if full {
                MetaLogError::Full { path, source }
            } else {
                MetaLogError::Io {
                    action: "growing",
                    path,
                    source,
                }
            }
        })?;
        self.allocated = length;
        Ok(())
    }

    async fn preallocate(&self, length: u64) -> io::Result<()> {
        #[cfg(test)]
        if NO_ROOM.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.preallocate(length).await
    }

    async fn write(&self, batches: &[Bytes]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend_from_slice(batch);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        for (at, chunk) in (self.end..).step_by(WRITE_MAX).zip(bytes.chunks(WRITE_MAX)) {
            let mut buffer = WriteBuffer::alloc(chunk.len());
            buffer.as_mut_slice().copy_from_slice(chunk);
            self.file.write_at(buffer, at).await?;
        }
        Ok(())
    }

    /// Whether so much was stored since the last snapshot that another is due.
    pub(super) fn snapshot_is_due(&self) -> bool {
        let Amount { records, bytes } = self.since;
        records >= self.options.snapshot_records.max(self.snapshot.records)
            || bytes >= self.options.snapshot_bytes.max(self.snapshot.bytes)
    }

    /// Begins a new log file and stores a snapshot: the `records` of the image as of the last
    /// commit. On an error the log goes on, if it isn't poisoned; the snapshot is due again after
    /// as much as before.
    pub(super) async fn take_snapshot(&mut self, records: Vec<Record>) -> Result<(), MetaLogError> {
        self.since = Amount::default();
        let (next, now_ms, count) = (self.next, time::wall_ms(), records.len() as u64);
        // Encoding a large image takes longer than others on this core should wait.
        let encoded = task::blocking(move || format::snapshot(next, now_ms, &records)).await;
        let bytes = encoded
            .map_err(io::Error::other)
            .map_err(MetaLogError::io("encoding a snapshot in", &self.dir))??;
        self.snapshot = Amount {
            records: count,
            bytes: bytes.len() as u64,
        };
        if self.base != self.next {
            self.roll().await?;
        }
        let path = file_path(&self.dir, self.next, SNAPSHOT_SUFFIX);
        fs::write_atomic(&path, bytes)
            .await
            .map_err(MetaLogError::io("writing", &path))?;
        info!(
            offset = self.next,
            records = self.snapshot.records,
            "stored a snapshot of the metadata"
        );
        self.remove_old().await
    }

    /// Goes on in a new log file.
    async fn roll(&mut self) -> Result<(), MetaLogError> {
        if self.poisoned {
            return Err(MetaLogError::Poisoned {
                path: self.path.clone(),
            });
        }
        // If the new file is there but isn't used, commits would be looked for in the wrong one.
        self.poisoned = true;
        let path = begin_file(&self.dir, self.next).await?;
        let file = DirectFile::open(&path)
            .await
            .map_err(MetaLogError::io("opening", &path))?;
        let old = std::mem::replace(&mut self.file, file);
        let (old_path, old_end) = (std::mem::replace(&mut self.path, path), self.end);
        (self.base, self.end, self.allocated) = (self.next, BLOCK as u64, BLOCK as u64);
        self.poisoned = false;
        // What is preallocated behind the last commit is of no more use. Not having given it back
        // does no harm.
        if let Err(error) = old.truncate(old_end).await {
            let path = old_path.display();
            warn!(%path, %error, "can't cut a finished metadata log to its length");
        }
        old.close()
            .await
            .map_err(MetaLogError::io("closing", &old_path))
    }

    /// Removes what neither the newest snapshot nor the one before it needs.
    async fn remove_old(&self) -> Result<(), MetaLogError> {
        let files = Files::list(&self.dir).await?;
        let keep = files.snapshots.iter().rev().nth(1).copied().unwrap_or(0);
        let snapshots = files
            .snapshots
            .iter()
            .map(|&offset| (offset, SNAPSHOT_SUFFIX));
        let logs = files.logs.iter().map(|&offset| (offset, LOG_SUFFIX));
        for (offset, suffix) in snapshots.chain(logs).filter(|&(offset, _)| offset < keep) {
            let path = file_path(&self.dir, offset, suffix);
            fs::remove_file(&path)
                .await
                .map_err(MetaLogError::io("removing", &path))?;
        }
        Ok(())
    }

    /// Closes the file.
    pub(super) async fn close(self) -> Result<(), MetaLogError> {
        self.file
            .close()
            .await
            .map_err(MetaLogError::io("closing", &self.path))
    }
}

fn apply(image: &mut Image, scanned: &Scanned, path: &Path) -> Result<(), MetaLogError> {
    for commit in &scanned.commits {
        for record in &commit.records {
            let failed = |error| MetaLogError::Apply {
                path: path.to_owned(),
                next: commit.next,
                error,
            };
            image.apply(record).map_err(failed)?;
        }
    }
    Ok(())
}

/// Opens the last log file for more commits, without the remains of one that was cut short; gives
/// its length, too.
async fn open_file(path: &Path, scanned: &Scanned) -> Result<(DirectFile, u64), MetaLogError> {
    let file = DirectFile::open(path)
        .await
        .map_err(MetaLogError::io("opening", path))?;
    if scanned.torn {
        let (name, at) = (path.display(), scanned.end);
        warn!(path = %name, at, "cutting off a metadata commit that a crash cut short");
        file.truncate(scanned.end as u64)
            .await
            .map_err(MetaLogError::io("cutting", path))?;
        file.fdatasync()
            .await
            .map_err(MetaLogError::io("syncing", path))?;
    }
    let allocated = file.size().map_err(MetaLogError::io("looking at", path))?;
    Ok((file, allocated))
}
