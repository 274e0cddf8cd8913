//! What the controller makes of requests on configs.

use super::*;

fn image() -> Image {
    let mut image = cluster([broker(1, 1)]);
    let configs = vec![("retention.ms".into(), Some("60".into()))];
    create(
        &mut image,
        &CreateTopic {
            configs,
            ..new_topic("logs")
        },
    );
    image
}

fn change(key: &str, op: ConfigOp, value: Option<&str>) -> ConfigChange {
    ConfigChange {
        key: key.to_owned(),
        op,
        value: value.map(str::to_owned),
    }
}

fn alter(
    image: &Image,
    resource: &Resource,
    changes: &[ConfigChange],
) -> Result<Vec<Record>, MetaError> {
    Controller::new(image, &Rules, POLICY).alter_configs(resource, changes)
}

fn logs() -> Resource {
    Resource::topic("logs")
}

#[test]
fn keys_are_set_and_deleted() {
    let mut image = image();
    let changes = [
        change("segment.bytes", ConfigOp::Set, Some("9")),
        change("retention.ms", ConfigOp::Delete, None),
    ];
    let records = alter(&image, &logs(), &changes).unwrap();
    apply(&mut image, &records);
    let configs: Vec<_> = image
        .configs(ResourceType::Topic, "logs")
        .unwrap()
        .iter()
        .collect();
    assert_eq!(configs, [(&"segment.bytes".to_owned(), &"9".to_owned())]);
    assert_eq!(
        alter(&image, &logs(), &changes),
        Ok(vec![]),
        "what is so already makes no record"
    );
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let cases = [
        (None, ConfigOp::Append, "compact", "delete,compact"),
        (None, ConfigOp::Append, "delete", "delete"),
        (
            Some("compact"),
            ConfigOp::Append,
            "delete,compact",
            "compact,delete",
        ),
        (
            Some("compact,delete"),
            ConfigOp::Subtract,
            "compact",
            "delete",
        ),
        (
            Some("compact, delete"),
            ConfigOp::Subtract,
            "delete",
            "compact",
        ),
        (Some("compact"), ConfigOp::Subtract, "delete,compact", ""),
        (None, ConfigOp::Subtract, "delete", ""),
    ];
    for (before, op, value, after) in cases {
        let mut image = image();
        let record = ConfigRecord {
            resource: logs(),
            key: "cleanup.policy".into(),
            value: before.map(str::to_owned),
        };
        apply(&mut image, &[Record::Config(record)]);
        let records = alter(
            &image,
            &logs(),
            &[change("cleanup.policy", op, Some(value))],
        )
        .unwrap();
        apply(&mut image, &records);
        let now = image.config(ResourceType::Topic, "logs", "cleanup.policy");
        assert_eq!(now, Some(after), "{before:?} {op:?} {value}");
    }
}

#[test]
fn all_configs_are_replaced() {
    let mut image = image();
    let configs = [("cleanup.policy".to_owned(), Some("compact".to_owned()))];
    let replace = |image: &Image| {
        Controller::new(image, &Rules, POLICY)
            .replace_configs(&logs(), &configs)
            .unwrap()
    };
    let records = replace(&image);
    apply(&mut image, &records);
    assert_eq!(image.configs(ResourceType::Topic, "logs").unwrap().len(), 1);
    assert_eq!(replace(&image), [], "once");
    let gone = Controller::new(&image, &Rules, POLICY)
        .replace_configs(&logs(), &[])
        .unwrap();
    apply(&mut image, &gone);
    assert_eq!(image.configs(ResourceType::Topic, "logs"), None);
}

#[test]
fn requests_that_are_refused() {
    let set = |key: &str, value: &str| vec![change(key, ConfigOp::Set, Some(value))];
    let (broker, brokers) = (Resource::broker(1), Resource::all_brokers());
    let named = |name: &str| Resource {
        kind: ResourceType::Broker,
        name: name.to_owned(),
    };
    let cases = [
        (
            "unknown topic",
            Resource::topic("nope"),
            set("retention.ms", "1"),
            3,
        ),
        ("unknown key", logs(), set("dummy.doesntexist", "1"), 40),
        (
            "unknown key of a broker",
            broker.clone(),
            set("dummy.doesntexist", "1"),
            40,
        ),
        ("bad value", logs(), set("retention.ms", "soon"), 40),
        (
            "bad value of a broker",
            brokers,
            set("retention.ms", "soon"),
            42,
        ),
        ("read-only key of a broker", broker, set("node.id", "7"), 42),
        (
            "no such broker",
            Resource::broker(7),
            set("retention.ms", "1"),
            102,
        ),
        (
            "no broker's name",
            named("one"),
            set("retention.ms", "1"),
            42,
        ),
        (
            "no value",
            logs(),
            vec![change("retention.ms", ConfigOp::Set, None)],
            42,
        ),
        (
            "no value to append",
            logs(),
            vec![change("cleanup.policy", ConfigOp::Append, None)],
            42,
        ),
        (
            "appended to what is no list",
            logs(),
            vec![change("retention.ms", ConfigOp::Append, Some("1"))],
            40,
        ),
        (
            "subtracted from the unknown",
            logs(),
            vec![change("dummy", ConfigOp::Subtract, Some("1"))],
            40,
        ),
        (
            "appended a bad element",
            logs(),
            vec![change("cleanup.policy", ConfigOp::Append, Some("shred"))],
            40,
        ),
        (
            "a key twice",
            logs(),
            [set("retention.ms", "1"), set("retention.ms", "2")].concat(),
            42,
        ),
        (
            "not together",
            logs(),
            [set("retention.ms", "1"), set("segment.bytes", "2")].concat(),
            40,
        ),
    ];
    let image = image();
    for (what, resource, changes, code) in cases {
        let error = alter(&image, &resource, &changes).unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    let replace = |configs: &[(String, Option<String>)]| {
        Controller::new(&image, &Rules, POLICY)
            .replace_configs(&logs(), configs)
            .unwrap_err()
            .code()
    };
    assert_eq!(replace(&[("retention.ms".to_owned(), None)]), 42);
    assert_eq!(replace(&[("dummy".to_owned(), Some("1".to_owned()))]), 40);
}

#[test]
fn one_bad_change_refuses_all_of_a_resource() {
    let changes = [
        change("segment.bytes", ConfigOp::Set, Some("9")),
        change("retention.ms", ConfigOp::Set, Some("x")),
    ];
    assert!(alter(&image(), &logs(), &changes).is_err());
}

#[test]
fn a_key_that_no_one_knows_can_be_deleted() {
    let changes = [change("dummy.doesntexist", ConfigOp::Delete, None)];
    assert_eq!(alter(&image(), &logs(), &changes), Ok(vec![]));
}

#[test]
fn operations_have_kafkas_numbers() {
    for op in [
        ConfigOp::Set,
        ConfigOp::Delete,
        ConfigOp::Append,
        ConfigOp::Subtract,
    ] {
        assert_eq!(ConfigOp::from_number(op as i8), Ok(op));
    }
    assert_eq!(ConfigOp::from_number(4).unwrap_err().code(), 42);
    assert_eq!(ConfigOp::from_number(-1).unwrap_err().code(), 42);
}
