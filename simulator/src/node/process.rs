//! A node's process: takes messages, does what its parts want done, keeps them in step with the metadata.

use std::collections::BTreeMap;

use metadata::{PartitionState, Record as MetaRecord};
use replica::{Peer, Sender, Settings};

use super::broker::Broker;
use super::controller::{Command, Leading, TOPIC_ID, answer};
use super::member::{Member, Stored, Turn};
use super::partition::{Given, Partition};
use super::{Drive, Me};
use crate::env::{Env, MS, Work, tell};
use crate::ledger::TOPIC;
use crate::message::{
    Address, Body, ClientReply, ClientRequest, ControlReply, Packet, Place, Said,
};
use crate::mutation::Mutation;

/// Time between a member's ticks.
const QUORUM_TICK: u64 = 10 * MS;
/// Time between looks of the replicas at the time.
const TICK: u64 = 25 * MS;
const HEARTBEAT: u64 = 50 * MS;
const CHECKPOINT: u64 = 40 * MS;
/// `replica.lag.time.max.ms`.
const LAG_MAX_MS: u64 = 200;
const RETRY_MS: u64 = 60;

/// A process.
pub(crate) struct Process {
    node: i32,
    pub(crate) member: Member,
    controller: Option<Leading>,
    broker: Broker,
    pub(crate) partitions: BTreeMap<i32, Partition>,
    /// Counts connections and replicas.
    session: u64,
    /// When nodes were last heard, by the own clock.
    heard: BTreeMap<i32, u64>,
    /// The next request of each connection that is open.
    lines: BTreeMap<Address, Place>,
    /// It gave everything away, and ends.
    pub(crate) may_stop: bool,
    turns: Vec<Turn>,
}

impl Process {
    pub(crate) fn new(env: &mut Env, node: i32, life: u64, stored: Stored) -> Self {
        Self {
            node,
            member: Member::new(env, node, stored),
            controller: None,
            broker: Broker::new(env, node, life),
            partitions: BTreeMap::new(),
            session: 0,
            heard: BTreeMap::new(),
            lines: BTreeMap::new(),
            may_stop: false,
            turns: Vec::new(),
        }
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.broker.epoch.unwrap_or(-1)
    }

    pub(crate) fn is_controller(&self) -> bool {
        self.controller.is_some()
    }

    /// A message arrives.
    pub(crate) fn deliver(&mut self, env: &mut Env, me: &Me, drive: &mut Drive, packet: Packet) {
        let Packet { from, to: _, body } = packet;
        match (from, body) {
            (Address::Node(node), Body::Quorum(bytes)) => {
                self.member.step(env, &bytes);
                env.snapshot_sent(node, self.node, &bytes, true);
            }
            (
                Address::Node(node),
                Body::Replication {
                    sender,
                    partition,
                    said,
                },
            ) => {
                self.heard.insert(node, me.now_ms);
                self.hear(env, me, sender, partition, said);
            }
            (Address::Node(node), Body::Alive) => {
                self.heard.insert(node, me.now_ms);
            }
            (Address::Node(node), Body::Control { place, id, request }) => {
                if !self.is_in_order(env, from, place) {
                    return;
                }
                match &mut self.controller {
                    Some(controller) => {
                        let from = (node, id);
                        controller.ask(env, &mut self.member, from, request, me.now_ms);
                    }
                    None => {
                        let leader = self.member.quorum.leader();
                        let reply = ControlReply::NotController(leader);
                        answer(env, self.node, Some((node, id)), reply);
                    }
                }
            }
            (_, Body::ControlReply { id, reply }) => {
                self.answered(env, me, id, reply);
                if !self.broker.is_open {
                    // Its registration may be in the metadata already.
                    self.follow_metadata(env, me, drive, None);
                }
            }
            (_, Body::Client { place, id, request }) => {
                if self.is_in_order(env, from, place) {
                    self.serve(env, me, (from, id), &request);
                }
            }
            (_, _) => {}
        }
    }

    /// Whether a request is the next of its connection; if not, the connection is broken.
    fn is_in_order(&mut self, env: &Env, from: Address, place: Place) -> bool {
        if env.breaks(Mutation::RequestsOvertake) {
            return true;
        }
        let known = self.lines.get(&from);
        let next = match known {
            Some(known) if known.connection == place.connection => known.order,
            Some(known) if known.connection > place.connection => return false,
            _ => 0,
        };
        let order = next + 1;
        let connection = place.connection;
        if place.order == next {
            self.lines.insert(from, Place { connection, order });
        }
        place.order == next
    }

