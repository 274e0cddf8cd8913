//! A broker's settings by Kafka's names: lookup, checking, dynamic changes, and [`BrokerConfig`],
//! what they come to.
//!
//! The table is in `broker_rows`. Settings of one listener, `listener.name.<listener>.<setting>`,
//! are known by the setting at their end.

use std::time::Duration;

use super::broker_rows;
use super::coordinators::{self, CoordinatorConfig};
use super::def::{ConfigError, Def, Effect, Overrides, nearest, parse_bool};
use super::layers::Layers;
use super::share::ShareConfig;

/// How a broker setting may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// By a restart only.
    Fixed,
    /// While running, for one node.
    Node,
    /// While running, for one node or the whole cluster.
    Cluster,
}

impl Update {
    /// The words Kafka's documentation uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "read-only",
            Self::Node => "per-broker",
            Self::Cluster => "cluster-wide",
        }
    }
}

/// A broker setting.
#[derive(Clone, Copy, Debug)]
pub struct BrokerRow {
    /// The setting.
    pub def: Def,
    /// How it is changed.
    pub update: Update,
}

/// Whose dynamic settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This node's.
    Node,
    /// The whole cluster's.
    Cluster,
}

/// Every broker setting.
pub fn rows() -> impl Iterator<Item = &'static BrokerRow> + Clone {
    broker_rows::all()
}

/// The row of `name`, or of the setting a listener's setting overrides.
pub fn lookup(name: &str) -> Option<&'static BrokerRow> {
    let name = of_listener(name).unwrap_or(name);
    rows().find(|row| row.def.name == name)
}

/// The setting that `listener.name.<listener>[.<mechanism>].<setting>` is for.
fn of_listener(name: &str) -> Option<&'static str> {
    let (_, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    // The mechanism in front of a SASL setting is optional, so the longest setting that ends the
    // name is meant.
    let ends = |known: &str| rest == known || rest.ends_with(&format!(".{known}"));
    let names = rows().map(|row| row.def.name).filter(|known| ends(known));
    names.max_by_key(|known| known.len())
}

pub(crate) fn known(name: &str) -> Result<&'static BrokerRow, ConfigError> {
    lookup(name).ok_or_else(|| ConfigError::Unknown {
        scope: "broker",
        name: name.to_owned(),
        nearest: nearest(name, rows().map(|row| row.def.name)),
    })
}

/// The names that hold the same setting in other units, the strongest first; for most, the name
/// alone.
pub(crate) fn family(name: &'static str) -> Vec<&'static str> {
    const FAMILIES: &[&[&str]] = &[
        &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    ];
    let found = FAMILIES.iter().find(|family| family.contains(&name));
    found.map_or_else(|| vec![name], |family| family.to_vec())
}

/// Checks one setting by itself, as the node is started with it.
pub fn validate(name: &str, value: &str) -> Result<(), ConfigError> {
    known(name)?.def.check(value)
}

/// Checks a whole set of dynamic settings of `scope`: each may be changed there, and together
/// with what is in force now they come to something. `layers` is what is in force now.
pub fn validate_all(
    scope: Scope,
    settings: &Overrides,
    layers: &Layers<'_>,
) -> Result<(), ConfigError> {
    for (name, value) in settings {
        changeable(name, scope)?.def.check(value)?;
    }
    consistent(scope, settings, layers)
}

fn changeable(name: &str, scope: Scope) -> Result<&'static BrokerRow, ConfigError> {
    let row = known(name)?;
    match (row.update, scope) {
        (Update::Fixed, _) => Err(ConfigError::ReadOnly {
            name: name.to_owned(),
        }),
        (Update::Node, Scope::Cluster) => Err(ConfigError::PerBroker {
            name: name.to_owned(),
        }),
        _ => Ok(row),
    }
}

/// What the defaults of topics come to must go together too.
fn consistent(scope: Scope, next: &Overrides, layers: &Layers<'_>) -> Result<(), ConfigError> {
    let layers = match scope {
        Scope::Node => Layers {
            node: next,
            ..*layers
        },
        Scope::Cluster => Layers {
            cluster: next,
            ..*layers
        },
    };
    super::topic::TopicConfig::resolve(&Overrides::new(), &layers).map(|_| ())
}

/// What a broker's settings come to, beside the defaults of topics.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `socket.request.max.bytes`.
    pub socket_request_max_bytes: usize,
    /// `connections.max.idle.ms`; none where it is negative, which is for ever.
    pub connections_max_idle_ms: Option<u64>,
    /// `max.connections`.
    pub max_connections: usize,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `max.request.partition.size.limit`.
    pub max_request_partitions: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `broker.session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `controller.quorum.election.timeout.ms`: the longest that a follower waits for a leader.
    pub election_timeout: Duration,
    /// `leader.imbalance.check.interval.seconds`.
    pub rebalance_interval: Duration,
    /// `leader.imbalance.per.broker.percentage`; none where `auto.leader.rebalance.enable` is off.
    pub leader_imbalance: Option<u32>,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown: bool,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max_ms: u64,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub watermark_checkpoint_interval_ms: u64,
    /// Whether `replica.selector.class` has consumers read from followers in their rack.
    pub rack_aware_reads: bool,
    /// How logs are compacted.
    pub cleaner: CleanerConfig,
    /// What coordinators are bound by.
    pub coordinators: CoordinatorConfig,
    /// Those of the coordinator of groups.
    pub groups: group::Settings,
    /// What share groups are bound by where they fetch.
    pub share: ShareConfig,
    /// `transaction.partition.verification.enable`.
    pub verify_transactions: bool,
    /// Those of the coordinator of transactions, whatever its epoch.
    pub transactions: txn::Settings,
}

/// How logs are compacted.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.dedupe.buffer.size`: bytes, of the whole node.
    pub key_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`.
    pub load: f64,
    /// `log.cleaner.io.max.bytes.per.second`, of the whole node.
    pub bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`.
    pub backoff: Duration,
}

