//! Produce without a copy: record sets are cut out of the request's own buffer, so that they can be
//! stamped in place and kept; and its response.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

use crate::endpoint::{NodeEndpoint, put_endpoints, put_leader};
use crate::put;
use crate::registry;
use crate::response::{Response, Writer};
use crate::take::{self, Elements, Form, ParseError, Width};

/// First version with variable-length numbers and tagged fields.
const FLEXIBLE_FROM: i16 = 9;
/// First version that names topics by their ids.
const IDS_FROM: i16 = 13;

/// A produce request, in any version that is served.
#[derive(Debug)]
pub struct ProduceRequest {
    /// Set by transactional producers.
    pub transactional_id: Option<String>,
    /// Whose acknowledgement is waited for: 0, 1 or -1 (all); anything, before it is checked.
    pub acks: i16,
    /// How long to wait for it.
    pub timeout_ms: i32,
    /// The topics in the order they came.
    pub topics: Vec<ProduceTopic>,
}

/// One topic of a produce request.
#[derive(Debug)]
pub struct ProduceTopic {
    /// Its name, up to version 12.
    pub name: Option<String>,
    /// Its id, from version 13; nil before.
    pub id: Uuid,
    /// The partitions in the order they came.
    pub partitions: Vec<ProducePartition>,
}

/// One partition of a produce request.
#[derive(Debug)]
pub struct ProducePartition {
    /// The partition's number.
    pub index: i32,
    /// The record set, not looked into. Shares its memory with the request, and overlaps with no
    /// other record set.
    pub records: Option<BytesMut>,
}

impl ProduceRequest {
    /// Takes a request apart; `body` is what follows the request header.
    pub fn parse(mut body: BytesMut, version: i16) -> Result<Self, ParseError> {
        let served = registry::lookup(registry::PRODUCE).is_some_and(|api| api.serves(version));
        if !served {
            return Err(ParseError::Version {
                api: "Produce",
                version,
            });
        }
        let mut parser = Parser {
            form: Form::of(version >= FLEXIBLE_FROM),
            by_id: version >= IDS_FROM,
            elements: Elements::new(),
        };
        parser.request(&mut body)
    }
}

struct Parser {
    form: Form,
    by_id: bool,
    elements: Elements,
}

impl Parser {
    fn request(&mut self, body: &mut BytesMut) -> Result<ProduceRequest, ParseError> {
        let transactional_id = take::nullable_string(body, self.form, "the transactional id")?;
        let acks = take::i16(body, "acks")?;
        let timeout_ms = take::i32(body, "the timeout")?;
        // The least a topic can be: an empty name, no partitions, no tags.
        let topics = self.array(body, 3, "the topics", Self::topic)?;
        self.tags(body)?;
        Ok(ProduceRequest {
            transactional_id,
            acks,
            timeout_ms,
            topics,
        })
    }

    fn topic(&mut self, body: &mut BytesMut) -> Result<ProduceTopic, ParseError> {
        let (name, id) = if self.by_id {
            (None, take::uuid(body, "a topic id")?)
        } else {
            (
                Some(take::string(body, self.form, "a topic name")?),
                Uuid::nil(),
            )
        };
        let partitions = self.array(body, 6, "the partitions", Self::partition)?;
        self.tags(body)?;
        Ok(ProduceTopic {
            name,
            id,
            partitions,
        })
    }

    fn partition(&mut self, body: &mut BytesMut) -> Result<ProducePartition, ParseError> {
        let index = take::i32(body, "a partition's number")?;
        let length = take::length_held(body, self.form, Width::Four, "a record set")?;
        let records = length.map(|length| body.split_to(length));
        self.tags(body)?;
        Ok(ProducePartition { index, records })
    }

    fn array<T>(
        &mut self,
        body: &mut BytesMut,
        least: usize,
        what: &'static str,
        element: impl Fn(&mut Self, &mut BytesMut) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let count = take::count(body, self.form, least, what)?.ok_or(ParseError::Null(what))?;
        self.elements.spend(count)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self, body)?);
        }
        Ok(elements)
    }

    fn tags(&mut self, body: &mut BytesMut) -> Result<(), ParseError> {
        take::skip_tags(body, self.form).map(|_| ())
    }
}

