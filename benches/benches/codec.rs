//! Taking requests apart and putting answers together: no socket, no log.
//!
//! Messages are in the newest version that is served, of one topic with six partitions, and made
//! by another codec than ours.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use benches::{Bench, load};
use bytes::{BufMut, Bytes, BytesMut};
use criterion::BatchSize;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use net::fetch::{FetchResponse, FetchedPartition, FetchedTopic};
use net::header::RequestHeader;
use net::produce::{self, PartitionProduced, TopicProduced};
use net::registry;
use uuid::Uuid;

const PARTITIONS: i32 = 6;
const BATCH: usize = 16 << 10;
/// Batches in a partition's part of a fetch answer, each in a piece of memory of its own.
const FETCHED: usize = 16;
const TOPIC: Uuid = Uuid::from_u128(0x1234_5678);

fn version(api_key: i16) -> i16 {
    registry::lookup(api_key).expect("the API is served").max
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

fn encoded<R: Request>(request: &R) -> BytesMut {
    let mut body = BytesMut::new();
    request.encode(&mut body, version(R::KEY)).unwrap();
    body
}

fn produce_request() -> BytesMut {
    let records = load::batch(BATCH, 1_700_000_000_000);
    let partition = |index| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(records.clone()))
    };
    let topic = TopicProduceData::default()
        .with_topic_id(TOPIC)
        .with_partition_data((0..PARTITIONS).map(partition).collect());
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    encoded(&request)
}

fn fetch_request() -> Bytes {
    let partition = |index| {
        FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(1 << 40)
            .with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default()
        .with_topic_id(TOPIC)
        .with_partitions((0..PARTITIONS).map(partition).collect());
    let request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic]);
    encoded(&request).freeze()
}

fn list_offsets_request() -> Bytes {
    let partition = |index| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_timestamp(-1)
    };
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name())
        .with_partitions((0..PARTITIONS).map(partition).collect());
    encoded(&ListOffsetsRequest::default().with_topics(vec![topic])).freeze()
}

fn metadata_request() -> Bytes {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name()));
    encoded(&MetadataRequest::default().with_topics(Some(vec![topic]))).freeze()
}

/// A request's first bytes, as a Java producer's.
fn header() -> Bytes {
    let client = b"producer-1";
    let mut header = BytesMut::new();
    header.put_i16(registry::PRODUCE);
    header.put_i16(version(registry::PRODUCE));
    header.put_i32(4711);
    header.put_i16(client.len() as i16);
    header.put_slice(client);
    header.put_u8(0);
    header.freeze()
}

fn fetched() -> FetchResponse {
    let records = load::batch(BATCH, 1_700_000_000_000);
    let partition = |index| FetchedPartition {
        high_watermark: 1 << 40,
        last_stable_offset: 1 << 40,
        log_start_offset: 0,
        records: vec![records.clone(); FETCHED],
        ..FetchedPartition::new(index)
    };
    let mut response = FetchResponse::new(7, version(registry::FETCH));
    response.topics = vec![FetchedTopic {
        name: "orders".to_owned(),
        id: TOPIC,
        partitions: (0..PARTITIONS).map(partition).collect(),
    }];
    response
}

fn requests(bench: &mut Bench) {
    let mut group = bench.benchmark_group("request");
    let bytes = header();
    assert_eq!(RequestHeader::parse(&bytes).unwrap().1, bytes.len());
    group.bench_function("header", |bencher| {
        bencher.iter(|| RequestHeader::parse(black_box(&bytes)).unwrap());
    });
    let bytes = produce_request();
    let newest = version(registry::PRODUCE);
    group.bench_function("produce, 6 batches", |bencher| {
        bencher.iter_batched(
            || bytes.clone(),
            |body| produce::ProduceRequest::parse(body, newest).unwrap(),
            BatchSize::NumIterations(32),
        );
    });
    generic::<FetchRequest>(&mut group, "fetch, 6 partitions", &fetch_request());
    let bytes = list_offsets_request();
    generic::<ListOffsetsRequest>(&mut group, "list offsets, 6 partitions", &bytes);
    generic::<MetadataRequest>(&mut group, "metadata, 1 topic", &metadata_request());
}

type Group<'a> = criterion::BenchmarkGroup<'a, benches::Clock>;

/// The way of requests that have no parser of their own: checked against a layout, then decoded.
fn generic<R: Request>(group: &mut Group<'_>, label: &str, bytes: &Bytes) {
    let newest = version(R::KEY);
    group.bench_function(label, |bencher| {
        bencher.iter(|| net::request::decode::<R>(black_box(bytes).clone(), newest).unwrap());
    });
}

fn responses(bench: &mut Bench) {
    let mut group = bench.benchmark_group("response");
    let partitions = (0..PARTITIONS).map(PartitionProduced::new);
    let produced = [TopicProduced {
        name: None,
        id: TOPIC,
        partitions: partitions.collect(),
    }];
    let newest = version(registry::PRODUCE);
    group.bench_function("produce, 6 partitions", |bencher| {
        bencher.iter(|| produce::encode_response(newest, 7, black_box(&produced)));
    });
    let response = fetched();
    group.bench_function("fetch, 6 partitions of 16 batches", |bencher| {
        bencher.iter_batched(
            || response.clone(),
            FetchResponse::encode,
            BatchSize::SmallInput,
        );
    });
}

fn main() {
    benches::run(&[requests, responses]);
}
