//! The metadata log: the quorum's entries on a drive, made durable before anyone sees them, and what
//! this node promised in elections.
//!
//! In its directory are log files and snapshots, both named by an offset, and the file of promises. At a
//! snapshot a new log file is begun; the snapshot before the newest is kept with the log files behind
//! it, so that a damaged snapshot costs nothing. Opening reads the newest snapshot that is whole and the
//! entries after it. An entry that was cut short by a crash was never acknowledged and is cut off; damage
//! anywhere else refuses to open, since to go on would forget what was promised. Entries that the quorum
//! didn't take are cut off again when others come in their place.
//!
//! Lives on shard 0; one call at a time. A future of it must not be dropped halfway (the shell sees
//! to that).

mod error;
mod files;
pub(super) mod format;
mod promise;
mod snapshots;

use std::io;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use metadata::Image;
use rt::file::{DirectFile, WriteBuffer};
use rt::{fs, time};
use tracing::warn;

pub use error::MetaLogError;
pub use files::is_begun;
use files::{Files, Read, begin_file, load_snapshot, read_files, resume_install, set_aside};
use format::{BLOCK, Scanned};
pub(super) use format::{Body, Entry, Mark, commit, records};
pub(super) use promise::Promise;

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

#[cfg(test)]
thread_local! {
    /// Set by a test: the drive under this executor's logs is full.
    pub(super) static NO_ROOM: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// What a log held when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// What this node promised.
    pub(super) promise: Promise,
    /// What the snapshot stands for.
    pub(super) mark: Mark,
    /// The image as of the snapshot.
    pub(super) image: Image,
    /// The entries after it, of which the last ones may not be committed.
    pub(super) entries: Vec<Entry>,
}

/// An entry of a file.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// The offset after its last record.
    next: i64,
    /// Where the next entry begins.
    end: u64,
}

/// One of the log's files.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    /// The offset of its first record.
    base: i64,
    /// How many entries there were before it.
    before: u64,
    spots: Vec<Spot>,
}

impl LogFile {
    /// One that is kept only for the older snapshot, of whose entries nothing is asked.
    fn old(path: PathBuf, base: i64) -> Self {
        Self {
            path,
            base,
            before: 0,
            spots: Vec::new(),
        }
    }

    fn next(&self) -> i64 {
        self.spots.last().map_or(self.base, |spot| spot.next)
    }

    fn end(&self) -> u64 {
        self.spots.last().map_or(BLOCK as u64, |spot| spot.end)
    }

    fn last_index(&self) -> u64 {
        self.before + self.spots.len() as u64
    }
}

/// The open log.
#[derive(Debug)]
pub(super) struct MetaLog {
    dir: PathBuf,
    options: MetaLogOptions,
    /// The files behind the older of the kept snapshots, in order; never empty. The last one is written to.
    files: Vec<LogFile>,
    file: DirectFile,
    /// The length of `file`.
    allocated: u64,
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
    /// Opens the log in `dir`, or begins one.
    pub(super) async fn open(
        dir: &Path,
        options: MetaLogOptions,
    ) -> Result<(Self, Opened), MetaLogError> {
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
        let mut listed = Files::list(dir).await?;
        if let Some(offset) = listed.received {
            resume_install(dir, offset).await?;
            listed = Files::list(dir).await?;
        }
        if listed.logs.is_empty() && listed.snapshots.is_empty() {
            begin_file(dir, 0, Mark::nothing().index).await?;
            listed.logs.push(0);
        }
        let loaded = load_snapshot(dir, &listed).await?;
        let Read {
            files,
            entries,
            commit,
            last: (path, scanned),
        } = read_files(dir, &listed, &loaded.mark).await?;
        let (file, allocated) = open_file(&path, &scanned).await?;
        set_aside(&loaded.damaged).await?;
        let bytes: u64 = files.iter().map(|file| file.end() - BLOCK as u64).sum();
        let promise = promise::load(dir, &loaded.mark, &entries, commit).await?;
        let log = Self {
            dir: dir.to_owned(),
            options,
            since: Amount {
                records: (scanned.next - loaded.mark.next).max(0) as u64,
                bytes,
            },
            files,
            file,
            allocated,
            poisoned: false,
            snapshot: loaded.size,
        };
        let opened = Opened {
            promise,
            mark: loaded.mark,
            image: loaded.image,
            entries,
        };
        Ok((log, opened))
    }

    /// The offset of the next record.
    pub(super) fn next_offset(&self) -> i64 {
        self.current().next()
    }

    /// The index of the last entry; that of a snapshot where there is none behind it.
    pub(super) fn last_index(&self) -> u64 {
        self.current().last_index()
    }

    /// The offset after entry `index`; `None` where it isn't in the files.
    pub(super) fn offset_after(&self, index: u64) -> Option<i64> {
        let file = self.files.iter().rev().find(|file| file.before <= index)?;
        match (index - file.before) as usize {
            0 => Some(file.base),
            count => file.spots.get(count - 1).map(|spot| spot.next),
        }
    }

    fn current(&self) -> &LogFile {
        match self.files.last() {
            Some(file) => file,
            None => unreachable!("a log always has a file"),
        }
    }

