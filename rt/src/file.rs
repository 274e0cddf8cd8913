//! Direct files: reads and writes that go past the page cache.
//!
//! Owns the alignment rules and the write buffers. It knows nothing of what is
//! in a file. Everything is aligned to [`BLOCK`], whatever sysfs says about the
//! device: glommio looks at the wrong device for partitions, loops and mapped
//! devices.
//!
//! Call [`disarm_iopoll`] once per executor and file system before any other
//! file there; opening one without it is refused.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use glommio::io::{DmaBuffer, DmaFile, OpenOptions, ReadResult};

use crate::executor::raw_error;
use crate::local::Local;
use crate::relay::relayed;
use crate::task;

/// The alignment of every direct read and write.
pub const BLOCK: usize = 4096;

const BLOCK_U64: u64 = BLOCK as u64;

/// The file that [`disarm_iopoll`] reads.
const PROBE_FILE: &str = ".iopoll-probe";

/// Where the write buffers of an executor came from, since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BufferStats {
    /// From the memory registered with the kernel.
    pub pooled: u64,
    /// From the heap, because that was used up: raise `io_memory` if it grows.
    pub heap: u64,
}

/// The counters of this executor.
pub fn buffer_stats() -> BufferStats {
    Local::current().buffers.get()
}

/// Whether this executor's pool of buffers is registered with the kernel. It is
/// not when too little memory may be locked.
pub fn registered() -> bool {
    format!("{:?}", glommio::allocate_dma_buffer(BLOCK)).contains("uring_buffer_id: Some")
}

/// Memory a direct write is made from. Its contents are arbitrary at first.
pub struct WriteBuffer {
    buffer: DmaBuffer,
}

impl WriteBuffer {
    /// Takes a buffer of `len` bytes, from the registered pool when there's
    /// room, else from the heap. Fill all of it: what is not filled goes to the
    /// disk as it is, perhaps bytes of an earlier write.
    ///
    /// # Panics
    /// If `len` is zero or no multiple of [`BLOCK`].
    pub fn alloc(len: usize) -> Self {
        assert!(
            len > 0 && len.is_multiple_of(BLOCK),
            "a write buffer of {len} bytes"
        );
        let mut buffer = glommio::allocate_dma_buffer(len);
        let local = Local::current();
        let mut stats = local.buffers.get();
        if Origin::of(&buffer) == Origin::Pool {
            stats.pooled += 1;
        } else {
            stats.heap += 1;
        }
        local.buffers.set(stats);
        poison(buffer.as_bytes_mut());
        Self { buffer }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.as_bytes()
    }

    /// The bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer.as_bytes_mut()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }
}

/// Makes a byte that was not filled show in tests. Not in release builds, where
/// it would cost what the copy into the buffer does.
fn poison(bytes: &mut [u8]) {
    if cfg!(debug_assertions) {
        bytes.fill(0xA5);
    }
}

impl fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBuffer")
            .field("len", &self.len())
            .finish()
    }
}

/// Where a buffer came from. glommio tells nobody but its `Debug` output, which
/// is stopped here at the first word that says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Unknown,
    Pool,
    Heap,
}

impl Origin {
    fn of(buffer: &DmaBuffer) -> Self {
        let mut origin = Self::Unknown;
        // Stopping the formatter is an error to it.
        let _ = write!(origin, "{buffer:?}");
        origin
    }
}

impl fmt::Write for Origin {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match text {
            "Uring" => *self = Self::Pool,
            "Sys" => *self = Self::Heap,
            _ => return Ok(()),
        }
        Err(fmt::Error)
    }
}

/// The bytes of a read; cheap to clone.
#[derive(Clone)]
pub struct ReadBuffer(Held);

#[derive(Clone)]
enum Held {
    /// As the kernel filled it, and which part was asked for.
    Direct(ReadResult, Range<usize>),
    /// Put together from several short reads.
    Joined(Rc<[u8]>, Range<usize>),
}

impl Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Direct(read, range) => &read[range.clone()],
            Held::Joined(bytes, range) => &bytes[range.clone()],
        }
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuffer")
            .field("len", &self.len())
            .finish()
    }
}

/// A file read and written directly. Clones are handles to the same open file,
/// which is closed when the last one goes.
#[derive(Clone)]
pub struct DirectFile {
    file: Rc<DmaFile>,
}

