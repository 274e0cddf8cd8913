//! The layouts against the decoder they guard: what a layout generates, the decoder must take.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use proptest::prelude::*;

use super::*;
use crate::put;
use crate::registry::{ADVERTISED, ApiRange};
use crate::shape::{Field, Kind};
use crate::take::{Form, MAX_ELEMENTS, Width};

/// Decodes with the guard, and encodes again where that is possible: damage may put a known tagged
/// field into a version that has no place for it.
type RoundTrip = fn(Bytes, i16) -> Result<Option<BytesMut>, ParseError>;

fn round_trip<R: Request>(body: Bytes, version: i16) -> Result<Option<BytesMut>, ParseError> {
    let request: R = decode(body, version)?;
    let mut again = BytesMut::new();
    let encoded = request.encode(&mut again, version).is_ok();
    Ok(encoded.then_some(again))
}

fn round_trip_of(api: &ApiRange) -> RoundTrip {
    match api.name {
        "Fetch" => round_trip::<FetchRequest>,
        "ListOffsets" => round_trip::<ListOffsetsRequest>,
        "Metadata" => round_trip::<MetadataRequest>,
        "FindCoordinator" => round_trip::<FindCoordinatorRequest>,
        "OffsetCommit" => round_trip::<OffsetCommitRequest>,
        "OffsetFetch" => round_trip::<OffsetFetchRequest>,
        "JoinGroup" => round_trip::<JoinGroupRequest>,
        "Heartbeat" => round_trip::<HeartbeatRequest>,
        "LeaveGroup" => round_trip::<LeaveGroupRequest>,
        "SyncGroup" => round_trip::<SyncGroupRequest>,
        "DescribeGroups" => round_trip::<DescribeGroupsRequest>,
        "ListGroups" => round_trip::<ListGroupsRequest>,
        "DeleteGroups" => round_trip::<DeleteGroupsRequest>,
        "OffsetDelete" => round_trip::<OffsetDeleteRequest>,
        "ConsumerGroupHeartbeat" => round_trip::<ConsumerGroupHeartbeatRequest>,
        "ShareGroupHeartbeat" => round_trip::<ShareGroupHeartbeatRequest>,
        "ShareGroupDescribe" => round_trip::<ShareGroupDescribeRequest>,
        "DescribeShareGroupOffsets" => round_trip::<DescribeShareGroupOffsetsRequest>,
        "AlterShareGroupOffsets" => round_trip::<AlterShareGroupOffsetsRequest>,
        "DeleteShareGroupOffsets" => round_trip::<DeleteShareGroupOffsetsRequest>,
        "AddPartitionsToTxn" => round_trip::<AddPartitionsToTxnRequest>,
        "AddOffsetsToTxn" => round_trip::<AddOffsetsToTxnRequest>,
        "EndTxn" => round_trip::<EndTxnRequest>,
        "WriteTxnMarkers" => round_trip::<WriteTxnMarkersRequest>,
        "TxnOffsetCommit" => round_trip::<TxnOffsetCommitRequest>,
        "DescribeProducers" => round_trip::<DescribeProducersRequest>,
        "DescribeTransactions" => round_trip::<DescribeTransactionsRequest>,
        "ListTransactions" => round_trip::<ListTransactionsRequest>,
        "ConsumerGroupDescribe" => round_trip::<ConsumerGroupDescribeRequest>,
        "ApiVersions" => round_trip::<ApiVersionsRequest>,
        "CreateTopics" => round_trip::<CreateTopicsRequest>,
        "DeleteTopics" => round_trip::<DeleteTopicsRequest>,
        "DeleteRecords" => round_trip::<DeleteRecordsRequest>,
        "InitProducerId" => round_trip::<InitProducerIdRequest>,
        "OffsetForLeaderEpoch" => round_trip::<OffsetForLeaderEpochRequest>,
        "DescribeConfigs" => round_trip::<DescribeConfigsRequest>,
        "AlterConfigs" => round_trip::<AlterConfigsRequest>,
        "DescribeLogDirs" => round_trip::<DescribeLogDirsRequest>,
        "CreatePartitions" => round_trip::<CreatePartitionsRequest>,
        "ElectLeaders" => round_trip::<ElectLeadersRequest>,
        "AlterPartitionReassignments" => round_trip::<AlterPartitionReassignmentsRequest>,
        "DescribeQuorum" => round_trip::<DescribeQuorumRequest>,
        "UnregisterBroker" => round_trip::<UnregisterBrokerRequest>,
        "AddRaftVoter" => round_trip::<AddRaftVoterRequest>,
        "RemoveRaftVoter" => round_trip::<RemoveRaftVoterRequest>,
        "IncrementalAlterConfigs" => round_trip::<IncrementalAlterConfigsRequest>,
        "ListPartitionReassignments" => round_trip::<ListPartitionReassignmentsRequest>,
        "ListConfigResources" => round_trip::<ListConfigResourcesRequest>,
        "DescribeCluster" => round_trip::<DescribeClusterRequest>,
        "DescribeTopicPartitions" => round_trip::<DescribeTopicPartitionsRequest>,
        "ShareFetch" => round_trip::<ShareFetchRequest>,
        "ShareAcknowledge" => round_trip::<ShareAcknowledgeRequest>,
        "InitializeShareGroupState" => round_trip::<InitializeShareGroupStateRequest>,
        "ReadShareGroupState" => round_trip::<ReadShareGroupStateRequest>,
        "WriteShareGroupState" => round_trip::<WriteShareGroupStateRequest>,
        "DeleteShareGroupState" => round_trip::<DeleteShareGroupStateRequest>,
        "ReadShareGroupStateSummary" => round_trip::<ReadShareGroupStateSummaryRequest>,
        other => panic!("{other} is advertised and has no line in this test"),
    }
}

