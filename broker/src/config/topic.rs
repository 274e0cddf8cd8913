//! A topic's settings: the table, checking, altering, and [`TopicConfig`], what they come to for
//! the log and the broker.
//!
//! Every setting of Kafka 4.1 is known, shown and stored; [`super::def::Effect`] says which do
//! something.

use super::def::{ConfigError, Def, Effect, Overrides, nearest, parse_bool, split_list};
use super::layers::{Found, Layers};
pub use super::topic_table::TOPIC_ROWS;

/// A topic setting and where its default comes from.
#[derive(Clone, Copy, Debug)]
pub struct TopicRow {
    /// The setting.
    pub def: Def,
    /// The broker settings that give its default, the strongest first.
    pub synonyms: &'static [Synonym],
}

/// A broker setting that gives a topic setting its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Its name.
    pub name: &'static str,
    /// What its number counts.
    pub unit: Unit,
}

/// The unit of a synonym's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// That of the topic setting.
    Same,
    /// Minutes, where the topic setting has milliseconds.
    Minutes,
    /// Hours, where the topic setting has milliseconds.
    Hours,
}

impl Unit {
    fn convert(self, value: &str) -> String {
        let factor: i64 = match self {
            Self::Same => return value.to_owned(),
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        };
        match value.trim().parse::<i64>() {
            // -1 means "never" in every unit.
            Ok(number) if number < 0 => number.to_string(),
            Ok(number) => number.saturating_mul(factor).to_string(),
            Err(_) => value.to_owned(),
        }
    }
}

impl TopicRow {
    /// The value in force and the layers below the topic that have one, the one that counts first.
    pub(crate) fn inherited<'a>(&self, layers: &Layers<'a>) -> (String, Vec<Found<'a>>) {
        let names: Vec<&'static str> = self.synonyms.iter().map(|s| s.name).collect();
        let found = layers.every(&names);
        let value = found.first().and_then(|first| {
            let synonym = self.synonyms.iter().find(|s| s.name == first.name)?;
            Some(synonym.unit.convert(first.value))
        });
        let value = value
            .or_else(|| self.def.default.map(str::to_owned))
            .unwrap_or_default();
        (value, found)
    }
}

/// The row of `name`.
pub fn lookup(name: &str) -> Option<&'static TopicRow> {
    TOPIC_ROWS.iter().find(|row| row.def.name == name)
}

pub(crate) fn known(name: &str) -> Result<&'static TopicRow, ConfigError> {
    lookup(name).ok_or_else(|| ConfigError::Unknown {
        scope: "topic",
        name: name.to_owned(),
        nearest: nearest(name, TOPIC_ROWS.iter().map(|row| row.def.name)),
    })
}

/// Checks one setting by itself.
pub fn validate(name: &str, value: Option<&str>) -> Result<(), ConfigError> {
    let row = known(name)?;
    let value = value.ok_or_else(|| ConfigError::Null {
        scope: "topic",
        name: name.to_owned(),
    })?;
    row.def.check(value)?;
    if name == "remote.storage.enable" && parse_bool(value.trim()) == Some(true) {
        return Err(ConfigError::Conflict(
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks a topic's whole set of overrides, and that they go together with what it inherits.
pub fn validate_all(overrides: &Overrides, layers: &Layers<'_>) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        validate(name, Some(value))?;
    }
    TopicConfig::resolve(overrides, layers).map(|_| ())
}

/// What happens to old segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Delete them by age and size.
    pub delete: bool,
    /// Compact them by key.
    pub compact: bool,
}

/// Whose clock a record's timestamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// The codec a topic's batches are stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As they were sent.
    Producer,
    /// None.
    Uncompressed,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What a topic's settings come to: its overrides over the broker's defaults, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`; -1 is for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 is without limit.
    pub retention_bytes: i64,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `flush.messages`.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: u64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

/// Reads the settings of one topic one after the other.
struct Reader<'a> {
    overrides: &'a Overrides,
    layers: &'a Layers<'a>,
}

impl Reader<'_> {
    fn text(&self, name: &'static str) -> Result<String, ConfigError> {
        let row = known(name)?;
        let value = match self.overrides.get(name) {
            Some(value) => value.trim().to_owned(),
            None => row.inherited(self.layers).0,
        };
        row.def.check(&value)?;
        Ok(value)
    }

    fn long(&self, name: &'static str) -> Result<i64, ConfigError> {
        self.parsed(name)
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, ConfigError> {
        let value = self.text(name)?;
        value.parse().map_err(|_| ConfigError::Invalid {
            name: name.to_owned(),
            value: value.clone(),
            why: "out of range".to_owned(),
        })
    }

    fn cleanup_policy(&self) -> Result<CleanupPolicy, ConfigError> {
        let value = self.text("cleanup.policy")?;
        Ok(CleanupPolicy {
            delete: split_list(&value).any(|entry| entry == "delete"),
            compact: split_list(&value).any(|entry| entry == "compact"),
        })
    }

    fn timestamp_type(&self) -> Result<TimestampType, ConfigError> {
        Ok(match self.text("message.timestamp.type")?.as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        })
    }

    fn compression_type(&self) -> Result<CompressionType, ConfigError> {
        Ok(match self.text("compression.type")?.as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => CompressionType::Producer,
        })
    }
}

impl TopicConfig {
    /// The settings of a topic with these overrides on a broker with these settings.
    pub fn resolve(overrides: &Overrides, layers: &Layers<'_>) -> Result<Self, ConfigError> {
        let read = Reader { overrides, layers };
        let config = Self {
            cleanup_policy: read.cleanup_policy()?,
            retention_ms: read.long("retention.ms")?,
            retention_bytes: read.long("retention.bytes")?,
            segment_bytes: read.parsed("segment.bytes")?,
            segment_ms: read.long("segment.ms")?,
            segment_jitter_ms: read.long("segment.jitter.ms")?,
            segment_index_bytes: read.parsed("segment.index.bytes")?,
            index_interval_bytes: read.parsed("index.interval.bytes")?,
            max_message_bytes: read.parsed("max.message.bytes")?,
            message_timestamp_type: read.timestamp_type()?,
            message_timestamp_before_max_ms: read.long("message.timestamp.before.max.ms")?,
            message_timestamp_after_max_ms: read.long("message.timestamp.after.max.ms")?,
            min_insync_replicas: read.parsed("min.insync.replicas")?,
            compression_type: read.compression_type()?,
            flush_messages: read.parsed("flush.messages")?,
            flush_ms: read.parsed("flush.ms")?,
            file_delete_delay_ms: read.long("file.delete.delay.ms")?,
            delete_retention_ms: read.long("delete.retention.ms")?,
            min_cleanable_dirty_ratio: read.parsed("min.cleanable.dirty.ratio")?,
            min_compaction_lag_ms: read.long("min.compaction.lag.ms")?,
            max_compaction_lag_ms: read.long("max.compaction.lag.ms")?,
            unclean_leader_election: read
                .text("unclean.leader.election.enable")?
                .eq_ignore_ascii_case("true"),
        };
        config.consistent()?;
        Ok(config)
    }

    fn consistent(&self) -> Result<(), ConfigError> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            return Err(ConfigError::Conflict(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            )));
        }
        Ok(())
    }
}

/// The names of the settings that do something here.
pub fn honoured() -> impl Iterator<Item = &'static str> {
    let rows = TOPIC_ROWS
        .iter()
        .filter(|row| row.def.effect == Effect::Honoured);
    rows.map(|row| row.def.name)
}

#[cfg(test)]
#[path = "topic_tests.rs"]
mod tests;
