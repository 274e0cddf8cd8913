//! Fetches that wait. No test here measures time: a fetch that would answer too early lacks what it
//! was to wait for, and one that does not answer runs into the patience of the connection.

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest};

use super::node::{Node, against_another, shared};
use super::records::{
    BY_NAME, PLENTY, Topic, batch, create, fetch_request, partitions_of, sized, spans, store,
    topic_name, wanted,
};
use super::wire::{Connection, FOR_EVER};
use crate::harness::{Options, cores};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// A fetch of all these partitions from their start that waits for `min_bytes`.
fn waiting(topic: &Topic, partitions: i32, min_bytes: i32) -> FetchRequest {
    let all: Vec<_> = (0..partitions).map(|index| (index, 0, PLENTY)).collect();
    fetch_request(vec![wanted(BY_NAME, topic, &all)])
        .with_min_bytes(min_bytes)
        .with_max_wait_ms(FOR_EVER)
}

fn size(partition: &PartitionData) -> usize {
    partition.records.as_ref().map_or(0, bytes::Bytes::len)
}

/// Produces to one partition after the other until a waiting fetch has enough.
fn gathers_over_partitions(node: &Node) {
    let mut producing = node.connect();
    let mut fetching = node.connect();
    for partitions in [1, 2, 4, 8] {
        let topic = create(&mut producing, "gather", partitions, &[]);
        let id = fetching.send(BY_NAME, &waiting(&topic, partitions, 4_000));
        for n in 0..8 {
            store(&mut producing, &topic, n % partitions, &sized(500));
        }
        let found = partitions_of(fetching.receive::<FetchRequest>(BY_NAME, id));
        let total: usize = found.iter().map(size).sum();
        assert!(total >= 4_000, "{partitions} partitions gave {total} bytes");
    }
}

// Point 33.
#[test]
fn a_fetch_waits_for_its_least_bytes_over_all_partitions() {
    gathers_over_partitions(&shared());
}

// Point 33: on one shard, and where the partitions belong to several.
#[test]
fn a_fetch_waits_over_shards_as_on_one() {
    if against_another() {
        return;
    }
    for shards in 1..=cores().min(2) {
        gathers_over_partitions(&Node::start(|dir| Options::with_shards(dir, shards)));
    }
    // Drives are dealt out to shards; more drives than shards make no difference.
    let drives = |dir: &std::path::Path| Options {
        shards: 1,
        ..Options::with_shards(dir, 3)
    };
    gathers_over_partitions(&Node::start(drives));
}

// Point 33: records that are there count.
#[test]
fn what_is_there_already_counts() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "there", 2, &[]);
    store(&mut connection, &topic, 0, &sized(1_000));
    store(&mut connection, &topic, 1, &sized(1_000));
    let found = partitions_of(connection.call(BY_NAME, &waiting(&topic, 2, 2_000)));
    assert_eq!(found.iter().map(size).sum::<usize>(), 2_000);
}

// Point 33: many wait for the same record.
#[test]
fn everybody_who_waits_is_woken() {
    let node = shared();
    let mut producing = node.connect();
    let topic = create(&mut producing, "everybody", 1, &[]);
    let mut waiters: Vec<(Connection, i32)> = (0..20)
        .map(|_| {
            let mut connection = node.connect();
            let id = connection.send(BY_NAME, &waiting(&topic, 1, 1));
            (connection, id)
        })
        .collect();
    store(&mut producing, &topic, 0, &batch(1));
    for (connection, id) in &mut waiters {
        let found = partitions_of(connection.receive::<FetchRequest>(BY_NAME, *id));
        assert_eq!(spans(found[0].records.as_ref().expect("records")), [(0, 0)]);
    }
}

