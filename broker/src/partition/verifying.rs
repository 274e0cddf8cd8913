//! Batches that begin a transaction here: they wait until the transaction's coordinator has said that this
//! partition is in it (KIP-890). Else a batch that comes late, when its transaction has ended, would begin one
//! that nobody ends.
//!
//! Owns the batches that wait, each producer's in order. Who asks the coordinator is told what to ask and
//! gives the answer back; nothing here waits for it, and other producers go on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use batch::BatchInfo;
use bytes::BytesMut;
use kafka_protocol::ResponseError;
use replica::NotServed;
use rt::sync::oneshot;

use super::{Appended, Partition, ProduceError, State};
use crate::producers::ProducerError;

/// What a client says of the transaction that its batch is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The transaction's name.
    pub transactional_id: Arc<str>,
    /// Whether the partition is to be put in the transaction if it isn't there: the client doesn't do it
    /// itself, and begins a new epoch with each transaction (transactions V2).
    pub add: bool,
}

/// What is to be asked of a transaction's coordinator; the answer goes to
/// [`Partition::verified`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The transaction.
    pub claim: Claim,
    round: u64,
}

/// What became of a batch of a client.
pub enum Begun {
    /// It is appended, or refused.
    Done(Result<Appended, ProduceError>),
    /// It waits for what its transaction's coordinator says; if there is a question, it is to be asked.
    Waits(
        oneshot::Receiver<Result<Appended, ProduceError>>,
        Option<Question>,
    ),
}

struct Held {
    records: BytesMut,
    info: BatchInfo,
    all: bool,
    claim: Claim,
    told: oneshot::Sender<Result<Appended, ProduceError>>,
}

/// A producer whose transaction hasn't begun here.
struct Beginning {
    /// Another number for each, so that an answer to an earlier question isn't taken for one to this.
    round: u64,
    since_ms: i64,
    /// The lowest sequence number that came in `epoch`: if its batch couldn't be verified, none behind it may
    /// go first, or it would find its place taken when it comes again.
    lowest: i32,
    epoch: i16,
    waiting: VecDeque<Held>,
}

/// The producers that wait to begin a transaction in a partition.
#[derive(Default)]
pub(super) struct Verifying {
    by_id: BTreeMap<i64, Beginning>,
    rounds: u64,
}

impl Verifying {
    /// Whether batches of this producer wait.
    pub(super) fn holds(&self, producer_id: i64) -> bool {
        let found = self.by_id.get(&producer_id);
        found.is_some_and(|beginning| !beginning.waiting.is_empty())
    }

    /// A transaction of the producer's was ended, by a marker of `epoch`: what was asked before is of before. But a
    /// producer of transactions V2 goes on with the marker's epoch, and may be here before the marker is.
    pub(super) fn ended(&mut self, producer_id: i64, epoch: i16) {
        let Some(mut beginning) = self.by_id.remove(&producer_id) else {
            return;
        };
        let follows = |held: &Held| held.claim.add && held.info.producer_epoch >= epoch;
        let waiting = std::mem::take(&mut beginning.waiting);
        let (left, over): (VecDeque<Held>, VecDeque<Held>) = waiting.into_iter().partition(follows);
        for held in over {
            let why = ProducerError::NotInTransaction { producer_id };
            let _ = held.told.send(Err(why.into()));
        }
        if !left.is_empty() {
            beginning.waiting = left;
            self.by_id.insert(producer_id, beginning);
        }
    }

    /// This replica ceased to lead.
    pub(super) fn lost(&mut self) {
        for held in std::mem::take(&mut self.by_id)
            .into_values()
            .flat_map(|beginning| beginning.waiting)
        {
            let _ = held.told.send(Err(NotServed::NotLeaderOrFollower.into()));
        }
    }

