use super::*;
use proptest::prelude::*;

const END: SegmentEnd = SegmentEnd {
    relative: 1_000_000,
    position: 1 << 30,
};

fn offset(relative: u32, position: u32) -> OffsetEntry {
    OffsetEntry { relative, position }
}

fn time(timestamp: i64, relative: u32) -> TimeEntry {
    TimeEntry {
        timestamp,
        relative,
    }
}

#[test]
fn entries_lie_in_the_file_as_kafka_writes_them() {
    assert_eq!(
        encode(&[offset(1, 0x0203), offset(0x10, 0x0400)]),
        [0, 0, 0, 1, 0, 0, 2, 3, 0, 0, 0, 0x10, 0, 0, 4, 0]
    );
    assert_eq!(
        encode(&[time(0x0102, 7)]),
        [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7]
    );
}

#[test]
fn each_fault_of_a_file_is_named() {
    let good = [offset(5, 100), offset(9, 200)];
    assert_eq!(
        decode::<OffsetEntry>(&encode(&good), END),
        Ok(good.to_vec())
    );
    assert_eq!(
        decode::<OffsetEntry>(&encode(&good)[..9], END),
        Err(IndexFault::Length)
    );
    assert_eq!(
        decode::<OffsetEntry>(&encode(&[offset(5, 100), offset(5, 200)]), END),
        Err(IndexFault::Order(1))
    );
    assert_eq!(
        decode::<OffsetEntry>(&encode(&[offset(5, 100), offset(6, 100)]), END),
        Err(IndexFault::Order(1))
    );
    let end = SegmentEnd {
        relative: 9,
        position: 1000,
    };
    assert_eq!(
        decode::<OffsetEntry>(&encode(&good), end),
        Err(IndexFault::Beyond(1))
    );
    let mut index = SparseIndex::in_file(3);
    assert_eq!(index.load(good.to_vec()), Err(IndexFault::Short));
}

#[test]
fn zeros_that_kafka_preallocated_are_left_off() {
    let mut bytes = encode(&[offset(5, 100)]);
    bytes.resize(8 * 100, 0);
    assert_eq!(decode::<OffsetEntry>(&bytes, END), Ok(vec![offset(5, 100)]));
    assert_eq!(decode::<OffsetEntry>(&[0; 800], END), Ok(vec![]));
    assert_eq!(decode::<TimeEntry>(&[0; 1200], END), Ok(vec![]));
    // One record at the start of a segment is an entry, not a blank.
    assert_eq!(
        decode::<TimeEntry>(&encode(&[time(0, 0)]), END),
        Ok(vec![time(0, 0)])
    );
    // Zeros between entries are no padding.
    let mut bytes = encode(&[offset(5, 100), offset(0, 0), offset(7, 300)]);
    assert_eq!(
        decode::<OffsetEntry>(&bytes, END),
        Err(IndexFault::Order(1))
    );
    bytes.truncate(16);
    assert_eq!(decode::<OffsetEntry>(&bytes, END), Ok(vec![offset(5, 100)]));
}

#[test]
fn entries_move_to_the_file_and_can_be_unloaded() {
    let mut index = SparseIndex::new();
    for at in 1..=10 {
        assert!(index.push(offset(at * 10, at * 100)));
    }
    assert!(!index.push(offset(100, 5000)), "an entry has to grow");
    assert_eq!(index.not_stored(4).len(), 4);
    index.mark_stored(4);
    assert_eq!((index.stored(), index.len()), (4, 10));
    assert_eq!(index.floor(25), Floor::Entry(offset(20, 200)));
    index.unload();
    assert_eq!(index.floor(25), Floor::NotLoaded);
    assert_eq!(index.floor(55), Floor::Entry(offset(50, 500)));
    let file: Vec<_> = (1..=6).map(|at| offset(at * 10, at * 100)).collect();
    index.load(file).unwrap();
    assert_eq!(index.floor(45), Floor::Entry(offset(40, 400)));
    assert_eq!(index.floor(5), Floor::Start);
    index.cut(SegmentEnd {
        relative: 71,
        position: 700,
    });
    assert_eq!(index.last(), Some(offset(60, 600)));
}

#[test]
fn an_entry_is_due_after_the_interval() {
    let mut indexes = Indexes::new();
    for at in 0..10_u32 {
        indexes.note(
            offset(at, at * 1000),
            1000,
            Some(time(i64::from(at) + 7, at)),
            2500,
        );
    }
    // Due at the first batch after more than 2500 bytes: the 4th, then each third after it.
    let expected = [offset(3, 3000), offset(6, 6000), offset(9, 9000)];
    assert_eq!(indexes.offsets.not_stored(99), expected);
    assert_eq!(indexes.times.len(), 3);
}

proptest! {
    #[test]
    fn any_entries_survive_their_file(steps in proptest::collection::vec((1..100_u32, 1..5000_u32), 0..200)) {
        let (mut relative, mut position) = (0, 0);
        let entries: Vec<_> = steps.iter().map(|&(r, p)| { relative += r; position += p; offset(relative, position) }).collect();
        prop_assert_eq!(decode::<OffsetEntry>(&encode(&entries), END), Ok(entries));
    }

    #[test]
    fn any_bytes_are_an_error_or_in_order(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entries) = decode::<OffsetEntry>(&bytes, END) {
            prop_assert!(entries.is_sorted_by(|a, b| b.follows(a)));
            prop_assert!(entries.iter().all(|entry| entry.is_below(END)));
        }
        if let Ok(entries) = decode::<TimeEntry>(&bytes, END) {
            prop_assert!(entries.is_sorted_by(|a, b| b.follows(a)));
        }
    }

    #[test]
    fn a_floor_is_the_last_not_above(keys in proptest::collection::btree_set(1..10_000_u32, 0..100), stored in 0..100_usize, asked in 0..10_000_i64) {
        let mut index = SparseIndex::new();
        for (at, &key) in keys.iter().enumerate() { index.push(offset(key, at as u32 + 1)); }
        index.mark_stored(stored);
        let expected = keys.iter().rev().find(|&&key| i64::from(key) <= asked);
        match index.floor(asked) {
            Floor::Entry(entry) => prop_assert_eq!(Some(&entry.relative), expected),
            Floor::Start => prop_assert_eq!(None, expected),
            Floor::NotLoaded => prop_assert!(false),
        }
    }
}
