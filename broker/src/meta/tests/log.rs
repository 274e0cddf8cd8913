//! The stored log, on real files: what was committed is there after any crash, and damage is not
//! overlooked.

use std::fs::{read, read_dir, write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::log::format::{BLOCK, FormatError, log_header, read_snapshot, scan_log};
use super::super::log::{
    Body, Entry, Mark, MetaLog, NO_ROOM, Opened, commit, records as records_of,
};
use super::*;

pub(super) const NEVER: MetaLogOptions = MetaLogOptions {
    snapshot_records: u64::MAX,
    snapshot_bytes: u64::MAX,
};

pub(super) fn config(n: i64) -> Record {
    let value = Some(n.to_string());
    Record::Config(ConfigRecord {
        resource: Resource::topic("t"),
        key: format!("key{}", n % 7),
        value,
    })
}

pub(super) fn image_of(records: impl IntoIterator<Item = Record>) -> Image {
    let mut image = Image::new();
    for record in records {
        image.apply(&record).unwrap();
    }
    image
}

/// A commit as an entry.
pub(super) fn committed(index: u64, term: u64, records: &[Record]) -> Entry {
    let body = Body::Commit(commit(0, records).unwrap());
    Entry { index, term, body }
}

/// Stores commits behind all there is, in term 1.
pub(super) async fn store(log: &mut MetaLog, commits: &[&[Record]]) -> Result<(), MetaLogError> {
    let entries: Vec<Entry> = (log.last_index() + 1..)
        .zip(commits)
        .map(|(index, records)| committed(index, 1, records))
        .collect();
    log.append(&entries, 0).await
}

/// What a snapshot of everything in the log stands for.
pub(super) fn whole(log: &MetaLog) -> Mark {
    Mark {
        next: log.next_offset(),
        index: log.last_index(),
        term: 1,
        members: bytes::Bytes::from_static(b"who takes part"),
    }
}

/// The image with all entries, committed or not.
pub(super) fn with_entries(opened: Opened) -> Image {
    let mut image = opened.image;
    for entry in &opened.entries {
        if let Body::Commit(batch) = &entry.body {
            apply(&mut image, &records_of(batch).unwrap());
        }
    }
    image
}

/// Opens the log and appends commits of one record each.
fn append(dir: &Path, from: i64, to: i64) -> (Image, i64) {
    let dir = dir.to_owned();
    on_executor(move || async move {
        let (mut log, opened) = MetaLog::open(&dir, NEVER).await.unwrap();
        for n in from..to {
            store(&mut log, &[&[config(n)]]).await.unwrap();
        }
        (with_entries(opened), log.next_offset())
    })
}

pub(super) fn open(dir: &Path) -> Result<(Image, i64), MetaLogError> {
    let dir = dir.to_owned();
    on_executor(move || async move {
        let (log, opened) = MetaLog::open(&dir, NEVER).await?;
        let next = log.next_offset();
        log.close().await?;
        Ok((with_entries(opened), next))
    })
}

/// Opens the log, appends commits of one record each, and takes a snapshot where told.
pub(super) fn append_with_snapshots(
    dir: &Path,
    range: std::ops::Range<i64>,
    snapshots: &'static [i64],
) {
    let dir = dir.to_owned();
    on_executor(move || async move {
        let (mut log, opened) = MetaLog::open(&dir, NEVER).await.unwrap();
        let mut image = with_entries(opened);
        for n in range {
            store(&mut log, &[&[config(n)]]).await.unwrap();
            image.apply(&config(n)).unwrap();
            if snapshots.contains(&(n + 1)) {
                let mark = whole(&log);
                log.take_snapshot(mark, image.to_records()).await.unwrap();
            }
        }
    });
}

pub(super) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

pub(super) fn log_path(dir: &TempDir, base: i64) -> PathBuf {
    dir.path().join(format!("{base:020}.log"))
}

pub(super) fn snapshot_path(dir: &TempDir, offset: i64) -> PathBuf {
    dir.path().join(format!("{offset:020}.snapshot"))
}

pub(super) fn damage(path: &Path, at: usize) {
    let mut bytes = read(path).unwrap();
    bytes[at] ^= 0x55;
    write(path, bytes).unwrap();
}

#[test]
fn what_is_committed_is_there_again() {
    let dir = TempDir::new().unwrap();
    assert_eq!(append(dir.path(), 0, 3), (Image::new(), 3));
    assert_eq!(append(dir.path(), 3, 5), (image_of((0..3).map(config)), 5));
    assert_eq!(open(dir.path()).unwrap(), (image_of((0..5).map(config)), 5));
}

#[test]
fn commits_of_one_write_are_each_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        store(&mut log, &[&[config(0), config(1)], &[config(2)]])
            .await
            .unwrap();
        assert_eq!(log.next_offset(), 3);
    });
    // The second commit never got to the drive.
    let mut bytes = read(log_path(&dir, 0)).unwrap();
    bytes[2 * BLOCK..].fill(0);
    write(log_path(&dir, 0), bytes).unwrap();
    assert_eq!(open(dir.path()).unwrap(), (image_of((0..2).map(config)), 2));
}

