//! Sending record batches.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, TopicName};

use super::error::{ClientError, KafkaError, Refusal};
use super::{Client, RETRY_PAUSE, TopicPartition, text};

/// Produce names topics up to this version, and gives their ids after it.
const PRODUCE_BY_NAME: i16 = 12;

/// What the broker waits for before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// It does not answer. A batch that is refused costs the connection.
    None,
    /// The leader has the batch.
    Leader,
    /// Every replica that is in sync has the batch.
    #[default]
    All,
}

impl Acks {
    pub(crate) fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How to produce.
#[derive(Debug, Clone)]
pub struct ProduceOptions {
    /// What the broker waits for.
    pub acks: Acks,
    /// How long the broker may wait for replicas.
    pub timeout: Duration,
    /// Whether the batches carry a producer id and sequence numbers, so that a broker
    /// recognises one sent twice. Then lost connections and unknown outcomes are retried
    /// too; otherwise only what the broker refused before it stored anything.
    pub idempotent: bool,
}

impl Default for ProduceOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            timeout: Duration::from_secs(30),
            idempotent: false,
        }
    }
}

/// One batch for one partition.
#[derive(Debug, Clone)]
pub struct PartitionBatch {
    /// Where it goes.
    pub at: TopicPartition,
    /// One whole record batch, as [`batch::Builder`] makes it.
    pub batch: Bytes,
}

/// What became of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// Where it went.
    pub at: TopicPartition,
    /// Where it is now, or why it was refused.
    pub result: Result<ProducedAt, RecordRefusal>,
}

/// Where a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducedAt {
    /// The offset of its first record; -1 with [`Acks::None`], where nobody tells.
    pub base_offset: i64,
    /// The broker's time of appending, where the topic uses that.
    pub append_time: Option<i64>,
    /// The partition's first offset, -1 where the broker does not tell.
    pub log_start_offset: i64,
}

/// Why a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRefusal {
    /// The error, and the broker's words.
    pub refusal: Refusal,
    /// Which records of the batch are to blame, by their place in it, where the broker
    /// tells.
    pub records: Vec<(i32, Option<String>)>,
}

