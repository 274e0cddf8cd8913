//! The end of a transaction: asked for by its producer, or forced on it.
//!
//! A client of transactions V2 gets a new epoch with each end, so that nothing sent before can come
//! after it. A repeated request then has the epoch before the present one:
//!
//! | state          | abort, repeated | abort     | commit, repeated | commit  |
//! |----------------|-----------------|-----------|------------------|---------|
//! | Empty          | fenced          | new epoch | fenced           | invalid |
//! | CompleteAbort  | done            | new epoch | invalid          | invalid |
//! | CompleteCommit | invalid         | new epoch | done             | invalid |
//!
//! An abort of nothing is allowed because the client can't know whether a partition was added.
//! With V1 the epoch says nothing: the same end of a completed transaction is done, another is invalid.
//!
//! While markers are written, every end has to be asked again: a client of V2 knows its next epoch by then
//! and may end its next transaction, which it has found to have nothing in it.

use coordinator::Out;
use kafka_protocol::ResponseError;

use crate::api::{End, Producer, Reply, TransactionVersion};
use crate::machine::Transactions;
use crate::state::State;
use crate::transaction::{Transaction, is_last_epoch};

/// What an `EndTxn` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It was done before.
    Done,
    /// The transaction is to be decided.
    Decide,
    Refused(ResponseError),
}

/// What the request leads to in a state, where `again` says whether the client repeats itself: known
/// of V2, and with V1 so whenever the outcome is the same.
fn verdict(state: State, commit: bool, again: bool, version: TransactionVersion) -> Verdict {
    let invalid = Verdict::Refused(ResponseError::InvalidTxnState);
    match state {
        State::Ongoing => Verdict::Decide,
        State::PrepareCommit | State::PrepareAbort => {
            Verdict::Refused(ResponseError::ConcurrentTransactions)
        }
        State::CompleteCommit if again && commit => Verdict::Done,
        State::CompleteAbort if again && !commit => Verdict::Done,
        State::CompleteCommit | State::CompleteAbort if again => invalid,
        State::Empty | State::CompleteCommit | State::CompleteAbort
            if version.bumps_epochs() && !commit =>
        {
            Verdict::Decide
        }
        State::Empty | State::CompleteCommit | State::CompleteAbort => invalid,
    }
}

fn judge_v1(known: &Transaction, end: &End) -> Verdict {
    if known.producer.id != end.producer.id {
        Verdict::Refused(ResponseError::InvalidProducerIdMapping)
    } else if known.producer.epoch != end.producer.epoch {
        Verdict::Refused(ResponseError::ProducerFenced)
    } else {
        verdict(known.state, end.commit, true, end.version)
    }
}

fn judge_v2(known: &Transaction, end: &End) -> Verdict {
    let (is, says) = (known.producer, end.producer);
    let over = known.previous_id == says.id && says.epoch == i16::MAX - 1 && is.epoch == 0;
    let bumped = i32::from(is.epoch) == i32::from(says.epoch) + 1;
    let next = says.epoch == is.epoch;
    let fits = match known.state {
        State::CompleteCommit | State::CompleteAbort => bumped || over || next,
        _ => next,
    };
    // Before all else: the present id and epoch may be those that the client hasn't been told yet.
    if known.state.is_prepared() {
        Verdict::Refused(ResponseError::ConcurrentTransactions)
    } else if is.id != says.id && !over {
        Verdict::Refused(ResponseError::InvalidProducerIdMapping)
    } else if !fits {
        Verdict::Refused(ResponseError::ProducerFenced)
    } else {
        verdict(known.state, end.commit, bumped || over, end.version)
    }
}

impl Transactions {
    /// Answers `EndTxn`.
    pub(crate) fn end(&mut self, end: &End, now: i64, out: &mut Out<Self>) -> Reply {
        let id = &end.transactional_id;
        let Some(known) = self.known.get(id) else {
            return Reply::End(Err(ResponseError::InvalidProducerIdMapping));
        };
        let verdict = if end.version.bumps_epochs() {
            judge_v2(known, end)
        } else {
            judge_v1(known, end)
        };
        match verdict {
            Verdict::Done => Reply::End(Ok(known.producer)),
            Verdict::Refused(error) => Reply::End(Err(error)),
            Verdict::Decide => {
                let runs_out = end.version.bumps_epochs() && is_last_epoch(known.producer.epoch);
                if runs_out && end.fresh_id.is_none() {
                    return Reply::NeedsProducerId;
                }
                let next = end.fresh_id.filter(|_| runs_out);
                Reply::End(self.decide(id, end.commit, end.version, next, now, out))
            }
        }
    }

    /// Aborts an ongoing transaction and shuts its producer out: another one begins with its
    /// transactional id, or it took too long.
    pub(crate) fn fence(&mut self, id: &str, now: i64, out: &mut Out<Self>) {
        // The epoch has to rise, whatever the client speaks.
        let _ = self.decide(id, false, TransactionVersion::V2, None, now, out);
    }

    fn decide(
        &mut self,
        id: &str,
        commit: bool,
        version: TransactionVersion,
        next_id: Option<i64>,
        now: i64,
        out: &mut Out<Self>,
    ) -> Result<Producer, ResponseError> {
        let decided = self.change(id, out, |transaction| {
            let ongoing = transaction.state == State::Ongoing;
            transaction.decide(commit, version, next_id, now);
            (transaction.producer_after(), ongoing)
        });
        match (&decided, commit) {
            (Some((_, true)), true) => self.figures.committed += 1,
            (Some((_, true)), false) => self.figures.aborted += 1,
            // An abort of nothing, for its new epoch.
            _ => {}
        }
        self.go_on(id, now, out);
        let after = decided.map(|(producer, _)| producer);
        after.ok_or(ResponseError::InvalidProducerIdMapping)
    }
}
