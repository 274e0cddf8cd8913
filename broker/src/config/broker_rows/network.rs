//! Listeners, connections, requests and the threads Kafka serves them with.

use crate::config::broker::BrokerRow;
use crate::config::broker_rows::rows;
use crate::config::def::Rule::{Any, AtLeast, OneOf};

pub(super) const ROWS: &[BrokerRow] = rows! {
    Node ["listeners", Text, "PLAINTEXT://:9092", Any, Honoured, "Where clients connect; set by listen."];
    Node ["advertised.listeners", Text, null, Any, Honoured, "Where clients are told to connect; set by advertise."];
    Node ["listener.security.protocol.map", Text,
          "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", Any, Stored,
          "The protocol of each listener's name."];
    Fixed ["inter.broker.listener.name", Text, null, Any, Stored, "The listener brokers use among themselves."];
    Fixed ["early.start.listeners", Text, null, Any, Stored, "Listeners that open before the authorizer is ready."];
    Fixed ["socket.request.max.bytes", Int, "104857600", AtLeast(1), Honoured,
           "The largest request; a larger one closes its connection."];
    Fixed ["socket.send.buffer.bytes", Int, "102400", Any, Stored, "The kernel's send buffer; left to the kernel."];
    Fixed ["socket.receive.buffer.bytes", Int, "102400", Any, Stored,
           "The kernel's receive buffer; left to the kernel."];
    Fixed ["socket.listen.backlog.size", Int, "50", AtLeast(1), Stored, "How many connections may wait for accept."];
    Fixed ["connections.max.idle.ms", Long, "600000", Any, Honoured,
           "How long a connection may be idle before it is closed."];
    Cluster ["max.connections", Int, "2147483647", AtLeast(0), Honoured, "How many connections the node accepts."];
    Cluster ["max.connections.per.ip", Int, "2147483647", AtLeast(0), Stored,
             "How many connections one address may have."];
    Cluster ["max.connections.per.ip.overrides", Text, "", Any, Stored, "address:count, for some addresses."];
    Cluster ["max.connection.creation.rate", Int, "2147483647", AtLeast(0), Stored, "New connections a second."];
    Fixed ["connection.failed.authentication.delay.ms", Int, "100", AtLeast(0), Stored,
           "How long a failed login waits for its answer."];
    Fixed ["connections.max.reauth.ms", Long, "0", Any, Stored, "How long a SASL session lasts; 0 is for ever."];
    Fixed ["queued.max.requests", Int, "500", AtLeast(1), Stored,
           "How many requests may wait for a thread; here memory is the limit."];
    Fixed ["queued.max.request.bytes", Long, "-1", Any, Stored, "How many bytes of requests may wait."];
    Cluster ["num.network.threads", Int, "3", AtLeast(1), Stored, "Network threads; here a shard per core."];
    Cluster ["num.io.threads", Int, "8", AtLeast(1), Stored, "Request threads; here a shard per core."];
    Cluster ["background.threads", Int, "10", AtLeast(1), Stored, "Background threads; here a task class."];
    Fixed ["request.timeout.ms", Int, "30000", AtLeast(0), Stored, "How long the broker waits for another's answer."];
    Fixed ["socket.connection.setup.timeout.ms", Long, "10000", Any, Stored, "How long connecting may take."];
    Fixed ["socket.connection.setup.timeout.max.ms", Long, "30000", Any, Stored,
           "How long connecting may take after failures."];
    Fixed ["fetch.max.bytes", Int, "57671680", AtLeast(1024), Honoured, "The most bytes one fetch is answered with."];
    Fixed ["max.incremental.fetch.session.cache.slots", Int, "1000", AtLeast(0), Honoured,
           "How many incremental fetch sessions are kept."];
    Fixed ["max.request.partition.size.limit", Int, "2000", AtLeast(1), Honoured,
           "How many partitions one DescribeTopicPartitions describes."];
    Fixed ["fetch.purgatory.purge.interval.requests", Int, "1000", Any, Stored, "Housekeeping of waiting fetches."];
    Fixed ["producer.purgatory.purge.interval.requests", Int, "1000", Any, Stored,
           "Housekeeping of waiting produce requests."];
    Fixed ["delete.records.purgatory.purge.interval.requests", Int, "1", Any, Stored,
           "Housekeeping of waiting DeleteRecords requests."];
    Fixed ["quota.window.num", Int, "11", AtLeast(1), Stored, "How many samples a quota looks at."];
    Fixed ["quota.window.size.seconds", Int, "1", AtLeast(1), Stored, "How long a quota's sample is."];
    Fixed ["controller.quota.window.num", Int, "11", AtLeast(1), Stored, "The same for changes of metadata."];
    Fixed ["controller.quota.window.size.seconds", Int, "1", AtLeast(1), Stored, "The same for changes of metadata."];
    Fixed ["replication.quota.window.num", Int, "11", AtLeast(1), Stored, "The same for replication."];
    Fixed ["replication.quota.window.size.seconds", Int, "1", AtLeast(1), Stored, "The same for replication."];
    Fixed ["client.quota.callback.class", Class, null, Any, Stored, "A Java class that decides quotas."];
    Cluster ["metric.reporters", List, "", Any, Stored, "Java classes that report metrics; here /metrics does."];
    Fixed ["metrics.num.samples", Int, "2", AtLeast(1), Stored, "Samples of Kafka's metrics."];
    Fixed ["metrics.sample.window.ms", Long, "30000", AtLeast(1), Stored, "Length of a sample of Kafka's metrics."];
    Fixed ["metrics.recording.level", Text, "INFO", OneOf(&["INFO", "DEBUG", "TRACE"]), Stored,
           "Which of Kafka's metrics are taken."];
    Fixed ["telemetry.max.bytes", Int, "1048576", AtLeast(1), Stored, "The most bytes of a client's telemetry."];
};
