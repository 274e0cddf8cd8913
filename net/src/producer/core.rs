//! What a producer decides, without a clock and without a socket: which batch a record goes into,
//! which batches make a request, what is sent again, and what is given up.
//!
//! Order: a partition's batches leave in the order they were filled. While one is to be sent again,
//! nothing else of its partition leaves until it has an answer, so that with an identity
//! (idempotence) no answer can change the order.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use batch::{Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, ProducerFields};
use bytes::{Bytes, BytesMut};

use super::partition::{Filling, Partition, Sealed};
use super::verdict::{Verdict, judge};
use crate::client::ProducerIdentity;

/// Buffers kept for the next batches, at most.
const MOST_SPARE: usize = 256;

/// A batch that is not full is left open so long while there is more to put in, also where
/// `linger` is zero, in nanoseconds.
const BUSY_LINGER: u64 = 1_000_000;

/// How batches and requests are made. Times in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) batch_bytes: usize,
    pub(crate) linger: u64,
    pub(crate) in_flight: usize,
    pub(crate) request_bytes: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) delivery_timeout: u64,
    pub(crate) retry_pause: u64,
    pub(crate) compression: Compression,
    pub(crate) idempotent: bool,
}

/// Which batches that are not full may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Those that have waited, because more is being put in.
    Busy,
    /// Those that have waited for `linger`.
    Linger,
    /// All.
    All,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Outcome<T> {
    /// The partition's number in this producer.
    pub slot: usize,
    /// What its records were put in with, in order.
    pub tickets: Vec<T>,
    /// Why it was not stored, or is not known to be.
    pub result: Result<(), Rc<str>>,
}

/// Batches that leave together for one broker.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) request: u64,
    /// By slot.
    pub(crate) batches: Vec<(usize, Bytes)>,
}

/// One partition's part of an answer.
#[derive(Debug, Clone)]
pub(crate) struct PartAnswer {
    pub(crate) slot: usize,
    pub(crate) code: i16,
    pub(crate) message: Option<String>,
}

struct Flight<T> {
    broker: i32,
    batches: Vec<(usize, Sealed<T>)>,
}

/// The state of one producer.
pub(crate) struct Core<T> {
    rules: Rules,
    partitions: Vec<Partition<T>>,
    flights: BTreeMap<u64, Flight<T>>,
    /// Requests on their way, by broker.
    on_way: BTreeMap<i32, usize>,
    next_request: u64,
    /// Where the next look for batches begins, so that none is always last.
    begin: usize,
    identity: Option<ProducerIdentity>,
    /// The identity is lost: when nothing is on its way any more, another is needed.
    renew: bool,
    /// Bytes of batches open, ready, or on their way.
    buffered: usize,
    /// Bytes of batches ready to leave.
    ready: usize,
    outcomes: VecDeque<Outcome<T>>,
    buffers: Vec<BytesMut>,
    tickets: Vec<Vec<T>>,
    leaders_wanted: bool,
}

impl<T> Core<T> {
    pub(crate) fn new(rules: Rules, partitions: usize, identity: Option<ProducerIdentity>) -> Self {
        Self {
            rules,
            partitions: (0..partitions).map(|_| Partition::new()).collect(),
            flights: BTreeMap::new(),
            on_way: BTreeMap::new(),
            next_request: 0,
            begin: 0,
            identity,
            renew: false,
            buffered: 0,
            ready: 0,
            outcomes: VecDeque::new(),
            buffers: Vec::new(),
            tickets: Vec::new(),
            leaders_wanted: false,
        }
    }

    /// Whether another record may be put in.
    pub(crate) fn has_room(&self) -> bool {
        self.buffered < self.rules.buffer_bytes
    }