// Point 33: no records are no error.
#[test]
fn a_wait_that_is_over_is_answered_empty() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "over", 3, &[]);
    store(&mut connection, &topic, 1, &batch(1));
    for min_bytes in [100_000, i32::MAX] {
        let asked = waiting(&topic, 3, min_bytes).with_max_wait_ms(30);
        let found = partitions_of(connection.call(BY_NAME, &asked));
        let codes: Vec<_> = found.iter().map(|p| (p.error_code, size(p) > 0)).collect();
        assert_eq!(codes, [(0, false), (0, true), (0, false)]);
    }
    let empty = create(&mut connection, "over-empty", 1, &[]);
    let found =
        partitions_of(connection.call(BY_NAME, &waiting(&empty, 1, 1).with_max_wait_ms(30)));
    assert_eq!(
        (
            found[0].error_code,
            size(&found[0]),
            found[0].high_watermark
        ),
        (0, 0, 0)
    );
}

// Point 33.
#[test]
fn an_error_is_not_waited_on() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "at-once", 2, &[]);
    let codes = |found: &[PartitionData]| {
        let mut codes: Vec<_> = found
            .iter()
            .map(|p| (p.partition_index, p.error_code))
            .collect();
        codes.sort_unstable();
        codes
    };
    if !against_another() {
        // Kafka tells of it when the wait for the others is over.
        let found = partitions_of(connection.call(BY_NAME, &waiting(&topic, 3, 1)));
        assert_eq!(
            codes(&found),
            [(0, 0), (1, 0), (2, UNKNOWN_TOPIC_OR_PARTITION)]
        );
    }
    let mut asked = waiting(&topic, 2, 1);
    asked.topics[0].partitions[1].fetch_offset = 7;
    let found = partitions_of(connection.call(BY_NAME, &asked));
    assert_eq!(codes(&found), [(0, 0), (1, OFFSET_OUT_OF_RANGE)]);
    // A diverging epoch is told at once, too.
    store(&mut connection, &topic, 0, &batch(2));
    asked = waiting(&topic, 1, 1);
    asked.topics[0].partitions[0].fetch_offset = 7;
    asked.topics[0].partitions[0].last_fetched_epoch = 0;
    let found = partitions_of(connection.call(BY_NAME, &asked));
    assert_eq!(
        (found[0].error_code, found[0].diverging_epoch.end_offset),
        (0, 2)
    );
}

// Point 33: a topic that is deleted has nothing left to wait for.
#[test]
fn a_deleted_topic_ends_the_wait() {
    let node = shared();
    let mut admin = node.connect();
    let mut fetching = node.connect();
    for version in [BY_NAME, 13] {
        let topic = create(&mut admin, "deleted", 2, &[]);
        let asked = [(0, 0, PLENTY), (1, 0, PLENTY)];
        let request = fetch_request(vec![wanted(version, &topic, &asked)])
            .with_min_bytes(1)
            .with_max_wait_ms(FOR_EVER);
        let id = fetching.send(version, &request);
        let state = DeleteTopicState::default().with_name(Some(topic_name(&topic.name)));
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![state])
            .with_timeout_ms(30_000);
        assert_eq!(admin.call(6, &request).responses[0].error_code, 0);
        let found = partitions_of(fetching.receive::<FetchRequest>(version, id));
        let known = |code| matches!(code, UNKNOWN_TOPIC_OR_PARTITION | UNKNOWN_TOPIC_ID);
        assert!(
            found.iter().any(|p| known(p.error_code)),
            "version {version}: {found:?}"
        );
    }
}

// Point 33: several fetches of one connection wait one after the other.
#[test]
fn pipelined_waits_are_answered_in_turn() {
    let node = shared();
    let mut producing = node.connect();
    let mut fetching = node.connect();
    let topic = create(&mut producing, "in-turn", 1, &[]);
    let ids: Vec<i32> = (0..5)
        .map(|offset| {
            let mut asked = waiting(&topic, 1, 1);
            asked.topics[0].partitions[0].fetch_offset = offset;
            asked.topics[0].partitions[0].partition_max_bytes = 1;
            fetching.send(BY_NAME, &asked)
        })
        .collect();
    for _ in 0..4 {
        store(&mut producing, &topic, 0, &batch(1));
    }
    // The last one asked from the end.
    store(&mut producing, &topic, 0, &batch(1));
    for (offset, id) in (0..).zip(ids) {
        let found = partitions_of(fetching.receive::<FetchRequest>(BY_NAME, id));
        let records = found[0].records.as_ref().expect("records");
        assert_eq!(spans(records)[0], (offset, offset));
    }
}
