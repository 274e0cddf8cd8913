//! The cluster's metadata: topics, partitions, configs, brokers, producer-id blocks.
//!
//! Commands are decided by a pure controller (`core`, `configs`, `placement`) into records
//! (`record`), which are made durable in a small log (`log`) and then applied, in order, to an
//! [`Image`]: shard 0 owns the log (`shell`), every shard has an image of its own and gets the
//! committed records. Nothing here may change an image in another way than by a committed record.

mod adopt;
mod codec;
mod configs;
mod core;
mod error;
mod files;
mod format;
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::use_self,
    clippy::expect_used,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    non_snake_case,
    unreachable_pub,
    unused_extern_crates,
    unused_imports,
    unused_qualifications,
    mismatched_lifetime_syntaxes,
    reason = "written by flatc, see scripts/gen-schema"
)]
#[rustfmt::skip]
mod generated;
mod image;
mod log;
mod placement;
mod record;
mod shell;
#[cfg(test)]
mod tests;

pub use adopt::{AdoptTopic, FoundPartition};
pub use codec::{DecodeError, decode, encode};
pub use configs::{ConfigChange, ConfigOp, ConfigRules, KeyKind};
pub use core::{
    Controller, CreatePartitions, CreateTopic, NEW_PARTITIONS_MAX, PRODUCER_ID_BLOCK, Policy,
    ProducerIds, TOPIC_NAME_MAX, TopicRef, check_topic_name,
};
pub use error::MetaError;
pub use image::{ApplyError, Configs, DriveLoad, Image, Topic, metric_name};
pub use log::{MetaLogError, MetaLogOptions};
pub use placement::PlacementDrive;
pub use record::{
    BrokerRecord, ClusterIdRecord, ConfigRecord, DriveInfo, Endpoint, FeatureRecord,
    METADATA_VERSION, METADATA_VERSION_LEVEL, PartitionChangeRecord, PartitionRecord,
    PartitionState, ProducerIdBlockRecord, Record, RemoveTopicRecord, Resource, ResourceType,
    TopicRecord,
};
pub use shell::{Committed, Decided, Draft, MetaShell, ProposeError, Subscriber};