#[test]
fn a_commit_larger_than_a_write_is_stored() {
    let dir = TempDir::new().unwrap();
    let records: Vec<Record> = (0..20_000).map(config).collect();
    let (path, stored) = (dir.path().to_owned(), records.clone());
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        store(&mut log, &[&stored]).await.unwrap();
    });
    assert!(read(log_path(&dir, 0)).unwrap().len() > 1 << 20);
    assert_eq!(open(dir.path()).unwrap(), (image_of(records), 20_000));
}

/// The last commit is of three blocks; each way a crash can leave it is cut off, and the log goes
/// on.
#[test]
fn a_torn_tail_is_cut_off() {
    let long = |n| {
        let value = Some("x".repeat(2 * BLOCK));
        Record::Config(ConfigRecord {
            resource: Resource::topic("t"),
            key: format!("long{n}"),
            value,
        })
    };
    let origin = TempDir::new().unwrap();
    append(origin.path(), 0, 2);
    let path = origin.path().to_owned();
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        store(&mut log, &[&[long(0)]]).await.unwrap();
    });
    let whole = read(log_path(&origin, 0)).unwrap();
    let start = 3 * BLOCK;
    assert_eq!(scan_log(&whole).unwrap().end, start + 3 * BLOCK);
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for keep in (0..3 * BLOCK).step_by(512).skip(1).take(16) {
        let mut zeroed = whole.clone();
        zeroed[start + keep..].fill(0);
        cases.push((format!("{keep} bytes and zeroes"), zeroed));
        cases.push((
            format!("{keep} bytes and the end"),
            whole[..start + keep].to_vec(),
        ));
        let mut holed = whole.clone();
        holed[start + keep - 512..start + keep].fill(0);
        cases.push((format!("all but the 512 bytes before {keep}"), holed));
    }
    for (what, bytes) in cases {
        let dir = TempDir::new().unwrap();
        write(log_path(&dir, 0), bytes).unwrap();
        assert_eq!(
            append(dir.path(), 2, 4),
            (image_of((0..2).map(config)), 4),
            "{what}"
        );
        let after = scan_log(&read(log_path(&dir, 0)).unwrap()).unwrap();
        assert!(!after.torn, "{what}: remains are left");
        assert_eq!(
            open(dir.path()).unwrap(),
            (image_of((0..4).map(config)), 4),
            "{what}"
        );
    }
}

#[test]
fn damage_before_the_last_commit_refuses_to_open() {
    let dir = TempDir::new().unwrap();
    append(dir.path(), 0, 3);
    for (what, at) in [
        ("the base offset", 0),
        ("the length", 10),
        ("the checksum", 18),
        ("a record", 70),
    ] {
        let copy = TempDir::new().unwrap();
        std::fs::copy(log_path(&dir, 0), log_path(&copy, 0)).unwrap();
        damage(&log_path(&copy, 0), 2 * BLOCK + at);
        let error = open(copy.path()).unwrap_err();
        let expected = FormatError::Damaged {
            position: 2 * BLOCK,
            offset: 1,
        };
        assert!(
            matches!(&error, MetaLogError::Unreadable { error, .. } if *error == expected),
            "{what}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains("restore the directory from a copy"),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let dir = TempDir::new().unwrap();
    append(dir.path(), 0, 1);
    damage(&log_path(&dir, 0), 9);
    assert!(matches!(
        open(dir.path()),
        Err(MetaLogError::Unreadable {
            error: FormatError::Header,
            ..
        })
    ));
    write(log_path(&dir, 0), b"").unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(MetaLogError::Unreadable {
            error: FormatError::Header,
            ..
        })
    ));
}

