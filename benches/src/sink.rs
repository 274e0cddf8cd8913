//! A server that speaks as much of Kafka's protocol as a producer needs, and forgets what it is sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::{Bytes, BytesMut};
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

/// Partitions of its topic.
pub const PARTITIONS: usize = 6;
/// The topic it has.
pub const TOPIC: &str = "sink";

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
fn serve(mut stream: TcpStream, port: i32) {
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

/// Starts one, and says its address. It ends with the process.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, i32::from(address.port())));
        }
    });
    address.to_string()
}