impl DirectFile {
    /// Makes a new file for reading and writing; fails if it exists. The name
    /// is on the disk only after [`crate::fs::sync_dir`].
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        check_disarmed(&std::fs::metadata(parent(path))?)?;
        Self::open_with(
            path,
            OpenOptions::new().read(true).write(true).create_new(true),
        )
        .await
    }

    /// Opens a file for reading and writing.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        check_disarmed(&std::fs::metadata(path)?)?;
        Self::open_with(path, OpenOptions::new().read(true).write(true)).await
    }

    /// Opens a file for reading.
    pub async fn open_read(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        check_disarmed(&std::fs::metadata(path)?)?;
        Self::open_with(path, OpenOptions::new().read(true)).await
    }

    async fn open_with(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let file = relayed(options.dma_open(path)).await.map_err(raw_error)?;
        Ok(Self {
            file: Rc::new(file),
        })
    }

    /// Writes the whole buffer at `pos`, which must be a multiple of [`BLOCK`].
    /// Dropping the future leaves it open whether the bytes were written.
    pub async fn write_at(&self, buf: WriteBuffer, pos: u64) -> io::Result<()> {
        if !pos.is_multiple_of(BLOCK_U64) {
            let text = format!("a direct write at {pos}, which is no multiple of {BLOCK}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (mut rest, mut pos) = (Rc::new(buf.buffer), pos);
        loop {
            let write = self.file.write_rc_at(Rc::clone(&rest), pos);
            let written = relayed(write).await.map_err(raw_error)?;
            let done = whole_blocks(written, rest.len())?;
            if done == rest.len() {
                return Ok(());
            }
            let mut tail = WriteBuffer::alloc(rest.len() - done);
            tail.as_mut_slice()
                .copy_from_slice(&rest.as_bytes()[done..]);
            rest = Rc::new(tail.buffer);
            pos += done as u64;
        }
    }

    /// Reads `len` bytes at `pos`, any position and length, cut at the end of
    /// the file. Dropping the future does no harm.
    pub async fn read_at(&self, pos: u64, len: usize) -> io::Result<ReadBuffer> {
        let left = self.size()?.saturating_sub(pos);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        if len == 0 {
            return Ok(ReadBuffer(Held::Joined(Rc::new([]), 0..0)));
        }
        // glommio's own unaligned read returns memory that was never read when
        // it crosses the end of the file, so alignment is done here.
        let head = pos % BLOCK_U64;
        let start = pos - head;
        let head = head as usize;
        let want = head + len;
        let read = self.read_blocks(start, want).await?;
        if read.len() >= want {
            return Ok(ReadBuffer(Held::Direct(read, head..want)));
        }
        self.join_short(read, start, head..want).await
    }

    async fn read_blocks(&self, start: u64, want: usize) -> io::Result<ReadResult> {
        let size = want.next_multiple_of(BLOCK);
        relayed(self.file.read_at_aligned(start, size))
            .await
            .map_err(raw_error)
    }

    /// Goes on after a read that gave less than the file has.
    async fn join_short(
        &self,
        first: ReadResult,
        start: u64,
        wanted: Range<usize>,
    ) -> io::Result<ReadBuffer> {
        let mut bytes = first.to_vec();
        while bytes.len() < wanted.end {
            // Again from the last whole block: a direct read must start at one.
            bytes.truncate(bytes.len() / BLOCK * BLOCK);
            let before = bytes.len();
            let more = self
                .read_blocks(start + before as u64, wanted.end - before)
                .await?;
            bytes.extend_from_slice(&more);
            if bytes.len() < wanted.end && bytes.len() < before + BLOCK {
                break; // The file was cut meanwhile: this is its end.
            }
        }
        let end = wanted.end.min(bytes.len());
        let range = wanted.start.min(end)..end;
        Ok(ReadBuffer(Held::Joined(bytes.into(), range)))
    }

    /// Makes the file at least `len` long, with disk space behind it from start
    /// to end, all zeroes where nothing was written. Never makes it shorter.
    pub async fn preallocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match relayed(self.file.pre_allocate(len, false))
            .await
            .map_err(raw_error)
        {
            // A file system without the call (some in user space): the length
            // is all that correctness needs.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                if self.size()? < len {
                    self.truncate(len).await
                } else {
                    Ok(())
                }
            }
            other => other,
        }
    }

    /// Sets the length.
    pub async fn truncate(&self, len: u64) -> io::Result<()> {
        // A descriptor of its own: were the future dropped, the call could run
        // after this file is closed and its number belongs to another.
        let file = std::fs::File::from(self.borrow().try_clone_to_owned()?);
        task::blocking(move || file.set_len(len))
            .await
            .map_err(io::Error::other)?
    }

    /// Waits until everything written, and the length, is on stable storage.
    pub async fn fdatasync(&self) -> io::Result<()> {
        relayed(self.file.fdatasync()).await.map_err(raw_error)
    }

    /// The length of the open file, also when it was renamed or removed.
    pub fn size(&self) -> io::Result<u64> {
        // SAFETY: a stat is plain numbers, for which all zeroes is a value.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open while `self` lives; the kernel writes
        // one stat.
        if unsafe { libc::fstat(self.file.as_raw_fd(), &mut stat) } != 0 {
            return Err(io::Error::last_os_error());
        }
        u64::try_from(stat.st_size).map_err(io::Error::other)
    }

    /// Closes the file and waits for it, if this is the last handle; another
    /// handle keeps it open and this does nothing.
    pub async fn close(self) -> io::Result<()> {
        match Rc::try_unwrap(self.file) {
            Ok(file) => relayed(file.close()).await.map_err(raw_error),
            Err(_shared) => Ok(()),
        }
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        let fd: RawFd = self.file.as_raw_fd();
        // SAFETY: the descriptor stays open as long as `self` does.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

impl fmt::Debug for DirectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectFile")
            .field("fd", &self.file.as_raw_fd())
            .finish()
    }
}

