//! Who the node is, the metadata quorum, and replication.

use crate::config::broker::BrokerRow;
use crate::config::broker_rows::rows;
use crate::config::def::Rule::{Any, AtLeast};

pub(super) const ROWS: &[BrokerRow] = rows! {
    Fixed ["node.id", Int, null, AtLeast(0), Honoured, "The node's id; set by node_id."];
    Fixed ["broker.id", Int, null, AtLeast(0), Honoured, "The same, by its older name."];
    Fixed ["broker.rack", Text, null, Any, Honoured, "The rack clients and placement see the node in."];
    Fixed ["reserved.broker.max.id", Int, "1000", AtLeast(0), Stored, "The largest id that may be set by hand."];
    Fixed ["broker.id.generation.enable", Bool, "true", Any, Stored, "Whether ids are handed out."];
    Fixed ["process.roles", List, "", Any, Stored, "What the node does; here always broker and controller."];
    Fixed ["controller.quorum.voters", List, "", Any, Stored, "The nodes of the metadata quorum."];
    Fixed ["controller.quorum.bootstrap.servers", List, "", Any, Stored, "Where the metadata quorum is found."];
    Fixed ["controller.listener.names", Text, null, Any, Stored, "The listeners of the metadata quorum."];
    Fixed ["controller.quorum.election.timeout.ms", Int, "1000", AtLeast(100), Honoured,
           "How long a leader of the quorum is waited for."];
    Fixed ["controller.quorum.fetch.timeout.ms", Int, "2000", Any, Stored,
           "How long the quorum's leader may be silent."];
    Fixed ["controller.quorum.election.backoff.max.ms", Int, "1000", Any, Stored, "The pause between elections."];
    Fixed ["controller.quorum.append.linger.ms", Int, "25", Any, Stored, "How long metadata records gather."];
    Fixed ["controller.quorum.request.timeout.ms", Int, "2000", Any, Stored, "How long the quorum waits for answers."];
    Fixed ["controller.quorum.retry.backoff.ms", Int, "20", Any, Stored, "The pause before asking again."];
    Fixed ["metadata.log.dir", Text, null, Any, Stored, "Where metadata is kept; here in the first data directory."];
    Fixed ["metadata.log.segment.bytes", Int, "1073741824", AtLeast(8388608), Stored, "Segment size of metadata."];
    Fixed ["metadata.log.segment.ms", Long, "604800000", Any, Stored, "Segment age of metadata."];
    Fixed ["metadata.log.max.record.bytes.between.snapshots", Long, "20971520", AtLeast(1), Stored,
           "How many bytes of metadata records come between two snapshots."];
    Fixed ["metadata.log.max.snapshot.interval.ms", Long, "3600000", AtLeast(0), Stored,
           "How much time passes between two snapshots."];
    Fixed ["metadata.max.retention.bytes", Long, "104857600", Any, Stored, "Size of the metadata log."];
    Fixed ["metadata.max.retention.ms", Long, "604800000", Any, Stored, "Age of the metadata log."];
    Fixed ["metadata.max.idle.interval.ms", Int, "500", AtLeast(0), Stored, "How often the quorum writes when idle."];
    Fixed ["broker.heartbeat.interval.ms", Int, "2000", AtLeast(10), Honoured, "How often a node says it is alive."];
    Fixed ["broker.session.timeout.ms", Int, "9000", AtLeast(100), Honoured, "After how long a silent node is fenced."];
    Fixed ["initial.broker.registration.timeout.ms", Int, "60000", Any, Stored, "How long joining may take."];
    Fixed ["server.max.startup.time.ms", Long, "9223372036854775807", AtLeast(0), Stored, "How long starting may take."];
    Fixed ["controlled.shutdown.enable", Bool, "true", Any, Honoured, "Whether leadership moves away before a stop."];
    Fixed ["controlled.shutdown.max.retries", Int, "3", Any, Stored, "How often that is tried."];
    Fixed ["controlled.shutdown.retry.backoff.ms", Long, "5000", Any, Stored, "The pause between tries."];
    Fixed ["auto.leader.rebalance.enable", Bool, "true", Any, Honoured, "Whether leadership goes back to preferred replicas."];
    Fixed ["leader.imbalance.check.interval.seconds", Long, "300", AtLeast(1), Honoured, "How often that is looked at."];
    Fixed ["leader.imbalance.per.broker.percentage", Int, "10", AtLeast(0), Honoured, "How much imbalance is left alone."];
    Fixed ["unclean.leader.election.interval.ms", Long, "300000", AtLeast(1), Stored,
           "How often partitions without a leader are looked at."];
    Fixed ["controller.socket.timeout.ms", Int, "30000", Any, Stored, "How long a controller's connection may be silent."];
    Fixed ["replica.lag.time.max.ms", Long, "30000", AtLeast(1), Honoured, "After how long a lagging replica leaves the ISR."];
    Fixed ["replica.socket.timeout.ms", Int, "30000", Any, Stored, "How long a replica's connection may be silent."];
    Fixed ["replica.socket.receive.buffer.bytes", Int, "65536", Any, Stored, "The kernel's buffer of a replica."];
    Fixed ["replica.fetch.max.bytes", Int, "1048576", AtLeast(0), Stored, "Bytes a partition in a replica's fetch."];
    Fixed ["replica.fetch.wait.max.ms", Int, "500", Any, Stored, "How long a replica's fetch waits."];
    Fixed ["replica.fetch.min.bytes", Int, "1", Any, Stored, "What a replica's fetch waits for."];
    Fixed ["replica.fetch.backoff.ms", Int, "1000", AtLeast(0), Stored, "The pause after a replica's failed fetch."];
    Fixed ["replica.fetch.response.max.bytes", Int, "10485760", AtLeast(0), Stored, "Bytes in a replica's fetch."];
    Fixed ["replica.high.watermark.checkpoint.interval.ms", Long, "5000", AtLeast(1), Honoured,
           "How often high watermarks are written."];
    Fixed ["replica.selector.class", Text, null, Any, Honoured,
           "RackAwareReplicaSelector, as Kafka's class is called, has consumers read in their own rack; all else, from leaders."];
    Cluster ["num.replica.fetchers", Int, "1", AtLeast(1), Stored, "Threads that replicate; here a shard per core."];
    Fixed ["num.replica.alter.log.dirs.threads", Int, null, Any, Stored, "Threads that move replicas between drives."];
    Cluster ["leader.replication.throttled.rate", Long, "9223372036854775807", AtLeast(0), Stored,
             "Bytes a second of throttled replication on the leader's side."];
    Cluster ["follower.replication.throttled.rate", Long, "9223372036854775807", AtLeast(0), Stored,
             "Bytes a second of throttled replication on the follower's side."];
    Cluster ["replica.alter.log.dirs.io.max.bytes.per.second", Long, "9223372036854775807", AtLeast(0), Stored,
             "Bytes a second while a replica moves between drives."];
    Fixed ["inter.broker.protocol.version", Text, null, Any, Stored, "No longer used; metadata.version decides."];
};
