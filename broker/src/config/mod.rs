//! Settings: Kafka's for topics, groups and brokers, and the node's own.
//!
//! Owns the tables of names, defaults and ranges, the check of every value, what DescribeConfigs
//! shows, and how a node's settings are put together from its file, environment and flags
//! ([`node`]). It stores nothing: overrides and dynamic settings belong to the metadata, and come
//! in as maps.
//!
//! Pure but for [`NodeConfig::load`], which reads the file, and [`node::Machine`], which asks
//! what the machine has.

pub mod amount;
pub mod broker;
mod broker_rows;
mod coordinators;
pub mod def;
pub mod describe;
#[cfg(test)]
mod doc_tests;
mod duration;
pub(crate) mod group;
pub mod layers;
mod machine;
pub mod node;
mod node_read;
mod node_sources;
mod share;
mod table;
pub mod topic;
mod topic_table;

pub use broker::{BrokerConfig, Scope};
pub use coordinators::{CoordinatorConfig, InternalTopic};
pub use def::{ConfigError, Kind, Overrides};
pub use describe::{ConfigRow, SynonymRow, Want};
pub(crate) use duration::duration_ms;
pub use layers::{Layers, Source};
pub use node::NodeConfig;
pub use share::ShareConfig;
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
