//! A producer on one executor: batches by partition, requests in flight to every leader, retries.
//!
//! [`core`] decides; this is the shell around it, which carries requests to links and answers
//! back. Records are put in without waiting ([`Producer::append`]), [`Producer::turn`] moves things
//! on, [`Producer::wait`] waits for something to happen. It must never copy a record after it was
//! encoded, nor answer for a batch twice.

mod core;
mod partition;
#[cfg(test)]
mod tests;
mod topics;
mod verdict;
mod wire;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use batch::Compression;
use kafka_protocol::messages::InitProducerIdRequest;
use rt::task::{Task, spawn};
use rt::time::{now, sleep, timeout};

use self::core::{Core, Plan, Rules};
use self::topics::Topics;
use self::wire::Terms;
use crate::brokers::Brokers;
use crate::client::{Acks, Cluster, KafkaError, ProducerIdentity, TopicPartition};
use crate::link::{Answer, Link, LinkConfig, LinkError};

pub use self::core::{Outcome, Push};

/// How long the first identity is asked for.
const IDENTITY_WITHIN: Duration = Duration::from_secs(30);

/// The pause before an identity is asked for again.
const IDENTITY_PAUSE: Duration = Duration::from_millis(200);

/// How a producer works. The names in brackets are those of Kafka's clients.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// What counts as stored.
    pub acks: Acks,
    /// Most bytes of a batch, uncompressed; one record may be larger (`batch.size`).
    pub batch_bytes: usize,
    /// How long a batch that is not full waits for more (`linger.ms`).
    pub linger: Duration,
    /// Requests on their way to each broker, at most
    /// (`max.in.flight.requests.per.connection`).
    pub in_flight: usize,
    /// Most bytes of a request, unless one batch is larger (`max.request.size`).
    pub request_bytes: usize,
    /// Bytes of records that wait or are on their way, about (`buffer.memory`).
    pub buffer_bytes: usize,
    /// How a batch's records are compressed (`compression.type`).
    pub compression: Compression,
    /// Whether batches carry an identity and sequences, so that none is stored twice or out of
    /// order (`enable.idempotence`). Needs [`Acks::All`] and at most five requests in flight.
    pub idempotent: bool,
    /// After this long a batch is given up (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// How long the broker may wait for replicas (`request.timeout.ms`).
    pub replicas_timeout: Duration,
    /// The pause before a batch is sent again (`retry.backoff.ms`).
    pub retry_pause: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_bytes: 16 * 1024,
            linger: Duration::ZERO,
            in_flight: 5,
            request_bytes: 1024 * 1024,
            buffer_bytes: 32 * 1024 * 1024,
            compression: Compression::None,
            idempotent: false,
            delivery_timeout: Duration::from_secs(30),
            replicas_timeout: Duration::from_secs(30),
            retry_pause: Duration::from_millis(100),
        }
    }
}

impl ProducerConfig {
    fn rules(&self) -> Rules {
        Rules {
            batch_bytes: self.batch_bytes,
            linger: nanos(self.linger),
            in_flight: self.in_flight.max(1),
            request_bytes: self.request_bytes,
            buffer_bytes: self.buffer_bytes,
            delivery_timeout: nanos(self.delivery_timeout),
            retry_pause: nanos(self.retry_pause),
            compression: self.compression,
            idempotent: self.idempotent,
        }
    }
}

/// A request whose answer has not come.
struct OnWay {
    request: u64,
    version: i16,
    link: Rc<Link>,
    answer: Answer,
}

/// A producer of records to some topics. Each record is put in with a ticket, which comes back with
/// the [`Outcome`] of its batch.
pub struct Producer<T> {
    core: Core<T>,
    topics: Topics,
    config: ProducerConfig,
    brokers: Brokers,
    learnt: u64,
    leaders: Vec<i32>,
    on_way: BTreeMap<i32, VecDeque<OnWay>>,
    identity: Rc<RefCell<Option<ProducerIdentity>>>,
    identifying: Option<Task<()>>,
    /// What went wrong last with a connection.
    trouble: Option<String>,
}

