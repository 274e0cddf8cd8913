//! The controller: what the quorum's leader decides, on an image that is ahead of the committed one by what
//! it decided since.
//!
//! An answer is given only when everything it rests on is committed.

use std::collections::VecDeque;

use metadata::{
    AlterPartition, ConfigRules, Configs, Controller, CreateTopic, ElectionType, HeartbeatReply,
    Image, KeyKind, MetaError, PlacementDrive, Policy, Reassignment, Record as MetaRecord,
    RegisterBroker, Resource, ResourceType, Sessions,
};
use quorum::{Proposed, Quorum};
use replica::{IsrAnswer, IsrChange};
use uuid::Uuid;

use super::member::Member;
use crate::env::{Env, tell};
use crate::ledger::TOPIC;
use crate::message::{Address, Body, ControlReply, ControlRequest, Packet};
use crate::mutation::Mutation;
use crate::payload;

/// After how many milliseconds without a heartbeat a broker is fenced.
pub(crate) const SESSION_MS: u64 = 300;

/// The topic's id.
pub(crate) const TOPIC_ID: Uuid = Uuid::from_u128(0x70);

const POLICY: Policy = Policy {
    default_partitions: 1,
    default_replication_factor: 1,
    delete_topics: true,
};

/// Configs don't matter here: there are none.
struct Rules;

impl ConfigRules for Rules {
    fn key(&self, _kind: ResourceType, key: &str) -> Result<KeyKind, String> {
        Err(format!("\"{key}\" is no config"))
    }

    fn check(&self, _kind: ResourceType, _key: &str, _value: &str) -> Result<(), String> {
        Ok(())
    }

    fn check_together(&self, _: &Image, _: &Resource, _: &Configs) -> Result<(), String> {
        Ok(())
    }

    fn inherited(&self, _image: &Image, _resource: &Resource, _key: &str) -> Option<String> {
        None
    }
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create {
        partitions: i32,
        factor: i16,
    },
    Reassign {
        partition: i32,
        replicas: Option<Vec<i32>>,
    },
    Elect {
        partition: i32,
    },
    Rebalance,
}

/// Records that were proposed and aren't committed.
struct Flying {
    index: u64,
    term: u64,
    records: Vec<MetaRecord>,
}

/// Who waits for an entry.
struct Waiting {
    /// Of the entry.
    index: u64,
    term: u64,
    /// Whom to answer: the node, and the id of its request.
    to: Option<(i32, u64)>,
    reply: ControlReply,
    /// The broker whose session has to hear of it.
    broker: Option<i32>,
}

/// The controller of one term.
pub(crate) struct Leading {
    node: i32,
    ahead: Image,
    sessions: Sessions,
    flying: VecDeque<Flying>,
    waiting: VecDeque<Waiting>,
}

type Decision<T> = Result<(T, Vec<MetaRecord>), MetaError>;

impl Leading {
    /// A node comes to lead, and has all that was committed before.
    pub(crate) fn new(node: i32, member: &mut Member, now_ms: u64) -> Self {
        let mut sessions = Sessions::new(SESSION_MS);
        sessions.start(&member.image, member.offset(), now_ms);
        let mut leading = Self {
            node,
            ahead: member.image.clone(),
            sessions,
            flying: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        let records = leading.controller().bootstrap("simulated");
        leading.propose(member, records);
        leading
    }

    fn controller(&self) -> Controller<'_> {
        Controller::new(&self.ahead, &Rules, POLICY)
    }

    /// Takes what was decided, and gives it to the quorum; gives the entry that an answer has to wait for.
    fn propose(&mut self, member: &mut Member, records: Vec<MetaRecord>) -> Option<Proposed> {
        if records.is_empty() {
            let last = self.flying.back()?;
            let (index, term) = (last.index, last.term);
            return Some(Proposed { index, term });
        }
        for record in &records {
            if let Err(error) = self.ahead.apply(record) {
                panic!("a decision can't be applied: {record:?}: {error}");
            }
        }
        match member.quorum.propose(payload::encode(&records)) {
            Ok(proposed) => {
                self.flying.push_back(Flying {
                    index: proposed.index,
                    term: proposed.term,
                    records,
                });
                Some(proposed)
            }
            Err(_) => {
                self.reset(member);
                None
            }
        }
    }

    /// Makes the image ahead again from the committed one and what is on its way.
    fn reset(&mut self, member: &Member) {
        self.ahead = member.image.clone();
        for record in self.flying.iter().flat_map(|flying| &flying.records) {
            if let Err(error) = self.ahead.apply(record) {
                panic!("what is on its way can't be applied: {record:?}: {error}");
            }
        }
    }

