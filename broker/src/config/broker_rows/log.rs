//! Logs on drives, and the defaults of topics.

use crate::config::broker::BrokerRow;
use crate::config::broker_rows::rows;
use crate::config::def::Rule::{Any, AtLeast, EachOf, OneOf, Within};
use crate::config::topic_table::{
    CLEANUP_POLICIES, COMPRESSION_TYPES, SEGMENT_BYTES_MIN, TIMESTAMP_TYPES,
};

pub(super) const ROWS: &[BrokerRow] = rows! {
    Fixed ["log.dirs", Text, null, Any, Honoured, "The data directories, separated by commas."];
    Fixed ["log.dir", Text, "/tmp/kafka-logs", Any, Honoured, "The data directory where log.dirs isn't given."];
    Fixed ["auto.create.topics.enable", Bool, "true", Any, Honoured,
           "Whether a topic comes to be when a client asks for it and allows that."];
    Fixed ["num.partitions", Int, "1", AtLeast(1), Honoured, "How many partitions a topic gets that doesn't say."];
    Fixed ["default.replication.factor", Int, "1", Any, Honoured, "How many replicas a topic gets that doesn't say."];
    Fixed ["delete.topic.enable", Bool, "true", Any, Honoured, "Whether topics may be deleted."];
    Cluster ["compression.type", Text, "producer", OneOf(COMPRESSION_TYPES), Honoured, "Default of compression.type."];
    Cluster ["compression.gzip.level", Int, "-1", Within(-1, 9), Stored, "Default of compression.gzip.level."];
    Cluster ["compression.lz4.level", Int, "9", Within(1, 17), Stored, "Default of compression.lz4.level."];
    Cluster ["compression.zstd.level", Int, "3", Within(-131072, 22), Stored, "Default of compression.zstd.level."];
    Cluster ["message.max.bytes", Int, "1048588", AtLeast(0), Honoured, "Default of max.message.bytes."];
    Cluster ["min.insync.replicas", Int, "1", AtLeast(1), Honoured, "Default of min.insync.replicas."];
    Cluster ["unclean.leader.election.enable", Bool, "false", Any, Stored,
             "Default of unclean.leader.election.enable."];
    Cluster ["log.cleanup.policy", List, "delete", EachOf(CLEANUP_POLICIES), Honoured, "Default of cleanup.policy."];
    Cluster ["log.retention.ms", Long, null, AtLeast(-1), Honoured,
             "Default of retention.ms; without it, log.retention.minutes."];
    Fixed ["log.retention.minutes", Int, null, AtLeast(-1), Honoured,
           "Default of retention.ms in minutes; without it, log.retention.hours."];
    Fixed ["log.retention.hours", Int, "168", AtLeast(-1), Honoured, "Default of retention.ms in hours."];
    Cluster ["log.retention.bytes", Long, "-1", Any, Honoured, "Default of retention.bytes."];
    Fixed ["log.retention.check.interval.ms", Long, "300000", AtLeast(1), Honoured,
           "How often logs are looked through for segments to delete."];
    Cluster ["log.segment.bytes", Int, "1073741824", AtLeast(SEGMENT_BYTES_MIN), Honoured,
             "Default of segment.bytes."];
    Cluster ["log.roll.ms", Long, null, AtLeast(1), Honoured, "Default of segment.ms; without it, log.roll.hours."];
    Fixed ["log.roll.hours", Int, "168", AtLeast(1), Honoured, "Default of segment.ms in hours."];
    Cluster ["log.roll.jitter.ms", Long, null, AtLeast(0), Stored,
             "Default of segment.jitter.ms; without it, log.roll.jitter.hours."];
    Fixed ["log.roll.jitter.hours", Int, "0", AtLeast(0), Stored, "Default of segment.jitter.ms in hours."];
    Cluster ["log.index.interval.bytes", Int, "4096", AtLeast(0), Honoured, "Default of index.interval.bytes."];
    Cluster ["log.index.size.max.bytes", Int, "10485760", AtLeast(4), Honoured, "Default of segment.index.bytes."];
    Cluster ["log.flush.interval.messages", Long, "9223372036854775807", AtLeast(1), Honoured,
             "Default of flush.messages."];
    Cluster ["log.flush.interval.ms", Long, null, AtLeast(0), Honoured,
             "Default of flush.ms; without it, log.flush.scheduler.interval.ms."];
    Fixed ["log.flush.scheduler.interval.ms", Long, "9223372036854775807", AtLeast(0), Honoured,
           "Default of flush.ms where log.flush.interval.ms isn't given."];
    Fixed ["log.flush.offset.checkpoint.interval.ms", Int, "60000", AtLeast(0), Stored,
           "How often recovery points are written; here each log keeps its own checkpoint."];
    Fixed ["log.flush.start.offset.checkpoint.interval.ms", Int, "60000", AtLeast(0), Stored,
           "How often log start offsets are written; here at once."];
    Cluster ["log.preallocate", Bool, "false", Any, Stored, "Default of preallocate."];
    Cluster ["log.segment.delete.delay.ms", Long, "60000", AtLeast(0), Stored, "Default of file.delete.delay.ms."];
    Cluster ["log.message.timestamp.type", Text, "CreateTime", OneOf(TIMESTAMP_TYPES), Honoured,
             "Default of message.timestamp.type."];
    Cluster ["log.message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), Honoured,
             "Default of message.timestamp.before.max.ms."];
    Cluster ["log.message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), Honoured,
             "Default of message.timestamp.after.max.ms."];
    Cluster ["log.local.retention.ms", Long, "-2", AtLeast(-2), Stored, "Default of local.retention.ms."];
    Cluster ["log.local.retention.bytes", Long, "-2", AtLeast(-2), Stored, "Default of local.retention.bytes."];
    Fixed ["log.dir.failure.timeout.ms", Long, "30000", AtLeast(1), Stored,
           "How long a broker with a failed directory waits for its replicas to move."];
    Fixed ["log.cleaner.enable", Bool, "true", Any, Honoured, "Whether compaction runs."];
    Cluster ["log.cleaner.threads", Int, "1", AtLeast(0), Stored, "Threads of the compactor; here each shard compacts its own logs."];
    Cluster ["log.cleaner.io.max.bytes.per.second", Double, "1.7976931348623157E308", Any, Honoured,
             "The most bytes a second that compaction reads and writes, on all shards together."];
    Cluster ["log.cleaner.dedupe.buffer.size", Long, "134217728", Any, Honoured, "Memory that compaction may use for keys, on all shards together; taken only while it is needed."];
    Cluster ["log.cleaner.io.buffer.size", Int, "524288", AtLeast(0), Stored, "Memory of the compactor's I/O; here a megabyte or two for each shard."];
    Cluster ["log.cleaner.io.buffer.load.factor", Double, "0.9", Any, Honoured,
             "How full the compactor's key map may get."];
    Cluster ["log.cleaner.backoff.ms", Long, "15000", AtLeast(0), Honoured,
             "How long the compactor rests when there is nothing to do."];
    Cluster ["log.cleaner.min.cleanable.ratio", Double, "0.5", Within(0, 1), Honoured,
             "Default of min.cleanable.dirty.ratio."];
    Cluster ["log.cleaner.delete.retention.ms", Long, "86400000", AtLeast(0), Honoured,
             "Default of delete.retention.ms."];
    Cluster ["log.cleaner.min.compaction.lag.ms", Long, "0", AtLeast(0), Honoured, "Default of min.compaction.lag.ms."];
    Cluster ["log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), Honoured,
             "Default of max.compaction.lag.ms."];
    Cluster ["num.recovery.threads.per.data.dir", Int, "2", AtLeast(1), Stored,
             "Threads that recover logs; here each shard recovers its own drives."];
    Fixed ["create.topic.policy.class.name", Class, null, Any, Stored, "A Java class that vets new topics."];
    Fixed ["alter.config.policy.class.name", Class, null, Any, Stored, "A Java class that vets changes of settings."];
    Fixed ["remote.log.storage.system.enable", Bool, "false", OneOf(&["false"]), Stored,
           "Whether storage is tiered; there is no tiered storage."];
    Fixed ["remote.log.storage.manager.class.name", Text, null, Any, Stored, "A Java class that tiers segments."];
    Fixed ["remote.log.storage.manager.class.path", Text, null, Any, Stored, "Where that class is found."];
    Fixed ["remote.log.metadata.manager.class.name", Text,
           "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", Any, Stored,
           "A Java class that keeps the metadata of tiered segments."];
    Fixed ["remote.log.metadata.manager.class.path", Text, null, Any, Stored, "Where that class is found."];
    Fixed ["remote.log.metadata.manager.listener.name", Text, null, Any, Stored,
           "The listener that class talks to."];
    Cluster ["remote.log.index.file.cache.total.size.bytes", Long, "1073741824", AtLeast(1), Stored,
             "Space for indexes of tiered segments."];
    Fixed ["remote.log.manager.thread.pool.size", Int, "10", AtLeast(1), Stored, "Threads of tiering."];
    Cluster ["remote.log.manager.copy.max.bytes.per.second", Long, "9223372036854775807", AtLeast(1), Stored,
             "The most bytes a second that are copied away."];
    Cluster ["remote.log.manager.fetch.max.bytes.per.second", Long, "9223372036854775807", AtLeast(1), Stored,
             "The most bytes a second that are fetched back."];
    Fixed ["remote.log.manager.task.interval.ms", Long, "30000", AtLeast(1), Stored, "How often tiering runs."];
    Fixed ["remote.log.reader.threads", Int, "10", AtLeast(1), Stored, "Threads that read tiered segments."];
    Fixed ["remote.log.reader.max.pending.tasks", Int, "100", AtLeast(1), Stored,
           "How many reads of tiered segments may wait."];
    Cluster ["remote.fetch.max.wait.ms", Int, "500", AtLeast(1), Stored,
             "How long a fetch waits for tiered segments."];
    Cluster ["remote.list.offsets.request.timeout.ms", Long, "30000", AtLeast(1), Stored,
             "How long ListOffsets waits for tiered segments."];
};
