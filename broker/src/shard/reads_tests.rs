#![allow(clippy::unwrap_used, clippy::expect_used)]
use batch::{Builder, Compression, ControlType, NewRecord};

use super::*;

fn data(id: i64, base: i64, transactional: bool) -> Vec<u8> {
    let mut builder = Builder::new(Compression::None)
        .base_offset(base)
        .producer(id, 0, 0);
    if transactional {
        builder = builder.transactional();
    }
    for _ in 0..3 {
        builder.push(NewRecord::default());
    }
    builder.build().unwrap().to_vec()
}

fn marker(id: i64, base: i64) -> Vec<u8> {
    let marker = Builder::end_transaction(ControlType::Abort, id, 0, 0, 0).base_offset(base);
    marker.build().unwrap().to_vec()
}

fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTransaction {
    AbortedTransaction {
        producer_id,
        first_offset,
        last_offset,
        last_stable_offset: last_offset + 1,
    }
}

#[test]
fn readers_are_told_of_what_they_get_records_of() {
    let records = [
        Bytes::from([data(1, 10, true), data(2, 13, true), marker(1, 16)].concat()),
        Bytes::from([data(1, 17, true), data(3, 20, false), data(4, 23, true)].concat()),
    ];
    let told = |known: &[AbortedTransaction]| in_records(known, &records);
    assert_eq!(told(&[]), []);
    // One that began before, one whose end is yet to come, in the order of their offsets.
    let both = [aborted(2, 13, 99), aborted(1, 5, 16)];
    assert_eq!(told(&both), [(1, 5), (2, 13)]);
    // The producer's next transaction is another one.
    assert_eq!(
        told(&[aborted(1, 5, 16), aborted(1, 17, 40)]),
        [(1, 5), (1, 17)]
    );
    // Of these there is nothing: of before, of another producer, not of a transaction, only the marker.
    assert_eq!(told(&[aborted(4, 20, 22)]), []);
    assert_eq!(told(&[aborted(5, 0, 99)]), []);
    assert_eq!(told(&[aborted(3, 20, 30)]), []);
    assert_eq!(told(&[aborted(1, 13, 16)]), []);
}
