//! A consumer on one executor: it reads assigned partitions from their leaders, with a fetch
//! session and one fetch on its way for each broker; the next is sent before the last is given out.
//!
//! It gives out whole batches as they came; checking and reading them is the caller's. It must never
//! give the same stretch of a partition out twice, nor leave one out without saying so.

mod session;
mod wire;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use rt::task::{Task, spawn};
use rt::time::{now, timeout};

use self::session::Session;
use crate::brokers::Brokers;
use crate::client::{Cluster, KafkaError, TopicPartition};
use crate::link::{Answer, Link, LinkConfig, LinkError};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const SESSION_LOST: i16 = 70;
const SESSION_OUT_OF_STEP: i16 = 71;

/// The pause before a partition is asked for again after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long leaders are waited for at the start.
const START_FOR: Duration = Duration::from_secs(30);

/// How a consumer reads. The names in brackets are those of Kafka's clients.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// How long the broker waits for `min_bytes` (`fetch.max.wait.ms`).
    pub max_wait: Duration,
    /// How much there must be before it answers early (`fetch.min.bytes`).
    pub min_bytes: i32,
    /// How much one answer holds at most (`fetch.max.bytes`).
    pub max_bytes: i32,
    /// The same for each partition (`max.partition.fetch.bytes`).
    pub partition_max_bytes: i32,
    /// The next fetch is sent while less than this waits to be given out.
    pub ahead_bytes: usize,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            ahead_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The first record there is.
    Earliest,
    /// Behind the last record there is when the consumer is opened.
    Latest,
    /// This offset.
    Offset(i64),
}

/// What a consumer has for its caller.
#[derive(Debug)]
pub enum Event {
    /// Batches of a partition, back to back; the last may be cut.
    Fetched {
        /// The partition's place in what was assigned.
        slot: usize,
        /// Records before this offset were not asked for.
        from: i64,
        /// The batches.
        records: Bytes,
    },
    /// What was to be read next is not there any more: reading goes on elsewhere.
    Moved {
        /// The partition's place in what was assigned.
        slot: usize,
        /// What was to be read.
        from: i64,
        /// Where reading goes on.
        to: i64,
    },
    /// A partition cannot be read now; it is tried again.
    Trouble {
        /// The partition's place in what was assigned.
        slot: usize,
        /// Why.
        error: KafkaError,
    },
}

struct Part {
    at: TopicPartition,
    position: i64,
    leader: Option<i32>,
    not_before: Option<Instant>,
    /// The position is not there: another is being looked up.
    lost: bool,
}

struct OnWay {
    link: Rc<Link>,
    version: i16,
    answer: Answer,
    /// Where each partition stood that was asked for.
    wanted: BTreeMap<usize, i64>,
}

#[derive(Default)]
struct Node {
    session: Session,
    on_way: Option<OnWay>,
}

type Found = Rc<RefCell<Vec<(TopicPartition, Result<i64, KafkaError>)>>>;

/// A consumer of assigned partitions.
pub struct Consumer {
    parts: Vec<Part>,
    slots: BTreeMap<TopicPartition, usize>,
    nodes: BTreeMap<i32, Node>,
    config: ConsumerConfig,
    brokers: Brokers,
    learnt: u64,
    events: VecDeque<Event>,
    /// Bytes in `events`.
    ahead: usize,
    found: Found,
    looking: Option<Task<()>>,
}

