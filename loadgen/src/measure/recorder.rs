//! What a worker's driver and the engine say to each other.
//!
//! The probes own making, checking and counting of one worker's records. They must never wait, and what
//! they do for one record costs tens of nanoseconds, because they run between the driver's records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::Sender;

use super::meter::Meter;
use super::plan::{Plan, Progress, UNKNOWN};
use super::tick::{ConsumerSummary, ProducerSummary, Role, Said, StreamSent};
use crate::engine::stop::{Stop, Wanted};
use crate::pace::Pace;
use crate::record::{
    Checker, KEY_BYTES, Maker, Numbers, Ranges, Stream, TIMED_BYTES, murmur2, tag_of,
};
use crate::workload::{Partitioner, Workload};

/// What this process's clock has to be set forward by, in nanoseconds, to agree with the coordinator's.
static OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// Sets this process's clock forward, to agree with that of another host.
pub fn set_clock_offset(ns: i64) {
    OFFSET_NS.store(ns, Ordering::Relaxed);
}

/// Nanoseconds since 1970 by the system's clock (by the coordinator's, in a worker of another host): the
/// one clock of due times, acknowledgements and arrivals.
pub fn now_ns() -> u64 {
    own_clock_ns().saturating_add_signed(OFFSET_NS.load(Ordering::Relaxed))
}

/// Nanoseconds since 1970 by this system's clock, whatever the coordinator's says.
pub fn own_clock_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// What a producer is to do next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Send this now.
    Send(Outgoing<'a>),
    /// Nothing is due before this time, in nanoseconds since 1970.
    Wait(u64),
    /// There is nothing more to send.
    Done,
}

/// A record to send. It has to be encoded or copied before the next one is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Number of the topic in the workload.
    pub topic: usize,
    /// Number of the partition (queue, stream) in the topic.
    pub partition: usize,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// What the driver gives back when the record's fate is known.
    pub ticket: Ticket,
}

/// Stands for a record on its way: 16 bytes, kept by the driver until it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    /// When it was due (open loop) or handed over (closed loop).
    pub due_ns: u64,
    /// Which it is, among those of its producer and partition.
    pub sequence: u32,
    /// Bytes of its key and value.
    pub bytes: u32,
}

/// Records taken at once from the number all producers share.
const CLAIM: u64 = 512;
/// Kafka's framing of a batch and of a small record, for guessing when a batch is full.
const BATCH_BYTES: usize = 61;
const FRAME_BYTES: usize = 9;
/// How long after the end records are handed over that were due before it.
const GRACE_NS: u64 = 1_000_000_000;
/// How long a producer waits before it asks again whether it may begin.
const BEFORE_START_NS: u64 = 1_000_000;

/// What makes a probe.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the workers share.
    pub plan: Plan,
    /// Ends producers.
    pub stop: Stop,
    /// Where it shows how many different records were acknowledged or read.
    pub progress: Progress,
    /// Where counts go.
    pub to: Sender<Said>,
}

/// The number of producers whose records may be met: those that fill a topic first have numbers of their own.
pub(crate) fn producer_numbers(workload: &Workload) -> usize {
    workload.producers * 2
}

#[derive(Debug)]
struct Sending {
    stream: Stream,
    next: u32,
    acked: Ranges,
}

/// A producer's side of the engine: makes the records that are due, and takes what became of them.
#[derive(Debug)]
pub struct ProducerProbe {
    setup: Setup,
    pace: Pace,
    start_ns: u64,
    zero_ns: u64,
    end_ns: u64,
    asked: bool,
    number: u64,
    claimed: u64,
    maker: Maker,
    numbers: Numbers,
    sizes: (u64, u64),
    keys: u64,
    partitioner: Partitioner,
    partitions: usize,
    streams: Vec<Sending>,
    place: usize,
    batch: usize,
    batch_bytes: usize,
    batch_since: u64,
    linger_ns: u64,
    meter: Meter,
    acked: u64,
    summary: ProducerSummary,
    sent: u64,
    failed: u64,
    over: bool,
}

