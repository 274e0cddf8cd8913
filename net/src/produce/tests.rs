//! Against kafka-protocol's own codec, in every version.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint as TheirEndpoint,
    PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, ProduceRequest as TheirRequest, ProduceResponse as TheirResponse, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

use super::*;
use crate::response::Response;
use crate::take::MAX_ELEMENTS;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic of the request: name, id, partitions.
type Topic = (String, u128, Vec<(i32, Option<Vec<u8>>)>);

fn topics() -> impl Strategy<Value = Vec<Topic>> {
    let records = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let partitions = prop::collection::vec((any::<i32>(), records), 0..5);
    prop::collection::vec(("[a-zü]{0,12}", any::<u128>(), partitions), 0..5)
}

fn their_request(version: i16, transactional_id: Option<&str>, topics: &[Topic]) -> TheirRequest {
    let partition = |(index, records): &(i32, Option<Vec<u8>>)| {
        let records = records.clone().map(Bytes::from);
        let data = PartitionProduceData::default()
            .with_index(*index)
            .with_records(records);
        if version >= 9 {
            data.with_unknown_tagged_field(9, Bytes::from_static(b"partition"))
        } else {
            data
        }
    };
    let topic = |(name, id, partitions): &Topic| {
        let data = TopicProduceData::default()
            .with_partition_data(partitions.iter().map(partition).collect());
        if version >= 13 {
            data.with_topic_id(Uuid::from_u128(*id))
        } else {
            data.with_name(TopicName(text(name)))
        }
    };
    TheirRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(-1)
        .with_timeout_ms(1234)
        .with_topic_data(topics.iter().map(topic).collect())
}

fn encoded(request: &TheirRequest, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_version_is_taken_apart(topics in topics(), transactional in prop::option::of("[a-z]{0,9}")) {
        for version in VERSIONS {
            let body = encoded(&their_request(version, transactional.as_deref(), &topics), version);
            let memory = body.as_ptr_range();
            let parsed = ProduceRequest::parse(body, version).unwrap();
            prop_assert_eq!(&parsed.transactional_id, &transactional);
            prop_assert_eq!((parsed.acks, parsed.timeout_ms), (-1, 1234));
            prop_assert_eq!(parsed.topics.len(), topics.len());
            for (topic, (name, id, partitions)) in parsed.topics.iter().zip(&topics) {
                if version >= 13 {
                    prop_assert_eq!((&topic.name, topic.id), (&None, Uuid::from_u128(*id)));
                } else {
                    prop_assert_eq!((topic.name.as_ref(), topic.id), (Some(name), Uuid::nil()));
                }
                let found: Vec<_> = topic.partitions.iter()
                    .map(|p| (p.index, p.records.as_ref().map(|records| records.to_vec())))
                    .collect();
                prop_assert_eq!(&found, partitions);
                for records in topic.partitions.iter().filter_map(|p| p.records.as_ref()) {
                    let inside = records.as_ptr_range();
                    prop_assert!(memory.start <= inside.start && inside.end <= memory.end, "copied");
                }
            }
        }
    }

    #[test]
    fn damage_is_survived(
        topics in topics(),
        version in VERSIONS,
        place: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut body = encoded(&their_request(version, None, &topics), version);
        let at = place.index(body.len());
        body[at] = byte;
        let _ = ProduceRequest::parse(body.clone(), version);
        body.truncate(cut.index(body.len()));
        let _ = ProduceRequest::parse(body, version);
    }

    #[test]
    fn random_bytes_are_survived(version in VERSIONS, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = ProduceRequest::parse(BytesMut::from(&body[..]), version);
    }
}

fn sample() -> Vec<Topic> {
    let partitions = vec![(0, Some(vec![1; 80])), (1, None), (7, Some(vec![]))];
    vec![
        ("one".to_owned(), 1, partitions.clone()),
        ("two".to_owned(), 2, partitions),
    ]
}

