//! One replica of a partition: what the shell calls.

use crate::assignment::{Assigned, Assignment, IsrAnswer, Peer, Settings};
use crate::effect::Effect;
use crate::follower::{Follower, Verdict};
use crate::leader::{Leader, Next};
use crate::message::{Answer, AnswerKind, Follow, Moved, Progress, Records, Refusal, Sender};
use crate::rules::{Rule, holds};
use crate::shared::Shared;
use crate::view::LogView;

/// The replication of one partition replica.
///
/// Calls are of four kinds: metadata ([`assign`](Self::assign), [`peer_changed`](Self::peer_changed),
/// [`isr_answer`](Self::isr_answer)), the own log ([`log_moved`](Self::log_moved),
/// [`log_cut`](Self::log_cut), [`truncated`](Self::truncated)), messages (`on_*`), and time
/// ([`tick`](Self::tick)). Each looks at the log as it is then, and pushes what it wants done to `out`, in
/// the order in which it has to be done. With room in `out`, calls about records and progress allocate
/// nothing.
///
/// The shell promises:
/// - Effects are performed before the next call, but that sending a message may be given up at any time,
///   and that a truncation may take its time: until [`truncated`](Self::truncated), the core hears no
///   message, and it must not be given another assignment.
/// - While this replica leads, [`assign`](Self::assign) is told of every change of the partition, in order,
///   or at least of every replica that is taken away before it is there again.
/// - [`assign`](Self::assign) is not told of a leadership that an earlier process of this node was given:
///   the controller ends those when a node registers.
/// - The log's start never passes the high watermark by retention or by a client's wish.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) shared: Shared,
    pub(crate) role: Role,
}

/// What a replica is.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Neither,
    Leader(Leader),
    Follower(Follower),
}

impl Replica {
    /// A replica on node `me` that nothing is known of yet. `high_watermark` is what it last knew; what
    /// its log doesn't have stored doesn't count.
    pub fn new(me: i32, settings: Settings, high_watermark: i64, log: &impl LogView) -> Self {
        let high_watermark = high_watermark.min(log.stable_end()).max(log.start());
        Self {
            shared: Shared {
                me,
                settings,
                leader: -1,
                leader_epoch: -1,
                partition_epoch: -1,
                replicas: 0,
                high_watermark,
                requests: 0,
            },
            role: Role::Neither,
        }
    }