impl ProducerProbe {
    /// The probe of producer `index` of the workload, whose records bear the number `producer`.
    pub fn new(workload: &Workload, index: usize, producer: u16, setup: Setup) -> Self {
        let least = workload.record_bytes;
        let most = workload.record_bytes_max.max(least);
        let seed = workload.seed;
        let places = workload.topics * workload.partitions;
        let streams = (0..places).map(|place| Sending {
            stream: Stream::new(
                seed,
                producer,
                place / workload.partitions,
                place % workload.partitions,
            ),
            next: 0,
            acked: Ranges::new(),
        });
        Self {
            pace: Pace::shared(workload.rate, index, workload.producers),
            start_ns: UNKNOWN,
            zero_ns: UNKNOWN,
            end_ns: UNKNOWN,
            asked: false,
            number: 0,
            claimed: 0,
            maker: Maker::new(tag_of(&workload.topic, seed), producer, most),
            numbers: Numbers::new(seed ^ (u64::from(producer) << 48)),
            sizes: (least as u64, (most - least) as u64 + 1),
            keys: workload.keys,
            partitioner: workload.partitioner,
            partitions: workload.partitions,
            streams: streams.collect(),
            place: index * places / workload.producers.max(1) % places.max(1),
            batch: BATCH_BYTES,
            batch_bytes: workload.batch_bytes,
            batch_since: 0,
            linger_ns: workload.linger.as_nanos() as u64,
            meter: Meter::new(Role::Producer, setup.to.clone()),
            acked: 0,
            summary: ProducerSummary {
                producer,
                ..ProducerSummary::default()
            },
            sent: 0,
            failed: 0,
            over: false,
            setup,
        }
    }