#[test]
fn every_cut_is_an_error() {
    for version in VERSIONS {
        let body = encoded(&their_request(version, Some("tx"), &sample()), version);
        for cut in 0..body.len() {
            let cut = BytesMut::from(&body[..cut]);
            assert!(
                ProduceRequest::parse(cut, version).is_err(),
                "version {version}"
            );
        }
    }
}

#[test]
fn record_sets_can_be_changed_on_their_own() {
    let body = encoded(&their_request(9, None, &sample()), 9);
    let parsed = ProduceRequest::parse(body, 9).unwrap();
    let mut sets: Vec<_> = parsed
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .filter_map(|partition| partition.records)
        .filter(|records| !records.is_empty())
        .collect();
    assert_eq!(sets.len(), 2);
    for (fill, records) in (10..).zip(&mut sets) {
        records.fill(fill);
    }
    let first = sets.remove(0).freeze();
    assert_eq!((&first[..], &sets[0][..]), (&[10; 80][..], &[11; 80][..]));
}

#[test]
fn absurd_counts_and_lengths_allocate_nothing() {
    let fixed_start = [0xff, 0xff, 0, 1, 0, 0, 0, 9].as_slice();
    let flexible_start = [0, 0, 1, 0, 0, 0, 9].as_slice();
    let huge = [0x7f, 0xff, 0xff, 0xff].as_slice();
    let huge_varint = [0xff, 0xff, 0xff, 0xff, 0x0f].as_slice();
    let bodies: [(i16, Vec<&[u8]>); 8] = [
        (3, vec![fixed_start, huge]),
        (3, vec![fixed_start, &[0x80, 0, 0, 0]]),
        // one topic "t", then partitions
        (3, vec![fixed_start, &[0, 0, 0, 1, 0, 1, b't'], huge]),
        (
            3,
            vec![
                fixed_start,
                &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0],
                huge,
            ],
        ),
        (9, vec![flexible_start, huge_varint]),
        (9, vec![flexible_start, &[2, 2, b't'], huge_varint]),
        (
            9,
            vec![flexible_start, &[2, 2, b't', 2, 0, 0, 0, 0], huge_varint],
        ),
        (13, vec![flexible_start, &[2], &[0; 16], huge_varint]),
    ];
    for (version, parts) in bodies {
        let mut body = BytesMut::from(&parts.concat()[..]);
        body.extend_from_slice(&[0; 40]);
        let error = ProduceRequest::parse(body, version).unwrap_err();
        assert!(
            matches!(error, ParseError::Length { .. }),
            "version {version}: {error}"
        );
    }
}

#[test]
fn elements_are_limited() {
    let partitions = vec![(0, None); MAX_ELEMENTS];
    let body = encoded(
        &their_request(9, None, &[("t".to_owned(), 0, partitions)]),
        9,
    );
    let error = ProduceRequest::parse(body, 9).unwrap_err();
    assert_eq!(error, ParseError::TooMany(MAX_ELEMENTS));
}

#[test]
fn nulls_where_there_are_none() {
    let parse = |bytes: &[u8], version| ProduceRequest::parse(BytesMut::from(bytes), version);
    let error = parse(&[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff], 3).unwrap_err();
    assert_eq!(error, ParseError::Null("the topics"));
    let error = parse(&[0, 0, 1, 0, 0, 0, 9, 2, 0, 1, 0, 0, 0], 9).unwrap_err();
    assert_eq!(error, ParseError::Null("a topic name"));
    let error = parse(&[0, 0, 1, 0, 0, 0, 9, 2, 2, 0xff, 1, 0, 0, 0], 9).unwrap_err();
    assert_eq!(error, ParseError::Utf8("a topic name"));
}

#[test]
fn versions_that_are_not_served() {
    for version in [-1, 0, 2, 14] {
        let error = ProduceRequest::parse(BytesMut::new(), version).unwrap_err();
        assert_eq!(
            error,
            ParseError::Version {
                api: "Produce",
                version
            }
        );
    }
}

