//! What a power cut takes, and what it leaves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use faultfs::{FaultFs, PowerCut, Sector};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

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

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

#[test]
fn only_what_was_synced_is_left() {
    let (_dir, tree) = mounted();
    let path = tree.path().join("file");
    let file = create(&path);
    file.write_all_at(&[1; 8192], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(&[2; 8192], 4096).unwrap();
    assert_eq!(tree.controls().stats().unwrap().unsynced_bytes, 8192);
    assert_eq!(
        fs::read(&path).unwrap().len(),
        12_288,
        "readable until the power goes"
    );
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [1; 8192]);
    assert_eq!(tree.controls().stats().unwrap().unsynced_bytes, 0);
}

#[test]
fn open_files_give_errors_after_it_and_work_when_opened_again() {
    let (_dir, tree) = mounted();
    let path = tree.path().join("file");
    let file = create(&path);
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    let is_eio =
        |result: io::Result<()>| assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EIO));
    is_eio(file.write_all_at(b"x", 0));
    is_eio(file.sync_data());
    drop(file);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"again", 0).unwrap();
    file.sync_all().unwrap();
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"again");
}

#[test]
fn an_acknowledged_sync_of_one_file_keeps_nothing_of_another() {
    let (_dir, tree) = mounted();
    let (one, two) = (
        create(&tree.path().join("one")),
        create(&tree.path().join("two")),
    );
    one.write_all_at(b"one", 0).unwrap();
    two.write_all_at(b"two", 0).unwrap();
    one.sync_all().unwrap();
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    assert_eq!(fs::read(tree.path().join("one")).unwrap(), b"one");
    assert_eq!(fs::read(tree.path().join("two")).unwrap(), b"");
}

#[test]
fn names_are_lost_only_when_asked_and_not_synced() {
    let (_dir, tree) = mounted();
    let root = tree.path();
    fs::create_dir(root.join("kept")).unwrap();
    sync_dir(root);
    fs::write(root.join("kept/synced"), b"1").unwrap();
    File::open(root.join("kept/synced"))
        .unwrap()
        .sync_all()
        .unwrap();
    sync_dir(&root.join("kept"));
    let not_in_dir = create(&root.join("kept/not-in-dir"));
    not_in_dir.sync_all().unwrap();
    fs::create_dir(root.join("lost")).unwrap();
    drop(not_in_dir);
    tree.controls().power_cut(&PowerCut::clean()).unwrap();
    assert!(root.join("kept/not-in-dir").exists() && root.join("lost").exists());

    create(&root.join("kept/new")).sync_all().unwrap();
    fs::remove_file(root.join("kept/synced")).unwrap();
    tree.controls()
        .power_cut(&PowerCut::clean().losing_names())
        .unwrap();
    assert!(
        !root.join("kept/new").exists(),
        "synced, but its directory was not"
    );
    assert_eq!(
        fs::read(root.join("kept/synced")).unwrap(),
        b"1",
        "its removal was not durable"
    );
}

#[test]
fn writing_aside_syncing_and_renaming_is_safe_at_every_moment() {
    for (seed, step) in (0..8u64).flat_map(|seed| (0..5).map(move |step| (seed, step))) {
        let (_dir, tree) = mounted();
        let (path, aside) = (tree.path().join("meta"), tree.path().join("meta.tmp"));
        fs::write(&path, b"old").unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        sync_dir(tree.path());
        let steps: [&dyn Fn(); 4] = [
            &|| fs::write(&aside, b"new").unwrap(),
            &|| File::open(&aside).unwrap().sync_all().unwrap(),
            &|| fs::rename(&aside, &path).unwrap(),
            &|| sync_dir(tree.path()),
        ];
        steps.iter().take(step).for_each(|act| act());
        tree.controls()
            .power_cut(&PowerCut::clean().torn(seed, Sector::Small).losing_names())
            .unwrap();
        let found = fs::read(&path).unwrap();
        let allowed: &[&[u8]] = match step {
            4 => &[b"new"],
            3 => &[b"old", b"new"],
            _ => &[b"old"],
        };
        assert!(
            allowed.contains(&found.as_slice()),
            "after {step} steps, seed {seed}: {found:?}"
        );
    }
}

#[test]
fn a_torn_cut_leaves_whole_sectors_and_the_same_for_the_same_seed() {
    let after = |seed| {
        let (_dir, tree) = mounted();
        let path = tree.path().join("file");
        let file = create(&path);
        file.write_all_at(&[1; 65_536], 0).unwrap();
        file.sync_all().unwrap();
        file.write_all_at(&[2; 65_536], 0).unwrap();
        tree.controls()
            .power_cut(&PowerCut::clean().torn(seed, Sector::Small))
            .unwrap();
        fs::read(&path).unwrap()
    };
    let bytes = after(11);
    assert!(
        bytes
            .chunks(512)
            .all(|sector| sector.iter().all(|b| *b == sector[0]))
    );
    let new = bytes.chunks(512).filter(|sector| sector[0] == 2).count();
    assert!((20..108).contains(&new), "{new} of 128 sectors are new");
    assert_eq!(after(11), bytes);
    assert_ne!(after(12), bytes);
}
