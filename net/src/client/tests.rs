//! The client against a broker of the test's own, which answers what the test says.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use batch::{Builder, Compression, DecompressLimit, NewRecord};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;

/// A request as the test's broker got it.
struct Asked {
    api: ApiKey,
    version: i16,
    body: Bytes,
    port: u16,
}

enum Reply {
    Body(BytesMut),
    Nothing,
    Close,
}

fn body(message: &impl Encodable, version: i16) -> Reply {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    Reply::Body(out)
}

/// Answers every connection, one after the other, and gives its address.
fn broker(mut answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap(), port, &mut answer);
        }
    });
    format!("127.0.0.1:{port}")
}

fn serve(stream: &mut TcpStream, port: u16, answer: &mut impl FnMut(&Asked) -> Reply) {
    let mut size = [0; 4];
    while stream.read_exact(&mut size).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut frame).unwrap();
        let mut frame = Bytes::from(frame);
        let api = ApiKey::try_from(i16::from_be_bytes([frame[0], frame[1]])).unwrap();
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let header =
            RequestHeader::decode(&mut frame, api.request_header_version(version)).unwrap();
        let asked = Asked {
            api,
            version,
            body: frame,
            port,
        };
        let reply = match answer(&asked) {
            Reply::Body(reply) => reply,
            Reply::Nothing => continue,
            Reply::Close => return,
        };
        let mut out = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut out, api.response_header_version(version))
            .unwrap();
        out.extend_from_slice(&reply);
        stream.write_all(&(out.len() as u32).to_be_bytes()).unwrap();
        stream.write_all(&out).unwrap();
    }
}

fn versions(asked: &Asked) -> Reply {
    let range = |key: ApiKey, min_version, max_version| {
        ApiVersion::default()
            .with_api_key(key as i16)
            .with_min_version(min_version)
            .with_max_version(max_version)
    };
    let apis = vec![
        range(ApiKey::ApiVersions, 0, 4),
        range(ApiKey::Metadata, 0, 13),
        range(ApiKey::Produce, 0, 13),
        range(ApiKey::Fetch, 4, 18),
        range(ApiKey::ListOffsets, 1, 10),
        range(ApiKey::DeleteTopics, 7, 9),
    ];
    body(
        &ApiVersionsResponse::default().with_api_keys(apis),
        asked.version,
    )
}

/// The one topic `t` with two partitions, led by the broker itself.
fn metadata(asked: &Asked, leader: i32, error: i16) -> Reply {
    let partitions = (0..2).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(leader))
            .with_error_code(error)
    });
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(text("t"))))
        .with_partitions(partitions.collect());
    let node = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(text("127.0.0.1"))
        .with_port(i32::from(asked.port));
    let message = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_controller_id(BrokerId(1))
        .with_topics(vec![topic]);
    body(&message, asked.version)
}

fn usual(asked: &Asked) -> Reply {
    match asked.api {
        ApiKey::ApiVersions => versions(asked),
        ApiKey::Metadata => metadata(asked, 1, 0),
        other => panic!("nobody said how to answer {other:?}"),
    }
}

fn client(bootstrap: &str) -> Client {
    Client::connect(ClientConfig {
        request_timeout: Duration::from_secs(20),
        ..ClientConfig::new(bootstrap)
    })
    .unwrap()
}

fn one_record(codec: Compression, value: &[u8]) -> Bytes {
    let mut builder = Builder::new(codec);
    builder.push(NewRecord {
        timestamp: 1_700_000_000_000,
        value: Some(value),
        ..NewRecord::default()
    });
    builder.build().unwrap()
}

fn to(partition: i32, value: &[u8]) -> PartitionBatch {
    PartitionBatch {
        at: TopicPartition::new("t", partition),
        batch: one_record(Compression::None, value),
    }
}

