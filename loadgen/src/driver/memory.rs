//! A broker inside this process, which needs no system: it shows what the generator itself costs, and,
//! told to drop, repeat, disorder, damage or stall, that the generator notices.
//!
//! It owns its logs; nothing outside this process can reach it. Each of several worker processes has its own,
//! which serves where all is forgotten at once.
//!
//! Options: `discard=true` forgets every record at once; `drop=N`, `duplicate=N`, `reorder=N`, `corrupt=N`
//! and `refuse=N` do that to every Nth record (dropped ones are acknowledged, refused ones are not stored);
//! `stall-at=MS` and `stall=MS` stop everything for a time, counted from when the first producer begins;
//! `break-at=MS` fails every producer then.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use crate::engine::stop::{Stop, Wanted};
use crate::measure::recorder::{Next, Ticket, now_ns};
use crate::workload::Workload;

/// How long a consumer sleeps that found nothing, and at most a producer, so that both see when to end.
const NAP: Duration = Duration::from_micros(200);

#[derive(Debug, Clone)]
struct Stored {
    key: Option<Box<[u8]>>,
    value: Box<[u8]>,
}

#[derive(Debug)]
struct Topic {
    partitions: Vec<Mutex<Vec<Stored>>>,
}

impl Topic {
    fn new(workload: &Workload) -> Self {
        let mut partitions = Vec::new();
        partitions.resize_with(workload.topics * workload.partitions, Mutex::default);
        Self { partitions }
    }
}

#[derive(Debug, Default)]
struct Faults {
    drop: u64,
    duplicate: u64,
    reorder: u64,
    corrupt: u64,
    refuse: u64,
    stall_at: u64,
    stall: u64,
    break_at: u64,
}

/// The broker.
#[derive(Debug)]
pub struct Memory {
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    discard: bool,
    faults: Faults,
    stored: AtomicU64,
    began_ns: AtomicU64,
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// With the target's options.
    pub fn new(target: &Target) -> Result<Self, DriverError> {
        let mut faults = Faults::default();
        let mut discard = false;
        for (name, value) in &target.options {
            let number = || {
                value.parse::<u64>().map_err(|_| {
                    DriverError::Option(format!("option {name} takes a number, not {value:?}"))
                })
            };
            match name.as_str() {
                "discard" => discard = value == "true",
                "drop" => faults.drop = number()?,
                "duplicate" => faults.duplicate = number()?,
                "reorder" => faults.reorder = number()?,
                "corrupt" => faults.corrupt = number()?,
                "refuse" => faults.refuse = number()?,
                "stall-at" => faults.stall_at = number()?,
                "stall" => faults.stall = number()?,
                "break-at" => faults.break_at = number()?,
                other => {
                    return Err(DriverError::Option(format!(
                        "the driver memory has no option {other}: there are discard, drop, duplicate, \
                         reorder, corrupt, refuse, stall-at, stall, break-at"
                    )));
                }
            }
        }
        Ok(Self {
            topics: Mutex::new(HashMap::new()),
            discard,
            faults,
            stored: AtomicU64::new(0),
            began_ns: AtomicU64::new(0),
        })
    }

    fn topic(&self, workload: &Workload) -> Result<Arc<Topic>, DriverError> {
        if self.discard {
            // Nothing is ever in it, so it doesn't matter in which process it was made.
            return Ok(Arc::new(Topic::new(workload)));
        }
        let topics = locked(&self.topics);
        let topic = topics.get(&workload.topic).cloned();
        topic.ok_or_else(|| DriverError::Failed(format!("there is no topic {}", workload.topic)))
    }

    /// Milliseconds since the first record came.
    fn since_began(&self) -> u64 {
        let now = now_ns();
        let _ = self
            .began_ns
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        now.saturating_sub(self.began_ns.load(Ordering::Relaxed)) / 1_000_000
    }

    /// Waits while the broker stalls, and fails when it breaks.
    fn live(&self, stop: &Stop) -> Result<(), DriverError> {
        let faults = &self.faults;
        if faults.stall > 0 {
            let end = faults.stall_at + faults.stall;
            while (faults.stall_at..end).contains(&self.since_began())
                && stop.wanted() != Wanted::Abort
            {
                std::thread::sleep(NAP);
            }
        }
        if faults.break_at > 0 && self.since_began() >= faults.break_at {
            return Err(DriverError::Failed(
                "the broker broke, as it was told to".to_owned(),
            ));
        }
        Ok(())
    }

    /// Stores a batch, with the faults it was told to make; says for each record whether it is acknowledged.
    fn store(&self, log: &Mutex<Vec<Stored>>, batch: Vec<Stored>) -> Vec<bool> {
        let mut log = locked(log);
        let mut late: Option<Stored> = None;
        let mut fates = Vec::with_capacity(batch.len());
        let first = self.stored.fetch_add(batch.len() as u64, Ordering::Relaxed);
        for (at, mut record) in batch.into_iter().enumerate() {
            let number = first + at as u64 + 1;
            let hit = |every: u64| every > 0 && number.is_multiple_of(every);
            fates.push(!hit(self.faults.refuse));
            if hit(self.faults.refuse) || hit(self.faults.drop) {
                continue;
            }
            if hit(self.faults.corrupt) {
                let last = record.value.len() - 1;
                record.value[last] ^= 1;
            }
            if hit(self.faults.duplicate) {
                log.push(record.clone());
            }
            if hit(self.faults.reorder) && late.is_none() {
                late = Some(record);
            } else {
                log.push(record);
                log.extend(late.take());
            }
        }
        log.extend(late);
        fates
    }
}