#[test]
fn a_log_of_another_layout_version_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut header = log_header(0, 1);
    header[11] = 3;
    let crc = crc32c::crc32c(&header[..28]);
    header[28..32].copy_from_slice(&crc.to_be_bytes());
    write(log_path(&dir, 0), header).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(
            &error,
            MetaLogError::Unreadable {
                error: FormatError::Version(3),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_snapshot_and_the_commits_after_it_make_the_image() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..25, &[10, 20]);
    let ten = ["00000000000000000010.log", "00000000000000000010.snapshot"];
    let twenty = ["00000000000000000020.log", "00000000000000000020.snapshot"];
    assert_eq!(
        names(dir.path()),
        [ten, twenty].concat(),
        "what came before the older snapshot is gone"
    );
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of((0..25).map(config)), 25)
    );
    // The newest snapshot and its log are enough.
    std::fs::remove_file(log_path(&dir, 10)).unwrap();
    std::fs::remove_file(snapshot_path(&dir, 10)).unwrap();
    assert_eq!(
        append(dir.path(), 25, 27),
        (image_of((0..25).map(config)), 27)
    );
}

#[test]
fn a_damaged_snapshot_costs_nothing() {
    for snapshots in [[10, 20].as_slice(), &[20]] {
        let dir = TempDir::new().unwrap();
        append_with_snapshots(
            dir.path(),
            0..25,
            if snapshots.len() == 2 {
                &[10, 20]
            } else {
                &[20]
            },
        );
        damage(&snapshot_path(&dir, 20), 40);
        assert_eq!(
            open(dir.path()).unwrap(),
            (image_of((0..25).map(config)), 25)
        );
        assert!(names(dir.path()).contains(&"00000000000000000020.snapshot-damaged".to_owned()));
        // The next one is kept beside one that is good.
        append_with_snapshots(dir.path(), 25..30, &[30]);
        damage(&snapshot_path(&dir, 30), 40);
        assert_eq!(
            open(dir.path()).unwrap(),
            (image_of((0..30).map(config)), 30)
        );
    }
}

#[test]
fn snapshots_are_checked_to_the_last_byte() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..5, &[5]);
    let bytes = read(snapshot_path(&dir, 5)).unwrap();
    assert!(read_snapshot(&bytes).is_ok());
    for cut in 0..bytes.len() {
        assert!(read_snapshot(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut long = bytes;
    long.push(0);
    assert!(read_snapshot(&long).is_err());
}

#[test]
fn without_a_whole_snapshot_or_a_file_in_between_it_refuses() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..25, &[10, 20]);
    damage(&snapshot_path(&dir, 20), 40);
    damage(&snapshot_path(&dir, 10), 40);
    let error = open(dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("00000000000000000020.snapshot"),
        "{error}"
    );
    damage(&snapshot_path(&dir, 10), 40);
    std::fs::remove_file(log_path(&dir, 10)).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(MetaLogError::Gap { offset: 10, .. })
    ));

    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..25, &[10, 20]);
    std::fs::remove_file(log_path(&dir, 20)).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(MetaLogError::Gap { offset: 20, .. })
    ));
}

#[test]
fn a_finished_log_that_lost_its_end_is_noticed() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..25, &[10, 20]);
    damage(&snapshot_path(&dir, 20), 40);
    let log = std::fs::OpenOptions::new()
        .write(true)
        .open(log_path(&dir, 10))
        .unwrap();
    log.set_len(5 * BLOCK as u64).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(MetaLogError::Gap { offset: 14, .. })
    ));
}

#[test]
fn a_crash_between_the_new_log_and_its_snapshot_is_harmless() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..20, &[20]);
    std::fs::remove_file(snapshot_path(&dir, 20)).unwrap();
    write(
        dir.path().join("00000000000000000020.snapshot.tmp"),
        b"half of it",
    )
    .unwrap();
    assert_eq!(
        append(dir.path(), 20, 22),
        (image_of((0..20).map(config)), 22)
    );
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of((0..22).map(config)), 22)
    );
    assert_eq!(
        names(dir.path()),
        ["00000000000000000000.log", "00000000000000000020.log"]
    );
    append_with_snapshots(dir.path(), 22..23, &[23]);
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of((0..23).map(config)), 23)
    );
}

