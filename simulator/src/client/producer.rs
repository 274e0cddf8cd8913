//! A producer of one partition.

use std::collections::VecDeque;

use super::{Line, TIMEOUT};
use crate::env::{Env, Micros, tell};
use crate::message::{ClientReply, ClientRequest};

/// Batches that wait at most; more aren't made.
const QUEUE_MAX: usize = 8;

/// A batch: one record.
#[derive(Debug)]
struct Batch {
    sequence: u64,
    /// The request under way: its id, and when it is given up.
    sent: Option<(u64, Micros)>,
    done: bool,
}

/// A producer.
#[derive(Debug)]
pub(crate) struct Producer {
    /// Its number.
    pub(crate) id: u32,
    pub(crate) line: Line,
    /// `acks=all`; else `acks=1`.
    all: bool,
    /// Requests under way at most.
    in_flight: usize,
    next: u64,
    queue: VecDeque<Batch>,
    /// Whether it makes no more.
    pub(crate) ends: bool,
    not_before: Micros,
}

impl Producer {
    pub(crate) fn new(id: u32, line: Line, all: bool, in_flight: usize) -> Self {
        Self {
            id,
            line,
            all,
            in_flight,
            next: 0,
            queue: VecDeque::new(),
            ends: false,
            not_before: 0,
        }
    }

    /// Whether all that it made is acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// Makes one more batch.
    pub(crate) fn make(&mut self) {
        self.queue.push_back(Batch {
            sequence: self.next,
            sent: None,
            done: false,
        });
        self.next += 1;
    }

    pub(crate) fn tick(&mut self, env: &mut Env) -> Micros {
        if !self.ends && self.queue.len() < QUEUE_MAX {
            self.make();
        }
        let late = |batch: &Batch| batch.sent.is_some_and(|(_, until)| env.now >= until);
        if self.queue.iter().any(late) {
            self.again(env);
        }
        self.send(env);
        let pace = env.shape.produce;
        env.rng.between(pace / 2, pace * 3 / 2)
    }

    /// Begins again with the first that isn't acknowledged.
    fn again(&mut self, env: &mut Env) {
        self.line.forget(env);
        for batch in &mut self.queue {
            batch.sent = None;
        }
    }

    fn send(&mut self, env: &mut Env) {
        if env.now < self.not_before || self.queue.is_empty() {
            return;
        }
        let Some((to, _)) = self.line.leader(env) else {
            return;
        };
        // Of a producer that a log knows nothing of, any record is taken, as with Kafka: so the first ones
        // go alone.
        let begun = self.queue.front().is_some_and(|batch| batch.sequence > 0);
        let in_flight = if begun { self.in_flight } else { 1 };
        for batch in self.queue.iter_mut().take(in_flight) {
            if batch.sent.is_some() || batch.done {
                continue;
            }
            let request = ClientRequest::Produce {
                partition: self.line.partition,
                producer: self.id,
                sequence: batch.sequence,
                all: self.all,
            };
            let id = self.line.send(env, to, request);
            batch.sent = Some((id, env.now + TIMEOUT));
        }
    }

    pub(crate) fn answered(&mut self, env: &mut Env, id: u64, reply: &ClientReply) {
        if self.line.learned(env, id, reply) {
            return self.send(env);
        }
        let of = |batch: &Batch| batch.sent.is_some_and(|(sent, _)| sent == id);
        let Some(at) = self.queue.iter().position(of) else {
            return;
        };
        tell!(env, "producer {}: {:?}: {reply:?}", self.id, self.queue[at]);
        match reply {
            ClientReply::Produced => {
                self.queue[at].sent = None;
                self.queue[at].done = true;
            }
            ClientReply::Failed(why) => {
                env.ledger.count(why);
                self.not_before = env.now + 10 * crate::env::MS;
                self.again(env);
            }
            _ => {}
        }
        while self.queue.front().is_some_and(|batch| batch.done) {
            if let Some(batch) = self.queue.pop_front() {
                let next = batch.sequence + 1;
                env.ledger.acknowledged.insert(self.id, next);
            }
        }
        self.send(env);
    }
}
