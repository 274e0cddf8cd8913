//! A share-partition, as its shell sees it.

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::partition::{
    AckBatch, AckError, Acquire, Acquired, Damaged, Settings, SharePartition, StateBatch,
    StoredState,
};

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

const SETTINGS: Settings = Settings {
    max_in_flight: 20,
    max_deliveries: 2,
    lock_ms: 100,
};

fn stored(start_offset: i64, batches: &[(i64, i64, i8, i16)]) -> StoredState {
    let batches = batches.iter();
    StoredState {
        state_epoch: 3,
        start_offset,
        batches: batches.map(|&batch| state_batch(batch)).collect(),
    }
}

fn state_batch(
    (first_offset, last_offset, delivery_state, count): (i64, i64, i8, i16),
) -> StateBatch {
    StateBatch {
        first_offset,
        last_offset,
        delivery_state,
        delivery_count: count,
    }
}

fn fresh() -> SharePartition {
    SharePartition::new(&stored(0, &[]), SETTINGS).unwrap()
}

fn acquire(
    partition: &mut SharePartition,
    member: Uuid,
    now_ms: u64,
    read: &[(i64, i64)],
    max_records: u32,
) -> Vec<(i64, i64, i16)> {
    let from = partition.next_fetch().unwrap_or(0);
    let wanted = Acquire {
        member,
        now_ms,
        from,
        read,
        aborted: &[],
        max_records,
        batch_size: 1000,
    };
    ranges(&partition.acquire(&wanted))
}

fn ranges(acquired: &[Acquired]) -> Vec<(i64, i64, i16)> {
    let each = acquired.iter();
    each.map(|got| (got.first_offset, got.last_offset, got.delivery_count))
        .collect()
}

fn ack(
    partition: &mut SharePartition,
    member: Uuid,
    first_offset: i64,
    last_offset: i64,
    types: &[i8],
) -> Result<bool, AckError> {
    let batch = AckBatch {
        first_offset,
        last_offset,
        types,
    };
    let ticket = partition.acknowledge(member, &[batch])?;
    Ok(ticket.is_some())
}

/// Stores what is to be stored. What was written.
fn store(partition: &mut SharePartition) -> (i64, Vec<StateBatch>) {
    let write = partition.next_write().unwrap();
    assert_eq!(partition.next_write(), None, "one at a time");
    partition.written(write.ticket, true);
    (write.start_offset, write.batches)
}

#[test]
fn records_go_to_one_member_and_the_start_follows_what_is_done() {
    let mut partition = fresh();
    assert_eq!(partition.next_fetch(), Some(0));
    let read = [(0, 4), (5, 9)];
    assert_eq!(acquire(&mut partition, A, 0, &read, 3), [(0, 4, 1)]);
    assert_eq!(partition.next_fetch(), Some(5));
    assert_eq!(acquire(&mut partition, B, 0, &read, 100), [(5, 9, 1)]);
    assert_eq!(
        ack(&mut partition, A, 5, 9, &[1]),
        Err(AckError::NotAcquired(5))
    );
    assert_eq!(ack(&mut partition, B, 5, 9, &[1]), Ok(true));
    assert_eq!(store(&mut partition), (0, vec![state_batch((5, 9, 2, 1))]));
    assert_eq!((partition.start_offset(), partition.in_flight()), (0, 10));
    assert_eq!(ack(&mut partition, A, 0, 4, &[1, 0, 3, 1, 1]), Ok(true));
    assert_eq!(partition.start_offset(), 0, "not before it is stored");
    assert_eq!(store(&mut partition), (10, vec![]));
    assert_eq!((partition.start_offset(), partition.in_flight()), (10, 0));
    assert_eq!(ack(&mut partition, A, 0, 4, &[1]), Ok(false));
}

#[test]
fn a_record_that_is_given_back_comes_again_until_it_was_delivered_too_often() {
    let mut partition = fresh();
    let read = [(0, 9)];
    assert_eq!(acquire(&mut partition, A, 0, &read, 100), [(0, 9, 1)]);
    assert_eq!(ack(&mut partition, A, 2, 4, &[2]), Ok(true));
    assert_eq!(partition.next_fetch(), Some(10), "not before it is stored");
    assert_eq!(store(&mut partition), (0, vec![state_batch((2, 4, 0, 1))]));
    assert_eq!(partition.next_fetch(), Some(2));
    assert_eq!(acquire(&mut partition, B, 0, &read, 100), [(2, 4, 2)]);
    assert_eq!(ack(&mut partition, B, 2, 2, &[2]), Ok(true));
    assert_eq!(store(&mut partition), (0, vec![state_batch((2, 2, 4, 2))]));
    assert_eq!(partition.next_fetch(), Some(10));
    assert_eq!(ack(&mut partition, A, 0, 1, &[1]), Ok(true));
    assert_eq!(store(&mut partition), (3, vec![]));
}

