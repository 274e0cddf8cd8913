//! What clients are told of brokers and topics, and topics that are made because they were named.

use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse,
    TopicName,
};
use uuid::Uuid;

use super::node::{Node, against_another, shared, unique};
use super::records::{Topic, create, topic_name};
use super::wire::Connection;
use crate::harness::Options;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;
const INVALID_TOPIC: i16 = 17;
const INVALID_REQUEST: i16 = 42;
const UNKNOWN_TOPIC_ID: i16 = 100;
const LAST: i16 = 13;

fn by_name(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(id)
}

/// A request for these topics that makes none.
fn asking(version: i16, topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(version < 4)
}

fn ask(
    connection: &mut Connection,
    version: i16,
    topic: MetadataRequestTopic,
) -> MetadataResponseTopic {
    let mut answer = connection.call(version, &asking(version, Some(vec![topic])));
    assert_eq!((answer.error_code, answer.topics.len()), (0, 1));
    answer.topics.remove(0)
}

fn named<'a>(answer: &'a MetadataResponse, topic: &Topic) -> Option<&'a MetadataResponseTopic> {
    answer
        .topics
        .iter()
        .find(|row| row.name.as_ref().is_some_and(|name| ***name == topic.name))
}

fn assert_whole(row: &MetadataResponseTopic, topic: &Topic, partitions: i32, version: i16) {
    assert_eq!(row.error_code, 0, "version {version}");
    assert!(!row.is_internal);
    assert_eq!(
        row.topic_id,
        if version < 10 { Uuid::nil() } else { topic.id }
    );
    let mut indexes: Vec<i32> = row.partitions.iter().map(|p| p.partition_index).collect();
    indexes.sort_unstable();
    assert!(
        indexes.iter().copied().eq(0..partitions),
        "version {version}: {indexes:?}"
    );
    for partition in &row.partitions {
        assert_eq!(
            (partition.error_code, partition.leader_id.0),
            (0, 1),
            "version {version}"
        );
        assert_eq!(partition.leader_epoch, if version < 7 { -1 } else { 0 });
        assert!(partition.replica_nodes.iter().map(|node| node.0).eq([1]));
        assert!(partition.isr_nodes.iter().map(|node| node.0).eq([1]));
        assert!(partition.offline_replicas.is_empty());
    }
}

// Point 46.
#[test]
fn null_is_all_topics_and_an_empty_list_none_but_in_version_0() {
    let node = shared();
    let mut connection = node.connect();
    let topics = [
        create(&mut connection, "all-a", 3, &[]),
        create(&mut connection, "all-b", 1, &[]),
    ];
    for version in 0..=LAST {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let answer = connection.call(version, &asking(version, all));
        for (topic, partitions) in topics.iter().zip([3, 1]) {
            let row = named(&answer, topic).expect("the topic");
            assert_whole(row, topic, partitions, version);
        }
        if version > 0 {
            let answer = connection.call(version, &asking(version, Some(Vec::new())));
            assert_eq!(answer.topics, [], "version {version}");
            assert_eq!(answer.brokers.len(), 1, "version {version}");
        }
    }
}

// Point 46.
#[test]
fn the_broker_is_named_as_the_client_reached_it() {
    let node = shared();
    let mut connection = node.connect();
    let mut cluster_ids = Vec::new();
    for version in 0..=LAST {
        let answer = connection.call(version, &asking(version, Some(Vec::new())));
        let broker = if version == 0 {
            connection
                .call(1, &asking(1, Some(Vec::new())))
                .brokers
                .remove(0)
        } else {
            answer.brokers[0].clone()
        };
        assert_eq!(
            (broker.node_id.0, &*broker.host),
            (1, "127.0.0.1"),
            "version {version}"
        );
        assert_eq!(
            broker.port,
            i32::from(node.address().port()),
            "version {version}"
        );
        assert_eq!(broker.rack, None);
        if version >= 1 {
            assert_eq!(answer.controller_id.0, 1, "version {version}");
        }
        if version >= 2 {
            cluster_ids.push(answer.cluster_id.expect("a cluster id").to_string());
        }
    }
    for version in 0..=2 {
        let answer = connection.call(version, &DescribeClusterRequest::default());
        assert_eq!((answer.error_code, answer.controller_id.0), (0, 1));
        let broker = &answer.brokers[0];
        assert_eq!((broker.broker_id.0, &*broker.host), (1, "127.0.0.1"));
        assert_eq!(broker.port, i32::from(node.address().port()));
        cluster_ids.push(answer.cluster_id.to_string());
    }
    cluster_ids.dedup();
    assert_eq!(cluster_ids.len(), 1, "{cluster_ids:?}");
    if !against_another() {
        assert_eq!(cluster_ids[0].len(), 22, "{cluster_ids:?}");
    }
}

