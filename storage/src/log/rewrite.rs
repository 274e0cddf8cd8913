//! A segment that compaction writes: a file beside the log's, `.cleaned`, that becomes one of them only when
//! it is whole and durable.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use batch::{Batch, BatchInfo, Retained};
use rt::file::{BLOCK, DirectFile, WriteBuffer};
use rt::task;

use crate::compact::plan::Growing;
use crate::error::{LogError, is_no_space};
use crate::listing::remove_if_there;
use crate::log::LogInner;
use crate::name::file_name;
use crate::policy::{self, SEGMENT_MAX};
use crate::reader::damaged;
use crate::segment::Segment;

/// Longest write.
const WRITE: usize = 512 << 10;
const _: () = assert!(WRITE.is_multiple_of(BLOCK));

/// The file that is written, and the segment it will be.
pub(crate) struct Rewrite {
    path: PathBuf,
    file: DirectFile,
    segment: Rc<Segment>,
    interval: u32,
    /// Bytes that are not written yet, less than [`WRITE`].
    pending: Vec<u8>,
    written: u64,
    allocated: u64,
    /// What was dropped last, without its records: it says where the group ends.
    dropped: Option<(bytes::Bytes, BatchInfo)>,
    changed: bool,
}

impl Rewrite {
    /// Makes the file.
    pub(crate) async fn begin(log: &LogInner, base_offset: i64) -> Result<Self, LogError> {
        let path = log.folder.join(file_name(base_offset, "log.cleaned"));
        remove_if_there(path.clone()).await?;
        let file = DirectFile::create(&path).await;
        let file = file.map_err(LogError::io("create", &path))?;
        Ok(Self {
            path,
            file,
            segment: Segment::new(&log.folder, base_offset, 0),
            interval: log.config.borrow().index_interval_bytes,
            pending: Vec::new(),
            written: 0,
            allocated: 0,
            dropped: None,
            changed: false,
        })
    }

    /// Sees to it that there is room for `more` bytes.
    pub(crate) async fn make_room(&mut self, log: &LogInner, more: u64) -> Result<(), LogError> {
        let wanted = policy::round_up(self.len() + more);
        let missing = wanted.saturating_sub(self.allocated);
        let no_room = || LogError::NoRoom {
            path: log.drive.path.clone(),
            bytes: missing,
        };
        let room = log.drive.has_room(missing).await;
        if !room.map_err(LogError::io("see the room on", &log.drive.path))? {
            return Err(no_room());
        }
        if let Err(error) = self.file.preallocate(wanted).await {
            return Err(match is_no_space(&error) {
                true => no_room(),
                false => LogError::io("preallocate", &self.path)(error),
            });
        }
        self.allocated = self.allocated.max(wanted);
        Ok(())
    }

    /// Takes what is left of a batch.
    pub(crate) async fn take(
        &mut self,
        log: &LogInner,
        batch: &Batch<'_>,
        left: Retained,
    ) -> Result<(), LogError> {
        self.changed |= left != Retained::All;
        match left {
            Retained::All => {
                let info = batch.info();
                self.put(log, batch.bytes(), &info).await
            }
            Retained::Some(bytes) => {
                let info = parsed(&self.path, &bytes)?;
                self.put(log, &bytes, &info).await
            }
            Retained::None => {
                let emptied = batch::emptied(batch);
                let emptied =
                    emptied.map_err(|error| damaged(&self.path, 0, &error.to_string()))?;
                let info = parsed(&self.path, &emptied)?;
                self.dropped = Some((emptied, info));
                Ok(())
            }
        }
    }

    async fn put(
        &mut self,
        log: &LogInner,
        bytes: &[u8],
        info: &BatchInfo,
    ) -> Result<(), LogError> {
        self.dropped = None;
        if self.len() + bytes.len() as u64 > SEGMENT_MAX {
            let path = self.segment.path().to_owned();
            return Err(LogError::SegmentTooLong { path });
        }
        self.segment.note(info, self.interval);
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= WRITE {
            self.write(log, WRITE).await?;
        }
        Ok(())
    }

