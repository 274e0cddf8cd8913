//! Reading records and looking up offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use batch::{BatchError, DecompressLimit, Record};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};

use super::error::{ClientError, KafkaError, Refusal};
use super::{Client, TopicPartition, text};

/// Fetch names topics up to this version, and gives their ids after it.
const FETCH_BY_NAME: i16 = 12;

/// Which records of transactions to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All of them.
    #[default]
    ReadUncommitted,
    /// None beyond the first transaction that is still open.
    ReadCommitted,
}

impl Isolation {
    fn to_wire(self) -> i8 {
        i8::from(self == Self::ReadCommitted)
    }
}

/// How much to fetch, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// How long the broker waits for `min_bytes`.
    pub max_wait: Duration,
    /// How much there must be before it answers early.
    pub min_bytes: i32,
    /// How much one answer holds at most, unless its first batch alone is larger.
    pub max_bytes: i32,
    /// The same for each partition.
    pub partition_max_bytes: i32,
    /// Which records of transactions to see.
    pub isolation: Isolation,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            isolation: Isolation::default(),
        }
    }
}

/// What came of one partition of a fetch.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The partition.
    pub at: TopicPartition,
    /// Its data, or why there is none.
    pub result: Result<FetchedData, Refusal>,
}

/// The data of one partition.
#[derive(Debug, Clone)]
pub struct FetchedData {
    /// The offset behind the last record that can be read.
    pub high_watermark: i64,
    /// The same for readers that want committed records only.
    pub last_stable_offset: i64,
    /// The first offset there is.
    pub log_start_offset: i64,
    /// Record batches as they are stored: the first contains the offset asked for, and the
    /// last may be cut.
    pub records: Bytes,
}

impl FetchedData {
    /// Gives every record from offset `from` on to `each`, and returns the offset to fetch
    /// next. Control batches are passed over. Batches are decompressed up to `limit`.
    pub fn for_each(
        &self,
        from: i64,
        limit: DecompressLimit,
        mut each: impl FnMut(&Record<'_>),
    ) -> Result<i64, BatchError> {
        let mut next = from;
        for batch in batch::batches(&self.records) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => return Err(error),
            };
            batch.verify_crc()?;
            if !batch.attributes().is_control() {
                for record in &batch.records(limit)? {
                    let record = record?;
                    if record.offset >= from {
                        each(&record);
                    }
                }
            }
            next = next.max(batch.next_offset());
        }
        Ok(next)
    }
}

/// A point in a partition to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first record there is.
    Earliest,
    /// Behind the last record.
    Latest,
    /// The record with the highest timestamp.
    MaxTimestamp,
    /// The first record with this timestamp (milliseconds since 1970) or a later one.
    Time(i64),
}

impl OffsetAt {
    fn to_wire(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::MaxTimestamp => -3,
            Self::Time(time) => time,
        }
    }
}

/// The answer to one look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub at: TopicPartition,
    /// The offset, and the timestamp of the record there where the look-up was by time.
    /// `None`: no record fits.
    pub result: Result<Option<(i64, Option<i64>)>, KafkaError>,
}

impl Client {
    /// Fetches from each partition, named once, beginning with the offset given. All
    /// leaders are asked at once.
    ///
    /// On an error that says so, the leader is looked up again by the next call.
    pub fn fetch(
        &mut self,
        options: &FetchOptions,
        from: &[(TopicPartition, i64)],
    ) -> Result<Vec<Fetched>, ClientError> {
        let mut by_leader: BTreeMap<String, BTreeMap<&str, Vec<FetchPartition>>> = BTreeMap::new();
        for (at, offset) in from {
            let partition = FetchPartition::default()
                .with_partition(at.partition)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(options.partition_max_bytes);
            let leader = self.leader_address(at)?;
            let topics = by_leader.entry(leader).or_default();
            topics.entry(&at.topic).or_default().push(partition);
        }
        let mut asked = Vec::with_capacity(by_leader.len());
        for (leader, topics) in by_leader {
            let request = fetch_request(options, topics);
            let sent = self.wire(&leader)?.send(&request, FETCH_BY_NAME);
            match self.keep_if_sound(&leader, sent) {
                Ok(pending) => asked.push((leader, pending)),
                Err(error) => return Err(self.abandon(asked, from, error)),
            }
        }
        let mut fetched = Vec::with_capacity(from.len());
        let mut asked = asked.into_iter();
        while let Some((leader, pending)) = asked.next() {
            match self.fetch_answer(options, &leader, pending) {
                Ok(partitions) => fetched.extend(partitions),
                Err(error) => return Err(self.abandon(asked, from, error)),
            }
        }
        Ok(fetched)
    }