// Point 46: a client may ask for the controllers' endpoint; this one is not theirs.
#[test]
fn brokers_know_only_brokers() {
    let node = shared();
    let mut connection = node.connect();
    for version in 1..=2 {
        let request = DescribeClusterRequest::default().with_endpoint_type(2);
        let answer = connection.call(version, &request);
        // MISMATCHED_ENDPOINT_TYPE; UNSUPPORTED_ENDPOINT_TYPE for a type nobody has.
        assert_eq!(answer.error_code, 114);
        assert!(answer.error_message.is_some());
    }
}

// Point 46.
#[test]
fn topics_can_be_asked_for_by_id_since_version_12() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "by-id", 2, &[]);
    for version in 12..=LAST {
        let row = ask(&mut connection, version, by_id(topic.id));
        assert_whole(&row, &topic, 2, version);
        assert_eq!(
            row.name.as_ref().map(|name| name.to_string()),
            Some(topic.name.clone())
        );
        // As Kafka's consumer asks for topics that it was assigned.
        let unnamed = by_id(topic.id).with_name(Some(topic_name("")));
        assert_eq!(ask(&mut connection, version, unnamed), row);
        let id = Uuid::from_u128(0xdead_beef);
        let row = ask(&mut connection, version, by_id(id));
        assert_eq!(
            (row.error_code, row.topic_id),
            (UNKNOWN_TOPIC_ID, id),
            "version {version}"
        );
        assert!(row.partitions.is_empty());
    }
    // Versions 10 and 11 have the field, but no use for it.
    for version in 10..12 {
        let row = ask(&mut connection, version, by_id(topic.id));
        assert_eq!(row.error_code, INVALID_REQUEST, "version {version}");
        let row = ask(&mut connection, version, by_name(&topic.name));
        assert_whole(&row, &topic, 2, version);
    }
}

// Points 46 and 48.
#[test]
fn topics_that_do_not_exist_have_an_error_each() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "exists", 1, &[]);
    let missing = unique("missing");
    for version in 4..=LAST {
        let names = [missing.as_str(), "a b", "..", &topic.name, &"x".repeat(250)];
        let asked = names.iter().map(|name| by_name(name)).collect();
        let answer = connection.call(version, &asking(version, Some(asked)));
        let code = |name: &str| {
            let same = |row: &&MetadataResponseTopic| {
                row.name
                    .as_ref()
                    .is_some_and(|found: &TopicName| &***found == name)
            };
            answer.topics.iter().find(same).map(|row| row.error_code)
        };
        let codes = names.map(code);
        let expected = [
            UNKNOWN_TOPIC_OR_PARTITION,
            INVALID_TOPIC,
            INVALID_TOPIC,
            0,
            INVALID_TOPIC,
        ];
        assert_eq!(codes, expected.map(Some), "version {version}");
    }
}

/// Asks until the topic is there: its first answer may say that it is being made.
fn ask_until_there(connection: &mut Connection, version: i16, name: &str) -> MetadataResponseTopic {
    for _ in 0..500 {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![by_name(name)]))
            .with_allow_auto_topic_creation(true);
        let row = connection.call(version, &request).topics.remove(0);
        if row.error_code == 0 && !row.partitions.is_empty() {
            return row;
        }
        let being_made = [UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE];
        assert!(being_made.contains(&row.error_code), "{}", row.error_code);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{name} is not made");
}

