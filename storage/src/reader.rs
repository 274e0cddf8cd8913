//! Reading a segment file in order: big direct reads, small looks.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use batch::{Batch, HEADER_LEN};
use rt::file::{DirectFile, ReadBuffer};

use crate::drive::DriveInner;
use crate::error::ReadError;
use crate::recovery::claimed_size;
use crate::segment::Segment;

/// Longest read, unless one batch is longer.
pub(crate) const READ_MAX: usize = 1 << 20;
/// Shortest read.
pub(crate) const READ_MIN: usize = 64 << 10;

/// A file, and the part of it that was read last.
pub(crate) struct Window {
    drive: Rc<DriveInner>,
    file: DirectFile,
    limit: u64,
    chunk: usize,
    start: u64,
    buffer: Option<ReadBuffer>,
}

impl Window {
    /// Looks at the first `limit` bytes of a file, reading `chunk` bytes at a time to begin with.
    pub(crate) fn new(drive: &Rc<DriveInner>, file: DirectFile, limit: u64, chunk: usize) -> Self {
        Self {
            drive: Rc::clone(drive),
            file,
            limit,
            chunk: chunk.clamp(READ_MIN, READ_MAX),
            start: 0,
            buffer: None,
        }
    }

    /// The bytes from `at` on: `want` at least, more if they are at hand, fewer only where the
    /// limit is nearer.
    pub(crate) async fn bytes(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = want.min(left);
        if self.held(at).is_none_or(|held| held.len() < want) {
            let len = want.max(self.chunk).min(left);
            let began = rt::time::now();
            let read = self.file.read_at(at, len).await?;
            if read.len() < want {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it ends before byte {}", at + want as u64),
                ));
            }
            self.drive.meter(|metrics| {
                metrics.read.note(began.elapsed());
                metrics.read_bytes += read.len() as u64;
            });
            self.buffer = Some(read);
            self.start = at;
            // Whoever goes on reading will want more.
            self.chunk = (self.chunk * 2).min(READ_MAX);
        }
        Ok(self.held(at).unwrap_or_default())
    }

    fn held(&self, at: u64) -> Option<&[u8]> {
        let skip = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.buffer.as_deref()?.get(skip..)
    }
}

/// A walk over the whole batches of a segment, each one's checksum verified.
pub(crate) struct Walk {
    window: Window,
    path: PathBuf,
    position: u64,
}

impl Walk {
    /// Begins at `position`, which must be where a batch begins, and goes as far as the segment is
    /// wholly written.
    pub(crate) async fn begin(
        drive: &Rc<DriveInner>,
        segment: &Rc<Segment>,
        position: u64,
        chunk: usize,
    ) -> Result<Self, ReadError> {
        let file = drive.files.get(segment).await;
        let file = file.map_err(ReadError::io(segment.path()))?;
        let limit = segment.state().whole;
        Ok(Self {
            window: Window::new(drive, file, limit, chunk),
            path: segment.path().to_owned(),
            position,
        })
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch, or none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch<'_>>, ReadError> {
        rt::task::yield_if_needed().await;
        let at = self.position;
        let left = self.window.limit.saturating_sub(at);
        if left == 0 {
            return Ok(None);
        }
        let header = self.window.bytes(at, HEADER_LEN).await;
        let header = header.map_err(ReadError::io(&self.path))?;
        let Some(size) = claimed_size(header).filter(|&size| size as u64 <= left) else {
            return Err(damaged(&self.path, at, "no batch begins here"));
        };
        self.position = at + size as u64;
        let bytes = self.window.bytes(at, size).await;
        let bytes = bytes.map_err(ReadError::io(&self.path))?;
        let whole = Batch::parse(bytes).and_then(|batch| batch.verify_crc().map(|()| batch));
        let batch = whole.map_err(|error| damaged(&self.path, at, &error.to_string()))?;
        Ok(Some(batch))
    }
}

pub(crate) fn damaged(path: &Path, position: u64, reason: &str) -> ReadError {
    ReadError::Damaged {
        path: path.to_owned(),
        position,
        reason: reason.to_owned(),
    }
}