fn outcome() -> ProduceResponse {
    let mut refused = PartitionProduced::new(3);
    refused.error_code = 87;
    refused.record_errors = vec![(0, None), (4, Some("no key".to_owned()))];
    refused.error_message = Some("some records have no key".to_owned());
    refused.current_leader = Some((1, 12));
    let mut stored = PartitionProduced::new(0);
    stored.base_offset = 1 << 40;
    stored.log_append_time_ms = 1_700_000_000_000;
    stored.log_start_offset = 17;
    let topic = |name: &str, id, partitions| TopicProduced {
        name: Some(name.to_owned()),
        id: Uuid::from_u128(id),
        partitions,
    };
    let endpoint = |node_id, rack: Option<&str>| NodeEndpoint {
        node_id,
        host: "broker.example".to_owned(),
        port: 9092,
        rack: rack.map(str::to_owned),
    };
    ProduceResponse {
        topics: vec![
            topic("one", 5, vec![refused, stored]),
            topic("two", 6, vec![]),
        ],
        throttle_time_ms: 250,
        node_endpoints: vec![endpoint(1, None), endpoint(2, Some("rack"))],
    }
}

fn their_partition(version: i16, partition: &PartitionProduced) -> PartitionProduceResponse {
    let mut theirs = PartitionProduceResponse::default()
        .with_index(partition.index)
        .with_error_code(partition.error_code)
        .with_base_offset(partition.base_offset)
        .with_log_append_time_ms(partition.log_append_time_ms);
    if version >= 5 {
        theirs = theirs.with_log_start_offset(partition.log_start_offset);
    }
    if version >= 8 {
        let error = |(index, message): &(i32, Option<String>)| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(*index)
                .with_batch_index_error_message(message.as_deref().map(text))
        };
        theirs = theirs
            .with_record_errors(partition.record_errors.iter().map(error).collect())
            .with_error_message(partition.error_message.as_deref().map(text));
    }
    match partition.current_leader {
        Some((id, epoch)) if version >= 10 => theirs.with_current_leader(
            LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(id))
                .with_leader_epoch(epoch),
        ),
        _ => theirs,
    }
}

fn their_response(version: i16, response: &ProduceResponse) -> TheirResponse {
    let topic = |topic: &TopicProduced| {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| their_partition(version, p))
            .collect();
        let theirs = TopicProduceResponse::default().with_partition_responses(partitions);
        if version >= 13 {
            theirs.with_topic_id(topic.id)
        } else {
            theirs.with_name(TopicName(text(topic.name.as_deref().unwrap_or_default())))
        }
    };
    let endpoint = |endpoint: &NodeEndpoint| {
        TheirEndpoint::default()
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(text(&endpoint.host))
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.as_deref().map(text))
    };
    let theirs = TheirResponse::default()
        .with_responses(response.topics.iter().map(topic).collect())
        .with_throttle_time_ms(response.throttle_time_ms);
    if version >= 10 {
        theirs.with_node_endpoints(response.node_endpoints.iter().map(endpoint).collect())
    } else {
        theirs
    }
}

fn flat(response: Response) -> Vec<u8> {
    response.into_pieces().into_iter().flatten().collect()
}

#[test]
fn responses_are_byte_for_byte_those_of_the_other_codec() {
    for version in VERSIONS {
        let ours = outcome();
        let theirs = their_response(version, &ours);
        assert_eq!(
            ApiKey::Produce.response_header_version(version),
            i16::from(version >= 9)
        );
        let expected = Response::of(-77, version, &theirs).unwrap();
        assert_eq!(
            flat(ours.encode(version, -77)),
            flat(expected),
            "version {version}"
        );
        let plain = ProduceResponse {
            throttle_time_ms: 0,
            node_endpoints: vec![],
            ..ours
        };
        let expected = Response::of(5, version, &their_response(version, &plain)).unwrap();
        let encoded = encode_response(version, 5, &plain.topics);
        assert_eq!(flat(encoded), flat(expected), "version {version}");
    }
}
