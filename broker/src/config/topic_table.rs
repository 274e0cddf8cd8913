//! The settings of a topic: every name of Kafka 4.1, in Kafka's order of importance to a reader,
//! with its default, range and the broker settings a default may come from. Names that 4.0
//! removed are not here, so they are refused as unknown.

use super::def::Def;
use super::def::Rule::{Any, AtLeast, EachOf, OneOf, ThrottledReplicas, Within};
use super::table::def;
use super::topic::{Synonym, TopicRow, Unit};

/// What a broker's and a topic's `compression.type` may be.
pub(crate) const COMPRESSION_TYPES: &[&str] =
    &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// What a `cleanup.policy` may hold.
pub(crate) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
/// What a timestamp type may be.
pub(crate) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
/// The least size of a segment, as in Kafka 4.
pub(crate) const SEGMENT_BYTES_MIN: i64 = 1 << 20;

const fn row(def: Def, synonyms: &'static [Synonym]) -> TopicRow {
    TopicRow { def, synonyms }
}

const fn same(name: &'static str) -> Synonym {
    Synonym {
        name,
        unit: Unit::Same,
    }
}

macro_rules! topics {
    ($([$($def:tt)*] from [$($synonym:expr),*];)*) => {
        &[$(row(def!($($def)*), &[$($synonym),*])),*]
    };
}