/// The open batch of one partition.
#[derive(Default)]
struct Open {
    records: Vec<Stored>,
    tickets: Vec<Ticket>,
    bytes: usize,
}

impl Memory {
    fn send(
        &self,
        job: &mut ProducerJob,
        topic: &Topic,
        place: usize,
        open: &mut Open,
    ) -> Result<(), DriverError> {
        self.live(&job.stop)?;
        let (number, partition) = (
            place / job.workload.partitions,
            place % job.workload.partitions,
        );
        if self.discard {
            job.probe.acked(number, partition, &open.tickets, now_ns());
        } else {
            let records = std::mem::take(&mut open.records);
            let fates = self.store(&topic.partitions[place], records);
            let of = |wanted: bool| -> Vec<Ticket> {
                let pairs = open.tickets.iter().zip(&fates);
                pairs
                    .filter(|(_, fate)| **fate == wanted)
                    .map(|(ticket, _)| *ticket)
                    .collect()
            };
            job.probe.acked(number, partition, &of(true), now_ns());
            let refused = of(false);
            if !refused.is_empty() {
                job.probe
                    .failed(number, partition, &refused, "refused, as it was told to");
            }
        }
        open.tickets.clear();
        open.bytes = 0;
        Ok(())
    }

    fn send_all(
        &self,
        job: &mut ProducerJob,
        topic: &Topic,
        open: &mut [Open],
    ) -> Result<(), DriverError> {
        for (place, open) in open.iter_mut().enumerate() {
            if !open.tickets.is_empty() {
                self.send(job, topic, place, open)?;
            }
        }
        Ok(())
    }
}

impl Driver for Memory {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        Ok(SystemInfo {
            product: "memory of this process".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            brokers: 1,
            settings: BTreeMap::from([("discard".to_owned(), self.discard.to_string())]),
        })
    }

    fn prepare(&self, workload: &Workload) -> Result<(), DriverError> {
        if workload.replicas > 1 {
            return Err(DriverError::Unsupported(format!(
                "memory has no {} replicas",
                workload.replicas
            )));
        }
        if self.discard && workload.consumers > 0 {
            return Err(DriverError::Unsupported(
                "what is discarded cannot be consumed".to_owned(),
            ));
        }
        let topic = Arc::new(Topic::new(workload));
        locked(&self.topics).insert(workload.topic.clone(), topic);
        Ok(())
    }

    fn clean_up(&self, workload: &Workload) -> Result<(), DriverError> {
        locked(&self.topics).remove(&workload.topic);
        Ok(())
    }

    fn produce(&self, mut job: ProducerJob) -> Result<(), DriverError> {
        let topic = self.topic(&job.workload)?;
        let mut open: Vec<Open> = Vec::new();
        open.resize_with(topic.partitions.len(), Open::default);
        let most = job.workload.batch_bytes;
        let partitions = job.workload.partitions;
        loop {
            match job.probe.next(now_ns()) {
                Next::Send(record) => {
                    let place = record.topic * partitions + record.partition;
                    let batch = &mut open[place];
                    batch.tickets.push(record.ticket);
                    batch.bytes += record.ticket.bytes as usize;
                    if !self.discard {
                        batch.records.push(Stored {
                            key: record.key.map(Into::into),
                            value: record.value.into(),
                        });
                    }
                    if batch.bytes >= most {
                        self.send(&mut job, &topic, place, &mut open[place])?;
                    }
                }
                Next::Wait(until) => {
                    self.send_all(&mut job, &topic, &mut open)?;
                    let nap = Duration::from_nanos(until.saturating_sub(now_ns()));
                    std::thread::sleep(nap.min(NAP));
                }
                Next::Done => break,
            }
        }
        self.send_all(&mut job, &topic, &mut open)
    }

    fn consume(&self, mut job: ConsumerJob) -> Result<(), DriverError> {
        let topic = self.topic(&job.workload)?;
        let mine = |place: &usize| place % job.workload.consumers == job.index;
        let places: Vec<usize> = (0..topic.partitions.len()).filter(mine).collect();
        let mut read = vec![0; topic.partitions.len()];
        job.probe.ready();
        while job.stop.wanted() == Wanted::Run {
            let mut found = false;
            for &place in &places {
                let log = locked(&topic.partitions[place]);
                let new: Vec<Stored> = log[read[place]..].iter().take(1000).cloned().collect();
                drop(log);
                let now = now_ns();
                for record in &new {
                    job.probe.received(
                        place / job.workload.partitions,
                        place % job.workload.partitions,
                        record.key.as_deref(),
                        &record.value,
                        now,
                    );
                }
                read[place] += new.len();
                found |= !new.is_empty();
            }
            if !found {
                job.probe.idle(now_ns());
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }
}
