//! The response to Fetch, with record segments that are sent from where they are.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::endpoint::{NodeEndpoint, put_endpoints, put_leader};
use crate::put;
use crate::response::{Response, Writer};
use crate::take::Form;

/// First version with variable-length numbers and tagged fields.
const FLEXIBLE_FROM: i16 = 12;
/// First version that names topics by their ids.
const IDS_FROM: i16 = 13;

/// What a fetch found. What a version has no place for is left out.
#[derive(Clone, Debug)]
pub struct FetchResponse {
    correlation_id: i32,
    version: i16,
    /// How long the client is held back.
    pub throttle_time_ms: i32,
    /// An error of the whole request (from version 7).
    pub error_code: i16,
    /// The fetch session, or 0 for none (from version 7).
    pub session_id: i32,
    /// The topics.
    pub topics: Vec<FetchedTopic>,
    /// Where the leaders are that `current_leader` names (from version 16).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What was found of one topic.
#[derive(Clone, Debug)]
pub struct FetchedTopic {
    /// The topic's name, sent up to version 12.
    pub name: String,
    /// The topic's id, sent from version 13.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// What was found of one partition.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The partition's number.
    pub index: i32,
    /// Kafka's error code; 0 is none.
    pub error_code: i16,
    /// The high watermark, or -1.
    pub high_watermark: i64,
    /// The last stable offset, or -1.
    pub last_stable_offset: i64,
    /// Where the log starts, or -1 (from version 5).
    pub log_start_offset: i64,
    /// Where the client's log leaves the leader's: greatest epoch both have, and its end (from
    /// version 12).
    pub diverging: Option<(i32, i64)>,
    /// Node id and epoch of the leader (from version 12).
    pub current_leader: Option<(i32, i32)>,
    /// Producer id and first offset of the aborted transactions in the records; `None` for
    /// readers of uncommitted records.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// The replica to read from in place of this one, or -1 (from version 11).
    pub preferred_read_replica: i32,
    /// Whole batches back to back, in as many segments as they lie in.
    pub records: Vec<Bytes>,
}

impl FetchedPartition {
    /// A partition of which nothing is known and nothing was read.
    pub fn new(index: i32) -> Self {
        Self {
            index,
            error_code: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging: None,
            current_leader: None,
            aborted: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }
}

impl FetchResponse {
    /// The answer to a request of a served version: nothing found yet, no session.
    pub fn new(correlation_id: i32, version: i16) -> Self {
        Self {
            correlation_id,
            version,
            throttle_time_ms: 0,
            error_code: 0,
            session_id: 0,
            topics: Vec::new(),
            node_endpoints: Vec::new(),
        }
    }

    /// Bytes of records in all.
    pub fn record_bytes(&self) -> usize {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .flat_map(|partition| &partition.records)
            .map(Bytes::len)
            .sum()
    }

    /// The answer as it goes out. Record segments are not copied.
    pub fn encode(self) -> Response {
        let version = self.version;
        let form = Form::of(version >= FLEXIBLE_FROM);
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let room = 32 + 64 * self.topics.len() + 64 * partitions;
        let mut writer = Writer::new(self.correlation_id, form == Form::Flexible, room);
        writer.out.put_i32(self.throttle_time_ms);
        if version >= 7 {
            writer.out.put_i16(self.error_code);
            writer.out.put_i32(self.session_id);
        }
        put::length(&mut writer.out, form, self.topics.len());
        for topic in self.topics {
            if version >= IDS_FROM {
                put::uuid(&mut writer.out, topic.id);
            } else {
                put::string(&mut writer.out, form, &topic.name);
            }
            put::length(&mut writer.out, form, topic.partitions.len());
            for partition in topic.partitions {
                put_partition(&mut writer, version, form, partition);
            }
            put::no_tags(&mut writer.out, form);
        }
        if version >= 16 {
            put_endpoints(&mut writer.out, &self.node_endpoints);
        } else {
            put::no_tags(&mut writer.out, form);
        }
        writer.finish()
    }
}

fn put_partition(writer: &mut Writer, version: i16, form: Form, partition: FetchedPartition) {
    let out = &mut writer.out;
    out.put_i32(partition.index);
    out.put_i16(partition.error_code);
    out.put_i64(partition.high_watermark);
    out.put_i64(partition.last_stable_offset);
    if version >= 5 {
        out.put_i64(partition.log_start_offset);
    }
    put_aborted(out, form, partition.aborted.as_deref());
    if version >= 11 {
        out.put_i32(partition.preferred_read_replica);
    }
    // Never null: an empty record set is what Kafka sends for nothing.
    let size = partition.records.iter().map(Bytes::len).sum();
    put::length(out, form, size);
    for segment in partition.records {
        writer.splice(segment);
    }
    if form == Form::Flexible {
        put_tags(
            &mut writer.out,
            partition.diverging,
            partition.current_leader,
        );
    }
}

fn put_aborted(out: &mut BytesMut, form: Form, aborted: Option<&[(i64, i64)]>) {
    let Some(aborted) = aborted else {
        put::null(out, form);
        return;
    };
    put::length(out, form, aborted.len());
    for (producer_id, first_offset) in aborted {
        out.put_i64(*producer_id);
        out.put_i64(*first_offset);
        put::no_tags(out, form);
    }
}

fn put_tags(out: &mut BytesMut, diverging: Option<(i32, i64)>, leader: Option<(i32, i32)>) {
    put::uvarint(
        out,
        u32::from(diverging.is_some()) + u32::from(leader.is_some()),
    );
    if let Some((epoch, end_offset)) = diverging {
        put::uvarint(out, 0);
        put::uvarint(out, 13);
        out.put_i32(epoch);
        out.put_i64(end_offset);
        put::no_tags(out, Form::Flexible);
    }
    if let Some(leader) = leader {
        put_leader(out, 1, leader);
    }
}

#[cfg(test)]
mod tests;
