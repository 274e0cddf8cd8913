//! The cluster's metadata, without any I/O: topics, partitions, configs, brokers, producer-id blocks,
//! and who leads what.
//!
//! Commands are decided by a pure [`Controller`] into [`Record`]s; an [`Image`] is what records make,
//! applied in order. Making records durable and carrying them to those who hold images is the
//! broker's. Nothing here may read a clock, draw a random number, or change an image in another way
//! than by a record.

mod adopt;
mod codec;
mod configs;
mod core;
mod election;
mod error;
mod fencing;
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
mod isr;
mod placement;
mod reassignment;
mod record;
mod registration;
mod sessions;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use adopt::{AdoptTopic, FoundPartition};
pub use codec::{DecodeError, decode, encode};
pub use configs::{ConfigChange, ConfigOp, ConfigRules, KeyKind};
pub use core::{
    Controller, CreatePartitions, CreateTopic, NEW_PARTITIONS_MAX, PRODUCER_ID_BLOCK, Policy,
    ProducerIds, TOPIC_NAME_MAX, TopicRef, check_topic_name,
};
pub use election::ElectionType;
pub use error::MetaError;
pub use image::{ApplyError, Configs, DriveLoad, Image, Topic, metric_name};
pub use isr::{ANY_BROKER_EPOCH, AlterPartition, AlteredPartition};
pub use placement::PlacementDrive;
pub use reassignment::{OngoingReassignment, Reassignment, reassignments};
pub use record::{
    BrokerChangeRecord, BrokerRecord, ClusterIdRecord, ConfigRecord, DriveInfo, Endpoint,
    FeatureRecord, InternalEndpoint, LastBrokerEpochRecord, METADATA_VERSION,
    METADATA_VERSION_LEVEL, METADATA_VERSIONS, PartitionChangeRecord, PartitionRecord,
    PartitionState, ProducerIdBlockRecord, Record, RemoveTopicRecord, Resource, ResourceType,
    TopicRecord, UnregisterBrokerRecord,
};
pub use registration::{Liveness, RegisterBroker};
pub use sessions::{Heartbeat, HeartbeatReply, Sessions};