/// How much of a write need not be repeated.
fn whole_blocks(written: usize, len: usize) -> io::Result<usize> {
    if written >= len {
        return Ok(len);
    }
    match written / BLOCK * BLOCK {
        0 => Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("a direct write of {len} bytes wrote {written}"),
        )),
        done => Ok(done),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn check_disarmed(meta: &std::fs::Metadata) -> io::Result<()> {
    if Local::current().disarmed.borrow().contains(&meta.dev()) {
        return Ok(());
    }
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("disarm_iopoll was not called on this executor for device {major}:{minor}"),
    ))
}

/// Keeps this executor from polled I/O on the file system `dir` is on; once per
/// executor and file system, before any other direct file there. Leaves a file
/// of one block in `dir`.
///
/// glommio reads the start of the first file it opens on a device to see
/// whether the device can be polled. If that file is empty the answer is always
/// yes, and every read after it fails with EOPNOTSUPP. So it is given a file
/// with something in it. Where the device really can be polled, which would
/// spin a core and hang on large reads, the file is opened write-only: then the
/// look fails and polling stays off.
pub async fn disarm_iopoll(dir: impl AsRef<Path>) -> io::Result<()> {
    let dir = dir.as_ref().to_owned();
    let probe = dir.join(PROBE_FILE);
    let made = probe.clone();
    let (dev, pollable) = task::blocking(move || {
        let dev = std::fs::metadata(&dir)?.dev();
        check_sysfs(dev)?;
        make_probe(&made)?;
        io::Result::Ok((dev, can_poll(dev)))
    })
    .await
    .map_err(io::Error::other)??;
    let local = Local::current();
    if local.disarmed.borrow().contains(&dev) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    if pollable {
        options.write(true)
    } else {
        options.read(true)
    };
    let file = relayed(options.dma_open(&probe)).await.map_err(raw_error)?;
    local.disarmed.borrow_mut().insert(dev);
    relayed(file.close()).await.map_err(raw_error)
}

/// Makes the probe file if it isn't there. It may be made by several executors
/// at once: each moves a whole one into place.
fn make_probe(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() >= BLOCK_U64) {
        return Ok(());
    }
    let tid = std::thread::current().id();
    let made = path.with_extension(format!("{}-{tid:?}", std::process::id()));
    let file = std::fs::File::create(&made)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; BLOCK], 0)?;
    // Its bytes must be there for the direct read.
    file.sync_all()?;
    std::fs::rename(&made, path)
}

fn sysfs_queue(dev: u64) -> std::path::PathBuf {
    // The whole disk, as glommio looks it up; a partition has no queue.
    format!("/sys/dev/block/{}:0/queue", libc::major(dev)).into()
}

/// glommio panics when /sys has the device but not what it wants to read there.
fn check_sysfs(dev: u64) -> io::Result<()> {
    let queue = sysfs_queue(dev);
    let Some(device) = queue.parent() else {
        return Ok(());
    };
    match device.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let names = [
        "rotational",
        "minimum_io_size",
        "optimal_io_size",
        "logical_block_size",
        "physical_block_size",
        "max_sectors_kb",
        "max_segment_size",
        "write_cache",
    ];
    for name in names {
        let path = queue.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
    }
    Ok(())
}

fn can_poll(dev: u64) -> bool {
    std::fs::read_to_string(sysfs_queue(dev).join("io_poll")).is_ok_and(|text| text.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_at_the_last_whole_block() {
        assert_eq!(whole_blocks(3 * BLOCK, 3 * BLOCK).unwrap(), 3 * BLOCK);
        assert_eq!(whole_blocks(2 * BLOCK, 3 * BLOCK).unwrap(), 2 * BLOCK);
        assert_eq!(whole_blocks(2 * BLOCK + 512, 3 * BLOCK).unwrap(), 2 * BLOCK);
        // No progress must end, not loop.
        assert_eq!(
            whole_blocks(512, BLOCK).unwrap_err().kind(),
            io::ErrorKind::WriteZero
        );
        assert_eq!(
            whole_blocks(0, BLOCK).unwrap_err().kind(),
            io::ErrorKind::WriteZero
        );
    }
}