    /// Takes new settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.shared.settings = settings;
    }

    /// Takes the partition as the metadata has it.
    pub fn assign(
        &mut self,
        given: &Assignment<'_>,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) -> Assigned {
        let shared = &mut self.shared;
        let newer_epoch = given.leader_epoch > shared.leader_epoch;
        let older = given.leader_epoch < shared.leader_epoch
            || given.partition_epoch < shared.partition_epoch
            || (!newer_epoch && given.leader != shared.leader);
        if older && holds(Rule::OldMetadataIgnored) {
            return Assigned::Stale;
        }
        // Learned from an answer of the controller before: what has begun since must not be undone.
        let known = given.partition_epoch == shared.partition_epoch && !newer_epoch;
        if known && holds(Rule::KnownMetadataKeepsPending) {
            for &peer in given.replicas {
                self.peer_changed(peer, log, out);
            }
            return Assigned::Known;
        }
        if older && given.leader_epoch != shared.leader_epoch {
            return Assigned::Stale;
        }
        shared.leader = given.leader;
        shared.leader_epoch = given.leader_epoch;
        shared.partition_epoch = given.partition_epoch;
        shared.replicas = given.replicas.len();
        let me = shared.me;
        if !given.replicas.iter().any(|peer| peer.node == me) {
            self.step_down(Role::Neither, out);
            return Assigned::Gone;
        }
        if given.leader == me {
            return self.lead(given, newer_epoch, log, now_ms, out);
        }
        if !newer_epoch && matches!(self.role, Role::Follower(_)) {
            return Assigned::FollowerUpdated;
        }
        self.step_down(Role::Follower(Follower::new()), out);
        if let Role::Follower(follower) = &mut self.role {
            follower.ask(&self.shared, log, now_ms, out);
        }
        Assigned::Follower
    }

    fn step_down(&mut self, role: Role, out: &mut Vec<Effect>) {
        if matches!(&self.role, Role::Leader(leader) if !leader.resigned) {
            out.push(Effect::LeadershipLost);
        }
        self.role = role;
    }

    fn lead(
        &mut self,
        given: &Assignment<'_>,
        newer_epoch: bool,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) -> Assigned {
        let shared = &mut self.shared;
        let assigned = if let (Role::Leader(leader), false) = (&mut self.role, newer_epoch) {
            leader.update(given, now_ms);
            Assigned::LeaderUpdated
        } else {
            let (epoch, start) = (given.leader_epoch, log.end());
            let mut leader = Leader::new(given, shared.me, start, now_ms);
            let led_before = log.latest_epoch() >= Some(epoch);
            if led_before && given.replicas.len() > 1 {
                // Others may have records of this epoch that this log lost.
                leader.resign(shared, out);
            } else {
                out.push(Effect::AssignEpoch { epoch, start });
            }
            self.role = Role::Leader(leader);
            Assigned::Leader
        };
        if let Role::Leader(leader) = &mut self.role {
            leader.advance(shared, log, out);
        }
        assigned
    }

    /// Takes what the metadata says of a node, as it was registered, fenced, unfenced.
    pub fn peer_changed(&mut self, peer: Peer, log: &impl LogView, out: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.peer_changed(peer);
            leader.advance(&mut self.shared, log, out);
        }
    }

    /// Takes the controller's answer to the ISR change `request`.
    pub fn isr_answer(
        &mut self,
        request: u64,
        answer: IsrAnswer,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.isr_answer(&mut self.shared, request, answer, now_ms);
            leader.advance(&mut self.shared, log, out);
        }
    }

    /// The log moved: something was appended or stored, or its start was raised. May be called once for
    /// many.
    pub fn log_moved(&mut self, log: &impl LogView, out: &mut Vec<Effect>) {
        match &mut self.role {
            Role::Leader(leader) => leader.advance(&mut self.shared, log, out),
            Role::Follower(follower) => follower.settle(&mut self.shared, log, out),
            Role::Neither => {}
        }
    }

    /// The log took back what it had appended and could not store.
    pub fn log_cut(&mut self, log: &impl LogView, now_ms: u64, out: &mut Vec<Effect>) {
        match &mut self.role {
            Role::Leader(leader) => leader.log_cut(&self.shared, log, out),
            Role::Follower(follower) => follower.ask(&self.shared, log, now_ms, out),
            Role::Neither => {}
        }
    }

    /// The truncation or restart that was asked for is done.
    pub fn truncated(&mut self, log: &impl LogView, now_ms: u64, out: &mut Vec<Effect>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.truncating = false;
            follower.ask(&self.shared, log, now_ms, out);
        }
    }

    /// There is a new connection to the leader.
    pub fn connected(&mut self, log: &impl LogView, now_ms: u64, out: &mut Vec<Effect>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.connected(&self.shared, log, now_ms, out);
        }
    }

    /// A follower's connection is gone, or it said that it follows no longer.
    pub fn disconnected(&mut self, from: Sender, log: &impl LogView, out: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.disconnected(from);
            leader.advance(&mut self.shared, log, out);
        }
    }

    /// Time has passed. `heard` gives for a node when the connection it follows over was last heard
    /// from: that is all an idle follower needs to stay in the ISR. To be called at least twice in
    /// `lag_max_ms`, and at least once in `retry_ms`.
    pub fn tick(
        &mut self,
        log: &impl LogView,
        now_ms: u64,
        heard: impl Fn(i32) -> Option<u64>,
        out: &mut Vec<Effect>,
    ) {
        match &mut self.role {
            Role::Leader(leader) => leader.tick(&mut self.shared, log, now_ms, heard, out),
            Role::Follower(follower) => follower.tick(&self.shared, log, now_ms, out),
            Role::Neither => {}
        }
    }

    /// A node wants to follow.
    pub fn on_follow(
        &mut self,
        from: Sender,
        follow: &Follow,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        let kind = match &mut self.role {
            Role::Leader(leader) => leader.follow(&self.shared, from, follow, log),
            _ => AnswerKind::Refused(Refusal::NotLeader),
        };
        out.push(Effect::Answer {
            to: from.node,
            answer: Answer {
                leader_epoch: follow.leader_epoch,
                position: follow.position,
                kind,
            },
        });
    }

    /// A follower reports.
    pub fn on_progress(
        &mut self,
        from: Sender,
        progress: &Progress,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.progress(&mut self.shared, from, progress, log, now_ms, out);
        }
    }

    /// The follower state, if a message of this node and epoch is for it.
    fn following(&mut self, from: i32, epoch: i32) -> Option<(&mut Shared, &mut Follower)> {
        let shared = &mut self.shared;
        let this_epoch = epoch == shared.leader_epoch && from == shared.leader;
        match &mut self.role {
            Role::Follower(follower) if this_epoch || !holds(Rule::MessagesOfThisEpoch) => {
                Some((shared, follower))
            }
            _ => None,
        }
    }

    /// Node `from` answers a [`Follow`].
    pub fn on_answer(
        &mut self,
        from: i32,
        answer: &Answer,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        if let Some((shared, follower)) = self.following(from, answer.leader_epoch) {
            follower.answer(shared, answer, log, out);
        }
    }

    /// Records arrive from node `from`.
    pub fn on_records(
        &mut self,
        from: i32,
        records: &Records,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) -> Verdict {
        match self.following(from, records.leader_epoch) {
            Some((shared, follower)) => follower.records(shared, records, log, now_ms, out),
            None => Verdict::Ignore,
        }
    }

    /// Node `from` says that its high watermark or log start moved.
    pub fn on_moved(
        &mut self,
        from: i32,
        moved: &Moved,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        if let Some((shared, follower)) = self.following(from, moved.leader_epoch) {
            follower.moved(shared, moved.high_watermark, moved.log_start, log, out);
        }
    }

    /// What to send to follower `node` next. Records are sent within the bytes it granted; what was sent
    /// is told by [`sent_records`](Self::sent_records) or [`sent_moved`](Self::sent_moved) before this is
    /// asked again.
    pub fn next_for(&mut self, node: i32, log: &impl LogView) -> Next {
        match &mut self.role {
            Role::Leader(leader) => leader.next_for(&self.shared, node, log),
            _ => Next::Nothing,
        }
    }

    /// The header for records between two offsets that are about to be sent to `node`, and notes them as
    /// sent. `None` if they must not be sent: this replica doesn't lead in `leader_epoch`, in which they
    /// were read.
    pub fn sent_records(
        &mut self,
        node: i32,
        leader_epoch: i32,
        between: (i64, i64),
        log: &impl LogView,
    ) -> Option<Records> {
        let told = (self.shared.high_watermark, log.start());
        match &mut self.role {
            Role::Leader(leader)
                if leader_epoch == self.shared.leader_epoch && !leader.resigned =>
            {
                leader.sent(node, between, told);
                Some(Records {
                    leader_epoch,
                    base_offset: between.0,
                    next_offset: between.1,
                    high_watermark: told.0,
                    log_start: told.1,
                })
            }
            _ => None,
        }
    }

    /// Notes that `moved` was sent to `node`.
    pub fn sent_moved(&mut self, node: i32, moved: &Moved) {
        if let Role::Leader(leader) = &mut self.role
            && moved.leader_epoch == self.shared.leader_epoch
        {
            leader.sent(node, (-1, -1), (moved.high_watermark, moved.log_start));
        }
    }
}
