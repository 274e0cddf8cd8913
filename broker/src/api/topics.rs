//! CreateTopics (19), DeleteTopics (20) and CreatePartitions (37): what the controller decides on
//! topics, one after the other.

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::config::{Overrides, Want, describe};
use crate::shard::Shard;
use crate::shard::control::ControlError;
use crate::shard::routes::TopicRoute;
use metadata::{CreatePartitions, CreateTopic, TopicRef};

/// The first version of DeleteTopics that names topics by id too.
const DELETE_BY_ID_SINCE: i16 = 6;
/// The first version of CreateTopics that tells the new topic's settings.
const CONFIGS_SINCE: i16 = 5;
const NAMED_TWICE: &str = "the request names this topic more than once";

/// How often each topic is named.
fn counted<'a>(names: impl Iterator<Item = &'a TopicName>) -> BTreeMap<TopicName, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.clone()).or_insert(0) += 1;
    }
    counts
}

/// Answers CreateTopics; when it returns, the topics can be used.
pub(super) async fn create(
    shard: &Rc<Shard>,
    request: CreateTopicsRequest,
    version: i16,
) -> CreateTopicsResponse {
    let counts = counted(request.topics.iter().map(|topic| &topic.name));
    let mut results = Vec::with_capacity(counts.len());
    let mut told = std::collections::BTreeSet::new();
    for topic in request.topics {
        let name = topic.name.clone();
        let row = CreatableTopicResult::default()
            .with_name(name.clone())
            .with_num_partitions(-1)
            .with_replication_factor(-1);
        if counts.get(&name).is_some_and(|count| *count > 1) {
            if told.insert(name) {
                let code = ResponseError::InvalidRequest.code();
                results.push(
                    row.with_error_code(code)
                        .with_error_message(text(NAMED_TWICE)),
                );
            }
            continue;
        }
        let result = create_one(shard, topic, request.validate_only).await;
        let shown = result.map(|row| match version {
            ..CONFIGS_SINCE => row.with_configs(None),
            _ => row,
        });
        results.push(shown.unwrap_or_else(|error| {
            row.with_error_code(error.code())
                .with_error_message(text(&error.to_string()))
        }));
    }
    CreateTopicsResponse::default().with_topics(results)
}

fn text(s: &str) -> Option<StrBytes> {
    Some(StrBytes::from_string(s.to_owned()))
}

async fn create_one(
    shard: &Rc<Shard>,
    topic: CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, ControlError> {
    let id = Uuid::new_v4();
    let nodes = |ids: &[kafka_protocol::messages::BrokerId]| ids.iter().map(|id| id.0).collect();
    let assignments: Vec<(i32, Vec<i32>)> = topic
        .assignments
        .iter()
        .map(|one| (one.partition_index, nodes(&one.broker_ids)))
        .collect();
    let configs = topic.configs.iter().map(|config| {
        (
            config.name.to_string(),
            config.value.as_ref().map(ToString::to_string),
        )
    });
    let command = CreateTopic {
        id,
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.clone(),
        configs: configs.collect(),
    };
    let overrides: Overrides = command
        .configs
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
        .collect();
    shard.create_topic(command, validate_only).await?;
    let settings = shard.settings();
    let partitions = match (assignments.len(), topic.num_partitions) {
        (0, -1) => settings.num_partitions,
        (0, asked) => asked,
        (assigned, _) => i32::try_from(assigned).unwrap_or(i32::MAX),
    };
    let factor = match (assignments.first(), topic.replication_factor) {
        (Some((_, nodes)), _) => i16::try_from(nodes.len()).unwrap_or(i16::MAX),
        (None, -1) => settings.default_replication_factor,
        (None, asked) => asked,
    };
    let rows = shard.with_layers(|layers| describe::topic(&overrides, layers, Want::default()));
    let configs = rows.into_iter().map(|row| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(row.name))
            .with_value(row.value.map(StrBytes::from_string))
            .with_read_only(row.read_only)
            .with_config_source(row.source.code())
            .with_is_sensitive(row.sensitive)
    });
    Ok(CreatableTopicResult::default()
        .with_name(topic.name)
        .with_topic_id(if validate_only { Uuid::nil() } else { id })
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
        .with_configs(Some(configs.collect())))
}