#[test]
fn a_broker_of_another_age_is_asked_again_in_its_own_version() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    let address = broker(move |asked| {
        theirs.lock().unwrap().push((asked.api, asked.version));
        if asked.api == ApiKey::ApiVersions && asked.version > 0 {
            return body(&ApiVersionsResponse::default().with_error_code(35), 0);
        }
        usual(asked)
    });
    client(&address);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (ApiKey::ApiVersions, 3),
            (ApiKey::ApiVersions, 0),
            (ApiKey::Metadata, 13)
        ]
    );
}

#[test]
fn the_first_broker_that_answers_is_used() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let address = broker(usual);
    let mut client = client(&format!("{nobody},{address}"));
    let cluster = client.all_topics().unwrap();
    assert_eq!(cluster.brokers.len(), 1);
    assert_eq!(cluster.controller, Some(1));
    assert_eq!(cluster.topics["t"].partitions.len(), 2);
}

#[test]
fn a_leader_that_is_not_there_yet_is_waited_for() {
    let mut left = 4;
    let address = broker(move |asked| match asked.api {
        ApiKey::Metadata => {
            left -= 1;
            metadata(
                asked,
                if left > 0 { -1 } else { 1 },
                if left > 0 { 5 } else { 0 },
            )
        }
        _ => usual(asked),
    });
    let mut client = client(&address);
    let cluster = client.wait_for_leaders(&["t"], false).unwrap();
    assert_eq!(cluster.topics["t"].partitions[1].leader, Some(1));
}

#[test]
fn versions_that_do_not_meet_are_named() {
    let mut client = client(&broker(usual));
    let error = client.delete_topics(&["t"]).unwrap_err().to_string();
    assert!(
        error.contains("DeleteTopics") && error.contains("offers versions 7 to 9"),
        "{error}"
    );
    let error = client.create_topics(&[], false).unwrap_err().to_string();
    assert!(error.contains("does not offer"), "{error}");
}

/// A broker that gives its produce answers from a list: an error code for every partition,
/// or the end of the connection.
fn producing(answers: impl IntoIterator<Item = Option<i16>>) -> (String, Arc<Mutex<Vec<i16>>>) {
    let mut answers: VecDeque<_> = answers.into_iter().collect();
    let acks = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&acks);
    let address = broker(move |asked| {
        if asked.api != ApiKey::Produce {
            return usual(asked);
        }
        let request = ProduceRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
        theirs.lock().unwrap().push(request.acks);
        if request.acks == 0 {
            return Reply::Nothing;
        }
        let Some(code) = answers.pop_front().unwrap() else {
            return Reply::Close;
        };
        let topics = request.topic_data.iter().map(|topic| {
            let partitions = topic.partition_data.iter().map(|data| {
                batch::Batch::parse(data.records.as_ref().unwrap()).unwrap();
                PartitionProduceResponse::default()
                    .with_index(data.index)
                    .with_error_code(code)
                    .with_base_offset(100 + i64::from(data.index))
            });
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(partitions.collect())
        });
        let message = ProduceResponse::default().with_responses(topics.collect());
        body(&message, asked.version)
    });
    (address, acks)
}

#[test]
fn batches_for_several_partitions_are_stored_and_moved_leaders_found() {
    let (address, acks) = producing([Some(6), Some(0)]);
    let mut client = client(&address);
    let options = ProduceOptions::default();
    let mut done = client
        .produce(&options, vec![to(0, b"a"), to(1, b"b")])
        .unwrap();
    done.sort_by_key(|produced| produced.at.partition);
    let offsets: Vec<_> = done
        .iter()
        .map(|p| p.result.as_ref().unwrap().base_offset)
        .collect();
    assert_eq!(offsets, [100, 101]);
    assert_eq!(*acks.lock().unwrap(), [-1, -1]);
}

#[test]
fn what_may_have_been_stored_is_sent_again_only_by_an_idempotent_producer() {
    let (address, acks) = producing([None, Some(0)]);
    let mut plain = client(&address);
    let options = ProduceOptions {
        acks: Acks::Leader,
        ..ProduceOptions::default()
    };
    let error = plain.produce(&options, vec![to(0, b"a")]).unwrap_err();
    assert!(
        matches!(error, ClientError::Closed { api: "Produce", .. }),
        "{error}"
    );
    assert_eq!(*acks.lock().unwrap(), [1]);
    drop(plain);

    let (address, acks) = producing([None, Some(7), Some(0)]);
    let mut idempotent = client(&address);
    let options = ProduceOptions {
        idempotent: true,
        ..ProduceOptions::default()
    };
    let done = idempotent.produce(&options, vec![to(1, b"a")]).unwrap();
    assert_eq!(done[0].result.as_ref().unwrap().base_offset, 101);
    assert_eq!(acks.lock().unwrap().len(), 3);
}