#[test]
fn a_lock_that_is_over_frees_the_record_and_the_member_comes_late() {
    let mut partition = fresh();
    let read = [(0, 1)];
    assert_eq!(acquire(&mut partition, A, 5, &read, 100), [(0, 1, 1)]);
    assert_eq!(partition.deadline(), Some(105));
    assert!(!partition.tick(104));
    assert!(partition.tick(105));
    assert_eq!(partition.deadline(), None);
    let late = ack(&mut partition, A, 0, 1, &[1]).unwrap_err();
    assert_eq!(late, AckError::NotAcquired(0));
    assert_eq!(late.error(), ResponseError::InvalidRecordState);
    assert_eq!(acquire(&mut partition, B, 105, &read, 100), [(0, 1, 2)]);
    // What is stored of it is that it was delivered once, and is free if B is not heard of again.
    assert_eq!(store(&mut partition), (0, vec![state_batch((0, 1, 0, 1))]));
    assert!(partition.tick(205));
    assert_eq!(
        (partition.start_offset(), partition.next_fetch()),
        (2, Some(2))
    );
    assert_eq!(store(&mut partition), (2, vec![]));
}

#[test]
fn a_lock_ends_although_an_acknowledgement_was_under_way_that_failed() {
    let mut partition = fresh();
    acquire(&mut partition, A, 0, &[(0, 3)], 100);
    assert_eq!(ack(&mut partition, A, 0, 3, &[1]), Ok(true));
    let twice = ack(&mut partition, A, 0, 3, &[1]);
    assert_eq!(twice, Err(AckError::NotAcquired(0)));
    let write = partition.next_write().unwrap();
    assert_eq!((write.start_offset, write.batches.len()), (4, 0));
    assert_eq!((partition.deadline(), partition.tick(1_000)), (None, false));
    partition.written(write.ticket, false);
    assert_eq!(
        (partition.start_offset(), partition.deadline()),
        (0, Some(100))
    );
    assert!(partition.tick(1_000));
    assert_eq!(
        acquire(&mut partition, B, 1_000, &[(0, 3)], 100),
        [(0, 3, 2)]
    );
}

#[test]
fn changes_that_come_while_a_write_is_out_go_together_with_the_next() {
    let mut partition = fresh();
    acquire(&mut partition, A, 0, &[(0, 9)], 100);
    assert_eq!(ack(&mut partition, A, 8, 9, &[1]), Ok(true));
    let first = partition.next_write().unwrap();
    for offset in 2..5 {
        assert_eq!(ack(&mut partition, A, offset, offset, &[3]), Ok(true));
    }
    assert_eq!(partition.release(B), None);
    assert!(partition.release(A).is_some());
    assert_eq!(partition.next_write(), None);
    partition.written(first.ticket, true);
    let said = [(0, 1, 0, 0), (2, 4, 4, 1), (5, 7, 0, 0)];
    assert_eq!(store(&mut partition), (0, said.map(state_batch).to_vec()));
    // A closed session isn't a delivery.
    assert_eq!(
        acquire(&mut partition, B, 0, &[(0, 9)], 100),
        [(0, 1, 1), (5, 7, 1)]
    );
}

#[test]
fn what_was_stored_is_taken_up_and_holes_in_it_were_never_delivered() {
    let state = stored(10, &[(3, 11, 0, 1), (12, 14, 2, 1), (20, 20, 4, 5)]);
    let mut partition = SharePartition::new(&state, SETTINGS).unwrap();
    assert_eq!((partition.start_offset(), partition.end_offset()), (10, 21));
    assert_eq!((partition.state_epoch(), partition.in_flight()), (3, 11));
    let read = [(8, 13), (14, 22)];
    let got = acquire(&mut partition, A, 0, &read, 100);
    assert_eq!(got, [(10, 11, 2), (15, 19, 1), (21, 22, 1)]);

    let done = stored(10, &[(10, 12, 2, 1), (13, 15, 4, 1)]);
    let partition = SharePartition::new(&done, SETTINGS).unwrap();
    assert_eq!((partition.start_offset(), partition.in_flight()), (16, 0));
    let wrong = [
        (
            stored(0, &[(0, 5, 0, 1), (5, 6, 0, 1)]),
            Damaged::Order {
                first: 5,
                last: 6,
                expected: 6,
            },
        ),
        (
            stored(0, &[(5, 3, 0, 1)]),
            Damaged::Order {
                first: 5,
                last: 3,
                expected: 0,
            },
        ),
        (
            stored(0, &[(0, i64::MAX, 0, 1)]),
            Damaged::Order {
                first: 0,
                last: i64::MAX,
                expected: 0,
            },
        ),
        (
            stored(0, &[(0, 1, 3, 1)]),
            Damaged::State { first: 0, state: 3 },
        ),
    ];
    for (state, damaged) in wrong {
        assert_eq!(SharePartition::new(&state, SETTINGS).err(), Some(damaged));
    }
}

