//! Hints that spare a client a look-up: who leads a partition, and where (KIP-951). Produce and
//! Fetch carry them in tagged fields of the same form.

use bytes::{BufMut, BytesMut};

use crate::put;
use crate::take::Form;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// Its host, as clients reach it.
    pub host: String,
    /// Its port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

/// Writes the tagged fields at the end of a response: endpoints under tag 0, where there are any.
pub(crate) fn put_endpoints(out: &mut BytesMut, endpoints: &[NodeEndpoint]) {
    if endpoints.is_empty() {
        put::uvarint(out, 0);
        return;
    }
    let mut field = BytesMut::new();
    put_endpoint_list(&mut field, endpoints);
    put::uvarint(out, 1);
    put::uvarint(out, 0);
    put::uvarint(out, field.len() as u32);
    out.put_slice(&field);
}

/// Writes endpoints as a field that is not tagged.
pub(crate) fn put_endpoint_list(out: &mut BytesMut, endpoints: &[NodeEndpoint]) {
    put::length(out, Form::Flexible, endpoints.len());
    for endpoint in endpoints {
        out.put_i32(endpoint.node_id);
        put::string(out, Form::Flexible, &endpoint.host);
        out.put_i32(endpoint.port);
        put::nullable_string(out, Form::Flexible, endpoint.rack.as_deref());
        put::no_tags(out, Form::Flexible);
    }
}

/// Writes one tagged field: a leader's node id and epoch.
pub(crate) fn put_leader(out: &mut BytesMut, tag: u32, (node_id, epoch): (i32, i32)) {
    put::uvarint(out, tag);
    put::uvarint(out, 9);
    out.put_i32(node_id);
    out.put_i32(epoch);
    put::no_tags(out, Form::Flexible);
}
