//! What is said of a host that closes io_uring to us.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rt::host::{self, HostError};

/// Answers io_uring_setup with an error, for this thread only, as a container's
/// seccomp profile does for a whole process.
fn refuse_io_uring(errno: libc::c_int) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut unless = statement(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::SYS_io_uring_setup as u32,
    );
    unless.jf = 1;
    let mut filter = [
        // The number of the system call is the first field.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        unless,
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes numbers only; without it an ordinary user may set no filter.
    let allowed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(allowed, 0);
    // SAFETY: the program and its filter outlive the call, which copies them.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn probe_with(errno: libc::c_int) -> HostError {
    std::thread::spawn(move || {
        refuse_io_uring(errno);
        host::probe().io_uring.unwrap_err()
    })
    .join()
    .unwrap()
}

#[test]
fn a_refusal_says_what_to_change() {
    let refused = probe_with(libc::EPERM);
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    if disabled.is_ok_and(|value| value.trim() == "0") {
        assert_eq!(refused, HostError::Refused);
    }
    assert!(refused.to_string().contains("io_uring"), "{refused}");

    let missing = probe_with(libc::ENOSYS);
    assert!(matches!(missing, HostError::Missing { .. }), "{missing:?}");
    assert!(missing.to_string().contains("5.8"), "{missing}");

    let other = probe_with(libc::EMFILE);
    assert!(matches!(other, HostError::Setup { .. }), "{other:?}");
}

#[test]
fn this_host_is_fit_and_its_limits_are_raised() {
    host::prepare().unwrap();
    host::prepare().unwrap();
    let report = host::probe();
    assert_eq!(report.io_uring, Ok(()));
    assert_eq!(report.open_files.soft, report.open_files.hard);
    assert_eq!(report.memlock.soft, report.memlock.hard);
    assert!(!report.cores.is_empty());
    assert!(report.kernel.contains('.'), "{}", report.kernel);
}

#[test]
fn the_other_errors_say_what_to_change_too() {
    let disabled = HostError::Disabled { value: 1 }.to_string();
    assert!(
        disabled.contains("sysctl") && disabled.contains("io_uring_group"),
        "{disabled}"
    );
    assert!(
        !HostError::Disabled { value: 2 }
            .to_string()
            .contains("io_uring_group")
    );
    let memory = HostError::LockedMemory {
        limit: 65536,
        needed: host::MEMLOCK_MIN,
    }
    .to_string();
    assert!(
        memory.contains("65536") && memory.contains("LimitMEMLOCK"),
        "{memory}"
    );
}
