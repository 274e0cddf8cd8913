//! Compacted topics under fire: kill -9 and power cuts in the middle of compaction lose no key's last value.
//!
//! `OTTLA_COMPACTED_ROUNDS` sets how many times (6 if unset), `OTTLA_SEED` repeats a run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faultfs::{PowerCut, Sector};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::{Broker, Options, Random, faulty_drive, temp_dir};
use crate::kill::Deliveries;
use crate::roundtrip::{config, create_topic};

const TOPIC: &str = "squeezed";
const KEYS: usize = 50;
const WAIT: Duration = Duration::from_secs(30);

/// A record: offset, key, value.
pub type Found = (i64, String, String);

/// All there is in partition 0 of a topic; offsets may have gaps.
pub fn read_all(broker: &Broker, topic: &str) -> Vec<Found> {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    let text = |bytes: Option<&[u8]>| {
        String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("our own text")
    };
    let mut found: Vec<Found> = Vec::new();
    loop {
        match consumer.poll(WAIT).expect("a record or the end in time") {
            Ok(message) => {
                let after = found.last().is_none_or(|last| last.0 < message.offset());
                assert!(after, "offsets grow");
                found.push((
                    message.offset(),
                    text(message.key()),
                    text(message.payload()),
                ));
            }
            Err(KafkaError::PartitionEOF(_)) => return found,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What was acknowledged at each offset: the number of the record.
#[derive(Default)]
struct Ledger {
    acked: BTreeMap<i64, usize>,
    sequence: usize,
}

impl Ledger {
    /// Produces for a while, then has the broker killed.
    fn produce_and_kill(&mut self, broker: Broker, random: &mut Random) {
        let codec = ["none", "lz4", "zstd"][random.below(3)];
        let producer: ThreadedProducer<Deliveries> = config(&broker)
            .set("acks", "all")
            .set("compression.codec", codec)
            .set("linger.ms", "2")
            .set("message.send.max.retries", "0")
            .create_with_context(Deliveries::default())
            .expect("a producer");
        let end = Instant::now() + Duration::from_millis(200 + random.below(400) as u64);
        while Instant::now() < end {
            let key = format!("key-{}", self.sequence % KEYS);
            let value = format!("{} {}", self.sequence, "x".repeat(random.below(4000)));
            let record = BaseRecord::to(TOPIC).partition(0).key(&key).payload(&value);
            if producer.send(record).is_ok() {
                self.sequence += 1;
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        broker.kill();
        producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        producer
            .flush(Duration::from_secs(5))
            .expect("nothing is left to send");
        let delivered = producer.context().rows.lock().expect("not poisoned");
        for (_, offset, value) in delivered.iter() {
            let before = self.acked.insert(*offset, number(value));
            assert_eq!(before, None, "offset {offset} was given twice");
        }
    }

    /// Reads all and compares; gives back how many records there are.
    fn verify(&self, broker: &Broker) -> usize {
        let found = read_all(broker, TOPIC);
        let mut last = BTreeMap::new();
        for (offset, key, value) in &found {
            let sequence = number(value);
            assert_eq!(*key, format!("key-{}", sequence % KEYS));
            let known = self.acked.get(offset);
            assert!(known.is_none_or(|known| *known == sequence), "at {offset}");
            last.insert(sequence % KEYS, sequence);
        }
        for sequence in self.acked.values() {
            let there = last.get(&(sequence % KEYS));
            assert!(there >= Some(sequence), "{sequence} is lost: {there:?}");
        }
        found.len()
    }
}

/// The number a value begins with.
fn number(value: &str) -> usize {
    let (number, _) = value.split_once(' ').expect("a number first");
    number.parse().expect("a number")
}

#[test]
fn no_last_value_is_lost_when_compaction_is_cut_off() {
    let rounds = std::env::var("OTTLA_COMPACTED_ROUNDS").ok();
    let rounds: usize = rounds.map_or(6, |rounds| rounds.parse().expect("a number"));
    let mut random = Random::from_env();
    let dir = temp_dir();
    let drive = faulty_drive(dir.path());
    let mut options = Options::at(dir.path())
        .set("log.cleaner.backoff.ms", "10")
        .argument("--log-filter=warn");
    if let Some(drive) = &drive {
        options.data_dirs = vec![drive.path().join("data")];
    }
    let broker = Broker::start(&options);
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "50"),
        ("flush.messages", "1"),
    ];
    create_topic(&broker, TOPIC, 1, &settings);
    assert!(broker.stop().success());
    let mut ledger = Ledger::default();
    for _ in 0..rounds {
        let broker = Broker::start(&options);
        ledger.verify(&broker);
        ledger.produce_and_kill(broker, &mut random);
        if let Some(drive) = drive.as_ref().filter(|_| random.below(2) == 0) {
            let torn = PowerCut::clean().torn(random.below(1 << 30) as u64, Sector::Small);
            let cut = match random.below(3) {
                0 => PowerCut::clean(),
                1 => torn,
                _ => torn.losing_names(),
            };
            let cut = drive.controls().power_cut(&cut);
            cut.expect("the drive is in this process");
        }
    }
    let broker = Broker::start(&options);
    let (begun, all) = (Instant::now(), ledger.acked.len());
    assert!(all > 20 * KEYS, "{all} records are no load");
    loop {
        let left = ledger.verify(&broker);
        if left <= 2 * KEYS {
            eprintln!("{rounds} ends, {all} records acknowledged, {left} left");
            break;
        }
        assert!(begun.elapsed() < WAIT, "{left} of {all} are still there");
    }
    assert!(broker.stop().success());
}
