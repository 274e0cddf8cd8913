//! The follower's side: becoming a part of the leader's log, taking records, reporting.
//!
//! Owns the rule that nothing is reported, and nothing shown to readers, before the leader has said that
//! this log is a part of its own.

use crate::effect::Effect;
use crate::message::{Answer, AnswerKind, Follow, Progress, Records};
use crate::rules::{Rule, holds};
use crate::shared::Shared;
use crate::view::{LogView, Position};

/// The state of a replica that follows, or waits for a leader.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// The leader has said in this epoch that the log is a part of its own. It stays so: in an epoch a
    /// leader only appends, and so does its follower from here on.
    synced: bool,
    /// The log is being cut back; nothing is heard until that is done.
    pub(crate) truncating: bool,
    leader_high_watermark: i64,
    leader_log_start: i64,
    /// Stored end and log start as last reported.
    reported: Option<(i64, i64)>,
    /// When the leader was asked, while it hasn't answered.
    asked_ms: Option<u64>,
}

/// What to do with records that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append those at this offset and above, which is the log's end, then call
    /// [`Replica::log_moved`](crate::Replica::log_moved).
    Append {
        /// What lies below is there already.
        from: i64,
    },
    /// They are there already, don't continue the log, or are of another epoch.
    Ignore,
}

impl Follower {
    /// Begins to follow in a new epoch.
    pub(crate) fn new() -> Self {
        Self {
            synced: !holds(Rule::ReportAfterFollowing),
            truncating: false,
            leader_high_watermark: -1,
            leader_log_start: -1,
            reported: None,
            asked_ms: None,
        }
    }

    /// Whether the log is known to be a part of the leader's.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Asks the leader to begin, or to begin again.
    pub(crate) fn ask(
        &mut self,
        shared: &Shared,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        if shared.leader < 0 || self.truncating {
            return;
        }
        self.asked_ms = Some(now_ms);
        out.push(Effect::Follow {
            to: shared.leader,
            follow: Follow {
                leader_epoch: shared.leader_epoch,
                partition_epoch: shared.partition_epoch,
                position: Position::of(log),
            },
        });
    }

    /// There is a new connection to the leader: what was said on another may be lost.
    pub(crate) fn connected(
        &mut self,
        shared: &Shared,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        self.reported = None;
        self.ask(shared, log, now_ms, out);
    }

    /// Takes the leader's answer.
    pub(crate) fn answer(
        &mut self,
        shared: &mut Shared,
        answer: &Answer,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        if self.truncating {
            return;
        }
        let fits = answer.position == Position::of(log) || !holds(Rule::AnswerFitsPosition);
        match answer.kind {
            AnswerKind::Following {
                high_watermark,
                log_start,
            } if self.synced || fits => {
                self.synced = true;
                self.asked_ms = None;
                // The leader may have forgotten what it was told.
                self.reported = None;
                self.heard(high_watermark, log_start);
                self.settle(shared, log, out);
            }
            AnswerKind::Diverged { .. }
                if !self.synced && fits && !holds(Rule::TruncateDiverged) =>
            {
                self.synced = true;
            }
            AnswerKind::Diverged { epoch, end }
                if fits && end >= 0 && (!self.synced || !holds(Rule::AnswerFitsPosition)) =>
            {
                self.cut(shared, cut_at(epoch, end, shared, log), log, out);
            }
            // True of any log that ends there or below: nothing of it is left at the leader. Else of this very
            // log only: it is empty, or what it has in common with the leader's is deleted there.
            AnswerKind::OutOfRange { log_start }
                if log_start >= log.end()
                    || (fits && (!self.synced || answer.position.last_epoch < 0)) =>
            {
                self.restart(shared, log_start, out);
            }
            // Not for this log as it is now, or asked again when its time has come.
            _ => {}
        }
    }

    fn cut(&mut self, shared: &mut Shared, end: i64, log: &impl LogView, out: &mut Vec<Effect>) {
        if end < log.start() {
            self.restart(shared, end, out);
            return;
        }
        self.truncating = true;
        out.push(Effect::Truncate { end });
        if shared.high_watermark > end {
            // Only after an unclean election: what was committed isn't any longer.
            shared.high_watermark = end;
            out.push(moved(end));
        }
    }

