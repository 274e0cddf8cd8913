//! kill -9 under load, again and again: what was acknowledged is there, once, in order, at the offset
//! that was told.
//!
//! `OTTLA_KILL_ROUNDS` sets how many times (8 if unset), `OTTLA_SEED` repeats a run.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::harness::{Broker, Options, Random, cores, temp_dir};
use crate::roundtrip::{config, create_topic, read_values};

const TOPIC: &str = "under-fire";
const PARTITIONS: i32 = 6;

/// What producers were told: by partition, the value acknowledged at each offset.
pub struct Ledger {
    topic: &'static str,
    partitions: i32,
    acked: BTreeMap<(i32, i64), String>,
}

/// Collects what the broker says of each record.
#[derive(Default)]
pub struct Deliveries {
    /// Acknowledged: partition, offset, value.
    pub rows: Mutex<Vec<(i32, i64, String)>>,
    /// Refused or given up.
    pub errors: Mutex<Vec<RDKafkaErrorCode>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                let value = String::from_utf8(message.payload().unwrap_or_default().to_vec());
                let row = (
                    message.partition(),
                    message.offset(),
                    value.expect("our own text"),
                );
                self.rows.lock().expect("not poisoned").push(row);
            }
            Err((error, _)) => {
                let code = error
                    .rdkafka_error_code()
                    .unwrap_or(RDKafkaErrorCode::Unknown);
                self.errors.lock().expect("not poisoned").push(code);
            }
        }
    }
}

impl Ledger {
    /// An empty one for a topic.
    pub fn new(topic: &'static str, partitions: i32) -> Self {
        Self {
            topic,
            partitions,
            acked: BTreeMap::new(),
        }
    }

    /// How many records were acknowledged.
    pub fn len(&self) -> usize {
        self.acked.len()
    }

    /// Produces to all partitions until `until`, kills the broker then, and notes what was
    /// acknowledged.
    pub fn produce_and_kill(&mut self, broker: Broker, round: usize, random: &mut Random) {
        let acks = if random.below(2) == 0 { "1" } else { "all" };
        let idempotent = acks == "all" && random.below(2) == 0;
        let codec = ["none", "lz4", "zstd"][random.below(3)];
        let producer: ThreadedProducer<Deliveries> = config(&broker)
            .set("acks", acks)
            .set("enable.idempotence", idempotent.to_string())
            .set("compression.codec", codec)
            .set("linger.ms", random.below(4).to_string())
            // A batch that is sent twice without idempotence may lie there twice; that is no loss.
            .set(
                "message.send.max.retries",
                if idempotent { "100" } else { "0" },
            )
            .create_with_context(Deliveries::default())
            .expect("a producer");
        let end = Instant::now() + Duration::from_millis(20 + random.below(250) as u64);
        let mut sequence = 0;
        while Instant::now() < end {
            let value = format!("{round}-{sequence}-{}", "x".repeat(random.below(300)));
            let partition = (sequence % self.partitions as usize) as i32;
            let record: BaseRecord<'_, (), str> = BaseRecord::to(self.topic)
                .partition(partition)
                .payload(&value);
            if producer.send(record).is_err() {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            sequence += 1;
        }
        broker.kill();
        producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        producer
            .flush(Duration::from_secs(5))
            .expect("nothing is left to send");
        let delivered = producer.context().rows.lock().expect("not poisoned");
        for (partition, offset, value) in delivered.iter() {
            let before = self.acked.insert((*partition, *offset), value.clone());
            assert_eq!(
                before, None,
                "offset {offset} of partition {partition} was given twice"
            );
        }
    }

    /// Reads all partitions and compares.
    pub fn verify(&self, broker: &Broker) {
        for partition in 0..self.partitions {
            let found = read_values(broker, self.topic, partition);
            let mut seen = HashSet::new();
            let mut last = BTreeMap::new();
            for (at, (offset, value)) in found.iter().enumerate() {
                assert_eq!(
                    *offset, at as i64,
                    "offsets of partition {partition} have a gap"
                );
                assert!(
                    seen.insert(value),
                    "{value} lies twice in partition {partition}"
                );
                let mut parts = value
                    .splitn(3, '-')
                    .map(|part| part.parse::<u64>().unwrap_or(0));
                let (round, sequence) = (parts.next(), parts.next());
                let before = last.insert(round, sequence);
                assert!(
                    before.is_none_or(|before| before < sequence),
                    "partition {partition} at {offset} is out of order"
                );
            }
            for ((_, offset), value) in self.acked.range((partition, 0)..(partition + 1, 0)) {
                let there = found.get(usize::try_from(*offset).expect("an offset"));
                let there = there.map(|(_, value)| value);
                assert_eq!(
                    there,
                    Some(value),
                    "partition {partition} lost offset {offset}"
                );
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var("OTTLA_KILL_ROUNDS").ok();
    let rounds: usize = rounds.map_or(8, |rounds| rounds.parse().expect("a number"));
    let mut random = Random::from_env();
    let dir = temp_dir();
    // Two drives: with one shard both are its own, with two each has one. It changes between starts.
    let mut options = Options::with_shards(dir.path(), 2)
        .set("log.segment.bytes", "4194304")
        .argument("--log-filter=warn");
    options.shards = 1;
    let broker = Broker::start(&options);
    create_topic(&broker, TOPIC, PARTITIONS, &[]);
    assert!(broker.stop().success());
    let mut ledger = Ledger::new(TOPIC, PARTITIONS);
    for round in 0..rounds {
        options.shards = 1 + random.below(2).min(cores() - 1);
        let broker = Broker::start(&options);
        if round % 16 == 15 {
            ledger.verify(&broker);
        }
        ledger.produce_and_kill(broker, round, &mut random);
    }
    let broker = Broker::start(&options);
    ledger.verify(&broker);
    eprintln!(
        "{rounds} kills, {} records acknowledged, all there",
        ledger.len()
    );
    assert!(ledger.len() > 0, "no load reached the broker");
    assert!(broker.stop().success());
}
