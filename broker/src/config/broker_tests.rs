//! The table against what tools and suites read, dynamic changes, and what the settings come to.

use std::time::Duration;

use super::*;
use crate::config::InternalTopic;

fn map(entries: &[(&str, &str)]) -> Overrides {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The settings clients, tools and their test suites look at, with Kafka 4.1's defaults.
const LOOKED_AT: &[(&str, Option<&str>)] = &[
    ("node.id", None),
    ("broker.id", None),
    ("broker.rack", None),
    ("listeners", Some("PLAINTEXT://:9092")),
    ("advertised.listeners", None),
    ("process.roles", Some("")),
    ("controller.quorum.voters", Some("")),
    ("log.dirs", None),
    ("log.dir", Some("/tmp/kafka-logs")),
    ("auto.create.topics.enable", Some("true")),
    ("num.partitions", Some("1")),
    ("default.replication.factor", Some("1")),
    ("delete.topic.enable", Some("true")),
    ("min.insync.replicas", Some("1")),
    ("unclean.leader.election.enable", Some("false")),
    ("message.max.bytes", Some("1048588")),
    ("log.retention.hours", Some("168")),
    ("log.retention.minutes", None),
    ("log.retention.ms", None),
    ("log.retention.bytes", Some("-1")),
    ("log.segment.bytes", Some("1073741824")),
    ("log.roll.hours", Some("168")),
    ("log.roll.ms", None),
    ("log.retention.check.interval.ms", Some("300000")),
    ("log.cleanup.policy", Some("delete")),
    ("log.cleaner.enable", Some("true")),
    ("log.cleaner.threads", Some("1")),
    ("log.cleaner.min.cleanable.ratio", Some("0.5")),
    ("log.cleaner.delete.retention.ms", Some("86400000")),
    ("log.cleaner.backoff.ms", Some("15000")),
    ("log.cleaner.dedupe.buffer.size", Some("134217728")),
    ("log.flush.interval.messages", Some("9223372036854775807")),
    ("log.flush.interval.ms", None),
    ("log.message.timestamp.type", Some("CreateTime")),
    (
        "log.message.timestamp.before.max.ms",
        Some("9223372036854775807"),
    ),
    ("log.message.timestamp.after.max.ms", Some("3600000")),
    ("compression.type", Some("producer")),
    ("offsets.topic.num.partitions", Some("50")),
    ("offsets.topic.replication.factor", Some("3")),
    ("offsets.topic.segment.bytes", Some("104857600")),
    ("offsets.topic.compression.codec", Some("0")),
    ("offsets.retention.minutes", Some("10080")),
    ("offsets.retention.check.interval.ms", Some("600000")),
    ("offset.metadata.max.bytes", Some("4096")),
    ("offsets.commit.timeout.ms", Some("5000")),
    ("group.min.session.timeout.ms", Some("6000")),
    ("group.max.session.timeout.ms", Some("1800000")),
    ("group.initial.rebalance.delay.ms", Some("3000")),
    ("group.max.size", Some("2147483647")),
    ("group.consumer.session.timeout.ms", Some("45000")),
    ("group.consumer.heartbeat.interval.ms", Some("5000")),
    ("group.consumer.assignors", Some("uniform,range")),
    ("group.consumer.migration.policy", Some("bidirectional")),
    ("group.share.delivery.count.limit", Some("5")),
    ("group.share.record.lock.duration.ms", Some("30000")),
    ("group.share.partition.max.record.locks", Some("2000")),
    ("share.coordinator.state.topic.num.partitions", Some("50")),
    (
        "share.coordinator.state.topic.replication.factor",
        Some("3"),
    ),
    ("share.coordinator.state.topic.min.isr", Some("2")),
    (
        "share.coordinator.state.topic.segment.bytes",
        Some("104857600"),
    ),
    ("share.coordinator.state.topic.compression.codec", Some("0")),
    ("share.coordinator.write.timeout.ms", Some("5000")),
    ("share.coordinator.load.buffer.size", Some("5242880")),
    (
        "share.coordinator.snapshot.update.records.per.snapshot",
        Some("500"),
    ),
    ("share.coordinator.append.linger.ms", Some("5")),
    ("transaction.state.log.num.partitions", Some("50")),
    ("transaction.state.log.replication.factor", Some("3")),
    ("transaction.state.log.min.isr", Some("2")),
    ("transaction.state.log.segment.bytes", Some("104857600")),
    ("transaction.max.timeout.ms", Some("900000")),
    ("transactional.id.expiration.ms", Some("604800000")),
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Some("10000"),
    ),
    ("producer.id.expiration.ms", Some("86400000")),
    ("transaction.partition.verification.enable", Some("true")),
    ("max.incremental.fetch.session.cache.slots", Some("1000")),
    ("fetch.max.bytes", Some("57671680")),
    ("socket.request.max.bytes", Some("104857600")),
    ("socket.send.buffer.bytes", Some("102400")),
    ("socket.receive.buffer.bytes", Some("102400")),
    ("connections.max.idle.ms", Some("600000")),
    ("max.connections", Some("2147483647")),
    ("max.connections.per.ip", Some("2147483647")),
    ("max.connections.per.ip.overrides", Some("")),
    ("max.connection.creation.rate", Some("2147483647")),
    ("connections.max.reauth.ms", Some("0")),
    ("connection.failed.authentication.delay.ms", Some("100")),
    ("sasl.enabled.mechanisms", Some("GSSAPI")),
    ("ssl.keystore.location", None),
    ("ssl.keystore.password", None),
    ("ssl.truststore.location", None),
    ("ssl.key.password", None),
    ("ssl.client.auth", Some("none")),
    ("ssl.principal.mapping.rules", Some("DEFAULT")),
    ("authorizer.class.name", Some("")),
    ("super.users", None),
    ("allow.everyone.if.no.acl.found", Some("false")),
    ("quota.window.num", Some("11")),
    ("quota.window.size.seconds", Some("1")),
    ("queued.max.requests", Some("500")),
    ("num.network.threads", Some("3")),
    ("num.io.threads", Some("8")),
    ("num.replica.fetchers", Some("1")),
    ("background.threads", Some("10")),
    ("num.recovery.threads.per.data.dir", Some("2")),
    ("replica.lag.time.max.ms", Some("30000")),
    ("replica.fetch.max.bytes", Some("1048576")),
    ("replica.selector.class", None),
    ("inter.broker.listener.name", None),
    ("security.inter.broker.protocol", Some("PLAINTEXT")),
    ("auto.leader.rebalance.enable", Some("true")),
    ("leader.imbalance.per.broker.percentage", Some("10")),
    ("leader.imbalance.check.interval.seconds", Some("300")),
    (
        "leader.replication.throttled.rate",
        Some("9223372036854775807"),
    ),
    (
        "follower.replication.throttled.rate",
        Some("9223372036854775807"),
    ),
    ("remote.log.storage.system.enable", Some("false")),
    ("log.local.retention.ms", Some("-2")),
    ("log.local.retention.bytes", Some("-2")),
    ("sasl.kerberos.min.time.before.relogin", Some("60000")),
    ("create.topic.policy.class.name", None),
    ("alter.config.policy.class.name", None),
    ("inter.broker.protocol.version", None),
    ("controlled.shutdown.enable", Some("true")),
    ("early.start.listeners", None),
    ("delegation.token.secret.key", None),
    ("delegation.token.max.lifetime.ms", Some("604800000")),
    ("delegation.token.expiry.time.ms", Some("86400000")),
];

