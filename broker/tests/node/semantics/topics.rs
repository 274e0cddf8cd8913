//! Topics are made and go.

use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest,
};
use uuid::Uuid;

use super::node::{Node, against_another, shared, unique};
use super::partitions::{grow, more};
use super::records::{
    Topic, batch, create, fetch, new_topic, produce, store, topic_name, try_create, wait_ready,
};
use super::wire::Connection;
use crate::harness::Options;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REQUEST: i16 = 42;
const TOPIC_DELETION_DISABLED: i16 = 73;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// How many partitions a topic has; none where there is no such topic.
pub fn partitions(connection: &mut Connection, name: &str) -> Option<usize> {
    let asked = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(false);
    let row = connection.call(12, &request).topics.remove(0);
    (row.error_code == 0).then_some(row.partitions.len())
}

/// A topic with partitions on these nodes.
pub fn assigned(name: &str, nodes: &[(i32, &[i32])]) -> CreatableTopic {
    let one = |(index, ids): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(ids.iter().map(|id| BrokerId(*id)).collect())
    };
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(nodes.iter().map(one).collect())
}

// Point 48: when it is answered, the topic can be used.
#[test]
fn a_created_topic_can_be_used_at_once() {
    if against_another() {
        // Kafka's partitions take a moment.
        return;
    }
    let node = shared();
    let mut connection = node.connect();
    for version in 2..=7 {
        let name = unique("at-once");
        let request = CreateTopicsRequest::default()
            .with_topics(vec![new_topic(&name, 5, &[("retention.ms", "77000")])])
            .with_timeout_ms(30_000);
        let answer = connection.call(version, &request);
        let row = &answer.topics[0];
        assert_eq!(
            (row.error_code, &**row.name),
            (0, name.as_str()),
            "version {version}"
        );
        assert_eq!(
            partitions(&mut connection, &name),
            Some(5),
            "version {version}"
        );
        let topic = Topic {
            name,
            id: row.topic_id,
        };
        let mut other = node.connect();
        for index in 0..5 {
            assert_eq!(produce(&mut other, &topic, index, &batch(1)).error_code, 0);
        }
    }
}

// Point 48: what was made is told since version 5, and its id since version 7.
#[test]
fn the_answer_says_what_was_made() {
    let node = shared();
    let mut connection = node.connect();
    for version in 5..=7 {
        let name = unique("told");
        let settings = [("retention.ms", "77000"), ("cleanup.policy", "compact")];
        let request =
            CreateTopicsRequest::default().with_topics(vec![new_topic(&name, 2, &settings)]);
        let row = connection.call(version, &request).topics.remove(0);
        assert_eq!((row.error_code, row.topic_config_error_code), (0, 0));
        assert_eq!((row.num_partitions, row.replication_factor), (2, 1));
        assert_eq!(row.topic_id.is_nil(), version < 7);
        let configs = row.configs.expect("the settings");
        assert!(configs.len() > 25, "all settings, not only those given");
        let value = |name: &str| {
            let found = configs
                .iter()
                .find(|config| &*config.name == name)
                .expect("the setting");
            let value = found
                .value
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            (
                value,
                found.config_source,
                found.read_only,
                found.is_sensitive,
            )
        };
        assert_eq!(value("retention.ms"), ("77000".to_owned(), 1, false, false));
        assert_eq!(
            value("cleanup.policy"),
            ("compact".to_owned(), 1, false, false)
        );
        assert_eq!(
            value("max.message.bytes"),
            ("1048588".to_owned(), 5, false, false)
        );
    }
}

// Point 48: -1 is the broker's default, for both and for each.
#[test]
fn minus_one_is_the_default() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("num.partitions", "4"));
    let mut connection = node.connect();
    for version in 4..=7 {
        for (count, factor) in [(-1, -1), (-1, 1), (4, -1)] {
            let name = unique("default");
            let topic = new_topic(&name, count, &[]).with_replication_factor(factor);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]);
            let row = connection.call(version, &request).topics.remove(0);
            assert_eq!(row.error_code, 0, "{:?}", row.error_message);
            if version >= 5 {
                assert_eq!((row.num_partitions, row.replication_factor), (4, 1));
            }
            assert_eq!(partitions(&mut connection, &name), Some(4));
        }
    }
}

// Point 48.
#[test]
fn partitions_can_be_assigned_to_nodes() {
    let node = shared();
    let mut connection = node.connect();
    let name = unique("assigned");
    let row = try_create(
        &mut connection,
        assigned(&name, &[(1, &[1]), (0, &[1]), (2, &[1])]),
    );
    assert_eq!(
        (row.error_code, row.num_partitions, row.replication_factor),
        (0, 3, 1)
    );
    while against_another() && partitions(&mut connection, &name).is_none() {}
    assert_eq!(partitions(&mut connection, &name), Some(3));
}

fn delete_state(name: Option<&str>, id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default()
        .with_name(name.map(topic_name))
        .with_topic_id(id)
}

fn delete(connection: &mut Connection, states: Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    let request = DeleteTopicsRequest::default()
        .with_topics(states)
        .with_timeout_ms(30_000);
    connection.call(6, &request).responses
}

