//! Metadata records as bytes: FlatBuffers by `schema/metadata.fbs`, through the generated code
//! beside this file.
//!
//! Decoding verifies the bytes before it reads them and never panics, whatever they are. A kind of
//! record that this version doesn't know is an error unless its writer marked it as skippable.

mod brokers;

use std::sync::Arc;

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, Vector, WIPOffset};
use thiserror::Error;
use uuid::Uuid;

use super::generated as fb;
use super::record::{
    ClusterIdRecord, ConfigRecord, FeatureRecord, LastBrokerEpochRecord, PartitionChangeRecord,
    PartitionRecord, PartitionState, ProducerIdBlockRecord, Record, RemoveTopicRecord, Resource,
    ResourceType, TopicRecord, UnregisterBrokerRecord,
};

/// The shortest buffer with a root offset and a file identifier.
const SHORTEST: usize = 8;

/// Why bytes are no metadata record of this version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes aren't a FlatBuffer of this schema.
    #[error("the bytes aren't a metadata record: {0}")]
    Malformed(String),
    /// A field that this kind of record can't do without is absent.
    #[error("a metadata record of kind {kind} has no {field}")]
    MissingField {
        /// The kind of record.
        kind: &'static str,
        /// The field that isn't there.
        field: &'static str,
    },
    /// A field holds what it can't.
    #[error(
        "a metadata record of kind {kind} has {field} = {value}, which this version doesn't know"
    )]
    BadValue {
        /// The kind of record.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// The record is of a kind that a later version brought, and must not be ignored.
    #[error(
        "metadata record kind {0} is not known to this version and may not be ignored; start the \
         version that wrote it, or a later one"
    )]
    UnknownKind(u8),
}

/// The bytes of `record`.
pub fn encode(record: &Record) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::with_capacity(256);
    let (body_type, body) = encode_body(&mut builder, record);
    let root = fb::MetadataRecord::create(
        &mut builder,
        &fb::MetadataRecordArgs {
            body_type,
            body: Some(body),
            skippable: false,
        },
    );
    fb::finish_metadata_record_buffer(&mut builder, root);
    builder.finished_data().to_vec()
}

type Body = (fb::Body, WIPOffset<UnionWIPOffset>);

fn encode_body(b: &mut FlatBufferBuilder<'_>, record: &Record) -> Body {
    match record {
        Record::Topic(r) => {
            let name = Some(b.create_string(&r.name));
            let table = fb::Topic::create(
                b,
                &fb::TopicArgs {
                    id: Some(&uuid_to(r.id)),
                    name,
                },
            );
            (fb::Body::Topic, table.as_union_value())
        }
        Record::Partition(r) => encode_partition(b, r),
        Record::RemoveTopic(r) => {
            let table = fb::RemoveTopic::create(
                b,
                &fb::RemoveTopicArgs {
                    id: Some(&uuid_to(r.id)),
                },
            );
            (fb::Body::RemoveTopic, table.as_union_value())
        }
        Record::PartitionChange(r) => encode_partition_change(b, r),
        Record::Config(r) => encode_config(b, r),
        Record::ProducerIdBlock(r) => {
            let args = fb::ProducerIdBlockArgs {
                next_producer_id: r.next_producer_id,
                broker: r.broker,
            };
            (
                fb::Body::ProducerIdBlock,
                fb::ProducerIdBlock::create(b, &args).as_union_value(),
            )
        }
        Record::Broker(r) => brokers::encode_broker(b, r),
        Record::BrokerChange(r) => brokers::encode_change(b, r),
        Record::UnregisterBroker(r) => brokers::encode_unregistration(b, *r),
        Record::LastBrokerEpoch(r) => brokers::encode_last_epoch(b, *r),
        Record::Feature(r) => {
            let name = Some(b.create_string(&r.name));
            let table = fb::Feature::create(
                b,
                &fb::FeatureArgs {
                    name,
                    level: r.level,
                },
            );
            (fb::Body::Feature, table.as_union_value())
        }
        Record::ClusterId(r) => {
            let id = Some(b.create_string(&r.id));
            (
                fb::Body::ClusterId,
                fb::ClusterId::create(b, &fb::ClusterIdArgs { id }).as_union_value(),
            )
        }
    }
}

