//! The settings of the coordinator of groups, with Kafka's names and defaults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is set for all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `offset.metadata.max.bytes`: the longest metadata of a commit, in units of UTF-16, as Kafka counts.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long offsets stay that nobody uses.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`: how often that is looked at.
    pub offsets_retention_check_interval_ms: u64,
    /// How much the records of one batch may take, in bytes. A classic group's record has all its members,
    /// so it bounds their number; the internal topic has to take such batches.
    pub batch_max_bytes: usize,
    /// `group.min.session.timeout.ms` for members of classic groups.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms` for members of classic groups.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty classic group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`: the most members of a classic group.
    pub max_size: usize,
    /// Those of groups of the consumer protocol.
    pub consumer: ConsumerSettings,
    /// Those of share groups.
    pub share: ShareSettings,
    /// What groups have set for themselves, by their ids.
    pub of_groups: Arc<BTreeMap<String, OwnSettings>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            batch_max_bytes: 4 << 20,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            consumer: ConsumerSettings::default(),
            share: ShareSettings::default(),
            of_groups: Arc::default(),
        }
    }
}

/// What a group has set for itself, in place of what is set for all; a setting that isn't there is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSettings {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: Option<i32>,
    /// `share.session.timeout.ms`.
    pub share_session_timeout_ms: Option<i32>,
    /// `share.heartbeat.interval.ms`.
    pub share_heartbeat_interval_ms: Option<i32>,
}

fn put(to: &mut i32, own: Option<i32>) {
    *to = own.unwrap_or(*to);
}

impl Settings {
    /// Those in force for a group of the consumer protocol.
    pub(crate) fn consumer_of(&self, group: &str) -> Cow<'_, ConsumerSettings> {
        let mut settings = Cow::Borrowed(&self.consumer);
        if let Some(own) = self.of_groups.get(group) {
            let settings = settings.to_mut();
            put(
                &mut settings.session_timeout_ms,
                own.consumer_session_timeout_ms,
            );
            put(
                &mut settings.heartbeat_interval_ms,
                own.consumer_heartbeat_interval_ms,
            );
        }
        settings
    }

    /// Those in force for a share group.
    pub(crate) fn share_of(&self, group: &str) -> ShareSettings {
        let mut settings = self.share.clone();
        if let Some(own) = self.of_groups.get(group) {
            put(
                &mut settings.session_timeout_ms,
                own.share_session_timeout_ms,
            );
            put(
                &mut settings.heartbeat_interval_ms,
                own.share_heartbeat_interval_ms,
            );
        }
        settings
    }
}

/// Whether a group changes its protocol while it has members: `group.consumer.migration.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    #[default]
    Bidirectional,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Never.
    Disabled,
}

/// What is set for groups of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: the most members of a group.
    pub max_size: usize,
    /// `group.consumer.assignors`: names of assignors; the first is the default.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: i32::MAX as usize,
            assignors: vec!["uniform".into(), "range".into()],
            migration_policy: MigrationPolicy::default(),
        }
    }
}

/// What is set for share groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// `group.share.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.share.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.share.max.size`: the most members of a group.
    pub max_size: usize,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: 200,
        }
    }
}
