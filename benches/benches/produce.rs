//! The load generator's way of a record, from its bytes to the socket: put into its partition's
//! batch, checksummed, sent in Produce requests over loopback, and answered.
//!
//! A figure is per 100-byte record, on one thread: encoding, batching, the checksum, `sendmsg`,
//! reading the answers, and giving the tickets back. The sink is a thread of its own that reads and
//! drops what comes and answers at once; its time is in the figure only as far as it holds the
//! producer up. Making the record's bytes is not in it. "encode" is without the socket.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use batch::{Compression, Open, ProducerFields};
use benches::{Bench, Jobs, Shard};
use bytes::{Bytes, BytesMut};
use criterion::Throughput;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, MetadataResponse, ProduceRequest, ProduceResponse,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use net::client::Acks;
use net::link::LinkConfig;
use net::producer::{Producer, ProducerConfig, Push};

const RECORD: usize = 100;
const PARTITIONS: usize = 6;
const TOPIC: &str = "sink";

fn put<M: Encodable + HeaderVersion>(to: &mut TcpStream, id: i32, version: i16, message: &M) {
    let mut out = BytesMut::zeroed(4);
    ResponseHeader::default()
        .with_correlation_id(id)
        .encode(&mut out, M::header_version(version))
        .unwrap();
    message.encode(&mut out, version).unwrap();
    let size = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&size.to_be_bytes());
    // The producer may be gone: the benchmark is over then.
    let _ = to.write_all(&out);
}

/// Answers one connection's requests; the batches of Produce are not looked at.
fn sink(mut stream: TcpStream, port: i32) {
    stream.set_nodelay(true).unwrap();
    let mut frame = Vec::new();
    loop {
        let mut size = [0; 4];
        if stream.read_exact(&mut size).is_err() {
            return;
        }
        frame.resize(i32::from_be_bytes(size) as usize, 0);
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let (api, version) = (number(0), number(2));
        let id = i32::from_be_bytes(*frame[4..].first_chunk().unwrap());
        match api {
            0 => {
                let answer = produced(Bytes::from(std::mem::take(&mut frame)), version);
                put(&mut stream, id, version, &answer);
            }
            3 => put(&mut stream, id, version, &metadata(port)),
            18 => put(&mut stream, id, version, &versions()),
            other => panic!("request {other}"),
        }
    }
}

fn produced(mut frame: Bytes, version: i16) -> ProduceResponse {
    RequestHeader::decode(&mut frame, ProduceRequest::header_version(version)).unwrap();
    let request = ProduceRequest::decode(&mut frame, version).unwrap();
    let topics = request.topic_data.iter().map(|topic| {
        let parts = topic.partition_data.iter();
        let parts = parts.map(|part| PartitionProduceResponse::default().with_index(part.index));
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(parts.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn versions() -> ApiVersionsResponse {
    let keys = [(0, 3, 12), (3, 9, 12), (18, 0, 3)].map(|(key, min, max)| {
        ApiVersion::default()
            .with_api_key(key)
            .with_min_version(min)
            .with_max_version(max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.to_vec())
}

fn metadata(port: i32) -> MetadataResponse {
    let parts = (0..PARTITIONS as i32).map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(BrokerId(1))
    });
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(port);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_static_str(TOPIC))))
        .with_partitions(parts.collect());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_topics(vec![topic])
}

fn start_sink() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || sink(stream, i32::from(address.port())));
        }
    });
    address.to_string()
}

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
                let address = start_sink();
                Shard::start(None, move |jobs| serve(address, batch_bytes, jobs))
            };
            let shard = shard.get_or_insert_with(start);
            bencher.iter_custom(|iters| shard.measure((), iters));
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
    benches::run(&[encode, into_sink]);
}
