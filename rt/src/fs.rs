//! Directories, names and small files, through the blocking threads.
//!
//! Not for data: reads and writes of logs go through [`crate::file`]. Nothing
//! here may block an executor, except [`DirLock`], which is for the start.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::task;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name; one that isn't UTF-8 has its bad bytes replaced.
    pub name: String,
    /// Whether it is a directory. Links are not followed.
    pub is_dir: bool,
    /// Its length in bytes; for a directory it means nothing.
    pub len: u64,
}

/// How much fits on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes this process may still use.
    pub available: u64,
}

async fn off<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::blocking(f).await.map_err(io::Error::other)?
}

/// Makes a directory and those above it that are missing.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || std::fs::create_dir_all(path)).await
}

/// Removes a file.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || std::fs::remove_file(path)).await
}

/// Removes a directory and everything in it.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || std::fs::remove_dir_all(path)).await
}

/// Renames; what is there under the new name is replaced.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    off(move || std::fs::rename(from, to)).await
}

/// Waits until the names in a directory are on stable storage.
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || sync_dir_now(&path)).await
}

fn sync_dir_now(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Lists a directory, sorted by name. What vanishes meanwhile is left out.
pub async fn list(dir: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
    let dir = dir.as_ref().to_owned();
    off(move || list_now(&dir)).await
}

fn list_now(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for item in std::fs::read_dir(dir)? {
        let item = item?;
        let meta = match item.metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        entries.push(Entry {
            name: item.file_name().to_string_lossy().into_owned(),
            is_dir: meta.is_dir(),
            len: meta.len(),
        });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Reads a whole (small) file.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    off(move || std::fs::read(path)).await
}

/// Puts a whole (small) file in place, on stable storage: after a crash there is
/// the old one or the new one. Writes of the same file must not overlap; they
/// share a temporary name, the file's with `.tmp` added.
pub async fn write_atomic(path: impl AsRef<Path>, bytes: Vec<u8>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || write_atomic_now(&path, &bytes)).await
}

fn write_atomic_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let made = PathBuf::from(name);
    let mut file = File::create(&made)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&made, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sync_dir_now(dir.unwrap_or(Path::new(".")))
}

/// How much fits on the file system a path is on.
pub async fn space(path: impl AsRef<Path>) -> io::Result<Space> {
    let path = path.as_ref().to_owned();
    off(move || space_now(&path)).await
}

fn space_now(path: &Path) -> io::Result<Space> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a statvfs is plain numbers, for which all zeroes is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte; the kernel writes one statvfs.
    if unsafe { libc::statvfs(path.as_ptr(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Space {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// A directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirLockError {
    /// Somebody holds it.
    #[error(
        "{} is in use by another process (it holds {}); stop that one first, or give each its \
         own directory", dir.display(), lock.display()
    )]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// A system call failed.
    #[error("cannot lock {}: {source}", lock.display())]
    Io {
        /// The file that was to be locked.
        lock: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Holds a directory against a second process, by an flock on `.lock` in it.
/// Also what refuses a second broker on the same port: sockets are shared by
/// address on purpose, so the port itself refuses nobody. The file stays when
/// the lock goes.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
    path: PathBuf,
}

impl DirLock {
    /// Locks a directory that exists. Blocks shortly; never waits for the lock.
    pub fn acquire(dir: impl AsRef<Path>) -> Result<Self, DirLockError> {
        let dir = dir.as_ref();
        let path = dir.join(".lock");
        let failed = |source| DirLockError::Io {
            lock: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        // SAFETY: the descriptor is open; the call takes two numbers.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(Self { _file: file, path });
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::WouldBlock {
            return Err(DirLockError::Held {
                dir: dir.to_owned(),
                lock: path,
            });
        }
        Err(failed(error))
    }

    /// The file that is locked.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