    fn hear(&mut self, env: &mut Env, me: &Me, sender: Sender, partition: i32, said: Said) {
        tell!(
            env,
            "node {} hears {sender:?} {partition}: {said:?}",
            self.node
        );
        match self.partitions.get_mut(&partition) {
            Some(open) => open.hear(env, me, sender, said),
            None => {
                let Said::Follow(follow) = said else {
                    return;
                };
                let answer = replica::Answer {
                    leader_epoch: follow.leader_epoch,
                    position: follow.position,
                    kind: replica::AnswerKind::Refused(replica::Refusal::UnknownEpoch),
                };
                self.say(env, sender.node, (0, partition), Said::Answer(answer));
            }
        }
    }

    fn say(&self, env: &mut Env, to: i32, (session, partition): (u64, i32), said: Said) {
        let sender = Sender {
            node: self.node,
            broker_epoch: self.epoch(),
            session,
        };
        env.send(Packet {
            from: Address::Node(self.node),
            to: Address::Node(to),
            body: Body::Replication {
                sender,
                partition,
                said,
            },
        });
    }

    /// The controller answers.
    fn answered(&mut self, env: &mut Env, me: &Me, id: u64, reply: ControlReply) {
        let answers = self.broker.answered(env, me, id, reply);
        for (partition, request, answer) in answers {
            if let Some(open) = self.partitions.get_mut(&partition) {
                open.isr_answer(env, me, (request, answer));
            }
        }
        self.may_stop |= self.broker.may_stop;
    }

    /// A client asks.
    fn serve(&mut self, env: &mut Env, me: &Me, asker: (Address, u64), request: &ClientRequest) {
        let unknown = ClientReply::Failed("UNKNOWN_TOPIC_OR_PARTITION");
        let reply = match *request {
            ClientRequest::Metadata { partition } => match self.state(partition) {
                Some(state) => ClientReply::Leader {
                    node: state.leader,
                    leader_epoch: state.leader_epoch,
                },
                None => unknown,
            },
            ClientRequest::Produce {
                partition,
                producer,
                sequence,
                all,
            } => match self.partitions.get_mut(&partition) {
                Some(open) => {
                    return open.produce(env, me, (asker, all), (producer, sequence));
                }
                None => ClientReply::Failed("NOT_LEADER_OR_FOLLOWER"),
            },
            ClientRequest::Fetch {
                partition,
                offset,
                leader_epoch,
            } => match self.partitions.get_mut(&partition) {
                Some(open) => open.fetch(env, offset, leader_epoch),
                None => ClientReply::Failed("NOT_LEADER_OR_FOLLOWER"),
            },
        };
        if let ClientReply::Fetched { base, records } = &reply
            && let ClientRequest::Fetch { partition, .. } = *request
        {
            if let Some(open) = self.partitions.get_mut(&partition) {
                open.look(env);
            }
            env.ledger.shown(partition, *base, records, self.node);
        }
        self.reply(env, asker, reply);
    }

    fn reply(&self, env: &mut Env, (to, id): (Address, u64), reply: ClientReply) {
        env.send(Packet {
            from: Address::Node(self.node),
            to,
            body: Body::ClientReply { id, reply },
        });
    }

    /// Its time has come for something.
    pub(crate) fn work(
        &mut self,
        env: &mut Env,
        me: &Me,
        drive: &mut Drive,
        work: Work,
        to_stop: bool,
    ) {
        match work {
            Work::QuorumTick => {
                self.member.quorum.tick();
                if let Some(controller) = &mut self.controller {
                    controller.tick(env, &mut self.member, me.now_ms);
                }
                env.work_after(QUORUM_TICK, self.node, Work::QuorumTick);
            }
            Work::QuorumWritten(number) => self.member.written(env, number),
            Work::Tick => {
                self.tick(env, me);
                env.work_after(TICK, self.node, Work::Tick);
            }
            Work::Heartbeat => {
                if self.is_registered() {
                    env.ledger.opened(self.node, self.epoch());
                }
                let quorum = &self.member.quorum;
                self.broker
                    .heartbeat(env, quorum, self.member.offset(), to_stop);
                env.work_after(HEARTBEAT, self.node, Work::Heartbeat);
            }
            Work::Checkpoint => {
                self.checkpoint(drive);
                env.work_after(CHECKPOINT, self.node, Work::Checkpoint);
            }
            Work::LogWritten {
                partition,
                cuts,
                end,
            } => {
                if let Some(open) = self.partitions.get_mut(&partition) {
                    open.written(env, me, cuts, end);
                }
            }
            Work::Cut { partition } => self.cut(env, me, drive, partition),
            Work::Connected(with) => {
                self.session += 1;
                for open in self.partitions.values_mut() {
                    open.connected(env, me, with, self.session);
                }
            }
            Work::Disconnected(with) => self.member.quorum.disconnected(with),
            Work::SnapshotSent { to, arrived } => {
                let quorum = &mut self.member.quorum;
                if !arrived {
                    quorum.unreachable(to);
                }
                quorum.report_snapshot(to, arrived);
            }
        }
    }

