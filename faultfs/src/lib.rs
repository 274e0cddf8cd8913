//! A FUSE file system that fails on purpose: full, broken, slow, or without what a power cut took.
//!
//! Files live in memory. [`FaultFs::mount`] serves them from threads of this process, [`FaultFs::spawn`] from a
//! process of its own; both are unmounted on drop and both are steered through [`Controls`]. Supported is what a log on
//! a drive needs: direct and plain reads and writes, io_uring, fallocate (also keeping the size, also punching holes),
//! fsync and fdatasync, truncation, renames, directories, `statfs`. There are no links, extended attributes, or
//! shared memory maps.
//!
//! A program that is to be killed with requests under way must use [`FaultFs::spawn`]: the kernel waits for their
//! answers before it lets go of the program, so a program that serves its own files would never end.
//!
//! Must never be part of a released binary: tests only.

mod command;
mod content;
mod delays;
mod extents;
mod faults;
mod model;
mod mount;
mod names;
mod remote;
mod seed;
mod shell;

pub use command::{COMMANDS, PowerCut, Sector};
pub use faults::{Fault, Op, Stats};

use command::Command;
use delays::Delays;
use model::{Model, Owner};
use mount::Mount;
use remote::Pipe;
use shell::{Shell, lock};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

/// How long dropping waits for the serving thread: it ends at once unless files are still open.
const END_WAIT: Duration = Duration::from_millis(500);

/// A mounted file system; dropping it unmounts it.
#[derive(Debug)]
pub struct FaultFs {
    // Fields drop in this order: first no new requests, then the wait for the end.
    server: Server,
    path: PathBuf,
    controls: Controls,
}

#[derive(Debug)]
enum Server {
    Thread(Option<Mount>, Option<JoinHandle<io::Result<()>>>),
    Process,
}

impl FaultFs {
    /// Mounts an empty file system on `dir`, an existing directory, and serves it from a thread of this process.
    ///
    /// What a killed process left mounted there is taken away first. The error says what is missing where it is
    /// /dev/fuse or the right to mount.
    pub fn mount(dir: impl AsRef<Path>) -> io::Result<Self> {
        let (mount, device) = Mount::new(dir.as_ref())?;
        // SAFETY: these two only read the process's ids.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        let model = Arc::new(Mutex::new(Model::new(Owner {
            mode: 0o755,
            uid,
            gid,
        })));
        let shell = Shell::new(Arc::clone(&model), Delays::start()?);
        let mut session = fuser::Session::from_fd(shell, device, fuser::SessionACL::All);
        let thread = thread::Builder::new()
            .name("faultfs".into())
            .spawn(move || session.run())?;
        // Answered only once the kernel and the thread have found each other.
        fs::metadata(mount.path())?;
        let path = mount.path().to_owned();
        let controls = Controls(Target::Here(model));
        Ok(Self {
            server: Server::Thread(Some(mount), Some(thread)),
            path,
            controls,
        })
    }

    /// Mounts an empty file system on `dir` from a process of its own, which outlives any crash of this one's threads
    /// and ends with this one.
    ///
    /// Runs the program `faultfs` of this package: named by the environment variable `FAULTFS_BIN`, else built by cargo
    /// where a test runs under cargo, else beside this program.
    pub fn spawn(dir: impl AsRef<Path>) -> io::Result<Self> {
        Self::spawn_program(&remote::program()?, dir)
    }

    /// [`spawn`](Self::spawn) with the program given.
    pub fn spawn_program(program: &Path, dir: impl AsRef<Path>) -> io::Result<Self> {
        let pipe = Pipe::start(program, dir.as_ref())?;
        let controls = Controls(Target::There(Arc::new(Mutex::new(pipe))));
        Ok(Self {
            server: Server::Process,
            path: dir.as_ref().canonicalize()?,
            controls,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What makes it fail; clones of it work from any thread, but after the drop of this they no longer matter.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        match &mut self.server {
            Server::Thread(mount, thread) => {
                drop(mount.take());
                let deadline = Instant::now() + END_WAIT;
                while thread.as_ref().is_some_and(|t| !t.is_finished()) && Instant::now() < deadline
                {
                    thread::sleep(Duration::from_millis(1));
                }
                // With files still open it goes on serving them, alone, until they are closed.
                if let Some(thread) = thread.take_if(|t| t.is_finished()) {
                    let _ended = thread.join();
                }
            }
            Server::Process => self.controls.close(),
        }
    }
}

/// Makes the file system fail, and tells what happened in it. Errors come only from a file system in another process,
/// when that is gone.
#[derive(Debug, Clone)]
pub struct Controls(Target);

#[derive(Debug, Clone)]
enum Target {
    Here(Arc<Mutex<Model>>),
    There(Arc<Mutex<Pipe>>),
}

impl Controls {
    fn send(&self, command: Command) -> io::Result<Stats> {
        match &self.0 {
            Target::Here(model) => Ok(lock(model).execute(command)),
            Target::There(pipe) => pipe
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .send(&command),
        }
    }

    fn close(&self) {
        if let Target::There(pipe) = &self.0 {
            pipe.lock().unwrap_or_else(PoisonError::into_inner).close();
        }
    }

    /// How many bytes fit, in whole blocks of 4 KiB: beyond it writes and fallocate give ENOSPC, and `statfs` tells it.
    /// `None` is a tebibyte. Less than is in use is allowed: then nothing more fits.
    pub fn set_capacity(&self, bytes: Option<u64>) -> io::Result<()> {
        self.send(Command::Capacity(bytes)).map(drop)
    }

    /// Adds a rule by which operations fail, until [`heal`](Self::heal).
    pub fn inject(&self, fault: Fault) -> io::Result<()> {
        self.send(Command::Inject(fault)).map(drop)
    }

    /// Takes all rules away: nothing fails any more. What failed stays as it is.
    pub fn heal(&self) -> io::Result<()> {
        self.send(Command::Heal).map(drop)
    }

    /// Such operations are answered this much later (others go on meanwhile); zero ends it.
    pub fn set_latency(&self, op: Op, latency: Duration) -> io::Result<()> {
        self.send(Command::Latency(op, latency)).map(drop)
    }

    /// Takes back what isn't durable, as a loss of power does. Kill the program under test first: of files still open
    /// all operations give EIO from here on; opening them again works.
    pub fn power_cut(&self, cut: &PowerCut) -> io::Result<()> {
        self.send(Command::PowerCut(cut.clone())).map(drop)
    }

    /// What happened so far.
    pub fn stats(&self) -> io::Result<Stats> {
        self.send(Command::Stats)
    }

    /// Carries out one command in its text form (see [`COMMANDS`]) and gives the counts after it.
    pub fn run_line(&self, line: &str) -> io::Result<Stats> {
        let command = line
            .parse()
            .map_err(|why: String| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        self.send(command)
    }
}
