//! Frames, versions and the life of a connection.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    RequestHeader,
};
use kafka_protocol::protocol::{Encodable, Request};
use net::registry::{ADVERTISED, ApiRange};

use super::node::{Node, against_another, shared};
use super::records::{
    ALL, BY_NAME, PLENTY, batch, create, fetch_request, partitions_of, produce_request, store,
    topic_name, wanted,
};
use super::wire::{decoded, encoded, text};
use crate::harness::Options;

const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;

fn api_versions(name: &str, version: &str) -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(text(name))
        .with_client_software_version(text(version))
}

// Point 1.
#[test]
fn answers_leave_in_the_order_of_requests() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "order", 4, &[]);
    let nothing_yet = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let waiting = connection.send(
        BY_NAME,
        &nothing_yet.with_max_wait_ms(200).with_min_bytes(1),
    );
    let metadata = connection.send(9, &MetadataRequest::default().with_topics(Some(Vec::new())));
    let set = produce_request(BY_NAME, &topic, ALL, vec![(1, Some(batch(3)))]);
    let produced = connection.send(BY_NAME, &set);
    let versions = connection.send(3, &api_versions("a", "1"));
    let offsets = connection.send(7, &ListOffsetsRequest::default());
    let fetched = partitions_of(connection.receive::<FetchRequest>(BY_NAME, waiting));
    assert_eq!(fetched[0].error_code, 0);
    connection.receive::<MetadataRequest>(9, metadata);
    let stored = connection.receive::<ProduceRequest>(BY_NAME, produced);
    assert_eq!(stored.responses[0].partition_responses[0].error_code, 0);
    connection.receive::<ApiVersionsRequest>(3, versions);
    connection.receive::<ListOffsetsRequest>(7, offsets);
}

// Point 1: as idempotent producers do, but with many more in flight.
#[test]
fn pipelined_batches_are_appended_in_the_order_sent() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "pipeline", 4, &[]);
    let records = batch(2);
    let sent: Vec<i32> = (0..200)
        .map(|n| {
            let set = vec![(n % 4, Some(records.clone()))];
            connection.send(BY_NAME, &produce_request(BY_NAME, &topic, ALL, set))
        })
        .collect();
    for (n, id) in (0..).zip(sent) {
        let answer = connection.receive::<ProduceRequest>(BY_NAME, id);
        let outcome = &answer.responses[0].partition_responses[0];
        let expected = (n % 4, 0, i64::from(n / 4) * 2);
        assert_eq!(
            (outcome.index, outcome.error_code, outcome.base_offset),
            expected
        );
    }
}

// Point 2: header and body are those of version 0, whatever follows the header.
#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let node = shared();
    for version in [5, 99, i16::MAX, -1] {
        let mut connection = node.connect();
        let mut frame = encoded(3, 77, "future", &api_versions("a", "1"));
        frame[2..4].copy_from_slice(&version.to_be_bytes());
        frame.put_slice(b"what a later version adds");
        connection.send_frame(&frame);
        let answer = connection.frame().expect("an answer");
        let answer = decoded::<ApiVersionsRequest>(0, 77, answer);
        assert_eq!(answer.error_code, UNSUPPORTED_VERSION, "version {version}");
        let own = ApiVersion::default()
            .with_api_key(18)
            .with_min_version(0)
            .with_max_version(4);
        assert_eq!(answer.api_keys, [own]);
        // The client goes on with what it learnt.
        assert_eq!(connection.call(3, &api_versions("a", "1")).error_code, 0);
    }
}

// Point 3.
#[test]
fn names_of_client_software_are_checked() {
    let node = shared();
    let mut connection = node.connect();
    for version in [3, 4] {
        for (name, number) in [
            ("", "1"),
            ("a", ""),
            ("a b", "1"),
            ("a", "1_0"),
            ("-a", "1"),
            ("a.", "1"),
        ] {
            let answer = connection.call(version, &api_versions(name, number));
            assert_eq!(answer.error_code, INVALID_REQUEST, "{name:?} {number:?}");
            assert!(answer.api_keys.is_empty());
        }
        for (name, number) in [
            ("a", "1"),
            ("apache-kafka-java", "4.1.0"),
            ("x--.y", "0.-1"),
        ] {
            let answer = connection.call(version, &api_versions(name, number));
            assert_eq!(answer.error_code, 0, "{name:?} {number:?}");
        }
    }
}

