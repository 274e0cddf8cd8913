//! Settings of topics and brokers, as they are told.

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::node::{against_another, shared, unique};
use super::records::{Topic, create};
use super::wire::{Connection, text};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const INVALID_REQUEST: i16 = 42;

/// Kinds of resources.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
/// Where a value comes from.
pub const FROM_TOPIC: i8 = 1;
pub const FROM_DYNAMIC_BROKER: i8 = 2;
pub const FROM_DYNAMIC_DEFAULT: i8 = 3;
pub const FROM_STATIC: i8 = 4;
pub const FROM_DEFAULT: i8 = 5;

/// Every setting that a topic has in Kafka 4.1: its name, the broker setting that its default comes
/// from, its default and its type.
const TOPIC_SETTINGS: [(&str, &str, &str, i8); 33] = [
    ("cleanup.policy", "log.cleanup.policy", "delete", 7),
    ("compression.gzip.level", "compression.gzip.level", "-1", 3),
    ("compression.lz4.level", "compression.lz4.level", "9", 3),
    ("compression.type", "compression.type", "producer", 2),
    ("compression.zstd.level", "compression.zstd.level", "3", 3),
    (
        "delete.retention.ms",
        "log.cleaner.delete.retention.ms",
        "86400000",
        5,
    ),
    (
        "file.delete.delay.ms",
        "log.segment.delete.delay.ms",
        "60000",
        5,
    ),
    (
        "flush.messages",
        "log.flush.interval.messages",
        "9223372036854775807",
        5,
    ),
    (
        "flush.ms",
        "log.flush.interval.ms",
        "9223372036854775807",
        5,
    ),
    ("follower.replication.throttled.replicas", "", "", 7),
    (
        "index.interval.bytes",
        "log.index.interval.bytes",
        "4096",
        3,
    ),
    ("leader.replication.throttled.replicas", "", "", 7),
    (
        "local.retention.bytes",
        "log.local.retention.bytes",
        "-2",
        5,
    ),
    ("local.retention.ms", "log.local.retention.ms", "-2", 5),
    (
        "max.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
        "9223372036854775807",
        5,
    ),
    ("max.message.bytes", "message.max.bytes", "1048588", 3),
    (
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
        "3600000",
        5,
    ),
    (
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        "9223372036854775807",
        5,
    ),
    (
        "message.timestamp.type",
        "log.message.timestamp.type",
        "CreateTime",
        2,
    ),
    (
        "min.cleanable.dirty.ratio",
        "log.cleaner.min.cleanable.ratio",
        "0.5",
        6,
    ),
    (
        "min.compaction.lag.ms",
        "log.cleaner.min.compaction.lag.ms",
        "0",
        5,
    ),
    ("min.insync.replicas", "min.insync.replicas", "1", 3),
    ("preallocate", "log.preallocate", "false", 1),
    ("remote.log.copy.disable", "", "false", 1),
    ("remote.log.delete.on.disable", "", "false", 1),
    ("remote.storage.enable", "", "false", 1),
    ("retention.bytes", "log.retention.bytes", "-1", 5),
    ("retention.ms", "log.retention.ms", "604800000", 5),
    ("segment.bytes", "log.segment.bytes", "1073741824", 3),
    (
        "segment.index.bytes",
        "log.index.size.max.bytes",
        "10485760",
        3,
    ),
    ("segment.jitter.ms", "log.roll.jitter.ms", "0", 5),
    ("segment.ms", "log.roll.ms", "604800000", 5),
    (
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
        "false",
        1,
    ),
];