impl<T> Producer<T> {
    /// A producer to these topics, each with that many partitions, of the cluster that `bootstrap`
    /// (HOST:PORT each) belongs to. Waits until the cluster has told its leaders.
    pub async fn open(
        bootstrap: Vec<String>,
        topics: &[(&str, usize)],
        config: ProducerConfig,
        link: LinkConfig,
    ) -> Result<Self, LinkError> {
        let names = topics.iter().map(|(name, _)| (*name).to_owned()).collect();
        let brokers = Brokers::new(bootstrap, names, link);
        let cluster = brokers.learn().await?;
        let identity = if config.idempotent {
            Some(first_identity(&brokers).await?)
        } else {
            None
        };
        let topics = Topics::new(topics);
        let mut producer = Self {
            core: Core::new(config.rules(), topics.len(), identity),
            topics,
            config,
            brokers,
            learnt: 1,
            leaders: Vec::new(),
            on_way: BTreeMap::new(),
            identity: Rc::default(),
            identifying: None,
            trouble: None,
        };
        producer.see_leaders(&cluster);
        Ok(producer)
    }

    /// The number of a partition in this producer: topics in the order they were given, each with
    /// its partitions.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<usize> {
        self.topics.slot(topic, partition)
    }

    /// Whether there is room for another record; if not, [`Self::turn`] and [`Self::wait`].
    #[inline]
    pub fn has_room(&self) -> bool {
        self.core.has_room()
    }

    /// Bytes of full batches that could leave.
    #[inline]
    pub fn ready_bytes(&self) -> usize {
        self.core.ready_bytes()
    }

    /// Whether everything put in has had its outcome made.
    pub fn is_idle(&self) -> bool {
        self.core.is_idle()
    }

    /// Puts a record in, encoded at once. `now` is in nanoseconds of any clock that goes on
    /// steadily, the same for all calls.
    ///
    /// # Panics
    /// When there is no such slot.
    #[inline]
    pub fn append(
        &mut self,
        slot: usize,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        ticket: T,
        now: u64,
    ) {
        self.core
            .append(slot, timestamp_ms, (key, value), ticket, now);
    }

    /// Takes in what answers have come, and sends what may leave. Does not wait.
    pub fn turn(&mut self, now: u64, push: Push) {
        self.take_answers(now);
        if let Some(trouble) = self.brokers.take_trouble() {
            self.trouble = Some(trouble.to_string());
        }
        self.core.expire(now, self.trouble.as_deref());
        if self.core.take_leaders_wanted() {
            self.brokers.ask();
        }
        if let Some((learnt, cluster)) = self.brokers.newer(self.learnt) {
            self.learnt = learnt;
            self.see_leaders(&cluster);
        }
        self.renew_identity();
        for at in 0..self.leaders.len() {
            self.send(self.leaders[at], now, push);
        }
    }

    /// The next outcome there is.
    pub fn next_outcome(&mut self) -> Option<Outcome<T>> {
        self.core.next_outcome()
    }

    /// Takes the tickets of an outcome back, for their memory.
    pub fn recycle(&mut self, tickets: Vec<T>) {
        self.core.recycle(tickets);
    }

    /// Waits for something to happen, or `until`; no longer than a second in any case.
    pub async fn wait(&self, now: u64, until: u64) {
        const LONGEST: u64 = 1_000_000_000;
        let due = self.core.next_due(now).unwrap_or(u64::MAX).min(until);
        let left = due.saturating_sub(now).min(LONGEST);
        // Out of time is as good as an answer.
        let _: Result<(), _> =
            timeout(Duration::from_nanos(left), self.brokers.bell().notified()).await;
    }

    /// Ends all connections.
    pub async fn close(mut self) {
        self.on_way.clear();
        if let Some(task) = self.identifying.take() {
            task.cancel().await;
        }
        self.brokers.close().await;
    }

    fn take_answers(&mut self, now: u64) {
        for on_way in self.on_way.values_mut() {
            while let Some(first) = on_way.front_mut() {
                let Some(answer) = first.answer.try_take() else {
                    break;
                };
                let request = first.request;
                let decoded = match answer {
                    Ok(_) if self.config.acks == Acks::None => {
                        self.core.written(request);
                        on_way.pop_front();
                        continue;
                    }
                    Ok(answer) => wire::decode(&first.link, answer, &self.topics, first.version),
                    Err(error) => Err(error),
                };
                match decoded {
                    Ok(answers) => self.core.answered(request, &answers, now),
                    Err(error) => self.core.lost(request, &error.to_string(), now),
                }
                on_way.pop_front();
            }
        }
    }

    fn send(&mut self, node: i32, now: u64, push: Push) {
        let Some(link) = self.brokers.link(node) else {
            return;
        };
        while let Some(plan) = self.core.drain(node, now, push) {
            self.put_on_way(node, &link, plan, now);
        }
    }

    fn put_on_way(&mut self, node: i32, link: &Rc<Link>, plan: Plan, now: u64) {
        let request = plan.request;
        let version = match link.version_of(wire::KEY, wire::MIN_VERSION, wire::MAX_VERSION) {
            Ok(version) => version,
            Err(error) => return self.core.lost(request, &error.to_string(), now),
        };
        let terms = Terms {
            version,
            acks: self.config.acks,
            timeout: self.config.replicas_timeout,
        };
        let correlation_id = link.next_correlation();
        let pieces = wire::encode(plan, &self.topics, terms, correlation_id, link.client_id());
        let answered = self.config.acks != Acks::None;
        let answer = link.send(correlation_id, pieces, answered);
        self.on_way.entry(node).or_default().push_back(OnWay {
            request,
            version,
            link: Rc::clone(link),
            answer,
        });
    }

    fn see_leaders(&mut self, cluster: &Cluster) {
        for slot in 0..self.topics.len() {
            let topic = self.topics.name(self.topics.topic_of(slot));
            let at = TopicPartition::new(topic, self.topics.partition_of(slot));
            self.core.set_leader(slot, cluster.leader(&at).ok());
        }
        self.leaders = self.core.leaders();
    }

    /// Asks for another identity where the old one is lost, in the background.
    fn renew_identity(&mut self) {
        if !self.core.wants_identity() {
            return;
        }
        if let Some(identity) = self.identity.borrow_mut().take() {
            self.identifying = None;
            self.core.set_identity(identity);
            return;
        }
        if self.identifying.is_some() {
            return;
        }
        let (brokers, found) = (self.brokers.clone(), Rc::clone(&self.identity));
        self.identifying = Some(spawn(async move {
            loop {
                match ask_identity(&brokers).await {
                    Ok(identity) => break *found.borrow_mut() = Some(identity),
                    Err(_unreachable) => sleep(IDENTITY_PAUSE).await,
                }
            }
            brokers.bell().notify_one();
        }));
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.brokers.abandon();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("brokers", &self.brokers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A cluster that has just started may not have any to give for a while.
async fn first_identity(brokers: &Brokers) -> Result<ProducerIdentity, LinkError> {
    let deadline = now() + IDENTITY_WITHIN;
    loop {
        match ask_identity(brokers).await {
            Err(LinkError::Refused { error, .. }) if error.is_retriable() && now() < deadline => {
                sleep(IDENTITY_PAUSE).await;
            }
            done => return done,
        }
    }
}

async fn ask_identity(brokers: &Brokers) -> Result<ProducerIdentity, LinkError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000);
    let link = brokers.any().await?;
    let answer = link.call(&request, i16::MAX).await?;
    match KafkaError::from_code(answer.error_code) {
        None => Ok(ProducerIdentity {
            id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        }),
        Some(error) => Err(LinkError::Refused {
            broker: link.address().to_owned(),
            what: "a producer id".to_owned(),
            error,
        }),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
