//! The controller's commands on configs. What keys there are and what values they take is the
//! caller's to say, by [`ConfigRules`]; here is what Kafka's requests mean. Pure, like `core`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

use super::core::Controller;
use super::error::{MetaError, describe};
use super::image::{Configs, Image};
use super::record::{ConfigRecord, Record, Resource, ResourceType};

/// What a config key is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyKind {
    /// Its value is a list with commas: it can be appended to and subtracted from.
    pub list: bool,
    /// It is given at the start of the broker and can't be changed by a request.
    pub read_only: bool,
}

/// What config keys there are, and what values they take. Implementations are pure.
pub trait ConfigRules {
    /// What `key` is like for this kind of resource; when there is no such key, words that say so
    /// and name the one that may have been meant.
    fn key(&self, kind: ResourceType, key: &str) -> Result<KeyKind, String>;

    /// Whether `key` takes `value`; if not, why, in words that name both.
    fn check(&self, kind: ResourceType, key: &str, value: &str) -> Result<(), String>;

    /// Whether all configs that a resource has of its own go together, and with those that `image` has
    /// of others; if not, why.
    fn check_together(
        &self,
        _image: &Image,
        _resource: &Resource,
        _configs: &Configs,
    ) -> Result<(), String> {
        Ok(())
    }

    /// The value in force for a key that the resource has no value of its own for.
    fn inherited(&self, image: &Image, resource: &Resource, key: &str) -> Option<String>;
}

impl fmt::Debug for dyn ConfigRules + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigRules")
    }
}

/// What an incremental change does with a key, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i8)]
pub enum ConfigOp {
    /// Sets the value.
    Set = 0,
    /// Back to the default.
    Delete = 1,
    /// Adds elements to a list.
    Append = 2,
    /// Takes elements from a list.
    Subtract = 3,
}

impl ConfigOp {
    /// The operation of Kafka's number.
    pub fn from_number(number: i8) -> Result<Self, MetaError> {
        match number {
            0 => Ok(Self::Set),
            1 => Ok(Self::Delete),
            2 => Ok(Self::Append),
            3 => Ok(Self::Subtract),
            _ => Err(MetaError::InvalidRequest(format!(
                "{number} is no operation on a config"
            ))),
        }
    }
}

/// One incremental change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// What is done.
    pub op: ConfigOp,
    /// With what; a `Delete` needs none.
    pub value: Option<String>,
}

/// The values that change; `None` is back to the default.
type Changes = BTreeMap<String, Option<String>>;