/// Every API and version that generated code decodes.
fn decoded() -> impl Iterator<Item = (&'static ApiRange, i16)> {
    let apis = ADVERTISED.iter().filter(|api| api.key != registry::PRODUCE);
    apis.flat_map(|api| (api.served_min..=api.max).map(move |version| (api, version)))
}

/// Makes requests out of layouts.
struct Maker {
    seed: u64,
    version: i16,
    form: Form,
    tags: bool,
    /// The array, counted in the order they are made, that claims too much; and what it claims.
    bomb: Option<(usize, u32)>,
    lists: usize,
    out: BytesMut,
}

impl Maker {
    fn new(api: &ApiRange, version: i16, seed: u64) -> Self {
        Self {
            seed,
            version,
            form: Form::of(api.is_flexible(version)),
            tags: false,
            bomb: None,
            lists: 0,
            out: BytesMut::new(),
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.seed >> 33) % below
    }

    fn make(&mut self, kind: &Kind) {
        match kind {
            // Of one byte there are also flags, which have two values only.
            Kind::Fixed(1) => {
                let flag = self.random(2) as u8;
                self.out.put_u8(flag);
            }
            Kind::Fixed(size) => {
                for _ in 0..*size {
                    let byte = self.random(256) as u8;
                    self.out.put_u8(byte);
                }
            }
            Kind::Held(width) => {
                let text = &"some text or other"[..self.random(10) as usize];
                match (width, self.form) {
                    (Width::Four, Form::Fixed) => {
                        self.out.put_i32(text.len() as i32);
                        self.out.put_slice(text.as_bytes());
                    }
                    _ => put::string(&mut self.out, self.form, text),
                }
            }
            Kind::List(element) => self.make_list(element),
            Kind::Struct(fields) => self.make_fields(fields),
            Kind::NullableStruct(fields) => {
                if self.random(2) == 0 {
                    self.out.put_i8(-1);
                } else {
                    self.out.put_i8(1);
                    self.make_fields(fields);
                }
            }
        }
    }

    fn make_list(&mut self, element: &Kind) {
        self.lists += 1;
        let count = match self.bomb {
            Some((list, claim)) if list == self.lists => {
                match self.form {
                    Form::Flexible => put::uvarint(&mut self.out, claim),
                    Form::Fixed => self.out.put_u32(claim),
                }
                1
            }
            _ => {
                let count = if self.bomb.is_some() {
                    1
                } else {
                    self.random(4) as usize
                };
                put::length(&mut self.out, self.form, count);
                count
            }
        };
        for _ in 0..count {
            self.make(element);
        }
    }

    fn make_fields(&mut self, fields: &[Field]) {
        for field in fields {
            if let Some(kind) = field.kind_in(self.version) {
                self.make(kind);
            }
        }
        if self.tags && self.form == Form::Flexible {
            self.out.put_slice(&[1, 100, 3, b't', b'a', b'g']);
        } else {
            put::no_tags(&mut self.out, self.form);
        }
    }
}

