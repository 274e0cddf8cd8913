//! A broker of a few dozen lines, on threads of its own: enough to serve the client, and to misbehave
//! when told to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    ProducerId, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

/// What the broker does with the next Produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// This code for every partition, nothing stored.
    Refuse(i16),
    /// Stored, and the connection closed in place of an answer.
    TakeAndHangUp,
    /// The connection closed, nothing stored.
    HangUp,
}

/// A partition: batches, each with its first offset stamped in.
#[derive(Default)]
struct Log {
    batches: Vec<(i64, Bytes)>,
    end: i64,
    sequences: Vec<(i64, i32)>,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<(String, i32), Log>,
    moods: VecDeque<Mood>,
    produces: usize,
    /// What each Fetch named: session, epoch, partitions.
    fetches: Vec<(i32, i32, usize)>,
    sessions: BTreeMap<i32, BTreeMap<(String, i32), i64>>,
}

#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) address: String,
    port: i32,
    state: Arc<Mutex<State>>,
}

impl Broker {
    /// A broker with these topics.
    pub(crate) fn start(topics: &[(&str, i32)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut state = State::default();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                let at = ((*topic).to_owned(), partition);
                state.logs.insert(at, Log::default());
            }
        }
        let broker = Self {
            address: format!("127.0.0.1:{port}"),
            port: i32::from(port),
            state: Arc::new(Mutex::new(state)),
        };
        let accepting = broker.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let broker = accepting.clone();
                thread::spawn(move || broker.serve(stream.unwrap()));
            }
        });
        broker
    }

    pub(crate) fn mood(&self, moods: &[Mood]) {
        self.state.lock().unwrap().moods.extend(moods);
    }

    pub(crate) fn produces(&self) -> usize {
        self.state.lock().unwrap().produces
    }

    pub(crate) fn fetches(&self) -> Vec<(i32, i32, usize)> {
        self.state.lock().unwrap().fetches.clone()
    }

    /// Ends all fetch sessions.
    pub(crate) fn forget_sessions(&self) {
        self.state.lock().unwrap().sessions.clear();
    }

    /// The values stored in a partition.
    pub(crate) fn values(&self, topic: &str, partition: i32) -> Vec<Vec<u8>> {
        let state = self.state.lock().unwrap();
        let log = &state.logs[&(topic.to_owned(), partition)];
        let mut values = Vec::new();
        for (_, bytes) in &log.batches {
            let batch = batch::Batch::parse(bytes).unwrap();
            batch.verify_crc().unwrap();
            let limit = batch::DecompressLimit::bytes(1 << 20);
            for record in &batch.records(limit).unwrap() {
                values.push(record.unwrap().value().unwrap().to_vec());
            }
        }
        values
    }

    fn serve(&self, mut stream: TcpStream) {
        loop {
            let mut size = [0; 4];
            if stream.read_exact(&mut size).is_err() {
                return;
            }
            let mut frame = vec![0; i32::from_be_bytes(size) as usize];
            if stream.read_exact(&mut frame).is_err() {
                return;
            }
            let mut answer = BytesMut::new();
            match self.answer(Bytes::from(frame), &mut answer) {
                Some(true) => {
                    let size = (answer.len() as i32).to_be_bytes();
                    if stream.write_all(&[&size, &answer[..]].concat()).is_err() {
                        return;
                    }
                }
                Some(false) => {}
                None => return,
            }
        }
    }

    /// False: there is no answer. None: the connection ends.
    fn answer(&self, mut frame: Bytes, out: &mut BytesMut) -> Option<bool> {
        let api = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let header_version = match api {
            0 => ProduceRequest::header_version(version),
            1 => FetchRequest::header_version(version),
            _ => 2,
        };
        let header = RequestHeader::decode(&mut frame, header_version).unwrap();
        let id = header.correlation_id;
        match api {
            0 => return self.produce(id, version, &mut frame, out),
            1 => {
                let request = FetchRequest::decode(&mut frame, version).unwrap();
                put(out, id, version, &self.fetch(&request));
            }
            2 => {
                let request = ListOffsetsRequest::decode(&mut frame, version).unwrap();
                put(out, id, version, &self.list(&request));
            }
            3 => {
                let request = MetadataRequest::decode(&mut frame, version).unwrap();
                put(out, id, version, &self.metadata(&request));
            }
            18 => {
                let keys = [
                    (0, 3, 12),
                    (1, 7, 12),
                    (2, 6, 9),
                    (3, 9, 12),
                    (18, 0, 3),
                    (22, 2, 4),
                ];
                let keys = keys.map(|(key, min, max)| {
                    ApiVersion::default()
                        .with_api_key(key)
                        .with_min_version(min)
                        .with_max_version(max)
                });
                let answer = ApiVersionsResponse::default().with_api_keys(keys.to_vec());
                put(out, id, version, &answer);
            }
            22 => {
                let answer = InitProducerIdResponse::default().with_producer_id(ProducerId(77));
                put(out, id, version, &answer);
            }
            other => panic!("request {other}"),
        }
        Some(true)
    }

    fn produce(
        &self,
        id: i32,
        version: i16,
        frame: &mut Bytes,
        out: &mut BytesMut,
    ) -> Option<bool> {
        let request = ProduceRequest::decode(frame, version).unwrap();
        let mut state = self.state.lock().unwrap();
        state.produces += 1;
        let mood = state.moods.pop_front();
        if mood == Some(Mood::HangUp) {
            return None;
        }
        let mut topics = Vec::new();
        for topic in &request.topic_data {
            let mut parts = Vec::new();
            for part in &topic.partition_data {
                let at = (topic.name.to_string(), part.index);
                let code = match mood {
                    Some(Mood::Refuse(code)) => code,
                    _ => store(&mut state, at, part.records.as_ref().unwrap()),
                };
                parts.push(
                    PartitionProduceResponse::default()
                        .with_index(part.index)
                        .with_error_code(code),
                );
            }
            topics.push(
                TopicProduceResponse::default()
                    .with_name(topic.name.clone())
                    .with_partition_responses(parts),
            );
        }
        if mood == Some(Mood::TakeAndHangUp) {
            return None;
        }
        put(
            out,
            id,
            version,
            &ProduceResponse::default().with_responses(topics),
        );
        Some(request.acks != 0)
    }

    fn fetch(&self, request: &FetchRequest) -> FetchResponse {
        let mut state = self.state.lock().unwrap();
        let asked = request.topics.iter().flat_map(|topic| {
            let name = topic.topic.to_string();
            let parts = topic.partitions.iter();
            parts.map(move |part| ((name.clone(), part.partition), part.fetch_offset))
        });
        let asked: Vec<_> = asked.collect();
        state
            .fetches
            .push((request.session_id, request.session_epoch, asked.len()));
        let session = if request.session_id == 0 {
            let session = state.fetches.len() as i32;
            state.sessions.insert(session, BTreeMap::new());
            session
        } else {
            request.session_id
        };
        let Some(wanted) = state.sessions.get_mut(&session) else {
            return FetchResponse::default().with_error_code(70);
        };
        wanted.extend(asked);
        let wanted = wanted.clone();
        let mut topics = Vec::new();
        for ((topic, partition), offset) in wanted {
            let log = &state.logs[&(topic.clone(), partition)];
            let from = log.batches.iter().find(|(base, bytes)| {
                let count = batch::Batch::parse(bytes).unwrap().record_count();
                base + i64::from(count) > offset
            });
            let Some((_, bytes)) = from else { continue };
            let part = PartitionData::default()
                .with_partition_index(partition)
                .with_high_watermark(log.end)
                .with_records(Some(bytes.clone()));
            topics.push(
                FetchableTopicResponse::default()
                    .with_topic(TopicName(StrBytes::from_string(topic)))
                    .with_partitions(vec![part]),
            );
        }
        FetchResponse::default()
            .with_session_id(session)
            .with_responses(topics)
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let state = self.state.lock().unwrap();
        let topics = request.topics.iter().map(|topic| {
            let parts = topic.partitions.iter().map(|part| {
                let end = state.logs[&(topic.name.to_string(), part.partition_index)].end;
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(part.partition_index)
                    .with_offset(if part.timestamp == -1 { end } else { 0 })
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(parts.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let state = self.state.lock().unwrap();
        let topics = request.topics.iter().flatten().map(|topic| {
            let name = topic.name.clone().unwrap();
            let parts = state.logs.keys().filter(|(of, _)| *of == name.as_str());
            let parts = parts.map(|(_, partition)| {
                MetadataResponsePartition::default()
                    .with_partition_index(*partition)
                    .with_leader_id(BrokerId(1))
            });
            MetadataResponseTopic::default()
                .with_name(Some(name.clone()))
                .with_partitions(parts.collect())
        });
        MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(BrokerId(1))
                    .with_host(StrBytes::from_static_str("127.0.0.1"))
                    .with_port(self.port),
            ])
            .with_topics(topics.collect())
    }
}

fn store(state: &mut State, at: (String, i32), bytes: &Bytes) -> i16 {
    let log = state.logs.get_mut(&at).unwrap();
    let (id, sequence, count) = {
        let batch = batch::Batch::parse(bytes).unwrap();
        batch.verify_crc().unwrap();
        (
            batch.producer_id(),
            batch.base_sequence(),
            batch.record_count(),
        )
    };
    if id >= 0 {
        if log.sequences.contains(&(id, sequence)) {
            return 46;
        }
        log.sequences.push((id, sequence));
    }
    let mut bytes = bytes.to_vec();
    batch::stamp(&mut bytes, log.end, 0);
    log.batches.push((log.end, Bytes::from(bytes)));
    log.end += i64::from(count);
    0
}

fn put<M: Encodable + HeaderVersion>(out: &mut BytesMut, id: i32, version: i16, message: &M) {
    ResponseHeader::default()
        .with_correlation_id(id)
        .encode(out, M::header_version(version))
        .unwrap();
    message.encode(out, version).unwrap();
}

/// Not a broker: answers every connection with these bytes, and ends it.
pub(crate) fn stranger(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A peer that is gone already needs no answer.
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(says);
        }
    });
    address
}

/// Takes connections and requests, and never answers.
pub(crate) fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream.unwrap());
        }
    });
    address
}