// Point 49.
#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let node = shared();
    let mut connection = node.connect();
    for version in 1..=6 {
        let topic = create(&mut connection, "by-name", 1, &[]);
        let missing = unique("missing");
        let answer = if version < 6 {
            let names = vec![topic_name(&topic.name), topic_name(&missing)];
            let request = DeleteTopicsRequest::default().with_topic_names(names);
            connection
                .call(version, &request.with_timeout_ms(30_000))
                .responses
        } else {
            let nil = Uuid::nil();
            let states = vec![
                delete_state(Some(&topic.name), nil),
                delete_state(Some(&missing), nil),
            ];
            delete(&mut connection, states)
        };
        let code = |name: &str| {
            let row = answer.iter().find(|row| row.name == Some(topic_name(name)));
            row.map(|row| row.error_code)
        };
        assert_eq!(code(&topic.name), Some(0), "version {version}");
        assert_eq!(
            code(&missing),
            Some(UNKNOWN_TOPIC_OR_PARTITION),
            "version {version}"
        );
        while against_another() && partitions(&mut connection, &topic.name).is_some() {}
        assert_eq!(
            partitions(&mut connection, &topic.name),
            None,
            "version {version}"
        );
    }
    let topic = create(&mut connection, "by-id", 1, &[]);
    let answer = delete(&mut connection, vec![delete_state(None, topic.id)]);
    assert_eq!((answer[0].error_code, answer[0].topic_id), (0, topic.id));
    let again = delete(&mut connection, vec![delete_state(None, topic.id)]);
    assert_eq!(
        (again[0].error_code, again[0].topic_id),
        (UNKNOWN_TOPIC_ID, topic.id)
    );
}

// Point 49.
#[test]
fn a_topic_to_delete_is_named_in_one_way_and_once() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "one-way", 1, &[]);
    let by_name = || delete_state(Some(&topic.name), Uuid::nil());
    let by_id = || delete_state(None, topic.id);
    for states in [
        vec![delete_state(Some(&topic.name), topic.id)],
        vec![delete_state(None, Uuid::nil())],
        vec![by_name(), by_name()],
        vec![by_id(), by_id()],
        vec![by_name(), by_id()],
    ] {
        let answer = delete(&mut connection, states.clone());
        let codes: Vec<i16> = answer.iter().map(|row| row.error_code).collect();
        assert!(
            !codes.is_empty() && codes.iter().all(|code| *code == INVALID_REQUEST),
            "{states:?}: {codes:?}"
        );
    }
    assert_eq!(partitions(&mut connection, &topic.name), Some(1));
}

// Points 38 and 49: nothing of the old topic is in the new one.
#[test]
fn a_topic_made_anew_has_another_id_and_no_records() {
    let node = shared();
    let mut connection = node.connect();
    let mut topic = create(&mut connection, "anew", 2, &[]);
    for round in 0..4 {
        for index in 0..2 {
            assert_eq!(
                store(&mut connection, &topic, index, &batch(3)),
                0,
                "round {round}"
            );
        }
        let answer = delete(
            &mut connection,
            vec![delete_state(Some(&topic.name), Uuid::nil())],
        );
        assert_eq!(answer[0].error_code, 0);
        let found = super::records::fetch_in(&mut connection, 13, &topic, 0, 0);
        if !against_another() {
            assert_eq!(found.error_code, UNKNOWN_TOPIC_ID);
            let refused = super::records::produce_in(&mut connection, 13, &topic, 0, &batch(1));
            assert_eq!(refused.error_code, UNKNOWN_TOPIC_ID);
        }
        let created = try_create(&mut connection, new_topic(&topic.name, 2, &[]));
        assert_eq!(created.error_code, 0);
        assert_ne!(created.topic_id, topic.id);
        topic.id = created.topic_id;
        if against_another() {
            wait_ready(&mut connection, &topic, 2);
        }
        assert_eq!(fetch(&mut connection, &topic, 0, 0).high_watermark, 0);
    }
}

// Point 49: delete.topic.enable; before version 3 there was no code for it.
#[test]
fn deleting_can_be_switched_off() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("delete.topic.enable", "false"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "kept", 1, &[]);
    for version in 1..6 {
        let request =
            DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&topic.name)]);
        let row = connection.call(version, &request).responses.remove(0);
        let expected = if version < 3 {
            INVALID_REQUEST
        } else {
            TOPIC_DELETION_DISABLED
        };
        assert_eq!(row.error_code, expected, "version {version}");
    }
    let answer = delete(&mut connection, vec![delete_state(None, topic.id)]);
    assert_eq!(answer[0].error_code, TOPIC_DELETION_DISABLED);
    assert_eq!(partitions(&mut connection, &topic.name), Some(1));
}

// A topic lives on as it was: its id, its partitions, its records.
#[test]
fn topics_outlive_the_broker_and_deleted_ones_do_not() {
    if against_another() {
        return;
    }
    let options = |dir: &std::path::Path| Options::with_shards(dir, crate::harness::cores().min(2));
    let mut node = Node::start(options);
    let mut connection = node.connect();
    let kept = create(&mut connection, "kept", 3, &[("retention.ms", "-1")]);
    let gone = create(&mut connection, "gone", 3, &[]);
    for index in 0..3 {
        store(&mut connection, &kept, index, &batch(2));
        store(&mut connection, &gone, index, &batch(2));
    }
    let answer = delete(&mut connection, vec![delete_state(None, gone.id)]);
    assert_eq!(answer[0].error_code, 0);
    assert_eq!(grow(&mut connection, 3, more(&kept.name, 4, None)), 0);
    for kill in [true, false] {
        node.restart(kill, options);
        let mut connection = node.connect();
        assert_eq!(
            partitions(&mut connection, &gone.name),
            None,
            "kill: {kill}"
        );
        assert_eq!(
            partitions(&mut connection, &kept.name),
            Some(4),
            "kill: {kill}"
        );
        for index in 0..3 {
            let found = super::records::fetch_in(&mut connection, 13, &kept, index, 0);
            assert_eq!(
                (found.error_code, found.high_watermark),
                (0, 2),
                "kill: {kill}"
            );
        }
        let value = super::configs::topic_value(&mut connection, &kept, "retention.ms");
        assert_eq!(value, (Some("-1".to_owned()), 1), "kill: {kill}");
    }
}
