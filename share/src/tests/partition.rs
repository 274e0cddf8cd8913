//! A share-partition, as its shell sees it.

use uuid::Uuid;

use crate::partition::{
    AckBatch, AckError, Acquire, Acquired, Settings, SharePartition, StateBatch, StoredState,
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
