//! The leader's side: what its followers have, the high watermark, the ISR.
//!
//! Owns the rule that the high watermark never passes what any replica that could be elected has stored.
//! It must never act on an ISR change before the controller has made it, but for waiting for more.

use crate::assignment::{Assignment, IsrAnswer, Peer};
use crate::effect::{Effect, IsrChange, IsrMember};
use crate::message::{Answer, AnswerKind, Follow, Moved, Progress, Refusal, Sender};
use crate::remote::Remote;
use crate::rules::{Rule, holds};
use crate::shared::Shared;
use crate::view::{LogView, Position};

/// An ISR change the controller was asked for.
#[derive(Clone, Debug)]
struct Pending {
    /// As last sent.
    change: IsrChange,
    /// The number it was first sent with.
    first: u64,
    sent_ms: u64,
    /// Whether only metadata can tell how it went.
    awaits_metadata: bool,
}

/// The state of a replica that leads.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    me: Peer,
    /// The log's end when the epoch began.
    pub(crate) epoch_start: i64,
    pub(crate) followers: Vec<Remote>,
    pending: Option<Pending>,
    /// Up to here followers may have been given records in this epoch.
    given: i64,
    /// It can't go on in this epoch, and waits for the next.
    pub(crate) resigned: bool,
    /// When the controller was last asked for the next epoch, as far as ticks tell.
    resigned_ms: Option<u64>,
    /// No ISR change is asked for before.
    not_before_ms: u64,
}

/// What to send a follower next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it isn't following, or has been sent all there is.
    Nothing,
    /// Records from this offset on.
    Records {
        /// The offset they begin at: `base_offset` of the message.
        from: i64,
        /// The log's end: what is below may be sent.
        end: i64,
    },
    /// Only the high watermark or the log start is news.
    Moved(Moved),
    /// The log no longer has what it needs; it must begin anew.
    OutOfRange(Answer),
}

impl Leader {
    /// Begins an epoch.
    pub(crate) fn new(given: &Assignment<'_>, me: i32, epoch_start: i64, now_ms: u64) -> Self {
        let mut leader = Self {
            me: Peer {
                node: me,
                broker_epoch: -1,
                eligible: true,
            },
            epoch_start,
            followers: Vec::new(),
            pending: None,
            given: epoch_start,
            resigned: false,
            resigned_ms: None,
            not_before_ms: 0,
        };
        leader.update(given, now_ms);
        leader
    }

    /// Takes the replicas and the ISR of the metadata. Whatever was asked for has been decided by it.
    pub(crate) fn update(&mut self, given: &Assignment<'_>, now_ms: u64) {
        self.pending = None;
        let mut followers = Vec::with_capacity(given.replicas.len());
        let since = given.partition_epoch;
        for &peer in given.replicas {
            if peer.node == self.me.node {
                self.me = peer;
                continue;
            }
            let in_isr = given.isr.contains(&peer.node);
            let known = self.followers.iter().find(|f| f.peer.node == peer.node);
            let mut follower =
                known.map_or_else(|| Remote::new(peer, since, in_isr, now_ms), |f| *f);
            follower.peer = peer;
            follower.in_isr = in_isr;
            follower.joining = false;
            follower.leaving = false;
            followers.push(follower);
        }
        self.followers = followers;
    }

    /// Takes what the metadata says of a node.
    pub(crate) fn peer_changed(&mut self, peer: Peer) {
        if peer.node == self.me.node {
            self.me = peer;
        } else if let Some(follower) = self.remote_mut(peer.node) {
            follower.peer = peer;
        }
    }

    fn remote_mut(&mut self, node: i32) -> Option<&mut Remote> {
        self.followers.iter_mut().find(|f| f.peer.node == node)
    }

    /// Size of the ISR that the controller is known to have.
    pub(crate) fn isr_len(&self) -> usize {
        1 + self.followers.iter().filter(|f| f.in_isr).count()
    }

    /// Whether those that the high watermark waits for are enough for `acks=all`.
    pub(crate) fn enough(&self, shared: &Shared) -> bool {
        let waited_for = self.followers.iter().filter(|f| f.in_isr || f.joining);
        1 + waited_for.count() >= shared.min_insync()
    }