    /// What to do at `now_ns`. `Send` has taken the record out: it counts as on its way.
    #[inline]
    pub fn next(&mut self, now_ns: u64) -> Next<'_> {
        if self.over || self.setup.stop.wanted() != Wanted::Run {
            return self.done(now_ns);
        }
        if now_ns < self.start_ns || self.start_ns == UNKNOWN {
            return Next::Wait(self.before_start(now_ns));
        }
        let due_ns = match self.pace.due_ns(self.start_ns, self.number) {
            None => now_ns,
            Some(due_ns) => {
                if due_ns > now_ns && due_ns < self.end_ns {
                    return Next::Wait(self.idle(due_ns));
                }
                self.summary.latest_ns = self.summary.latest_ns.max(now_ns.saturating_sub(due_ns));
                due_ns
            }
        };
        // What was due in time may be late a little: a stall at the very end is not to be forgotten.
        if due_ns >= self.end_ns || now_ns >= self.end_ns.saturating_add(GRACE_NS) {
            return self.done(now_ns);
        }
        if due_ns >= self.zero_ns {
            if self.claimed == 0 {
                self.claimed = self.setup.plan.claim(CLAIM);
            }
            if self.claimed == 0 {
                return self.done(now_ns);
            }
            self.claimed -= 1;
        }
        self.number += 1;
        Next::Send(self.make(due_ns, now_ns))
    }

    /// Says once that it is here, and looks whether it may begin.
    fn before_start(&mut self, now_ns: u64) -> u64 {
        if !self.asked {
            self.asked = true;
            let index = usize::from(self.summary.producer);
            self.meter.say(Said::Ready(Role::Producer, index));
        }
        self.start_ns = self.setup.plan.start();
        if self.start_ns == UNKNOWN {
            return now_ns + BEFORE_START_NS;
        }
        self.zero_ns = self.setup.plan.zero();
        self.end_ns = self.setup.plan.end();
        self.start_ns
    }

    /// Nothing is due until then: an open batch goes out when it has lingered, so the next record begins a new one.
    fn idle(&mut self, due_ns: u64) -> u64 {
        if self.batch > BATCH_BYTES && due_ns.saturating_sub(self.batch_since) >= self.linger_ns {
            self.batch = self.batch_bytes;
        }
        due_ns
    }

    fn done(&mut self, now_ns: u64) -> Next<'_> {
        if !self.over {
            self.over = true;
            if now_ns >= self.end_ns
                && let Some(due) = self.pace.due_before(self.start_ns, self.end_ns)
            {
                self.summary.unsent = due.saturating_sub(self.number);
            }
        }
        Next::Done
    }

    #[inline]
    fn make(&mut self, due_ns: u64, now_ns: u64) -> Outgoing<'_> {
        let len = if self.sizes.1 > 1 {
            self.sizes.0 + self.numbers.below(self.sizes.1)
        } else {
            self.sizes.0
        } as usize;
        let key = (self.keys > 0).then(|| self.numbers.below(self.keys));
        let key_bytes = if key.is_some() { KEY_BYTES } else { 0 };
        self.choose(key, len + key_bytes, now_ns);
        let sending = &mut self.streams[self.place];
        let sequence = sending.next;
        sending.next += 1;
        self.sent += 1;
        self.maker.make(&sending.stream, sequence, due_ns, key, len);
        let value = self.maker.value();
        Outgoing {
            topic: self.place / self.partitions,
            partition: self.place % self.partitions,
            key: key.map(|_| self.maker.key()),
            value,
            ticket: Ticket {
                due_ns,
                sequence,
                bytes: (value.len() + key_bytes) as u32,
            },
        }
    }

    /// Chooses where the next record goes.
    #[inline]
    fn choose(&mut self, key: Option<u64>, bytes: usize, now_ns: u64) {
        let places = self.streams.len();
        match (self.partitioner, key) {
            (Partitioner::Key, Some(key)) => {
                let hash = murmur2(&key.to_be_bytes()) & 0x7fff_ffff;
                let topic = (self.number as usize) % (places / self.partitions);
                self.place = topic * self.partitions + hash as usize % self.partitions;
            }
            (Partitioner::RoundRobin, _) => self.place = (self.place + 1) % places,
            (Partitioner::Sticky | Partitioner::Key, _) => {
                if self.batch > BATCH_BYTES && self.batch + bytes + FRAME_BYTES > self.batch_bytes {
                    self.place = (self.place + 1) % places;
                    self.batch = BATCH_BYTES;
                }
                if self.batch == BATCH_BYTES {
                    self.batch_since = now_ns;
                }
                self.batch += bytes + FRAME_BYTES;
            }
        }
    }

    /// These records of a partition were acknowledged.
    pub fn acked(&mut self, topic: usize, partition: usize, tickets: &[Ticket], now_ns: u64) {
        self.meter.turn(now_ns, self.zero_ns);
        let Some(sending) = self.streams.get_mut(topic * self.partitions + partition) else {
            return;
        };
        let mut rest = tickets;
        while let Some(first) = rest.first() {
            // Records that were due at the same time, one after the other: all of a batch in a closed loop.
            let counted = first.due_ns >= self.zero_ns;
            let same = rest.iter().enumerate().take_while(|(at, ticket)| {
                ticket.due_ns == first.due_ns
                    && u64::from(ticket.sequence) == u64::from(first.sequence) + *at as u64
            });
            let (len, bytes) = same.fold((0, 0), |(len, bytes), (_, ticket)| {
                (len + 1, bytes + u64::from(ticket.bytes))
            });
            let ns = now_ns.saturating_sub(first.due_ns);
            self.meter.latency(counted, ns, len as u64);
            self.meter.count(counted, now_ns, len as u64, bytes);
            sending
                .acked
                .insert(first.sequence, first.sequence + len as u32);
            rest = &rest[len..];
        }
        self.acked += tickets.len() as u64;
        self.setup.progress.set(self.acked);
    }

    /// These were not, or nobody knows, for this reason.
    pub fn failed(&mut self, _topic: usize, _partition: usize, tickets: &[Ticket], reason: &str) {
        self.failed += tickets.len() as u64;
        let count = tickets.len() as u64;
        count_word(&mut self.summary.errors, reason, count);
    }
}

impl Drop for ProducerProbe {
    fn drop(&mut self) {
        self.meter.flush();
        let mut summary = std::mem::take(&mut self.summary);
        summary.unanswered = self.sent.saturating_sub(self.acked + self.failed);
        for (place, sending) in self.streams.drain(..).enumerate() {
            if sending.next > 0 {
                summary.streams.push(StreamSent {
                    producer: summary.producer,
                    topic: place / self.partitions,
                    partition: place % self.partitions,
                    sent: sending.next,
                    acked: sending.acked,
                });
            }
        }
        self.meter.say(Said::Produced(Box::new(summary)));
    }
}

