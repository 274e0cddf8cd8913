//! Topics that can't be: each reason has its code, and nothing is made.

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;

use super::node::{shared, unique};
use super::records::{create, new_topic, try_create};
use super::topics::{assigned, partitions};
use super::wire::Connection;

const INVALID_TOPIC: i16 = 17;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

fn assert_refused(connection: &mut Connection, topic: CreatableTopic, error: i16) {
    let what = format!("{topic:?}");
    let row = try_create(connection, topic);
    assert_eq!(row.error_code, error, "{what}: {:?}", row.error_message);
    assert!(row.error_message.is_some(), "{what}");
    assert_eq!(
        (row.num_partitions, row.replication_factor),
        (-1, -1),
        "{what}"
    );
}

// Point 48.
#[test]
fn names_that_no_topic_can_have_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let taken = create(&mut connection, "taken.with_signs", 1, &[]).name;
    assert_refused(
        &mut connection,
        new_topic(&taken, 1, &[]),
        TOPIC_ALREADY_EXISTS,
    );
    // Their metrics would have the same name.
    let alike = taken.replace('.', "_");
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "\u{e4}", "a\0b", &long, &alike] {
        assert_refused(&mut connection, new_topic(name, 1, &[]), INVALID_TOPIC);
    }
    assert_eq!(partitions(&mut connection, &taken), Some(1));
    let longest = format!("{:x<249}", unique("longest"));
    assert_eq!(
        try_create(&mut connection, new_topic(&longest, 1, &[])).error_code,
        0
    );
}

// Point 48.
#[test]
fn numbers_and_nodes_that_no_topic_can_have_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let name = || unique("refused");
    for count in [0, -2, i32::MIN] {
        assert_refused(
            &mut connection,
            new_topic(&name(), count, &[]),
            INVALID_PARTITIONS,
        );
    }
    for factor in [2, 0, -2, i16::MAX] {
        let topic = new_topic(&name(), 1, &[]).with_replication_factor(factor);
        assert_refused(&mut connection, topic, INVALID_REPLICATION_FACTOR);
    }
    let assignments: [&[(i32, &[i32])]; 5] = [
        &[(0, &[7])],
        &[(0, &[1, 1])],
        &[(0, &[])],
        &[(0, &[1]), (2, &[1])],
        &[(0, &[1]), (1, &[])],
    ];
    for nodes in assignments {
        assert_refused(
            &mut connection,
            assigned(&name(), nodes),
            INVALID_REPLICA_ASSIGNMENT,
        );
    }
    let both = assigned(&name(), &[(0, &[1])])
        .with_num_partitions(1)
        .with_replication_factor(1);
    assert_refused(&mut connection, both, INVALID_REQUEST);
}

// Point 48.
#[test]
fn settings_that_no_topic_can_have_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    for (setting, value) in [
        ("no.such.setting", "1"),
        ("retention.ms", "soon"),
        ("cleanup.policy", "burn"),
        ("segment.bytes", "1"),
        ("compression.type", "rar"),
        ("min.insync.replicas", "0"),
    ] {
        let topic = new_topic(&unique("refused"), 1, &[(setting, value)]);
        assert_refused(&mut connection, topic, INVALID_CONFIG);
    }
}

// Point 48: the settings that 4.0 took away are unknown.
#[test]
fn settings_that_kafka_4_removed_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    for (name, value) in [
        ("message.format.version", "3.0"),
        ("message.timestamp.difference.max.ms", "1000"),
        ("message.downconversion.enable", "true"),
    ] {
        let row = try_create(
            &mut connection,
            new_topic(&unique("removed"), 1, &[(name, value)]),
        );
        assert_eq!(row.error_code, INVALID_CONFIG, "{name}");
    }
}

// Point 48.
#[test]
fn one_bad_topic_does_no_harm_to_the_others() {
    let node = shared();
    let mut connection = node.connect();
    let (good, twice) = (unique("good"), unique("twice"));
    let topics = vec![
        new_topic("a b", 1, &[]),
        new_topic(&good, 2, &[]),
        new_topic(&twice, 1, &[]),
        new_topic(&twice, 1, &[]),
    ];
    let answer = connection.call(7, &CreateTopicsRequest::default().with_topics(topics));
    let mut codes: Vec<(String, i16)> = answer
        .topics
        .iter()
        .map(|row| (row.name.to_string(), row.error_code))
        .collect();
    codes.sort();
    codes.dedup();
    let mut expected = vec![
        ("a b".to_owned(), INVALID_TOPIC),
        (good, 0),
        (twice.clone(), INVALID_REQUEST),
    ];
    expected.sort();
    assert_eq!(codes, expected);
    assert_eq!(partitions(&mut connection, &twice), None);
}

// Point 48.
#[test]
fn a_validation_makes_nothing_and_finds_everything() {
    let node = shared();
    let mut connection = node.connect();
    let taken = create(&mut connection, "valid-taken", 1, &[]).name;
    let name = unique("valid");
    let mut validate = |topic| {
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_validate_only(true);
        connection.call(7, &request).topics.remove(0).error_code
    };
    assert_eq!(validate(new_topic(&name, 3, &[("retention.ms", "5")])), 0);
    assert_eq!(validate(new_topic(&name, 0, &[])), INVALID_PARTITIONS);
    assert_eq!(
        validate(new_topic(&name, 1, &[]).with_replication_factor(9)),
        INVALID_REPLICATION_FACTOR
    );
    assert_eq!(validate(new_topic(&name, 1, &[("a", "b")])), INVALID_CONFIG);
    assert_eq!(
        validate(assigned(&name, &[(0, &[9])])),
        INVALID_REPLICA_ASSIGNMENT
    );
    assert_eq!(validate(new_topic(&taken, 1, &[])), TOPIC_ALREADY_EXISTS);
    assert_eq!(validate(new_topic("..", 1, &[])), INVALID_TOPIC);
    assert_eq!(partitions(&mut connection, &name), None);
}
