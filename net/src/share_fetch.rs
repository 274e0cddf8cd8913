//! The response to ShareFetch, with record segments that are sent from where they are.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::endpoint::{NodeEndpoint, put_endpoint_list};
use crate::put;
use crate::response::{Response, Writer};
use crate::take::Form;

/// All versions have variable-length numbers and tagged fields.
const FORM: Form = Form::Flexible;

/// What a share fetch gives a member.
#[derive(Clone, Debug, Default)]
pub struct ShareFetchResponse {
    /// An error of the whole request; 0 is none.
    pub error_code: i16,
    /// What happened.
    pub error_message: Option<String>,
    /// How long what was acquired stays locked, in milliseconds.
    pub lock_timeout_ms: i32,
    /// The topics.
    pub topics: Vec<SharedTopic>,
    /// Where the leaders are that `current_leader` names.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What is given of one topic.
#[derive(Clone, Debug, Default)]
pub struct SharedTopic {
    /// The topic's id.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<SharedPartition>,
}

/// What is given of one partition.
#[derive(Clone, Debug, Default)]
pub struct SharedPartition {
    /// The partition's number.
    pub index: i32,
    /// Why nothing is given; 0 if nothing is wrong.
    pub error_code: i16,
    /// What happened.
    pub error_message: Option<String>,
    /// What became of the acknowledgements that came with the request; 0 if nothing is wrong.
    pub acknowledge_error_code: i16,
    /// What happened to them.
    pub acknowledge_error_message: Option<String>,
    /// Node id and epoch of the leader.
    pub current_leader: Option<(i32, i32)>,
    /// Whole batches back to back, in as many segments as they lie in. They may have more than was
    /// acquired.
    pub records: Vec<Bytes>,
    /// What of them is the member's now, in order.
    pub acquired: Vec<AcquiredRange>,
}

/// Records that were acquired together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquiredRange {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// How often they have been delivered, this time included.
    pub delivery_count: i16,
}

impl ShareFetchResponse {
    /// Bytes of records in all.
    pub fn record_bytes(&self) -> usize {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        let segments = partitions.flat_map(|partition| &partition.records);
        segments.map(Bytes::len).sum()
    }

    /// The answer as it goes out. Record segments are not copied.
    pub fn encode(self, correlation_id: i32) -> Response {
        let partitions = || self.topics.iter().flat_map(|topic| &topic.partitions);
        let acquired: usize = partitions().map(|one| one.acquired.len()).sum();
        let room = 64 + 24 * self.topics.len() + 48 * partitions().count() + 20 * acquired;
        let mut writer = Writer::new(correlation_id, true, room);
        let out = &mut writer.out;
        // Nobody is throttled.
        out.put_i32(0);
        out.put_i16(self.error_code);
        put::nullable_string(out, FORM, self.error_message.as_deref());
        out.put_i32(self.lock_timeout_ms);
        put::length(out, FORM, self.topics.len());
        for topic in self.topics {
            put::uuid(&mut writer.out, topic.id);
            put::length(&mut writer.out, FORM, topic.partitions.len());
            for partition in topic.partitions {
                put_partition(&mut writer, partition);
            }
            put::no_tags(&mut writer.out, FORM);
        }
        put_endpoint_list(&mut writer.out, &self.node_endpoints);
        put::no_tags(&mut writer.out, FORM);
        writer.finish()
    }
}

fn put_partition(writer: &mut Writer, partition: SharedPartition) {
    let out = &mut writer.out;
    out.put_i32(partition.index);
    out.put_i16(partition.error_code);
    put::nullable_string(out, FORM, partition.error_message.as_deref());
    out.put_i16(partition.acknowledge_error_code);
    put::nullable_string(out, FORM, partition.acknowledge_error_message.as_deref());
    // Not a tagged field here: 0 is what stands for no leader in Kafka's schema.
    let (leader, epoch) = partition.current_leader.unwrap_or_default();
    out.put_i32(leader);
    out.put_i32(epoch);
    put::no_tags(out, FORM);
    // Never null: an empty record set is what Kafka sends for nothing.
    let size = partition.records.iter().map(Bytes::len).sum();
    put::length(out, FORM, size);
    for segment in partition.records {
        writer.splice(segment);
    }
    put_acquired(&mut writer.out, &partition.acquired);
    put::no_tags(&mut writer.out, FORM);
}

fn put_acquired(out: &mut BytesMut, acquired: &[AcquiredRange]) {
    put::length(out, FORM, acquired.len());
    for range in acquired {
        out.put_i64(range.first);
        out.put_i64(range.last);
        out.put_i16(range.delivery_count);
        put::no_tags(out, FORM);
    }
}

#[cfg(test)]
mod tests;
