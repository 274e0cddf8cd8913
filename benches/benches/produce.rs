//! The load generator's way of a record, from its bytes to the socket: put into its partition's
//! batch, checksummed, sent in Produce requests over loopback, and answered.
//!
//! A figure is per 100-byte record, on one thread: encoding, batching, the checksum, `sendmsg`,
//! reading the answers, and giving the tickets back. The sink is a thread of its own that reads and
//! drops what comes and answers at once; its time is in the figure only as far as it holds the
//! producer up. "encode" is without the socket; "produce" without making the record's bytes;
//! "generate" is all that a producer of the load generator does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use batch::{Compression, Open, ProducerFields};
use benches::sink::{self, PARTITIONS, TOPIC};
use benches::{Bench, Clock, Jobs, Shard};
use bytes::BytesMut;
use criterion::Throughput;
use loadgen::driver::{self, Target};
use loadgen::engine::{Begin, Cores, Crew, Phase, Threads};
use loadgen::measure::recorder::now_ns;
use loadgen::measure::tick::{Role, Said};
use loadgen::workload::{Acks as WorkloadAcks, Workload};
use net::client::Acks;
use net::link::LinkConfig;
use net::producer::{Producer, ProducerConfig, Push};

const RECORD: usize = 100;

/// Puts in, sends, and waits for the answers of so many records.
async fn produce(producer: &mut Producer<u64>, value: &[u8], records: u64) {
    let began = Instant::now();
    let now = || began.elapsed().as_nanos() as u64 + 1;
    let (mut put, mut back, mut slot, mut in_batch) = (0, 0, 0, 0);
    while back < records {
        let at = now();
        let enough = producer.ready_bytes() + (64 << 10);
        while put < records && producer.has_room() && producer.ready_bytes() < enough {
            producer.append(slot, 1_700_000_000_000, None, Some(value), at, at);
            put += 1;
            in_batch += 1;
            // As many as a batch holds: the next partition gets the next.
            if in_batch == 74 {
                (slot, in_batch) = ((slot + 1) % PARTITIONS, 0);
            }
        }
        let push = if put == records {
            Push::All
        } else {
            Push::Busy
        };
        producer.turn(now(), push);
        let mut any = false;
        while let Some(outcome) = producer.next_outcome() {
            outcome.result.expect("stored");
            back += outcome.tickets.len() as u64;
            producer.recycle(outcome.tickets);
            any = true;
        }
        if !any && (put == records || !producer.has_room()) {
            producer.wait(now(), u64::MAX).await;
        } else {
            rt::task::yield_now().await;
        }
    }
}

async fn serve(address: String, batch_bytes: usize, mut jobs: Jobs<()>) {
    let config = ProducerConfig {
        acks: Acks::Leader,
        batch_bytes,
        buffer_bytes: 4 << 20,
        linger: Duration::from_millis(5),
        ..ProducerConfig::default()
    };
    let topics = [(TOPIC, PARTITIONS)];
    let link = LinkConfig::default();
    let mut producer = Producer::open(vec![address], &topics, config, link)
        .await
        .expect("the sink answers");
    let value = [7; RECORD];
    while let Some(job) = jobs.next().await {
        job.time(async |records| produce(&mut producer, &value, records).await)
            .await;
    }
    producer.close().await;
}

fn into_sink(bench: &mut Bench) {
    let mut group = bench.benchmark_group("produce 100 bytes into a sink");
    group.throughput(Throughput::Elements(1));
    for (label, batch_bytes) in [("8 KiB batches", 8 << 10), ("64 KiB batches", 64 << 10)] {
        let mut shard = None;
        group.bench_function(label, |bencher| {
            let start = || {
                let address = sink::start();
                Shard::start(None, move |jobs| serve(address, batch_bytes, jobs))
            };
            let shard = shard.get_or_insert_with(start);
            bencher.iter_custom(|iters| shard.measure((), iters));
        });
    }
}

/// A whole producer of the load generator: it makes each record with bytes of its own, numbers and
/// checks it, sends it, notes its latency. How long until all of so many records are answered.
fn generate(address: &str, batch_bytes: usize, records: u64) -> Duration {
    let target = Target {
        driver: "kafka".to_owned(),
        brokers: vec![address.to_owned()],
        name: "sink".to_owned(),
        options: Default::default(),
    };
    let driver = driver::open(&target).expect("there is a driver for Kafka's protocol");
    let workload = Workload {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        record_bytes: RECORD,
        acks: WorkloadAcks::Leader,
        batch_bytes,
        ..Workload::default()
    };
    let mut crew = Threads::new(driver, Cores::free(), None);
    crew.phase(&Arc::new(workload), Phase::Live);
    crew.start(Role::Producer);
    let clock = Clock::from_env();
    let mut begun = clock.now();
    loop {
        match crew
            .hear(Duration::from_secs(60))
            .expect("the producer is at it")
        {
            Said::Ready(..) => {
                begun = clock.now();
                let now = now_ns();
                crew.begin(Begin {
                    start_ns: now,
                    zero_ns: now,
                    end_ns: None,
                    records: Some(records),
                });
            }
            Said::Produced(summary) => {
                let acked: u64 = summary
                    .streams
                    .iter()
                    .map(|stream| stream.acked.count())
                    .sum();
                assert_eq!(acked, records);
            }
            Said::Ended(_, _, failure) => {
                assert_eq!(failure, None);
                return clock.now() - begun;
            }
            Said::Tick(_) | Said::Consumed(_) => {}
        }
    }
}

fn generator(bench: &mut Bench) {
    let mut group = bench.benchmark_group("generate 100 bytes into a sink");
    group.throughput(Throughput::Elements(1));
    for (label, batch_bytes) in [("8 KiB batches", 8 << 10), ("64 KiB batches", 64 << 10)] {
        let mut address = None;
        group.bench_function(label, |bencher| {
            let address = address.get_or_insert_with(sink::start);
            bencher.iter_custom(|iters| generate(address, batch_bytes, iters));
        });
    }
}

fn encode(bench: &mut Bench) {
    let mut group = bench.benchmark_group("encode 100 bytes");
    group.throughput(Throughput::Elements(1));
    let value = [7; RECORD];
    group.bench_function("8 KiB batches, with checksum", |bencher| {
        let mut open = Open::new(BytesMut::new(), 8 << 10);
        bencher.iter(|| {
            if !open.push(1_700_000_000_000, None, Some(&value)) {
                let empty = Open::new(BytesMut::new(), 0);
                let full = std::mem::replace(&mut open, empty);
                let closed = full.close(Compression::None, ProducerFields::NONE).unwrap();
                open = Open::new(closed, 8 << 10);
                assert!(open.push(1_700_000_000_000, None, Some(&value)));
            }
        });
    });
}

fn main() {
    benches::run(&[encode, into_sink, generator]);
}
