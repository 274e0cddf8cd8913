//! Rows as DescribeConfigs shows them.

use super::*;

fn map(entries: &[(&str, &str)]) -> Overrides {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const FULL: Want<'_> = Want {
    names: None,
    synonyms: true,
    documentation: true,
};

fn named<'a>(rows: &'a [ConfigRow], name: &str) -> &'a ConfigRow {
    rows.iter().find(|row| row.name == name).unwrap()
}

fn synonyms(row: &ConfigRow) -> Vec<(&str, Option<&str>, i8)> {
    row.synonyms
        .iter()
        .map(|s| (s.name.as_str(), s.value.as_deref(), s.source.code()))
        .collect()
}

#[test]
fn a_topic_shows_every_setting_and_what_lies_under_it() {
    let overrides = map(&[("retention.ms", "1000")]);
    let fixed = map(&[("log.retention.hours", "24"), ("message.max.bytes", "5")]);
    let node = map(&[("log.retention.ms", "2000")]);
    let layers = Layers {
        node: &node,
        ..Layers::of(&fixed)
    };
    let rows = topic(&overrides, &layers, FULL);
    assert_eq!(rows.len(), TOPIC_ROWS.len());
    let retention = named(&rows, "retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.source),
        (Some("1000"), Source::Topic)
    );
    assert_eq!(
        synonyms(retention),
        [
            ("retention.ms", Some("1000"), 1),
            ("log.retention.ms", Some("2000"), 2),
            ("log.retention.hours", Some("24"), 4),
            ("log.retention.hours", Some("168"), 5),
        ]
    );
    let size = named(&rows, "max.message.bytes");
    assert_eq!(
        (size.value.as_deref(), size.source, size.kind.code()),
        (Some("5"), Source::Static, 3)
    );
    let policy = named(&rows, "cleanup.policy");
    assert_eq!(
        (policy.value.as_deref(), policy.source),
        (Some("delete"), Source::Default)
    );
    assert_eq!(
        synonyms(policy),
        [("log.cleanup.policy", Some("delete"), 5)]
    );
    assert!(
        rows.iter()
            .all(|row| row.value.is_some() && !row.read_only && !row.sensitive)
    );
    assert!(
        rows.iter()
            .all(|row| row.documentation.is_some_and(|doc| !doc.is_empty()))
    );
}

#[test]
fn names_filter_and_extras_come_only_when_asked_for() {
    let want = Want {
        names: Some(&["flush.ms", "no.such"]),
        ..Want::default()
    };
    let rows = topic(&Overrides::new(), &Layers::defaults(), want);
    assert_eq!(rows.len(), 1);
    assert!(rows[0].synonyms.is_empty() && rows[0].documentation.is_none());
    assert_eq!(rows[0].value.as_deref(), Some("9223372036854775807"));
    let none: &[&str] = &[];
    let all = topic(
        &Overrides::new(),
        &Layers::defaults(),
        Want {
            names: Some(none),
            ..Want::default()
        },
    );
    assert_eq!(all.len(), TOPIC_ROWS.len());
}

#[test]
fn a_broker_shows_sources_and_read_only() {
    let fixed = map(&[("num.partitions", "4"), ("log.retention.ms", "5")]);
    let cluster = map(&[("background.threads", "20")]);
    let node = map(&[
        ("background.threads", "30"),
        ("listener.name.a.max.connections", "3"),
    ]);
    let layers = Layers {
        node: &node,
        cluster: &cluster,
        fixed: &fixed,
    };
    let rows = broker(&layers, FULL);
    assert_eq!(rows.len(), broker::rows().count() + 1);
    let partitions = named(&rows, "num.partitions");
    assert_eq!(
        (partitions.value.as_deref(), partitions.source.code()),
        (Some("4"), 4)
    );
    assert!(partitions.read_only);
    let threads = named(&rows, "background.threads");
    assert_eq!(
        (threads.value.as_deref(), threads.source.code()),
        (Some("30"), 2)
    );
    assert!(!threads.read_only);
    let under = [
        ("background.threads", Some("30"), 2),
        ("background.threads", Some("20"), 3),
        ("background.threads", Some("10"), 5),
    ];
    assert_eq!(synonyms(threads), under);
    assert_eq!(
        named(&rows, "listener.name.a.max.connections").source,
        Source::DynamicNode
    );
    // Set under a stronger name, the hours are still their own default.
    let hours = named(&rows, "log.retention.hours");
    assert_eq!(
        (hours.value.as_deref(), hours.source),
        (Some("168"), Source::Default)
    );
    let null = named(&rows, "broker.rack");
    assert_eq!(
        (null.value.as_deref(), null.source),
        (None, Source::Default)
    );
}

#[test]
fn secrets_are_null_wherever_they_are_set() {
    let fixed = map(&[("ssl.key.password", "hunter2")]);
    let cluster = map(&[("listener.name.a.sasl.jaas.config", "hunter2")]);
    let layers = Layers {
        cluster: &cluster,
        ..Layers::of(&fixed)
    };
    let rows = broker(&layers, FULL);
    let secret = named(&rows, "ssl.key.password");
    assert!(secret.sensitive && secret.value.is_none() && secret.kind.code() == 9);
    assert_eq!(synonyms(secret), [("ssl.key.password", None, 4)]);
    assert!(
        named(&rows, "listener.name.a.sasl.jaas.config")
            .value
            .is_none()
    );
    assert!(
        rows.iter()
            .all(|row| !format!("{row:?}").contains("hunter2"))
    );
}

#[test]
fn the_cluster_shows_what_is_set() {
    let settings = map(&[("background.threads", "20"), ("no.longer.known", "1")]);
    let rows = cluster(&settings, FULL);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].value.as_deref(), rows[0].source),
        (Some("20"), Source::DynamicCluster)
    );
}
