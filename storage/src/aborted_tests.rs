#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;

/// Entries as a log has them: `lives` are, transaction by transaction, how many markers come before its own
/// since it began.
fn entries(lives: &[u8]) -> Vec<AbortedTransaction> {
    let firsts = lives.iter().enumerate().map(|(at, &live)| {
        let marker = 10 * at as i64 + 9;
        (marker - 10 * i64::from(live) - 5).max(at as i64 % 5)
    });
    let firsts: Vec<i64> = firsts.collect();
    let open_after = |at: usize| firsts[at + 1..].iter().min().copied();
    let entry = |at: usize| {
        let last_offset = 10 * at as i64 + 9;
        let next = open_after(at).unwrap_or(i64::MAX);
        AbortedTransaction {
            producer_id: at as i64,
            first_offset: firsts[at],
            last_offset,
            last_stable_offset: next.min(last_offset + 1),
        }
    };
    (0..lives.len()).map(entry).collect()
}

fn index(entries: &[AbortedTransaction]) -> AbortedIndex {
    let mut index = AbortedIndex::default();
    for entry in entries {
        index.note(*entry);
    }
    index
}

#[test]
fn a_transaction_is_noted_once_and_in_order() {
    let all = entries(&[0, 0, 0]);
    let mut index = index(&all);
    index.note(all[1]);
    assert_eq!(index.search(0, 100).newest, all);
    assert_eq!(index.cut(19), Cut::default());
    assert_eq!(index.search(0, 100).newest, all[..1]);
    index.note(all[1]);
    assert_eq!(index.search(0, 100).newest, all[..2]);
}

#[test]
fn full_chunks_leave_the_list() {
    let lives = vec![0; CHUNK * 2 + 3];
    let all = entries(&lives);
    let mut index = index(&all);
    let captured = index.capture().unwrap();
    assert_eq!(captured.chunks.len(), 2);
    // Nobody finds less meanwhile.
    assert_eq!(index.search(0, 20).newest.len(), 2);
    index.written(&captured);
    assert!(index.capture().is_none(), "nothing changed");
    let read = AbortedIndex::decode(&captured.list).unwrap();
    assert_eq!((&read.chunks, &read.newest), (&index.chunks, &index.newest));
    assert_eq!(read.newest, all[CHUNK * 2..]);
    for (at, (chunk, bytes)) in captured.chunks.iter().enumerate() {
        let entries = decode_chunk(bytes).unwrap();
        assert_eq!(entries, all[CHUNK * at..CHUNK * (at + 1)]);
        assert_eq!(chunk.first, entries[0].last_offset);
        assert_eq!(chunk.last, entries[CHUNK - 1].last_offset);
    }
    // A cut in the first chunk divides it, and takes the second one out.
    let first = captured.chunks[0].0;
    let cut = index.cut(25);
    assert_eq!((cut.divided, cut.removed.len()), (Some(first), 2));
    index.reopen(&all[..CHUNK], 25);
    assert_eq!(index.search(0, i64::MAX).newest, all[..2]);
}

#[test]
fn what_lies_below_the_start_is_forgotten() {
    let all = entries(&vec![0; CHUNK + 2]);
    let mut index = index(&all);
    let captured = index.capture().unwrap();
    index.written(&captured);
    assert_eq!(index.drop_below(captured.chunks[0].0.last), []);
    assert_eq!(index.drop_below(all[CHUNK].last_offset + 1).len(), 1);
    assert_eq!(index.search(0, i64::MAX).newest, all[CHUNK + 1..]);
    assert!(index.capture().unwrap().chunks.is_empty());
}

#[test]
fn kafkas_index_is_read() {
    // As Kafka's AbortedTxn writes it.
    let mut bytes = Vec::new();
    for (producer, first, last, stable) in [(4000i64, 0i64, 9i64, 3i64), (4001, 3, 12, 13)] {
        bytes.extend_from_slice(&0i16.to_be_bytes());
        for number in [producer, first, last, stable] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    let found = decode_kafka(&bytes).unwrap();
    assert_eq!(
        found[1],
        AbortedTransaction {
            producer_id: 4001,
            first_offset: 3,
            last_offset: 12,
            last_stable_offset: 13
        }
    );
    assert_eq!(decode_kafka(&[]), Some(Vec::new()));
    assert_eq!(decode_kafka(&bytes[..67]), None, "cut short");
    bytes[1] = 1;
    assert_eq!(decode_kafka(&bytes), None, "of another version");
}

proptest! {
    #[test]
    fn readers_find_what_concerns_them(
        lives in prop::collection::vec(0u8..6, 0..40),
        from in 0i64..400,
        len in 1i64..100,
    ) {
        let all = entries(&lives);
        let mut found = Vec::new();
        overlapping(&all, (from, from + len), &mut found);
        let concerns = |one: &&AbortedTransaction| {
            one.last_offset >= from && one.first_offset < from + len
        };
        let expected: Vec<_> = all.iter().filter(concerns).copied().collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn damage_is_seen(at in 0usize..200, flip in 1u8..) {
        let captured = index(&entries(&[0, 3, 1])).capture().unwrap();
        let mut list = captured.list;
        let at = at % list.len();
        list[at] ^= flip;
        prop_assert!(AbortedIndex::decode(&list).is_none());
        prop_assert!(AbortedIndex::decode(&list[..at]).is_none());
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(AbortedIndex::decode(&bytes).is_none());
        let _ = (decode_chunk(&bytes), decode_kafka(&bytes));
    }
}
