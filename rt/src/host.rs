//! What the host must offer, looked at before the first executor.
//!
//! glommio panics when io_uring is closed to the process and exits when an
//! operation is missing; this module asks the kernel first, with system calls
//! of its own, and answers with an error that says what to change.

use std::fmt;
use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::pool::Affinity;

/// The opcodes glommio asks for, by number and name.
const OPCODES: &[(u8, &str)] = &[
    (0, "NOP"),
    (1, "READV"),
    (2, "WRITEV"),
    (3, "FSYNC"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (6, "POLL_ADD"),
    (7, "POLL_REMOVE"),
    (9, "SENDMSG"),
    (10, "RECVMSG"),
    (11, "TIMEOUT"),
    (12, "TIMEOUT_REMOVE"),
    (13, "ACCEPT"),
    (15, "LINK_TIMEOUT"),
    (16, "CONNECT"),
    (17, "FALLOCATE"),
    (18, "OPENAT"),
    (19, "CLOSE"),
    (21, "STATX"),
    (22, "READ"),
    (23, "WRITE"),
    (26, "SEND"),
    (27, "RECV"),
];

/// The least RLIMIT_MEMLOCK an executor starts with.
pub const MEMLOCK_MIN: u64 = 512 * 1024;

const IORING_REGISTER_PROBE: libc::c_ulong = 8;
const IO_URING_OP_SUPPORTED: u16 = 1;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_long = 1 << 4;

/// Why this host cannot run an executor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The system call doesn't exist.
    #[error(
        "this kernel ({kernel}) has no io_uring, or a filter hides it; Linux 5.8 or newer is \
         needed, and in a container a seccomp profile that allows io_uring_setup, \
         io_uring_enter and io_uring_register"
    )]
    Missing {
        /// The kernel's release.
        kernel: String,
    },
    /// The administrator switched it off.
    #[error(
        "io_uring is switched off on this host (kernel.io_uring_disabled = {value}); allow it \
         with `sysctl kernel.io_uring_disabled=0`{}",
        if *value == 1 { ", or add this user to the group in kernel.io_uring_group" } else { "" }
    )]
    Disabled {
        /// The value of the sysctl.
        value: u8,
    },
    /// A filter refuses it.
    #[error(
        "io_uring is refused to this process, most likely by a container's seccomp profile; \
         allow io_uring_setup, io_uring_enter and io_uring_register in the profile (Docker: \
         --security-opt seccomp=<profile>, Kubernetes: securityContext.seccompProfile)"
    )]
    Refused,
    /// The kernel is too old.
    #[error(
        "this kernel ({kernel}) lacks the io_uring operations {missing}; Linux 5.8 or newer is needed"
    )]
    TooOld {
        /// The kernel's release.
        kernel: String,
        /// What is missing, by name.
        missing: String,
    },
    /// Too little memory may be locked.
    #[error(
        "too little memory may be locked: the limit (RLIMIT_MEMLOCK) is {limit} bytes for all \
         processes of this user together, and an executor needs {needed} and three times its \
         io_memory; raise it with LimitMEMLOCK=infinity in the service, --ulimit memlock=-1 in a \
         container, or `ulimit -l unlimited`"
    )]
    LockedMemory {
        /// The limit in force.
        limit: u64,
        /// What an executor needs at the very least.
        needed: u64,
    },
    /// Something else.
    #[error("io_uring cannot be set up: {reason}")]
    Setup {
        /// What the kernel said.
        reason: String,
    },
}

/// A soft and a hard limit; `u64::MAX` means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is in force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: u64| {
            if value == u64::MAX {
                "unlimited".to_owned()
            } else {
                value.to_string()
            }
        };
        write!(f, "{} (at most {})", show(self.soft), show(self.hard))
    }
}

/// What the host offers, for people to read.
#[derive(Debug, Clone)]
pub struct HostReport {
    /// The kernel's release.
    pub kernel: String,
    /// Whether executors can run.
    pub io_uring: Result<(), HostError>,
    /// Memory that may be locked; registered buffers count against it three
    /// times per executor, unless `ipc_lock`.
    pub memlock: Limit,
    /// Whether the process may lock memory past the limit (CAP_IPC_LOCK).
    pub ipc_lock: bool,
    /// Open files.
    pub open_files: Limit,
    /// The cores this process may run on.
    pub cores: Vec<usize>,
}

static RAISED: Once = Once::new();
static FIT: AtomicBool = AtomicBool::new(false);

