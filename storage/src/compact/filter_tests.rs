#![allow(clippy::unwrap_used, clippy::expect_used)]

use batch::{Builder, Compression, ControlType, NewRecord};
use bytes::Bytes;

use super::*;

const NOW: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;

type Pair<'a> = (&'a [u8], Option<&'a [u8]>);

fn batch_at(base: i64, records: &[Pair<'_>]) -> Bytes {
    let mut builder = Builder::new(Compression::Lz4).base_offset(base);
    for (key, value) in records {
        builder.push(NewRecord {
            timestamp: NOW,
            key: Some(key).filter(|key| !key.is_empty()).copied(),
            value: *value,
            ..NewRecord::default()
        });
    }
    builder.build().unwrap()
}

fn rules_of(noted: &[Bytes], now_ms: i64) -> Rules {
    let mut keys = KeyMap::new(1 << 16, 0.9, u64::MAX);
    let hasher = KeyHasher::default();
    let limit = DecompressLimit::bytes(1 << 20);
    for bytes in noted {
        let batch = Batch::parse(bytes).unwrap();
        assert!(note_keys(&batch, 0, &mut keys, &hasher, limit).unwrap());
    }
    Rules {
        keys,
        hasher,
        now_ms,
        delete_retention_ms: DAY,
        limit,
    }
}

fn offsets(left: &Retained, original: &Bytes) -> Vec<i64> {
    let bytes = match left {
        Retained::All => original,
        Retained::Some(bytes) => bytes,
        Retained::None => return Vec::new(),
    };
    let batch = Batch::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    let records = batch.records(DecompressLimit::bytes(1 << 20)).unwrap();
    records
        .iter()
        .map(|record| record.unwrap().offset)
        .collect()
}

const KEEP: Verdict = Verdict {
    void: false,
    control: false,
    holds_place: false,
};

#[test]
fn the_last_record_of_each_key_stays() {
    let first = batch_at(
        0,
        &[(b"a", Some(b"1")), (b"b", Some(b"1")), (b"a", Some(b"2"))],
    );
    let second = batch_at(
        3,
        &[(b"b", Some(b"2")), (b"c", Some(b"1")), (b"", Some(b"x"))],
    );
    let rules = rules_of(&[first.clone(), second.clone()], NOW);
    let left = |bytes: &Bytes| {
        let batch = Batch::parse(bytes).unwrap();
        offsets(&rules.apply(&batch, KEEP).unwrap(), bytes)
    };
    assert_eq!(left(&first), [2]);
    assert_eq!(left(&second), [3, 4], "one without a key goes");
    let behind = batch_at(6, &[(b"a", Some(b"3")), (b"a", None), (b"", None)]);
    assert_eq!(left(&behind), [6, 7, 8], "it isn't covered");
    let batch = Batch::parse(&behind).unwrap();
    assert_eq!(rules.apply(&batch, KEEP).unwrap(), Retained::All);
}

#[test]
fn a_tombstone_stays_until_its_horizon_has_passed() {
    let bytes = batch_at(0, &[(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"1"))]);
    let at = |bytes: &Bytes, now_ms: i64| {
        let rules = rules_of(std::slice::from_ref(bytes), now_ms);
        let left = rules.apply(&Batch::parse(bytes).unwrap(), KEEP).unwrap();
        (offsets(&left, bytes), left)
    };
    let (found, left) = at(&bytes, NOW);
    assert_eq!(found, [1, 2]);
    let Retained::Some(aging) = left else {
        panic!("{left:?}")
    };
    let batch = Batch::parse(&aging).unwrap();
    assert!(batch.attributes().has_delete_horizon());
    assert_eq!(batch.base_timestamp(), NOW + DAY);
    assert_eq!(at(&aging, NOW + DAY - 1), (vec![1, 2], Retained::All));
    assert_eq!(at(&aging, NOW + DAY).0, [2]);
}

#[test]
fn a_place_that_is_held_is_an_empty_batch() {
    let first = batch_at(0, &[(b"a", Some(b"1"))]);
    let second = batch_at(1, &[(b"a", Some(b"2"))]);
    let rules = rules_of(&[first.clone(), second], NOW);
    let batch = Batch::parse(&first).unwrap();
    assert_eq!(rules.apply(&batch, KEEP).unwrap(), Retained::None);
    let hold = Verdict {
        holds_place: true,
        ..KEEP
    };
    let Retained::Some(emptied) = rules.apply(&batch, hold).unwrap() else {
        panic!("it is held")
    };
    let batch = Batch::parse(&emptied).unwrap();
    assert_eq!((batch.record_count(), batch.last_offset()), (0, 0));
    assert_eq!(rules.apply(&batch, hold).unwrap(), Retained::All);
    assert_eq!(rules.apply(&batch, KEEP).unwrap(), Retained::None);
}

#[test]
fn records_that_are_void_go_at_once_and_markers_after_a_time() {
    let rules = |now_ms| rules_of(&[batch_at(0, &[(&b"z"[..], Some(&b"1"[..])); 9])], now_ms);
    let void = Verdict { void: true, ..KEEP };
    let data = batch_at(0, &[(b"a", Some(b"1"))]);
    let batch = Batch::parse(&data).unwrap();
    assert_eq!(rules(NOW).apply(&batch, void).unwrap(), Retained::None);

    let marker = Builder::end_transaction(ControlType::Abort, 1, 0, 0, NOW);
    let marker = marker.base_offset(5).build().unwrap();
    let batch = Batch::parse(&marker).unwrap();
    let control = Verdict {
        control: true,
        ..KEEP
    };
    assert_eq!(rules(NOW).apply(&batch, control).unwrap(), Retained::All);
    let void = Verdict {
        void: true,
        ..control
    };
    let Retained::Some(aging) = rules(NOW).apply(&batch, void).unwrap() else {
        panic!("it begins to age")
    };
    let batch = Batch::parse(&aging).unwrap();
    assert!(batch.attributes().has_delete_horizon());
    let early = rules(NOW + DAY - 1).apply(&batch, void).unwrap();
    assert_eq!(early, Retained::All);
    assert_eq!(
        rules(NOW + DAY).apply(&batch, void).unwrap(),
        Retained::None
    );
    let not_void = rules(NOW + DAY).apply(&batch, control).unwrap();
    assert_eq!(not_void, Retained::All, "there are records again");
}
