//! The table against Kafka 4.1's, checks, changes, and what a topic's settings come to.

use super::*;

fn map(entries: &[(&str, &str)]) -> Overrides {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Every topic setting of Kafka 4.1 with its default.
const KAFKA_4_1: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

#[test]
fn the_table_is_kafkas() {
    let ours: Vec<(&str, &str)> = TOPIC_ROWS
        .iter()
        .map(|row| (row.def.name, row.def.default.unwrap()))
        .collect();
    assert_eq!(ours, KAFKA_4_1);
}

#[test]
fn every_default_is_valid_and_agrees_with_the_brokers() {
    for row in TOPIC_ROWS {
        let default = row.def.default.unwrap();
        row.def.check(default).unwrap();
        assert_eq!(
            row.inherited(&Layers::defaults()).0,
            default,
            "{}",
            row.def.name
        );
        for synonym in row.synonyms {
            assert!(
                crate::config::broker::lookup(synonym.name).is_some(),
                "{}",
                synonym.name
            );
        }
    }
}

#[test]
fn names_removed_in_4_0_and_misspelt_ones_are_unknown() {
    for name in [
        "message.format.version",
        "message.timestamp.difference.max.ms",
        "message.downconversion.enable",
    ] {
        assert!(
            matches!(validate(name, Some("x")), Err(ConfigError::Unknown { .. })),
            "{name}"
        );
    }
    let error = validate("retension.ms", Some("1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unknown topic config name: retension.ms; did you mean retention.ms?"
    );
    let error = validate("dummy.doesntexist", Some("1")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Unknown topic config name: dummy.doesntexist")
    );
}

#[test]
fn values_are_checked() {
    assert!(validate("segment.bytes", Some("1048575")).is_err());
    assert!(validate("segment.bytes", Some("1048576")).is_ok());
    assert!(validate("retention.ms", Some("-2")).is_err());
    assert!(validate("retention.ms", None).is_err());
    assert!(validate("compression.type", Some("none")).is_err());
    assert!(validate("remote.storage.enable", Some("true")).is_err());
    let lags = map(&[
        ("min.compaction.lag.ms", "10"),
        ("max.compaction.lag.ms", "9"),
    ]);
    assert!(validate_all(&lags, &Layers::defaults()).is_err());
}

#[test]
fn a_topic_takes_the_brokers_defaults_in_kafkas_order_of_synonyms() {
    let none = Overrides::new();
    let hours = map(&[("log.retention.hours", "2")]);
    let resolve = |layers: &Layers<'_>| TopicConfig::resolve(&none, layers).unwrap().retention_ms;
    assert_eq!(resolve(&Layers::of(&hours)), 7_200_000);
    let minutes = map(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]);
    assert_eq!(resolve(&Layers::of(&minutes)), 180_000);
    let never = map(&[("log.retention.hours", "-1")]);
    assert_eq!(resolve(&Layers::of(&never)), -1);
    let cluster = map(&[("log.retention.ms", "5")]);
    let layers = Layers {
        cluster: &cluster,
        ..Layers::of(&minutes)
    };
    assert_eq!(resolve(&layers), 5);
    let own = map(&[("retention.ms", "6")]);
    assert_eq!(TopicConfig::resolve(&own, &layers).unwrap().retention_ms, 6);
}

#[test]
fn every_field_is_read_from_its_own_name() {
    let overrides = map(&[
        ("cleanup.policy", "compact, delete"),
        ("retention.ms", "1"),
        ("retention.bytes", "2"),
        ("segment.bytes", "1048579"),
        ("segment.ms", "4"),
        ("segment.jitter.ms", "5"),
        ("segment.index.bytes", "6"),
        ("index.interval.bytes", "7"),
        ("max.message.bytes", "8"),
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.before.max.ms", "9"),
        ("message.timestamp.after.max.ms", "10"),
        ("min.insync.replicas", "11"),
        ("compression.type", "zstd"),
        ("flush.messages", "12"),
        ("flush.ms", "13"),
        ("file.delete.delay.ms", "14"),
        ("delete.retention.ms", "15"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("min.compaction.lag.ms", "16"),
        ("max.compaction.lag.ms", "17"),
        ("unclean.leader.election.enable", "True"),
    ]);
    let config = TopicConfig::resolve(&overrides, &Layers::defaults()).unwrap();
    let expected = TopicConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: true,
        },
        retention_ms: 1,
        retention_bytes: 2,
        segment_bytes: 1_048_579,
        segment_ms: 4,
        segment_jitter_ms: 5,
        segment_index_bytes: 6,
        index_interval_bytes: 7,
        max_message_bytes: 8,
        message_timestamp_type: TimestampType::LogAppendTime,
        message_timestamp_before_max_ms: 9,
        message_timestamp_after_max_ms: 10,
        min_insync_replicas: 11,
        compression_type: CompressionType::Zstd,
        flush_messages: 12,
        flush_ms: 13,
        file_delete_delay_ms: 14,
        delete_retention_ms: 15,
        min_cleanable_dirty_ratio: 0.25,
        min_compaction_lag_ms: 16,
        max_compaction_lag_ms: 17,
        unclean_leader_election: true,
    };
    assert_eq!(config, expected);
}
