//! What a fetch gives: which batches, up to which size, and what it says beside them.

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::PartitionData;
use uuid::Uuid;

use super::node::{Node, against_another, shared, unique};
use super::records::{
    BY_NAME, PLENTY, Topic, batch, create, fetch, fetch_in, fetch_request, partitions_of,
    records_at, rows, sized, spans, store, wanted,
};
use super::wire::Connection;
use crate::harness::Options;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_LEADER_EPOCH: i16 = 75;
const UNKNOWN_TOPIC_ID: i16 = 100;
const LAST: i16 = 18;

/// Bytes of records in each partition of an answer.
fn sizes(partitions: &[PartitionData]) -> Vec<(i32, usize)> {
    let size = |p: &PartitionData| p.records.as_ref().map_or(0, Bytes::len);
    partitions
        .iter()
        .map(|p| (p.partition_index, size(p)))
        .collect()
}

// Point 34.
#[test]
fn a_fetch_begins_with_the_batch_that_has_the_offset() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "inside", 1, &[]);
    let mut sets = Vec::new();
    for count in [5, 1, 10] {
        let set = batch(count);
        store(&mut connection, &topic, 0, &set);
        sets.push(set);
    }
    for (offset, first) in [(0, 0), (1, 0), (4, 0), (5, 1), (6, 2), (11, 2), (15, 2)] {
        let found = records_at(&mut connection, &topic, 0, offset);
        let expected = [(0, 4), (5, 5), (6, 15)];
        assert_eq!(spans(&found), expected[first..], "offset {offset}");
        // All of each batch, bit for bit behind the two fields that the broker writes.
        assert_eq!(
            &found[17..sets[first].len()],
            &sets[first][17..],
            "offset {offset}"
        );
    }
}

// Point 34: with more batches than one answer has, and sizes that don't fall on their borders.
#[test]
fn batches_are_never_cut_and_none_is_left_out() {
    if against_another() {
        // Kafka may end an answer with a part of a batch, which clients ignore.
        return;
    }
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "whole", 1, &[]);
    let counts = [3, 1, 7, 2, 9, 1, 1, 30];
    for count in counts {
        store(&mut connection, &topic, 0, &batch(count));
    }
    let end: i64 = counts.iter().map(|count| *count as i64).sum();
    for most in [1, 100, 250, 777, PLENTY] {
        let (mut next, mut seen) = (0, Vec::new());
        while next < end {
            let request = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, next, most)])]);
            let partitions = partitions_of(connection.call(BY_NAME, &request));
            let found = partitions[0].records.clone().expect("records");
            let limit = usize::try_from(most).expect("a size");
            assert!(spans(&found).len() == 1 || found.len() <= limit, "{most}");
            seen.extend(rows(&found).into_iter().map(|row| row.0));
            next = seen.last().expect("at least one batch") + 1;
        }
        assert!(seen.iter().copied().eq(0..end), "{most}: {seen:?}");
    }
}

// Point 35.
#[test]
fn a_first_batch_beyond_the_limits_is_given_all_the_same() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "first", 3, &[]);
    for index in [1, 2] {
        store(&mut connection, &topic, index, &sized(5_000));
    }
    for (of_partition, of_all) in [(1, PLENTY), (PLENTY, 1), (1, 1), (0, 0), (100, 4_999)] {
        let all = [
            (0, 0, of_partition),
            (1, 0, of_partition),
            (2, 0, of_partition),
        ];
        let request = fetch_request(vec![wanted(BY_NAME, &topic, &all)]);
        let answer = connection.call(BY_NAME, &request.with_max_bytes(of_all));
        let found = sizes(&partitions_of(answer));
        // Of the first partition that has one, and of no other: it isn't the first any more.
        assert_eq!(
            found,
            [(0, 0), (1, 5_000), (2, 0)],
            "{of_partition} {of_all}"
        );
    }
}

