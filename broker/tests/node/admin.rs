//! What the admin server of a running node answers, and that its figures move with what is done.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Broker, Options, cores, temp_dir};
use crate::roundtrip::{create_topic, produce, read, rows};

const TOPIC: &str = "seen";
const PARTITIONS: i32 = 3;
const RECORDS: usize = 500;
const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An answer taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Gets `path`, which has to be there and of this type.
fn get(broker: &Broker, path: &str, content_type: &str) -> Answer {
    let answer = Answer::of(&broker.http(path).expect("an answer"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    let length = answer.header("content-length").map(str::parse);
    assert_eq!(length, Some(Ok(answer.body.len())), "{path}");
    answer
}

/// Sends a request with another method.
fn send(broker: &Broker, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(broker.admin).expect("a connection");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: ottla\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    Answer::of(&text)
}

/// The metrics of a node at one time.
struct Metrics(String);

impl Metrics {
    fn of(broker: &Broker) -> Self {
        let text = get(broker, "/metrics", EXPOSITION).body;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            let typed = |name: &str| text.contains(&format!("# TYPE {name} "));
            assert!(typed(name) || typed(family), "{line} has no type");
        }
        Self(text)
    }

    /// The sum of the samples of `name` that have all these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of_it = |line: &&str| {
            let rest = line.strip_prefix(name);
            let named = rest.is_some_and(|rest| rest.starts_with(['{', ' ']));
            let has =
                |(label, value): &(&str, &str)| line.contains(&format!("{label}=\"{value}\""));
            named && labels.iter().all(has)
        };
        let values = self.0.lines().filter(of_it).map(|line| {
            let value = line.rsplit_once(' ').expect("a value").1;
            value.parse::<f64>().expect("a number")
        });
        values.sum()
    }
}

fn start(dir: &std::path::Path) -> Broker {
    let broker = Broker::start(&Options::with_shards(dir, cores().min(2)));
    create_topic(&broker, TOPIC, PARTITIONS, &[]);
    broker
}

#[test]
fn every_endpoint_tells_what_the_node_is_and_has() {
    let dir = temp_dir();
    let broker = start(dir.path());
    produce(&broker, TOPIC, &rows(RECORDS), &[]);
    assert_eq!(get(&broker, "/healthz", PLAIN).body, "ok\n");
    assert_eq!(get(&broker, "/readyz", PLAIN).body, "ready\n");

    let node = get(&broker, "/v1/node", JSON).json();
    assert_eq!(node["node_id"], 1);
    assert_eq!(node["ready"], true);
    assert_eq!(node["remarks"], Value::Array(Vec::new()));
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(node["listen"], broker.bootstrap());
    assert_eq!(node["advertise"], broker.bootstrap());
    assert_eq!(node["shards"], cores().min(2));
    assert_eq!(node["topics"], 1);
    assert!(node["cluster_id"].as_str().is_some_and(|id| !id.is_empty()));
    let drives = node["drives"].as_array().expect("drives");
    assert_eq!(drives.len(), cores().min(2));
    let ids: Vec<&Value> = drives.iter().map(|drive| &drive["id"]).collect();
    for drive in drives {
        assert_eq!(drive["state"], "online");
        assert!(drive["available_bytes"].as_u64() <= drive["size_bytes"].as_u64());
    }

    let partitions = get(&broker, "/v1/partitions", JSON).json();
    let partitions = partitions["partitions"].as_array().expect("partitions");
    let indexes: Vec<_> = partitions
        .iter()
        .map(|row| row["partition"].as_i64())
        .collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    for row in partitions {
        assert_eq!(
            (&row["topic"], &row["state"]),
            (&TOPIC.into(), &"online".into())
        );
        assert!(ids.contains(&&row["drive"]), "{row}");
    }
    assert_eq!(partitions[0]["high_watermark"], RECORDS);
    assert_eq!(partitions[0]["log_end_offset"], RECORDS);
    assert_eq!(partitions[0]["log_start_offset"], 0);
    assert!(partitions[0]["size_bytes"].as_u64() > Some(1_000));
    assert_eq!(partitions[1]["high_watermark"], 0);
    assert!(broker.stop().success());
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let dir = temp_dir();
    let broker = Broker::start(&Options::at(dir.path()));
    let counted = |expected: u64| {
        let begun = Instant::now();
        loop {
            let view = get(&broker, "/v1/connections", JSON).json();
            assert_eq!(view["shards"][0]["connections"], view["total"]);
            assert!(view["limit"].as_u64() > Some(1_000));
            let shown = Metrics::of(&broker).sum("ottla_connections", &[("shard", "0")]);
            if view["total"] == expected && shown == expected as f64 {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{view}, {shown}");
        }
    };
    counted(0);
    let open: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(broker.kafka).expect("a connection"))
        .collect();
    counted(3);
    drop(open);
    counted(0);
}