/// A header as every version of it begins, and an empty set of tagged fields.
fn bare_header(key: i16, version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(1);
    frame.put_slice(b"x");
    frame.put_u8(0);
    frame
}

// Point 4.
#[test]
fn versions_that_are_not_served_close_the_connection() {
    let node = shared();
    let beyond = |api: &ApiRange| {
        let key = api.key;
        [-1, api.served_min - 1, api.max + 1, i16::MAX].map(|version| (key, version))
    };
    let known = ADVERTISED.iter().filter(|api| api.key != 18);
    let mut refused: Vec<(i16, i16)> = known.flat_map(beyond).collect();
    // Advertised from 0, because old librdkafka looks for it, but as little served as by Kafka.
    refused.extend([(0, 0), (0, 1), (0, 2)]);
    // What only brokers speak, what Kafka 4.0 took away, what nobody has.
    refused.extend([
        (4, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (52, 0),
        (999, 0),
        (-1, 0),
        (i16::MAX, 0),
    ]);
    // InitProducerId 6 is Kafka's own, but not switched on.
    for (key, version) in refused {
        let mut connection = node.connect();
        let mut frame = bare_header(key, version);
        frame.put_slice(&[0; 64]);
        connection.send_frame(&frame);
        connection.assert_closes(&format!("API {key} version {version}"));
    }
}

// Point 4: what is not advertised is not served.
#[test]
fn apis_that_are_not_there_close_the_connection() {
    if against_another() {
        return;
    }
    let node = shared();
    for key in (0..100).filter(|key| net::registry::lookup(*key).is_none()) {
        let mut connection = node.connect();
        connection.send_frame(&bare_header(key, 0));
        connection.assert_closes(&format!("API {key}"));
    }
}

// Point 4.
#[test]
fn requests_that_are_cut_short_close_the_connection() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "cut", 1, &[]);
    let named = MetadataRequestTopic::default().with_name(Some(topic_name(&topic.name)));
    let metadata = MetadataRequest::default().with_topics(Some(vec![named]));
    let fetch = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let produce = produce_request(BY_NAME, &topic, ALL, vec![(0, Some(batch(1)))]);
    for whole in [
        encoded(1, 1, "cut", &metadata),
        encoded(9, 1, "cut", &metadata),
        encoded(11, 1, "cut", &fetch),
        encoded(BY_NAME, 1, "cut", &produce),
    ] {
        let lengths = (0..whole.len()).step_by(5).chain([whole.len() - 1]);
        for length in lengths {
            let mut connection = node.connect();
            connection.send_frame(&whole[..length]);
            connection.assert_closes(&format!("{length} of {} bytes", whole.len()));
        }
    }
    // Nothing of it was stored, and others are served.
    assert_eq!(store(&mut connection, &topic, 0, &batch(1)), 0);
}

// Point 4: the size is believed by nobody, nor the counts inside.
#[test]
fn absurd_sizes_and_counts_close_the_connection() {
    let node = shared();
    for size in [-1, i32::MIN, 100 * 1024 * 1024 + 1, i32::MAX] {
        let mut connection = node.connect();
        connection.send_bytes(&size.to_be_bytes());
        connection.assert_closes(&format!("a frame of {size} bytes"));
    }
    for count in [i32::MAX, i32::MAX / 2, 1 << 20] {
        let mut connection = node.connect();
        let mut frame = bare_header(3, 1);
        frame.truncate(frame.len() - 1);
        frame.put_i32(count);
        connection.send_frame(&frame);
        connection.assert_closes(&format!("{count} topics in no bytes"));
    }
}