impl Consumer {
    /// A consumer of these partitions. Where reading begins is settled when this returns.
    pub async fn open(
        bootstrap: Vec<String>,
        partitions: &[(TopicPartition, StartAt)],
        config: ConsumerConfig,
        link: LinkConfig,
    ) -> Result<Self, LinkError> {
        let mut topics: Vec<_> = partitions.iter().map(|(at, _)| at.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        let brokers = Brokers::new(bootstrap, topics, link);
        let mut consumer = Self {
            parts: Vec::new(),
            slots: BTreeMap::new(),
            nodes: BTreeMap::new(),
            config,
            brokers,
            learnt: 0,
            events: VecDeque::new(),
            ahead: 0,
            found: Found::default(),
            looking: None,
        };
        let deadline = now() + START_FOR;
        let positions = loop {
            match consumer.settle(partitions).await {
                Err(error) if now() < deadline && error.may_pass() => {
                    rt::time::sleep(RETRY_PAUSE).await;
                }
                settled => break settled?,
            }
        };
        for (slot, ((at, _), position)) in partitions.iter().zip(positions).enumerate() {
            consumer.slots.insert(at.clone(), slot);
            consumer.parts.push(Part {
                at: at.clone(),
                position,
                leader: None,
                not_before: None,
                lost: false,
            });
        }
        consumer.see_leaders();
        Ok(consumer)
    }

    /// The partition of a slot.
    pub fn partition(&self, slot: usize) -> &TopicPartition {
        &self.parts[slot].at
    }

    /// The next there is, if there is any.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Fetched { records, .. } = &event {
            self.ahead -= records.len();
        }
        Some(event)
    }

    /// Takes in what answers have come, and sends what fetches may leave. Does not wait.
    pub fn turn(&mut self) {
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.take_answer(node);
        }
        self.take_found();
        self.see_leaders();
        if self.parts.iter().any(|part| part.leader.is_none()) {
            self.brokers.ask();
        }
        if self.ahead >= self.config.ahead_bytes {
            return;
        }
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.send(node);
        }
    }

    /// Waits for something to happen, `longest` at most.
    pub async fn wait(&self, longest: Duration) {
        // Out of time is as good as an answer.
        let _: Result<(), _> = timeout(longest, self.brokers.bell().notified()).await;
    }

    /// What went wrong last with a connection; told once.
    pub fn take_trouble(&self) -> Option<LinkError> {
        self.brokers.take_trouble()
    }

    /// Ends all connections.
    pub async fn close(mut self) {
        self.nodes.clear();
        if let Some(task) = self.looking.take() {
            task.cancel().await;
        }
        self.brokers.close().await;
    }

    /// Where reading begins, for each partition.
    async fn settle(
        &mut self,
        partitions: &[(TopicPartition, StartAt)],
    ) -> Result<Vec<i64>, LinkError> {
        let cluster = self.brokers.learn().await?;
        let mut places = BTreeMap::new();
        let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, StartAt)>> = BTreeMap::new();
        for (at, from) in partitions {
            if let StartAt::Offset(offset) = from {
                places.insert(at.clone(), *offset);
                continue;
            }
            let leader = cluster
                .leader(at)
                .map_err(|error| refused(&self.brokers, at, error))?;
            let of_leader = by_leader.entry(leader).or_default();
            of_leader.push((at.clone(), *from));
        }
        for (node, points) in by_leader {
            let link = self.brokers.link_when_up(node).await?;
            for (at, offset) in wire::list(&link, &points).await? {
                let offset = offset.map_err(|error| refused(&self.brokers, &at, error))?;
                places.insert(at, offset);
            }
        }
        let places = partitions.iter().map(|(at, _)| {
            let place = places.get(at).copied();
            place.ok_or_else(|| refused(&self.brokers, at, KafkaError::UNKNOWN_TOPIC_OR_PARTITION))
        });
        places.collect()
    }

    fn take_answer(&mut self, number: i32) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let Some(answer) = node.on_way.as_mut().and_then(|one| one.answer.try_take()) else {
            return;
        };
        let Some(on_way) = node.on_way.take() else {
            return;
        };
        let answer =
            answer.and_then(|bytes| on_way.link.decode::<FetchRequest>(bytes, on_way.version));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fetch_failed(number, &on_way.wanted, error),
        };
        if let Some(error) = KafkaError::from_code(answer.error_code) {
            if matches!(error.code(), SESSION_LOST | SESSION_OUT_OF_STEP) {
                return node.session.lost();
            }
            let broker = on_way.link.address().to_owned();
            let what = "a fetch".to_owned();
            let error = LinkError::Refused {
                broker,
                what,
                error,
            };
            return self.fetch_failed(number, &on_way.wanted, error);
        }
        node.session.answered(answer.session_id);
        for topic in &answer.responses {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.topic.to_string(), partition.partition_index);
                if let Some(slot) = self.slots.get(&at).copied()
                    && let Some(from) = on_way.wanted.get(&slot).copied()
                {
                    self.take_partition(slot, from, partition);
                }
            }
        }
    }

    /// A fetch brought nothing: its partitions rest a little, and leaders are looked up.
    fn fetch_failed(&mut self, number: i32, wanted: &BTreeMap<usize, i64>, error: LinkError) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.session.lost();
        }
        for slot in wanted.keys() {
            self.parts[*slot].not_before = Some(now() + RETRY_PAUSE);
        }
        self.brokers.note(error);
        self.brokers.ask();
    }

    fn take_partition(&mut self, slot: usize, from: i64, partition: &PartitionData) {
        let part = &mut self.parts[slot];
        if part.position != from {
            // It moved meanwhile.
            return;
        }
        if let Some(error) = KafkaError::from_code(partition.error_code) {
            part.not_before = Some(now() + RETRY_PAUSE);
            if error.code() == OFFSET_OUT_OF_RANGE {
                part.lost = true;
            } else {
                self.events.push_back(Event::Trouble { slot, error });
            }
            self.brokers.ask();
            return;
        }
        let Some(records) = partition.records.clone() else {
            return;
        };
        if records.is_empty() {
            return;
        }
        let whole = batch::batches(&records).map_while(Result::ok);
        match whole.map(|batch| batch.next_offset()).max() {
            Some(next) => part.position = part.position.max(next),
            // Given out all the same: whoever reads it sees what is wrong with it.
            None => part.not_before = Some(now() + RETRY_PAUSE),
        }
        self.ahead += records.len();
        self.events.push_back(Event::Fetched {
            slot,
            from,
            records,
        });
    }

    fn send(&mut self, number: i32) {
        if self
            .nodes
            .get(&number)
            .is_none_or(|node| node.on_way.is_some())
        {
            return;
        }
        let now = now();
        let wanted: BTreeMap<usize, i64> = self
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.leader == Some(number) && !part.lost)
            .filter(|(_, part)| part.not_before.is_none_or(|time| time <= now))
            .map(|(slot, part)| (slot, part.position))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let Some(link) = self.brokers.link(number) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let ask = node.session.ask(&wanted);
        let parts = &self.parts;
        let request = wire::fetch(&ask, &self.config, |slot| &parts[slot].at);
        let version = link.version_of(1, wire::MIN_FETCH, wire::MAX_FETCH);
        let started = version.and_then(|version| Ok((version, link.start(&request, version)?)));
        match started {
            Ok((version, answer)) => {
                node.on_way = Some(OnWay {
                    link,
                    version,
                    answer,
                    wanted,
                });
            }
            Err(error) => self.fetch_failed(number, &wanted, error),
        }
    }

    fn see_leaders(&mut self) {
        if let Some((learnt, cluster)) = self.brokers.newer(self.learnt) {
            self.learnt = learnt;
            self.set_leaders(&cluster);
        }
        self.look_up_lost();
    }

    fn set_leaders(&mut self, cluster: &Cluster) {
        for part in &mut self.parts {
            part.leader = cluster.leader(&part.at).ok();
            if let Some(leader) = part.leader {
                self.nodes.entry(leader).or_default();
            }
        }
    }

    /// Looks up where partitions begin whose position is not there any more.
    fn look_up_lost(&mut self) {
        let lost = self.parts.iter().filter(|part| part.lost);
        let lost: Vec<_> = lost
            .filter_map(|part| Some((part.leader?, (part.at.clone(), StartAt::Earliest))))
            .collect();
        if lost.is_empty() || self.looking.is_some() {
            return;
        }
        let (brokers, found) = (self.brokers.clone(), Rc::clone(&self.found));
        self.looking = Some(spawn(async move {
            for (leader, point) in lost {
                if let Ok(link) = brokers.link_when_up(leader).await
                    && let Ok(listed) = wire::list(&link, &[point]).await
                {
                    found.borrow_mut().extend(listed);
                }
            }
            // Also where nothing was found: the next look goes on then.
            let nothing = TopicPartition::new("", -1);
            found.borrow_mut().push((nothing, Ok(0)));
            brokers.bell().notify_one();
        }));
    }

    fn take_found(&mut self) {
        let found = std::mem::take(&mut *self.found.borrow_mut());
        if found.is_empty() {
            return;
        }
        self.looking = None;
        for (at, offset) in found {
            if let Some(slot) = self.slots.get(&at).copied()
                && let Ok(to) = offset
            {
                let part = &mut self.parts[slot];
                let from = std::mem::replace(&mut part.position, to);
                part.lost = false;
                self.events.push_back(Event::Moved { slot, from, to });
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.brokers.abandon();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("brokers", &self.brokers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn refused(brokers: &Brokers, at: &TopicPartition, error: KafkaError) -> LinkError {
    LinkError::Refused {
        broker: brokers.names(),
        what: format!("to read {at}"),
        error,
    }
}
