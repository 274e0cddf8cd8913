//! Settings of topics and brokers: told in full, changed one by one or all at once.

use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as ReplacedResource, AlterableConfig as Replaced,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};

use super::node::{Node, against_another, shared, unique};
use super::records::{Topic, create, refusal, sized};
use super::wire::{Connection, text};
use crate::harness::Options;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
/// Where a value comes from.
const FROM_TOPIC: i8 = 1;
const FROM_DYNAMIC_BROKER: i8 = 2;
const FROM_DYNAMIC_DEFAULT: i8 = 3;
const FROM_STATIC: i8 = 4;
const FROM_DEFAULT: i8 = 5;

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

fn asking(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

fn describe(
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
fn value_of(result: &DescribeConfigsResult, name: &str) -> (Option<String>, i8) {
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

/// A change: operation, name, value.
type Change<'a> = (i8, &'a str, Option<&'a str>);

fn change_request(kind: i8, name: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest {
    let one = |(op, name, value): &Change<'_>| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*op)
            .with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(one).collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

fn change(connection: &mut Connection, kind: i8, name: &str, changes: &[Change<'_>]) -> i16 {
    let answer = connection.call(1, &change_request(kind, name, changes));
    let found = &answer.responses[0];
    assert_eq!((found.resource_type, &*found.resource_name), (kind, name));
    if !against_another() {
        assert_eq!(found.error_message.is_some(), found.error_code != 0);
    }
    found.error_code
}

/// Changes a topic's setting, which has to work.
pub fn set_topic(connection: &mut Connection, topic: &Topic, name: &str, value: &str) {
    assert_eq!(
        change(connection, TOPIC, &topic.name, &[(SET, name, Some(value))]),
        0
    );
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
            let of = |synonym: &kafka_protocol::messages::describe_configs_response::DescribeConfigsSynonym| {
                let value = synonym.value.as_ref().map(ToString::to_string).unwrap_or_default();
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

// Point 51: each kind of change, on settings that are lists and on those that aren't.
#[test]
fn settings_are_changed_one_by_one() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(
        &mut connection,
        "one-by-one",
        1,
        &[("retention.ms", "1000")],
    );
    let name = topic.name.as_str();
    for version in 0..=1 {
        let request = change_request(TOPIC, name, &[(SET, "flush.ms", Some("500"))]);
        assert_eq!(
            connection.call(version, &request).responses[0].error_code,
            0
        );
    }
    let set = |value: &str| (Some(value.to_owned()), FROM_TOPIC);
    let mut value = |setting: &str| topic_value(&mut connection, &topic, setting);
    // The others stay.
    assert_eq!(
        (value("flush.ms"), value("retention.ms")),
        (set("500"), set("1000"))
    );
    type Step<'a> = (&'a [Change<'a>], &'a str, (Option<String>, i8));
    let steps: [Step<'_>; 6] = [
        (
            &[(APPEND, "cleanup.policy", Some("compact"))],
            "cleanup.policy",
            set("delete,compact"),
        ),
        (
            &[(APPEND, "cleanup.policy", Some("compact"))],
            "cleanup.policy",
            set("delete,compact"),
        ),
        (
            &[(SUBTRACT, "cleanup.policy", Some("delete"))],
            "cleanup.policy",
            set("compact"),
        ),
        (
            &[(SET, "cleanup.policy", Some("delete"))],
            "cleanup.policy",
            set("delete"),
        ),
        (
            &[
                (DELETE, "cleanup.policy", None),
                (SET, "flush.ms", Some("7")),
            ],
            "cleanup.policy",
            (Some("delete".to_owned()), FROM_DEFAULT),
        ),
        // What is not set can be unset.
        (
            &[(DELETE, "segment.ms", None)],
            "segment.ms",
            (Some("604800000".to_owned()), FROM_DEFAULT),
        ),
    ];
    for (changes, setting, expected) in steps {
        assert_eq!(
            change(&mut connection, TOPIC, name, changes),
            0,
            "{changes:?}"
        );
        while against_another() && topic_value(&mut connection, &topic, setting) != expected {}
        assert_eq!(
            topic_value(&mut connection, &topic, setting),
            expected,
            "{changes:?}"
        );
    }
    assert_eq!(topic_value(&mut connection, &topic, "flush.ms"), set("7"));
}

// Point 51.
#[test]
fn changes_that_make_no_sense_are_refused_whole() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "refused", 1, &[]);
    let missing = unique("missing");
    let good = (SET, "retention.ms", Some("5000"));
    let bad: [(Vec<Change<'_>>, i16); 10] = [
        (vec![(SET, "no.such.setting", Some("1"))], INVALID_CONFIG),
        (vec![(SET, "flush.ms", Some("soon"))], INVALID_CONFIG),
        (vec![(SET, "flush.ms", Some("-1"))], INVALID_CONFIG),
        (vec![(SET, "cleanup.policy", Some("burn"))], INVALID_CONFIG),
        (
            vec![(APPEND, "cleanup.policy", Some("burn"))],
            INVALID_CONFIG,
        ),
        (vec![(APPEND, "flush.ms", Some("1"))], INVALID_CONFIG),
        (vec![(SUBTRACT, "flush.ms", Some("1"))], INVALID_CONFIG),
        (vec![(SET, "flush.ms", None)], INVALID_REQUEST),
        (
            vec![(SET, "flush.ms", Some("1")), (DELETE, "flush.ms", None)],
            INVALID_REQUEST,
        ),
        (vec![(9, "flush.ms", Some("1"))], INVALID_REQUEST),
    ];
    for (mut changes, error) in bad {
        if against_another() && changes[0].0 == 9 {
            // Kafka: UNKNOWN_SERVER_ERROR.
            continue;
        }
        changes.push(good);
        assert_eq!(
            change(&mut connection, TOPIC, &topic.name, &changes),
            error,
            "{changes:?}"
        );
        let kept = topic_value(&mut connection, &topic, "retention.ms");
        assert_eq!(
            kept,
            (Some("604800000".to_owned()), FROM_DEFAULT),
            "{changes:?}"
        );
    }
    assert_eq!(
        change(&mut connection, TOPIC, &missing, &[good]),
        UNKNOWN_TOPIC_OR_PARTITION
    );
}

// Point 51.
#[test]
fn a_validation_changes_nothing() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "validate", 1, &[]);
    let good = [(SET, "flush.ms", Some("1"))];
    let request = change_request(TOPIC, &topic.name, &good).with_validate_only(true);
    assert_eq!(connection.call(1, &request).responses[0].error_code, 0);
    let bad = [(SET, "flush.ms", Some("x"))];
    let request = change_request(TOPIC, &topic.name, &bad).with_validate_only(true);
    assert_eq!(
        connection.call(1, &request).responses[0].error_code,
        INVALID_CONFIG
    );
    let request = replace_request(&topic.name, &[("flush.ms", "1")]).with_validate_only(true);
    assert_eq!(connection.call(2, &request).responses[0].error_code, 0);
    let value = topic_value(&mut connection, &topic, "flush.ms");
    assert_eq!(value.1, FROM_DEFAULT);
}

fn replace_request(name: &str, settings: &[(&str, &str)]) -> AlterConfigsRequest {
    let one = |(name, value): &(&str, &str)| {
        Replaced::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    };
    let resource = ReplacedResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_configs(settings.iter().map(one).collect());
    AlterConfigsRequest::default().with_resources(vec![resource])
}

// Point 51: AlterConfigs gives a topic exactly these settings.
#[test]
fn settings_are_replaced_all_at_once() {
    let node = shared();
    let mut connection = node.connect();
    for version in 0..=2 {
        let settings = [("retention.ms", "1000"), ("flush.ms", "5")];
        let topic = create(&mut connection, "replace", 1, &settings);
        let request = replace_request(&topic.name, &[("flush.ms", "6"), ("segment.ms", "7")]);
        assert_eq!(
            connection.call(version, &request).responses[0].error_code,
            0
        );
        let mut source = |setting| topic_value(&mut connection, &topic, setting);
        while against_another() && source("segment.ms").1 != FROM_TOPIC {}
        assert_eq!(source("flush.ms"), (Some("6".to_owned()), FROM_TOPIC));
        assert_eq!(source("segment.ms"), (Some("7".to_owned()), FROM_TOPIC));
        assert_eq!(
            source("retention.ms"),
            (Some("604800000".to_owned()), FROM_DEFAULT)
        );
        for bad in [("no.such.setting", "1"), ("flush.ms", "x")] {
            let request = replace_request(&topic.name, &[("segment.ms", "8"), bad]);
            let answer = connection.call(version, &request);
            assert_eq!(answer.responses[0].error_code, INVALID_CONFIG, "{bad:?}");
        }
        let kept = topic_value(&mut connection, &topic, "segment.ms");
        assert_eq!(kept, (Some("7".to_owned()), FROM_TOPIC));
    }
}

// Point 51: a change is in force when it is answered.
#[test]
fn a_changed_setting_is_obeyed() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "obeyed", 1, &[]);
    let set = sized(2_000);
    assert_eq!(refusal(&mut connection, &topic, &set), 0);
    set_topic(&mut connection, &topic, "max.message.bytes", "1999");
    while against_another() && refusal(&mut connection, &topic, &set) == 0 {}
    assert_eq!(refusal(&mut connection, &topic, &set), MESSAGE_TOO_LARGE);
    assert_eq!(
        change(
            &mut connection,
            TOPIC,
            &topic.name,
            &[(DELETE, "max.message.bytes", None)]
        ),
        0
    );
    while against_another() && refusal(&mut connection, &topic, &set) != 0 {}
    assert_eq!(refusal(&mut connection, &topic, &set), 0);
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

// Point 51: by number for one broker, without for all, and what belongs to a start not at all.
#[test]
fn a_brokers_settings_are_changed_while_it_runs() {
    if against_another() {
        return;
    }
    let mut node = Node::start(|dir| Options::at(dir).set("message.max.bytes", "3000"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "dynamic", 1, &[]);
    let value = |connection: &mut Connection, kind, name: &str, setting: &str| {
        value_of(&describe(connection, 4, &asking(kind, name, None)), setting)
    };
    let is = |value: &str, source| (Some(value.to_owned()), source);
    let found = value(&mut connection, BROKER, "1", "message.max.bytes");
    assert_eq!(found, is("3000", FROM_STATIC));
    let set = sized(3_500);
    assert_eq!(refusal(&mut connection, &topic, &set), MESSAGE_TOO_LARGE);
    let to = |value| [(SET, "message.max.bytes", Some(value))];
    assert_eq!(change(&mut connection, BROKER, "", &to("4000")), 0);
    let found = value(&mut connection, BROKER, "1", "message.max.bytes");
    assert_eq!(found, is("4000", FROM_DYNAMIC_DEFAULT));
    let found = value(&mut connection, BROKER, "", "message.max.bytes");
    assert_eq!(found, is("4000", FROM_DYNAMIC_DEFAULT));
    assert_eq!(
        refusal(&mut connection, &topic, &set),
        0,
        "a topic's default follows"
    );
    assert_eq!(change(&mut connection, BROKER, "1", &to("3400")), 0);
    let found = value(&mut connection, BROKER, "1", "message.max.bytes");
    assert_eq!(found, is("3400", FROM_DYNAMIC_BROKER));
    assert_eq!(refusal(&mut connection, &topic, &set), MESSAGE_TOO_LARGE);
    let inherited = topic_value(&mut connection, &topic, "max.message.bytes");
    assert_eq!(inherited, is("3400", FROM_DYNAMIC_BROKER));
    node.restart(true, |dir| {
        Options::at(dir).set("message.max.bytes", "3000")
    });
    let mut connection = node.connect();
    let found = value(&mut connection, BROKER, "1", "message.max.bytes");
    assert_eq!(
        found,
        is("3400", FROM_DYNAMIC_BROKER),
        "it was written down"
    );
    for name in ["1", ""] {
        assert_eq!(
            change(
                &mut connection,
                BROKER,
                name,
                &[(DELETE, "message.max.bytes", None)]
            ),
            0
        );
    }
    let found = value(&mut connection, BROKER, "1", "message.max.bytes");
    assert_eq!(found, is("3000", FROM_STATIC));
    let append = [(APPEND, "log.cleanup.policy", Some("compact"))];
    assert_eq!(change(&mut connection, BROKER, "1", &append), 0);
    let found = value(&mut connection, BROKER, "1", "log.cleanup.policy");
    assert_eq!(found, is("delete,compact", FROM_DYNAMIC_BROKER));
}

// Point 51.
#[test]
fn settings_of_a_start_are_read_only() {
    let node = shared();
    let mut connection = node.connect();
    for name in ["1", ""] {
        for (setting, value) in [
            ("node.id", "2"),
            ("num.partitions", "3"),
            ("broker.rack", "r"),
        ] {
            let code = change(
                &mut connection,
                BROKER,
                name,
                &[(SET, setting, Some(value))],
            );
            assert_eq!(code, INVALID_REQUEST, "{setting} of {name:?}");
        }
        let bad = [(SET, "message.max.bytes", Some("many"))];
        assert!(matches!(
            change(&mut connection, BROKER, name, &bad),
            INVALID_REQUEST | INVALID_CONFIG
        ));
    }
    let found = describe(
        &mut connection,
        4,
        &asking(BROKER, "1", Some(&["num.partitions"])),
    );
    assert_eq!(value_of(&found, "num.partitions").0.as_deref(), Some("1"));
}

// Settings that mean nothing here, but that tools and suites alter.
#[test]
fn settings_that_are_only_stored_can_be_altered() {
    if against_another() {
        return;
    }
    let node = Node::start(Options::at);
    let mut connection = node.connect();
    for (setting, value) in [
        ("background.threads", "12"),
        ("sasl.kerberos.min.time.before.relogin", "58000"),
        ("log.flush.interval.messages", "5000"),
        ("log.cleaner.threads", "2"),
    ] {
        assert_eq!(
            change(&mut connection, BROKER, "1", &[(SET, setting, Some(value))]),
            0,
            "{setting}"
        );
        let found = describe(&mut connection, 4, &asking(BROKER, "1", Some(&[setting])));
        let expected = (Some(value.to_owned()), FROM_DYNAMIC_BROKER);
        assert_eq!(value_of(&found, setting), expected);
    }
}

#[test]
fn zz_dump() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "dump", 1, &[]);
    let result = describe(
        &mut connection,
        4,
        &asking(TOPIC, &topic.name, None).with_include_synonyms(true),
    );
    for c in &result.configs {
        let s: Vec<String> = c
            .synonyms
            .iter()
            .map(|s| {
                format!(
                    "{}={}@{}",
                    &*s.name,
                    s.value
                        .as_ref()
                        .map(|v| v.to_string())
                        .unwrap_or("null".into()),
                    s.source
                )
            })
            .collect();
        println!(
            "{} {:?} src={} type={} {:?}",
            &*c.name,
            c.value.as_ref().map(|v| v.to_string()),
            c.config_source,
            c.config_type,
            s
        );
    }
    let result = describe(
        &mut connection,
        4,
        &asking(BROKER, "1", None).with_include_synonyms(true),
    );
    for c in &result.configs {
        let s: Vec<String> = c
            .synonyms
            .iter()
            .map(|s| {
                format!(
                    "{}={}@{}",
                    &*s.name,
                    s.value
                        .as_ref()
                        .map(|v| v.to_string())
                        .unwrap_or("null".into()),
                    s.source
                )
            })
            .collect();
        println!(
            "B {} {:?} ro={} sens={} src={} type={} {:?}",
            &*c.name,
            c.value.as_ref().map(|v| v.to_string()),
            c.read_only,
            c.is_sensitive,
            c.config_source,
            c.config_type,
            s
        );
    }
}
