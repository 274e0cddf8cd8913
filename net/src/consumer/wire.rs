//! The consumer's requests and their answers.

use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::session::Ask;
use super::{ConsumerConfig, StartAt};
use crate::client::{KafkaError, TopicPartition};
use crate::link::{Link, LinkError};

/// Fetch names topics up to this version, and gives their ids after it.
pub(super) const MAX_FETCH: i16 = 12;

/// The first version with sessions.
pub(super) const MIN_FETCH: i16 = 7;

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// The request of a session's `ask`; `at` names the partition of a slot.
pub(super) fn fetch<'a>(
    ask: &Ask,
    config: &ConsumerConfig,
    at: impl Fn(usize) -> &'a TopicPartition,
) -> FetchRequest {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for (slot, offset) in &ask.partitions {
        let at = at(*slot);
        let partition = FetchPartition::default()
            .with_partition(at.partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(config.partition_max_bytes);
        topics.entry(&at.topic).or_default().push(partition);
    }
    let mut forgotten: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for slot in &ask.forgotten {
        let at = at(*slot);
        forgotten.entry(&at.topic).or_default().push(at.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions)
    });
    let forgotten = forgotten.into_iter().map(|(topic, partitions)| {
        ForgottenTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions)
    });
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(config.min_bytes)
        .with_max_bytes(config.max_bytes)
        .with_session_id(ask.session)
        .with_session_epoch(ask.epoch)
        .with_topics(topics.collect())
        .with_forgotten_topics_data(forgotten.collect())
}

/// Asks a leader where its partitions begin or end.
pub(super) async fn list(
    link: &Link,
    points: &[(TopicPartition, StartAt)],
) -> Result<Vec<(TopicPartition, Result<i64, KafkaError>)>, LinkError> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (at, from) in points {
        let timestamp = match from {
            StartAt::Latest => -1,
            StartAt::Earliest | StartAt::Offset(_) => -2,
        };
        let partition = ListOffsetsPartition::default()
            .with_partition_index(at.partition)
            .with_timestamp(timestamp);
        topics.entry(&at.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(partitions)
    });
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(topics.collect());
    let answer = link.call(&request, i16::MAX).await?;
    let mut listed = Vec::with_capacity(points.len());
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let at = TopicPartition::new(topic.name.to_string(), partition.partition_index);
            let offset = KafkaError::check(partition.error_code).map(|()| partition.offset);
            listed.push((at, offset));
        }
    }
    Ok(listed)
}