    /// Decides something; the answer is given when it is committed.
    fn decide(
        &mut self,
        env: &mut Env,
        member: &mut Member,
        waiting: (Option<(i32, u64)>, Option<i32>),
        decision: Decision<ControlReply>,
    ) {
        let (to, broker) = waiting;
        let (reply, records) = match decision {
            Ok(decided) => decided,
            Err(error) => {
                tell!(env, "controller {} refuses: {error}", self.node);
                (ControlReply::Refused, Vec::new())
            }
        };
        for record in &records {
            tell!(env, "controller {} decides {record:?}", self.node);
        }
        let nothing = records.is_empty() && self.flying.is_empty();
        match self.propose(member, records) {
            Some(Proposed { index, term }) => self.waiting.push_back(Waiting {
                index,
                term,
                to,
                reply,
                broker,
            }),
            None if nothing => {
                self.tell_sessions(env, member, broker);
                answer(env, self.node, to, reply);
            }
            None => answer(env, self.node, to, ControlReply::NotController(None)),
        }
        if env.breaks(Mutation::DecidedOnCommitted) {
            self.ahead = member.image.clone();
        }
    }

    /// An entry is applied: answers those who waited for it.
    pub(crate) fn applied(&mut self, env: &mut Env, member: &Member, index: u64, term: u64) {
        if let Some(first) = self.flying.front()
            && (first.index, first.term) == (index, term)
        {
            self.flying.pop_front();
        }
        if env.breaks(Mutation::DecidedOnCommitted) {
            self.ahead = member.image.clone();
        }
        while self
            .waiting
            .front()
            .is_some_and(|first| first.index <= index)
        {
            let Some(first) = self.waiting.pop_front() else {
                return;
            };
            let kept = first.index < index || first.term == term;
            if kept {
                self.tell_sessions(env, member, first.broker);
                answer(env, self.node, first.to, first.reply);
            } else {
                answer(env, self.node, first.to, ControlReply::NotController(None));
            }
        }
    }

    fn tell_sessions(&mut self, env: &Env, member: &Member, broker: Option<i32>) {
        if let Some(broker) = broker
            && !env.breaks(Mutation::SessionsNotTold)
        {
            self.sessions
                .committed(&member.image, broker, member.offset());
        }
    }

    /// The node doesn't lead any more: what it decided may be committed by another, or not.
    pub(crate) fn end(self, env: &mut Env, quorum: &Quorum) {
        let leader = quorum.leader();
        for waiting in self.waiting {
            if env.breaks(Mutation::AnsweredWithoutCommit) {
                // It believes that whatever is there will be what it decided.
                answer(env, self.node, waiting.to, waiting.reply);
            } else {
                let reply = ControlReply::NotController(leader);
                answer(env, self.node, waiting.to, reply);
            }
        }
    }

    /// A node asks for something.
    pub(crate) fn ask(
        &mut self,
        env: &mut Env,
        member: &mut Member,
        (from, id): (i32, u64),
        request: ControlRequest,
        now_ms: u64,
    ) {
        let to = Some((from, id));
        if !member.quorum.membership().contains(from) {
            // It can follow the log only as a member. If not now, then when it asks next.
            let _later = member.quorum.add_learner(from);
        }
        match request {
            ControlRequest::Register(command) => self.register(env, member, to, &command, now_ms),
            ControlRequest::Heartbeat(heartbeat) => {
                let node = heartbeat.node;
                let controller = Controller::new(&self.ahead, &Rules, POLICY);
                let decided = self.sessions.heartbeat(&controller, &heartbeat, now_ms);
                let decided =
                    decided.map(|(reply, records)| (ControlReply::Heartbeat(reply), records));
                self.decide(env, member, (to, Some(node)), decided);
            }
            ControlRequest::Alter {
                node,
                broker_epoch,
                changes,
            } => self.alter(env, member, to, (node, broker_epoch), &changes),
            ControlRequest::Resign {
                node,
                partition,
                leader_epoch,
            } => self.resign(env, member, (node, partition, leader_epoch)),
        }
    }

    fn register(
        &mut self,
        env: &mut Env,
        member: &mut Member,
        to: Option<(i32, u64)>,
        command: &RegisterBroker,
        now_ms: u64,
    ) {
        let node = command.node_id;
        let before = self.ahead.broker(node).map(|broker| broker.epoch);
        let controller = Controller::new(&self.ahead, &Rules, POLICY);
        let decided = self.sessions.register(&controller, command, now_ms);
        let decided = decided.map(|(mut epoch, mut records)| {
            if let (true, Some(before)) = (env.breaks(Mutation::BrokerEpochKept), before) {
                epoch = before;
                for record in &mut records {
                    if let MetaRecord::Broker(broker) = record {
                        broker.epoch = before;
                    }
                }
            }
            (ControlReply::Registered(epoch), records)
        });
        self.decide(env, member, (to, Some(node)), decided);
    }