    fn restart(&mut self, shared: &mut Shared, start: i64, out: &mut Vec<Effect>) {
        self.truncating = true;
        out.push(Effect::RestartAt { start });
        if shared.high_watermark != start {
            shared.high_watermark = start;
            out.push(moved(start));
        }
    }

    /// Takes the header of records.
    pub(crate) fn records(
        &mut self,
        shared: &mut Shared,
        records: &Records,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) -> Verdict {
        if !self.synced || self.truncating || records.next_offset <= records.base_offset {
            return Verdict::Ignore;
        }
        self.heard(records.high_watermark, records.log_start);
        let end = log.end();
        if !holds(Rule::RecordsContinue) {
            return Verdict::Append {
                from: records.base_offset,
            };
        }
        if records.base_offset > end {
            // Once is enough for all that was under way.
            if self.asked_ms.is_none() {
                self.ask(shared, log, now_ms, out);
            }
            return Verdict::Ignore;
        }
        if records.next_offset <= end {
            // The leader may not know that they arrived.
            self.reported = None;
            self.settle(shared, log, out);
            return Verdict::Ignore;
        }
        Verdict::Append { from: end }
    }

    /// Takes what the leader says of itself.
    pub(crate) fn moved(
        &mut self,
        shared: &mut Shared,
        high_watermark: i64,
        log_start: i64,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        if self.synced && !self.truncating {
            self.heard(high_watermark, log_start);
            self.settle(shared, log, out);
        }
    }

    fn heard(&mut self, high_watermark: i64, log_start: i64) {
        self.leader_high_watermark = self.leader_high_watermark.max(high_watermark);
        self.leader_log_start = self.leader_log_start.max(log_start);
    }

    /// Makes of what the leader said and what is stored: the high watermark, the log start, a report.
    pub(crate) fn settle(
        &mut self,
        shared: &mut Shared,
        log: &impl LogView,
        out: &mut Vec<Effect>,
    ) {
        if !self.synced || self.truncating {
            return;
        }
        let stable = if holds(Rule::ReportStable) {
            log.stable_end()
        } else {
            log.end()
        };
        let stored = if holds(Rule::WatermarkStored) {
            log.stable_end()
        } else {
            i64::MAX
        };
        let high_watermark = self.leader_high_watermark.min(stored);
        if high_watermark > shared.high_watermark {
            shared.high_watermark = high_watermark;
            out.push(moved(high_watermark));
        }
        let start = if holds(Rule::StartBelowWatermark) {
            self.leader_log_start.min(shared.high_watermark)
        } else {
            self.leader_log_start.min(log.end())
        };
        if start > log.start() {
            out.push(Effect::RaiseLogStart { start });
        }
        let report = (stable, log.start());
        if self.reported != Some(report) && shared.leader >= 0 {
            self.reported = Some(report);
            out.push(Effect::Progress {
                to: shared.leader,
                progress: Progress {
                    leader_epoch: shared.leader_epoch,
                    stable_end: stable,
                    log_start: report.1,
                },
            });
        }
    }

    /// Looks at the time: asks again where nobody answered.
    pub(crate) fn tick(
        &mut self,
        shared: &Shared,
        log: &impl LogView,
        now_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let retry_ms = shared.settings.retry_ms;
        let overdue = match self.asked_ms {
            Some(asked_ms) => now_ms.saturating_sub(asked_ms) >= retry_ms,
            None => !self.synced,
        };
        if overdue {
            self.ask(shared, log, now_ms, out);
        }
    }
}

/// Where to cut a log that ends like none of the leader's: the leader's greatest epoch that isn't above
/// its last one, `epoch`, ends at `end` there.
fn cut_at(epoch: i32, end: i64, shared: &Shared, log: &impl LogView) -> i64 {
    if !holds(Rule::TruncateByEpoch) {
        return shared.high_watermark.min(log.end());
    }
    match log.epoch_end(epoch) {
        (own, _) if own < 0 => end,
        (_, own_end) => end.min(own_end),
    }
    .min(log.end())
}

fn moved(high_watermark: i64) -> Effect {
    Effect::HighWatermark {
        high_watermark,
        enough: true,
    }
}
