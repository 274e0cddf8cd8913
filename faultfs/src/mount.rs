//! Mounting and unmounting by system calls of our own: no libfuse, no helper program.
//!
//! Owns the mount table entry. Must never read or write the mounted tree.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a file system could not be mounted.
#[derive(Debug, thiserror::Error)]
enum MountError {
    #[error(
        "/dev/fuse can't be opened ({0}): the kernel needs FUSE (modprobe fuse), and a container needs --device /dev/fuse"
    )]
    Device(io::Error),
    #[error(
        "mounting on {1} was refused ({0}): it takes root or CAP_SYS_ADMIN, in a container --cap-add SYS_ADMIN"
    )]
    NotAllowed(io::Error, String),
    #[error("mounting on {1} failed: {0}")]
    Failed(io::Error, String),
    #[error("{1} can't be mounted on ({0}): give an existing directory")]
    NoDirectory(io::Error, String),
}

impl From<MountError> for io::Error {
    fn from(error: MountError) -> Self {
        let kind = match &error {
            MountError::Device(cause) | MountError::NotAllowed(cause, _) => cause.kind(),
            MountError::Failed(cause, _) | MountError::NoDirectory(cause, _) => cause.kind(),
        };
        Self::new(kind, error)
    }
}

/// A mount point that is unmounted on drop, lazily: files still open go on working until closed.
#[derive(Debug)]
pub(crate) struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Mounts on `dir`; gives what requests are read from.
    pub(crate) fn new(dir: &Path) -> io::Result<(Self, OwnedFd)> {
        detach_dead(dir);
        let path = dir
            .canonicalize()
            .map_err(|e| MountError::NoDirectory(e, dir.display().to_string()))?;
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(MountError::Device)?;
        mount(&path, &device)?;
        Ok((Self { path }, device.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        detach(&self.path);
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL in it"))
}

fn mount(path: &Path, device: &File) -> io::Result<()> {
    // SAFETY: these two only read the process's ids.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let options = format!(
        "fd={},rootmode=40000,user_id={uid},group_id={gid},default_permissions",
        device.as_raw_fd()
    );
    let options = c_string(OsStr::new(&options))?;
    let target = c_string(path.as_os_str())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOATIME;
    // SAFETY: all four strings are NUL-terminated and live until the call returns; the kernel copies them.
    let result = unsafe {
        libc::mount(
            c"faultfs".as_ptr(),
            target.as_ptr(),
            c"fuse.faultfs".as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let (cause, place) = (io::Error::last_os_error(), path.display().to_string());
    Err(match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => MountError::NotAllowed(cause, place).into(),
        _ => MountError::Failed(cause, place).into(),
    })
}

fn detach(path: &Path) {
    let Ok(target) = c_string(path.as_os_str()) else {
        return;
    };
    // SAFETY: the string is NUL-terminated and lives until the call returns. A failure means that somebody else has
    // unmounted it already, which is what was wanted.
    unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
}

/// Takes away what a killed process left mounted: it answers nothing but ENOTCONN.
fn detach_dead(dir: &Path) {
    let dead =
        std::fs::metadata(dir).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
    if dead {
        detach(dir);
    }
}
