//! Nodes die and come back under load: clients go on, and nothing acknowledged is lost, doubled or out of
//! order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use faultfs::{Fault, Op};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::Nodes;
use super::nodes::{PATIENCE, eventually};
use crate::harness::{Random, faulty_drive, temp_dir};
use crate::kill::Deliveries;
use crate::roundtrip::read_values;

pub(super) const TOPIC: &str = "carried-on";
pub(super) const PARTITIONS: i32 = 6;

pub(super) fn config(nodes: &Nodes) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", nodes.bootstrap());
    config.set("broker.address.family", "v4");
    config
}

pub(super) fn create_topic(nodes: &Nodes) {
    let admin: AdminClient<DefaultClientContext> = config(nodes).create().unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(3))
        .set("min.insync.replicas", "2");
    let created = admin.create_topics([&topic], &AdminOptions::new());
    futures_lite::future::block_on(created).unwrap()[0]
        .as_ref()
        .unwrap();
    in_sync(nodes);
}

/// Waits until every replica is in sync.
pub(super) fn in_sync(nodes: &Nodes) {
    let client: BaseConsumer = config(nodes).create().unwrap();
    eventually("all replicas are in sync", || {
        let metadata = client.fetch_metadata(Some(TOPIC), PATIENCE).unwrap();
        let partitions = metadata.topics()[0].partitions();
        partitions.len() == PARTITIONS as usize
            && partitions
                .iter()
                .all(|one| one.isr().len() == 3 && one.leader() > 0)
    });
}

/// A client that produces until it is told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(i32, i64, String)>>,
}

impl Load {
    pub(super) fn start(nodes: &Nodes, name: usize) -> Self {
        let producer: ThreadedProducer<Deliveries> = config(nodes)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .create_with_context(Deliveries::default())
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sequence = 0_usize;
            while !told.load(Ordering::Relaxed) {
                let value = format!("{name}-{sequence}-{}", "x".repeat(sequence % 200));
                let partition = (sequence % PARTITIONS as usize) as i32;
                let record: BaseRecord<'_, (), str> =
                    BaseRecord::to(TOPIC).partition(partition).payload(&value);
                if producer.send(record).is_ok() {
                    sequence += 1;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            producer.flush(PATIENCE).unwrap();
            let errors = producer.context().errors.lock().unwrap();
            assert!(errors.is_empty(), "not delivered: {errors:?}");
            drop(errors);
            let rows = std::mem::take(&mut *producer.context().rows.lock().unwrap());
            assert_eq!(rows.len(), sequence, "every record was acknowledged");
            rows
        });
        Self { stop, thread }
    }

    /// What was acknowledged.
    pub(super) fn end(self) -> Vec<(i32, i64, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Reads all, and compares with what was acknowledged.
fn verify(nodes: &Nodes, acknowledged: &[(i32, i64, String)]) {
    let mut found = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let mut seen = HashSet::new();
        let mut last = BTreeMap::new();
        for (offset, value) in read_values(nodes.any(), TOPIC, partition) {
            assert!(
                seen.insert(value.clone()),
                "{value} lies twice in partition {partition}"
            );
            let mut numbers = value
                .split('-')
                .map(|part| part.parse::<u64>().unwrap_or(0));
            let (name, sequence) = (numbers.next(), numbers.next());
            let before = last.insert(name, sequence);
            assert!(
                before.is_none_or(|before| before < sequence),
                "{value} is out of order"
            );
            found.insert((partition, offset), value);
        }
    }
    for (partition, offset, value) in acknowledged {
        let there = found.get(&(*partition, *offset));
        assert_eq!(
            there,
            Some(value),
            "partition {partition} lost offset {offset}"
        );
    }
    assert!(!acknowledged.is_empty(), "no load reached the cluster");
}

#[test]
fn nothing_is_lost_when_any_node_is_killed() {
    let mut random = Random::from_env();
    let mut nodes = Nodes::start(3, 1, &[]);
    create_topic(&nodes);
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let load = Load::start(&nodes, round);
        std::thread::sleep(Duration::from_millis(100 + random.below(400) as u64));
        let node = 1 + random.below(3);
        nodes.take(node).kill();
        std::thread::sleep(Duration::from_millis(random.below(1500) as u64));
        nodes.begin(node);
        nodes.wait_ready(node);
        std::thread::sleep(Duration::from_millis(random.below(500) as u64));
        acknowledged.extend(load.end());
        in_sync(&nodes);
    }
    verify(&nodes, &acknowledged);
}