/// Prepares the process: raises its limits as far as it may and looks whether
/// executors can run. Call it first in `main`, before any other thread starts
/// (registering for barriers takes tens of milliseconds later). Once it has
/// succeeded it does nothing more; starting an executor makes the call too.
pub fn prepare() -> Result<(), HostError> {
    RAISED.call_once(|| {
        raise_limits();
        register_membarrier();
    });
    // A refusal is not remembered: memory of rings that were closed a moment
    // ago, for one, comes free late.
    if !FIT.load(Ordering::Relaxed) {
        check()?;
        FIT.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Looks at the host without changing anything.
pub fn probe() -> HostReport {
    HostReport {
        kernel: kernel_release(),
        io_uring: check(),
        memlock: limit(libc::RLIMIT_MEMLOCK),
        ipc_lock: has_ipc_lock(),
        open_files: limit(libc::RLIMIT_NOFILE),
        cores: Affinity::of_this_thread()
            .map(|set| set.cores())
            .unwrap_or_default(),
    }
}

fn check() -> Result<(), HostError> {
    let memlock = limit(libc::RLIMIT_MEMLOCK).soft;
    if memlock < MEMLOCK_MIN {
        return Err(HostError::LockedMemory {
            limit: memlock,
            needed: MEMLOCK_MIN,
        });
    }
    let ring = Ring::open().map_err(setup_error)?;
    let missing = ring.missing_opcodes().map_err(setup_error)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(HostError::TooOld {
        kernel: kernel_release(),
        missing: missing.join(", "),
    })
}

fn setup_error(error: io::Error) -> HostError {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => HostError::Missing {
            kernel: kernel_release(),
        },
        Some(libc::EPERM | libc::EACCES) => match io_uring_disabled() {
            Some(value) if value > 0 => HostError::Disabled { value },
            _ => HostError::Refused,
        },
        Some(libc::ENOMEM) => HostError::LockedMemory {
            limit: limit(libc::RLIMIT_MEMLOCK).soft,
            needed: MEMLOCK_MIN,
        },
        _ => HostError::Setup {
            reason: error.to_string(),
        },
    }
}

fn io_uring_disabled() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// An io_uring of our own, only to ask questions.
struct Ring(libc::c_int);

#[repr(C)]
#[derive(Clone, Copy)]
struct ProbeOp {
    op: u8,
    resv: u8,
    flags: u16,
    resv2: u32,
}

#[repr(C)]
struct Probe {
    last_op: u8,
    ops_len: u8,
    resv: u16,
    resv2: [u32; 3],
    ops: [ProbeOp; 256],
}

impl Ring {
    fn open() -> io::Result<Self> {
        // struct io_uring_params is 120 bytes, and all zeroes asks for nothing
        // special.
        let mut params = [0u64; 15];
        // SAFETY: the kernel writes at most the 120 bytes the array has.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::c_int::try_from(fd)
            .map(Self)
            .map_err(io::Error::other)
    }

    fn missing_opcodes(&self) -> io::Result<Vec<&'static str>> {
        let op = ProbeOp {
            op: 0,
            resv: 0,
            flags: 0,
            resv2: 0,
        };
        let mut probe = Probe {
            last_op: 0,
            ops_len: 0,
            resv: 0,
            resv2: [0; 3],
            ops: [op; 256],
        };
        let pointer: *mut Probe = &mut probe;
        // SAFETY: the probe has room for the 256 operations the call is told of,
        // and outlives it.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.0,
                IORING_REGISTER_PROBE,
                pointer,
                256,
            )
        };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        let known = |op: u8| probe.ops[usize::from(op)].flags & IO_URING_OP_SUPPORTED != 0;
        Ok(OPCODES
            .iter()
            .filter(|(op, _)| !known(*op))
            .map(|(_, name)| *name)
            .collect())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and closed only here.
        unsafe { libc::close(self.0) };
    }
}

fn register_membarrier() {
    // Without it the first executor to park registers, under other threads,
    // which takes 30-80 ms. Where the kernel has no such barrier glommio has
    // another, so the answer doesn't matter.
    // SAFETY: takes two numbers and touches no memory.
    unsafe {
        libc::syscall(
            libc::SYS_membarrier,
            MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
            0,
        )
    };
}

fn limit(which: libc::__rlimit_resource_t) -> Limit {
    let mut held = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit.
    unsafe { libc::getrlimit(which, &mut held) };
    Limit {
        soft: held.rlim_cur,
        hard: held.rlim_max,
    }
}

fn set_limit(which: libc::__rlimit_resource_t, to: Limit) -> bool {
    let wanted = libc::rlimit {
        rlim_cur: to.soft,
        rlim_max: to.hard,
    };
    // SAFETY: the kernel reads one rlimit.
    unsafe { libc::setrlimit(which, &wanted) == 0 }
}

fn raise_limits() {
    let unlimited = Limit {
        soft: u64::MAX,
        hard: u64::MAX,
    };
    let memlock = limit(libc::RLIMIT_MEMLOCK);
    if !set_limit(libc::RLIMIT_MEMLOCK, unlimited) {
        set_limit(
            libc::RLIMIT_MEMLOCK,
            Limit {
                soft: memlock.hard,
                ..memlock
            },
        );
    }
    let files = limit(libc::RLIMIT_NOFILE);
    set_limit(
        libc::RLIMIT_NOFILE,
        Limit {
            soft: files.hard,
            ..files
        },
    );
}

fn has_ipc_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << CAP_IPC_LOCK) != 0)
}