/// A topic to delete, as the request names it.
struct ToDelete {
    name: Option<TopicName>,
    id: Uuid,
}

impl ToDelete {
    fn all_of(request: DeleteTopicsRequest, version: i16) -> Vec<Self> {
        if version >= DELETE_BY_ID_SINCE {
            let topics = request.topics.into_iter();
            let one = |topic: DeleteTopicState| Self {
                name: topic.name,
                id: topic.topic_id,
            };
            return topics.map(one).collect();
        }
        let one = |name| Self {
            name: Some(name),
            id: Uuid::nil(),
        };
        request.topic_names.into_iter().map(one).collect()
    }

    /// The topic meant, or why none is.
    fn target(&self) -> Result<TopicRef, &'static str> {
        match &self.name {
            Some(name) if self.id.is_nil() => Ok(TopicRef::Name(name.to_string())),
            None if !self.id.is_nil() => Ok(TopicRef::Id(self.id)),
            Some(_) => Err("a topic to delete is named by its name or by its id, not by both"),
            None => Err("a topic to delete is named neither by its name nor by its id"),
        }
    }

    fn known(&self, shard: &Shard) -> Option<Rc<TopicRoute>> {
        match &self.name {
            Some(name) => shard.routes().by_name(name),
            None => shard.routes().by_id(self.id),
        }
    }
}

/// Answers DeleteTopics.
pub(super) async fn delete(
    shard: &Rc<Shard>,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let topics = ToDelete::all_of(request, version);
    let known: Vec<_> = topics.iter().map(|topic| topic.known(shard)).collect();
    let mut counts: BTreeMap<Uuid, usize> = BTreeMap::new();
    for route in known.iter().flatten() {
        *counts.entry(route.id).or_insert(0) += 1;
    }
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, route) in topics.into_iter().zip(known) {
        let twice = route
            .as_ref()
            .is_some_and(|route| counts.get(&route.id) != Some(&1));
        let done = match topic.target() {
            Err(why) => Err((ResponseError::InvalidRequest.code(), why.to_owned())),
            Ok(_) if twice => Err((ResponseError::InvalidRequest.code(), NAMED_TWICE.to_owned())),
            Ok(target) => match shard.delete_topic(target).await {
                Ok(()) => Ok(()),
                Err(error) => Err((delete_code(&error, version), error.to_string())),
            },
        };
        let row = DeletableTopicResult::default();
        responses.push(match done {
            Ok(()) => {
                let route_name = route
                    .as_ref()
                    .map(|route| StrBytes::from_string(route.name.clone()));
                row.with_topic_id(route.as_ref().map_or(topic.id, |route| route.id))
                    .with_name(topic.name.or(route_name.map(TopicName)))
            }
            Err((code, why)) => row
                .with_name(topic.name)
                .with_topic_id(topic.id)
                .with_error_code(code)
                .with_error_message(text(&why)),
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// The code of a refused deletion: the one for a broker where they are switched off came with
/// version 3.
fn delete_code(error: &ControlError, version: i16) -> i16 {
    match error {
        error if version < 3 && error.code() == ResponseError::TopicDeletionDisabled.code() => {
            ResponseError::InvalidRequest.code()
        }
        error => error.code(),
    }
}

/// Answers CreatePartitions.
pub(super) async fn create_partitions(
    shard: &Rc<Shard>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let counts = counted(request.topics.iter().map(|topic| &topic.name));
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let row = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        if counts.get(&topic.name).is_some_and(|count| *count > 1) {
            let code = ResponseError::InvalidRequest.code();
            results.push(
                row.with_error_code(code)
                    .with_error_message(text(NAMED_TWICE)),
            );
            continue;
        }
        let command = partitions_command(&topic);
        results.push(
            match shard
                .create_partitions(command, request.validate_only)
                .await
            {
                Ok(()) => row,
                Err(error) => row
                    .with_error_code(error.code())
                    .with_error_message(text(&error.to_string())),
            },
        );
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn partitions_command(topic: &CreatePartitionsTopic) -> CreatePartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let nodes = assignments
            .iter()
            .map(|one| one.broker_ids.iter().map(|id| id.0).collect());
        nodes.collect()
    });
    CreatePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments,
    }
}
