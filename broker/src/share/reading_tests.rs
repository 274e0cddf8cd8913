//! What is given to nobody, and what is cut off.

use batch::{Builder, Compression, NewRecord};

use super::*;

fn batch(first: i64, records: i32, producer: Option<i64>) -> Bytes {
    let mut builder = Builder::new(Compression::None).base_offset(first);
    if let Some(id) = producer {
        builder = builder.producer(id, 0, 0).transactional();
    }
    for _ in 0..records {
        builder.push(NewRecord {
            value: Some(b"v"),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

fn marker(offset: i64, producer: i64) -> Bytes {
    let record = NewRecord {
        value: Some(b"v"),
        ..NewRecord::default()
    };
    Builder::new(Compression::None)
        .base_offset(offset)
        .producer(producer, 0, -1)
        .transactional()
        .control()
        .record(record)
        .build()
        .expect("a marker")
}

#[test]
fn nobody_is_given_markers_or_what_was_given_up() {
    let records = [
        batch(0, 2, Some(7)),
        batch(2, 1, Some(8)),
        batch(3, 1, None),
        marker(4, 7),
        batch(5, 2, Some(7)),
        marker(7, 8),
        marker(8, 7),
    ];
    // The first transaction of producer 7 was given up, its second one and that of producer 8 weren't.
    let found = for_nobody(&records, &[(7, 0)]);
    assert_eq!(found, [(0, 1), (4, 4), (7, 7), (8, 8)]);
    assert_eq!(for_nobody(&records, &[]), [(4, 4), (7, 7), (8, 8)]);
    let second = for_nobody(&records, &[(7, 5)]);
    assert_eq!(second, [(4, 4), (5, 6), (7, 7), (8, 8)]);
}

#[test]
fn batches_that_no_acquired_record_is_in_are_cut_off() {
    let joined = |parts: &[Bytes]| Bytes::from(parts.concat());
    let all = [
        batch(0, 3, None),
        batch(3, 3, None),
        batch(6, 3, None),
        batch(9, 3, None),
    ];
    let records = || vec![joined(&all[..3]), all[3].clone()];
    let cut = |first, last| {
        let kept = overlapping(records(), first, last);
        ranges(&kept)
            .into_iter()
            .map(|(base, _)| base)
            .collect::<Vec<_>>()
    };
    assert_eq!(cut(0, 11), [0, 3, 6, 9]);
    assert_eq!(cut(1, 1), [0]);
    assert_eq!(cut(4, 8), [3, 6]);
    assert_eq!(cut(8, 9), [6, 9]);
    assert_eq!(cut(11, 20), [9]);
    assert_eq!(cut(12, 20), [0_i64; 0]);
    let kept = overlapping(records(), 3, 5);
    assert_eq!(kept.len(), 1);
    assert!(kept[0].as_ptr() as usize > 0 && kept[0].len() == all[1].len());
}
