//! Reading and changing the settings of topics and brokers.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::error::{ClientError, Refusal};
use super::{Client, text};

/// What has settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A topic, by name.
    Topic(String),
    /// A broker, by node id.
    Broker(i32),
    /// What holds for every broker without a setting of its own.
    AllBrokers,
}

impl Resource {
    fn to_wire(&self) -> (i8, StrBytes) {
        match self {
            Self::Topic(name) => (2, text(name)),
            Self::Broker(id) => (4, text(&id.to_string())),
            Self::AllBrokers => (4, StrBytes::from_static_str("")),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    AllBrokers,
    /// From the broker's configuration at start.
    Start,
    /// The default of the software.
    Default,
    /// A number this client has no name for.
    Other(i8),
}

impl ConfigSource {
    fn from_wire(source: i8) -> Self {
        match source {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::Start,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigType {
    /// true or false.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// A comma-separated list.
    List,
    /// The name of a class.
    Class,
    /// A secret, never shown.
    Password,
    /// Not told.
    Unknown,
}

impl ConfigType {
    fn from_wire(kind: i8) -> Self {
        match kind {
            1 => Self::Boolean,
            2 => Self::String,
            3 => Self::Int,
            4 => Self::Short,
            5 => Self::Long,
            6 => Self::Double,
            7 => Self::List,
            8 => Self::Class,
            9 => Self::Password,
            _ => Self::Unknown,
        }
    }
}

/// One setting and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` where it has none or is secret.
    pub value: Option<String>,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// Whether it is secret.
    pub sensitive: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The type of the value.
    pub kind: ConfigType,
    /// What it is for, where the broker tells.
    pub documentation: Option<String>,
}

impl ConfigEntry {
    fn from_wire(entry: &DescribeConfigsResourceResult) -> Self {
        Self {
            name: entry.name.to_string(),
            value: entry.value.as_ref().map(ToString::to_string),
            read_only: entry.read_only,
            sensitive: entry.is_sensitive,
            source: ConfigSource::from_wire(entry.config_source),
            kind: ConfigType::from_wire(entry.config_type),
            documentation: entry.documentation.as_ref().map(ToString::to_string),
        }
    }
}

/// One change to a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Sets it.
    Set(String, String),
    /// Takes it back to its default.
    Reset(String),
    /// Adds to a list.
    Append(String, String),
    /// Takes away from a list.
    Subtract(String, String),
}

impl ConfigChange {
    fn to_wire(&self) -> AlterableConfig {
        let (operation, name, value) = match self {
            Self::Set(name, value) => (0, name, Some(text(value))),
            Self::Reset(name) => (1, name, None),
            Self::Append(name, value) => (2, name, Some(text(value))),
            Self::Subtract(name, value) => (3, name, Some(text(value))),
        };
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(operation)
            .with_value(value)
    }
}

impl Client {
    /// The settings of a resource: those named, or all.
    pub fn describe_configs(
        &mut self,
        resource: &Resource,
        names: Option<&[&str]>,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let (kind, name) = resource.to_wire();
        let keys = names.map(|names| names.iter().map(|name| text(name)).collect());
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![
                DescribeConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(name)
                    .with_configuration_keys(keys),
            ])
            .with_include_documentation(true);
        let answer = match resource {
            Resource::Broker(id) => self.call_node(*id, &request)?,
            _ => self.call(&request)?,
        };
        let mut entries = Vec::new();
        for result in &answer.results {
            Refusal::check(result.error_code, result.error_message.as_deref())
                .map_err(|refusal| ClientError::refused(resource.to_string(), refusal))?;
            entries.extend(result.configs.iter().map(ConfigEntry::from_wire));
        }
        Ok(entries)
    }

    /// Changes settings of a resource, all or none; with `validate_only` says whether it
    /// could be done.
    pub fn alter_configs(
        &mut self,
        resource: &Resource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let (kind, name) = resource.to_wire();
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![
                AlterConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(name)
                    .with_configs(changes.iter().map(ConfigChange::to_wire).collect()),
            ])
            .with_validate_only(validate_only);
        let answer = match resource {
            Resource::Broker(id) => self.call_node(*id, &request)?,
            _ => self.call(&request)?,
        };
        answer.responses.iter().try_for_each(|response| {
            Refusal::check(response.error_code, response.error_message.as_deref())
                .map_err(|refusal| ClientError::refused(resource.to_string(), refusal))
        })
    }
}
