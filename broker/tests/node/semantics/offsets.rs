//! ListOffsets and OffsetForLeaderEpoch: which offset is where in a log.

use batch::Compression;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use super::node::shared;
use super::records::{Topic, batch, create, now_ms, produce, sized, store, timed, topic_name};
use super::retention::delete_before;
use super::wire::Connection;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const UNKNOWN_LEADER_EPOCH: i16 = 75;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const LAST: i16 = 10;

fn request(topic: &Topic, partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(&topic.name))
        .with_partitions(partitions);
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic])
}

fn asked(index: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition::default()
        .with_partition_index(index)
        .with_timestamp(timestamp)
}

fn list_in(
    connection: &mut Connection,
    version: i16,
    topic: &Topic,
    partition: ListOffsetsPartition,
) -> ListOffsetsPartitionResponse {
    let mut answer = connection.call(version, &request(topic, vec![partition]));
    assert_eq!(answer.topics.len(), 1);
    assert_eq!(*answer.topics[0].name, *topic.name);
    assert_eq!(answer.topics[0].partitions.len(), 1);
    answer.topics.remove(0).partitions.remove(0)
}

/// Error, offset and timestamp for partition 0.
fn list(connection: &mut Connection, topic: &Topic, timestamp: i64) -> (i16, i64, i64) {
    let found = list_in(connection, LAST, topic, asked(0, timestamp));
    (found.error_code, found.offset, found.timestamp)
}

// Point 42.
#[test]
fn the_ends_of_a_log_are_found() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "ends", 1, &[]);
    for special in [LATEST, EARLIEST, EARLIEST_LOCAL] {
        assert_eq!(
            list(&mut connection, &topic, special),
            (0, 0, -1),
            "{special} of an empty log"
        );
    }
    for special in [MAX_TIMESTAMP, LATEST_TIERED, 0, now_ms()] {
        assert_eq!(
            list(&mut connection, &topic, special),
            (0, -1, -1),
            "{special} of an empty log"
        );
    }
    store(&mut connection, &topic, 0, &batch(7));
    assert_eq!(delete_before(&mut connection, &topic, 3), (0, 3));
    for version in 1..=LAST {
        for isolation in [0, 1] {
            for (special, offset) in [(LATEST, 7), (EARLIEST, 3)] {
                let mut request = request(&topic, vec![asked(0, special)]);
                if version >= 2 {
                    request = request.with_isolation_level(isolation);
                }
                let answer = connection.call(version, &request);
                let found = &answer.topics[0].partitions[0];
                let answer = (found.error_code, found.offset, found.timestamp);
                assert_eq!(answer, (0, offset, -1), "{special} in version {version}");
                let epoch = if version < 4 { -1 } else { 0 };
                assert_eq!(found.leader_epoch, epoch, "{special} in version {version}");
            }
        }
    }
    assert_eq!(list(&mut connection, &topic, EARLIEST_LOCAL), (0, 3, -1));
    assert_eq!(
        list(&mut connection, &topic, LATEST_TIERED),
        (0, -1, -1),
        "nothing is tiered"
    );
}

// Point 42.
#[test]
fn special_times_are_known_from_their_version_on() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "special", 1, &[]);
    store(&mut connection, &topic, 0, &batch(1));
    for (special, since) in [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9)] {
        for version in 1..=LAST {
            let found = list_in(&mut connection, version, &topic, asked(0, special));
            let expected = if version < since {
                UNSUPPORTED_VERSION
            } else {
                0
            };
            assert_eq!(found.error_code, expected, "{special} in version {version}");
        }
    }
    // Version 11 is not served, and what it brings not in any other.
    for version in 1..=LAST {
        let found = list_in(&mut connection, version, &topic, asked(0, -6));
        assert_eq!(
            (found.error_code, found.offset),
            (UNSUPPORTED_VERSION, -1),
            "version {version}"
        );
    }
}

