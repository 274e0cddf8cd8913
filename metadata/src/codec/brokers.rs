//! The records of brokers as bytes. What level 1 didn't write reads as what its brokers were:
//! unfenced, of epoch 0.

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};
use uuid::Uuid;

use super::super::generated as fb;
use super::super::record::{
    BrokerChangeRecord, BrokerRecord, DriveInfo, Endpoint, InternalEndpoint, LastBrokerEpochRecord,
    Record, UnregisterBrokerRecord,
};
use super::{Body, DecodeError, need, uuid_from, uuid_to, uuids_from, uuids_to};

pub(super) fn encode_broker(b: &mut FlatBufferBuilder<'_>, r: &BrokerRecord) -> Body {
    let mut drives = Vec::with_capacity(r.drives.len());
    for drive in &r.drives {
        let path = Some(b.create_string(&drive.path));
        let args = fb::DriveArgs {
            id: Some(&uuid_to(drive.id)),
            shard: drive.shard,
            path,
        };
        drives.push(fb::Drive::create(b, &args));
    }
    let mut endpoints = Vec::with_capacity(r.endpoints.len());
    for endpoint in &r.endpoints {
        let name = Some(b.create_string(&endpoint.name));
        let host = Some(b.create_string(&endpoint.host));
        let (port, security_protocol) = (endpoint.port, endpoint.security_protocol);
        endpoints.push(fb::Endpoint::create(
            b,
            &fb::EndpointArgs {
                name,
                host,
                port,
                security_protocol,
            },
        ));
    }
    let internal = encode_internal(b, &r.internal_endpoints);
    let offline = uuids_to(&r.offline_drives);
    let args = fb::BrokerArgs {
        node_id: r.node_id,
        rack: r.rack.as_ref().map(|rack| b.create_string(rack)),
        shards: r.shards,
        drives: Some(b.create_vector(&drives)),
        endpoints: Some(b.create_vector(&endpoints)),
        epoch: r.epoch,
        incarnation: Some(&uuid_to(r.incarnation)),
        boot_id: Some(&uuid_to(r.boot_id)),
        clean: r.clean,
        internal_endpoints: Some(b.create_vector(&internal)),
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        offline_drives: (!offline.is_empty()).then(|| b.create_vector(&offline)),
    };
    (
        fb::Body::Broker,
        fb::Broker::create(b, &args).as_union_value(),
    )
}

fn encode_internal<'b>(
    b: &mut FlatBufferBuilder<'b>,
    endpoints: &[InternalEndpoint],
) -> Vec<WIPOffset<fb::InternalEndpoint<'b>>> {
    let mut encoded = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let host = Some(b.create_string(&endpoint.host));
        let port = endpoint.port;
        encoded.push(fb::InternalEndpoint::create(
            b,
            &fb::InternalEndpointArgs { host, port },
        ));
    }
    encoded
}

pub(super) fn encode_change(b: &mut FlatBufferBuilder<'_>, r: &BrokerChangeRecord) -> Body {
    let offline_drives = r
        .offline_drives
        .as_ref()
        .map(|ids| b.create_vector(&uuids_to(ids)));
    let args = fb::BrokerChangeArgs {
        node_id: r.node_id,
        epoch: r.epoch,
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        offline_drives,
    };
    (
        fb::Body::BrokerChange,
        fb::BrokerChange::create(b, &args).as_union_value(),
    )
}

pub(super) fn encode_unregistration(
    b: &mut FlatBufferBuilder<'_>,
    r: UnregisterBrokerRecord,
) -> Body {
    let (node_id, epoch) = (r.node_id, r.epoch);
    let table = fb::UnregisterBroker::create(b, &fb::UnregisterBrokerArgs { node_id, epoch });
    (fb::Body::UnregisterBroker, table.as_union_value())
}

pub(super) fn encode_last_epoch(b: &mut FlatBufferBuilder<'_>, r: LastBrokerEpochRecord) -> Body {
    let table = fb::LastBrokerEpoch::create(b, &fb::LastBrokerEpochArgs { epoch: r.epoch });
    (fb::Body::LastBrokerEpoch, table.as_union_value())
}

pub(super) fn decode_broker(table: fb::Broker<'_>) -> Result<Record, DecodeError> {
    let drives = table.drives().map_or(Ok(Vec::new()), decode_drives)?;
    let endpoints = table.endpoints().map_or(Ok(Vec::new()), decode_endpoints)?;
    Ok(Record::Broker(BrokerRecord {
        node_id: table.node_id(),
        rack: table.rack().map(str::to_owned),
        shards: table.shards(),
        drives,
        endpoints,
        epoch: table.epoch(),
        incarnation: uuid_or_nil(table.incarnation()),
        boot_id: uuid_or_nil(table.boot_id()),
        clean: table.clean(),
        internal_endpoints: table
            .internal_endpoints()
            .map_or(Ok(Vec::new()), decode_internal)?,
        fenced: table.fenced(),
        in_controlled_shutdown: table.in_controlled_shutdown(),
        offline_drives: table.offline_drives().map(uuids_from).unwrap_or_default(),
    }))
}

fn decode_drives(
    tables: Vector<'_, ForwardsUOffset<fb::Drive<'_>>>,
) -> Result<Vec<DriveInfo>, DecodeError> {
    let decode_one = |table: fb::Drive<'_>| {
        Ok(DriveInfo {
            id: uuid_from(table.id(), "Drive", "id")?,
            shard: table.shard(),
            path: need(table.path(), "Drive", "path")?.to_owned(),
        })
    };
    tables.iter().map(decode_one).collect()
}

fn decode_endpoints(
    tables: Vector<'_, ForwardsUOffset<fb::Endpoint<'_>>>,
) -> Result<Vec<Endpoint>, DecodeError> {
    let decode_one = |table: fb::Endpoint<'_>| {
        Ok(Endpoint {
            name: need(table.name(), "Endpoint", "name")?.to_owned(),
            host: need(table.host(), "Endpoint", "host")?.to_owned(),
            port: table.port(),
            security_protocol: table.security_protocol(),
        })
    };
    tables.iter().map(decode_one).collect()
}

fn decode_internal(
    tables: Vector<'_, ForwardsUOffset<fb::InternalEndpoint<'_>>>,
) -> Result<Vec<InternalEndpoint>, DecodeError> {
    let decode_one = |table: fb::InternalEndpoint<'_>| {
        Ok(InternalEndpoint {
            host: need(table.host(), "InternalEndpoint", "host")?.to_owned(),
            port: table.port(),
        })
    };
    tables.iter().map(decode_one).collect()
}

pub(super) fn decode_change(table: fb::BrokerChange<'_>) -> Record {
    Record::BrokerChange(BrokerChangeRecord {
        node_id: table.node_id(),
        epoch: table.epoch(),
        fenced: table.fenced(),
        in_controlled_shutdown: table.in_controlled_shutdown(),
        offline_drives: table.offline_drives().map(uuids_from),
    })
}

fn uuid_or_nil(id: Option<&fb::Uuid>) -> Uuid {
    id.map_or(Uuid::nil(), |id| Uuid::from_u64_pair(id.hi(), id.lo()))
}