#[test]
fn a_snapshot_with_nothing_after_the_last_one_is_stored_anew() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..5, &[5]);
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (mut log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        let records = with_entries(opened).to_records();
        let mark = whole(&log);
        log.take_snapshot(mark, records).await.unwrap();
        store(&mut log, &[&[config(5)]]).await.unwrap();
    });
    assert_eq!(open(dir.path()).unwrap(), (image_of((0..6).map(config)), 6));
}

#[test]
fn a_snapshot_is_due_in_proportion_to_what_there_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let due_at = on_executor(move || async move {
        let options = MetaLogOptions {
            snapshot_records: 4,
            snapshot_bytes: u64::MAX,
        };
        let (mut log, opened) = MetaLog::open(&path, options).await.unwrap();
        let mut image = with_entries(opened);
        let mut due_at = Vec::new();
        for n in 0..40 {
            let record = Record::Config(ConfigRecord {
                resource: Resource::topic("t"),
                key: n.to_string(),
                value: Some(String::new()),
            });
            image.apply(&record).unwrap();
            store(&mut log, &[&[record]]).await.unwrap();
            if log.snapshot_is_due() {
                let mark = whole(&log);
                log.take_snapshot(mark, image.to_records()).await.unwrap();
                due_at.push(n + 1);
            }
        }
        due_at
    });
    assert_eq!(due_at, [4, 8, 16, 32]);
}

#[test]
fn a_full_drive_loses_nothing_and_the_log_goes_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        NO_ROOM.set(true);
        let error = store(&mut log, &[&[config(0)]]).await.unwrap_err();
        assert!(
            matches!(&error, MetaLogError::Full { .. }) && error.is_transient(),
            "{error}"
        );
        NO_ROOM.set(false);
        store(&mut log, &[&[config(1)]]).await.unwrap();
    });
    assert_eq!(open(dir.path()).unwrap(), (image_of([config(1)]), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Commits, snapshots, kills in the middle of a write, starts: the image is that of the commits
    /// that succeeded.
    #[test]
    fn the_log_remembers_every_commit(
        rounds in proptest::collection::vec((1..8i64, any::<bool>(), 0..3usize, any::<u8>()), 1..6),
    ) {
        let dir = TempDir::new().unwrap();
        let mut model: Vec<Record> = Vec::new();
        for (count, snapshot, torn, noise) in rounds {
            let from = model.len() as i64;
            let expected = image_of(model.clone());
            model.extend((from..from + count).map(config));
            let (path, after) = (dir.path().to_owned(), image_of(model.clone()));
            let (base, opened) = on_executor(move || async move {
                let (mut log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
                for n in from..from + count {
                    store(&mut log, &[&[config(n)]]).await.unwrap();
                }
                if snapshot {
                    let mark = whole(&log);
                    log.take_snapshot(mark, after.to_records()).await.unwrap();
                }
                (log.next_offset(), with_entries(opened))
            });
            prop_assert_eq!(opened, expected);
            prop_assert_eq!(base, model.len() as i64);
            // A write that a kill cut short: noise where the next commit would be.
            let last = names(dir.path()).into_iter().rfind(|name| name.ends_with(".log")).unwrap();
            let path = dir.path().join(last);
            let mut bytes = read(&path).unwrap();
            let end = scan_log(&bytes).unwrap().end;
            bytes.resize(bytes.len().max(end + torn * 512), 0);
            bytes[end..end + torn * 512].fill(noise);
            write(&path, bytes).unwrap();
        }
        let (image, next) = open(dir.path()).unwrap();
        prop_assert_eq!(image, image_of(model.clone()));
        prop_assert_eq!(next, model.len() as i64);
    }

    #[test]
    fn any_bytes_are_a_log_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..9000), headed: bool) {
        let mut file = if headed { log_header(0, 1) } else { Vec::new() };
        file.extend(bytes);
        let _ = scan_log(&file);
        let _ = read_snapshot(&file);
    }
}
