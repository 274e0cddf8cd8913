//! What goes in comes out: librdkafka produces and consumes with every codec and every acks.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::harness::{Broker, Options, cores, temp_dir};

const WAIT: Duration = Duration::from_secs(30);

/// A record as a test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub header: Option<(String, Vec<u8>)>,
}

pub fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config.set("broker.address.family", "v4");
    config
}

pub fn create_topic(broker: &Broker, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        config(broker).create().expect("an admin client");
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let created =
        futures_lite::future::block_on(admin.create_topics([&topic], &AdminOptions::new()));
    created.expect("an answer")[0].as_ref().expect("the topic");
}

/// Reads `count` records of a partition from its start.
pub fn read(broker: &Broker, topic: &str, partition: i32, count: usize) -> Vec<(i64, Row)> {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, partition, Offset::Offset(0))
        .expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    let mut rows = Vec::with_capacity(count);
    while rows.len() < count {
        let polled = consumer.poll(WAIT).expect("a record in time");
        let message = polled.expect("a record");
        let header = message.headers().and_then(|headers| {
            let first = headers.try_get(0)?;
            Some((
                first.key.to_owned(),
                first.value.unwrap_or_default().to_vec(),
            ))
        });
        let row = Row {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            header,
        };
        rows.push((message.offset(), row));
    }
    rows
}

/// Reads all there is in a partition, as text, with the offsets.
pub fn read_values(broker: &Broker, topic: &str, partition: i32) -> Vec<(i64, String)> {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", "unused")
        .create()
        .expect("a consumer");
    let (_, end) = consumer
        .fetch_watermarks(topic, partition, WAIT)
        .expect("watermarks");
    drop(consumer);
    let rows = read(
        broker,
        topic,
        partition,
        usize::try_from(end).expect("an offset"),
    );
    let text = |row: Row| String::from_utf8(row.value.unwrap_or_default()).expect("text");
    rows.into_iter()
        .map(|(offset, row)| (offset, text(row)))
        .collect()
}

pub fn rows(count: usize) -> Vec<Row> {
    let one = |n: usize| Row {
        key: (!n.is_multiple_of(3)).then(|| format!("key-{n}").into_bytes()),
        value: (!n.is_multiple_of(7)).then(|| vec![b'a' + (n % 26) as u8; n % 900]),
        header: n
            .is_multiple_of(5)
            .then(|| ("trace".to_owned(), n.to_be_bytes().to_vec())),
    };
    (0..count).map(one).collect()
}

pub fn produce(broker: &Broker, topic: &str, rows: &[Row], settings: &[(&str, &str)]) {
    let mut config = config(broker);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let producer: BaseProducer = config.create().expect("a producer");
    for row in rows {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0);
        if let Some(key) = &row.key {
            record = record.key(key);
        }
        if let Some(value) = &row.value {
            record = record.payload(value);
        }
        if let Some((key, value)) = &row.header {
            let header = Header {
                key,
                value: Some(value),
            };
            record = record.headers(OwnedHeaders::new().insert(header));
        }
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("room in the queue");
    }
    producer.flush(WAIT).expect("all delivered");
}

#[test]
fn every_codec_and_every_acks_gives_back_the_same_records() {
    let dir = temp_dir();
    let broker = Broker::start(&Options::with_shards(dir.path(), cores().min(2)));
    let rows = rows(500);
    let mut expected = BTreeMap::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for acks in ["0", "1", "all"] {
            let topic = format!("t-{codec}-{acks}");
            create_topic(&broker, &topic, 1, &[]);
            let settings = [
                ("compression.codec", codec),
                ("acks", acks),
                ("linger.ms", "5"),
            ];
            produce(&broker, &topic, &rows, &settings);
            expected.insert(topic, rows.clone());
        }
    }
    let check = |broker: &Broker| {
        for (topic, expected) in &expected {
            let found = read(broker, topic, 0, expected.len());
            for (at, (offset, row)) in found.iter().enumerate() {
                assert_eq!(*offset, at as i64, "{topic}");
                assert_eq!(row, &expected[at], "{topic} at {at}");
            }
        }
    };
    check(&broker);
    assert!(broker.stop().success());
    // And from the drives, after a restart.
    let broker = Broker::start(&Options::with_shards(dir.path(), cores().min(2)));
    check(&broker);
}

#[test]
fn an_idempotent_producer_works_and_topics_are_made_on_the_way() {
    let dir = temp_dir();
    let broker = Broker::start(&Options::at(dir.path()));
    let rows = rows(2_000);
    produce(
        &broker,
        "made-on-the-way",
        &rows,
        &[("enable.idempotence", "true")],
    );
    let found = read(&broker, "made-on-the-way", 0, rows.len());
    let found: Vec<Row> = found.into_iter().map(|(_, row)| row).collect();
    assert_eq!(found, rows);
}