/// A request for these settings of one resource; all of them where no names are given.
pub fn asking(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

/// Asks for the settings of one resource.
pub fn describe(
    connection: &mut Connection,
    version: i16,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResult {
    let mut answer = connection.call(version, request);
    assert_eq!(answer.results.len(), 1);
    answer.results.remove(0)
}

fn row<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    let found = result.configs.iter().find(|config| &*config.name == name);
    found.unwrap_or_else(|| panic!("{name} is not told"))
}

/// A setting's value and where it comes from.
pub fn value_of(result: &DescribeConfigsResult, name: &str) -> (Option<String>, i8) {
    let found = row(result, name);
    (
        found.value.as_ref().map(ToString::to_string),
        found.config_source,
    )
}

/// A topic's setting and where it comes from.
pub fn topic_value(connection: &mut Connection, topic: &Topic, name: &str) -> (Option<String>, i8) {
    let result = describe(connection, 4, &asking(TOPIC, &topic.name, Some(&[name])));
    value_of(&result, name)
}

// Point 51 and section 3.1.
#[test]
fn a_topic_tells_every_setting() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "every", 1, &[]);
    for version in 1..=4 {
        let result = describe(&mut connection, version, &asking(TOPIC, &topic.name, None));
        assert_eq!((result.error_code, result.resource_type), (0, TOPIC));
        let mut names: Vec<&str> = result.configs.iter().map(|config| &*config.name).collect();
        names.sort_unstable();
        let expected = TOPIC_SETTINGS.map(|(name, ..)| name);
        assert_eq!(names, expected, "version {version}");
        for (name, _, default, kind) in TOPIC_SETTINGS {
            let found = row(&result, name);
            assert_eq!(
                found.value.as_ref().map(|value| value.as_str()),
                Some(default),
                "{name}"
            );
            // Kafka 4.1 sets this one for the cluster when it begins (KIP-966).
            let set = against_another() && name == "min.insync.replicas";
            assert!(found.config_source == FROM_DEFAULT || set, "{name}");
            assert!(!found.read_only && !found.is_sensitive, "{name}");
            assert_eq!(
                found.config_type,
                if version < 3 { 0 } else { kind },
                "{name}"
            );
            assert!(found.synonyms.is_empty(), "{name}");
            assert!(
                found
                    .documentation
                    .as_ref()
                    .is_none_or(|doc| doc.is_empty()),
                "{name}"
            );
        }
        // An empty list of names is all, as null is.
        let result = describe(
            &mut connection,
            version,
            &asking(TOPIC, &topic.name, Some(&[])),
        );
        assert_eq!(result.configs.len(), TOPIC_SETTINGS.len());
    }
}

// Point 51.
#[test]
fn only_what_was_asked_for_is_told() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(
        &mut connection,
        "filter",
        1,
        &[("retention.bytes", "12345")],
    );
    for version in 1..=4 {
        let names = ["retention.bytes", "no.such.setting", "flush.ms"];
        let result = describe(
            &mut connection,
            version,
            &asking(TOPIC, &topic.name, Some(&names)),
        );
        let mut names: Vec<&str> = result.configs.iter().map(|config| &*config.name).collect();
        names.sort_unstable();
        assert_eq!(
            (result.error_code, names),
            (0, vec!["flush.ms", "retention.bytes"])
        );
        let value = value_of(&result, "retention.bytes");
        assert_eq!(value, (Some("12345".to_owned()), FROM_TOPIC));
    }
}

