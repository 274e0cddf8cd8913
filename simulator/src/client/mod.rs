//! The clients: producers and consumers of one partition each.
//!
//! They find the leader by asking any node, believe the newest they heard, and try again whatever is not
//! known to be done.

mod consumer;
mod producer;

pub(crate) use consumer::Consumer;
pub(crate) use producer::Producer;

use crate::env::{Env, MS, Micros};
use crate::message::{Address, Body, ClientReply, ClientRequest, Packet, Place};

/// After how long a request that nobody answered is given up.
const TIMEOUT: Micros = 200 * MS;

/// A client.
pub(crate) enum Client {
    Producer(Producer),
    Consumer(Consumer),
}

impl Client {
    /// Does what there is to do; gives the time until the next look.
    pub(crate) fn tick(&mut self, env: &mut Env) -> Micros {
        match self {
            Self::Producer(producer) => producer.tick(env),
            Self::Consumer(consumer) => consumer.tick(env),
        }
    }

    /// Takes an answer.
    pub(crate) fn answered(&mut self, env: &mut Env, id: u64, reply: &ClientReply) {
        match self {
            Self::Producer(producer) => producer.answered(env, id, reply),
            Self::Consumer(consumer) => consumer.answered(env, id, reply),
        }
    }
}

/// A client's connection to the leader, and what it knows of who that is.
#[derive(Debug)]
pub(crate) struct Line {
    client: usize,
    pub(crate) partition: i32,
    place: Place,
    /// The leader: node and epoch.
    leader: Option<(i32, i32)>,
    /// The greatest leader epoch heard of.
    epoch: i32,
    /// A question for the leader under way.
    question: Option<(u64, Micros)>,
    /// No question is asked before.
    not_before: Micros,
}

impl Line {
    pub(crate) fn new(client: usize, partition: i32) -> Self {
        Self {
            client,
            partition,
            place: Place {
                connection: 0,
                order: 0,
            },
            leader: None,
            epoch: -1,
            question: None,
            not_before: 0,
        }
    }

    fn send(&mut self, env: &mut Env, to: i32, request: ClientRequest) -> u64 {
        let id = env.fresh();
        let place = self.place;
        self.place.order += 1;
        env.send(Packet {
            from: Address::Client(self.client),
            to: Address::Node(to),
            body: Body::Client { place, id, request },
        });
        id
    }

    fn connect(&mut self, env: &mut Env) {
        self.place = Place {
            connection: env.fresh(),
            order: 0,
        };
    }

    /// The leader, as far as known; asks where it isn't.
    pub(crate) fn leader(&mut self, env: &mut Env) -> Option<(i32, i32)> {
        if self.leader.is_some() {
            return self.leader;
        }
        let waits = self.question.is_some_and(|(_, until)| env.now < until);
        if !waits && env.now >= self.not_before {
            self.connect(env);
            let to = env.rng.below(env.shape.nodes as u64) as i32;
            let partition = self.partition;
            let id = self.send(env, to, ClientRequest::Metadata { partition });
            self.question = Some((id, env.now + TIMEOUT));
        }
        None
    }

    /// Takes an answer to the question for the leader, if it is one.
    pub(crate) fn learned(&mut self, env: &mut Env, id: u64, reply: &ClientReply) -> bool {
        if self.question.is_none_or(|(question, _)| question != id) {
            return false;
        }
        self.question = None;
        match *reply {
            ClientReply::Leader { node, leader_epoch }
                if node >= 0 && leader_epoch >= self.epoch =>
            {
                self.epoch = leader_epoch;
                self.leader = Some((node, leader_epoch));
                self.connect(env);
            }
            _ => self.not_before = env.now + 10 * MS,
        }
        true
    }

    /// The leader isn't who it was thought to be, or doesn't answer.
    pub(crate) fn forget(&mut self, env: &mut Env) {
        self.leader = None;
        self.not_before = env.now + 5 * MS;
    }
}
