//! A node of the simulation: the shell around one replica, as thin as the broker's.

use super::network::{Body, Packet};
use crate::tests::log::{Record, TestLog};
use crate::{Assigned, Effect, IsrChange, LogView, Next, Replica, Sender, Settings, Verdict};

/// Somebody who appended with `acks=all` and waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) end: i64,
    pub(super) record: Record,
}

/// What a node wants of the world around it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) packets: Vec<Packet>,
    pub(super) changes: Vec<IsrChange>,
    /// Epochs it can't go on in.
    pub(super) resigned: Vec<i32>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) broker_epoch: i64,
    pub(super) session: u64,
    /// How many replicas it has had.
    pub(super) lives: u64,
    settings: Settings,
    /// `None` while it is down.
    pub(super) replica: Option<Replica>,
    pub(super) log: TestLog,
    /// The high watermark that a start would find.
    pub(super) checkpoint: i64,
    /// The number of the state of metadata that it learns next.
    pub(super) metadata: usize,
    pub(super) waiters: Vec<Waiter>,
    /// A truncation that takes its time.
    cutting: Option<Effect>,
    effects: Vec<Effect>,
    pub(super) outbox: Outbox,
    /// Truncations take their time.
    pub(super) slow: bool,
}

impl Node {
    pub(super) fn new(id: i32, settings: Settings) -> Self {
        let log = TestLog::default();
        Self {
            id,
            broker_epoch: 0,
            session: 0,
            lives: 0,
            settings,
            replica: Some(Replica::new(id, settings, 0, &log)),
            log,
            checkpoint: 0,
            metadata: 0,
            waiters: Vec::new(),
            cutting: None,
            effects: Vec::new(),
            outbox: Outbox::default(),
            slow: false,
        }
    }

    pub(super) fn sender(&self) -> Sender {
        Sender {
            node: self.id,
            broker_epoch: self.broker_epoch,
            session: self.session,
        }
    }

    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.is_some()
    }

    /// The process ends.
    pub(super) fn stop(&mut self) {
        self.replica = None;
        self.cutting = None;
        self.waiters.clear();
        self.effects.clear();
    }

    /// Another process begins.
    pub(super) fn start(&mut self, broker_epoch: i64, metadata: usize) {
        self.broker_epoch = broker_epoch;
        self.session = 0;
        self.lives += 1;
        self.metadata = metadata;
        let replica = Replica::new(self.id, self.settings, self.checkpoint, &self.log);
        self.replica = Some(replica);
    }

    /// Calls the replica and does what it wants; nothing if the node is down.
    pub(super) fn call<T>(
        &mut self,
        what: impl FnOnce(&mut Replica, &TestLog, &mut Vec<Effect>) -> T,
        now_ms: u64,
    ) -> Option<T> {
        let mut effects = std::mem::take(&mut self.effects);
        let replica = self.replica.as_mut()?;
        let result = what(replica, &self.log, &mut effects);
        for effect in effects.drain(..) {
            self.perform(effect, now_ms);
        }
        self.effects = effects;
        Some(result)
    }

    fn perform(&mut self, effect: Effect, now_ms: u64) {
        match effect {
            Effect::AssignEpoch { epoch, start } => self.log.assign_epoch(epoch, start),
            Effect::Truncate { .. } | Effect::RestartAt { .. } => {
                self.cutting = Some(effect);
                if !self.slow {
                    self.cut(now_ms);
                }
            }
            Effect::RaiseLogStart { start } => {
                if start > self.log.start() && start <= self.log.end() {
                    self.log.raise_start(start);
                }
                self.call(|replica, log, out| replica.log_moved(log, out), now_ms);
            }
            // The world looks at the high watermark itself, after each step.
            Effect::HighWatermark { .. } => {}
            Effect::LeadershipLost => self.waiters.clear(),
            Effect::Resign { leader_epoch } => self.outbox.resigned.push(leader_epoch),
            Effect::AlterPartition(change) => self.outbox.changes.push(change),
            Effect::Follow { to, follow } => self.send(to, Body::Follow(follow)),
            Effect::Progress { to, progress } => self.send(to, Body::Progress(progress)),
            Effect::Answer { to, answer } => self.send(to, Body::Answer(answer)),
        }
    }

    fn send(&mut self, to: i32, body: Body) {
        let from = self.sender();
        self.outbox.packets.push(Packet { from, to, body });
    }

    /// Does the truncation that was begun.
    pub(super) fn cut(&mut self, now_ms: u64) {
        match self.cutting.take() {
            Some(Effect::Truncate { end }) => self.log.truncate(end),
            Some(Effect::RestartAt { start }) => self.log.restart_at(start),
            _ => return,
        }
        self.call(
            |replica, log, out| replica.truncated(log, now_ms, out),
            now_ms,
        );
    }

    /// Learns the next state of metadata.
    pub(super) fn learn(&mut self, state: &super::controller::Metadata, now_ms: u64) {
        let peers = state.peers();
        let assigned = self.call(
            |replica, log, out| {
                let assigned = replica.assign(&state.assignment(&peers), log, now_ms, out);
                for &peer in &peers {
                    replica.peer_changed(peer, log, out);
                }
                assigned
            },
            now_ms,
        );
        self.metadata += 1;
        if assigned == Some(Assigned::Gone) {
            // Its log is deleted.
            self.log = TestLog::default();
            self.checkpoint = 0;
            let replica = Replica::new(self.id, self.settings, 0, &self.log);
            self.session += 1;
            self.lives += 1;
            self.replica = Some(replica);
        }
    }

    /// Takes a message.
    pub(super) fn receive(&mut self, from: Sender, body: Body, now_ms: u64) {
        match body {
            Body::Follow(follow) => {
                self.call(|r, log, out| r.on_follow(from, &follow, log, out), now_ms);
            }
            Body::Progress(progress) => {
                self.call(
                    |r, log, out| r.on_progress(from, &progress, log, now_ms, out),
                    now_ms,
                );
            }
            Body::Answer(answer) => {
                self.call(
                    |r, log, out| r.on_answer(from.node, &answer, log, out),
                    now_ms,
                );
            }
            Body::Moved(moved) => {
                self.call(
                    |r, log, out| r.on_moved(from.node, &moved, log, out),
                    now_ms,
                );
            }
            Body::Records(header, records) => {
                let verdict = self.call(
                    |r, log, out| r.on_records(from.node, &header, log, now_ms, out),
                    now_ms,
                );
                if let Some(Verdict::Append { from }) = verdict {
                    let skip = usize::try_from(from - header.base_offset).unwrap();
                    for &record in &records[skip..] {
                        self.log.append(record);
                    }
                    self.call(|r, log, out| r.log_moved(log, out), now_ms);
                }
            }
            Body::Alive => {}
        }
    }

    /// Sends a follower the next `most` records, or what else is new.
    pub(super) fn push(&mut self, to: i32, most: i64) -> bool {
        let Some(replica) = &mut self.replica else {
            return false;
        };
        let body = match replica.next_for(to, &self.log) {
            Next::Nothing => return false,
            Next::Records { from, end } => {
                let between = (from, end.min(from + most));
                let epoch = replica.leader_epoch();
                let header = replica.sent_records(to, epoch, between, &self.log);
                Body::Records(header.unwrap(), self.log.read(between.0, between.1))
            }
            Next::Moved(moved) => {
                replica.sent_moved(to, &moved);
                Body::Moved(moved)
            }
            Next::OutOfRange(answer) => Body::Answer(answer),
        };
        self.send(to, body);
        true
    }
}