    fn alter(
        &mut self,
        env: &mut Env,
        member: &mut Member,
        to: Option<(i32, u64)>,
        (node, broker_epoch): (i32, i64),
        changes: &[(i32, IsrChange)],
    ) {
        let mut answers = Vec::new();
        for (partition, change) in changes {
            let command = AlterPartition {
                node,
                broker_epoch,
                topic_id: TOPIC_ID,
                index: *partition,
                leader_epoch: change.leader_epoch,
                partition_epoch: change.partition_epoch,
                isr: change
                    .isr
                    .iter()
                    .map(|member| (member.node, member.broker_epoch))
                    .collect(),
            };
            let decided = self.controller().alter_partition(&command);
            tell!(env, "controller: {command:?}: {decided:?}");
            answers.push(match decided {
                Ok((altered, records)) => match self.take(member, records) {
                    false => IsrAnswer::Unknown,
                    true if altered.leader_moved => IsrAnswer::NotLeader,
                    true => IsrAnswer::Accepted {
                        partition_epoch: altered.state.partition_epoch,
                    },
                },
                Err(error) => isr_answer(&error),
            });
        }
        let reply = ControlReply::Altered(answers);
        self.decide(env, member, (to, None), Ok((reply, Vec::new())));
    }

    /// Proposes records; whether the quorum took them.
    fn take(&mut self, member: &mut Member, records: Vec<MetaRecord>) -> bool {
        records.is_empty() || self.propose(member, records).is_some()
    }

    /// Ends an epoch in which a leader can't go on: fences it, and lets it come back.
    fn resign(
        &mut self,
        env: &mut Env,
        member: &mut Member,
        (node, partition, leader_epoch): (i32, i32, i32),
    ) {
        let topic = self.ahead.topic(TOPIC);
        let state = topic.and_then(|topic| topic.partition(partition));
        let leads = |state: &metadata::PartitionState| {
            (state.leader, state.leader_epoch) == (node, leader_epoch)
        };
        if !state.is_some_and(leads) {
            return;
        }
        tell!(env, "controller: node {node} resigns partition {partition}");
        for again in [false, true] {
            let controller = self.controller();
            let decided = match again {
                false => controller.fence(node),
                true => controller.unfence(node),
            };
            let nothing = ControlReply::NotController(None);
            let decided = decided.map(|records| (nothing, records));
            self.decide(env, member, (None, None), decided);
        }
    }

    /// An operator asks for something.
    pub(crate) fn command(&mut self, env: &mut Env, member: &mut Member, command: &Command) {
        let drives = PlacementDrive::all(&self.ahead);
        let controller = self.controller();
        let decided = match command {
            Command::Create { partitions, factor } => {
                let create = CreateTopic {
                    id: TOPIC_ID,
                    name: TOPIC.to_owned(),
                    partitions: *partitions,
                    replication_factor: *factor,
                    assignments: Vec::new(),
                    configs: Vec::new(),
                };
                controller.create_topic(&create, &drives)
            }
            Command::Reassign {
                partition,
                replicas,
            } => {
                let reassignment = Reassignment {
                    topic: TOPIC.to_owned(),
                    index: *partition,
                    replicas: replicas.clone(),
                    allow_factor_change: true,
                };
                controller.reassign(&reassignment, &drives)
            }
            Command::Elect { partition } => {
                controller.elect_leader(TOPIC, *partition, ElectionType::Preferred)
            }
            Command::Rebalance => Ok(controller.rebalance_leaders(0, 10)),
        };
        let reply = ControlReply::Heartbeat(HeartbeatReply::default());
        let decided = decided.map(|records| (reply, records));
        self.decide(env, member, (None, None), decided);
    }

    /// Fences whoever wasn't heard of.
    pub(crate) fn tick(&mut self, env: &mut Env, member: &mut Member, now_ms: u64) {
        for node in self.sessions.expired(&self.ahead, now_ms) {
            let decided = self.controller().fence(node);
            let nothing = ControlReply::NotController(None);
            let decided = decided.map(|records| (nothing, records));
            self.decide(env, member, (None, None), decided);
            env.ledger.count("sessions expired");
        }
    }
}

fn isr_answer(error: &MetaError) -> IsrAnswer {
    match error {
        MetaError::IneligibleReplica(_) => IsrAnswer::Ineligible,
        MetaError::FencedLeaderEpoch(_) => IsrAnswer::Fenced,
        MetaError::InvalidUpdateVersion(_) => IsrAnswer::InvalidVersion,
        MetaError::NotController(_) => IsrAnswer::Unknown,
        _ => IsrAnswer::NotLeader,
    }
}

/// Answers a node.
pub(crate) fn answer(env: &mut Env, from: i32, to: Option<(i32, u64)>, reply: ControlReply) {
    if let Some((to, id)) = to {
        env.send(Packet {
            from: Address::Node(from),
            to: Address::Node(to),
            body: Body::ControlReply { id, reply },
        });
    }
}