fn shape_of(api: &ApiRange) -> &'static Kind {
    shapes::of(api.key).unwrap_or_else(|| panic!("{} has no layout", api.name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_a_layout_makes_is_decoded_to_the_last_byte(seed: u64, tags: bool) {
        for (api, version) in decoded() {
            let mut maker = Maker::new(api, version, seed);
            maker.tags = tags;
            maker.make(shape_of(api));
            let body = maker.out.freeze();
            let again = round_trip_of(api)(body.clone(), version);
            prop_assert_eq!(again, Ok(Some(BytesMut::from(&body[..]))), "{} {}", api.name, version);
        }
    }

    #[test]
    fn damage_and_cuts_are_survived(seed: u64, place: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        for (api, version) in decoded() {
            let mut maker = Maker::new(api, version, seed);
            maker.make(shape_of(api));
            let mut body = maker.out;
            if body.is_empty() {
                continue;
            }
            let at = place.index(body.len());
            body[at] = byte;
            let _ = round_trip_of(api)(body.clone().freeze(), version);
            body.truncate(cut.index(body.len()));
            let _ = round_trip_of(api)(body.freeze(), version);
        }
    }

    #[test]
    fn random_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..120)) {
        for (api, version) in decoded() {
            let _ = round_trip_of(api)(Bytes::copy_from_slice(&body), version);
        }
    }
}

#[test]
fn no_array_is_believed() {
    let mut tried = 0;
    for (api, version) in decoded() {
        for list in 1.. {
            for claim in [u32::MAX, i32::MAX as u32, 1 << 27, 70_000] {
                let mut maker = Maker::new(api, version, 5);
                maker.bomb = Some((list, claim));
                maker.make(shape_of(api));
                if maker.lists < list {
                    break;
                }
                // In the fixed form all ones are -1, which is null.
                if maker.form == Form::Fixed && claim == u32::MAX {
                    continue;
                }
                tried += 1;
                let result = round_trip_of(api)(maker.out.freeze(), version);
                assert!(
                    matches!(
                        result,
                        Err(ParseError::Length { .. } | ParseError::TooMany(_))
                    ),
                    "{} {version}, array {list} of {claim}: {result:?}",
                    api.name
                );
            }
            let mut maker = Maker::new(api, version, 5);
            maker.bomb = Some((usize::MAX, 0));
            maker.make(shape_of(api));
            if maker.lists <= list {
                break;
            }
        }
    }
    assert!(tried > 300, "{tried} arrays tried");
}

#[test]
fn a_request_may_have_so_many_elements_and_no_more() {
    let body = |count: usize| {
        let mut body = BytesMut::new();
        body.put_i32(count as i32);
        body.extend(std::iter::repeat_n(0, 2 * count));
        body.put_u8(1);
        body.freeze()
    };
    let most: MetadataRequest = decode(body(MAX_ELEMENTS), 4).unwrap();
    assert_eq!(most.topics.map(|topics| topics.len()), Some(MAX_ELEMENTS));
    let error = decode::<MetadataRequest>(body(MAX_ELEMENTS + 1), 4).unwrap_err();
    assert_eq!(error, ParseError::TooMany(MAX_ELEMENTS));
    // Tagged fields cost memory too.
    let mut tags = BytesMut::new();
    tags.put_slice(&[1, 1]);
    put::uvarint(&mut tags, MAX_ELEMENTS as u32 + 1);
    for tag in 0..=MAX_ELEMENTS as u32 {
        put::uvarint(&mut tags, tag);
        tags.put_u8(0);
    }
    let error = decode::<ApiVersionsRequest>(tags, 3).unwrap_err();
    assert_eq!(error, ParseError::TooMany(MAX_ELEMENTS));
}

#[test]
fn tagged_fields_of_fetch_are_read() {
    for version in 4..=18 {
        let mut request = FetchRequest::default().with_max_wait_ms(7);
        if version >= 12 {
            request = request.with_cluster_id(Some(StrBytes::from_static_str("cluster")));
        }
        if version >= 15 {
            let state = fetch_request::ReplicaState::default().with_replica_epoch(6);
            request = request.with_replica_state(state.with_replica_id(BrokerId(5)));
        }
        let mut body = BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&request, &mut body, version).unwrap();
        assert_eq!(decode(body, version), Ok(request), "{version}");
    }
}

#[test]
fn nulls_are_read_where_they_may_be() {
    let all: MetadataRequest = decode(Bytes::from_static(&[255, 255, 255, 255, 1]), 4).unwrap();
    assert_eq!(all.topics, None);
    let all: MetadataRequest = decode(Bytes::from_static(&[0, 1, 0, 0]), 12).unwrap();
    assert_eq!(all.topics, None);
}

#[test]
fn versions_that_are_not_served_are_refused() {
    for version in [-1, 3, 19] {
        let error = decode::<FetchRequest>(Bytes::new(), version).unwrap_err();
        assert_eq!(
            error,
            ParseError::Version {
                api: "Fetch",
                version
            }
        );
    }
    assert!(matches!(
        decode::<VoteRequest>(Bytes::new(), 0),
        Err(ParseError::Version { .. })
    ));
}
