//! What a log and a drive are told. Plain values; no defaults are looked up anywhere else.

use std::time::Duration;

use crate::budget::TailBudget;

/// Settings of one log, under Kafka's names. May be changed at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it would grow beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when its records span more than this.
    pub segment_ms: i64,
    /// `segment.index.bytes`: a segment is closed when its index is this long.
    pub segment_index_bytes: u64,
    /// `retention.ms`; -1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 is no bound.
    pub retention_bytes: i64,
    /// Whether `cleanup.policy` names `delete`.
    pub delete: bool,
    /// Whether `cleanup.policy` names `compact`.
    pub compact: bool,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a segment is closed when its first record is older, so that it can be
    /// compacted.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long compaction keeps a tombstone.
    pub delete_retention_ms: i64,
    /// `flush.messages`: fdatasync after this many records; 1 makes [`crate::Log::stable_end`]
    /// the flushed end.
    pub flush_messages: u64,
    /// `flush.ms`: fdatasync when a record has been waiting this long.
    pub flush_ms: u64,
    /// `index.interval.bytes`: distance between two entries of the indexes.
    pub index_interval_bytes: u32,
    /// Most bytes a batch may decompress to where the log itself has to look into it (look-ups by
    /// time, compaction).
    pub decompress_bytes: usize,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_index_bytes: 10 << 20,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            delete: true,
            compact: false,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            flush_messages: u64::MAX,
            flush_ms: u64::MAX,
            index_interval_bytes: 4096,
            decompress_bytes: 64 << 20,
        }
    }
}

/// Settings of one drive.
#[derive(Clone, Debug)]
pub struct DriveConfig {
    /// Space that is left free on the file system: room for the small files, and for retention to
    /// work when the drive is full.
    pub reserve_bytes: u64,
    /// The shard's budget of hot records, shared by its drives.
    pub tail: TailBudget,
    /// Most bytes of write buffers in flight on this drive, over all its logs.
    pub write_bytes: usize,
    /// Most segment files held open on this drive.
    pub open_files: usize,
    /// How often a full drive is looked at for new room.
    pub full_check: Duration,
    /// Bytes written to a log after which its recovery point is moved; bounds what a start after a
    /// kill reads per log.
    pub checkpoint_bytes: u64,
}

impl DriveConfig {
    /// The defaults, with the shard's tail budget.
    pub fn new(tail: TailBudget) -> Self {
        Self {
            reserve_bytes: 256 << 20,
            tail,
            write_bytes: 16 << 20,
            open_files: 1024,
            full_check: Duration::from_secs(1),
            checkpoint_bytes: 16 << 20,
        }
    }
}
