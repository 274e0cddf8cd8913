//! Topics grow, and never shrink.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest};

use super::node::{against_another, shared, unique};
use super::records::{batch, create, records_at, spans, store, topic_name, wait_ready};
use super::topics::partitions;
use super::wire::Connection;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;

/// A topic that is to have so many partitions in all.
pub fn more(name: &str, count: i32, nodes: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let one = |ids: &&[i32]| {
        CreatePartitionsAssignment::default()
            .with_broker_ids(ids.iter().map(|id| BrokerId(*id)).collect())
    };
    CreatePartitionsTopic::default()
        .with_name(topic_name(name))
        .with_count(count)
        .with_assignments(nodes.map(|nodes| nodes.iter().map(one).collect()))
}

/// Asks for more partitions; the error, 0 for none.
pub fn grow(connection: &mut Connection, version: i16, topic: CreatePartitionsTopic) -> i16 {
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let answer = connection.call(version, &request);
    assert_eq!(answer.results.len(), 1);
    let row = &answer.results[0];
    assert!(row.error_message.is_some() == (row.error_code != 0) || against_another());
    row.error_code
}

// Point 49.
#[test]
fn topics_grow_and_keep_their_records() {
    let node = shared();
    let mut connection = node.connect();
    for version in 0..=3 {
        let topic = create(&mut connection, "grow", 1, &[]);
        store(&mut connection, &topic, 0, &batch(3));
        assert_eq!(
            grow(&mut connection, version, more(&topic.name, 4, None)),
            0
        );
        let new = Some(&[&[1_i32][..]][..]);
        assert_eq!(grow(&mut connection, version, more(&topic.name, 5, new)), 0);
        if against_another() {
            wait_ready(&mut connection, &topic, 5);
        }
        assert_eq!(partitions(&mut connection, &topic.name), Some(5));
        for index in 1..5 {
            assert_eq!(store(&mut connection, &topic, index, &batch(1)), 0);
        }
        assert_eq!(spans(&records_at(&mut connection, &topic, 0, 0)), [(0, 2)]);
    }
}

// Point 49.
#[test]
fn topics_do_not_shrink_nor_stay() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "shrink", 3, &[]);
    let missing = unique("missing");
    for version in 0..=3 {
        let mut grow = |topic| grow(&mut connection, version, topic);
        for count in [3, 2, 0, -1] {
            assert_eq!(
                grow(more(&topic.name, count, None)),
                INVALID_PARTITIONS,
                "{count}"
            );
        }
        assert_eq!(grow(more(&missing, 4, None)), UNKNOWN_TOPIC_OR_PARTITION);
        let wrong: [&[&[i32]]; 4] = [&[], &[&[1], &[1]], &[&[9]], &[&[1, 1]]];
        for nodes in wrong {
            let code = grow(more(&topic.name, 4, Some(nodes)));
            assert_eq!(code, INVALID_REPLICA_ASSIGNMENT, "{nodes:?}");
        }
    }
    let twice = vec![more(&topic.name, 5, None), more(&topic.name, 6, None)];
    let answer = connection.call(3, &CreatePartitionsRequest::default().with_topics(twice));
    assert!(
        answer
            .results
            .iter()
            .all(|row| row.error_code == INVALID_REQUEST)
    );
    let validated = CreatePartitionsRequest::default()
        .with_topics(vec![more(&topic.name, 7, None)])
        .with_timeout_ms(30_000)
        .with_validate_only(true);
    assert_eq!(connection.call(3, &validated).results[0].error_code, 0);
    assert_eq!(partitions(&mut connection, &topic.name), Some(3));
}