    fn tick(&mut self, env: &mut Env, me: &Me) {
        for open in self.partitions.values_mut() {
            open.tick(env, me, &self.heard);
        }
        let timed_out = self.broker.tick(env);
        for (partition, request, answer) in timed_out {
            if let Some(open) = self.partitions.get_mut(&partition) {
                open.isr_answer(env, me, (request, answer));
            }
        }
        for to in (0..env.shape.nodes).filter(|&to| to != self.node) {
            env.send(Packet {
                from: Address::Node(self.node),
                to: Address::Node(to),
                body: Body::Alive,
            });
        }
    }

    /// Writes down the high watermarks. Truncations are certain before what they led to.
    fn checkpoint(&mut self, drive: &mut Drive) {
        for (&id, open) in &mut self.partitions {
            if !open.is_cutting() {
                let stable = replica::LogView::stable_end(&open.log);
                open.log.store(stable);
                let high_watermark = open.replica.high_watermark();
                drive.checkpoint.insert(id, high_watermark);
            }
        }
    }

    fn cut(&mut self, env: &mut Env, me: &Me, drive: &mut Drive, partition: i32) {
        let Some(open) = self.partitions.get_mut(&partition) else {
            return;
        };
        let (checkpoint, given) = open.cut(env, me);
        if let Some(high_watermark) = checkpoint {
            drive.checkpoint.insert(partition, high_watermark);
        }
        for given in given {
            self.give(env, me, drive, partition, given);
        }
    }

    /// Lets an operator's command be decided, if this node is the controller.
    pub(crate) fn command(&mut self, env: &mut Env, command: &Command) {
        if let Some(controller) = &mut self.controller {
            controller.command(env, &mut self.member, command);
        }
    }

