//! The file system in a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use faultfs::{Fault, FaultFs, Op, PowerCut};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_faultfs"))
}

#[test]
fn it_is_steered_as_one_in_this_process() {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::spawn_program(program(), dir.path()).unwrap();
    let controls = tree.controls();
    let path = tree.path().join("file");
    fs::write(&path, b"not synced").unwrap();
    controls
        .inject(Fault::eio(&[Op::Write]).on("file").times(1))
        .unwrap();
    assert_eq!(
        fs::write(&path, b"x").unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    controls
        .set_latency(Op::Sync, Duration::from_millis(1))
        .unwrap();
    controls.set_capacity(Some(1 << 20)).unwrap();
    assert_eq!(
        fs::write(&path, vec![0; 2 << 20])
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ENOSPC)
    );
    controls.power_cut(&PowerCut::clean()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    let stats = controls.stats().unwrap();
    assert_eq!(
        (
            stats.failed(Op::Write),
            stats.power_cuts,
            stats.unsynced_bytes
        ),
        (1, 1, 0)
    );
    assert!(
        controls
            .run_line("explode")
            .unwrap_err()
            .to_string()
            .contains("not a command")
    );
    drop(tree);
    assert!(!path.exists());
    assert!(controls.stats().is_err(), "it is gone");
}

#[test]
fn it_is_found_and_built_without_being_named() {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::spawn(dir.path()).unwrap();
    fs::write(tree.path().join("file"), b"x").unwrap();
    assert_eq!(tree.controls().stats().unwrap().bytes_written, 1);
}

#[test]
fn what_a_killed_one_left_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut killed = Command::new(program())
        .arg(dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    while fs::write(dir.path().join("file"), b"x").is_err()
        || fs::read_dir(dir.path()).is_err()
        || !is_mounted(dir.path())
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(
        fs::metadata(dir.path()).unwrap_err().raw_os_error(),
        Some(libc::ENOTCONN)
    );
    let tree = FaultFs::mount(dir.path()).unwrap();
    fs::write(tree.path().join("file"), b"x").unwrap();
}

fn is_mounted(path: &Path) -> bool {
    fs::read_to_string("/proc/mounts")
        .unwrap()
        .contains(&format!("faultfs {} fuse.faultfs", path.display()))
}

#[test]
fn it_ends_with_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Command::new(program())
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(b"stats\nnonsense\n")
        .unwrap();
    let done = process.wait_with_output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..2],
        ["ready", "ok read=0 written=0 unsynced=0 used=0 cuts=0"]
    );
    assert!(lines[2].starts_with("error not a command"), "{said}");
    assert!(done.status.success());
    assert!(!is_mounted(dir.path()));
}

/// A program killed with writes under way ends at once: its file system lives elsewhere and answers the kernel.
#[test]
fn a_killed_program_ends_with_requests_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::spawn_program(program(), dir.path()).unwrap();
    tree.controls()
        .set_latency(Op::Write, Duration::from_millis(200))
        .unwrap();
    let mut writer = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096", "oflag=direct", "count=10000"])
        .arg(format!("of={}", tree.path().join("file").display()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while tree.controls().stats().unwrap().asked(Op::Write) < 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    assert_eq!(fs::metadata(tree.path().join("file")).unwrap().len(), 0);
}