/// Every topic setting.
pub static TOPIC_ROWS: &[TopicRow] = topics! {
    ["cleanup.policy", List, "delete", EachOf(CLEANUP_POLICIES), Honoured,
     "What happens to old segments: delete them by age and size, compact them by key, or both."]
        from [same("log.cleanup.policy")];
    ["compression.gzip.level", Int, "-1", Within(-1, 9), Stored,
     "The level used where compression.type is gzip; -1 is the codec's default."]
        from [same("compression.gzip.level")];
    ["compression.lz4.level", Int, "9", Within(1, 17), Stored,
     "The level used where compression.type is lz4."]
        from [same("compression.lz4.level")];
    ["compression.type", Text, "producer", OneOf(COMPRESSION_TYPES), Honoured,
     "The codec batches are stored with; producer keeps each batch as it was sent."]
        from [same("compression.type")];
    ["compression.zstd.level", Int, "3", Within(-131072, 22), Stored,
     "The level used where compression.type is zstd."]
        from [same("compression.zstd.level")];
    ["delete.retention.ms", Long, "86400000", AtLeast(0), Honoured,
     "How long a compacted topic keeps the marker of a deleted key."]
        from [same("log.cleaner.delete.retention.ms")];
    ["file.delete.delay.ms", Long, "60000", AtLeast(0), Stored,
     "How long a file that is no longer part of the log stays on the drive."]
        from [same("log.segment.delete.delay.ms")];
    ["flush.messages", Long, "9223372036854775807", AtLeast(1), Honoured,
     "After how many records the log is made durable with fdatasync; 1 acknowledges only what survives a power loss."]
        from [same("log.flush.interval.messages")];
    ["flush.ms", Long, "9223372036854775807", AtLeast(0), Honoured,
     "After how many milliseconds written records are made durable with fdatasync."]
        from [same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")];
    ["follower.replication.throttled.replicas", List, "", ThrottledReplicas, Stored,
     "The replicas whose replication is throttled on the follower's side."]
        from [];
    ["index.interval.bytes", Int, "4096", AtLeast(0), Honoured,
     "How many bytes of log lie between two entries of the offset index."]
        from [same("log.index.interval.bytes")];
    ["leader.replication.throttled.replicas", List, "", ThrottledReplicas, Stored,
     "The replicas whose replication is throttled on the leader's side."]
        from [];
    ["local.retention.bytes", Long, "-2", AtLeast(-2), Stored,
     "The size kept on local drives where storage is tiered; -2 follows retention.bytes."]
        from [same("log.local.retention.bytes")];
    ["local.retention.ms", Long, "-2", AtLeast(-2), Stored,
     "The age kept on local drives where storage is tiered; -2 follows retention.ms."]
        from [same("log.local.retention.ms")];
    ["max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), Honoured,
     "The age at which a record must have been considered for compaction; segments are closed for it."]
        from [same("log.cleaner.max.compaction.lag.ms")];
    ["max.message.bytes", Int, "1048588", AtLeast(0), Honoured,
     "The largest record batch accepted, compressed, with its 12 bytes of log overhead."]
        from [same("message.max.bytes")];
    ["message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), Honoured,
     "How far a record's timestamp may lie after the broker's clock."]
        from [same("log.message.timestamp.after.max.ms")];
    ["message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), Honoured,
     "How far a record's timestamp may lie before the broker's clock."]
        from [same("log.message.timestamp.before.max.ms")];
    ["message.timestamp.type", Text, "CreateTime", OneOf(TIMESTAMP_TYPES), Honoured,
     "Whether a record carries its producer's time or the time it was appended."]
        from [same("log.message.timestamp.type")];
    ["min.cleanable.dirty.ratio", Double, "0.5", Within(0, 1), Honoured,
     "The share of a compacted log that must be uncompacted before it is compacted again."]
        from [same("log.cleaner.min.cleanable.ratio")];
    ["min.compaction.lag.ms", Long, "0", AtLeast(0), Honoured,
     "The age a record must have before it may be compacted away."]
        from [same("log.cleaner.min.compaction.lag.ms")];
    ["min.insync.replicas", Int, "1", AtLeast(1), Honoured,
     "How many replicas must have a batch before acks=all is answered."]
        from [same("min.insync.replicas")];
    ["preallocate", Bool, "false", Any, Stored,
     "Whether segments are allocated ahead; they always are, in growing steps."]
        from [same("log.preallocate")];
    ["remote.log.copy.disable", Bool, "false", Any, Stored,
     "Whether a tiered topic no longer copies segments away."]
        from [];
    ["remote.log.delete.on.disable", Bool, "false", Any, Stored,
     "Whether tiered data is deleted when tiering is switched off."]
        from [];
    ["remote.storage.enable", Bool, "false", Any, Stored,
     "Whether the topic is tiered; there is no tiered storage, so only false is accepted."]
        from [];
    ["retention.bytes", Long, "-1", Any, Honoured,
     "The size a partition may have before its oldest segments are deleted; -1 is no limit."]
        from [same("log.retention.bytes")];
    ["retention.ms", Long, "604800000", AtLeast(-1), Honoured,
     "The age at which a segment is deleted; -1 is never."]
        from [same("log.retention.ms"),
              Synonym { name: "log.retention.minutes", unit: Unit::Minutes },
              Synonym { name: "log.retention.hours", unit: Unit::Hours }];
    ["segment.bytes", Int, "1073741824", AtLeast(SEGMENT_BYTES_MIN), Honoured,
     "The size at which a segment is closed and the next one begun."]
        from [same("log.segment.bytes")];
    ["segment.index.bytes", Int, "10485760", AtLeast(4), Honoured,
     "The size of a segment's offset index at which the segment is closed."]
        from [same("log.index.size.max.bytes")];
    ["segment.jitter.ms", Long, "0", AtLeast(0), Stored,
     "The most that is taken off segment.ms at random, so that logs don't roll together."]
        from [same("log.roll.jitter.ms"), Synonym { name: "log.roll.jitter.hours", unit: Unit::Hours }];
    ["segment.ms", Long, "604800000", AtLeast(1), Honoured,
     "The age at which a segment is closed even though it isn't full."]
        from [same("log.roll.ms"), Synonym { name: "log.roll.hours", unit: Unit::Hours }];
    ["unclean.leader.election.enable", Bool, "false", Any, Stored,
     "Whether a replica that isn't in sync may lead when no other is left."]
        from [same("unclean.leader.election.enable")];
};
