//! Produce as it goes out, its batches shared and not copied, and its answer as it comes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::ProduceRequest;

use super::core::{PartAnswer, Plan};
use super::topics::Topics;
use crate::client::Acks;
use crate::link::{Link, LinkError};
use crate::put;
use crate::response::Writer;
use crate::take::Form;

/// Produce's number.
pub(super) const KEY: i16 = 0;

/// The first version whose batches are all of the format this client writes.
pub(super) const MIN_VERSION: i16 = 3;

/// The last version that names topics; after it they have ids.
pub(super) const MAX_VERSION: i16 = 12;

/// First version with variable-length numbers and tagged fields.
const FLEXIBLE_FROM: i16 = 9;

/// What a request says beside its batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) version: i16,
    pub(super) acks: Acks,
    pub(super) timeout: Duration,
}

/// The pieces of a request.
pub(super) fn encode(
    plan: Plan,
    topics: &Topics,
    terms: Terms,
    correlation_id: i32,
    client_id: &str,
) -> VecDeque<Bytes> {
    let form = Form::of(terms.version >= FLEXIBLE_FROM);
    let room = 64 + 64 * plan.batches.len();
    let api = (KEY, terms.version);
    let mut writer = Writer::of_request(api, correlation_id, client_id, form, room);
    put::nullable_string(&mut writer.out, form, None);
    writer.out.put_i16(terms.acks.to_wire());
    let timeout = i32::try_from(terms.timeout.as_millis()).unwrap_or(i32::MAX);
    writer.out.put_i32(timeout);
    let groups = plan
        .batches
        .chunk_by(|a, b| topics.topic_of(a.0) == topics.topic_of(b.0));
    put::length(&mut writer.out, form, groups.count());
    let groups = plan
        .batches
        .chunk_by(|a, b| topics.topic_of(a.0) == topics.topic_of(b.0));
    for group in groups {
        let topic = topics.topic_of(group[0].0);
        put::string(&mut writer.out, form, topics.name(topic));
        put::length(&mut writer.out, form, group.len());
        for (slot, batch) in group {
            writer.out.put_i32(topics.partition_of(*slot));
            put::length(&mut writer.out, form, batch.len());
            writer.splice(batch.clone());
            put::no_tags(&mut writer.out, form);
        }
        put::no_tags(&mut writer.out, form);
    }
    put::no_tags(&mut writer.out, form);
    writer.finish().into_pieces()
}

/// What an answer says of each partition.
pub(super) fn decode(
    link: &Link,
    answer: Bytes,
    topics: &Topics,
    version: i16,
) -> Result<Vec<PartAnswer>, LinkError> {
    let answer = link.decode::<ProduceRequest>(answer, version)?;
    let mut parts = Vec::new();
    for topic in &answer.responses {
        for partition in &topic.partition_responses {
            let Some(slot) = topics.slot(&topic.name, partition.index) else {
                continue;
            };
            parts.push(PartAnswer {
                slot,
                code: partition.error_code,
                message: partition.error_message.as_ref().map(ToString::to_string),
            });
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use kafka_protocol::messages::RequestHeader;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn every_version_is_what_the_protocol_says() {
        let topics = Topics::new(&[("one", 3), ("two", 2)]);
        for version in MIN_VERSION..=MAX_VERSION {
            let plan = Plan {
                request: 0,
                batches: [0_usize, 2, 4]
                    .map(|slot| (slot, Bytes::from(vec![slot as u8 + 1; 70])))
                    .to_vec(),
            };
            let terms = Terms {
                version,
                acks: Acks::All,
                timeout: Duration::from_secs(3),
            };
            let pieces = encode(plan, &topics, terms, 77, "me");
            let flat: Vec<u8> = pieces.into_iter().flatten().collect();
            let (size, rest) = flat.split_first_chunk::<4>().unwrap();
            assert_eq!(i32::from_be_bytes(*size) as usize, rest.len());
            let mut rest = Bytes::copy_from_slice(rest);
            let header_version = if version >= FLEXIBLE_FROM { 2 } else { 1 };
            let header = RequestHeader::decode(&mut rest, header_version).unwrap();
            assert_eq!((header.request_api_key, header.correlation_id), (0, 77));
            assert_eq!(header.client_id.as_deref(), Some("me"));
            let request = ProduceRequest::decode(&mut rest, version).unwrap();
            assert!(rest.is_empty());
            assert_eq!((request.acks, request.timeout_ms), (-1, 3000));
            let found: Vec<_> = request
                .topic_data
                .iter()
                .flat_map(|topic| {
                    topic.partition_data.iter().map(|partition| {
                        let records = partition.records.clone().unwrap();
                        (topic.name.to_string(), partition.index, records[0])
                    })
                })
                .collect();
            let wanted = [("one", 0, 1), ("one", 2, 3), ("two", 1, 5)];
            assert_eq!(found, wanted.map(|(t, p, b)| (t.to_owned(), p, b)));
        }
    }
}