// Point 43: the very record, wherever its batch ends, in every codec.
#[test]
fn a_time_is_found_inside_a_batch() {
    let node = shared();
    let mut connection = node.connect();
    let now = now_ms() - 1_000_000;
    for codec in Compression::ALL {
        let topic = create(&mut connection, "by-time", 1, &[]);
        let times = [now, now + 10, now + 20, now + 30];
        store(&mut connection, &topic, 0, &timed(codec, &times));
        store(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[now + 40, now + 50]),
        );
        store(&mut connection, &topic, 0, &timed(codec, &[now + 60]));
        let mut at = |time| list(&mut connection, &topic, time);
        assert_eq!(at(0), (0, 0, now), "{codec}");
        assert_eq!(at(now), (0, 0, now), "{codec}");
        assert_eq!(at(now + 1), (0, 1, now + 10), "{codec}");
        assert_eq!(at(now + 20), (0, 2, now + 20), "{codec}");
        assert_eq!(at(now + 31), (0, 4, now + 40), "{codec}");
        assert_eq!(at(now + 50), (0, 5, now + 50), "{codec}");
        assert_eq!(at(now + 51), (0, 6, now + 60), "{codec}");
        assert_eq!(at(now + 61), (0, -1, -1), "{codec}: later than all");
        assert_eq!(at(i64::MAX), (0, -1, -1), "{codec}");
        let found = list_in(&mut connection, LAST, &topic, asked(0, now + 11));
        assert_eq!((found.offset, found.leader_epoch), (2, 0), "{codec}");
    }
}

// Point 43: the first offset at or after a time, not the least time.
#[test]
fn times_out_of_order_are_found_by_offset() {
    let node = shared();
    let mut connection = node.connect();
    let now = now_ms() - 1_000_000;
    let topic = create(&mut connection, "disorder", 1, &[]);
    store(
        &mut connection,
        &topic,
        0,
        &timed(Compression::Zstd, &[now + 5, now + 90, now + 30]),
    );
    store(
        &mut connection,
        &topic,
        0,
        &timed(Compression::None, &[now + 10, now + 40]),
    );
    store(
        &mut connection,
        &topic,
        0,
        &timed(Compression::Lz4, &[now + 100, now + 95]),
    );
    let mut at = |time| list(&mut connection, &topic, time);
    assert_eq!(at(now), (0, 0, now + 5));
    assert_eq!(at(now + 20), (0, 1, now + 90));
    assert_eq!(at(now + 90), (0, 1, now + 90));
    assert_eq!(at(now + 91), (0, 5, now + 100));
    assert_eq!(at(MAX_TIMESTAMP), (0, 5, now + 100));
}

// Point 42: KIP-734.
#[test]
fn the_greatest_time_is_found_wherever_it_is() {
    let node = shared();
    let mut connection = node.connect();
    let now = now_ms() - 1_000_000;
    for codec in Compression::ALL {
        let topic = create(&mut connection, "greatest", 1, &[]);
        store(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[now + 1, now + 2]),
        );
        assert_eq!(
            list(&mut connection, &topic, MAX_TIMESTAMP),
            (0, 1, now + 2),
            "{codec}"
        );
        store(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[now + 70, now + 80, now + 60]),
        );
        store(&mut connection, &topic, 0, &timed(codec, &[now + 4]));
        assert_eq!(
            list(&mut connection, &topic, MAX_TIMESTAMP),
            (0, 3, now + 80),
            "{codec}"
        );
        // Of several with the same time it is the first.
        store(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[now + 80, now + 81, now + 81]),
        );
        assert_eq!(
            list(&mut connection, &topic, MAX_TIMESTAMP),
            (0, 7, now + 81),
            "{codec}"
        );
    }
}

// Point 43: with append times all records of a batch have one time.
#[test]
fn append_times_are_found_by_batch() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let topic = create(&mut connection, "append-times", 1, &settings);
    let first = produce(&mut connection, &topic, 0, &batch(3)).log_append_time_ms;
    while now_ms() <= first {
        std::thread::yield_now();
    }
    let second = produce(&mut connection, &topic, 0, &batch(3)).log_append_time_ms;
    assert!(first < second);
    assert_eq!(list(&mut connection, &topic, 1), (0, 0, first));
    assert_eq!(list(&mut connection, &topic, first), (0, 0, first));
    assert_eq!(list(&mut connection, &topic, first + 1), (0, 3, second));
    assert_eq!(list(&mut connection, &topic, second + 1), (0, -1, -1));
    assert_eq!(list(&mut connection, &topic, MAX_TIMESTAMP), (0, 3, second));
}

