//! What programs see when nothing fails: an ordinary file system.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use faultfs::FaultFs;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

/// The directory comes first: what is bound last is dropped first, and a mounted directory can't be removed.
fn mounted() -> (tempfile::TempDir, FaultFs) {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::mount(dir.path()).unwrap();
    (dir, tree)
}

#[test]
fn files_are_written_read_appended_and_cut() {
    let (_dir, tree) = mounted();
    let path = tree.path().join("file");
    fs::write(&path, b"hello world").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello world");
    let mut file = OpenOptions::new()
        .append(true)
        .read(true)
        .open(&path)
        .unwrap();
    file.write_all(b", again").unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "world, again");
    file.set_len(5).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello");
    file.set_len(10_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 10_000);
    drop(file);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"far", 1 << 30).unwrap();
    assert_eq!(file.metadata().unwrap().len(), (1 << 30) + 3);
    assert!(
        file.metadata().unwrap().blocks() < 100,
        "what was skipped takes no room"
    );
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    let (_dir, tree) = mounted();
    let topic = tree.path().join("topic-0");
    fs::create_dir_all(topic.join("deep/er")).unwrap();
    for number in 0..500 {
        File::create_new(topic.join(format!("{number:020}.log"))).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(&topic)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names.len(), 501);
    assert_eq!(names[499], "00000000000000000499.log");
    assert_eq!(
        fs::remove_dir(&topic).unwrap_err().kind(),
        ErrorKind::DirectoryNotEmpty
    );
    assert_eq!(
        File::create_new(topic.join(&names[0])).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    fs::rename(&topic, tree.path().join("topic-0.deleted")).unwrap();
    assert_eq!(
        fs::metadata(&topic).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    fs::remove_dir_all(tree.path().join("topic-0.deleted")).unwrap();
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0);
}

#[test]
fn a_rename_replaces_and_open_files_stay_readable() {
    let (_dir, tree) = mounted();
    let (old, new) = (tree.path().join("meta"), tree.path().join("meta.tmp"));
    fs::write(&old, b"old").unwrap();
    fs::write(&new, b"new").unwrap();
    let held = File::open(&old).unwrap();
    fs::rename(&new, &old).unwrap();
    assert_eq!(fs::read(&old).unwrap(), b"new");
    let mut bytes = [0; 3];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old");
    fs::remove_file(&old).unwrap();
    assert_eq!(held.metadata().unwrap().nlink(), 0);
}

#[test]
fn several_threads_use_it_at_once() {
    let (_dir, tree) = mounted();
    std::thread::scope(|scope| {
        for number in 0..4u8 {
            let path = tree.path().join(number.to_string());
            scope.spawn(move || {
                let file = OpenOptions::new()
                    .create_new(true)
                    .read(true)
                    .write(true)
                    .open(path)
                    .unwrap();
                for block in 0..200 {
                    file.write_all_at(&[number; 4096], block * 4096).unwrap();
                    file.sync_data().unwrap();
                }
                let mut bytes = vec![0; 200 * 4096];
                file.read_exact_at(&mut bytes, 0).unwrap();
                assert!(bytes.iter().all(|b| *b == number));
            });
        }
    });
}

#[test]
fn a_lock_on_a_file_excludes_another() {
    let (_dir, tree) = mounted();
    let path = tree.path().join(".lock");
    let first = File::create(&path).unwrap();
    first.try_lock().unwrap();
    assert!(File::open(&path).unwrap().try_lock().is_err());
    drop(first);
    File::open(&path).unwrap().try_lock().unwrap();
}

#[test]
fn it_is_gone_after_the_drop_and_can_be_mounted_again() {
    let (dir, tree) = mounted();
    fs::write(dir.path().join("file"), b"x").unwrap();
    drop(tree);
    assert!(!dir.path().join("file").exists());
    let _again = FaultFs::mount(dir.path()).unwrap();
    fs::write(dir.path().join("other"), b"x").unwrap();
}

#[test]
fn mounting_where_nothing_is_says_so() {
    let error = FaultFs::mount("/no/such/directory").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("give an existing directory"),
        "{error}"
    );
}