#[test]
fn metrics_follow_what_is_produced_and_fetched() {
    let dir = temp_dir();
    let broker = start(dir.path());
    let before = Metrics::of(&broker);
    produce(&broker, TOPIC, &rows(RECORDS), &[("acks", "all")]);
    let found = read(&broker, TOPIC, 0, RECORDS);
    assert_eq!(found.len(), RECORDS);
    let after = Metrics::of(&broker);

    let moved = |name: &str, labels: &[(&str, &str)]| {
        let (before, after) = (before.sum(name, labels), after.sum(name, labels));
        assert!(after > before, "{name} {labels:?}: {before}, then {after}");
        after - before
    };
    let of_topic = [("topic", TOPIC), ("partition", "0")];
    let records = RECORDS as f64;
    assert_eq!(moved("ottla_produced_records_total", &[]), records);
    assert_eq!(moved("ottla_partition_high_watermark", &of_topic), records);
    assert_eq!(moved("ottla_partition_log_end_offset", &of_topic), records);
    let batches = moved("ottla_produced_batches_total", &[]);
    assert!((1.0..=records).contains(&batches), "{batches}");
    let bytes = moved("ottla_produced_bytes_total", &[]);
    assert_eq!(
        moved("ottla_partition_appended_bytes_total", &of_topic),
        bytes
    );
    assert_eq!(moved("ottla_partition_size_bytes", &of_topic), bytes);
    assert!(moved("ottla_fetched_bytes_total", &[]) >= bytes);
    assert!(moved("ottla_drive_written_bytes_total", &[]) >= bytes);
    moved("ottla_partition_tail_reads_total", &of_topic);
    for api in ["Produce", "Fetch", "Metadata"] {
        // The answer to the last Fetch may still be waited for.
        let asked = after.sum("ottla_requests_total", &[("api", api)]);
        let answered = after.sum("ottla_request_duration_seconds_count", &[("api", api)]);
        assert!(
            asked >= answered && answered >= 1.0,
            "{api}: {asked}, {answered}"
        );
    }
    moved("ottla_drive_write_duration_seconds_count", &[]);
    moved("ottla_uptime_seconds", &[]);
    assert_eq!(after.sum("ottla_ready", &[]), 1.0);
    // A consumer with a group has the topic of groups made, by and by.
    let topics = after.sum("ottla_topics", &[]);
    assert!((1.0..=2.0).contains(&topics), "{topics}");
    let online = after.sum("ottla_partitions", &[("state", "online")]);
    assert!(online >= f64::from(PARTITIONS), "{online}");
    assert!(after.sum("process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn other_methods_and_other_paths_are_refused() {
    let dir = temp_dir();
    let broker = Broker::start(&Options::at(dir.path()));
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/node",
        "/v1/partitions",
        "/v1/connections",
    ] {
        let head = send(&broker, "HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        let post = send(&broker, "POST", path);
        assert_eq!(post.status, 405, "{path}");
        assert_eq!(post.header("allow"), Some("get, head"), "{path}");
    }
    let none = send(&broker, "GET", "/v1/nothing");
    assert_eq!(
        (none.status, none.header("content-type")),
        (404, Some(JSON))
    );
    assert!(none.json()["error"].is_string());
    let none = send(&broker, "GET", "/");
    assert_eq!(
        (none.status, none.header("content-type")),
        (404, Some(PLAIN))
    );
}
