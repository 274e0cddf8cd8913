//! A partition's replica on a node: the core, its log, and who waits.
//!
//! It performs what the core wants done with the log, and notes the rest for the process to send.

use std::collections::{BTreeMap, VecDeque};

use metadata::PartitionState;
use replica::{
    Assigned, Assignment, Effect, IsrChange, LogView, Next, Peer, Replica, Sender, Settings,
    Verdict,
};

use super::Me;
use super::sequences::Sequences;
use super::serving::Waiter;
use crate::env::{Env, Work, tell};
use crate::ledger::Seen;
use crate::log::Log;
use crate::message::{Address, ClientReply, Said};
use crate::mutation::Mutation;

/// Who asked for something: the client, and the id of its request.
pub(crate) type Asker = (Address, u64);

/// What a partition wants of its process.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// To which node, in which session, what.
    pub(crate) said: Vec<(i32, u64, i32, Said)>,
    pub(crate) changes: Vec<(i32, IsrChange)>,
    /// Partitions and the epochs they can't go on in.
    pub(crate) resigned: Vec<(i32, i32)>,
    pub(crate) replies: Vec<(Asker, ClientReply)>,
}

/// A partition as the metadata has it, for this node.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) state: PartitionState,
    pub(crate) peers: Vec<Peer>,
}

/// The log as the core sees it.
struct View<'a> {
    log: &'a Log,
    /// For a mutation.
    ahead: bool,
}

impl LogView for View<'_> {
    fn start(&self) -> i64 {
        self.log.start()
    }

    fn end(&self) -> i64 {
        self.log.end()
    }

    fn stable_end(&self) -> i64 {
        match self.ahead {
            true => self.log.end(),
            false => self.log.stable_end(),
        }
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.log.latest_epoch()
    }

    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        self.log.epoch_end(epoch)
    }
}

/// A replica.
pub(crate) struct Partition {
    node: i32,
    pub(super) id: i32,
    pub(crate) replica: Replica,
    pub(crate) log: Log,
    /// Which of the process's followings this is.
    pub(crate) session: u64,
    pub(crate) seen: Seen,
    /// Counts what made the log shorter: a write that was under way then is none.
    cuts: u64,
    writing: bool,
    /// A truncation that takes its time.
    cutting: Option<Effect>,
    /// Metadata that waits for its end.
    given: VecDeque<Given>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) sequences: Sequences,
    effects: Vec<Effect>,
    /// Who follows, as last heard.
    followers: BTreeMap<i32, Sender>,
    pub(crate) out: Outbox,
}

