//! What a broker's settings come to for the share-partitions that it leads.

use super::broker::number;
use super::def::ConfigError;
use super::layers::Layers;

/// What share groups are bound by where they fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareConfig {
    /// `group.share.record.lock.duration.ms`: how long a delivered record is locked, where the group has no
    /// setting of its own.
    pub lock_ms: u64,
    /// `group.share.delivery.count.limit`: how often a record is delivered.
    pub max_deliveries: i16,
    /// `group.share.partition.max.record.locks`: how many records of a partition a group may have in flight.
    pub max_in_flight: u32,
    /// `group.share.max.share.sessions`: how many share sessions the node has.
    pub max_sessions: usize,
    /// `group.share.max.size`: how many members a group has.
    pub max_members: usize,
}

impl ShareConfig {
    /// The settings in force.
    pub(super) fn resolve(layers: &Layers<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            lock_ms: number(layers, "group.share.record.lock.duration.ms")?,
            max_deliveries: number(layers, "group.share.delivery.count.limit")?,
            max_in_flight: number(layers, "group.share.partition.max.record.locks")?,
            max_sessions: number(layers, "group.share.max.share.sessions")?,
            max_members: number(layers, "group.share.max.size")?,
        })
    }
}
