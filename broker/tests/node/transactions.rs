//! Transactions as a client knows them: who reads what counts sees each of them whole or not at all, in order,
//! also after kill -9. `OTTLA_SEED` repeats a run.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::harness::{Broker, Options, Random, cores, temp_dir};
use crate::roundtrip::{config, create_topic};

const TOPIC: &str = "ledger";
const PARTITIONS: i32 = 2;
const WAIT: Duration = Duration::from_secs(60);

type Transactional = ThreadedProducer<DefaultProducerContext>;

fn begin_as(broker: &Broker, id: &str) -> Transactional {
    let producer: Transactional = config(broker)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "300000")
        .create()
        .expect("a producer");
    producer.init_transactions(WAIT).expect("a producer id");
    producer
}

fn reader(broker: &Broker, committed: bool) -> BaseConsumer {
    let isolation = if committed {
        "read_committed"
    } else {
        "read_uncommitted"
    };
    let created = config(broker)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create();
    created.expect("a consumer")
}

/// Reads values of a partition from its start until `last` comes, or nothing more can.
fn read(broker: &Broker, partition: i32, committed: bool, last: &str) -> Vec<String> {
    let consumer = reader(broker, committed);
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(TOPIC, partition, Offset::Offset(0))
        .expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    let mut values: Vec<String> = Vec::new();
    while values.last().is_none_or(|value| value != last) {
        match consumer.poll(WAIT).expect("something in time") {
            Ok(message) => {
                let value = message.payload().unwrap_or_default().to_vec();
                values.push(String::from_utf8(value).expect("our own text"));
            }
            Err(KafkaError::PartitionEOF(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    values
}

/// What was sent, by partition.
#[derive(Default)]
struct Ledger {
    all: [Vec<String>; PARTITIONS as usize],
    committed: [Vec<String>; PARTITIONS as usize],
}

impl Ledger {
    /// One transaction of some records.
    fn transact(&mut self, producer: &Transactional, number: usize, random: &mut Random) {
        producer.begin_transaction().expect("to begin");
        let commit = random.below(2) == 0;
        let records: Vec<(usize, String)> = (0..1 + random.below(40))
            .map(|at| (random.below(PARTITIONS as usize), format!("{number}.{at}")))
            .collect();
        self.send(producer, &records);
        if commit {
            producer.commit_transaction(WAIT).expect("to commit");
            for (partition, value) in records {
                self.committed[partition].push(value);
            }
        } else {
            // What wasn't sent is not to be waited for.
            producer.flush(WAIT).expect("to send");
            producer.abort_transaction(WAIT).expect("to abort");
        }
    }

    fn send(&mut self, producer: &Transactional, records: &[(usize, String)]) {
        for (partition, value) in records {
            let record = BaseRecord::<(), _>::to(TOPIC)
                .partition(*partition as i32)
                .payload(value);
            producer.send(record).expect("room for it");
            self.all[*partition].push(value.clone());
        }
    }

    /// A last record in each partition that counts.
    fn end(&mut self, producer: &Transactional) {
        producer.begin_transaction().expect("to begin");
        let records: Vec<_> = (0..PARTITIONS as usize)
            .map(|partition| (partition, "end".to_owned()))
            .collect();
        self.send(producer, &records);
        producer.commit_transaction(WAIT).expect("to commit");
        for committed in &mut self.committed {
            committed.push("end".to_owned());
        }
    }

    fn check(&self, broker: &Broker, what: &str) {
        for partition in 0..PARTITIONS {
            let at = partition as usize;
            let found = read(broker, partition, true, "end");
            assert_eq!(
                found, self.committed[at],
                "{what}: committed in {partition}"
            );
            let found = read(broker, partition, false, "end");
            assert_eq!(found, self.all[at], "{what}: all in {partition}");
        }
    }
}

#[test]
fn who_reads_what_counts_sees_whole_transactions() {
    let dir = temp_dir();
    let options = Options::with_shards(dir.path(), cores().min(2));
    let mut random = Random::from_env();
    let mut broker = Broker::start(&options);
    create_topic(&broker, TOPIC, PARTITIONS, &[("segment.bytes", "1048576")]);
    let mut ledger = Ledger::default();
    let mut number = 0;
    for round in 0..3 {
        let producer = begin_as(&broker, "writer");
        for _ in 0..15 {
            ledger.transact(&producer, number, &mut random);
            number += 1;
        }
        drop(producer);
        if round < 2 {
            broker.kill();
            broker = Broker::start(&options);
        }
    }
    ledger.end(&begin_as(&broker, "writer"));
    ledger.check(&broker, "as it was written");
    broker.kill();
    let broker = Broker::start(&options);
    ledger.check(&broker, "after a kill");
    assert!(broker.stop().success());
    let broker = Broker::start(&options);
    ledger.check(&broker, "after a stop");
    assert!(broker.stop().success());
}

#[test]
fn an_open_transaction_holds_back_what_comes_behind_it() {
    let dir = temp_dir();
    let options = Options::with_shards(dir.path(), cores().min(2));
    let broker = Broker::start(&options);
    create_topic(&broker, TOPIC, PARTITIONS, &[]);
    let text = |text: &str| (0, text.to_owned());
    let (slow, quick) = (begin_as(&broker, "slow"), begin_as(&broker, "quick"));
    let mut ledger = Ledger::default();
    slow.begin_transaction().expect("to begin");
    ledger.send(&slow, &[text("slow")]);
    slow.flush(WAIT).expect("to send");
    quick.begin_transaction().expect("to begin");
    ledger.send(&quick, &[text("quick")]);
    quick.commit_transaction(WAIT).expect("to commit");
    assert!(read(&broker, 0, true, "none").is_empty());
    assert_eq!(read(&broker, 0, false, "none"), ["slow", "quick"]);
    let ends = [true, false].map(|committed| {
        let consumer = reader(&broker, committed);
        let (_, end) = consumer.fetch_watermarks(TOPIC, 0, WAIT).expect("ends");
        end
    });
    assert_eq!(ends, [0, 3], "two records and a marker");
    // A kill takes neither the transaction nor its being open.
    drop((slow, quick));
    broker.kill();
    let broker = Broker::start(&options);
    assert!(read(&broker, 0, true, "none").is_empty());
    // Its producer comes again, which aborts it.
    drop(begin_as(&broker, "slow"));
    assert_eq!(read(&broker, 0, true, "quick"), ["quick"]);
    assert!(broker.stop().success());
}
