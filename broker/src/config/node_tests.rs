//! Precedence, names, values and origins of a node's settings.

use super::*;

fn machine() -> Machine {
    Machine {
        memory: 8 << 30,
        host: "box".to_owned(),
    }
}

fn file(text: &str) -> Sources {
    Sources {
        file: Some(("ottla.toml".into(), text.to_owned())),
        ..Sources::default()
    }
}

fn env(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(sources: Sources) -> Result<NodeConfig, NodeError> {
    NodeConfig::from_sources(sources, &machine())
}

fn refusal(sources: Sources) -> String {
    load(sources).unwrap_err().to_string()
}

#[test]
fn nothing_given_is_a_useful_node() {
    let config = load(Sources::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9092");
    assert_eq!(config.advertise.to_string(), "127.0.0.1:9092");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9644");
    assert_eq!(config.data_dirs, [PathBuf::from("ottla-data")]);
    assert_eq!((config.shards, config.node_id), (None, 1));
    assert_eq!((config.memory, config.io_memory), (2 << 30, 16 << 20));
    assert_eq!(config.drive_reserve, Amount::Share(200));
    assert_eq!(
        (config.log_format, config.log_filter.as_str()),
        (LogFormat::Human, "info")
    );
    assert_eq!(config.origin("listen"), &Origin::Default);
    assert_eq!(config.kafka["listeners"], "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.kafka["node.id"], "1");
    assert_eq!(config.summary().len(), OWN.len());
}

#[test]
fn what_comes_later_wins() {
    let mut sources = file(
        "memory = '1G'\nnode_id = 2\nshards = 3\nlisten = '127.0.0.1:1'\n[kafka]\n'num.partitions' = 2",
    );
    sources.env = env(&[
        ("OTTLA_NODE_ID", "4"),
        ("OTTLA_LISTEN", "127.0.0.1:2"),
        ("PATH", "/bin"),
    ]);
    sources.env.extend(env(&[
        ("OTTLA_KAFKA_NUM_PARTITIONS", "3"),
        ("OTTLA_KAFKA_LOG_ROLL_HOURS", "1"),
    ]));
    sources.flags = vec![("listen", vec!["127.0.0.1:3".to_owned()])];
    sources.sets = env(&[("num.partitions", "4")]);
    let config = load(sources).unwrap();
    assert_eq!(
        (config.memory, config.origin("memory")),
        (1 << 30, &Origin::File("ottla.toml".into()))
    );
    assert_eq!(config.shards.unwrap().get(), 3);
    assert_eq!(
        (config.node_id, config.origin("node_id")),
        (4, &Origin::Env("OTTLA_NODE_ID".to_owned()))
    );
    assert_eq!(
        (config.listen.port(), config.origin("listen")),
        (3, &Origin::Flag("--listen".to_owned()))
    );
    assert_eq!(config.kafka["num.partitions"], "4");
    assert_eq!(
        config.origin("num.partitions"),
        &Origin::Flag("--set".to_owned())
    );
    assert_eq!(config.kafka["log.roll.hours"], "1");
    let broker = BrokerConfig::resolve(&config.layers()).unwrap();
    assert_eq!(broker.num_partitions, 4);
}

#[test]
fn kafkas_names_are_taken_quoted_dotted_and_in_their_table() {
    let text = "log.retention.ms = 5\nlog.segment.bytes = 2097152\n\"max.connections\" = 9\n\
                [kafka]\nauto.create.topics.enable = false\nlog.cleanup.policy = ['delete', 'compact']";
    let config = load(file(text)).unwrap();
    assert_eq!(config.kafka["log.retention.ms"], "5");
    assert_eq!(config.kafka["log.cleanup.policy"], "delete,compact");
    let topic = TopicConfig::resolve(&Overrides::new(), &config.layers()).unwrap();
    assert_eq!((topic.retention_ms, topic.segment_bytes), (5, 2 << 20));
    assert!(topic.cleanup_policy.compact && topic.cleanup_policy.delete);
    assert!(
        !BrokerConfig::resolve(&config.layers())
            .unwrap()
            .auto_create_topics
    );
}

#[test]
fn kafkas_names_stand_for_our_own_settings() {
    let text = "[kafka]\nlisteners = 'PLAINTEXT://:19092'\nadvertised.listeners = 'PLAINTEXT://a.example:9'\n\
                log.dirs = '/d1,/d2'\n\"broker.id\" = 7";
    let config = load(file(text)).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:19092");
    assert_eq!(config.advertise.to_string(), "a.example:9");
    assert_eq!(
        config.data_dirs,
        [PathBuf::from("/d1"), PathBuf::from("/d2")]
    );
    assert_eq!((config.node_id, config.kafka["node.id"].as_str()), (7, "7"));
    assert!(
        refusal(file("listen = '127.0.0.1:1'\nlisteners = 'PLAINTEXT://:1'"))
            .contains("are one setting")
    );
    assert!(
        refusal(file("listeners = 'SSL://:1'"))
            .contains("there is one listener, PLAINTEXT://host:port")
    );
}

#[test]
fn every_address_is_told_on_as_the_hosts_name() {
    let config = load(file("listen = '0.0.0.0:9092'")).unwrap();
    assert_eq!(config.advertise.to_string(), "box:9092");
    assert!(refusal(file("advertise = '0.0.0.0:9092'")).contains("clients can't connect"));
    let config = load(file("listen = '[::1]:0'")).unwrap();
    assert_eq!(
        (config.advertise.host.as_str(), config.advertise.port),
        ("::1", 0)
    );
    assert_eq!(config.advertise.to_string(), "[::1]:0");
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    assert_eq!(
        refusal(file("memroy = '1G'")),
        "ottla.toml: unknown setting memroy; did you mean memory?"
    );
    assert_eq!(
        refusal(file("[kafka]\nlog.retention.mss = 1")),
        "ottla.toml: unknown setting log.retention.mss; did you mean log.retention.ms?"
    );
    let sources = |name: &str| Sources {
        env: env(&[(name, "1")]),
        ..Sources::default()
    };
    assert_eq!(
        refusal(sources("OTTLA_DATA_DIR")),
        "the environment: unknown setting OTTLA_DATA_DIR; did you mean OTTLA_DATA_DIRS?"
    );
    assert_eq!(
        refusal(sources("OTTLA_KAFKA_NUM_PARTITION")),
        "the environment: unknown setting OTTLA_KAFKA_NUM_PARTITION; did you mean OTTLA_KAFKA_NUM_PARTITIONS?"
    );
    let set = Sources {
        sets: env(&[("num.partition", "1")]),
        ..Sources::default()
    };
    assert_eq!(
        refusal(set),
        "--set: unknown setting num.partition; did you mean num.partitions?"
    );
    let set = Sources {
        sets: env(&[("memory", "1G")]),
        ..Sources::default()
    };
    assert_eq!(
        refusal(set),
        "--set takes Kafka's settings; for memory there is --memory"
    );
    assert!(refusal(file("message.format.version = '1'")).contains("unknown setting"));
}

#[test]
fn what_others_set_in_the_environment_is_left_alone() {
    let names = [
        "OTTLA_BROKERS",
        "OTTLA_CONFIG",
        "OTTLA_SERVICE_HOST",
        "OTTLA_PORT",
        "OTTLA_PORT_9092_TCP",
    ];
    let env = names
        .iter()
        .map(|name| ((*name).to_owned(), "tcp://10.0.0.1:9092".to_owned()))
        .collect();
    assert!(
        load(Sources {
            env,
            ..Sources::default()
        })
        .is_ok()
    );
}

#[test]
fn values_are_refused_with_place_and_reason() {
    let refusals = [
        ("memory = '1X'", "memory is 1X: expected a size"),
        ("memory = '1M'", "memory is 1M: the least is 64M"),
        ("io_memory = '1K'", "io_memory is 1K: the least is 1M"),
        ("shards = 0", "shards is 0: expected a number, 1 or more"),
        ("node_id = -1", "node_id is -1: expected a number"),
        ("listen = '9092'", "listen is 9092: expected host:port"),
        ("listen = '127.0.0.1:x'", "the port is a number"),
        ("listen = '::1:5'", "expected host:port"),
        ("data_dirs = []", "a data directory without a name"),
        ("data_dirs = ['a', 'b', 'a']", "a is given twice"),
        ("log_format = 'xml'", "expected human or json"),
        ("log_filter = 'info,a=b=c'", "log_filter is info,a=b=c"),
        (
            "[kafka]\nnum.partitions = 'x'",
            "Invalid value x for configuration num.partitions",
        ),
        ("[kafka]\nnum.partitions = 2024-01-01", "expected a text"),
        (
            "[kafka]\nlog.cleaner.min.compaction.lag.ms = 9\nlog.cleaner.max.compaction.lag.ms = 8",
            "conflict",
        ),
        ("x = ", "ottla.toml: not valid TOML"),
    ];
    for (text, expected) in refusals {
        let refused = refusal(file(text));
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn admin_may_be_off_and_flags_may_repeat() {
    let mut sources = file("admin = 'off'");
    sources.flags = vec![("data_dirs", vec!["/a,b".to_owned(), "/c".to_owned()])];
    let config = load(sources).unwrap();
    assert_eq!(config.admin, None);
    assert_eq!(
        config.data_dirs,
        [PathBuf::from("/a,b"), PathBuf::from("/c")]
    );
}

#[test]
fn this_machine_has_memory_and_a_name() {
    let machine = Machine::this();
    assert!(machine.memory >= MEMORY_MIN && !machine.host.is_empty());
}

#[test]
fn a_missing_file_is_named() {
    let error =
        NodeConfig::load(Some("/no/such/ottla.toml".into()), Vec::new(), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/no/such/ottla.toml"));
}