/// Most different reasons kept; more are counted together.
const MOST_WORDS: usize = 50;

fn count_word(words: &mut BTreeMap<String, u64>, word: &str, count: u64) {
    if let Some(known) = words.get_mut(word) {
        *known += count;
    } else {
        let word = if words.len() < MOST_WORDS {
            word
        } else {
            "other reasons"
        };
        *words.entry(word.to_owned()).or_default() += count;
    }
}

/// A consumer's side of the engine: checks and counts what was read.
#[derive(Debug)]
pub struct ConsumerProbe {
    setup: Setup,
    zero_ns: u64,
    /// Time begins with the first record, if no time was set.
    stored: bool,
    ready: bool,
    checker: Option<Checker>,
    meter: Meter,
    summary: ConsumerSummary,
}

impl ConsumerProbe {
    /// The probe of consumer `index` of the workload.
    pub fn new(workload: &Workload, index: usize, setup: Setup) -> Self {
        let producers = u16::try_from(producer_numbers(workload)).unwrap_or(u16::MAX);
        Self {
            zero_ns: UNKNOWN,
            stored: setup.plan.count_stored(),
            ready: false,
            checker: Some(Checker::new(
                tag_of(&workload.topic, workload.seed),
                workload.seed,
                workload.keys,
                producers,
                workload.topics,
                workload.partitions,
            )),
            meter: Meter::new(Role::Consumer, setup.to.clone()),
            summary: ConsumerSummary {
                consumer: index,
                ..ConsumerSummary::default()
            },
            setup,
        }
    }

    /// Nothing that is sent from now on would be missed.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.setup.plan.ready(now_ns());
            let index = self.summary.consumer;
            self.meter.say(Said::Ready(Role::Consumer, index));
        }
    }

    /// A record was read.
    #[inline]
    pub fn received(
        &mut self,
        topic: usize,
        partition: usize,
        key: Option<&[u8]>,
        value: &[u8],
        now_ns: u64,
    ) {
        if self.zero_ns == UNKNOWN {
            self.begin(now_ns);
        }
        let Some(checker) = &mut self.checker else {
            return;
        };
        if self.zero_ns != UNKNOWN && self.meter.is_over(now_ns) {
            // Another process may have told of an earlier zero.
            self.zero_ns = self.setup.plan.zero();
            self.meter.turn(now_ns, self.zero_ns);
        }
        let seen = checker.check(topic, partition, key, value);
        self.setup.progress.set(checker.distinct());
        if seen.fault == Some(crate::record::Fault::Foreign) {
            return;
        }
        let bytes = (value.len() + key.map_or(0, <[u8]>::len)) as u64;
        let due_ns = seen.due_ns.unwrap_or(if value.len() < TIMED_BYTES {
            now_ns
        } else {
            self.zero_ns
        });
        let measured = due_ns >= self.zero_ns;
        self.meter.count(measured || self.stored, now_ns, 1, bytes);
        if let Some(due_ns) = seen.due_ns
            && (measured || !self.stored)
        {
            self.summary.before_due += u64::from(now_ns < due_ns);
            self.meter
                .latency(measured, now_ns.saturating_sub(due_ns), 1);
        }
    }

    #[cold]
    fn begin(&mut self, now_ns: u64) {
        self.setup.plan.ready(now_ns);
        self.zero_ns = self.setup.plan.zero();
    }

    /// The system delivered something else than records: said in the results.
    pub fn noted(&mut self, what: &str) {
        count_word(&mut self.summary.noted, what, 1);
    }

    /// To be called now and then when nothing comes, so that seconds without records are counted too.
    pub fn idle(&mut self, now_ns: u64) {
        if self.zero_ns != UNKNOWN {
            self.meter.turn(now_ns, self.zero_ns);
        }
    }
}

impl Drop for ConsumerProbe {
    fn drop(&mut self) {
        self.meter.flush();
        let mut summary = std::mem::take(&mut self.summary);
        if let Some(checker) = self.checker.take() {
            (summary.tally, summary.streams) = checker.finish();
        }
        self.meter.say(Said::Consumed(Box::new(summary)));
    }
}
