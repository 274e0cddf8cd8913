//! A node as a broker of the cluster: registers with the controller, says that it is alive, asks for ISR
//! changes, one call at a time and in order.

use std::collections::VecDeque;

use metadata::{
    DriveInfo, Endpoint, Heartbeat, InternalEndpoint, METADATA_VERSIONS, RegisterBroker,
};
use quorum::Quorum;
use replica::{IsrAnswer, IsrChange};
use uuid::Uuid;

use super::Me;
use crate::env::{Env, MS, Micros};
use crate::message::{Address, Body, ControlReply, ControlRequest, Packet, Place};
use crate::mutation::Mutation;

/// After how long a request that nobody answered is given up.
const TIMEOUT: Micros = 100 * MS;

/// An answer to an ISR change: partition, request, answer.
pub(crate) type Asked = (i32, u64, IsrAnswer);

/// ISR changes under way.
#[derive(Debug)]
struct Call {
    id: u64,
    until: Micros,
    /// Partitions and requests.
    changes: Vec<(i32, u64)>,
}

/// The broker.
pub(crate) struct Broker {
    node: i32,
    life: u64,
    incarnation: Uuid,
    /// The epoch of this process, once it is registered.
    pub(crate) epoch: Option<i64>,
    /// It has the metadata since its registration, and its partitions.
    pub(crate) is_open: bool,
    pub(crate) may_stop: bool,
    pub(crate) changes: VecDeque<(i32, IsrChange)>,
    pub(crate) resigned: Vec<(i32, i32)>,
    call: Option<Call>,
    /// Where the controller is, as far as known.
    controller: i32,
    line: Place,
    /// Registration or heartbeat under way.
    beat: Option<(u64, Micros)>,
}

impl Broker {
    pub(crate) fn new(env: &mut Env, node: i32, life: u64) -> Self {
        Self {
            node,
            life,
            incarnation: Uuid::from_u128((node as u128 + 1) << 64 | u128::from(life)),
            epoch: None,
            is_open: false,
            may_stop: false,
            changes: VecDeque::new(),
            resigned: Vec::new(),
            call: None,
            controller: 0,
            line: Place {
                connection: env.fresh(),
                order: 0,
            },
            beat: None,
        }
    }

    /// Sends a request to the controller; gives its id.
    fn ask(&mut self, env: &mut Env, quorum: &Quorum, request: ControlRequest) -> u64 {
        let to = quorum.leader().unwrap_or(self.controller);
        if to != self.controller {
            self.connect(env, to);
        }
        let id = env.fresh();
        let place = self.line;
        self.line.order += 1;
        env.send(Packet {
            from: Address::Node(self.node),
            to: Address::Node(to),
            body: Body::Control { place, id, request },
        });
        id
    }

    /// Opens another connection.
    fn connect(&mut self, env: &mut Env, to: i32) {
        self.controller = to;
        self.line = Place {
            connection: env.fresh(),
            order: 0,
        };
    }

    /// Registers, or says that the broker is alive.
    pub(crate) fn heartbeat(&mut self, env: &mut Env, quorum: &Quorum, offset: i64, to_stop: bool) {
        if self.beat.is_some_and(|(_, until)| env.now < until) {
            return;
        }
        if self.beat.is_some() {
            let voters = env.shape.voters as u64;
            let to = env.rng.below(voters) as i32;
            self.connect(env, to);
        }
        let overstates = env.breaks(Mutation::OffsetOverstated);
        let request = match self.epoch {
            None => ControlRequest::Register(Box::new(self.registration())),
            Some(broker_epoch) => ControlRequest::Heartbeat(Heartbeat {
                node: self.node,
                broker_epoch,
                metadata_offset: if overstates { i64::MAX } else { offset },
                want_fence: !self.is_open && !overstates,
                want_shutdown: to_stop,
                offline_drives: Vec::new(),
            }),
        };
        let id = self.ask(env, quorum, request);
        self.beat = Some((id, env.now + TIMEOUT));
    }