    /// Bytes of batches that are ready to leave.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready
    }

    /// Whether everything put in has an outcome.
    pub(crate) fn is_idle(&self) -> bool {
        self.buffered == 0
    }

    /// Puts a record into its partition's open batch.
    pub(crate) fn append(
        &mut self,
        slot: usize,
        timestamp_ms: i64,
        record: (Option<&[u8]>, Option<&[u8]>),
        ticket: T,
        now: u64,
    ) {
        loop {
            let partition = &mut self.partitions[slot];
            let filling = match &mut partition.open {
                Some(filling) => filling,
                empty => {
                    let tickets = self.tickets.pop().unwrap_or_default();
                    let buffer = self.buffers.pop().unwrap_or_default();
                    empty.insert(Filling::new(buffer, tickets, self.rules.batch_bytes, now))
                }
            };
            let before = filling.counted();
            if filling.batch.push(timestamp_ms, record.0, record.1) {
                filling.tickets.push(ticket);
                self.buffered += filling.counted() - before;
                return;
            }
            if filling.batch.count() == 0 {
                partition.open = None;
                let reason = Rc::from("a record of more than 1 GiB");
                self.give_up(slot, vec![ticket], reason);
                return;
            }
            self.seal(slot);
        }
    }

    /// Closes the partition's open batch, if there is one.
    fn seal(&mut self, slot: usize) {
        let partition = &mut self.partitions[slot];
        let Some(filling) = partition.open.take() else {
            return;
        };
        let count = filling.batch.count();
        self.buffered -= filling.counted();
        let fields = fields(self.identity, partition.take_sequence(count));
        match filling.batch.close(self.rules.compression, fields) {
            Ok(bytes) => {
                let order = partition.take_order();
                self.buffered += bytes.len();
                self.ready += bytes.len();
                partition.ready.push_back(Sealed {
                    bytes: bytes.freeze(),
                    tickets: filling.tickets,
                    since: filling.since,
                    order,
                    count,
                    attempts: 0,
                    why: None,
                });
            }
            Err(error) => {
                let reason = Rc::from(format!("the batch could not be made: {error}"));
                self.give_up(slot, filling.tickets, reason);
            }
        }
    }

    /// The next request to `broker`, if there is anything for it and it may have one more.
    pub(crate) fn drain(&mut self, broker: i32, now: u64, push: Push) -> Option<Plan> {
        let on_way = self.on_way.get(&broker).copied().unwrap_or(0);
        if on_way >= self.rules.in_flight || self.renew {
            return None;
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        let count = self.partitions.len();
        for step in 0..count {
            let slot = (self.begin + step) % count;
            let Some(size) = self.offer(slot, broker, now, push) else {
                continue;
            };
            if bytes > 0 && bytes + size > self.rules.request_bytes {
                self.begin = slot;
                break;
            }
            bytes += size;
            let partition = &mut self.partitions[slot];
            if let Some(sealed) = partition.ready.pop_front() {
                partition.on_way += 1;
                partition.resending = sealed.attempts > 0;
                batches.push((slot, sealed));
            }
        }
        if batches.is_empty() {
            return None;
        }
        self.ready -= bytes;
        batches.sort_by_key(|(slot, _)| *slot);
        let request = self.next_request;
        self.next_request += 1;
        *self.on_way.entry(broker).or_default() += 1;
        let plan = Plan {
            request,
            batches: batches
                .iter()
                .map(|(slot, sealed)| (*slot, sealed.bytes.clone()))
                .collect(),
        };
        self.flights.insert(request, Flight { broker, batches });
        Some(plan)
    }

    /// The size of the batch that the partition has for `broker` now.
    fn offer(&mut self, slot: usize, broker: i32, now: u64, push: Push) -> Option<usize> {
        let linger = match push {
            Push::Busy => self.rules.linger.max(BUSY_LINGER),
            Push::Linger => self.rules.linger,
            Push::All => 0,
        };
        let partition = &mut self.partitions[slot];
        if partition.leader != Some(broker) || partition.not_before > now {
            return None;
        }
        if partition.ready.is_empty() && partition.is_due(linger, now) {
            self.seal(slot);
        }
        let partition = &self.partitions[slot];
        let first = partition.ready.front()?;
        if partition.on_way > 0 && (first.attempts > 0 || partition.resending) {
            // The order of what is sent again is kept by sending one at a time.
            return None;
        }
        Some(first.bytes.len())
    }

    /// A request was answered. Partitions that the answer leaves out count as lost.
    pub(crate) fn answered(&mut self, request: u64, answers: &[PartAnswer], now: u64) {
        let Some(flight) = self.land(request) else {
            return;
        };
        for (slot, sealed) in flight.batches {
            let verdict = match answers.iter().find(|answer| answer.slot == slot) {
                Some(answer) => {
                    let first = answer.code != 0 && self.is_first(slot, sealed.order);
                    judge(answer, self.rules.idempotent, first)
                }
                None => Verdict::Again {
                    why: Rc::from("the broker's answer says nothing of the partition"),
                    leader: true,
                },
            };
            self.settle(slot, sealed, verdict, now);
        }
    }

    /// A request was written, and has no answer (acks=0).
    pub(crate) fn written(&mut self, request: u64) {
        let Some(flight) = self.land(request) else {
            return;
        };
        for (slot, sealed) in flight.batches {
            self.settle(slot, sealed, Verdict::Stored, 0);
        }
    }

    /// Nobody knows what became of a request.
    pub(crate) fn lost(&mut self, request: u64, why: &str, now: u64) {
        let Some(flight) = self.land(request) else {
            return;
        };
        let why: Rc<str> = Rc::from(why);
        for (slot, sealed) in flight.batches {
            let why = Rc::clone(&why);
            let verdict = Verdict::Again { why, leader: true };
            self.settle(slot, sealed, verdict, now);
        }
    }

    fn land(&mut self, request: u64) -> Option<Flight<T>> {
        let flight = self.flights.remove(&request)?;
        if let Some(on_way) = self.on_way.get_mut(&flight.broker) {
            *on_way -= 1;
        }
        for (slot, _) in &flight.batches {
            self.partitions[*slot].on_way -= 1;
        }
        Some(flight)
    }

    /// Whether no earlier batch of the partition is still without an outcome.
    fn is_first(&self, slot: usize, order: u64) -> bool {
        let waiting = self.partitions[slot].ready.front();
        let on_way = self.flights.values().flat_map(|flight| &flight.batches);
        let mut others = on_way
            .filter(|(at, _)| *at == slot)
            .map(|(_, sealed)| sealed.order);
        waiting.is_none_or(|first| first.order > order) && others.all(|other| other > order)
    }

    fn settle(&mut self, slot: usize, mut sealed: Sealed<T>, verdict: Verdict, now: u64) {
        match verdict {
            Verdict::Stored => {
                self.buffered -= sealed.bytes.len();
                self.reuse(sealed.bytes);
                self.outcomes.push_back(Outcome {
                    slot,
                    tickets: sealed.tickets,
                    result: Ok(()),
                });
            }
            Verdict::Again { why, leader } => {
                self.leaders_wanted |= leader;
                self.ready += sealed.bytes.len();
                sealed.attempts += 1;
                sealed.why = Some(why);
                let partition = &mut self.partitions[slot];
                partition.not_before = now + self.rules.retry_pause;
                partition.put_back(sealed);
            }
            Verdict::GiveUp { why } => {
                self.buffered -= sealed.bytes.len();
                self.give_up(slot, sealed.tickets, why);
            }
        }
    }

    fn give_up(&mut self, slot: usize, tickets: Vec<T>, why: Rc<str>) {
        // What follows would have a sequence the broker does not expect.
        self.renew |= self.rules.idempotent;
        self.outcomes.push_back(Outcome {
            slot,
            tickets,
            result: Err(why),
        });
    }

    /// Gives up what has waited too long to be delivered; `trouble` is what keeps batches from being
    /// sent at all, where that is known.
    pub(crate) fn expire(&mut self, now: u64, trouble: Option<&str>) {
        for slot in 0..self.partitions.len() {
            let limit = self.rules.delivery_timeout;
            let late = |since: u64| since.saturating_add(limit) <= now;
            if self.partitions[slot]
                .open
                .as_ref()
                .is_some_and(|open| late(open.since))
            {
                self.seal(slot);
            }
            loop {
                let ready = &mut self.partitions[slot].ready;
                if !ready.front().is_some_and(|first| late(first.since)) {
                    break;
                }
                let Some(sealed) = ready.pop_front() else {
                    break;
                };
                self.ready -= sealed.bytes.len();
                self.buffered -= sealed.bytes.len();
                let limit = limit / 1_000_000;
                let why = match &sealed.why {
                    Some(why) => format!("not delivered within {limit} ms: {why}"),
                    None => {
                        let trouble = trouble.unwrap_or("its turn never came");
                        format!("not sent within {limit} ms: {trouble}")
                    }
                };
                self.give_up(slot, sealed.tickets, Rc::from(why));
            }
        }
    }

    /// Whether another identity is needed now.
    pub(crate) fn wants_identity(&self) -> bool {
        self.renew && self.flights.is_empty()
    }

    /// Goes on under another identity; all sequences begin anew.
    pub(crate) fn set_identity(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.renew = false;
        for partition in &mut self.partitions {
            partition.restart(|sequence| fields(Some(identity), sequence));
        }
    }

    pub(crate) fn set_leader(&mut self, slot: usize, leader: Option<i32>) {
        self.partitions[slot].leader = leader;
    }

    /// Whether the leaders are to be asked for; asking once clears it.
    pub(crate) fn take_leaders_wanted(&mut self) -> bool {
        let waiting = self
            .partitions
            .iter()
            .any(|partition| partition.leader.is_none() && !partition.is_empty());
        std::mem::take(&mut self.leaders_wanted) || waiting
    }

    /// The brokers that lead anything here.
    pub(crate) fn leaders(&self) -> Vec<i32> {
        let mut leaders: Vec<_> = self.partitions.iter().filter_map(|p| p.leader).collect();
        leaders.sort_unstable();
        leaders.dedup();
        leaders
    }

    /// When there is something to do next that no answer brings about.
    pub(crate) fn next_due(&self, now: u64) -> Option<u64> {
        let linger = self.rules.linger;
        let partitions = self.partitions.iter();
        partitions
            .filter_map(|partition| partition.next_due(linger))
            .filter(|due| *due > now)
            .min()
    }

    pub(crate) fn next_outcome(&mut self) -> Option<Outcome<T>> {
        self.outcomes.pop_front()
    }

    /// Takes back the memory of an outcome.
    pub(crate) fn recycle(&mut self, mut tickets: Vec<T>) {
        if self.tickets.len() < MOST_SPARE {
            tickets.clear();
            self.tickets.push(tickets);
        }
    }

    fn reuse(&mut self, bytes: Bytes) {
        if self.buffers.len() < MOST_SPARE
            && let Ok(buffer) = bytes.try_into_mut()
        {
            self.buffers.push(buffer);
        }
    }
}

fn fields(identity: Option<ProducerIdentity>, base_sequence: i32) -> ProducerFields {
    match identity {
        Some(identity) => ProducerFields {
            id: identity.id,
            epoch: identity.epoch,
            base_sequence,
        },
        None => ProducerFields {
            id: NO_PRODUCER_ID,
            epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
        },
    }
}
