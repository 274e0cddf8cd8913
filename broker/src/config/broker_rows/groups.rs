//! Groups, offsets, transactions and share groups.

use crate::config::broker::BrokerRow;
use crate::config::broker_rows::rows;
use crate::config::def::Rule::{Any, AtLeast, EachOf, OneOf, Within};

const PROTOCOLS: &[&str] = &["classic", "consumer", "share", "streams"];
const POLICIES: &[&str] = &["bidirectional", "upgrade", "downgrade", "disabled"];

pub(super) const ROWS: &[BrokerRow] = rows! {
    Fixed ["offsets.topic.num.partitions", Int, "50", AtLeast(1), Honoured, "Partitions of __consumer_offsets."];
    Fixed ["offsets.topic.replication.factor", Short, "3", AtLeast(1), Honoured,
           "Replicas of __consumer_offsets, as far as there are nodes."];
    Fixed ["offsets.topic.segment.bytes", Int, "104857600", AtLeast(1), Honoured, "Segment size of __consumer_offsets."];
    Fixed ["offsets.topic.compression.codec", Int, "0", Within(0, 4), Honoured, "Codec of __consumer_offsets."];
    Fixed ["offsets.retention.minutes", Int, "10080", AtLeast(1), Honoured,
           "How long an empty group's offsets are kept."];
    Fixed ["offsets.retention.check.interval.ms", Long, "600000", AtLeast(1), Honoured,
           "How often expired offsets are looked for."];
    Fixed ["offset.metadata.max.bytes", Int, "4096", Any, Honoured, "The longest text a committed offset may carry."];
    Fixed ["offsets.commit.timeout.ms", Int, "5000", AtLeast(1), Honoured, "How long a commit may take."];
    Fixed ["offsets.load.buffer.size", Int, "5242880", AtLeast(1), Honoured,
           "How much of its log a coordinator reads at a time when it takes over."];
    Fixed ["group.min.session.timeout.ms", Int, "6000", Any, Honoured, "The shortest session of a classic member."];
    Fixed ["group.max.session.timeout.ms", Int, "1800000", Any, Honoured, "The longest session of a classic member."];
    Fixed ["group.initial.rebalance.delay.ms", Int, "3000", Any, Honoured, "How long a new group waits for members."];
    Fixed ["group.max.size", Int, "2147483647", AtLeast(1), Honoured, "How many members a classic group may have."];
    Fixed ["group.coordinator.rebalance.protocols", List, "classic,consumer,streams", EachOf(PROTOCOLS), Honoured,
           "The group protocols that are served."];
    Fixed ["group.coordinator.threads", Int, "1", AtLeast(1), Stored, "Threads of the group coordinator."];
    Fixed ["group.coordinator.append.linger.ms", Int, "5", AtLeast(0), Stored, "How long a commit gathers others."];
    Fixed ["group.consumer.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "Session of a consumer member."];
    Fixed ["group.consumer.min.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "The least that a group may set."];
    Fixed ["group.consumer.max.session.timeout.ms", Int, "60000", AtLeast(1), Honoured, "The most that a group may set."];
    Fixed ["group.consumer.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "Heartbeat of a consumer member."];
    Fixed ["group.consumer.min.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "The least that a group may set."];
    Fixed ["group.consumer.max.heartbeat.interval.ms", Int, "15000", AtLeast(1), Honoured, "The most that a group may set."];
    Fixed ["group.consumer.max.size", Int, "2147483647", AtLeast(1), Honoured, "Members of a consumer group."];
    Fixed ["group.consumer.assignors", List, "uniform,range", Any, Honoured, "The assignors, the first by default."];
    Fixed ["group.consumer.migration.policy", Text, "bidirectional", OneOf(POLICIES), Honoured,
           "Whether groups move between the classic and the consumer protocol."];
    Fixed ["group.share.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "Session of a share member."];
    Fixed ["group.share.min.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "The least that a group may set."];
    Fixed ["group.share.max.session.timeout.ms", Int, "60000", AtLeast(1), Honoured, "The most that a group may set."];
    Fixed ["group.share.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "Heartbeat of a share member."];
    Fixed ["group.share.min.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "The least that a group may set."];
    Fixed ["group.share.max.heartbeat.interval.ms", Int, "15000", AtLeast(1), Honoured, "The most that a group may set."];
    Fixed ["group.share.max.size", Int, "200", AtLeast(1), Honoured, "Members of a share group."];
    Fixed ["group.share.delivery.count.limit", Int, "5", Within(2, 10), Honoured, "How often a record is delivered."];
    Fixed ["group.share.record.lock.duration.ms", Int, "30000", Within(1000, 3600000), Honoured,
           "How long a delivered record is locked."];
    Fixed ["group.share.min.record.lock.duration.ms", Int, "15000", Within(1000, 30000), Honoured, "The least that a group may set."];
    Fixed ["group.share.max.record.lock.duration.ms", Int, "60000", Within(30000, 3600000), Honoured, "The most that a group may set."];
    Fixed ["group.share.partition.max.record.locks", Int, "2000", Within(100, 10000), Honoured,
           "How many records of a partition are locked."];
    Fixed ["group.share.max.share.sessions", Int, "2000", Within(1, 10000), Honoured, "Share sessions of a node."];
    Fixed ["share.coordinator.state.topic.num.partitions", Int, "50", AtLeast(1), Honoured,
           "Partitions of __share_group_state."];
    Fixed ["share.coordinator.state.topic.replication.factor", Short, "3", AtLeast(1), Honoured,
           "Replicas of __share_group_state, as far as there are nodes."];
    Fixed ["share.coordinator.state.topic.min.isr", Short, "2", AtLeast(1), Honoured,
           "min.insync.replicas of __share_group_state."];
    Fixed ["share.coordinator.state.topic.segment.bytes", Int, "104857600", AtLeast(1), Honoured,
           "Segment size of __share_group_state."];
    Fixed ["share.coordinator.state.topic.compression.codec", Int, "0", Within(0, 4), Honoured,
           "Codec of __share_group_state."];
    Fixed ["share.coordinator.write.timeout.ms", Int, "5000", AtLeast(1), Honoured,
           "How long storing what changed of a share-partition may take."];
    Fixed ["share.coordinator.load.buffer.size", Int, "5242880", AtLeast(1), Honoured,
           "How much of its log a share coordinator reads at a time when it takes over."];
    Fixed ["share.coordinator.snapshot.update.records.per.snapshot", Int, "500", Within(0, 500), Stored,
           "Updates between two snapshots; only snapshots are written here."];
    Fixed ["share.coordinator.append.linger.ms", Int, "5", AtLeast(0), Stored, "How long a write gathers others."];
    Fixed ["share.coordinator.threads", Int, "1", AtLeast(1), Stored, "Threads of the share coordinator."];
    Fixed ["transaction.state.log.num.partitions", Int, "50", AtLeast(1), Honoured, "Partitions of __transaction_state."];
    Fixed ["transaction.state.log.replication.factor", Short, "3", AtLeast(1), Honoured,
           "Replicas of __transaction_state, as far as there are nodes."];
    Fixed ["transaction.state.log.min.isr", Int, "2", AtLeast(1), Honoured, "min.insync.replicas of __transaction_state."];
    Fixed ["transaction.state.log.segment.bytes", Int, "104857600", AtLeast(1), Honoured,
           "Segment size of __transaction_state."];
    Fixed ["transaction.state.log.load.buffer.size", Int, "5242880", AtLeast(1), Stored,
           "Memory while transactions are loaded."];
    Fixed ["transaction.max.timeout.ms", Int, "900000", AtLeast(1), Honoured, "The longest transaction."];
    Fixed ["transactional.id.expiration.ms", Int, "604800000", AtLeast(1), Honoured,
           "How long an unused transactional id is kept."];
    Fixed ["transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000", AtLeast(1), Honoured,
           "How often transactions past their time are looked for."];
    Fixed ["transaction.remove.expired.transaction.cleanup.interval.ms", Int, "3600000", AtLeast(1), Honoured,
           "How often unused transactional ids are looked for."];
    Cluster ["transaction.partition.verification.enable", Bool, "true", Any, Honoured,
             "Whether a transactional batch must belong to a registered partition."];
    Cluster ["producer.id.expiration.ms", Int, "86400000", AtLeast(1), Honoured,
             "How long the state of a producer that writes no more is kept."];
    Fixed ["producer.id.expiration.check.interval.ms", Int, "600000", AtLeast(1), Stored,
           "How often that state is looked through."];
};