    /// Moves the high watermark to what every member of the maximal ISR has stored.
    pub(crate) fn advance(&self, shared: &mut Shared, log: &impl LogView, out: &mut Vec<Effect>) {
        if self.resigned {
            return;
        }
        let mut reached = if holds(Rule::LeaderStoresToo) {
            log.stable_end()
        } else {
            log.end()
        };
        for follower in &self.followers {
            // One that has caught up is waited for too, or it would trail behind for ever and never join.
            let counts = (follower.in_isr
                && (holds(Rule::ShrinkWhenAccepted) || !follower.leaving))
                || (holds(Rule::PendingMemberCounts)
                    && (follower.joining || (follower.near && follower.is_eligible())));
            if counts && follower.stable < reached {
                reached = follower.stable;
            }
        }
        let forward = reached > shared.high_watermark;
        if forward || (!holds(Rule::WatermarkForward) && reached >= 0) {
            shared.high_watermark = reached;
            out.push(Effect::HighWatermark {
                high_watermark: reached,
                enough: self.enough(shared),
            });
        }
    }

    /// Answers a follower that wants to begin.
    pub(crate) fn follow(
        &mut self,
        shared: &Shared,
        from: Sender,
        follow: &Follow,
        log: &impl LogView,
    ) -> AnswerKind {
        if self.resigned {
            return AnswerKind::Refused(Refusal::NotLeader);
        }
        if follow.leader_epoch != shared.leader_epoch {
            return AnswerKind::Refused(if follow.leader_epoch < shared.leader_epoch {
                Refusal::FencedEpoch
            } else {
                Refusal::UnknownEpoch
            });
        }
        let high_watermark = shared.high_watermark;
        let Some(follower) = self.remote_mut(from.node) else {
            return AnswerKind::Refused(Refusal::NotReplica);
        };
        if follow.partition_epoch < follower.since && holds(Rule::ReplicaOfThisAssignment) {
            return AnswerKind::Refused(Refusal::NotReplica);
        }
        let known = (follower.incarnation, follower.session);
        let asks = (from.broker_epoch, from.session);
        if asks < known || from.broker_epoch < follower.peer.broker_epoch {
            return AnswerKind::Refused(Refusal::StaleBroker);
        }
        if asks != known {
            follower.began_anew(from);
        }
        let kind = answer_to(follow, high_watermark, log);
        if let AnswerKind::Following { log_start, .. } = kind {
            follower.following = true;
            follower.sent = follow.position.end;
            follower.told_high_watermark = high_watermark;
            follower.told_log_start = log_start;
        }
        kind
    }

    /// Takes a follower's report.
    pub(crate) fn progress(
        &mut self,
        shared: &mut Shared,
        from: Sender,
        progress: &Progress,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let lag_max_ms = shared.settings.lag_max_ms;
        let end = log.end();
        let this_epoch =
            progress.leader_epoch == shared.leader_epoch || !holds(Rule::MessagesOfThisEpoch);
        if !this_epoch || self.resigned || progress.stable_end > end {
            return;
        }
        let Some(follower) = self.remote_mut(from.node) else {
            return;
        };
        let this_process = follower.following && follower.is_from(from);
        if !this_process && holds(Rule::ReportsOfThisProcess) {
            return;
        }
        follower.report(progress.stable_end, progress.log_start, end, now_ms);
        follower.near = follower.is_caught_up(now_ms, lag_max_ms);
        if !follower.in_isr {
            self.ask(shared, log, Some(from.node), now_ms, out);
        }
        self.advance(shared, log, out);
    }

    /// Asks for the ISR it should be, unless a change is under way: with every follower that may join
    /// and either has just `reported` or is known to be near, without those marked as leaving.
    fn ask(
        &mut self,
        shared: &mut Shared,
        log: &impl LogView,
        reported: Option<i32>,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        if self.pending.is_some() || self.resigned || now_ms < self.not_before_ms {
            return;
        }
        let mut changes = false;
        let from = if holds(Rule::JoinFromEpochStart) {
            shared.high_watermark.max(self.epoch_start)
        } else {
            shared.high_watermark
        };
        for follower in &mut self.followers {
            let eligible = follower.is_eligible() || !holds(Rule::ReportsOfThisProcess);
            follower.joining = !follower.in_isr
                && eligible
                && (follower.near || reported == Some(follower.peer.node))
                && follower.stable >= from
                && follower.stable <= log.end();
            changes |= follower.joining || follower.leaving;
        }
        if changes {
            let change = self.change(shared);
            self.pending = Some(Pending {
                first: change.request,
                change: change.clone(),
                sent_ms: now_ms,
                awaits_metadata: false,
            });
            out.push(Effect::AlterPartition(change));
        }
    }