    /// Writes the first `length` pending bytes, a multiple of the block.
    async fn write(&mut self, log: &LogInner, length: usize) -> Result<(), LogError> {
        let _share = log.drive.writes.acquire(length).await;
        let mut buffer = WriteBuffer::alloc(length);
        buffer
            .as_mut_slice()
            .copy_from_slice(&self.pending[..length]);
        let written = self.file.write_at(buffer, self.written).await;
        written.map_err(LogError::io("write", &self.path))?;
        self.pending.drain(..length);
        self.written += length as u64;
        log.drive
            .meter(|metrics| metrics.write_bytes += length as u64);
        Ok(())
    }

    /// Makes the file whole and durable, as old as the newest of the segments it stands for. The last
    /// batch of those stays, if without its records, so that the file says itself where they end.
    pub(crate) async fn finish(
        &mut self,
        log: &LogInner,
        group: &[Rc<Segment>],
    ) -> Result<(), LogError> {
        if let Some((bytes, info)) = self.dropped.take() {
            self.put(log, &bytes, &info).await?;
        }
        let len = self.len();
        self.pending
            .resize(self.pending.len().next_multiple_of(BLOCK), 0);
        while !self.pending.is_empty() {
            self.write(log, self.pending.len().min(WRITE)).await?;
        }
        let cut = self.file.truncate(len).await;
        cut.map_err(LogError::io("cut", &self.path))?;
        let synced = self.file.fdatasync().await;
        synced.map_err(LogError::io("sync", &self.path))?;
        let sources: Vec<_> = group.iter().map(|one| one.path().to_owned()).collect();
        let path = self.path.clone();
        let aged = task::blocking(move || keep_age(&path, &sources)).await;
        aged.map_err(std::io::Error::other)
            .flatten()
            .map_err(LogError::io("set the time of", &self.path))?;
        self.settle(len, group);
        Ok(())
    }

    /// Makes the segment what a closed one is.
    fn settle(&self, len: u64, group: &[Rc<Segment>]) {
        self.segment.close_time_index();
        self.segment.all_written();
        let end = group.iter().map(|one| one.state().next_offset).max();
        let state = &mut *self.segment.state();
        assert_eq!(state.len, len, "what was noted is what was written");
        state.next_offset = state.next_offset.max(end.unwrap_or(0));
        state.allocated = len;
        state.exists = true;
        state.finished = true;
    }

    /// Whether anything is not as it was.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    /// What it has been given by now.
    pub(crate) fn growing(&self) -> Growing {
        let state = self.segment.state();
        Growing {
            base_offset: self.segment.base_offset(),
            len: state.len,
            index_bytes: state.indexes.larger_bytes(),
        }
    }

    /// Length of the data.
    pub(crate) fn len(&self) -> u64 {
        self.segment.state().len
    }

    /// Bytes written, blocks that aren't full included.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// The segment, with its open file, and where that lies.
    pub(crate) fn into_segment(self) -> (Rc<Segment>, DirectFile, PathBuf) {
        (self.segment, self.file, self.path)
    }

    /// Removes the file. Where that fails, the next start does it.
    pub(crate) async fn discard(self) {
        if let Err(error) = remove_if_there(self.path).await {
            tracing::warn!(%error, "a file of compaction stays until the next start");
        }
    }
}

fn parsed(path: &Path, bytes: &[u8]) -> Result<BatchInfo, LogError> {
    let parsed = Batch::parse(bytes).map(|batch| batch.info());
    Ok(parsed.map_err(|error| damaged(path, 0, &error.to_string()))?)
}

/// Gives a file the time of the newest of others: retention goes by it where records have no time.
fn keep_age(path: &Path, sources: &[PathBuf]) -> std::io::Result<()> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in sources {
        match std::fs::metadata(source).and_then(|found| found.modified()) {
            Ok(modified) => newest = newest.max(modified),
            // It was deleted, which the swap will see.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.set_modified(newest)
}