// Point 35: the limit of all is filled in the order of the request.
#[test]
fn partitions_are_filled_in_the_order_asked_for() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "filled", 4, &[]);
    for index in 0..4 {
        for _ in 0..3 {
            store(&mut connection, &topic, index, &sized(1_000));
        }
    }
    let mut given = |order: [i32; 4], most: i32, of_all: i32| {
        let asked = order.map(|index| (index, 0, most));
        let request = fetch_request(vec![wanted(BY_NAME, &topic, &asked)]);
        let answer = connection.call(BY_NAME, &request.with_max_bytes(of_all));
        let mut found = sizes(&partitions_of(answer));
        found.sort_by_key(|(index, _)| order.iter().position(|at| at == index));
        found.into_iter().map(|(_, size)| size).collect::<Vec<_>>()
    };
    assert_eq!(given([0, 1, 2, 3], PLENTY, 12_000), [3_000; 4]);
    assert_eq!(given([2, 0, 3, 1], PLENTY, 6_000), [3_000, 3_000, 0, 0]);
    assert_eq!(given([3, 2, 1, 0], 2_000, 5_000), [2_000, 2_000, 1_000, 0]);
    assert_eq!(given([1, 3, 0, 2], 1_000, 3_000), [1_000, 1_000, 1_000, 0]);
}

// Point 35: fetch.max.bytes.
#[test]
fn the_brokers_own_limit_holds() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("fetch.max.bytes", "2500"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "own-limit", 1, &[]);
    for _ in 0..5 {
        store(&mut connection, &topic, 0, &sized(1_000));
    }
    assert_eq!(records_at(&mut connection, &topic, 0, 0).len(), 2_000);
    // More than can ever come together isn't waited for.
    let asked = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let asked = asked
        .with_min_bytes(PLENTY)
        .with_max_wait_ms(super::wire::FOR_EVER);
    let answer = connection.call(BY_NAME, &asked);
    assert!(partitions_of(answer)[0].records.is_some());
}

// Point 36.
#[test]
fn offsets_outside_the_log_are_out_of_range_and_its_end_is_not() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "range", 1, &[]);
    let empty = fetch(&mut connection, &topic, 0, 0);
    assert_eq!(
        (
            empty.error_code,
            empty.high_watermark,
            empty.log_start_offset
        ),
        (0, 0, 0)
    );
    store(&mut connection, &topic, 0, &batch(4));
    for offset in [-1, -2, 5, i64::MAX] {
        let found = fetch(&mut connection, &topic, 0, offset);
        assert_eq!(found.error_code, OFFSET_OUT_OF_RANGE, "offset {offset}");
        assert_eq!(found.records.map_or(0, |records| records.len()), 0);
        assert!(
            matches!(found.high_watermark, -1 | 4),
            "{}",
            found.high_watermark
        );
    }
    let end = fetch(&mut connection, &topic, 0, 4);
    assert_eq!(
        (end.error_code, end.high_watermark, end.last_stable_offset),
        (0, 4, 4)
    );
    assert_eq!(end.records.map_or(0, |records| records.len()), 0);
    assert_eq!(
        super::retention::delete_before(&mut connection, &topic, 2),
        (0, 2)
    );
    assert_eq!(
        fetch(&mut connection, &topic, 0, 1).error_code,
        OFFSET_OUT_OF_RANGE
    );
    // The batch still begins below; clients drop what they didn't ask for.
    let rest = fetch(&mut connection, &topic, 0, 2);
    assert_eq!((rest.error_code, rest.log_start_offset), (0, 2));
    assert_eq!(spans(&rest.records.expect("records")), [(0, 3)]);
}

// Point 36 and 17.
#[test]
fn partitions_that_do_not_exist_are_told_beside_those_that_do() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "beside", 1, &[]);
    store(&mut connection, &topic, 0, &batch(1));
    for version in 4..=LAST {
        let asked = [(0, 0, PLENTY), (1, 0, PLENTY), (-1, 0, PLENTY)];
        let request = fetch_request(vec![wanted(version, &topic, &asked)]);
        let mut partitions = partitions_of(connection.call(version, &request));
        partitions.sort_by_key(|p| p.partition_index);
        let codes: Vec<_> = partitions
            .iter()
            .map(|p| (p.partition_index, p.error_code))
            .collect();
        let unknown = UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(
            codes,
            [(-1, unknown), (0, 0), (1, unknown)],
            "version {version}"
        );
        assert!(partitions[2].records.as_ref().is_none_or(Bytes::is_empty));
    }
}