    fn change(&self, shared: &mut Shared) -> IsrChange {
        let members = self
            .followers
            .iter()
            .filter(|f| (f.in_isr && !f.leaving) || f.joining);
        let mut isr = vec![IsrMember {
            node: self.me.node,
            broker_epoch: self.me.broker_epoch,
        }];
        isr.extend(members.map(|f| IsrMember {
            node: f.peer.node,
            broker_epoch: if holds(Rule::ReportsOfThisProcess) {
                f.incarnation
            } else {
                f.peer.broker_epoch
            },
        }));
        shared.requests += 1;
        IsrChange {
            request: shared.requests,
            leader_epoch: shared.leader_epoch,
            partition_epoch: shared.partition_epoch,
            isr,
        }
    }

    /// Takes the controller's answer to an ISR change.
    pub(crate) fn isr_answer(
        &mut self,
        shared: &mut Shared,
        request: u64,
        answer: IsrAnswer,
        now_ms: u64,
    ) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let last = pending.change.request;
        let this_change = (pending.first..=last).contains(&request) && !pending.awaits_metadata;
        if !this_change && holds(Rule::AnswerToThisRequest) {
            return;
        }
        match answer {
            IsrAnswer::Accepted { partition_epoch } => {
                if partition_epoch < shared.partition_epoch {
                    return;
                }
                shared.partition_epoch = partition_epoch;
                self.pending = None;
                for follower in &mut self.followers {
                    follower.in_isr = (follower.in_isr && !follower.leaving) || follower.joining;
                    follower.joining = false;
                    follower.leaving = false;
                }
            }
            // Refused now, but another copy is under way that may be accepted yet.
            IsrAnswer::Ineligible if request != last && holds(Rule::RefusalOfLastCopy) => {}
            IsrAnswer::Ineligible => {
                self.pending = None;
                self.not_before_ms = now_ms + shared.settings.retry_ms;
                for follower in &mut self.followers {
                    follower.joining = false;
                    follower.leaving = false;
                }
            }
            // It may have been made, or another may: the larger set counts until metadata tells.
            IsrAnswer::Fenced | IsrAnswer::InvalidVersion | IsrAnswer::NotLeader => {
                pending.awaits_metadata = true;
            }
            // Sent again when its time has come.
            IsrAnswer::Unknown => {}
        }
    }

    /// Looks at the time: who has fallen behind, what was not answered.
    pub(crate) fn tick(
        &mut self,
        shared: &mut Shared,
        log: &impl LogView,
        now_ms: u64,
        heard: impl Fn(i32) -> Option<u64>,
        out: &mut Vec<Effect>,
    ) {
        if self.resigned {
            self.resign_again(shared, now_ms, out);
            return;
        }
        let settings = shared.settings;
        let idle = self.pending.is_none();
        for follower in &mut self.followers {
            if let Some(heard_ms) = heard(follower.peer.node) {
                follower.heard(heard_ms, log.end());
            }
            let caught_up = follower.is_caught_up(now_ms, settings.lag_max_ms);
            follower.near = caught_up && follower.following;
            if idle {
                follower.leaving = follower.in_isr && !caught_up;
            }
        }
        match &mut self.pending {
            Some(pending)
                if !pending.awaits_metadata
                    && now_ms.saturating_sub(pending.sent_ms) >= settings.retry_ms =>
            {
                pending.sent_ms = now_ms;
                shared.requests += 1;
                pending.change.request = shared.requests;
                out.push(Effect::AlterPartition(pending.change.clone()));
            }
            Some(_) => {}
            None => self.ask(shared, log, None, now_ms, out),
        }
        if self.pending.is_none() {
            // Not asked for yet: a mark may only stand for what is.
            for follower in &mut self.followers {
                follower.leaving = false;
            }
        }
        self.advance(shared, log, out);
    }

    /// Appended records were taken back. If a follower may have them, another leader of this very epoch
    /// would seem to have written what comes now in their place.
    pub(crate) fn log_cut(&mut self, shared: &Shared, log: &impl LogView, out: &mut Vec<Effect>) {
        if self.resigned {
            return;
        }
        if self.given > log.end() && holds(Rule::ResignWhenCut) {
            self.resign(shared, out);
        } else if log.latest_epoch() != Some(shared.leader_epoch) {
            // The cut took the epoch with its first record; followers must still be told where others end.
            out.push(Effect::AssignEpoch {
                epoch: shared.leader_epoch,
                start: log.end(),
            });
        }
    }

    /// Ends this leadership, for what only a new epoch can mend.
    pub(crate) fn resign(&mut self, shared: &Shared, out: &mut Vec<Effect>) {
        self.resigned = true;
        out.push(Effect::LeadershipLost);
        out.push(Effect::Resign {
            leader_epoch: shared.leader_epoch,
        });
    }

    /// Asks again for the next epoch, where the controller may not have heard.
    fn resign_again(&mut self, shared: &Shared, now_ms: u64, out: &mut Vec<Effect>) {
        let asked_ms = *self.resigned_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(asked_ms) >= shared.settings.retry_ms {
            self.resigned_ms = Some(now_ms);
            out.push(Effect::Resign {
                leader_epoch: shared.leader_epoch,
            });
        }
    }

    /// What to send a follower next.
    pub(crate) fn next_for(&mut self, shared: &Shared, node: i32, log: &impl LogView) -> Next {
        if self.resigned {
            return Next::Nothing;
        }
        let (start, end) = (log.start(), log.end());
        let Some(follower) = self.remote_mut(node).filter(|f| f.following) else {
            return Next::Nothing;
        };
        if follower.sent < start {
            follower.following = false;
            return Next::OutOfRange(Answer {
                leader_epoch: shared.leader_epoch,
                position: Position {
                    last_epoch: -1,
                    end: follower.sent,
                },
                kind: AnswerKind::OutOfRange { log_start: start },
            });
        }
        if follower.sent < end {
            let from = follower.sent;
            self.given = self.given.max(end);
            return Next::Records { from, end };
        }
        if follower.told_high_watermark < shared.high_watermark || follower.told_log_start < start {
            return Next::Moved(Moved {
                leader_epoch: shared.leader_epoch,
                high_watermark: shared.high_watermark,
                log_start: start,
            });
        }
        Next::Nothing
    }

    /// Notes what was sent: records between these offsets, none where they are equal.
    pub(crate) fn sent(&mut self, node: i32, between: (i64, i64), told: (i64, i64)) {
        if let Some(follower) = self.remote_mut(node).filter(|f| f.following) {
            // Where it has begun again meanwhile, these records are for nobody.
            if follower.sent == between.0 {
                follower.sent = between.1;
            }
            follower.told_high_watermark = follower.told_high_watermark.max(told.0);
            follower.told_log_start = follower.told_log_start.max(told.1);
        }
    }

    /// A follower's connection is gone: what it says must come over another, and the high watermark waits
    /// for it only as far as the ISR demands.
    pub(crate) fn disconnected(&mut self, from: Sender) {
        if let Some(follower) = self.remote_mut(from.node)
            && follower.is_from(from)
        {
            follower.following = false;
            follower.near = false;
        }
    }
}

/// Whether a follower's log is a part of this one, and if not, what it has to do.
fn answer_to(follow: &Follow, high_watermark: i64, log: &impl LogView) -> AnswerKind {
    let (start, end) = (log.start(), log.end());
    let position = follow.position;
    let following = AnswerKind::Following {
        high_watermark,
        log_start: start,
    };
    let out_of_range = AnswerKind::OutOfRange { log_start: start };
    if position.end < start {
        return out_of_range;
    }
    if position.last_epoch < 0 {
        // An empty log, which fits wherever this one has something to go on with.
        return if position.end <= end {
            following
        } else {
            out_of_range
        };
    }
    match log.epoch_end(position.last_epoch) {
        (epoch, _) if epoch < 0 => AnswerKind::Refused(Refusal::UnknownEpoch),
        // All of that epoch is deleted here: where in it the logs part can't be told any more, and what the
        // follower has of it may be what was never committed.
        (epoch, end) if end <= start && log.latest_epoch() != Some(epoch) => out_of_range,
        (epoch, end) if epoch < position.last_epoch || end < position.end => {
            AnswerKind::Diverged { epoch, end }
        }
        _ => following,
    }
}
