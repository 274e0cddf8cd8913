//! A consumer of one partition: reads on from where it is, mostly at the leader.

use super::{Line, TIMEOUT};
use crate::env::{Env, MS, Micros};
use crate::ledger::must;
use crate::message::{ClientReply, ClientRequest};

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) line: Line,
    /// The next offset it wants.
    pub(crate) offset: i64,
    /// The request under way: its id, and when it is given up.
    fetch: Option<(u64, Micros)>,
}

impl Consumer {
    pub(crate) fn new(line: Line) -> Self {
        Self {
            line,
            offset: 0,
            fetch: None,
        }
    }

    pub(crate) fn tick(&mut self, env: &mut Env) -> Micros {
        if self.fetch.is_some_and(|(_, until)| env.now >= until) {
            self.fetch = None;
            self.line.forget(env);
        }
        self.send(env);
        env.rng.between(5 * MS, 20 * MS)
    }

    fn send(&mut self, env: &mut Env) {
        if self.fetch.is_some() {
            return;
        }
        let Some((mut to, leader_epoch)) = self.line.leader(env) else {
            return;
        };
        if env.rng.chance(20) {
            // A follower may be asked too; each is another connection.
            to = env.rng.below(env.shape.nodes as u64) as i32;
        }
        self.line.connect(env);
        let request = ClientRequest::Fetch {
            partition: self.line.partition,
            offset: self.offset,
            leader_epoch,
        };
        let id = self.line.send(env, to, request);
        self.fetch = Some((id, env.now + TIMEOUT));
    }

    pub(crate) fn answered(&mut self, env: &mut Env, id: u64, reply: &ClientReply) {
        if self.line.learned(env, id, reply) || self.fetch.is_none_or(|(fetch, _)| fetch != id) {
            return;
        }
        self.fetch = None;
        match reply {
            ClientReply::Fetched { base, records } => {
                must!(
                    env.ledger,
                    *base == self.offset,
                    "a consumer wanted {} and got {base}",
                    self.offset
                );
                self.offset += records.len() as i64;
                if !records.is_empty() {
                    env.ledger.count("consumed");
                }
            }
            ClientReply::OutOfRange { start } => {
                must!(
                    env.ledger,
                    *start > self.offset,
                    "a consumer at {} was sent back to {start}",
                    self.offset
                );
                self.offset = *start;
            }
            _ => self.line.forget(env),
        }
    }
}
