//! The settings of the coordinator of groups, with Kafka's names and defaults.

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
        }
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