// Point 38.
#[test]
fn topics_are_known_by_id_since_version_13() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "by-id", 2, &[]);
    store(&mut connection, &topic, 1, &batch(3));
    let nobody = Topic {
        name: unique("nobody"),
        id: Uuid::from_u128(0xfeed_0000_0000_0000_0000_0000_0000_0001),
    };
    for version in 13..=LAST {
        let found = fetch_in(&mut connection, version, &topic, 1, 0);
        assert_eq!(
            (found.error_code, found.high_watermark),
            (0, 3),
            "version {version}"
        );
        let found = fetch_in(&mut connection, version, &nobody, 0, 0);
        assert_eq!(found.error_code, UNKNOWN_TOPIC_ID, "version {version}");
        assert_eq!(found.high_watermark, -1);
    }
    for version in 4..=BY_NAME {
        let found = fetch_in(&mut connection, version, &nobody, 0, 0);
        assert_eq!(
            found.error_code, UNKNOWN_TOPIC_OR_PARTITION,
            "version {version}"
        );
    }
}

fn with_epochs(
    connection: &mut Connection,
    topic: &Topic,
    offset: i64,
    (current, last_fetched): (i32, i32),
) -> PartitionData {
    let mut asked = wanted(BY_NAME, topic, &[(0, offset, PLENTY)]);
    asked.partitions[0].current_leader_epoch = current;
    asked.partitions[0].last_fetched_epoch = last_fetched;
    partitions_of(connection.call(BY_NAME, &fetch_request(vec![asked]))).remove(0)
}

// Point 39, as far as a leader that never changed its epoch can show it.
#[test]
fn leader_epochs_are_compared() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "epochs", 1, &[]);
    store(&mut connection, &topic, 0, &batch(3));
    let present = with_epochs(&mut connection, &topic, 0, (0, -1));
    assert_eq!(
        (present.error_code, present.records.map(|r| spans(&r))),
        (0, Some(vec![(0, 2)]))
    );
    let future = with_epochs(&mut connection, &topic, 0, (1, -1));
    assert_eq!(future.error_code, UNKNOWN_LEADER_EPOCH);
    assert_eq!(future.records.map_or(0, |records| records.len()), 0);
    // What the client has last is in the log: no divergence.
    let same = with_epochs(&mut connection, &topic, 3, (0, 0));
    assert_eq!((same.error_code, same.diverging_epoch.epoch), (0, -1));
    // The client has more of the epoch than the log: it has to cut off.
    let longer = with_epochs(&mut connection, &topic, 9, (0, 0));
    assert_eq!(longer.error_code, 0);
    assert_eq!(
        (
            longer.diverging_epoch.epoch,
            longer.diverging_epoch.end_offset
        ),
        (0, 3)
    );
    assert_eq!(longer.records.map_or(0, |records| records.len()), 0);
    // An epoch that is not known here ends nowhere.
    let unknown = with_epochs(&mut connection, &topic, 0, (0, 7));
    assert_eq!(
        (unknown.error_code, unknown.diverging_epoch.epoch),
        (OFFSET_OUT_OF_RANGE, -1)
    );
}

// Point 29, as far as there are no transactions: all that is stored is stable, and nothing aborted.
#[test]
fn read_committed_reads_everything() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "committed", 1, &[]);
    store(&mut connection, &topic, 0, &batch(5));
    for version in 4..=LAST {
        for isolation in [0, 1] {
            let request = fetch_request(vec![wanted(version, &topic, &[(0, 0, PLENTY)])]);
            let request = request.with_isolation_level(isolation);
            let found = partitions_of(connection.call(version, &request)).remove(0);
            assert_eq!((found.high_watermark, found.last_stable_offset), (5, 5));
            assert_eq!(found.aborted_transactions.map_or(0, |list| list.len()), 0);
            assert_eq!(found.preferred_read_replica.0, -1);
            assert_eq!(spans(&found.records.expect("records")), [(0, 4)]);
        }
    }
}

// A client may be in any rack: the one replica there is answers.
#[test]
fn racks_change_nothing_on_one_node() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "rack", 1, &[]);
    store(&mut connection, &topic, 0, &batch(1));
    let request = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let request = request.with_rack_id(super::wire::text("elsewhere"));
    let found = partitions_of(connection.call(BY_NAME, &request)).remove(0);
    assert_eq!((found.error_code, found.preferred_read_replica.0), (0, -1));
    assert_eq!(spans(&found.records.expect("records")), [(0, 0)]);
}