#[test]
fn what_tools_read_is_there_with_kafkas_defaults() {
    for &(name, default) in LOOKED_AT {
        let row = lookup(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(row.def.default, default, "{name}");
    }
}

#[test]
fn names_are_unique_and_defaults_valid() {
    let mut names: Vec<&str> = rows().map(|row| row.def.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for row in rows() {
        if let Some(default) = row.def.default {
            row.def.check(default).unwrap();
        }
    }
}

#[test]
fn the_sensitive_ones_are_those_that_hold_secrets() {
    for row in rows() {
        let secret = row.def.name.ends_with("password") || row.def.name == "sasl.jaas.config";
        assert!(!secret || row.def.sensitive(), "{}", row.def.name);
    }
}

#[test]
fn the_settings_of_one_listener_are_known_by_their_end() {
    let row = lookup("listener.name.external.scram-sha-256.sasl.jaas.config").unwrap();
    assert_eq!(row.def.name, "sasl.jaas.config");
    assert_eq!(
        lookup("listener.name.external.max.connections")
            .unwrap()
            .def
            .name,
        "max.connections"
    );
    assert!(lookup("listener.name.external.nonsense").is_none());
    assert!(lookup("listener.name.external").is_none());
}

#[test]
fn what_test_suites_change_may_be_changed() {
    let layers = Layers::defaults();
    let changed = map(&[
        ("background.threads", "12"),
        ("sasl.kerberos.min.time.before.relogin", "58000"),
        ("log.flush.interval.messages", "123456"),
        ("message.max.bytes", "900000"),
    ]);
    assert_eq!(validate_all(Scope::Node, &changed, &layers), Ok(()));
    let policy = map(&[("log.cleanup.policy", "delete,compact")]);
    assert_eq!(validate_all(Scope::Cluster, &policy, &layers), Ok(()));
}

#[test]
fn what_needs_a_restart_is_refused_and_says_so() {
    let fixed = map(&[("log.cleaner.min.compaction.lag.ms", "6")]);
    let layers = Layers::of(&fixed);
    let refused = |scope, name, value| {
        let refused = validate_all(scope, &map(&[(name, value)]), &layers);
        refused.unwrap_err().to_string()
    };
    let restart = refused(Scope::Node, "num.partitions", "4");
    assert!(restart.contains("Cannot update these configs dynamically: Set(num.partitions)"));
    let one = refused(Scope::Cluster, "listeners", "PLAINTEXT://:1");
    assert!(one.contains("broker id must be specified: Set(listeners)"));
    assert_eq!(
        refused(Scope::Node, "log.retenton.ms", "4"),
        "Unknown broker config name: log.retenton.ms; did you mean log.retention.ms?"
    );
    assert!(refused(Scope::Node, "background.threads", "x").contains("Not a number"));
    assert!(refused(Scope::Node, "log.cleaner.max.compaction.lag.ms", "5").contains("conflict"));
}

const STATE_TOPIC: InternalTopic = InternalTopic {
    partitions: 50,
    replication_factor: 3,
    min_isr: Some(2),
    segment_bytes: 100 << 20,
};

fn share() -> ShareConfig {
    ShareConfig {
        lock_ms: 30_000,
        max_deliveries: 5,
        max_in_flight: 2000,
        max_sessions: 2000,
        max_members: 200,
    }
}

#[test]
fn every_field_comes_from_its_layer() {
    let fixed = map(&[
        ("num.partitions", "4"),
        ("broker.rack", "r1"),
        ("log.cleaner.io.max.bytes.per.second", "1e6"),
        ("connections.max.idle.ms", "-1"),
    ]);
    let node = map(&[("max.connections", "7")]);
    let cluster = map(&[("max.connections", "8"), ("producer.id.expiration.ms", "9")]);
    let layers = Layers {
        node: &node,
        cluster: &cluster,
        fixed: &fixed,
    };
    let config = BrokerConfig::resolve(&layers).unwrap();
    let expected = BrokerConfig {
        rack: Some("r1".to_owned()),
        auto_create_topics: true,
        num_partitions: 4,
        default_replication_factor: 1,
        delete_topics: true,
        retention_check_interval_ms: 300_000,
        socket_request_max_bytes: 104_857_600,
        connections_max_idle_ms: None,
        max_connections: 7,
        fetch_max_bytes: 57_671_680,
        fetch_session_slots: 1000,
        max_request_partitions: 2000,
        heartbeat_interval: Duration::from_secs(2),
        session_timeout_ms: 9_000,
        election_timeout: Duration::from_secs(1),
        rebalance_interval: Duration::from_secs(300),
        leader_imbalance: Some(10),
        controlled_shutdown: true,
        producer_id_expiration_ms: 9,
        replica_lag_time_max_ms: 30_000,
        watermark_checkpoint_interval_ms: 5_000,
        rack_aware_reads: false,
        cleaner: CleanerConfig {
            enabled: true,
            key_bytes: 128 << 20,
            load: 0.9,
            bytes_per_second: 1e6,
            backoff: Duration::from_secs(15),
        },
        coordinators: CoordinatorConfig {
            commit_timeout_ms: 5_000,
            load_step: 5 << 20,
            offsets_compression: batch::Compression::None,
            offsets_topic: InternalTopic {
                min_isr: None,
                ..STATE_TOPIC
            },
            transactions_topic: STATE_TOPIC,
            share_topic: STATE_TOPIC,
            share_compression: batch::Compression::None,
            share_commit_timeout_ms: 5_000,
            share_load_step: 5 << 20,
            consumer_protocol: true,
        },
        groups: group::Settings::default(),
        share: share(),
        verify_transactions: true,
        transactions: txn::Settings::default(),
    };
    assert_eq!(config, expected);
}
