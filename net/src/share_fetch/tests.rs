//! Against kafka-protocol's own codec.

use kafka_protocol::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint as TheirEndpoint, PartitionData,
    ShareFetchableTopicResponse,
};
use kafka_protocol::messages::{BrokerId, ResponseHeader, ShareFetchResponse as TheirResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use proptest::prelude::*;

use super::*;

const VERSION: i16 = 1;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn sentence() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-zü ]{0,20}")
}

fn partition() -> impl Strategy<Value = SharedPartition> {
    let segment = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let range = any::<(i64, i64, i16)>().prop_map(|(first, last, delivery_count)| AcquiredRange {
        first,
        last,
        delivery_count,
    });
    (
        any::<(i32, i16, i16)>(),
        (sentence(), sentence()),
        prop::option::of(any::<(i32, i32)>()),
        prop::collection::vec(segment, 0..4),
        prop::collection::vec(range, 0..4),
    )
        .prop_map(|(numbers, sentences, current_leader, records, acquired)| {
            let (index, error_code, acknowledge_error_code) = numbers;
            SharedPartition {
                index,
                error_code,
                error_message: sentences.0,
                acknowledge_error_code,
                acknowledge_error_message: sentences.1,
                current_leader,
                records,
                acquired,
            }
        })
}

fn topics() -> impl Strategy<Value = Vec<SharedTopic>> {
    let partitions = prop::collection::vec(partition(), 0..4);
    let topic = (any::<u128>(), partitions).prop_map(|(id, partitions)| SharedTopic {
        id: Uuid::from_u128(id),
        partitions,
    });
    prop::collection::vec(topic, 0..4)
}

fn their_partition(partition: &SharedPartition) -> PartitionData {
    let (leader, epoch) = partition.current_leader.unwrap_or_default();
    let acquired = partition.acquired.iter().map(|range| {
        AcquiredRecords::default()
            .with_first_offset(range.first)
            .with_last_offset(range.last)
            .with_delivery_count(range.delivery_count)
    });
    PartitionData::default()
        .with_partition_index(partition.index)
        .with_error_code(partition.error_code)
        .with_error_message(partition.error_message.as_deref().map(text))
        .with_acknowledge_error_code(partition.acknowledge_error_code)
        .with_acknowledge_error_message(partition.acknowledge_error_message.as_deref().map(text))
        .with_current_leader(
            LeaderIdAndEpoch::default()
                .with_leader_id(leader)
                .with_leader_epoch(epoch),
        )
        .with_records(Some(partition.records.concat().into()))
        .with_acquired_records(acquired.collect())
}

fn their_response(response: &ShareFetchResponse) -> TheirResponse {
    let topic = |topic: &SharedTopic| {
        ShareFetchableTopicResponse::default()
            .with_topic_id(topic.id)
            .with_partitions(topic.partitions.iter().map(their_partition).collect())
    };
    let endpoint = |endpoint: &NodeEndpoint| {
        TheirEndpoint::default()
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(text(&endpoint.host))
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.as_deref().map(text))
    };
    TheirResponse::default()
        .with_error_code(response.error_code)
        .with_error_message(response.error_message.as_deref().map(text))
        .with_acquisition_lock_timeout_ms(response.lock_timeout_ms)
        .with_responses(response.topics.iter().map(topic).collect())
        .with_node_endpoints(response.node_endpoints.iter().map(endpoint).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_what_the_other_codec_makes(
        topics in topics(),
        (error_code, lock_timeout_ms) in any::<(i16, i32)>(),
        error_message in sentence(),
        racks in prop::collection::vec(prop::option::of("[a-z]{1,5}"), 0..3),
    ) {
        let endpoint = |(node_id, rack)| NodeEndpoint {
            node_id,
            host: "broker.example".to_owned(),
            port: 9092,
            rack,
        };
        let response = ShareFetchResponse {
            error_code,
            error_message,
            lock_timeout_ms,
            topics,
            node_endpoints: (1..).zip(racks).map(endpoint).collect(),
        };
        let theirs = their_response(&response);
        let record_bytes = response.record_bytes();
        let encoded = response.encode(99);
        prop_assert!(encoded.len() > record_bytes);
        let ours: Bytes = encoded.into_pieces().into_iter().flatten().collect();
        let expected = Response::of(99, VERSION, &theirs).unwrap();
        let expected: Bytes = expected.into_pieces().into_iter().flatten().collect();
        prop_assert_eq!(&ours, &expected);
        let mut body = ours.slice(4..);
        ResponseHeader::decode(&mut body, 1).unwrap();
        prop_assert_eq!(TheirResponse::decode(&mut body, VERSION).unwrap(), theirs);
        prop_assert!(body.is_empty());
    }
}

#[test]
fn records_go_out_from_where_they_are() {
    let log = Bytes::from(vec![9; 1000]);
    let response = ShareFetchResponse {
        topics: vec![SharedTopic {
            id: Uuid::from_u128(1),
            partitions: vec![SharedPartition {
                records: vec![log.slice(..300), log.slice(300..700)],
                ..SharedPartition::default()
            }],
        }],
        ..ShareFetchResponse::default()
    };
    assert_eq!(response.record_bytes(), 700);
    let response = response.encode(1);
    let there = response.pieces().filter(|piece| {
        let range = log.as_ptr_range();
        range.contains(&piece.as_ptr())
    });
    assert_eq!(there.count(), 2);
}