fn encode_partition(b: &mut FlatBufferBuilder<'_>, r: &PartitionRecord) -> Body {
    let replicas = Some(b.create_vector(&r.state.replicas));
    let isr = Some(b.create_vector(&r.state.isr));
    let directories = Some(b.create_vector(&uuids_to(&r.state.directories)));
    let adding = ints_to(b, &r.state.adding);
    let removing = ints_to(b, &r.state.removing);
    let args = fb::PartitionArgs {
        topic_id: Some(&uuid_to(r.topic_id)),
        index: r.index,
        replicas,
        isr,
        leader: r.state.leader,
        leader_epoch: r.state.leader_epoch,
        partition_epoch: r.state.partition_epoch,
        directories,
        adding,
        removing,
    };
    (
        fb::Body::Partition,
        fb::Partition::create(b, &args).as_union_value(),
    )
}

fn encode_partition_change(b: &mut FlatBufferBuilder<'_>, r: &PartitionChangeRecord) -> Body {
    let replicas = r
        .replicas
        .as_ref()
        .map(|replicas| b.create_vector(replicas));
    let isr = r.isr.as_ref().map(|isr| b.create_vector(isr));
    let directories = r
        .directories
        .as_ref()
        .map(|ids| b.create_vector(&uuids_to(ids)));
    let adding = r.adding.as_ref().map(|adding| b.create_vector(adding));
    let removing = r
        .removing
        .as_ref()
        .map(|removing| b.create_vector(removing));
    let args = fb::PartitionChangeArgs {
        topic_id: Some(&uuid_to(r.topic_id)),
        index: r.index,
        replicas,
        isr,
        leader: r.leader,
        leader_epoch: r.leader_epoch,
        partition_epoch: r.partition_epoch,
        directories,
        adding,
        removing,
    };
    (
        fb::Body::PartitionChange,
        fb::PartitionChange::create(b, &args).as_union_value(),
    )
}

fn encode_config(b: &mut FlatBufferBuilder<'_>, r: &ConfigRecord) -> Body {
    let resource_name = Some(b.create_string(&r.resource.name));
    let key = Some(b.create_string(&r.key));
    let value = r.value.as_ref().map(|value| b.create_string(value));
    let args = fb::ConfigArgs {
        resource_type: r.resource.kind.number(),
        resource_name,
        key,
        value,
    };
    (
        fb::Body::Config,
        fb::Config::create(b, &args).as_union_value(),
    )
}

/// The record in `bytes`; `None` when it is of a kind unknown to this version that may be ignored.
pub fn decode(bytes: &[u8]) -> Result<Option<Record>, DecodeError> {
    if bytes.len() < SHORTEST || !fb::metadata_record_buffer_has_identifier(bytes) {
        return Err(DecodeError::Malformed(
            "no identifier of the metadata schema".to_owned(),
        ));
    }
    let root = fb::root_as_metadata_record(bytes)
        .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let record = match root.body_type() {
        fb::Body::Topic => decode_topic(need(root.body_as_topic(), "Topic", "body")?)?,
        fb::Body::Partition => {
            decode_partition(need(root.body_as_partition(), "Partition", "body")?)?
        }
        fb::Body::RemoveTopic => {
            let table = need(root.body_as_remove_topic(), "RemoveTopic", "body")?;
            Record::RemoveTopic(RemoveTopicRecord {
                id: uuid_from(table.id(), "RemoveTopic", "id")?,
            })
        }
        fb::Body::PartitionChange => decode_partition_change(need(
            root.body_as_partition_change(),
            "PartitionChange",
            "body",
        )?)?,
        fb::Body::Config => decode_config(need(root.body_as_config(), "Config", "body")?)?,
        fb::Body::ProducerIdBlock => {
            let table = need(root.body_as_producer_id_block(), "ProducerIdBlock", "body")?;
            let (next_producer_id, broker) = (table.next_producer_id(), table.broker());
            Record::ProducerIdBlock(ProducerIdBlockRecord {
                next_producer_id,
                broker,
            })
        }
        fb::Body::Broker => brokers::decode_broker(need(root.body_as_broker(), "Broker", "body")?)?,
        fb::Body::BrokerChange => {
            let table = need(root.body_as_broker_change(), "BrokerChange", "body")?;
            brokers::decode_change(table)
        }
        fb::Body::UnregisterBroker => {
            let table = need(root.body_as_unregister_broker(), "UnregisterBroker", "body")?;
            let (node_id, epoch) = (table.node_id(), table.epoch());
            Record::UnregisterBroker(UnregisterBrokerRecord { node_id, epoch })
        }
        fb::Body::LastBrokerEpoch => {
            let table = need(root.body_as_last_broker_epoch(), "LastBrokerEpoch", "body")?;
            let epoch = table.epoch();
            Record::LastBrokerEpoch(LastBrokerEpochRecord { epoch })
        }
        fb::Body::Feature => {
            let table = need(root.body_as_feature(), "Feature", "body")?;
            let name = need(table.name(), "Feature", "name")?.to_owned();
            Record::Feature(FeatureRecord {
                name,
                level: table.level(),
            })
        }
        fb::Body::ClusterId => {
            let table = need(root.body_as_cluster_id(), "ClusterId", "body")?;
            Record::ClusterId(ClusterIdRecord {
                id: need(table.id(), "ClusterId", "id")?.to_owned(),
            })
        }
        _ if root.skippable() => return Ok(None),
        unknown => return Err(DecodeError::UnknownKind(unknown.0)),
    };
    Ok(Some(record))
}