    /// Forgets who failed to begin and hasn't tried again for `expiration_ms`.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id.retain(|_, beginning| {
            let silent_ms = now_ms.saturating_sub(beginning.since_ms);
            !beginning.waiting.is_empty() || silent_ms < expiration_ms
        });
    }

    /// Holds a batch; gives what is to be asked, unless it is asked already.
    fn hold(&mut self, held: Held, now_ms: i64) -> Option<Question> {
        let info = held.info;
        let (id, epoch) = (info.producer_id, info.producer_epoch);
        let rounds = &mut self.rounds;
        let beginning = self.by_id.entry(id).or_insert_with(|| {
            *rounds += 1;
            Beginning {
                round: *rounds,
                since_ms: now_ms,
                lowest: info.base_sequence,
                epoch,
                waiting: VecDeque::new(),
            }
        });
        beginning.since_ms = now_ms;
        if epoch > beginning.epoch {
            beginning.epoch = epoch;
            beginning.lowest = info.base_sequence;
        } else if epoch == beginning.epoch {
            beginning.lowest = beginning.lowest.min(info.base_sequence);
        }
        beginning.waiting.push_back(held);
        (beginning.waiting.len() == 1)
            .then(|| beginning.question(id))
            .flatten()
    }

    /// Takes out what the answer to this question is about, unless it is of before. With it, the lowest
    /// sequence number that may begin.
    fn take(&mut self, question: &Question) -> Option<(VecDeque<Held>, i32)> {
        let beginning = self.by_id.get_mut(&question.producer_id)?;
        if beginning.round != question.round {
            return None;
        }
        let asked = |held: &Held| {
            held.info.producer_epoch == question.epoch && held.claim == question.claim
        };
        let waiting = std::mem::take(&mut beginning.waiting);
        let (taken, left) = waiting.into_iter().partition(asked);
        beginning.waiting = left;
        let lowest = if beginning.epoch == question.epoch {
            beginning.lowest
        } else {
            i32::MAX
        };
        Some((taken, lowest))
    }

    /// What is to be asked next for the producer.
    fn next(&self, producer_id: i64) -> Option<Question> {
        self.by_id.get(&producer_id)?.question(producer_id)
    }

    /// Forgets the producer, if none of its batches waits.
    fn forget(&mut self, producer_id: i64) {
        if !self.holds(producer_id) {
            self.by_id.remove(&producer_id);
        }
    }
}

impl Beginning {
    fn question(&self, producer_id: i64) -> Option<Question> {
        let first = self.waiting.front()?;
        Some(Question {
            producer_id,
            epoch: first.info.producer_epoch,
            claim: first.claim.clone(),
            round: self.round,
        })
    }
}

impl Partition {
    /// Appends a client's batch that [`batch::check_produced`] passed; `all` as for
    /// [`append`](Self::append). One that begins a transaction here waits for the coordinator's word if it
    /// comes with a claim, and so do the ones of that producer behind it.
    pub fn begin_append(
        &self,
        records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
        all: bool,
        claim: Option<Claim>,
    ) -> Begun {
        let waits = claim.filter(|_| {
            let state = self.state.borrow();
            let (id, epoch) = (info.producer_id, info.producer_epoch);
            let open = state.producers.has_open(id, epoch);
            info.attributes.is_transactional() && (!open || state.verifying.holds(id))
        });
        let Some(claim) = waits else {
            return Begun::Done(self.append(records, info, now_ms, all));
        };
        let state = &mut *self.state.borrow_mut();
        // What can't be appended need not be asked about.
        if let Err(why) = state.replica.check_append(all) {
            return Begun::Done(Err(why.into()));
        }
        let (told, receiver) = oneshot();
        let held = Held {
            records,
            info,
            all,
            claim,
            told,
        };
        Begun::Waits(receiver, state.verifying.hold(held, now_ms))
    }

    /// Takes the coordinator's answer: the batches that waited for it are appended or refused. Gives what is
    /// to be asked next.
    pub fn verified(
        &self,
        question: &Question,
        answer: Result<(), ResponseError>,
        now_ms: i64,
    ) -> Option<Question> {
        let next = {
            let state = &mut *self.state.borrow_mut();
            let (held, lowest) = state.verifying.take(question)?;
            let mut appended = false;
            for Held {
                records,
                info,
                all,
                told,
                ..
            } in held
            {
                let result = match answer {
                    Ok(()) => {
                        let lowest = if appended { i32::MAX } else { lowest };
                        self.append_verified(state, records, info, (now_ms, all), lowest, question)
                    }
                    Err(error) => Err(ProduceError::Transaction(error)),
                };
                appended |= result.is_ok();
                // The request may be gone with its connection.
                let _ = told.send(result);
            }
            let passing = matches!(
                answer,
                Err(ResponseError::NotEnoughReplicas | ResponseError::ConcurrentTransactions)
            );
            if appended || (answer.is_err() && !passing) {
                state.verifying.forget(question.producer_id);
            }
            state.verifying.next(question.producer_id)
        };
        self.tell_moved();
        next
    }

    fn append_verified(
        &self,
        state: &mut State,
        records: BytesMut,
        info: BatchInfo,
        (now_ms, all): (i64, bool),
        lowest: i32,
        question: &Question,
    ) -> Result<Appended, ProduceError> {
        let out_of_order = |expected| ProducerError::OutOfOrder {
            producer_id: info.producer_id,
            expected,
            found: info.base_sequence,
        };
        // A producer of transactions V2 begins at 0 with each of them, also where nothing is known of it.
        let begins = !state.producers.has_written(info.producer_id);
        if question.claim.add && begins && info.base_sequence != 0 {
            return Err(out_of_order(0).into());
        }
        if info.base_sequence > lowest {
            return Err(out_of_order(lowest).into());
        }
        self.append_checked(state, records, info, now_ms, all)
    }
}
