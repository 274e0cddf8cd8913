//! Records and their bytes.

use std::sync::Arc;

use flatbuffers::FlatBufferBuilder;
use proptest::prelude::*;

use super::super::generated as fb;
use super::*;

fn uuids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn states() -> impl Strategy<Value = PartitionState> {
    let ints = || proptest::collection::vec(any::<i32>(), 0..4);
    (
        ints(),
        ints(),
        any::<(i32, i32, i32)>(),
        proptest::collection::vec(uuids(), 0..4),
        (ints(), ints()),
    )
        .prop_map(
            |(
                replicas,
                isr,
                (leader, leader_epoch, partition_epoch),
                directories,
                (adding, removing),
            )| {
                PartitionState {
                    replicas,
                    isr,
                    leader,
                    leader_epoch,
                    partition_epoch,
                    directories,
                    adding,
                    removing,
                }
            },
        )
}

fn changes() -> impl Strategy<Value = Record> {
    (uuids(), any::<i32>(), states(), any::<[bool; 7]>()).prop_map(
        |(topic_id, index, state, has)| {
            Record::PartitionChange(PartitionChangeRecord {
                topic_id,
                index,
                replicas: has[0].then_some(state.replicas),
                isr: has[1].then_some(state.isr),
                leader: has[2].then_some(state.leader),
                leader_epoch: has[3].then_some(state.leader_epoch),
                partition_epoch: state.partition_epoch,
                directories: has[4].then_some(state.directories),
                adding: has[5].then_some(state.adding),
                removing: has[6].then_some(state.removing),
            })
        },
    )
}

fn brokers() -> impl Strategy<Value = Record> {
    let drive =
        (uuids(), any::<u32>(), ".*").prop_map(|(id, shard, path)| DriveInfo { id, shard, path });
    let endpoint = (".*", ".*", any::<u16>(), any::<i16>()).prop_map(
        |(name, host, port, security_protocol)| Endpoint {
            name,
            host,
            port,
            security_protocol,
        },
    );
    let internal = (".*", any::<u16>()).prop_map(|(host, port)| InternalEndpoint { host, port });
    (
        any::<(i32, Option<String>, u32, i64, [bool; 3])>(),
        proptest::collection::vec(drive, 0..3),
        proptest::collection::vec(endpoint, 0..3),
        proptest::collection::vec(internal, 0..3),
        (uuids(), uuids(), proptest::collection::vec(uuids(), 0..3)),
    )
        .prop_map(
            |(
                (node_id, rack, shards, epoch, [clean, fenced, in_controlled_shutdown]),
                drives,
                endpoints,
                internal_endpoints,
                (incarnation, boot_id, offline_drives),
            )| {
                Record::Broker(BrokerRecord {
                    node_id,
                    rack,
                    shards,
                    drives,
                    endpoints,
                    epoch,
                    incarnation,
                    boot_id,
                    clean,
                    internal_endpoints,
                    fenced,
                    in_controlled_shutdown,
                    offline_drives,
                })
            },
        )
}

fn broker_changes() -> impl Strategy<Value = Record> {
    let drives = proptest::option::of(proptest::collection::vec(uuids(), 0..3));
    (any::<(i32, i64, Option<bool>, Option<bool>)>(), drives).prop_map(
        |((node_id, epoch, fenced, in_controlled_shutdown), offline_drives)| {
            Record::BrokerChange(BrokerChangeRecord {
                node_id,
                epoch,
                fenced,
                in_controlled_shutdown,
                offline_drives,
            })
        },
    )
}

fn configs() -> impl Strategy<Value = Record> {
    let kinds = proptest::sample::select(vec![
        ResourceType::Topic,
        ResourceType::Broker,
        ResourceType::ClientMetrics,
        ResourceType::Group,
    ]);
    (kinds, ".*", ".*", any::<Option<String>>()).prop_map(|(kind, name, key, value)| {
        Record::Config(ConfigRecord {
            resource: Resource { kind, name },
            key,
            value,
        })
    })
}

fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        (uuids(), ".*").prop_map(|(id, name)| Record::Topic(TopicRecord {
            id,
            name: Arc::from(name)
        })),
        (uuids(), any::<i32>(), states()).prop_map(|(topic_id, index, state)| {
            Record::Partition(PartitionRecord {
                topic_id,
                index,
                state,
            })
        }),
        uuids().prop_map(|id| Record::RemoveTopic(RemoveTopicRecord { id })),
        changes(),
        configs(),
        any::<(i64, i32)>().prop_map(|(next_producer_id, broker)| {
            Record::ProducerIdBlock(ProducerIdBlockRecord {
                next_producer_id,
                broker,
            })
        }),
        brokers(),
        broker_changes(),
        any::<(i32, i64)>().prop_map(|(node_id, epoch)| {
            Record::UnregisterBroker(UnregisterBrokerRecord { node_id, epoch })
        }),
        any::<i64>().prop_map(|epoch| Record::LastBrokerEpoch(LastBrokerEpochRecord { epoch })),
        (".*", any::<i16>())
            .prop_map(|(name, level)| Record::Feature(FeatureRecord { name, level })),
        ".*".prop_map(|id| Record::ClusterId(ClusterIdRecord { id })),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(record in records()) {
        prop_assert_eq!(decode(&encode(&record)), Ok(Some(record)));
    }

    #[test]
    fn garbage_is_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), named: bool) {
        if named && bytes.len() >= 8 {
            bytes[4..8].copy_from_slice(b"OTMR");
        }
        // Random bytes may make an empty, skippable or even whole record; what counts is that
        // nothing panics.
        let _ = decode(&bytes);
    }

    #[test]
    fn a_damaged_record_never_panics(
        record in records(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cut_it: bool,
    ) {
        let mut bytes = encode(&record);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut_it {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = decode(&bytes);
    }
}

#[test]
fn nothing_is_no_record() {
    assert!(matches!(decode(&[]), Err(DecodeError::Malformed(_))));
    assert!(matches!(
        decode(b"\x08\0\0\0OTMX"),
        Err(DecodeError::Malformed(_))
    ));
}

/// Bytes of a record of kind `kind`, whose body is a table with one field, as a later version might
/// write.
fn later(kind: u8, skippable: bool) -> Vec<u8> {
    let mut b = FlatBufferBuilder::new();
    let text = b.create_string("from the future");
    let body = fb::ClusterId::create(&mut b, &fb::ClusterIdArgs { id: Some(text) });
    let args = fb::MetadataRecordArgs {
        body_type: fb::Body(kind),
        body: Some(body.as_union_value()),
        skippable,
    };
    let root = fb::MetadataRecord::create(&mut b, &args);
    fb::finish_metadata_record_buffer(&mut b, root);
    b.finished_data().to_vec()
}

#[test]
fn an_unknown_kind_is_skipped_only_when_its_writer_said_so() {
    assert_eq!(decode(&later(200, true)), Ok(None));
    assert_eq!(
        decode(&later(200, false)),
        Err(DecodeError::UnknownKind(200))
    );
    assert!(
        decode(&later(200, false))
            .unwrap_err()
            .to_string()
            .contains("start the version that wrote it")
    );
}

#[test]
fn a_record_without_a_field_it_needs_is_refused() {
    let mut b = FlatBufferBuilder::new();
    let body = fb::Topic::create(&mut b, &fb::TopicArgs::default());
    let args = fb::MetadataRecordArgs {
        body_type: fb::Body::Topic,
        body: Some(body.as_union_value()),
        skippable: false,
    };
    let root = fb::MetadataRecord::create(&mut b, &args);
    fb::finish_metadata_record_buffer(&mut b, root);
    assert_eq!(
        decode(b.finished_data()),
        Err(DecodeError::MissingField {
            kind: "Topic",
            field: "id"
        })
    );
}

#[test]
fn a_broker_of_level_1_is_unfenced_and_of_epoch_0() {
    let mut b = FlatBufferBuilder::new();
    let body = fb::Broker::create(
        &mut b,
        &fb::BrokerArgs {
            node_id: 4,
            shards: 2,
            ..fb::BrokerArgs::default()
        },
    );
    let args = fb::MetadataRecordArgs {
        body_type: fb::Body::Broker,
        body: Some(body.as_union_value()),
        skippable: false,
    };
    let root = fb::MetadataRecord::create(&mut b, &args);
    fb::finish_metadata_record_buffer(&mut b, root);
    let expected = BrokerRecord {
        shards: 2,
        endpoints: vec![],
        ..broker(4, 0)
    };
    assert_eq!(
        decode(b.finished_data()),
        Ok(Some(Record::Broker(expected)))
    );
}

#[test]
fn an_unknown_resource_type_is_refused() {
    let mut b = FlatBufferBuilder::new();
    let name = b.create_string("x");
    let args = fb::ConfigArgs {
        resource_type: 99,
        resource_name: Some(name),
        key: Some(name),
        value: None,
    };
    let body = fb::Config::create(&mut b, &args);
    let root = fb::MetadataRecord::create(
        &mut b,
        &fb::MetadataRecordArgs {
            body_type: fb::Body::Config,
            body: Some(body.as_union_value()),
            skippable: false,
        },
    );
    fb::finish_metadata_record_buffer(&mut b, root);
    let expected = DecodeError::BadValue {
        kind: "Config",
        field: "resource_type",
        value: 99,
    };
    assert_eq!(decode(b.finished_data()), Err(expected));
}

#[test]
fn the_generated_code_is_of_this_schema() {
    let schema = include_bytes!("../../schema/metadata.fbs");
    let generated = include_str!("../generated.rs");
    let line = format!("// schema-crc32c: {:08x}", crc32c::crc32c(schema));
    assert!(
        generated.lines().take(3).any(|found| found == line),
        "metadata/schema/metadata.fbs changed, but not the code made from it: run scripts/gen-schema"
    );
}