// Point 47: implied before version 4, asked for from then on.
#[test]
fn topics_are_made_when_named_if_the_client_allows_it() {
    let node = shared();
    let mut connection = node.connect();
    for version in 0..=LAST {
        let name = unique("auto");
        let row = ask_until_there(&mut connection, version, &name);
        assert_eq!(row.partitions.len(), 1, "num.partitions");
        assert_eq!(
            (row.error_code, row.partitions[0].error_code),
            (0, 0),
            "version {version}"
        );
        if version >= 4 {
            let name = unique("not-auto");
            for _ in 0..3 {
                let row = ask(&mut connection, version, by_name(&name));
                assert_eq!(
                    row.error_code, UNKNOWN_TOPIC_OR_PARTITION,
                    "version {version}"
                );
            }
        }
    }
    // A name that no topic can have is no reason to make one.
    let request = MetadataRequest::default().with_topics(Some(vec![by_name("a/b")]));
    assert_eq!(
        connection.call(9, &request).topics[0].error_code,
        INVALID_TOPIC
    );
}

// Point 47: num.partitions, and auto.create.topics.enable.
#[test]
fn topics_are_made_as_the_broker_says_or_not_at_all() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("num.partitions", "3"));
    let mut connection = node.connect();
    let row = ask_until_there(&mut connection, 9, "three");
    assert_eq!(row.partitions.len(), 3);
    let node = Node::start(|dir| Options::at(dir).set("auto.create.topics.enable", "false"));
    let mut connection = node.connect();
    for version in 0..=LAST {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![by_name("never")]))
            .with_allow_auto_topic_creation(true);
        let answer = connection.call(version, &request);
        assert_eq!(
            answer.topics[0].error_code, UNKNOWN_TOPIC_OR_PARTITION,
            "version {version}"
        );
    }
    let all = connection.call(9, &asking(9, None));
    assert!(
        all.topics
            .iter()
            .all(|row| row.name != Some(topic_name("never")))
    );
}

// Point 54, and the paging of DescribeTopicPartitions.
#[test]
fn topics_are_described_page_by_page() {
    let node = shared();
    let mut connection = node.connect();
    let mut topics = [
        create(&mut connection, "page-a", 3, &[]),
        create(&mut connection, "page-b", 2, &[]),
    ];
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let missing = unique("zz-missing");
    let names = [&topics[1].name, &topics[0].name, &missing];
    let asked: Vec<_> = names
        .iter()
        .map(|name| TopicRequest::default().with_name(topic_name(name)))
        .collect();
    for limit in [1, 2, 3, 4, 5, 2_000] {
        let mut cursor: Option<Cursor> = None;
        let mut seen = Vec::new();
        for _ in 0..20 {
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(asked.clone())
                .with_response_partition_limit(limit)
                .with_cursor(cursor.take());
            let answer = connection.call(0, &request);
            for row in answer.topics {
                let name = row.name.expect("a name").to_string();
                if row.error_code != 0 {
                    seen.push((name, i32::from(row.error_code), Uuid::nil()));
                    continue;
                }
                for partition in row.partitions {
                    assert_eq!((partition.error_code, partition.leader_id.0), (0, 1));
                    assert!(
                        partition
                            .eligible_leader_replicas
                            .is_none_or(|list| list.is_empty())
                    );
                    assert!(partition.last_known_elr.is_none_or(|list| list.is_empty()));
                    seen.push((name.clone(), partition.partition_index, row.topic_id));
                }
            }
            let Some(next) = answer.next_cursor else {
                break;
            };
            cursor = Some(
                Cursor::default()
                    .with_topic_name(next.topic_name)
                    .with_partition_index(next.partition_index),
            );
        }
        seen.dedup();
        let mut expected = Vec::new();
        for topic in &topics {
            let partitions = if topic.name.starts_with("page-a") {
                3
            } else {
                2
            };
            expected.extend((0..partitions).map(|index| (topic.name.clone(), index, topic.id)));
        }
        expected.push((
            missing.clone(),
            i32::from(UNKNOWN_TOPIC_OR_PARTITION),
            Uuid::nil(),
        ));
        assert_eq!(seen, expected, "pages of {limit}");
    }
}