#[test]
fn acknowledgements_that_make_no_sense_change_nothing() {
    let mut partition = fresh();
    let nothing = ack(&mut partition, A, 0, 0, &[1]);
    assert_eq!(nothing, Err(AckError::NotAcquired(0)));
    acquire(&mut partition, A, 0, &[(0, 4)], 100);
    let malformed = |first, last| Err(AckError::Malformed { first, last });
    assert_eq!(ack(&mut partition, A, 3, 2, &[1]), malformed(3, 2));
    assert_eq!(ack(&mut partition, A, 0, 2, &[]), malformed(0, 2));
    assert_eq!(ack(&mut partition, A, 0, 2, &[1, 1]), malformed(0, 2));
    let (first, last) = (i64::MIN, i64::MAX);
    assert_eq!(
        ack(&mut partition, A, first, last, &[1, 1]),
        malformed(first, last)
    );
    assert_eq!(ack(&mut partition, A, 0, 2, &[4]), Err(AckError::Type(4)));
    assert_eq!(
        ack(&mut partition, A, 0, 2, &[1, -1, 1]),
        Err(AckError::Type(-1))
    );
    let beyond = AckError::Beyond {
        last: 5,
        acquired: 4,
    };
    assert_eq!(ack(&mut partition, A, 0, 5, &[1]), Err(beyond));
    assert_eq!(beyond.error(), ResponseError::InvalidRequest);
    let batch = |first_offset, last_offset| AckBatch {
        first_offset,
        last_offset,
        types: &[1],
    };
    let overlapping = partition.acknowledge(A, &[batch(0, 2), batch(2, 3)]);
    assert_eq!(overlapping, Err(AckError::NotAcquired(2)));
    let backwards = partition.acknowledge(A, &[batch(3, 4), batch(0, 1)]);
    assert_eq!(backwards, Err(AckError::Malformed { first: 0, last: 1 }));
    assert_eq!(partition.next_write(), None);
    assert!(
        partition
            .acknowledge(A, &[batch(0, 1), batch(3, 4)])
            .unwrap()
            .is_some()
    );
    assert_eq!(store(&mut partition), (2, vec![state_batch((3, 4, 2, 1))]));
}

#[test]
fn records_that_are_gone_or_given_up_are_nobodys() {
    let mut partition = fresh();
    // Offsets 0-2 were compacted away, 5-9 and 12-14 are of transactions that were given up.
    let wanted = Acquire {
        member: A,
        now_ms: 0,
        from: 0,
        read: &[(3, 9), (10, 14)],
        aborted: &[(5, 9), (12, 20)],
        max_records: 100,
        batch_size: 100,
    };
    assert_eq!(
        ranges(&partition.acquire(&wanted)),
        [(3, 4, 1), (10, 11, 1)]
    );
    assert_eq!((partition.start_offset(), partition.end_offset()), (3, 15));
    partition.log_start(11);
    assert_eq!((partition.start_offset(), partition.in_flight()), (11, 4));
    assert_eq!(ack(&mut partition, A, 3, 4, &[1]), Ok(false));
    assert_eq!(ack(&mut partition, A, 10, 11, &[1]), Ok(true));
    assert_eq!(store(&mut partition), (15, vec![]));
    partition.log_start(100);
    assert_eq!(
        (partition.next_fetch(), partition.in_flight()),
        (Some(100), 0)
    );
}

#[test]
fn no_more_than_the_limit_is_in_flight_and_no_record_batch_is_cut() {
    let mut partition = fresh();
    let read = [(0, 7), (8, 15), (16, 23), (24, 31)];
    assert_eq!(acquire(&mut partition, A, 0, &read, 9), [(0, 15, 1)]);
    assert_eq!(
        acquire(&mut partition, B, 0, &read[2..], 500),
        [(16, 23, 1)]
    );
    assert_eq!(partition.next_fetch(), None);
    assert_eq!(ack(&mut partition, B, 16, 23, &[2]), Ok(true));
    store(&mut partition);
    assert_eq!(
        partition.next_fetch(),
        Some(16),
        "again is possible, anew isn't"
    );
    assert_eq!(acquire(&mut partition, B, 0, &read[2..], 1), [(16, 23, 2)]);
    assert_eq!(ack(&mut partition, A, 0, 15, &[1]), Ok(true));
    store(&mut partition);
    assert_eq!(partition.next_fetch(), Some(24));
    let none = acquire(&mut partition, B, 0, &read[3..], 0);
    assert_eq!(
        (none, acquire(&mut partition, B, 0, &[], 1)),
        (vec![], vec![])
    );
}

#[test]
fn what_is_acquired_is_told_in_pieces_of_whole_record_batches() {
    let mut partition = fresh();
    let read = [(0, 3), (4, 7), (8, 9), (10, 16), (17, 17)];
    let wanted = Acquire {
        member: A,
        now_ms: 0,
        from: 0,
        read: &read,
        aborted: &[],
        max_records: 500,
        batch_size: 5,
    };
    let pieces = partition.acquire(&wanted);
    assert_eq!(ranges(&pieces), [(0, 7, 1), (8, 16, 1), (17, 17, 1)]);
}
