//! What a broker's settings come to for its coordinators.

use batch::Compression;
use group::{ConsumerSettings, MigrationPolicy, ShareSettings};

use super::broker::{number, text};
use super::def::{ConfigError, split_list};
use super::layers::Layers;

/// How an internal topic is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas, where there are so many nodes.
    pub replication_factor: i16,
    /// `min.insync.replicas`, where there are so many nodes; the broker's default if it isn't set.
    pub min_isr: Option<i16>,
    /// `segment.bytes`.
    pub segment_bytes: i32,
}

/// What coordinators of every kind are bound by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// `offsets.commit.timeout.ms`: how long an answer may wait for what it rests on to be committed.
    pub commit_timeout_ms: u64,
    /// `offsets.load.buffer.size`: how much of a log is read at a time, in bytes.
    pub load_step: usize,
    /// `offsets.topic.compression.codec`.
    pub offsets_compression: Compression,
    /// `__consumer_offsets`.
    pub offsets_topic: InternalTopic,
    /// `__transaction_state`.
    pub transactions_topic: InternalTopic,
    /// `__share_group_state`.
    pub share_topic: InternalTopic,
    /// `share.coordinator.state.topic.compression.codec`.
    pub share_compression: Compression,
    /// `share.coordinator.write.timeout.ms`: as [`commit_timeout_ms`](Self::commit_timeout_ms), for the share coordinator.
    pub share_commit_timeout_ms: u64,
    /// `share.coordinator.load.buffer.size`: as [`load_step`](Self::load_step), for the share coordinator.
    pub share_load_step: usize,
    /// Whether `group.coordinator.rebalance.protocols` has `consumer`.
    pub consumer_protocol: bool,
}

impl CoordinatorConfig {
    /// The settings in force.
    pub(super) fn resolve(layers: &Layers<'_>) -> Result<Self, ConfigError> {
        let protocols = text(layers, "group.coordinator.rebalance.protocols")?;
        Ok(Self {
            commit_timeout_ms: number(layers, "offsets.commit.timeout.ms")?,
            load_step: number(layers, "offsets.load.buffer.size")?,
            offsets_compression: compression(layers, "offsets.topic.compression.codec")?,
            offsets_topic: InternalTopic {
                partitions: number(layers, "offsets.topic.num.partitions")?,
                replication_factor: number(layers, "offsets.topic.replication.factor")?,
                min_isr: None,
                segment_bytes: number(layers, "offsets.topic.segment.bytes")?,
            },
            transactions_topic: InternalTopic {
                partitions: number(layers, "transaction.state.log.num.partitions")?,
                replication_factor: number(layers, "transaction.state.log.replication.factor")?,
                min_isr: Some(number(layers, "transaction.state.log.min.isr")?),
                segment_bytes: number(layers, "transaction.state.log.segment.bytes")?,
            },
            share_topic: InternalTopic {
                partitions: number(layers, "share.coordinator.state.topic.num.partitions")?,
                replication_factor: number(
                    layers,
                    "share.coordinator.state.topic.replication.factor",
                )?,
                min_isr: Some(number(layers, "share.coordinator.state.topic.min.isr")?),
                segment_bytes: number(layers, "share.coordinator.state.topic.segment.bytes")?,
            },
            share_compression: compression(
                layers,
                "share.coordinator.state.topic.compression.codec",
            )?,
            share_commit_timeout_ms: number(layers, "share.coordinator.write.timeout.ms")?,
            share_load_step: number(layers, "share.coordinator.load.buffer.size")?,
            consumer_protocol: split_list(protocols).any(|protocol| protocol == "consumer"),
        })
    }
}

/// The codec that a setting names by its number.
fn compression(layers: &Layers<'_>, name: &'static str) -> Result<Compression, ConfigError> {
    let codec = Compression::from_code(number(layers, name)?);
    codec.map_err(|error| ConfigError::Invalid {
        name: name.to_owned(),
        value: text(layers, name).unwrap_or_default().to_owned(),
        why: error.to_string(),
    })
}

/// Those of the coordinator of groups.
pub(super) fn groups(layers: &Layers<'_>) -> Result<group::Settings, ConfigError> {
    let minutes: i64 = number(layers, "offsets.retention.minutes")?;
    let metadata_max: i64 = number(layers, "offset.metadata.max.bytes")?;
    let delay: i64 = number(layers, "group.initial.rebalance.delay.ms")?;
    Ok(group::Settings {
        offset_metadata_max_bytes: usize::try_from(metadata_max).unwrap_or(0),
        offsets_retention_ms: minutes * 60_000,
        offsets_retention_check_interval_ms: number(layers, "offsets.retention.check.interval.ms")?,
        min_session_timeout_ms: number(layers, "group.min.session.timeout.ms")?,
        max_session_timeout_ms: number(layers, "group.max.session.timeout.ms")?,
        initial_rebalance_delay_ms: u64::try_from(delay).unwrap_or(0),
        max_size: number(layers, "group.max.size")?,
        consumer: consumer_groups(layers)?,
        share: share_groups(layers)?,
        ..group::Settings::default()
    })
}

/// Those of the coordinator of transactions.
pub(super) fn transactions(layers: &Layers<'_>) -> Result<txn::Settings, ConfigError> {
    Ok(txn::Settings {
        max_timeout_ms: number(layers, "transaction.max.timeout.ms")?,
        id_expiration_ms: number(layers, "transactional.id.expiration.ms")?,
        abort_interval_ms: number(
            layers,
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        )?,
        expire_interval_ms: number(
            layers,
            "transaction.remove.expired.transaction.cleanup.interval.ms",
        )?,
        ..txn::Settings::default()
    })
}

fn share_groups(layers: &Layers<'_>) -> Result<ShareSettings, ConfigError> {
    Ok(ShareSettings {
        session_timeout_ms: number(layers, "group.share.session.timeout.ms")?,
        heartbeat_interval_ms: number(layers, "group.share.heartbeat.interval.ms")?,
        max_size: number(layers, "group.share.max.size")?,
    })
}

fn consumer_groups(layers: &Layers<'_>) -> Result<ConsumerSettings, ConfigError> {
    let assignors = split_list(text(layers, "group.consumer.assignors")?);
    Ok(ConsumerSettings {
        session_timeout_ms: number(layers, "group.consumer.session.timeout.ms")?,
        heartbeat_interval_ms: number(layers, "group.consumer.heartbeat.interval.ms")?,
        max_size: number(layers, "group.consumer.max.size")?,
        assignors: assignors.map(str::to_owned).collect(),
        migration_policy: match text(layers, "group.consumer.migration.policy")? {
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "disabled" => MigrationPolicy::Disabled,
            _ => MigrationPolicy::Bidirectional,
        },
    })
}