#[test]
fn refusals_that_stay_are_told_and_none_is_waited_for_without_acks() {
    let (address, acks) = producing([Some(10)]);
    let mut client = client(&address);
    let options = ProduceOptions::default();
    let done = client.produce(&options, vec![to(0, b"a")]).unwrap();
    let refusal = done[0].result.as_ref().unwrap_err();
    assert_eq!(refusal.to_string(), "MESSAGE_TOO_LARGE (10)");

    let unheard = ProduceOptions {
        acks: Acks::None,
        ..ProduceOptions::default()
    };
    let done = client.produce(&unheard, vec![to(0, b"a")]).unwrap();
    assert_eq!(done[0].result.as_ref().unwrap().base_offset, -1);
    client.all_topics().unwrap();
    assert_eq!(*acks.lock().unwrap(), [-1, 0]);

    let twice = client.produce(&options, vec![to(0, b"a"), to(0, b"b")]);
    assert!(matches!(
        twice,
        Err(ClientError::NamedTwice { partition: 0, .. })
    ));
}

fn fetched(records: Bytes) -> FetchedData {
    FetchedData {
        high_watermark: 0,
        last_stable_offset: 0,
        log_start_offset: 0,
        records,
    }
}

#[test]
fn records_of_every_codec_are_read_from_the_offset_asked_for() {
    let limit = DecompressLimit::bytes(1024 * 1024);
    for codec in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut stored = BytesMut::new();
        for base in [40, 50] {
            let mut builder = Builder::new(codec).base_offset(base);
            for value in [b"one", b"two", b"six"] {
                builder.push(NewRecord {
                    timestamp: 5,
                    key: Some(b"k"),
                    value: Some(value),
                    ..NewRecord::default()
                });
            }
            stored.extend_from_slice(&builder.build().unwrap());
        }
        let whole = stored.len();
        stored.extend_from_slice(&one_record(codec, b"cut")[..30]);
        let mut seen = Vec::new();
        let next = fetched(stored.clone().freeze())
            .for_each(41, limit, |record| {
                seen.push((record.offset, record.value().unwrap().to_vec()));
            })
            .unwrap();
        assert_eq!(next, 53);
        let offsets: Vec<_> = seen.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [41, 42, 50, 51, 52], "{}", codec.name());
        assert_eq!(seen[4].1, b"six");
        stored[whole - 1] ^= 1;
        assert!(
            fetched(stored.freeze())
                .for_each(41, limit, |_| {})
                .is_err()
        );
    }
}

#[test]
fn partitions_of_a_fetch_have_data_or_an_error_each() {
    let address = broker(|asked| {
        if asked.api != ApiKey::Fetch {
            return usual(asked);
        }
        assert_eq!(asked.version, 12);
        let good = PartitionData::default()
            .with_partition_index(0)
            .with_high_watermark(7)
            .with_records(Some(one_record(Compression::Zstd, b"here")));
        let bad = PartitionData::default()
            .with_partition_index(1)
            .with_error_code(1);
        let topic = FetchableTopicResponse::default()
            .with_topic(TopicName(text("t")))
            .with_partitions(vec![good, bad]);
        body(
            &FetchResponse::default().with_responses(vec![topic]),
            asked.version,
        )
    });
    let mut client = client(&address);
    let from = [
        (TopicPartition::new("t", 0), 0),
        (TopicPartition::new("t", 1), 99),
    ];
    let got = client.fetch(&FetchOptions::default(), &from).unwrap();
    let data = got[0].result.as_ref().unwrap();
    assert_eq!(data.high_watermark, 7);
    let mut values = Vec::new();
    let limit = DecompressLimit::bytes(1024);
    data.for_each(0, limit, |r| values.push(r.value().unwrap().to_vec()))
        .unwrap();
    assert_eq!(values, [b"here"]);
    let error = got[1].result.as_ref().unwrap_err();
    assert_eq!(error.to_string(), "OFFSET_OUT_OF_RANGE (1)");
}