    /// Does all that its parts want done.
    pub(crate) fn turn(&mut self, env: &mut Env, me: &Me, drive: &mut Drive) {
        loop {
            let mut turns = std::mem::take(&mut self.turns);
            self.member.turn(env, &mut turns);
            if turns.is_empty() {
                self.turns = turns;
                break;
            }
            for turn in turns.drain(..) {
                self.take(env, me, drive, turn);
            }
            self.turns = turns;
        }
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            self.flush(env, id);
        }
        let quorum = &self.member.quorum;
        self.broker.send_changes(env, quorum);
    }

    /// Sends what a partition has to say.
    fn flush(&mut self, env: &mut Env, id: i32) {
        let Some(open) = self.partitions.get_mut(&id) else {
            return;
        };
        open.push(env);
        let out = std::mem::take(&mut open.out);
        for (to, session, partition, said) in out.said {
            self.say(env, to, (session, partition), said);
        }
        for (asker, reply) in out.replies {
            self.reply(env, asker, reply);
        }
        self.broker.changes.extend(out.changes);
        self.broker.resigned.extend(out.resigned);
    }

    /// Something became of the metadata.
    fn take(&mut self, env: &mut Env, me: &Me, drive: &mut Drive, turn: Turn) {
        match turn {
            Turn::Follows => {
                if let Some(controller) = self.controller.take() {
                    tell!(env, "node {} is no controller any more", self.node);
                    controller.end(env, &self.member.quorum);
                }
            }
            Turn::Applied {
                index,
                term,
                records,
            } => {
                if let Some(controller) = &mut self.controller {
                    controller.applied(env, &self.member, index, term);
                } else if self.member.leads(term) {
                    tell!(env, "node {} is the controller", self.node);
                    env.ledger.count("controllers");
                    let leading = Leading::new(self.node, &mut self.member, me.now_ms);
                    self.controller = Some(leading);
                }
                self.follow_metadata(env, me, drive, Some(&records));
            }
            Turn::Whole => self.follow_metadata(env, me, drive, None),
        }
    }

    /// Brings the partitions to what the metadata says now: by the records that came, or all of it.
    fn follow_metadata(
        &mut self,
        env: &mut Env,
        me: &Me,
        drive: &mut Drive,
        records: Option<&[MetaRecord]>,
    ) {
        if !self.broker.is_open {
            let early = env.breaks(Mutation::AssignedBeforeRegistered);
            if !self.is_registered() && !early {
                return;
            }
            tell!(env, "node {} opens its partitions", self.node);
            self.broker.is_open = true;
            self.delete_strays(env, drive);
            return self.assign_all(env, me, drive);
        }
        let Some(records) = records else {
            return self.assign_all(env, me, drive);
        };
        for record in records {
            match record {
                MetaRecord::Partition(record) => self.assign(env, me, drive, record.index),
                MetaRecord::PartitionChange(record) => self.assign(env, me, drive, record.index),
                MetaRecord::Broker(record) => self.peer_changed(env, me, record.node_id),
                MetaRecord::BrokerChange(record) => self.peer_changed(env, me, record.node_id),
                MetaRecord::UnregisterBroker(record) => self.peer_changed(env, me, record.node_id),
                _ => {}
            }
        }
    }

    /// Whether the metadata here has this process's registration.
    fn is_registered(&self) -> bool {
        let broker = self.member.image.broker(self.node);
        self.broker.epoch.is_some() && broker.map(|broker| broker.epoch) == self.broker.epoch
    }

    fn state(&self, partition: i32) -> Option<&PartitionState> {
        self.member.image.topic(TOPIC)?.partition(partition)
    }

    fn assign_all(&mut self, env: &mut Env, me: &Me, drive: &mut Drive) {
        for partition in 0..env.shape.partitions {
            self.assign(env, me, drive, partition);
        }
        for node in 0..env.shape.nodes {
            self.peer_changed(env, me, node);
        }
    }

    /// Logs of replicas that this node has no more.
    fn delete_strays(&self, env: &mut Env, drive: &mut Drive) {
        let known = self.member.image.topic_by_id(TOPIC_ID).is_some();
        let node = self.node;
        let stays = |id: &i32| {
            let state = self.state(*id);
            !known || state.is_some_and(|state| state.replicas.contains(&node))
        };
        drive.logs.retain(|id, _| {
            env.touched.insert((node, *id));
            stays(id)
        });
        drive.checkpoint.retain(|id, _| stays(id));
    }

    fn peer(&self, node: i32) -> Peer {
        let broker = self.member.image.broker(node);
        Peer {
            node,
            broker_epoch: broker.map_or(-1, |broker| broker.epoch),
            eligible: broker.is_some_and(|broker| broker.is_active()),
        }
    }

    fn peer_changed(&mut self, env: &mut Env, me: &Me, node: i32) {
        let peer = self.peer(node);
        for open in self.partitions.values_mut() {
            open.peer_changed(env, me, peer);
        }
    }

    fn assign(&mut self, env: &mut Env, me: &Me, drive: &mut Drive, partition: i32) {
        let Some(state) = self.state(partition).cloned() else {
            return;
        };
        let peers = state.replicas.iter().map(|&node| self.peer(node));
        let peers = peers.collect();
        self.give(env, me, drive, partition, Given { state, peers });
    }

    /// Gives a partition what the metadata says of it; begins or deletes the replica accordingly.
    fn give(&mut self, env: &mut Env, me: &Me, drive: &mut Drive, partition: i32, given: Given) {
        if !self.partitions.contains_key(&partition) {
            if !given.state.replicas.contains(&self.node) {
                return;
            }
            self.open(env, me, drive, partition);
        }
        let Some(open) = self.partitions.get_mut(&partition) else {
            return;
        };
        if open.assign(env, me, given) {
            env.ledger.count("taken away");
            self.flush(env, partition);
            self.partitions.remove(&partition);
            drive.checkpoint.remove(&partition);
            env.touched.insert((self.node, partition));
        }
    }

    fn open(&mut self, env: &Env, me: &Me, drive: &mut Drive, partition: i32) {
        self.session += 1;
        let settings = Settings {
            lag_max_ms: LAG_MAX_MS,
            retry_ms: RETRY_MS,
            min_insync_replicas: env.shape.min_insync,
        };
        let log = drive.logs.remove(&partition).unwrap_or_default();
        let high_watermark = drive.checkpoint.get(&partition).copied().unwrap_or(0);
        let open = Partition::new(partition, me, settings, log, high_watermark, self.session);
        self.partitions.insert(partition, open);
    }
}