impl Partition {
    pub(crate) fn new(
        id: i32,
        me: &Me,
        settings: Settings,
        log: Log,
        high_watermark: i64,
        session: u64,
    ) -> Self {
        Self {
            node: me.node,
            id,
            replica: Replica::new(me.node, settings, high_watermark, &log),
            sequences: Sequences::of(&log),
            log,
            session,
            seen: Seen::default(),
            cuts: 0,
            writing: false,
            cutting: None,
            given: VecDeque::new(),
            waiters: Vec::new(),
            effects: Vec::new(),
            followers: BTreeMap::new(),
            out: Outbox::default(),
        }
    }

    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.is_some()
    }

    /// Has the ledger look at this replica.
    pub(crate) fn look(&mut self, env: &mut Env) {
        if !self.is_cutting() {
            let who = (self.node, self.id);
            env.ledger
                .check(who, &self.replica, &self.log, &mut self.seen);
        }
    }

    /// Calls the core and does what it wants.
    fn call<T>(
        &mut self,
        env: &mut Env,
        me: &Me,
        what: impl FnOnce(&mut Replica, &View<'_>, &mut Vec<Effect>) -> T,
    ) -> T {
        env.touched.insert((me.node, self.id));
        let mut effects = std::mem::take(&mut self.effects);
        let view = View {
            log: &self.log,
            ahead: env.breaks(Mutation::StableEndAhead),
        };
        let result = what(&mut self.replica, &view, &mut effects);
        for effect in effects.drain(..) {
            self.perform(env, me, effect);
        }
        self.effects = effects;
        result
    }

    fn perform(&mut self, env: &mut Env, me: &Me, effect: Effect) {
        tell!(env, "node {} partition {}: {effect:?}", me.node, self.id);
        match effect {
            Effect::AssignEpoch { epoch, start } => {
                if !env.breaks(Mutation::EpochNotAssigned) {
                    self.log.assign_epoch(epoch, start);
                }
            }
            Effect::Truncate { .. } | Effect::RestartAt { .. } => {
                self.cutting = Some(effect);
                let after = me.write_takes(env);
                let partition = self.id;
                env.work_after(after, me.node, Work::Cut { partition });
            }
            Effect::RaiseLogStart { start } => {
                if start > self.log.start() && start <= self.log.end() {
                    self.log.raise_start(start);
                }
                self.call(env, me, |replica, log, out| replica.log_moved(log, out));
            }
            Effect::HighWatermark {
                high_watermark,
                enough,
            } => {
                self.look(env);
                self.all_have(env, high_watermark, enough);
            }
            Effect::LeadershipLost => {
                if !env.breaks(Mutation::WaitersKept) {
                    self.fail_waiters(0, "NOT_LEADER_OR_FOLLOWER");
                }
            }
            Effect::Resign { leader_epoch } => {
                env.ledger.count("resigned");
                self.out.resigned.push((self.id, leader_epoch));
            }
            Effect::AlterPartition(change) => self.out.changes.push((self.id, change)),
            Effect::Follow { to, follow } => self.say(to, Said::Follow(follow)),
            Effect::Progress { to, progress } => self.say(to, Said::Progress(progress)),
            Effect::Answer { to, answer } => self.say(to, Said::Answer(answer)),
        }
    }

    fn say(&mut self, to: i32, said: Said) {
        self.out.said.push((to, self.session, self.id, said));
    }

    /// Takes the partition as the metadata has it; whether this node has a replica no longer.
    pub(crate) fn assign(&mut self, env: &mut Env, me: &Me, given: Given) -> bool {
        if self.is_cutting() {
            self.given.push_back(given);
            return false;
        }
        let state = &given.state;
        let assignment = Assignment {
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: &given.peers,
            isr: &state.isr,
        };
        let now_ms = me.now_ms;
        let assigned = self.call(env, me, |replica, log, out| {
            replica.assign(&assignment, log, now_ms, out)
        });
        tell!(env, "node {} partition {}: {assigned:?}", me.node, self.id);
        self.write(env, me);
        assigned == Assigned::Gone
    }

    pub(crate) fn peer_changed(&mut self, env: &mut Env, me: &Me, peer: Peer) {
        for given in &mut self.given {
            for known in given.peers.iter_mut().filter(|p| p.node == peer.node) {
                *known = peer;
            }
        }
        self.call(env, me, |replica, log, out| {
            replica.peer_changed(peer, log, out);
        });
    }

    pub(crate) fn isr_answer(
        &mut self,
        env: &mut Env,
        me: &Me,
        (request, answer): (u64, replica::IsrAnswer),
    ) {
        let now_ms = me.now_ms;
        self.call(env, me, |replica, log, out| {
            replica.isr_answer(request, answer, log, now_ms, out);
        });
    }

    pub(crate) fn tick(&mut self, env: &mut Env, me: &Me, heard: &BTreeMap<i32, u64>) {
        if self.is_cutting() {
            return;
        }
        let now_ms = me.now_ms;
        self.call(env, me, |replica, log, out| {
            replica.tick(log, now_ms, |node| heard.get(&node).copied(), out);
        });
    }

    /// There is a new connection with a node.
    pub(crate) fn connected(&mut self, env: &mut Env, me: &Me, with: i32, session: u64) {
        if let Some(&sender) = self.followers.get(&with) {
            self.call(env, me, |replica, log, out| {
                replica.disconnected(sender, log, out);
            });
        }
        if self.replica.leader_hint().leader == with {
            self.session = session;
            let now_ms = me.now_ms;
            self.call(env, me, |replica, log, out| {
                replica.connected(log, now_ms, out);
            });
        }
    }

    /// A replica of another node says something.
    pub(crate) fn hear(&mut self, env: &mut Env, me: &Me, sender: Sender, said: Said) {
        if self.is_cutting() {
            return;
        }
        let now_ms = me.now_ms;
        let from = sender.node;
        match said {
            Said::Follow(follow) => {
                self.followers.insert(from, sender);
                self.call(env, me, |r, log, out| {
                    r.on_follow(sender, &follow, log, out);
                });
            }
            Said::Progress(progress) => self.call(env, me, |r, log, out| {
                r.on_progress(sender, &progress, log, now_ms, out);
            }),
            Said::Answer(answer) => {
                self.call(env, me, |r, log, out| r.on_answer(from, &answer, log, out));
            }
            Said::Moved(moved) => {
                self.call(env, me, |r, log, out| r.on_moved(from, &moved, log, out));
            }
            Said::Records(header, records) => {
                let verdict = self.call(env, me, |r, log, out| {
                    r.on_records(from, &header, log, now_ms, out)
                });
                if let Verdict::Append { from } = verdict {
                    let skip = (from - header.base_offset) as usize;
                    let follows = !env.breaks(Mutation::SequencesNotFollowed);
                    for &record in &records[skip..] {
                        if follows {
                            self.sequences.note(record, self.log.end());
                        }
                        self.log.append(record);
                    }
                    self.moved(env, me);
                }
            }
        }
    }

    /// The log moved.
    pub(super) fn moved(&mut self, env: &mut Env, me: &Me) {
        self.call(env, me, |replica, log, out| replica.log_moved(log, out));
        self.write(env, me);
    }

    /// Begins a write, if there is something to write and none is under way.
    fn write(&mut self, env: &mut Env, me: &Me) {
        let end = self.log.end();
        if self.writing || self.is_cutting() || self.log.stable_end() >= end {
            return;
        }
        self.writing = true;
        let (partition, cuts) = (self.id, self.cuts);
        let after = me.write_takes(env);
        let work = Work::LogWritten {
            partition,
            cuts,
            end,
        };
        env.work_after(after, me.node, work);
    }

    /// A write is done, or has failed.
    pub(crate) fn written(&mut self, env: &mut Env, me: &Me, cuts: u64, end: i64) {
        if cuts != self.cuts {
            return;
        }
        self.writing = false;
        if self.is_cutting() {
            return;
        }
        if me.full {
            self.take_back(env, me);
            return;
        }
        self.log.store(end);
        self.moved(env, me);
        if !env.breaks(Mutation::AckAtStableEnd) {
            self.own_has(env);
        } else {
            self.all_have(env, self.log.stable_end(), true);
            self.own_has(env);
        }
    }

    /// The drive is full: what was appended and isn't stored is taken back.
    fn take_back(&mut self, env: &mut Env, me: &Me) {
        let stable = self.log.stable_end();
        if stable == self.log.end() {
            return;
        }
        env.ledger.count("taken back");
        self.cuts += 1;
        self.log.truncate(stable);
        self.sequences = Sequences::of(&self.log);
        self.fail_waiters(stable, "KAFKA_STORAGE_ERROR");
        let now_ms = me.now_ms;
        self.call(env, me, |replica, log, out| {
            replica.log_cut(log, now_ms, out);
        });
    }

    /// Does the truncation that was begun. Gives the high watermark to be written down at once, if there
    /// is one; and the metadata that came meanwhile.
    pub(crate) fn cut(&mut self, env: &mut Env, me: &Me) -> (Option<i64>, VecDeque<Given>) {
        let durable = !env.breaks(Mutation::RestartNotDurable);
        let mut checkpoint = None;
        match self.cutting.take() {
            Some(Effect::Truncate { end }) => {
                env.ledger.count("truncated");
                if !env.breaks(Mutation::TruncationIgnored) {
                    self.log.truncate(end);
                }
                self.seen.equal = self.seen.equal.min(end);
                self.seen.high_watermark = self.seen.high_watermark.min(end);
            }
            Some(Effect::RestartAt { start }) => {
                env.ledger.count("began anew");
                self.log.restart_at(start, durable);
                checkpoint = Some(start);
                self.seen = Seen::default();
            }
            _ => return (None, VecDeque::new()),
        }
        self.cuts += 1;
        self.writing = false;
        self.sequences = Sequences::of(&self.log);
        let now_ms = me.now_ms;
        self.call(env, me, |replica, log, out| {
            replica.truncated(log, now_ms, out);
        });
        self.write(env, me);
        (checkpoint, std::mem::take(&mut self.given))
    }

    /// Sends followers what there is for them.
    pub(crate) fn push(&mut self, env: &mut Env) {
        let followers: Vec<i32> = self.followers.keys().copied().collect();
        if self.is_cutting() || !self.replica.is_leader() {
            return;
        }
        for to in followers {
            loop {
                let view = View {
                    log: &self.log,
                    ahead: env.breaks(Mutation::StableEndAhead),
                };
                let said = match self.replica.next_for(to, &view) {
                    Next::Nothing => break,
                    Next::Records { from, end } => {
                        let between = (from, end.min(from + env.shape.most as i64));
                        let epoch = self.replica.leader_epoch();
                        let records = self.log.read(between.0, between.1).to_vec();
                        env.ledger.sent(self.id, between.0, &records);
                        match self.replica.sent_records(to, epoch, between, &view) {
                            Some(header) => Said::Records(header, records),
                            None => break,
                        }
                    }
                    Next::Moved(moved) => {
                        self.replica.sent_moved(to, &moved);
                        Said::Moved(moved)
                    }
                    Next::OutOfRange(answer) => Said::Answer(answer),
                };
                self.say(to, said);
            }
        }
    }
}