    fn registration(&self) -> RegisterBroker {
        RegisterBroker {
            cluster_id: Some("simulated".to_owned()),
            node_id: self.node,
            incarnation: self.incarnation,
            boot_id: Uuid::from_u128(self.node as u128 + 1),
            clean: false,
            metadata_versions: METADATA_VERSIONS,
            rack: None,
            shards: 1,
            drives: vec![DriveInfo {
                id: Uuid::from_u128(0xd0 + self.node as u128),
                shard: 0,
                path: "/data".to_owned(),
            }],
            endpoints: vec![Endpoint {
                name: "PLAINTEXT".to_owned(),
                host: "node".to_owned(),
                port: 9092,
                security_protocol: 0,
            }],
            internal_endpoints: vec![InternalEndpoint {
                host: "node".to_owned(),
                port: 9093,
            }],
        }
    }

    /// Sends the ISR changes and resignations that wait, unless some are under way.
    pub(crate) fn send_changes(&mut self, env: &mut Env, quorum: &Quorum) {
        for (partition, leader_epoch) in std::mem::take(&mut self.resigned) {
            let node = self.node;
            let request = ControlRequest::Resign {
                node,
                partition,
                leader_epoch,
            };
            self.ask(env, quorum, request);
        }
        let Some(broker_epoch) = self.epoch else {
            return;
        };
        if self.call.is_some() || self.changes.is_empty() {
            return;
        }
        let changes: Vec<_> = self.changes.drain(..).collect();
        let requests = changes.iter().map(|(id, change)| (*id, change.request));
        let requests = requests.collect();
        let request = ControlRequest::Alter {
            node: self.node,
            broker_epoch,
            changes,
        };
        self.call = Some(Call {
            id: self.ask(env, quorum, request),
            until: env.now + TIMEOUT,
            changes: requests,
        });
    }

    /// Gives up the call that nobody answers; gives what that means.
    pub(crate) fn tick(&mut self, env: &mut Env) -> Vec<Asked> {
        match &self.call {
            Some(call) if env.now >= call.until => {}
            _ => return Vec::new(),
        }
        let to = self.controller;
        self.connect(env, to);
        self.end_call(&[])
    }

    /// The answers to the changes under way; unknown where there are none.
    fn end_call(&mut self, answers: &[IsrAnswer]) -> Vec<Asked> {
        let Some(call) = self.call.take() else {
            return Vec::new();
        };
        let answers = answers
            .iter()
            .copied()
            .chain(std::iter::repeat(IsrAnswer::Unknown));
        let changes = call.changes.into_iter().zip(answers);
        changes
            .map(|((id, request), answer)| (id, request, answer))
            .collect()
    }

    /// The controller answers.
    pub(crate) fn answered(
        &mut self,
        env: &mut Env,
        me: &Me,
        id: u64,
        reply: ControlReply,
    ) -> Vec<Asked> {
        let of_call = self.call.as_ref().is_some_and(|call| call.id == id);
        let of_beat = self.beat.is_some_and(|(beat, _)| beat == id);
        if of_beat {
            self.beat = None;
        }
        match reply {
            ControlReply::NotController(hint) => {
                if let Some(to) = hint.filter(|&to| to != self.controller) {
                    self.connect(env, to);
                } else if hint.is_none() && of_beat {
                    let to = env.rng.below(env.shape.voters as u64) as i32;
                    self.connect(env, to);
                }
                if of_call {
                    return self.end_call(&[]);
                }
            }
            ControlReply::Registered(epoch) if of_beat => {
                env.ledger.registered(epoch, me.node, self.life);
                self.epoch = Some(epoch);
            }
            ControlReply::Heartbeat(reply) if of_beat => self.may_stop |= reply.may_stop,
            ControlReply::Altered(answers) if of_call => return self.end_call(&answers),
            _ => {}
        }
        Vec::new()
    }
}
