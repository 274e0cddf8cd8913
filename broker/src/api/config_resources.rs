//! ListConfigResources (74): what has settings, by kind. Tools ask for it before they describe groups' settings.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use metadata::{Image, ResourceType};

use super::seen::{self, text};
use crate::shard::Shard;

/// Loggers of a broker. None can be set here, so there are none.
const BROKER_LOGGER: i8 = 8;
/// Subscriptions to clients' metrics, the only kind that version 0 knows.
const CLIENT_METRICS: i8 = ResourceType::ClientMetrics as i8;
/// All kinds that may be asked for.
const KINDS: [i8; 5] = [
    ResourceType::Topic as i8,
    ResourceType::Broker as i8,
    BROKER_LOGGER,
    CLIENT_METRICS,
    ResourceType::Group as i8,
];

/// Answers ListConfigResources.
pub(super) fn answer(
    shard: &Shard,
    request: ListConfigResourcesRequest,
    version: i16,
) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    let mut kinds = match request.resource_types {
        _ if version < 1 => vec![CLIENT_METRICS],
        none if none.is_empty() => KINDS.to_vec(),
        asked => asked,
    };
    if kinds.iter().any(|kind| !KINDS.contains(kind)) {
        return response.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    kinds.sort_unstable();
    kinds.dedup();
    let resources = shard.with_image(|image| {
        let of_kinds = kinds.iter().flat_map(|kind| {
            let named = |name: String| {
                ConfigResource::default()
                    .with_resource_name(text(&name))
                    .with_resource_type(*kind)
            };
            names(image, *kind).into_iter().map(named)
        });
        of_kinds.collect()
    });
    response.with_config_resources(resources)
}

/// What there is of a kind: every topic and broker, and what else has settings of its own.
fn names(image: &Image, kind: i8) -> Vec<String> {
    let known = u8::try_from(kind).ok().and_then(ResourceType::from_number);
    match known {
        Some(ResourceType::Topic) => image.topics().map(|topic| topic.name.to_string()).collect(),
        Some(ResourceType::Broker) => seen::brokers(image, false)
            .map(|(broker, _)| broker.node_id.to_string())
            .collect(),
        Some(kind) => image.configured(kind).map(str::to_owned).collect(),
        None => Vec::new(),
    }
}