impl std::fmt::Display for RecordRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.refusal)?;
        for (place, reason) in &self.records {
            write!(f, "; record {place} of the batch")?;
            if let Some(reason) = reason {
                write!(f, ": {reason}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for RecordRefusal {}

/// The identity of an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// What is still to be sent, and why it was not stored the last time.
struct Unsent {
    batches: BTreeMap<TopicPartition, Bytes>,
    last: BTreeMap<TopicPartition, RecordRefusal>,
}

impl Client {
    /// Asks for the identity of an idempotent producer.
    pub fn init_producer(&mut self) -> Result<ProducerIdentity, ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(self.timeout_ms());
        self.retrying(|client| {
            let answer = client.call(&request)?;
            KafkaError::check(answer.error_code)
                .map_err(|error| ClientError::refused("producer id", Refusal::from(error)))?;
            Ok(ProducerIdentity {
                id: answer.producer_id.0,
                epoch: answer.producer_epoch,
            })
        })
    }

    /// Sends batches, at most one for each partition, to the partitions' leaders. Refusals
    /// that pass, such as a leader that moved, are retried for the client's `retry_for`.
    ///
    /// An `Err` means that the outcome of some batches is not known.
    pub fn produce(
        &mut self,
        options: &ProduceOptions,
        batches: Vec<PartitionBatch>,
    ) -> Result<Vec<Produced>, ClientError> {
        let mut unsent = Unsent {
            batches: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        for PartitionBatch { at, batch } in batches {
            if let Some(_twice) = unsent.batches.insert(at.clone(), batch) {
                return Err(ClientError::NamedTwice {
                    topic: at.topic,
                    partition: at.partition,
                });
            }
        }
        let deadline = Instant::now() + self.config().retry_for;
        let mut done = Vec::with_capacity(unsent.batches.len());
        loop {
            let round = self.produce_round(options, &mut unsent, &mut done);
            let over = Instant::now() >= deadline;
            match round {
                Ok(()) if unsent.batches.is_empty() => return Ok(done),
                Ok(()) if over => break,
                Ok(()) => {}
                Err(error) if over || !may_retry(&error, options) => return Err(error),
                Err(_lost) => self.forget_topics(&unsent),
            }
            thread::sleep(RETRY_PAUSE);
        }
        done.extend(unsent.last.into_iter().map(|(at, refusal)| Produced {
            at,
            result: Err(refusal),
        }));
        Ok(done)
    }

    /// Sends everything unsent once, and sorts the answers into done and unsent.
    fn produce_round(
        &mut self,
        options: &ProduceOptions,
        unsent: &mut Unsent,
        done: &mut Vec<Produced>,
    ) -> Result<(), ClientError> {
        let by_leader = self.sort_by_leader(unsent, done)?;
        for (leader, partitions) in by_leader {
            let request = produce_request(options, &unsent.batches, &partitions);
            let Some(answer) = self.produce_at(&leader, options, &request)? else {
                done.extend(partitions.into_iter().map(|at| {
                    unsent.batches.remove(&at);
                    stored_unseen(at)
                }));
                continue;
            };
            self.sort_answers(options, &answer, unsent, done);
        }
        Ok(())
    }

    /// Who leads each unsent batch's partition. A batch whose partition has no leader waits
    /// if there may be one soon, and is refused otherwise.
    fn sort_by_leader(
        &mut self,
        unsent: &mut Unsent,
        done: &mut Vec<Produced>,
    ) -> Result<BTreeMap<String, Vec<TopicPartition>>, ClientError> {
        let mut by_leader: BTreeMap<String, Vec<TopicPartition>> = BTreeMap::new();
        for at in unsent.batches.keys().cloned().collect::<Vec<_>>() {
            let error = match self.leader_address(&at) {
                Ok(leader) => {
                    by_leader.entry(leader).or_default().push(at);
                    continue;
                }
                Err(ClientError::NoLeader { error, .. }) => error,
                Err(other) => return Err(other),
            };
            let refusal = RecordRefusal {
                refusal: Refusal::from(error),
                records: Vec::new(),
            };
            if error.is_retriable() {
                unsent.last.insert(at, refusal);
            } else {
                unsent.batches.remove(&at);
                let result = Err(refusal);
                done.push(Produced { at, result });
            }
        }
        Ok(by_leader)
    }

    fn produce_at(
        &mut self,
        leader: &str,
        options: &ProduceOptions,
        request: &ProduceRequest,
    ) -> Result<Option<ProduceResponse>, ClientError> {
        let wire = self.wire(leader)?;
        let result = wire.send(request, PRODUCE_BY_NAME).and_then(|pending| {
            if options.acks == Acks::None {
                return Ok(None);
            }
            wire.receive::<ProduceRequest>(pending, options.timeout)
                .map(Some)
        });
        self.keep_if_sound(leader, result)
    }

    fn sort_answers(
        &mut self,
        options: &ProduceOptions,
        answer: &ProduceResponse,
        unsent: &mut Unsent,
        done: &mut Vec<Produced>,
    ) {
        for topic in &answer.responses {
            for partition in &topic.partition_responses {
                let at = TopicPartition::new(topic.name.to_string(), partition.index);
                let result = outcome(partition);
                if let Err(refusal) = &result
                    && resend_is_safe(refusal.refusal.error, options)
                {
                    self.forget_leaders(&at.topic);
                    unsent.last.insert(at, refusal.clone());
                    continue;
                }
                if unsent.batches.remove(&at).is_some() {
                    unsent.last.remove(&at);
                    done.push(Produced { at, result });
                }
            }
        }
    }

    fn forget_topics(&mut self, unsent: &Unsent) {
        let topics: BTreeSet<_> = unsent.batches.keys().map(|at| at.topic.as_str()).collect();
        for topic in topics {
            self.forget_leaders(topic);
        }
    }
}

/// Whether a failed call may be made again without the risk of storing a batch twice.
fn may_retry(error: &ClientError, options: &ProduceOptions) -> bool {
    let never_sent = matches!(
        error,
        ClientError::NoBroker { .. } | ClientError::NoLeader { .. }
    ) || matches!(error, ClientError::Io { api: "connect", .. });
    error.is_retriable() && (never_sent || options.idempotent)
}

fn resend_is_safe(error: KafkaError, options: &ProduceOptions) -> bool {
    error.refused_before_append() || (options.idempotent && error.is_retriable())
}

fn stored_unseen(at: TopicPartition) -> Produced {
    Produced {
        at,
        result: Ok(ProducedAt {
            base_offset: -1,
            append_time: None,
            log_start_offset: -1,
        }),
    }
}

fn produce_request(
    options: &ProduceOptions,
    batches: &BTreeMap<TopicPartition, Bytes>,
    partitions: &[TopicPartition],
) -> ProduceRequest {
    let mut topics: BTreeMap<&str, Vec<PartitionProduceData>> = BTreeMap::new();
    for at in partitions {
        let data = PartitionProduceData::default()
            .with_index(at.partition)
            .with_records(batches.get(at).cloned());
        topics.entry(&at.topic).or_default().push(data);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicProduceData::default()
            .with_name(TopicName(text(topic)))
            .with_partition_data(partitions)
    });
    ProduceRequest::default()
        .with_acks(options.acks.to_wire())
        .with_timeout_ms(i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topics.collect())
}

fn outcome(partition: &PartitionProduceResponse) -> Result<ProducedAt, RecordRefusal> {
    match Refusal::check(partition.error_code, partition.error_message.as_deref()) {
        Ok(()) => Ok(ProducedAt {
            base_offset: partition.base_offset,
            append_time: Some(partition.log_append_time_ms).filter(|time| *time >= 0),
            log_start_offset: partition.log_start_offset,
        }),
        Err(refusal) => Err(RecordRefusal {
            refusal,
            records: partition
                .record_errors
                .iter()
                .map(|record| {
                    let reason = record.batch_index_error_message.as_ref();
                    (record.batch_index, reason.map(ToString::to_string))
                })
                .collect(),
        }),
    }
}