fn decode_topic(table: fb::Topic<'_>) -> Result<Record, DecodeError> {
    Ok(Record::Topic(TopicRecord {
        id: uuid_from(table.id(), "Topic", "id")?,
        name: Arc::from(need(table.name(), "Topic", "name")?),
    }))
}

fn decode_partition(table: fb::Partition<'_>) -> Result<Record, DecodeError> {
    let kind = "Partition";
    Ok(Record::Partition(PartitionRecord {
        topic_id: uuid_from(table.topic_id(), kind, "topic_id")?,
        index: table.index(),
        state: PartitionState {
            replicas: need(table.replicas(), kind, "replicas")?.iter().collect(),
            isr: need(table.isr(), kind, "isr")?.iter().collect(),
            leader: table.leader(),
            leader_epoch: table.leader_epoch(),
            partition_epoch: table.partition_epoch(),
            directories: uuids_from(need(table.directories(), kind, "directories")?),
            adding: ints_from(table.adding()).unwrap_or_default(),
            removing: ints_from(table.removing()).unwrap_or_default(),
        },
    }))
}

fn decode_partition_change(table: fb::PartitionChange<'_>) -> Result<Record, DecodeError> {
    Ok(Record::PartitionChange(PartitionChangeRecord {
        topic_id: uuid_from(table.topic_id(), "PartitionChange", "topic_id")?,
        index: table.index(),
        replicas: ints_from(table.replicas()),
        isr: ints_from(table.isr()),
        leader: table.leader(),
        leader_epoch: table.leader_epoch(),
        partition_epoch: table.partition_epoch(),
        directories: table.directories().map(uuids_from),
        adding: ints_from(table.adding()),
        removing: ints_from(table.removing()),
    }))
}

fn decode_config(table: fb::Config<'_>) -> Result<Record, DecodeError> {
    let kind = "Config";
    let number = table.resource_type();
    let unknown = DecodeError::BadValue {
        kind,
        field: "resource_type",
        value: number.into(),
    };
    let resource = Resource {
        kind: ResourceType::from_number(number).ok_or(unknown)?,
        name: need(table.resource_name(), kind, "resource_name")?.to_owned(),
    };
    let key = need(table.key(), kind, "key")?.to_owned();
    Ok(Record::Config(ConfigRecord {
        resource,
        key,
        value: table.value().map(str::to_owned),
    }))
}

fn need<T>(field: Option<T>, kind: &'static str, name: &'static str) -> Result<T, DecodeError> {
    field.ok_or(DecodeError::MissingField { kind, field: name })
}

/// A vector that is left out when it is empty: most partitions are in no reassignment.
fn ints_to<'b>(b: &mut FlatBufferBuilder<'b>, ints: &[i32]) -> Option<WIPOffset<Vector<'b, i32>>> {
    (!ints.is_empty()).then(|| b.create_vector(ints))
}

fn ints_from(ints: Option<Vector<'_, i32>>) -> Option<Vec<i32>> {
    ints.map(|ints| ints.iter().collect())
}

fn uuid_to(id: Uuid) -> fb::Uuid {
    let (hi, lo) = id.as_u64_pair();
    fb::Uuid::new(hi, lo)
}

fn uuids_to(ids: &[Uuid]) -> Vec<fb::Uuid> {
    ids.iter().copied().map(uuid_to).collect()
}

fn uuid_from(
    id: Option<&fb::Uuid>,
    kind: &'static str,
    field: &'static str,
) -> Result<Uuid, DecodeError> {
    need(id, kind, field).map(|id| Uuid::from_u64_pair(id.hi(), id.lo()))
}

fn uuids_from(ids: Vector<'_, fb::Uuid>) -> Vec<Uuid> {
    ids.iter()
        .map(|id| Uuid::from_u64_pair(id.hi(), id.lo()))
        .collect()
}
