//! What a quorum asks of the stored log: entries that give way to others, promises that are kept,
//! snapshots of other nodes.

use std::fs::{read, write};

use tempfile::TempDir;

use super::super::log::format::read_promise;
use super::super::log::{Body, Entry, Mark, MetaLog, Promise};
use super::log::{
    NEVER, append_with_snapshots, committed, config, damage, image_of, log_path, names, open,
    snapshot_path, store, whole, with_entries,
};
use super::*;

/// An entry of the quorum's own.
fn own(index: u64, term: u64) -> Entry {
    let body = Body::Quorum(bytes::Bytes::from_static(b"of the quorum"));
    Entry { index, term, body }
}

#[test]
fn entries_that_the_quorum_did_not_take_make_room_for_others() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        let first = [
            own(2, 1),
            committed(3, 1, &[config(0)]),
            committed(4, 1, &[config(1), config(2)]),
            committed(5, 1, &[config(3)]),
        ];
        log.append(&first, 2).await.unwrap();
        assert_eq!((log.last_index(), log.next_offset()), (5, 5));
        assert_eq!(log.offset_after(4), Some(4));
        let others = [own(4, 2), committed(5, 2, &[config(9)])];
        log.append(&others, 2).await.unwrap();
        assert_eq!((log.last_index(), log.next_offset()), (5, 4));
        log.close().await.unwrap();
        let (log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        let expected = [&first[..2], &others[..]].concat();
        let told =
            |entries: &[Entry]| -> Vec<_> { entries.iter().map(|e| (e.index, e.term)).collect() };
        assert_eq!(told(&opened.entries), told(&expected));
        assert_eq!(opened.entries[0], own(2, 1));
        assert_eq!(
            opened.promise,
            Promise {
                term: 2,
                vote: None,
                commit: 2
            }
        );
        assert_eq!(with_entries(opened), image_of([config(0), config(9)]));
        log.close().await.unwrap();
    });
}

#[test]
fn entries_are_cut_off_across_files() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        for n in 0..6 {
            store(&mut log, &[&[config(n)]]).await.unwrap();
        }
        // The snapshot is of what was committed; the file that begins with it is behind all there is.
        let mark = Mark {
            next: 3,
            index: 4,
            ..whole(&log)
        };
        let records = image_of((0..3).map(config)).to_records();
        log.take_snapshot(mark, records).await.unwrap();
        store(&mut log, &[&[config(6)]]).await.unwrap();
        log.append(&[committed(6, 2, &[config(40)])], 0)
            .await
            .unwrap();
        assert_eq!((log.last_index(), log.next_offset()), (6, 5));
        log.append(&[committed(7, 2, &[config(50)])], 0)
            .await
            .unwrap();
        log.close().await.unwrap();
    });
    assert!(!log_path(&dir, 6).exists());
    let expected = [0, 1, 2, 3, 40, 50];
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of(expected.map(config)), 6)
    );
}

#[test]
fn a_promise_is_kept() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        let nothing = Promise {
            term: 1,
            vote: None,
            commit: 1,
        };
        assert_eq!(opened.promise, nothing);
        for promise in [(7, Some(3)), (8, None), (9, Some(0))] {
            let (term, vote) = promise;
            log.promise(Promise {
                term,
                vote,
                commit: 1,
            })
            .await
            .unwrap();
        }
        log.close().await.unwrap();
        let (mut log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        assert_eq!(
            opened.promise,
            Promise {
                term: 9,
                vote: Some(0),
                commit: 1
            }
        );
        // What a leader of a later term sent says that there is that term.
        log.append(&[own(2, 11)], 0).await.unwrap();
        log.close().await.unwrap();
        let (_, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        assert_eq!(
            opened.promise,
            Promise {
                term: 11,
                vote: None,
                commit: 1
            }
        );
    });
    let path = dir.path().join("quorum-state");
    let bytes = read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(read_promise(&damaged).is_err(), "byte {at}");
    }
    damage(&path, 15);
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("quorum-state"), "{error}");
}

/// The bytes of a snapshot of 20 records, as another node sends it.
fn sent() -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..20, &[20]);
    read(snapshot_path(&dir, 20)).unwrap()
}

#[test]
fn a_snapshot_of_another_node_takes_the_place_of_everything() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..5, &[3]);
    let (path, bytes) = (dir.path().to_owned(), sent());
    on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, NEVER).await.unwrap();
        assert!(log.install(&bytes[..bytes.len() - 1]).await.is_err());
        let (mark, image) = log.install(&bytes).await.unwrap();
        assert_eq!((mark.next, mark.index), (20, 21));
        assert_eq!(&mark.members[..], b"who takes part");
        assert_eq!(image, image_of((0..20).map(config)));
        store(&mut log, &[&[config(20)]]).await.unwrap();
        assert_eq!((log.last_index(), log.next_offset()), (22, 21));
        log.close().await.unwrap();
    });
    assert_eq!(
        names(dir.path()),
        ["00000000000000000020.log", "00000000000000000020.snapshot"]
    );
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of((0..21).map(config)), 21)
    );
}

#[test]
fn an_installation_that_a_crash_broke_off_is_finished() {
    let dir = TempDir::new().unwrap();
    append_with_snapshots(dir.path(), 0..5, &[3]);
    write(dir.path().join("00000000000000000020.received"), sent()).unwrap();
    std::fs::remove_file(snapshot_path(&dir, 3)).unwrap();
    assert_eq!(
        open(dir.path()).unwrap(),
        (image_of((0..20).map(config)), 20)
    );
}