/// What became of a produce request.
#[derive(Clone, Debug, Default)]
pub struct ProduceResponse {
    /// The topics, as the request named them.
    pub topics: Vec<TopicProduced>,
    /// How long the client is held back.
    pub throttle_time_ms: i32,
    /// Where the leaders are that `current_leader` names (from version 10).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What became of one topic's partitions.
#[derive(Clone, Debug)]
pub struct TopicProduced {
    /// The topic's name, sent up to version 12.
    pub name: Option<String>,
    /// The topic's id, sent from version 13.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<PartitionProduced>,
}

/// What became of one partition's records.
#[derive(Clone, Debug)]
pub struct PartitionProduced {
    /// The partition's number.
    pub index: i32,
    /// Kafka's error code; 0 is none.
    pub error_code: i16,
    /// Offset of the first record, or -1.
    pub base_offset: i64,
    /// The broker's timestamp, where the topic has log append time; else -1.
    pub log_append_time_ms: i64,
    /// Where the log starts, or -1 (from version 5).
    pub log_start_offset: i64,
    /// Records at fault, by place in the batch, with a sentence on each (from version 8).
    pub record_errors: Vec<(i32, Option<String>)>,
    /// A sentence on the whole batch (from version 8).
    pub error_message: Option<String>,
    /// Node id and epoch of the leader, to spare the client a look-up (from version 10).
    pub current_leader: Option<(i32, i32)>,
}

impl PartitionProduced {
    /// An outcome that is not known yet: no error, no offset.
    pub fn new(index: i32) -> Self {
        Self {
            index,
            error_code: 0,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

/// The answer to a produce request of a served version, without throttling and endpoints. What a
/// version has no place for is left out.
pub fn encode_response(version: i16, correlation_id: i32, topics: &[TopicProduced]) -> Response {
    encode(version, correlation_id, topics, 0, &[])
}

impl ProduceResponse {
    /// The answer to a produce request of a served version. What a version has no place for is
    /// left out.
    pub fn encode(&self, version: i16, correlation_id: i32) -> Response {
        let endpoints = &self.node_endpoints;
        encode(
            version,
            correlation_id,
            &self.topics,
            self.throttle_time_ms,
            endpoints,
        )
    }
}

fn encode(
    version: i16,
    correlation_id: i32,
    topics: &[TopicProduced],
    throttle_time_ms: i32,
    endpoints: &[NodeEndpoint],
) -> Response {
    let form = Form::of(version >= FLEXIBLE_FROM);
    let partitions: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
    let room = 16 + 64 * topics.len() + 48 * partitions;
    let mut writer = Writer::new(correlation_id, form == Form::Flexible, room);
    let out = &mut writer.out;
    put::length(out, form, topics.len());
    for topic in topics {
        if version >= IDS_FROM {
            put::uuid(out, topic.id);
        } else {
            put::string(out, form, topic.name.as_deref().unwrap_or_default());
        }
        put::length(out, form, topic.partitions.len());
        for partition in &topic.partitions {
            put_partition(out, version, form, partition);
        }
        put::no_tags(out, form);
    }
    out.put_i32(throttle_time_ms);
    if version >= 10 {
        put_endpoints(out, endpoints);
    } else {
        put::no_tags(out, form);
    }
    writer.finish()
}

fn put_partition(out: &mut BytesMut, version: i16, form: Form, partition: &PartitionProduced) {
    out.put_i32(partition.index);
    out.put_i16(partition.error_code);
    out.put_i64(partition.base_offset);
    out.put_i64(partition.log_append_time_ms);
    if version >= 5 {
        out.put_i64(partition.log_start_offset);
    }
    if version >= 8 {
        put::length(out, form, partition.record_errors.len());
        for (place, message) in &partition.record_errors {
            out.put_i32(*place);
            put::nullable_string(out, form, message.as_deref());
            put::no_tags(out, form);
        }
        put::nullable_string(out, form, partition.error_message.as_deref());
    }
    match partition.current_leader {
        Some(leader) if version >= 10 => {
            put::uvarint(out, 1);
            put_leader(out, 0, leader);
        }
        _ => put::no_tags(out, form),
    }
}

#[cfg(test)]
mod tests;
