//! Record batches, and the requests that carry them in and out.

use batch::{Batch, Builder, Compression, DecompressLimit, NewRecord, batches};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, ProduceRequest, TopicName,
};
use uuid::Uuid;

use super::wire::{Connection, text};

/// The last version of Produce, and of Fetch, that names topics.
pub const BY_NAME: i16 = 12;
/// acks=all.
pub const ALL: i16 = -1;
/// A number of bytes that no test comes near.
pub const PLENTY: i32 = 50 << 20;

/// A topic under test.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

/// A topic's name as the protocol's types hold it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// What to create: one replica, these settings.
pub fn new_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) -> CreatableTopic {
    let configs = settings.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect())
}

/// Asks for one topic; what became of it.
pub fn try_create(connection: &mut Connection, topic: CreatableTopic) -> CreatableTopicResult {
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let mut answer = connection.call(7, &request);
    assert_eq!(answer.topics.len(), 1);
    answer.topics.remove(0)
}

/// Creates a topic, which has to work.
pub fn create(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Topic {
    let name = super::node::unique(name);
    let created = try_create(connection, new_topic(&name, partitions, settings));
    assert_eq!(created.error_code, 0, "{name}: {:?}", created.error_message);
    let topic = Topic {
        name,
        id: created.topic_id,
    };
    if super::node::against_another() {
        wait_ready(connection, &topic, partitions);
    }
    topic
}

/// Kafka answers CreateTopics before its partitions can be used.
pub fn wait_ready(connection: &mut Connection, topic: &Topic, partitions: i32) {
    for index in 0..partitions {
        while fetch(connection, topic, index, 0).error_code != 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A batch of `count` records of the present, with the values `value-0`, `value-1` …
pub fn batch(count: usize) -> Bytes {
    compressed(Compression::None, count)
}

/// The same, compressed.
pub fn compressed(codec: Compression, count: usize) -> Bytes {
    let values: Vec<String> = (0..count).map(|n| format!("value-{n}")).collect();
    let mut builder = Builder::new(codec);
    let timestamp = now_ms();
    for value in &values {
        builder.push(NewRecord {
            timestamp,
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

/// A batch of records with these timestamps.
pub fn timed(codec: Compression, timestamps: &[i64]) -> Bytes {
    let mut builder = Builder::new(codec);
    for timestamp in timestamps {
        builder.push(NewRecord {
            timestamp: *timestamp,
            value: Some(b"timed"),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

/// An uncompressed batch of one record, exactly `size` bytes long.
pub fn sized(size: usize) -> Bytes {
    let timestamp = now_ms();
    let build = |length: usize| {
        let value = vec![b'x'; length];
        let record = NewRecord {
            timestamp,
            value: Some(&value),
            ..NewRecord::default()
        };
        Builder::new(Compression::None)
            .record(record)
            .build()
            .expect("a batch")
    };
    let empty = build(0).len();
    // The record's and the value's lengths take a few bytes more when they are greater.
    let found = (0..8)
        .map(|spare| build(size - empty - spare))
        .find(|built| built.len() == size);
    found.expect("a batch of that size")
}

/// A batch of an idempotent producer.
pub fn sequenced(producer: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = Builder::new(Compression::None).producer(producer, epoch, sequence);
    let timestamp = now_ms();
    for _ in 0..count {
        builder.push(NewRecord {
            timestamp,
            value: Some(b"sequenced"),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

/// A Produce request for one topic, named as `version` does.
pub fn produce_request(
    version: i16,
    topic: &Topic,
    acks: i16,
    sets: Vec<(i32, Option<Bytes>)>,
) -> ProduceRequest {
    let sets = sets.into_iter().map(|(index, records)| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(records)
    });
    let data = TopicProduceData::default().with_partition_data(sets.collect());
    let data = if version > BY_NAME {
        data.with_topic_id(topic.id)
    } else {
        data.with_name(topic_name(&topic.name))
    };
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

/// Produces one record set in this version; what became of it.
pub fn produce_in(
    connection: &mut Connection,
    version: i16,
    topic: &Topic,
    index: i32,
    records: &Bytes,
) -> PartitionProduceResponse {
    let request = produce_request(version, topic, ALL, vec![(index, Some(records.clone()))]);
    let mut answer = connection.call(version, &request);
    assert_eq!(answer.responses.len(), 1);
    let mut response = answer.responses.remove(0);
    if version > BY_NAME {
        assert_eq!(response.topic_id, topic.id);
    } else {
        assert_eq!(*response.name, *topic.name);
    }
    assert_eq!(response.partition_responses.len(), 1);
    let outcome = response.partition_responses.remove(0);
    assert_eq!(outcome.index, index);
    outcome
}

/// Produces one record set; what became of it.
pub fn produce(
    connection: &mut Connection,
    topic: &Topic,
    index: i32,
    records: &Bytes,
) -> PartitionProduceResponse {
    produce_in(connection, BY_NAME, topic, index, records)
}

/// Produces one record set, which has to be taken; its first offset.
pub fn store(connection: &mut Connection, topic: &Topic, index: i32, records: &Bytes) -> i64 {
    let outcome = produce(connection, topic, index, records);
    assert_eq!(
        outcome.error_code, 0,
        "{topic:?} {index}: {:?}",
        outcome.error_message
    );
    outcome.base_offset
}

/// The error a record set is refused with; 0 for none.
pub fn refusal(connection: &mut Connection, topic: &Topic, records: &Bytes) -> i16 {
    produce(connection, topic, 0, records).error_code
}

/// What a fetch wants of a topic, named as `version` does: partition, offset, most bytes.
pub fn wanted(version: i16, topic: &Topic, partitions: &[(i32, i64, i32)]) -> FetchTopic {
    let partitions = partitions.iter().map(|(index, offset, most)| {
        FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(*most)
    });
    let wanted = FetchTopic::default().with_partitions(partitions.collect());
    if version > BY_NAME {
        wanted.with_topic_id(topic.id)
    } else {
        wanted.with_topic(topic_name(&topic.name))
    }
}

/// A fetch that is answered at once and belongs to no session.
pub fn fetch_request(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(PLENTY)
        .with_topics(topics)
}

/// The partitions of a response with one topic, which has to be free of an error of its own.
pub fn partitions_of(mut response: FetchResponse) -> Vec<PartitionData> {
    assert_eq!(response.error_code, 0);
    assert_eq!(response.responses.len(), 1);
    response.responses.remove(0).partitions
}

/// Fetches one partition as it is now, in this version.
pub fn fetch_in(
    connection: &mut Connection,
    version: i16,
    topic: &Topic,
    index: i32,
    offset: i64,
) -> PartitionData {
    let request = fetch_request(vec![wanted(version, topic, &[(index, offset, PLENTY)])]);
    let mut partitions = partitions_of(connection.call(version, &request));
    assert_eq!(partitions.len(), 1);
    let partition = partitions.remove(0);
    assert_eq!(partition.partition_index, index);
    partition
}

/// Fetches one partition as it is now.
pub fn fetch(connection: &mut Connection, topic: &Topic, index: i32, offset: i64) -> PartitionData {
    fetch_in(connection, BY_NAME, topic, index, offset)
}

/// Fetches one partition, which has to have records there: all of them that come in one answer.
pub fn records_at(connection: &mut Connection, topic: &Topic, index: i32, offset: i64) -> Bytes {
    let partition = fetch(connection, topic, index, offset);
    assert_eq!(partition.error_code, 0);
    partition.records.expect("records")
}

/// First and last offset of each batch.
pub fn spans(records: &Bytes) -> Vec<(i64, i64)> {
    let span = |batch: Batch<'_>| (batch.base_offset(), batch.last_offset());
    batches(records)
        .map(|batch| span(batch.expect("a whole batch")))
        .collect()
}

/// A record as tests compare it: offset, timestamp, key, value.
pub type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Every record, from batches whose checksums are right.
pub fn rows(records: &Bytes) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches(records) {
        let batch = batch.expect("a whole batch");
        batch.verify_crc().expect("the right checksum");
        let inside = batch
            .records(DecompressLimit::bytes(1 << 30))
            .expect("records");
        for record in &inside {
            let record = record.expect("a record");
            let copy = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            rows.push((
                record.offset,
                record.timestamp,
                copy(record.key()),
                copy(record.value()),
            ));
        }
    }
    rows
}
