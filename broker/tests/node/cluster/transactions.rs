//! Transactions over partitions of all nodes, while nodes die: readers of what is committed see each whole, or
//! nothing of it. And what an operator sees and does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Nodes;
use super::changes::ottla;
use super::nodes::{PATIENCE, eventually};
use crate::harness::Random;

const TOPIC: &str = "whole-or-nothing";
const PARTITIONS: i32 = 6;

/// One that takes in by itself what became of its records; else an abort would wait for that for ever.
type Writer = ThreadedProducer<DefaultProducerContext>;

fn config(nodes: &Nodes) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", nodes.bootstrap());
    config.set("broker.address.family", "v4");
    config
}

fn create_topic(nodes: &Nodes, replicas: i32) {
    let admin: AdminClient<DefaultClientContext> = config(nodes).create().unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(replicas));
    let created = admin.create_topics([&topic], &AdminOptions::new());
    futures_lite::future::block_on(created).unwrap()[0]
        .as_ref()
        .unwrap();
}

fn producer(nodes: &Nodes, id: &str) -> Writer {
    let producer: Writer = config(nodes)
        .set("transactional.id", id)
        .set("linger.ms", "0")
        .create()
        .unwrap();
    again(|| producer.init_transactions(PATIENCE)).unwrap();
    producer
}

/// Tries again what the client says can be tried again.
fn again(mut step: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            done => return done,
        }
    }
}

/// A record to each partition. Whether they are in their logs is seen when the transaction ends.
fn write(producer: &Writer, number: usize) {
    for partition in 0..PARTITIONS {
        let value = number.to_string();
        let record: BaseRecord<'_, (), str> =
            BaseRecord::to(TOPIC).partition(partition).payload(&value);
        // One that can't be sent is one that its transaction doesn't commit without.
        if let Err((error, _)) = producer.send(record) {
            eprintln!("transaction {number}: {error}");
        }
    }
}

/// Writes a transaction and commits it; aborts it if it can't be. Whether it is committed.
fn commit(producer: &Writer, number: usize) -> bool {
    producer.begin_transaction().unwrap();
    write(producer, number);
    match again(|| producer.commit_transaction(PATIENCE)) {
        Ok(()) => true,
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
            again(|| producer.abort_transaction(PATIENCE)).unwrap();
            false
        }
        Err(error) => panic!("transaction {number}: {error}"),
    }
}

/// What readers of what is committed see: the transactions in each partition, in order.
fn committed(nodes: &Nodes) -> Vec<Vec<usize>> {
    let consumer: BaseConsumer = config(nodes)
        .set("group.id", "unused")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        from.add_partition_offset(TOPIC, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut seen = vec![Vec::new(); PARTITIONS as usize];
    let mut ended = BTreeSet::new();
    while ended.len() < seen.len() {
        match consumer.poll(PATIENCE).expect("an end of each partition") {
            Ok(message) => {
                let value = str::from_utf8(message.payload().unwrap()).unwrap();
                seen[message.partition() as usize].push(value.parse().unwrap());
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                ended.insert(partition);
            }
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

#[test]
fn transactions_are_whole_when_any_node_is_killed() {
    let mut random = Random::from_env();
    let mut nodes = Nodes::start(3, 2, &[]);
    create_topic(&nodes, 3);
    let writer = producer(&nodes, "writer");
    let mut outcomes = BTreeMap::new();
    let mut number = 0;
    for _ in 0..4 {
        let node = 1 + random.below(3);
        for step in 0..6 {
            if step == 2 {
                nodes.take(node).kill();
            }
            if step == 4 {
                nodes.begin(node);
            }
            if random.below(4) == 0 {
                writer.begin_transaction().unwrap();
                write(&writer, number);
                again(|| writer.abort_transaction(PATIENCE)).unwrap();
                outcomes.insert(number, false);
            } else {
                outcomes.insert(number, commit(&writer, number));
            }
            number += 1;
        }
        nodes.wait_ready(node);
    }
    // The last is left open; whoever begins with the id aborts it.
    writer.begin_transaction().unwrap();
    write(&writer, number);
    writer.flush(Duration::from_secs(10)).unwrap();
    drop(writer);
    let next = producer(&nodes, "writer");
    outcomes.insert(number, false);
    outcomes.insert(number + 1, commit(&next, number + 1));
    let wanted = outcomes.iter().filter(|(_, committed)| **committed);
    let wanted: Vec<usize> = wanted.map(|(number, _)| *number).collect();
    assert!(!wanted.is_empty());
    for (partition, seen) in committed(&nodes).into_iter().enumerate() {
        assert_eq!(seen, wanted, "partition {partition}");
    }
}

#[test]
fn operators_see_transactions_and_end_them() {
    let nodes = Nodes::start(2, 1, &[]);
    create_topic(&nodes, 1);
    let writer = producer(&nodes, "left");
    writer.begin_transaction().unwrap();
    write(&writer, 1);
    writer.flush(Duration::from_secs(10)).unwrap();
    let (fine, listed) = ottla(&nodes, &["txn", "list", "--state", "Ongoing", "--json"]);
    assert!(
        fine && listed.contains("\"transactional_id\":\"left\""),
        "{listed}"
    );
    let (fine, refused) = ottla(&nodes, &["txn", "list", "--state", "Sleeping"]);
    assert!(!fine && refused.contains("Sleeping"), "{refused}");
    let (fine, described) = ottla(&nodes, &["txn", "describe", "left"]);
    assert!(fine && described.contains("Ongoing"), "{described}");
    assert!(described.contains(&format!("{TOPIC}-5")), "{described}");
    let (fine, unknown) = ottla(&nodes, &["txn", "abort", "nobody"]);
    assert!(!fine && unknown.contains("not known"), "{unknown}");
    let partition = format!("{TOPIC}-0");
    let (fine, open) = ottla(&nodes, &["txn", "abort", "--partition", &partition]);
    assert!(fine && open.lines().count() == 2, "{open}");
    let id = open
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let by_hand = [
        "txn",
        "abort",
        "--partition",
        &partition,
        "--producer-id",
        id,
    ];
    let (fine, said) = ottla(&nodes, &by_hand);
    assert!(fine, "{said}");
    let (fine, said) = ottla(&nodes, &by_hand);
    assert!(!fine && said.contains("no open transaction"), "{said}");
    let (fine, said) = ottla(&nodes, &["txn", "abort", "left"]);
    assert!(fine, "{said}");
    let ended = writer.commit_transaction(PATIENCE);
    assert!(ended.is_err(), "it was shut out");
    eventually("the transaction is over", || {
        let (_, described) = ottla(&nodes, &["txn", "describe", "left"]);
        described.contains("Empty")
    });
    assert!(committed(&nodes).iter().all(Vec::is_empty));
}
