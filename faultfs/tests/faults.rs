//! Full, failing and slow drives.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use faultfs::{Fault, FaultFs, Op};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// The directory comes first: what is bound last is dropped first, and a mounted directory can't be removed.
fn mounted() -> (tempfile::TempDir, FaultFs) {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::mount(dir.path()).unwrap();
    (dir, tree)
}

fn create(path: &Path) -> File {
    OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

fn allocate(file: &File, len: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call, which touches no memory.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len.cast_signed()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Total and available bytes.
fn space(path: &Path) -> (u64, u64) {
    let space = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: all zeros is a valid `statvfs`.
    let mut told: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated and `told` is room for one `statvfs`.
    assert_eq!(unsafe { libc::statvfs(space.as_ptr(), &raw mut told) }, 0);
    (told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize)
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

#[test]
fn a_full_drive_refuses_and_takes_again_when_there_is_room() {
    let (_dir, tree) = mounted();
    let controls = tree.controls();
    controls.set_capacity(Some(4 * MIB)).unwrap();
    assert_eq!(space(tree.path()), (4 * MIB, 4 * MIB));
    let first = create(&tree.path().join("first"));
    allocate(&first, 3 * MIB).unwrap();
    assert_eq!(space(tree.path()), (4 * MIB, MIB));
    let second = create(&tree.path().join("second"));
    assert_eq!(errno(allocate(&second, 2 * MIB)), libc::ENOSPC);
    first.write_all_at(&vec![1; 3 << 20], 0).unwrap();
    second.write_all_at(&vec![2; 1 << 20], 0).unwrap();
    assert_eq!(errno(second.write_at(&[2; 4096], MIB)), libc::ENOSPC);
    second.write_all_at(&[3; 4096], 0).unwrap();
    assert_eq!(space(tree.path()).1, 0);
    controls.set_capacity(Some(5 * MIB)).unwrap();
    assert_eq!(
        second.write_at(&vec![2; 3 << 20], MIB).unwrap(),
        1 << 20,
        "as much as fits"
    );
    drop(first);
    fs::remove_file(tree.path().join("first")).unwrap();
    assert_eq!(space(tree.path()), (5 * MIB, 3 * MIB));
    second.write_all_at(&vec![2; 3 << 20], 2 * MIB).unwrap();
    controls.set_capacity(Some(MIB)).unwrap();
    assert_eq!(space(tree.path()), (MIB, 0));
    controls.set_capacity(None).unwrap();
    allocate(&second, 64 * MIB).unwrap();
}

#[test]
fn chosen_operations_on_chosen_paths_fail_until_healed() {
    let (_dir, tree) = mounted();
    let controls = tree.controls();
    for topic in ["bad-0", "good-0"] {
        fs::create_dir(tree.path().join(topic)).unwrap();
    }
    let bad = create(&tree.path().join("bad-0/0.log"));
    let good = create(&tree.path().join("good-0/0.log"));
    bad.write_all_at(b"before", 0).unwrap();
    controls
        .inject(Fault::eio(&[Op::Write, Op::Allocate]).on("bad-*/*.log"))
        .unwrap();
    assert_eq!(errno(bad.write_at(b"x", 0)), libc::EIO);
    assert_eq!(errno(allocate(&bad, MIB)), libc::EIO);
    good.write_all_at(b"x", 0).unwrap();
    bad.sync_all().unwrap();
    controls.inject(Fault::eio(&[Op::Sync])).unwrap();
    assert_eq!(errno(bad.sync_data()), libc::EIO);
    assert_eq!(errno(good.sync_all()), libc::EIO);
    assert_eq!(
        errno(File::open(tree.path().join("good-0")).unwrap().sync_all()),
        libc::EIO
    );
    controls.inject(Fault::eio(&[Op::Read]).on("bad*")).unwrap();
    assert_eq!(errno(bad.read_at(&mut [0; 6], 0)), libc::EIO);
    controls.heal().unwrap();
    let mut bytes = [0; 6];
    bad.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"before");
    bad.sync_all().unwrap();
    let stats = controls.stats().unwrap();
    assert_eq!(
        (
            stats.failed(Op::Write),
            stats.failed(Op::Sync),
            stats.failed(Op::Read)
        ),
        (1, 3, 1)
    );
    assert_eq!(stats.asked(Op::Sync), 5);
}

#[test]
fn a_fault_can_come_late_and_pass() {
    let (_dir, tree) = mounted();
    let file = create(&tree.path().join("file"));
    tree.controls()
        .inject(
            Fault::eio(&[Op::Write])
                .after(2)
                .times(2)
                .errno(libc::EDQUOT),
        )
        .unwrap();
    let results: Vec<_> = (0..5)
        .map(|_| {
            file.write_at(b"x", 0)
                .map_err(|e| e.raw_os_error().unwrap())
        })
        .collect();
    assert_eq!(
        results,
        [Ok(1), Ok(1), Err(libc::EDQUOT), Err(libc::EDQUOT), Ok(1)]
    );
}

#[test]
fn a_dead_drive_does_nothing_any_more() {
    let (_dir, tree) = mounted();
    let file = create(&tree.path().join("file"));
    tree.controls().inject(Fault::dead_drive()).unwrap();
    assert_eq!(errno(file.write_at(b"x", 0)), libc::EIO);
    assert_eq!(errno(file.set_len(10)), libc::EIO);
    assert_eq!(errno(File::open(tree.path().join("file"))), libc::EIO);
    assert_eq!(errno(File::create(tree.path().join("new"))), libc::EIO);
    assert_eq!(
        errno(fs::rename(
            tree.path().join("file"),
            tree.path().join("other")
        )),
        libc::EIO
    );
    assert_eq!(errno(fs::remove_file(tree.path().join("file"))), libc::EIO);
}

#[test]
fn a_slow_operation_holds_up_only_itself() {
    let (_dir, tree) = mounted();
    let (slow, quick) = (
        create(&tree.path().join("slow")),
        create(&tree.path().join("quick")),
    );
    tree.controls()
        .set_latency(Op::Sync, Duration::from_millis(300))
        .unwrap();
    std::thread::scope(|scope| {
        let began = Instant::now();
        scope.spawn(|| slow.sync_data().unwrap());
        for block in 0..20 {
            quick.write_all_at(&[1; 4096], block * 4096).unwrap();
        }
        let written = began.elapsed();
        assert!(
            written < Duration::from_millis(250),
            "twenty writes took {written:?} beside a slow fsync"
        );
        quick.sync_data().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(300));
    });
    tree.controls()
        .set_latency(Op::Sync, Duration::ZERO)
        .unwrap();
    let began = Instant::now();
    slow.sync_data().unwrap();
    assert!(began.elapsed() < Duration::from_millis(250));
}
