#![allow(clippy::unwrap_used, clippy::expect_used)]
use batch::{Batch, Builder, Compression, NewRecord};
use proptest::prelude::*;

use super::*;

/// A batch of `count` records of a producer, as it would be stored at `base_offset`.
fn info(id: i64, epoch: i16, sequence: i32, count: usize, base_offset: i64) -> BatchInfo {
    let mut builder = Builder::new(Compression::None).producer(id, epoch, sequence);
    for n in 0..count {
        builder.push(NewRecord {
            timestamp: 1_000 + n as i64,
            value: Some(b"v"),
            ..NewRecord::default()
        });
    }
    let mut bytes = bytes::BytesMut::from(&builder.build().unwrap()[..]);
    batch::stamp(&mut bytes, base_offset, 0);
    Batch::parse(&bytes).unwrap().info()
}

#[test]
fn a_retry_of_one_of_the_last_five_gets_its_first_offset() {
    let mut producers = Producers::default();
    for n in 0..7 {
        let batch = info(9, 0, n * 10, 10, i64::from(n) * 10);
        assert_eq!(producers.check(&batch), Ok(Verdict::Append));
        producers.record(&batch, 5);
    }
    for n in 2..7 {
        let retry = info(9, 0, n * 10, 10, 0);
        let Ok(Verdict::Duplicate(found)) = producers.check(&retry) else {
            panic!("batch {n} is not recognised");
        };
        assert_eq!(found.base_offset, i64::from(n) * 10);
    }
    let too_old = info(9, 0, 10, 10, 0);
    assert_eq!(
        producers.check(&too_old),
        Err(ProducerError::OutOfOrder {
            producer_id: 9,
            expected: 70,
            found: 10
        })
    );
}

#[test]
fn a_gap_is_refused() {
    let mut producers = Producers::default();
    producers.record(&info(9, 0, 0, 3, 0), 5);
    assert_eq!(
        producers.check(&info(9, 0, 4, 1, 0)),
        Err(ProducerError::OutOfOrder {
            producer_id: 9,
            expected: 3,
            found: 4
        })
    );
}

#[test]
fn a_batch_that_overlaps_a_remembered_one_but_differs_is_refused() {
    let mut producers = Producers::default();
    producers.record(&info(9, 0, 0, 3, 0), 5);
    assert!(matches!(
        producers.check(&info(9, 0, 0, 2, 0)),
        Err(ProducerError::OutOfOrder {
            expected: 3,
            found: 0,
            ..
        })
    ));
}

#[test]
fn a_new_epoch_begins_at_zero_and_an_old_one_is_fenced() {
    let mut producers = Producers::default();
    producers.record(&info(9, 3, 0, 1, 0), 5);
    assert!(matches!(
        producers.check(&info(9, 4, 1, 1, 0)),
        Err(ProducerError::OutOfOrder { .. })
    ));
    assert_eq!(producers.check(&info(9, 4, 0, 1, 0)), Ok(Verdict::Append));
    producers.record(&info(9, 4, 0, 1, 1), 5);
    assert_eq!(
        producers.check(&info(9, 3, 1, 1, 0)),
        Err(ProducerError::OldEpoch {
            producer_id: 9,
            current: 4,
            found: 3
        })
    );
}

#[test]
fn the_sequence_wraps_to_zero() {
    let mut producers = Producers::default();
    producers.record(&info(9, 0, i32::MAX - 1, 2, 0), 5);
    assert_eq!(producers.check(&info(9, 0, 0, 1, 0)), Ok(Verdict::Append));
}

#[test]
fn an_unknown_or_expired_producer_may_begin_anywhere() {
    let mut producers = Producers::default();
    assert_eq!(producers.check(&info(9, 0, 17, 1, 0)), Ok(Verdict::Append));
    producers.record(&info(9, 0, 17, 1, 0), 1_000);
    producers.expire(1_999, 1_000);
    assert_eq!(producers.len(), 1);
    producers.expire(2_000, 1_000);
    assert!(producers.is_empty());
}

#[test]
fn what_was_taken_back_may_be_sent_again() {
    let mut producers = Producers::default();
    producers.record(&info(9, 0, 0, 2, 0), 5);
    producers.record(&info(9, 0, 2, 2, 2), 5);
    producers.take_back(2);
    assert_eq!(producers.check(&info(9, 0, 2, 2, 0)), Ok(Verdict::Append));
    producers.take_back(0);
    assert!(producers.is_empty());
}

#[test]
fn batches_without_a_producer_leave_no_trace() {
    let mut producers = Producers::default();
    let batch = info(-1, -1, -1, 1, 0);
    assert_eq!(producers.check(&batch), Ok(Verdict::Append));
    producers.record(&batch, 5);
    assert!(producers.is_empty());
}

#[test]
fn kafkas_own_snapshot_is_read() {
    // One producer: id 4000, epoch 2, last sequence 1 of a batch of 3 that began before the wrap.
    let mut body = Vec::new();
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&4000i64.to_be_bytes());
    body.extend_from_slice(&2i16.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&77i64.to_be_bytes());
    body.extend_from_slice(&2i32.to_be_bytes());
    body.extend_from_slice(&123i64.to_be_bytes());
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&(-1i64).to_be_bytes());
    let mut bytes = 1i16.to_be_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    let producers = Producers::from_snapshot(&bytes).unwrap();
    assert_eq!(
        producers.check(&info(4000, 2, 2, 1, 0)),
        Ok(Verdict::Append)
    );
    let retry = producers.by_id[&4000].batches[0];
    assert_eq!((retry.first_sequence, retry.base_offset), (i32::MAX, 75));
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let mut producers = Producers::default();
    producers.record(&info(9, 0, 0, 2, 0), 5);
    let whole = producers.to_snapshot();
    for len in 0..whole.len() {
        assert!(
            Producers::from_snapshot(&whole[..len]).is_err(),
            "cut at {len}"
        );
    }
    for at in 2..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x40;
        assert_eq!(
            Producers::from_snapshot(&bytes),
            Err(SnapshotError::Checksum),
            "flip at {at}"
        );
    }
    let mut other = whole.to_vec();
    other[1] = 9;
    assert_eq!(
        Producers::from_snapshot(&other),
        Err(SnapshotError::Version(9))
    );
}

proptest! {
    #[test]
    fn a_snapshot_gives_back_the_same_state(
        writes in prop::collection::vec((0i64..4, 0i16..3, 0i32..1000, 1usize..4), 0..40)
    ) {
        let mut producers = Producers::default();
        let mut offset = 0;
        for (id, epoch, sequence, count) in writes {
            let batch = info(id, epoch, sequence, count, offset);
            if producers.check(&batch) == Ok(Verdict::Append) {
                producers.record(&batch, offset);
                offset = batch.last_offset + 1;
            }
        }
        prop_assert_eq!(&Producers::from_snapshot(&producers.to_snapshot()).unwrap(), &producers);
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Producers::from_snapshot(&bytes);
    }
}
