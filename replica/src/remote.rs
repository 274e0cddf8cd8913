//! What a leader knows of one of its followers, and Kafka's rule of when a follower has caught up.

use crate::assignment::Peer;
use crate::message::Sender;
use crate::rules::{Rule, holds};

/// A follower as its leader sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    pub(crate) peer: Peer,
    /// The partition epoch that gave it its replica, as far as this leader saw it.
    pub(crate) since: i32,
    /// In the ISR that the controller is known to have.
    pub(crate) in_isr: bool,
    /// Added by the ISR change under way.
    pub(crate) joining: bool,
    /// Removed by the ISR change under way.
    pub(crate) leaving: bool,
    /// It was told `Following` in this epoch, in this session.
    pub(crate) following: bool,
    /// The broker epoch it was last heard with in this leader epoch, -1 for never.
    pub(crate) incarnation: i64,
    /// The session it was last heard in.
    pub(crate) session: u64,
    /// Its stored end, -1 while not known.
    pub(crate) stable: i64,
    /// Its first offset, -1 while not known.
    pub(crate) log_start: i64,
    /// Where the next records for it begin.
    pub(crate) sent: i64,
    pub(crate) told_high_watermark: i64,
    pub(crate) told_log_start: i64,
    /// When it last reported, and where the leader's log ended then.
    reported: Option<(u64, i64)>,
    /// The last time at which it is known to have had all that the leader had.
    caught_up_ms: Option<u64>,
    /// It has caught up within the limit: the high watermark waits for it so that it can join.
    pub(crate) near: bool,
}

impl Remote {
    /// A follower at the beginning of a leader epoch.
    pub(crate) fn new(peer: Peer, since: i32, in_isr: bool, now_ms: u64) -> Self {
        Self {
            peer,
            since,
            in_isr,
            joining: false,
            leaving: false,
            following: false,
            incarnation: -1,
            session: 0,
            stable: -1,
            log_start: -1,
            sent: -1,
            told_high_watermark: -1,
            told_log_start: -1,
            reported: None,
            caught_up_ms: in_isr.then_some(now_ms),
            near: false,
        }
    }

    /// It begins anew, perhaps another process with another log: nothing it said before holds any longer.
    pub(crate) fn began_anew(&mut self, from: Sender) {
        self.incarnation = from.broker_epoch;
        self.session = from.session;
        self.following = false;
        if holds(Rule::ReportsOfThisProcess) {
            self.stable = -1;
            self.log_start = -1;
        }
        self.reported = None;
        self.near = false;
    }

    /// Whether this is who began last.
    pub(crate) fn is_from(&self, from: Sender) -> bool {
        (self.incarnation, self.session) == (from.broker_epoch, from.session)
    }

    /// It reported its stored end and its log start, when the leader's log ended at `leader_end`.
    pub(crate) fn report(&mut self, stable: i64, log_start: i64, leader_end: i64, now_ms: u64) {
        if stable >= leader_end {
            self.caught_up_ms = self.caught_up_ms.max(Some(now_ms));
        } else if let Some((then_ms, _)) = self.reported.filter(|&(_, end)| stable >= end) {
            self.caught_up_ms = self.caught_up_ms.max(Some(then_ms));
        }
        self.reported = Some((now_ms, leader_end));
        self.stable = self.stable.max(stable);
        self.log_start = self.log_start.max(log_start);
    }

    /// Its connection was last heard at `heard_ms`: where it has all, it had all until then.
    pub(crate) fn heard(&mut self, heard_ms: u64, leader_end: i64) {
        if self.following && self.stable >= leader_end {
            self.caught_up_ms = self.caught_up_ms.max(Some(heard_ms));
        }
    }

    /// Whether it has caught up within the last `lag_max_ms`.
    pub(crate) fn is_caught_up(&self, now_ms: u64, lag_max_ms: u64) -> bool {
        self.caught_up_ms
            .is_some_and(|at| now_ms.saturating_sub(at) <= lag_max_ms)
    }

    /// How long ago it had all that the leader had, in milliseconds.
    pub(crate) fn behind_ms(&self, now_ms: u64) -> u64 {
        self.caught_up_ms
            .map_or(u64::MAX, |at| now_ms.saturating_sub(at))
    }

    /// Whether the process that is heard is the one that is registered, and may join an ISR.
    pub(crate) fn is_eligible(&self) -> bool {
        self.peer.eligible && self.incarnation == self.peer.broker_epoch
    }
}