    fn fetch_answer(
        &mut self,
        options: &FetchOptions,
        leader: &str,
        pending: super::wire::Pending,
    ) -> Result<Vec<Fetched>, ClientError> {
        let wire = self.wire(leader)?;
        let answer = wire.receive::<FetchRequest>(pending, options.max_wait);
        let answer = self.keep_if_sound(leader, answer)?;
        KafkaError::check(answer.error_code)
            .map_err(|error| ClientError::refused("fetch", Refusal::from(error)))?;
        let mut fetched = Vec::new();
        for topic in &answer.responses {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.topic.to_string(), partition.partition_index);
                let result = fetched_data(partition);
                if result.as_ref().is_err_and(|r| r.error.is_retriable()) {
                    self.forget_leaders(&at.topic);
                }
                fetched.push(Fetched { at, result });
            }
        }
        Ok(fetched)
    }

    /// Drops connections that have an answer coming nobody will read.
    fn abandon(
        &mut self,
        asked: impl IntoIterator<Item = (String, super::wire::Pending)>,
        from: &[(TopicPartition, i64)],
        error: ClientError,
    ) -> ClientError {
        for (leader, _) in asked {
            self.connections.remove(&leader);
        }
        for (at, _) in from {
            self.forget_leaders(&at.topic);
        }
        error
    }

    /// Looks up offsets, and gives the answers in the order of the questions.
    pub fn list_offsets(
        &mut self,
        points: &[(TopicPartition, OffsetAt)],
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let mut listed: Vec<_> = points
            .iter()
            .map(|(at, _)| ListedOffset {
                at: at.clone(),
                // Stays only where the broker leaves a partition out.
                result: Err(KafkaError::UNKNOWN_SERVER_ERROR),
            })
            .collect();
        for round in rounds(points) {
            let mut by_leader: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for place in round {
                let leader = self.leader_address(&points[place].0)?;
                by_leader.entry(leader).or_default().push(place);
            }
            for (leader, places) in by_leader {
                let request = list_request(points, &places);
                let answer = self.call_at(&leader, &request, i16::MAX)?;
                for topic in &answer.topics {
                    for partition in &topic.partitions {
                        let result = listed_offset(partition);
                        if result.is_err_and(KafkaError::is_retriable) {
                            self.forget_leaders(&topic.name);
                        }
                        let index = partition.partition_index;
                        let place = places.iter().find(|place| {
                            let at = &points[**place].0;
                            at.partition == index && at.topic == topic.name.as_str()
                        });
                        if let Some(place) = place {
                            listed[*place].result = result;
                        }
                    }
                }
            }
        }
        Ok(listed)
    }
}

/// The places of the questions, so parted that no part asks a partition twice: a broker
/// refuses that.
fn rounds(points: &[(TopicPartition, OffsetAt)]) -> Vec<Vec<usize>> {
    let mut asked: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (place, (at, _)) in points.iter().enumerate() {
        let round = asked.entry(at).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(place);
        *round += 1;
    }
    rounds
}

fn list_request(points: &[(TopicPartition, OffsetAt)], places: &[usize]) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (at, point) in places.iter().map(|place| &points[*place]) {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(at.partition)
            .with_timestamp(point.to_wire());
        topics.entry(&at.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(partitions)
    });
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(topics.collect())
}

fn listed_offset(
    partition: &ListOffsetsPartitionResponse,
) -> Result<Option<(i64, Option<i64>)>, KafkaError> {
    KafkaError::check(partition.error_code)?;
    let time = Some(partition.timestamp).filter(|time| *time >= 0);
    Ok((partition.offset >= 0).then_some((partition.offset, time)))
}

fn fetch_request(
    options: &FetchOptions,
    topics: BTreeMap<&str, Vec<FetchPartition>>,
) -> FetchRequest {
    let topics = topics.into_iter().map(|(topic, partitions)| {
        FetchTopic::default()
            .with_topic(TopicName(text(topic)))
            .with_partitions(partitions)
    });
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(options.min_bytes)
        .with_max_bytes(options.max_bytes)
        .with_isolation_level(options.isolation.to_wire())
        .with_session_id(0)
        // No session: every request names everything it wants.
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

fn fetched_data(partition: &PartitionData) -> Result<FetchedData, Refusal> {
    Refusal::check(partition.error_code, None)?;
    Ok(FetchedData {
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        records: partition.records.clone().unwrap_or_default(),
    })
}
