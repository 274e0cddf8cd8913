//! The settings there are, as the controller asks for them.

use std::sync::Arc;

use super::Node;
use crate::config::broker::{self, Update};
use crate::config::group;
use crate::config::{Kind, Overrides, Scope, Want, describe, topic};
use metadata::{ConfigRules, Configs, Image, KeyKind, Resource, ResourceType};

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
    fn key(&self, kind: ResourceType, key: &str) -> Result<KeyKind, String> {
        let known = match kind {
            ResourceType::Topic => topic::known(key).map(|row| KeyKind {
                list: row.def.kind == Kind::List,
                read_only: false,
            }),
            ResourceType::Broker => broker::known(key).map(|row| KeyKind {
                list: row.def.kind == Kind::List,
                read_only: row.update == Update::Fixed,
            }),
            ResourceType::Group => group::known(key).map(|row| KeyKind {
                list: row.def.kind == Kind::List,
                read_only: false,
            }),
            ResourceType::ClientMetrics => return Err(format!("Unknown config name: {key}")),
        };
        known.map_err(|error| error.to_string())
    }

    fn check(&self, kind: ResourceType, key: &str, value: &str) -> Result<(), String> {
        let checked = match kind {
            ResourceType::Topic => topic::validate(key, Some(value)),
            ResourceType::Broker => broker::validate(key, value),
            ResourceType::Group => group::validate(key, value),
            ResourceType::ClientMetrics => return Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }

    fn check_together(
        &self,
        image: &Image,
        resource: &Resource,
        configs: &Configs,
    ) -> Result<(), String> {
        let layers = super::layers(&self.node, image);
        let checked = match resource.kind {
            ResourceType::Topic => topic::validate_all(configs, &layers),
            ResourceType::Broker => broker::validate_all(scope_of(resource), configs, &layers),
            ResourceType::Group => group::validate_all(configs, &layers),
            ResourceType::ClientMetrics => return Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }

    fn inherited(&self, image: &Image, resource: &Resource, key: &str) -> Option<String> {
        static NONE: Overrides = Overrides::new();
        let names = [key];
        let want = Want {
            names: Some(&names),
            ..Want::default()
        };
        let mut layers = super::layers(&self.node, image);
        if resource.kind == ResourceType::Broker && scope_of(resource) == Scope::Cluster {
            // What one node has for itself is nothing to the others.
            layers.node = &NONE;
        }
        let rows = match resource.kind {
            ResourceType::Topic => describe::topic(&Overrides::new(), &layers, want),
            ResourceType::Broker => describe::broker(&layers, want),
            ResourceType::Group => describe::group(&Overrides::new(), &layers, want),
            ResourceType::ClientMetrics => return None,
        };
        rows.into_iter().next().and_then(|row| row.value)
    }
}

/// The brokers' settings without a number are the whole cluster's.
fn scope_of(resource: &Resource) -> Scope {
    if resource.name.is_empty() {
        Scope::Cluster
    } else {
        Scope::Node
    }
}
