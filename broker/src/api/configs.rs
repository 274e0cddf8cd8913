//! DescribeConfigs (32), AlterConfigs (33) and IncrementalAlterConfigs (44) for topics, groups and
//! brokers.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::error::Refusal;
use crate::config::{ConfigRow, Overrides, Want, describe};
use crate::shard::Shard;
use metadata::{ConfigChange, ConfigOp, Resource, ResourceType, check_topic_name};

/// Answers DescribeConfigs.
pub(super) fn describe_all(
    shard: &Shard,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let synonyms = request.include_synonyms;
    let documentation = request.include_documentation;
    let mut results = Vec::new();
    let mut seen = BTreeSet::new();
    for asked in request.resources {
        // An answer has hundreds of rows for each: what is asked for again is not told again.
        let keys = asked.configuration_keys.clone();
        if !seen.insert((asked.resource_type, asked.resource_name.clone(), keys)) {
            continue;
        }
        let names: Option<Vec<&str>> = asked
            .configuration_keys
            .as_ref()
            .map(|keys| keys.iter().map(|key| &**key).collect());
        let want = Want {
            names: names.as_deref(),
            synonyms,
            documentation,
        };
        let row = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        results.push(
            match rows(shard, asked.resource_type, &asked.resource_name, want) {
                Ok(rows) => row.with_configs(rows.into_iter().map(config_row).collect()),
                Err(refusal) => row
                    .with_error_code(refusal.error.code())
                    .with_error_message(refusal.message.map(StrBytes::from_string)),
            },
        );
    }
    DescribeConfigsResponse::default().with_results(results)
}

fn rows(shard: &Shard, kind: i8, name: &str, want: Want<'_>) -> Result<Vec<ConfigRow>, Refusal> {
    static NONE: Overrides = Overrides::new();
    match resource(shard, kind, name)? {
        Resource {
            kind: ResourceType::Topic,
            name,
        } => {
            if shard.routes().by_name(&name).is_none() {
                if let Err(error) = check_topic_name(&name) {
                    let code = ResponseError::InvalidTopicException;
                    return Err(Refusal::with(code, error.to_string()));
                }
                let refusal = Refusal::with(
                    ResponseError::UnknownTopicOrPartition,
                    format!("topic \"{name}\" does not exist"),
                );
                return Err(refusal);
            }
            let own = shard.with_image(|image| image.configs(ResourceType::Topic, &name).cloned());
            let own = own.as_ref().unwrap_or(&NONE);
            Ok(shard.with_layers(|layers| describe::topic(own, layers, want)))
        }
        Resource {
            kind: ResourceType::Group,
            name,
        } => {
            let own = shard.with_image(|image| image.configs(ResourceType::Group, &name).cloned());
            let own = own.as_ref().unwrap_or(&NONE);
            Ok(shard.with_layers(|layers| describe::group(own, layers, want)))
        }
        Resource { name, .. } if name.is_empty() => {
            let set = shard.with_image(|image| image.configs(ResourceType::Broker, "").cloned());
            Ok(describe::cluster(set.as_ref().unwrap_or(&NONE), want))
        }
        Resource { .. } => Ok(shard.with_layers(|layers| describe::broker(layers, want))),
    }
}

/// The resource that a request names; only topics, groups and brokers have settings here, and as in
/// Kafka those of one broker are that broker's business.
fn resource(shard: &Shard, kind: i8, name: &str) -> Result<Resource, Refusal> {
    let known = u8::try_from(kind).ok().and_then(ResourceType::from_number);
    let own = shard.node_id();
    match known {
        Some(ResourceType::Broker) if !name.is_empty() && name != own.to_string() => {
            Err(Refusal::with(
                ResponseError::InvalidRequest,
                format!(
                    "this is node {own}; settings of broker \"{name}\" have to be asked of that broker"
                ),
            ))
        }
        Some(ResourceType::Group) if name.is_empty() => Err(Refusal::with(
            ResponseError::InvalidRequest,
            "the name of a group must not be empty",
        )),
        Some(kind @ (ResourceType::Topic | ResourceType::Broker | ResourceType::Group)) => {
            Ok(Resource {
                kind,
                name: name.to_owned(),
            })
        }
        _ => Err(Refusal::with(
            ResponseError::InvalidRequest,
            format!(
                "resources of type {kind} have no settings here; topics (2), brokers (4) and groups (32) do"
            ),
        )),
    }
}

fn config_row(row: ConfigRow) -> DescribeConfigsResourceResult {
    let synonyms = row.synonyms.into_iter().map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(synonym.name))
            .with_value(synonym.value.map(StrBytes::from_string))
            .with_source(synonym.source.code())
    });
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(row.name))
        .with_value(row.value.map(StrBytes::from_string))
        .with_read_only(row.read_only)
        .with_config_source(row.source.code())
        .with_is_sensitive(row.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(row.kind.code())
        .with_documentation(row.documentation.map(StrBytes::from_static_str))
}

/// A resource and what a request does to it.
type Altered = (i8, StrBytes, Result<(), Refusal>);

/// Answers AlterConfigs: each resource gets exactly these settings.
pub(super) async fn replace(
    shard: &Rc<Shard>,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in request.resources {
        let settings = asked.configs.iter().map(|config| {
            let value = config.value.as_ref().map(ToString::to_string);
            (config.name.to_string(), value)
        });
        let settings: Vec<_> = settings.collect();
        let done = match resource(shard, asked.resource_type, &asked.resource_name) {
            Ok(resource) => shard
                .replace_configs(resource, settings, request.validate_only)
                .await
                .map_err(|error| error.refusal()),
            Err(refusal) => Err(refusal),
        };
        let (error, message) = outcome((asked.resource_type, asked.resource_name.clone(), done));
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name)
                .with_error_code(error)
                .with_error_message(message),
        );
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Answers IncrementalAlterConfigs: each resource has some settings changed.
pub(super) async fn alter(
    shard: &Rc<Shard>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in request.resources {
        let mut changes = Vec::with_capacity(asked.configs.len());
        let mut done = Ok(());
        for config in &asked.configs {
            match ConfigOp::from_number(config.config_operation) {
                Ok(op) => changes.push(ConfigChange {
                    key: config.name.to_string(),
                    op,
                    value: config.value.as_ref().map(ToString::to_string),
                }),
                Err(error) => {
                    done = Err(Refusal::with(
                        ResponseError::InvalidRequest,
                        error.to_string(),
                    ));
                }
            }
        }
        if done.is_ok() {
            done = match resource(shard, asked.resource_type, &asked.resource_name) {
                Ok(resource) => shard
                    .alter_configs(resource, changes, request.validate_only)
                    .await
                    .map_err(|error| error.refusal()),
                Err(refusal) => Err(refusal),
            };
        }
        let (error, message) = outcome((asked.resource_type, asked.resource_name.clone(), done));
        responses.push(
            IncrementalResult::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name)
                .with_error_code(error)
                .with_error_message(message),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

/// The code and text of an outcome; a refusal leaves a line in the log.
fn outcome((kind, name, done): Altered) -> (i16, Option<StrBytes>) {
    match done {
        Ok(()) => (0, None),
        Err(refusal) => {
            let why = refusal.message.as_deref().unwrap_or_default();
            tracing::info!(kind, name = &*name, why, "a change of settings was refused");
            (
                refusal.error.code(),
                refusal.message.map(StrBytes::from_string),
            )
        }
    }
}