impl CleanerConfig {
    fn resolve(layers: &Layers<'_>) -> Result<Self, ConfigError> {
        let key_bytes: i64 = number(layers, "log.cleaner.dedupe.buffer.size")?;
        Ok(Self {
            enabled: flag(layers, "log.cleaner.enable")?,
            key_bytes: usize::try_from(key_bytes).unwrap_or(0),
            load: number(layers, "log.cleaner.io.buffer.load.factor")?,
            bytes_per_second: number(layers, "log.cleaner.io.max.bytes.per.second")?,
            backoff: millis(layers, "log.cleaner.backoff.ms")?,
        })
    }
}

/// Kafka's class for `replica.selector.class` that has consumers read in their own rack (KIP-392).
const RACK_AWARE: &str = "RackAwareReplicaSelector";

impl BrokerConfig {
    /// The settings in force.
    pub fn resolve(layers: &Layers<'_>) -> Result<Self, ConfigError> {
        let idle: i64 = number(layers, "connections.max.idle.ms")?;
        Ok(Self {
            rack: layers.get("broker.rack").map(str::to_owned),
            auto_create_topics: flag(layers, "auto.create.topics.enable")?,
            num_partitions: number(layers, "num.partitions")?,
            default_replication_factor: number(layers, "default.replication.factor")?,
            delete_topics: flag(layers, "delete.topic.enable")?,
            retention_check_interval_ms: number(layers, "log.retention.check.interval.ms")?,
            socket_request_max_bytes: number(layers, "socket.request.max.bytes")?,
            connections_max_idle_ms: u64::try_from(idle).ok(),
            max_connections: number(layers, "max.connections")?,
            fetch_max_bytes: number(layers, "fetch.max.bytes")?,
            fetch_session_slots: number(layers, "max.incremental.fetch.session.cache.slots")?,
            max_request_partitions: number(layers, "max.request.partition.size.limit")?,
            producer_id_expiration_ms: number(layers, "producer.id.expiration.ms")?,
            heartbeat_interval: millis(layers, "broker.heartbeat.interval.ms")?,
            session_timeout_ms: number(layers, "broker.session.timeout.ms")?,
            election_timeout: millis(layers, "controller.quorum.election.timeout.ms")?,
            rebalance_interval: Duration::from_secs(number(
                layers,
                "leader.imbalance.check.interval.seconds",
            )?),
            leader_imbalance: match flag(layers, "auto.leader.rebalance.enable")? {
                true => Some(number(layers, "leader.imbalance.per.broker.percentage")?),
                false => None,
            },
            controlled_shutdown: flag(layers, "controlled.shutdown.enable")?,
            replica_lag_time_max_ms: number(layers, "replica.lag.time.max.ms")?,
            watermark_checkpoint_interval_ms: number(
                layers,
                "replica.high.watermark.checkpoint.interval.ms",
            )?,
            cleaner: CleanerConfig::resolve(layers)?,
            rack_aware_reads: layers
                .get("replica.selector.class")
                .is_some_and(|class| class.trim().rsplit('.').next() == Some(RACK_AWARE)),
            coordinators: CoordinatorConfig::resolve(layers)?,
            groups: coordinators::groups(layers)?,
            share: ShareConfig::resolve(layers)?,
            verify_transactions: flag(layers, "transaction.partition.verification.enable")?,
            transactions: coordinators::transactions(layers)?,
        })
    }
}

pub(super) fn text<'a>(layers: &Layers<'a>, name: &'static str) -> Result<&'a str, ConfigError> {
    let value = layers.get(name).ok_or_else(|| ConfigError::Null {
        scope: "broker",
        name: name.to_owned(),
    })?;
    validate(name, value)?;
    Ok(value.trim())
}

pub(super) fn number<T: std::str::FromStr>(
    layers: &Layers<'_>,
    name: &'static str,
) -> Result<T, ConfigError> {
    let value = text(layers, name)?;
    value.parse().map_err(|_| ConfigError::Invalid {
        name: name.to_owned(),
        value: value.to_owned(),
        why: "out of range".to_owned(),
    })
}

fn millis(layers: &Layers<'_>, name: &'static str) -> Result<Duration, ConfigError> {
    Ok(Duration::from_millis(number(layers, name)?))
}

fn flag(layers: &Layers<'_>, name: &'static str) -> Result<bool, ConfigError> {
    Ok(parse_bool(text(layers, name)?) == Some(true))
}

/// The names of the settings that do something here.
pub fn honoured() -> impl Iterator<Item = &'static str> {
    let rows = rows().filter(|row| row.def.effect == Effect::Honoured);
    rows.map(|row| row.def.name)
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