// Point 51: the value and all that lie under it, strongest first.
#[test]
fn synonyms_and_documentation_are_told_if_asked_for() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(
        &mut connection,
        "synonyms",
        1,
        &[("max.message.bytes", "77777")],
    );
    for version in 1..=4 {
        let mut asked = asking(TOPIC, &topic.name, None).with_include_synonyms(true);
        if version >= 3 {
            asked = asked.with_include_documentation(true);
        }
        let result = describe(&mut connection, version, &asked);
        let synonyms = |name: &str| -> Vec<(String, String, i8)> {
            let of = |synonym: &DescribeConfigsSynonym| {
                let value = synonym
                    .value
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                (synonym.name.to_string(), value, synonym.source)
            };
            row(&result, name).synonyms.iter().map(of).collect()
        };
        let own = (
            "max.message.bytes".to_owned(),
            "77777".to_owned(),
            FROM_TOPIC,
        );
        let default = (
            "message.max.bytes".to_owned(),
            "1048588".to_owned(),
            FROM_DEFAULT,
        );
        assert_eq!(
            synonyms("max.message.bytes"),
            [own, default],
            "version {version}"
        );
        for (name, synonym, default, _) in TOPIC_SETTINGS {
            let found = synonyms(name);
            let default = (synonym.to_owned(), default.to_owned(), FROM_DEFAULT);
            match name {
                "max.message.bytes" => {}
                // The broker's are null, and others may stand for them: hours, minutes.
                "flush.ms" | "retention.ms" | "segment.jitter.ms" | "segment.ms" => {
                    assert!(
                        found.iter().all(|(.., source)| *source == FROM_DEFAULT),
                        "{found:?}"
                    );
                }
                _ if synonym.is_empty() => assert_eq!(found, [], "{name}"),
                _ => assert_eq!(found.last(), Some(&default), "{name}"),
            }
        }
        for config in &result.configs {
            let told = config
                .documentation
                .as_ref()
                .is_some_and(|doc| doc.len() > 10);
            assert_eq!(told, version >= 3, "{} in version {version}", &*config.name);
        }
    }
}

// Point 51.
#[test]
fn what_has_no_settings_is_refused() {
    let node = shared();
    let mut connection = node.connect();
    let missing = unique("missing");
    for version in 1..=4 {
        for (kind, name, error) in [
            (TOPIC, missing.as_str(), UNKNOWN_TOPIC_OR_PARTITION),
            (TOPIC, "a b", INVALID_TOPIC),
            (BROKER, "77", INVALID_REQUEST),
            (BROKER, "one", INVALID_REQUEST),
            (9, "x", INVALID_REQUEST),
        ] {
            let result = describe(&mut connection, version, &asking(kind, name, None));
            assert_eq!(
                result.error_code, error,
                "{kind} {name}: {:?}",
                result.error_message
            );
            assert_eq!((result.resource_type, &*result.resource_name), (kind, name));
            assert!(result.configs.is_empty());
        }
    }
}

// Point 51 and section 3.2: told with type, source, and whether it can be changed.
#[test]
fn a_broker_tells_its_settings() {
    let node = shared();
    let mut connection = node.connect();
    for version in 1..=4 {
        let asked = asking(BROKER, "1", None).with_include_synonyms(true);
        let result = describe(&mut connection, version, &asked);
        assert_eq!(result.error_code, 0, "{:?}", result.error_message);
        assert!(
            result.configs.len() > 200,
            "{} settings",
            result.configs.len()
        );
        let told = |name: &str| {
            let found = row(&result, name);
            let value = found
                .value
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            (value, found.read_only, found.is_sensitive)
        };
        let is = |value: &str, read_only| (value.to_owned(), read_only, false);
        assert_eq!(told("node.id"), is("1", true));
        assert_eq!(told("message.max.bytes"), is("1048588", false));
        assert_eq!(told("num.partitions"), is("1", true));
        assert_eq!(told("log.cleanup.policy"), is("delete", false));
        assert_eq!(told("log.retention.hours"), is("168", true));
        assert_eq!(told("background.threads"), is("10", false));
        assert_eq!(
            told("sasl.kerberos.min.time.before.relogin"),
            is("60000", false)
        );
        assert_eq!(
            told("log.flush.interval.messages"),
            is("9223372036854775807", false)
        );
        let password = row(&result, "ssl.key.password");
        assert_eq!((password.is_sensitive, &password.value), (true, &None));
        let rack = row(&result, "broker.rack");
        assert_eq!((rack.value.as_ref(), rack.read_only), (None, true));
        if version >= 3 {
            let kinds = [
                "auto.create.topics.enable",
                "num.partitions",
                "log.cleanup.policy",
            ];
            assert_eq!(kinds.map(|name| row(&result, name).config_type), [1, 3, 7]);
        }
    }
}
