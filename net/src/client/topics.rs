//! Making and removing topics, partitions and records.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    TopicName,
};
use uuid::Uuid;

use super::error::{ClientError, Refusal};
use super::{Client, TopicPartition, text};

/// DeleteTopics by name is one plain list up to this version.
const DELETE_TOPICS_BY_NAME: i16 = 5;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the cluster's default.
    pub partitions: Option<i32>,
    /// How many replicas of each; `None` for the cluster's default.
    pub replication: Option<i16>,
    /// Settings other than the cluster's defaults.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with that many partitions and everything else by default.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            name: name.into(),
            partitions: Some(partitions),
            replication: None,
            configs: Vec::new(),
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        let configs = self.configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        CreatableTopic::default()
            .with_name(TopicName(text(&self.name)))
            .with_num_partitions(self.partitions.unwrap_or(-1))
            .with_replication_factor(self.replication.unwrap_or(-1))
            .with_configs(configs.collect())
    }
}

/// What became of one of several things asked for in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The topic it is about.
    pub topic: String,
    /// What came of it.
    pub result: Result<T, Refusal>,
}

/// A topic that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; nil where the broker does not tell.
    pub id: Uuid,
    /// How many partitions it has, -1 where the broker does not tell.
    pub partitions: i32,
    /// How many replicas each has, -1 where the broker does not tell.
    pub replication: i16,
}

/// What became of a partition's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedRecords {
    /// The partition.
    pub at: TopicPartition,
    /// Its first offset now.
    pub result: Result<i64, Refusal>,
}

impl Client {
    /// Creates topics, or with `validate_only` says whether they could be created.
    pub fn create_topics(
        &mut self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Vec<Outcome<CreatedTopic>>, ClientError> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(NewTopic::to_wire).collect())
            .with_timeout_ms(self.timeout_ms())
            .with_validate_only(validate_only);
        let answer = self.call(&request)?;
        Ok(answer
            .topics
            .iter()
            .map(|topic| Outcome {
                topic: topic.name.to_string(),
                result: Refusal::check(topic.error_code, topic.error_message.as_deref()).map(
                    |()| CreatedTopic {
                        id: topic.topic_id,
                        partitions: topic.num_partitions,
                        replication: topic.replication_factor,
                    },
                ),
            })
            .collect())
    }

    /// Deletes topics and all that is in them.
    pub fn delete_topics(&mut self, names: &[&str]) -> Result<Vec<Outcome<()>>, ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(names.iter().map(|name| TopicName(text(name))).collect())
            .with_timeout_ms(self.timeout_ms());
        let answer = self.call_any(&request, DELETE_TOPICS_BY_NAME)?;
        for name in names {
            self.forget_leaders(name);
        }
        Ok(answer
            .responses
            .iter()
            .map(|topic| Outcome {
                topic: topic
                    .name
                    .as_ref()
                    .map(|name| name.to_string())
                    .unwrap_or_default(),
                result: Refusal::check(topic.error_code, topic.error_message.as_deref()),
            })
            .collect())
    }

    /// Raises the number of partitions of a topic to `total`.
    pub fn create_partitions(
        &mut self,
        topic: &str,
        total: i32,
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let wanted = CreatePartitionsTopic::default()
            .with_name(TopicName(text(topic)))
            .with_count(total)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(self.timeout_ms())
            .with_validate_only(validate_only);
        let answer = self.call(&request)?;
        self.forget_leaders(topic);
        answer.results.iter().try_for_each(|result| {
            Refusal::check(result.error_code, result.error_message.as_deref())
                .map_err(|refusal| ClientError::refused(format!("topic {topic}"), refusal))
        })
    }

    /// Deletes every record before the given offset of each partition; -1 means all.
    pub fn delete_records(
        &mut self,
        before: &[(TopicPartition, i64)],
    ) -> Result<Vec<DeletedRecords>, ClientError> {
        let mut by_leader: BTreeMap<String, BTreeMap<&str, Vec<_>>> = BTreeMap::new();
        for (at, offset) in before {
            let partition = DeleteRecordsPartition::default()
                .with_partition_index(at.partition)
                .with_offset(*offset);
            let leader = self.leader_address(at)?;
            let topics = by_leader.entry(leader).or_default();
            topics.entry(&at.topic).or_default().push(partition);
        }
        let mut done = Vec::with_capacity(before.len());
        for (leader, topics) in by_leader {
            let topics = topics.into_iter().map(|(topic, partitions)| {
                DeleteRecordsTopic::default()
                    .with_name(TopicName(text(topic)))
                    .with_partitions(partitions)
            });
            let request = DeleteRecordsRequest::default()
                .with_topics(topics.collect())
                .with_timeout_ms(self.timeout_ms());
            let answer = self.call_at(&leader, &request, i16::MAX)?;
            for topic in &answer.topics {
                done.extend(
                    topic.partitions.iter().map(|partition| DeletedRecords {
                        at: TopicPartition::new(topic.name.to_string(), partition.partition_index),
                        result: Refusal::check(partition.error_code, None)
                            .map(|()| partition.low_watermark),
                    }),
                );
            }
        }
        Ok(done)
    }
}