// Point 43: over segments, and not below the log's start.
#[test]
fn times_are_found_across_segments() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [("segment.bytes", "1048576")];
    let topic = create(&mut connection, "segments", 1, &settings);
    let begun = now_ms();
    for n in 0..5 {
        store(&mut connection, &topic, 0, &sized(700_000));
        let time = begun + 1_000 * (n + 1);
        store(
            &mut connection,
            &topic,
            0,
            &timed(Compression::Gzip, &[time, time + 1]),
        );
    }
    for n in 0..5 {
        let (time, offset) = (begun + 1_000 * (n + 1), n * 3 + 1);
        assert_eq!(list(&mut connection, &topic, time), (0, offset, time));
        assert_eq!(
            list(&mut connection, &topic, time + 1),
            (0, offset + 1, time + 1)
        );
    }
    assert_eq!(
        list(&mut connection, &topic, MAX_TIMESTAMP),
        (0, 14, begun + 5_001)
    );
    assert_eq!(delete_before(&mut connection, &topic, 8), (0, 8));
    let (error, offset, _) = list(&mut connection, &topic, 1);
    // Kafka finds nothing at all until its deleted segments have left the drive.
    assert!(
        (error, offset) == (0, 8) || super::node::against_another(),
        "{error} {offset}"
    );
    assert_eq!(
        list(&mut connection, &topic, begun + 5_000),
        (0, 13, begun + 5_000)
    );
}

// Point 42.
#[test]
fn a_partition_asked_for_twice_is_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "twice", 2, &[]);
    let twice = vec![asked(0, LATEST), asked(1, LATEST), asked(0, EARLIEST)];
    let answer = connection.call(LAST, &request(&topic, twice));
    let rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let of = |index| rows.clone().filter(move |row| row.partition_index == index);
    assert!(of(0).any(|row| row.error_code == INVALID_REQUEST));
    assert!(of(1).all(|row| row.error_code == 0));
    assert!(of(0).all(|row| row.error_code == 0 || row.offset == -1));
}

// Points 39 and 42.
#[test]
fn unknown_partitions_and_epochs_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "refused", 1, &[]);
    let nowhere = Topic {
        name: super::node::unique("nowhere"),
        id: topic.id,
    };
    for version in 1..=LAST {
        let found = list_in(&mut connection, version, &topic, asked(1, LATEST));
        assert_eq!(
            (found.error_code, found.offset),
            (UNKNOWN_TOPIC_OR_PARTITION, -1)
        );
        let found = list_in(&mut connection, version, &nowhere, asked(0, LATEST));
        assert_eq!(
            (found.error_code, found.offset),
            (UNKNOWN_TOPIC_OR_PARTITION, -1)
        );
    }
    for version in 4..=LAST {
        let present = asked(0, LATEST).with_current_leader_epoch(0);
        assert_eq!(
            list_in(&mut connection, version, &topic, present).error_code,
            0
        );
        let future = asked(0, LATEST).with_current_leader_epoch(3);
        let found = list_in(&mut connection, version, &topic, future);
        assert_eq!((found.error_code, found.offset), (UNKNOWN_LEADER_EPOCH, -1));
    }
}

/// Error, epoch and end offset.
fn epoch_end(
    connection: &mut Connection,
    version: i16,
    topic: &Topic,
    (index, current, epoch): (i32, i32, i32),
) -> (i16, i32, i64) {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(index)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(&topic.name))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let answer = connection.call(version, &request);
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.partition, index);
    (found.error_code, found.leader_epoch, found.end_offset)
}

// Point 44.
#[test]
fn the_end_of_a_leader_epoch_is_told() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "epoch-end", 1, &[]);
    for version in 2..=4 {
        let mut end = |asked| epoch_end(&mut connection, version, &topic, asked);
        let offset = i64::from(version - 2) * 4;
        assert_eq!(end((0, -1, 0)), (0, 0, offset), "version {version}");
        assert_eq!(end((0, 0, 0)), (0, 0, offset), "version {version}");
        assert_eq!(
            end((0, 0, 9)),
            (0, -1, -1),
            "version {version}: no such epoch"
        );
        assert_eq!(end((0, 0, -1)), (0, -1, -1), "version {version}: no epoch");
        assert_eq!(
            end((0, 1, 0)),
            (UNKNOWN_LEADER_EPOCH, -1, -1),
            "version {version}"
        );
        assert_eq!(
            end((7, -1, 0)),
            (UNKNOWN_TOPIC_OR_PARTITION, -1, -1),
            "version {version}"
        );
        store(&mut connection, &topic, 0, &batch(4));
    }
}