    /// Stores entries, each whole or not at all, in place of those there may be of their indexes and
    /// above, and that all up to `commit` is known to be committed. When this returns they are on stable
    /// storage. After a transient error the log is as it was, but for what was cut off; after another
    /// one it takes no more.
    pub(super) async fn append(
        &mut self,
        entries: &[Entry],
        commit: u64,
    ) -> Result<(), MetaLogError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        self.check_sound()?;
        if first.index <= self.last_index() {
            self.cut_to(first.index - 1).await?;
        }
        if first.index != self.last_index() + 1 {
            return Err(MetaLogError::Gap {
                dir: self.dir.clone(),
                offset: self.next_offset(),
            });
        }
        let (batches, spots) = self.batches(entries, commit)?;
        let end = spots.last().map_or(self.current().end(), |spot| spot.end);
        self.make_room(end).await?;
        // Poisoned until it has succeeded, so that it stays so if this future is dropped.
        self.poisoned = true;
        let path = self.current().path.clone();
        self.write(&batches)
            .await
            .map_err(MetaLogError::io("writing to", &path))?;
        self.file
            .fdatasync()
            .await
            .map_err(MetaLogError::io("syncing", &path))?;
        self.poisoned = false;
        let begin = self.current().end();
        let records = spots
            .last()
            .map_or(0, |last| last.next - self.next_offset());
        self.since.records += records as u64;
        self.since.bytes += end - begin;
        if let Some(file) = self.files.last_mut() {
            file.spots.extend(spots);
        }
        Ok(())
    }

    fn check_sound(&self) -> Result<(), MetaLogError> {
        if !self.poisoned {
            return Ok(());
        }
        Err(MetaLogError::Poisoned {
            path: self.current().path.clone(),
        })
    }

    /// The entries' batches, and where they come to stand.
    fn batches(
        &self,
        entries: &[Entry],
        commit: u64,
    ) -> Result<(Vec<BytesMut>, Vec<Spot>), MetaLogError> {
        let (mut next, mut position) = (self.next_offset(), self.current().end());
        let now_ms = time::wall_ms();
        let (mut batches, mut spots) = (Vec::new(), Vec::new());
        for entry in entries {
            let batch = format::entry(next, now_ms, commit, entry)?;
            next += format::offsets(&entry.body)?;
            let end = position + batch.len().next_multiple_of(BLOCK) as u64;
            spots.push(Spot { next, end });
            position = end;
            batches.push(batch);
        }
        Ok((batches, spots))
    }

    /// Cuts off the entries behind `index`: the quorum took others.
    async fn cut_to(&mut self, index: u64) -> Result<(), MetaLogError> {
        self.poisoned = true;
        let files = self.files.len();
        while self.files.len() > 1 && self.current().before > index {
            if let Some(gone) = self.files.pop() {
                fs::remove_file(&gone.path)
                    .await
                    .map_err(MetaLogError::io("removing", &gone.path))?;
                let path = self.current().path.clone();
                let opened = DirectFile::open(&path).await;
                self.file = opened.map_err(MetaLogError::io("opening", &path))?;
            }
        }
        let Some(file) = self.files.last_mut() else {
            unreachable!("a log always has a file");
        };
        let keep = index.saturating_sub(file.before) as usize;
        file.spots.truncate(keep);
        let (path, end) = (file.path.clone(), file.end());
        // What lies behind must never be taken for the entries that come.
        self.file
            .truncate(end)
            .await
            .map_err(MetaLogError::io("cutting", &path))?;
        self.file
            .fdatasync()
            .await
            .map_err(MetaLogError::io("syncing", &path))?;
        self.allocated = end;
        self.poisoned = false;
        if self.files.len() < files && !self.current().spots.is_empty() {
            // Behind a snapshot there is always a file that begins there or later.
            self.roll().await?;
        }
        Ok(())
    }

    /// Grows the file while there is still room in it.
    pub(super) async fn make_room_ahead(&mut self) -> Result<(), MetaLogError> {
        self.check_sound()?;
        self.make_room(self.current().end() + GROW / 2).await
    }

    async fn make_room(&mut self, needed: u64) -> Result<(), MetaLogError> {
        if needed <= self.allocated {
            return Ok(());
        }
        let length = needed.next_multiple_of(GROW);
        self.preallocate(length).await.map_err(|source| {
            let full = matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            let path = self.current().path.clone();
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

    async fn write(&self, batches: &[BytesMut]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend_from_slice(batch);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        let begin = self.current().end();
        for (at, chunk) in (begin..).step_by(WRITE_MAX).zip(bytes.chunks(WRITE_MAX)) {
            let mut buffer = WriteBuffer::alloc(chunk.len());
            buffer.as_mut_slice().copy_from_slice(chunk);
            self.file.write_at(buffer, at).await?;
        }
        Ok(())
    }

    /// Makes a promise durable.
    pub(super) async fn promise(&self, promise: Promise) -> Result<(), MetaLogError> {
        promise::store(&self.dir, promise).await
    }

    /// Closes the file.
    pub(super) async fn close(self) -> Result<(), MetaLogError> {
        let path = self.current().path.clone();
        self.file
            .close()
            .await
            .map_err(MetaLogError::io("closing", &path))
    }
}

/// Opens the last log file for more entries, without the remains of one that was cut short; gives
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
