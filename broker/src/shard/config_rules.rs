//! The settings there are, as the controller asks for them.

use std::sync::Arc;

use super::Node;
use crate::config::broker::{self, Update};
use crate::config::{Kind, Overrides, Scope, Want, describe, topic};
use crate::meta::{ConfigRules, Configs, Image, KeyKind, Resource, ResourceType};

/// Kafka's settings, over those a node was started with.
pub(super) struct KafkaConfigRules {
    node: Arc<Node>,
}

impl KafkaConfigRules {
    /// The rules on this node.
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl ConfigRules for KafkaConfigRules {
    fn key(&self, kind: ResourceType, key: &str) -> Option<KeyKind> {
        match kind {
            ResourceType::Topic => topic::lookup(key).map(|row| KeyKind {
                list: row.def.kind == Kind::List,
                read_only: false,
            }),
            ResourceType::Broker => broker::lookup(key).map(|row| KeyKind {
                list: row.def.kind == Kind::List,
                read_only: row.update == Update::Fixed,
            }),
            ResourceType::ClientMetrics | ResourceType::Group => None,
        }
    }

    fn check(&self, kind: ResourceType, key: &str, value: &str) -> Result<(), String> {
        let checked = match kind {
            ResourceType::Topic => topic::validate(key, Some(value)),
            ResourceType::Broker => broker::validate(key, value),
            ResourceType::ClientMetrics | ResourceType::Group => return Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }

    fn check_together(&self, kind: ResourceType, configs: &Configs) -> Result<(), String> {
        let checked = match kind {
            ResourceType::Topic => topic::validate_all(configs, &self.node.config.layers()),
            ResourceType::Broker => {
                broker::validate_all(Scope::Node, configs, &self.node.config.layers())
            }
            ResourceType::ClientMetrics | ResourceType::Group => return Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }

    fn inherited(&self, image: &Image, resource: &Resource, key: &str) -> Option<String> {
        let names = [key];
        let want = Want {
            names: Some(&names),
            ..Want::default()
        };
        let layers = super::layers(&self.node, image);
        let rows = match resource.kind {
            ResourceType::Topic => describe::topic(&Overrides::new(), &layers, want),
            ResourceType::Broker => describe::broker(&layers, want),
            ResourceType::ClientMetrics | ResourceType::Group => return None,
        };
        rows.into_iter().next().and_then(|row| row.value)
    }
}