#[test]
fn nothing_is_lost_when_all_nodes_are_killed_at_once() {
    let mut nodes = Nodes::start(3, 1, &[]);
    create_topic(&nodes);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let load = Load::start(&nodes, round);
        std::thread::sleep(Duration::from_millis(300));
        for node in 1..=3 {
            nodes.take(node).kill();
        }
        nodes.start_all();
        std::thread::sleep(Duration::from_millis(300));
        acknowledged.extend(load.end());
        in_sync(&nodes);
    }
    verify(&nodes, &acknowledged);
}

#[test]
fn others_lead_what_is_on_a_failed_drive() {
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    // Nobody is to be waited for until it lags.
    let mut nodes = Nodes::new(3, 1, &[("replica.lag.time.max.ms", "600000")]);
    nodes.give_besides(2, &drive.path().join("bad"));
    nodes.start_all();
    create_topic(&nodes);
    let load = Load::start(&nodes, 0);
    std::thread::sleep(Duration::from_millis(300));
    let writes = Fault::eio(&[Op::Write]);
    drive.controls().inject(writes).expect("in this process");
    let client: BaseConsumer = config(&nodes).create().unwrap();
    eventually(
        "replicas on the drive left the sets in sync, and each partition is led",
        || {
            let metadata = client.fetch_metadata(Some(TOPIC), PATIENCE).unwrap();
            let partitions = metadata.topics()[0].partitions();
            let without = partitions
                .iter()
                .filter(|one| !one.isr().contains(&2))
                .count();
            without > 0
                && without < partitions.len()
                && partitions.iter().all(|one| one.leader() > 0)
        },
    );
    std::thread::sleep(Duration::from_millis(300));
    let acknowledged = load.end();
    verify(&nodes, &acknowledged);
}

#[test]
fn a_follower_whose_drive_is_full_says_so_once_and_comes_back() {
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    let mut nodes = Nodes::new(3, 1, &[("replica.lag.time.max.ms", "1000")]);
    nodes.give_besides(2, &drive.path().join("small"));
    nodes.start_all();
    create_topic(&nodes);
    let capacity = |bytes| {
        let controls = drive.controls();
        controls.set_capacity(bytes).expect("in this process");
    };
    capacity(Some(0));
    let load = Load::start(&nodes, 0);
    eventually("the drive is full", || {
        nodes.node(2).log().contains("drive full")
    });
    // Long enough for several tries.
    std::thread::sleep(Duration::from_millis(3_500));
    let log = nodes.node(2).log();
    let told = log.matches("is full").count() + log.matches("drive full").count();
    assert_eq!(told, 1, "{log}");
    capacity(None);
    let acknowledged = load.end();
    in_sync(&nodes);
    verify(&nodes, &acknowledged);
}

#[test]
fn clients_go_on_through_a_rolling_restart() {
    let mut nodes = Nodes::start(3, 1, &[]);
    create_topic(&nodes);
    let load = Load::start(&nodes, 0);
    for node in 1..=3 {
        std::thread::sleep(Duration::from_millis(200));
        assert!(nodes.take(node).stop().success());
        nodes.begin(node);
        nodes.wait_ready(node);
        in_sync(&nodes);
    }
    let acknowledged = load.end();
    verify(&nodes, &acknowledged);
}
