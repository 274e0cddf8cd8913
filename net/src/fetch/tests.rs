//! Against kafka-protocol's own codec, in every version.

use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint as TheirEndpoint, PartitionData,
};
use kafka_protocol::messages::{
    BrokerId, FetchResponse as TheirResponse, ProducerId, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use proptest::prelude::*;

use super::*;

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn partition() -> impl Strategy<Value = FetchedPartition> {
    let aborted = prop::option::of(prop::collection::vec(any::<(i64, i64)>(), 0..3));
    let segment = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (
        any::<(i32, i16, i64, i64, i64)>(),
        any::<(Option<(i32, i64)>, Option<(i32, i32)>, i32)>(),
        aborted,
        prop::collection::vec(segment, 0..4),
    )
        .prop_map(
            |(numbers, (diverging, current_leader, preferred), aborted, records)| {
                let (index, error_code, high_watermark, last_stable_offset, log_start_offset) =
                    numbers;
                FetchedPartition {
                    index,
                    error_code,
                    high_watermark,
                    last_stable_offset,
                    log_start_offset,
                    // The other codec leaves a field out that has its default.
                    diverging: diverging.filter(|field| *field != (-1, -1)),
                    current_leader: current_leader.filter(|field| *field != (-1, -1)),
                    aborted,
                    preferred_read_replica: preferred,
                    records,
                }
            },
        )
}

fn topics() -> impl Strategy<Value = Vec<FetchedTopic>> {
    let partitions = prop::collection::vec(partition(), 0..4);
    let topic = ("[a-zü]{0,12}", any::<u128>(), partitions).prop_map(|(name, id, partitions)| {
        FetchedTopic {
            name,
            id: Uuid::from_u128(id),
            partitions,
        }
    });
    prop::collection::vec(topic, 0..4)
}

fn their_partition(version: i16, partition: &FetchedPartition) -> PartitionData {
    let aborted = partition.aborted.as_ref().map(|aborted| {
        let transaction = |(producer_id, first_offset): &(i64, i64)| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(*producer_id))
                .with_first_offset(*first_offset)
        };
        aborted.iter().map(transaction).collect()
    });
    let mut theirs = PartitionData::default()
        .with_partition_index(partition.index)
        .with_error_code(partition.error_code)
        .with_high_watermark(partition.high_watermark)
        .with_last_stable_offset(partition.last_stable_offset)
        .with_aborted_transactions(aborted)
        .with_records(Some(partition.records.concat().into()));
    if version >= 5 {
        theirs = theirs.with_log_start_offset(partition.log_start_offset);
    }
    if version >= 11 {
        theirs = theirs.with_preferred_read_replica(BrokerId(partition.preferred_read_replica));
    }
    if version < 12 {
        return theirs;
    }
    if let Some((epoch, end)) = partition.diverging {
        let diverging = EpochEndOffset::default()
            .with_epoch(epoch)
            .with_end_offset(end);
        theirs = theirs.with_diverging_epoch(diverging);
    }
    if let Some((id, epoch)) = partition.current_leader {
        let leader = LeaderIdAndEpoch::default().with_leader_id(BrokerId(id));
        theirs = theirs.with_current_leader(leader.with_leader_epoch(epoch));
    }
    theirs
}

fn their_response(response: &FetchResponse) -> TheirResponse {
    let version = response.version;
    let topic = |topic: &FetchedTopic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| their_partition(version, p))
            .collect();
        let theirs = FetchableTopicResponse::default().with_partitions(partitions);
        if version >= 13 {
            theirs.with_topic_id(topic.id)
        } else {
            theirs.with_topic(TopicName(text(&topic.name)))
        }
    };
    let endpoint = |endpoint: &NodeEndpoint| {
        TheirEndpoint::default()
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(text(&endpoint.host))
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.as_deref().map(text))
    };
    let mut theirs = TheirResponse::default()
        .with_throttle_time_ms(response.throttle_time_ms)
        .with_responses(response.topics.iter().map(topic).collect());
    if version >= 7 {
        theirs = theirs
            .with_error_code(response.error_code)
            .with_session_id(response.session_id);
    }
    if version >= 16 {
        theirs = theirs.with_node_endpoints(response.node_endpoints.iter().map(endpoint).collect());
    }
    theirs
}

fn endpoint(node_id: i32, rack: Option<&str>) -> NodeEndpoint {
    NodeEndpoint {
        node_id,
        host: "broker.example".to_owned(),
        port: 9092,
        rack: rack.map(str::to_owned),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_version_is_what_the_other_codec_makes(
        topics in topics(),
        (throttle_time_ms, error_code, session_id) in any::<(i32, i16, i32)>(),
        endpoints in 0..3_usize,
    ) {
        let endpoints = [endpoint(1, None), endpoint(2, Some("rack"))][..endpoints.min(2)].to_vec();
        for version in VERSIONS {
            let mut response = FetchResponse::new(99, version);
            response.throttle_time_ms = throttle_time_ms;
            response.error_code = error_code;
            response.session_id = session_id;
            response.topics.clone_from(&topics);
            response.node_endpoints.clone_from(&endpoints);
            let theirs = their_response(&response);
            let record_bytes = response.record_bytes();
            let encoded = response.encode();
            prop_assert_eq!(encoded.len(), encoded.pieces().map(Bytes::len).sum::<usize>());
            prop_assert!(encoded.len() > record_bytes);
            let ours: Bytes = encoded.into_pieces().into_iter().flatten().collect();
            let expected = Response::of(99, version, &theirs).unwrap();
            let expected: Bytes = expected.into_pieces().into_iter().flatten().collect();
            prop_assert_eq!(&ours, &expected, "version {}", version);
            let mut body = ours.slice(4..);
            ResponseHeader::decode(&mut body, i16::from(version >= 12)).unwrap();
            prop_assert_eq!(TheirResponse::decode(&mut body, version).unwrap(), theirs);
            prop_assert!(body.is_empty());
        }
    }
}

#[test]
fn records_go_out_from_where_they_are() {
    let log = Bytes::from(vec![9; 1000]);
    for version in VERSIONS {
        let mut first = FetchedPartition::new(0);
        first.records = vec![log.slice(..300), log.slice(300..700)];
        let mut second = FetchedPartition::new(1);
        second.records = vec![log.slice(700..)];
        let mut response = FetchResponse::new(1, version);
        let partitions = vec![first, FetchedPartition::new(5), second];
        response.topics = vec![FetchedTopic {
            name: "t".to_owned(),
            id: Uuid::from_u128(1),
            partitions,
        }];
        assert_eq!(response.record_bytes(), 1000);
        let pieces = response.encode().into_pieces();
        let shared = log.as_ptr_range();
        let lengths: Vec<_> = pieces
            .iter()
            .filter(|piece| shared.contains(&piece.as_ptr()))
            .map(Bytes::len)
            .collect();
        assert_eq!(lengths, [300, 400, 300], "version {version}");
        let glue: usize = pieces.iter().map(Bytes::len).sum::<usize>() - 1000;
        assert!(glue < 250, "{glue} bytes around the records");
    }
}