#[test]
fn look_ups_are_answered_in_the_order_they_were_asked() {
    let address = broker(|asked| {
        if asked.api != ApiKey::ListOffsets {
            return usual(asked);
        }
        let request = ListOffsetsRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
        let mut partitions: Vec<_> = request.topics[0]
            .partitions
            .iter()
            .map(|asked| {
                // Partition 1 has nothing that late; the others something at ten times it.
                let found = asked.partition_index != 1 || asked.timestamp < 0;
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_offset(if found {
                        10 * asked.timestamp.abs()
                    } else {
                        -1
                    })
                    .with_timestamp(if found { asked.timestamp } else { -1 })
            })
            .collect();
        partitions.reverse();
        let names = partitions.iter().map(|p| p.partition_index);
        let once: std::collections::BTreeSet<_> = names.collect();
        assert_eq!(once.len(), partitions.len(), "a partition asked twice");
        let topic = ListOffsetsTopicResponse::default()
            .with_name(TopicName(text("t")))
            .with_partitions(partitions);
        body(
            &ListOffsetsResponse::default().with_topics(vec![topic]),
            asked.version,
        )
    });
    let points = [
        (0, OffsetAt::Earliest),
        (1, OffsetAt::Time(900)),
        (0, OffsetAt::Latest),
        (0, OffsetAt::Time(7)),
        (1, OffsetAt::MaxTimestamp),
    ]
    .map(|(partition, point)| (TopicPartition::new("t", partition), point));
    let listed = client(&address).list_offsets(&points).unwrap();
    let results: Vec<_> = listed.iter().map(|one| one.result.unwrap()).collect();
    assert_eq!(
        results,
        [
            Some((20, None)),
            None,
            Some((10, None)),
            Some((70, Some(7))),
            Some((30, None))
        ]
    );
}

#[test]
fn what_is_no_answer_costs_the_connection_and_says_what_it_was() {
    let mut first = true;
    let address = broker(move |asked| {
        if asked.api == ApiKey::ListOffsets && std::mem::take(&mut first) {
            return Reply::Body(BytesMut::from(&[0; 3][..]));
        }
        usual(asked)
    });
    let mut client = client(&address);
    let points = [(TopicPartition::new("t", 0), OffsetAt::Latest)];
    let error = client.list_offsets(&points).unwrap_err();
    assert!(
        matches!(
            &error,
            ClientError::Codec {
                api: "ListOffsets",
                ..
            }
        ),
        "{error}"
    );
    client.all_topics().unwrap();
}

#[test]
fn addresses_get_kafkas_port_and_nonsense_is_refused() {
    for (given, expected) in [
        ("localhost", Some("localhost:9092")),
        ("localhost:1", Some("localhost:1")),
        ("10.0.0.1:9093", Some("10.0.0.1:9093")),
        ("[::1]", Some("[::1]:9092")),
        ("[::1]:7", Some("[::1]:7")),
        ("::1", None),
        ("", None),
        (":9092", None),
        ("host:port", None),
        ("host:70000", None),
        ("http://host:9092", None),
    ] {
        assert_eq!(with_port(given).ok().as_deref(), expected, "{given:?}");
    }
}

#[test]
fn an_empty_list_says_so() {
    let error = Client::connect(ClientConfig::new(" , ")).err();
    assert!(matches!(error, Some(ClientError::NoBootstrap)));
}

#[test]
fn a_silent_address_names_itself_and_the_reason() {
    // Bound and dropped: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.to_string())
        .unwrap_or_default();
    let error = Client::connect(ClientConfig::new(&address)).err();
    let message = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(
        message.contains(&address) && message.contains("refused"),
        "{message}"
    );
}