impl Controller<'_> {
    /// Changes some configs of a resource and leaves the others.
    pub fn alter_configs(
        &self,
        resource: &Resource,
        changes: &[ConfigChange],
    ) -> Result<Vec<Record>, MetaError> {
        refuse_doubles(changes.iter().map(|change| change.key.as_str()))?;
        self.check_exists(resource)?;
        let mut changed = Changes::new();
        for change in changes {
            let value = match change.op {
                ConfigOp::Delete => None,
                op => Some(self.new_value(
                    resource,
                    &change.key,
                    op,
                    needed(&change.key, &change.value)?,
                )?),
            };
            changed.insert(change.key.clone(), value);
        }
        self.decide(resource, changed)
    }

    /// Gives a resource exactly these configs; what isn't named goes back to its default.
    pub fn replace_configs(
        &self,
        resource: &Resource,
        configs: &[(String, Option<String>)],
    ) -> Result<Vec<Record>, MetaError> {
        refuse_doubles(configs.iter().map(|(key, _)| key.as_str()))?;
        self.check_exists(resource)?;
        let present = self.own(resource);
        let mut changed: Changes = present.keys().map(|key| (key.clone(), None)).collect();
        for (key, value) in configs {
            changed.insert(key.clone(), Some(needed(key, value)?.to_owned()));
        }
        self.decide(resource, changed)
    }

    /// The configs of a topic about to be created.
    pub(crate) fn check_new_configs(
        &self,
        topic: &str,
        configs: &[(String, Option<String>)],
    ) -> Result<Configs, MetaError> {
        let resource = Resource::topic(topic);
        let mut checked = Configs::new();
        for (key, value) in configs {
            let missing = || {
                MetaError::InvalidConfig(format!(
                    "config \"{key}\" of topic \"{topic}\" has no value"
                ))
            };
            let value = value.as_deref().ok_or_else(missing)?;
            self.check_value(&resource, key, value)?;
            checked.insert(key.clone(), value.to_owned());
        }
        self.rules
            .check_together(self.image, &resource, &checked)
            .map_err(MetaError::InvalidConfig)?;
        Ok(checked)
    }

    fn own(&self, resource: &Resource) -> Configs {
        self.image
            .configs(resource.kind, &resource.name)
            .cloned()
            .unwrap_or_default()
    }

    /// The value a key gets by `op`, checked neither against the rules nor against the other keys.
    fn new_value(
        &self,
        resource: &Resource,
        key: &str,
        op: ConfigOp,
        value: &str,
    ) -> Result<String, MetaError> {
        if matches!(op, ConfigOp::Set | ConfigOp::Delete) {
            return Ok(value.to_owned());
        }
        let kind = self
            .rules
            .key(resource.kind, key)
            .map_err(MetaError::InvalidConfig)?;
        if !kind.list {
            let text = format!(
                "config \"{key}\" isn't a list: it can be set or deleted, not appended to or \
                 subtracted from"
            );
            return Err(MetaError::InvalidConfig(text));
        }
        let own = self
            .image
            .config(resource.kind, &resource.name, key)
            .map(str::to_owned);
        let before = own
            .or_else(|| self.rules.inherited(self.image, resource, key))
            .unwrap_or_default();
        let mut elements: Vec<&str> = elements_of(&before).collect();
        for element in elements_of(value) {
            if op == ConfigOp::Subtract {
                elements.retain(|present| *present != element);
            } else if !elements.contains(&element) {
                elements.push(element);
            }
        }
        Ok(elements.join(","))
    }

    /// Checks the changes and makes records of those that change something.
    fn decide(&self, resource: &Resource, changes: Changes) -> Result<Vec<Record>, MetaError> {
        let mut after = self.own(resource);
        let mut records = Vec::new();
        for (key, value) in changes {
            if after.get(&key) == value.as_ref() {
                continue;
            }
            match &value {
                Some(value) => {
                    self.check_value(resource, &key, value)?;
                    after.insert(key.clone(), value.clone());
                }
                None => {
                    after.remove(&key);
                }
            }
            records.push(Record::Config(ConfigRecord {
                resource: resource.clone(),
                key,
                value,
            }));
        }
        self.rules
            .check_together(self.image, resource, &after)
            .map_err(|why| refused(resource.kind, why))?;
        Ok(records)
    }

    fn check_value(&self, resource: &Resource, key: &str, value: &str) -> Result<(), MetaError> {
        let kind = self
            .rules
            .key(resource.kind, key)
            .map_err(MetaError::InvalidConfig)?;
        if kind.read_only {
            let text = format!(
                "config \"{key}\" of {} can't be changed while it runs",
                describe(resource)
            );
            return Err(refused(resource.kind, text));
        }
        self.rules
            .check(resource.kind, key, value)
            .map_err(|why| refused(resource.kind, why))
    }

    fn check_exists(&self, resource: &Resource) -> Result<(), MetaError> {
        match resource.kind {
            ResourceType::Topic if self.image.topic(&resource.name).is_none() => {
                Err(MetaError::UnknownTopic(resource.name.clone()))
            }
            ResourceType::Broker if !resource.name.is_empty() => {
                let text = || {
                    format!(
                        "a broker is named by its node id, not by \"{}\"",
                        resource.name
                    )
                };
                let node: i32 = resource
                    .name
                    .parse()
                    .map_err(|_| MetaError::InvalidRequest(text()))?;
                let known = self.image.brokers().contains_key(&node);
                if known {
                    Ok(())
                } else {
                    Err(MetaError::BrokerNotRegistered(node))
                }
            }
            _ => Ok(()),
        }
    }
}

/// Kafka answers a broker's config that is refused as an invalid request, any other's as an invalid
/// config.
fn refused(kind: ResourceType, why: String) -> MetaError {
    match kind {
        ResourceType::Broker => MetaError::InvalidRequest(why),
        ResourceType::Topic | ResourceType::ClientMetrics | ResourceType::Group => {
            MetaError::InvalidConfig(why)
        }
    }
}

fn refuse_doubles<'k>(keys: impl Iterator<Item = &'k str>) -> Result<(), MetaError> {
    let mut seen = std::collections::BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(MetaError::InvalidRequest(format!(
                "config \"{key}\" is named twice"
            )));
        }
    }
    Ok(())
}

fn needed<'v>(key: &str, value: &'v Option<String>) -> Result<&'v str, MetaError> {
    let missing = || {
        MetaError::InvalidRequest(format!(
            "config \"{key}\" needs a value; to unset it, delete it"
        ))
    };
    value.as_deref().ok_or_else(missing)
}

fn elements_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
}