// Point 4: socket.request.max.bytes.
#[test]
fn frames_above_the_size_limit_close_the_connection() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("socket.request.max.bytes", "5000"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "limit", 1, &[]);
    let small = produce_request(
        BY_NAME,
        &topic,
        ALL,
        vec![(0, Some(super::records::sized(4000)))],
    );
    let answer = connection.call(BY_NAME, &small);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let large = produce_request(
        BY_NAME,
        &topic,
        ALL,
        vec![(0, Some(super::records::sized(5000)))],
    );
    connection.send(BY_NAME, &large);
    connection.assert_closes("more than socket.request.max.bytes");
}

/// A frame whose header has a tagged field that nobody knows.
fn with_tagged_header<R: Request>(version: i16, message: &R) -> BytesMut {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(5)
        .with_client_id(None)
        .with_unknown_tagged_field(77, Bytes::from_static(b"of tomorrow"));
    let mut frame = BytesMut::new();
    header
        .encode(&mut frame, R::header_version(version))
        .expect("a header");
    message.encode(&mut frame, version).expect("a request");
    frame
}

// Point 5.
#[test]
fn tagged_fields_that_are_not_known_are_skipped() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "tags", 1, &[]);
    let tag = || Bytes::from_static(b"of tomorrow");

    let mut produce = produce_request(BY_NAME, &topic, ALL, Vec::new());
    let set = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(batch(2)));
    let set = set.with_unknown_tagged_field(90, tag());
    produce.topic_data[0].partition_data = vec![set];
    produce.topic_data[0]
        .unknown_tagged_fields
        .insert(91, tag());
    let produce = produce.with_unknown_tagged_field(92, tag());
    connection.send_frame(&with_tagged_header(BY_NAME, &produce));
    let answer = connection.receive::<ProduceRequest>(BY_NAME, 5);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);

    let mut fetch = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let partition: &mut FetchPartition = &mut fetch.topics[0].partitions[0];
    partition.unknown_tagged_fields.insert(93, tag());
    fetch.topics[0].unknown_tagged_fields.insert(94, tag());
    let fetch = fetch.with_unknown_tagged_field(95, tag());
    connection.send_frame(&with_tagged_header(BY_NAME, &fetch));
    let fetched = partitions_of(connection.receive::<FetchRequest>(BY_NAME, 5));
    assert_eq!((fetched[0].error_code, fetched[0].high_watermark), (0, 2));

    let asked = api_versions("a", "1").with_unknown_tagged_field(96, tag());
    connection.send_frame(&with_tagged_header(3, &asked));
    assert_eq!(connection.receive::<ApiVersionsRequest>(3, 5).error_code, 0);
}

// Point 7.
#[test]
fn idle_connections_end_with_a_fin() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("connections.max.idle.ms", "300"));
    let mut silent = node.connect();
    let mut spoken = node.connect();
    spoken.call(3, &api_versions("a", "1"));
    spoken.assert_ends_cleanly();
    silent.assert_ends_cleanly();
    // Who waits for an answer is not idle.
    let mut waiting = node.connect();
    let topic = create(&mut waiting, "idle", 1, &[]);
    let nothing = fetch_request(vec![wanted(BY_NAME, &topic, &[(0, 0, PLENTY)])]);
    let fetched = waiting.call(BY_NAME, &nothing.with_max_wait_ms(1_000).with_min_bytes(1));
    assert_eq!(partitions_of(fetched)[0].error_code, 0);
    waiting.assert_ends_cleanly();
}

// What a client has asked before it stopped sending is answered.
#[test]
fn a_half_closed_connection_gets_its_answers() {
    if against_another() {
        return;
    }
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "half", 1, &[]);
    let set = vec![(0, Some(batch(1)))];
    let produced = connection.send(BY_NAME, &produce_request(BY_NAME, &topic, ALL, set));
    let asked = connection.send(3, &api_versions("a", "1"));
    connection.finish_sending();
    let answer = connection.receive::<ProduceRequest>(BY_NAME, produced);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    connection.receive::<ApiVersionsRequest>(3, asked);
    connection.assert_ends_cleanly();
}
