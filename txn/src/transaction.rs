//! One transactional id, and what becomes of it with each step.
//!
//! The changes are those of Kafka's `TransactionMetadata`. It has a pending state beside each state,
//! because a change there is in force only when it is replicated; here a step is in force at once, and
//! its answer waits.

use kafka_protocol::ResponseError;

use crate::api::{
    Decision, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Partitions, Producer, TransactionVersion,
};
use crate::state::State;

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// The producer; its epoch is -1 until one has begun.
    pub(crate) producer: Producer,
    /// The producer id before the last change.
    pub(crate) previous_id: i64,
    /// The producer id from the end of this transaction on, if epochs have run out.
    pub(crate) next_id: i64,
    /// The epoch before the last change, by which a repeated request is known. Not in the log.
    pub(crate) last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: State,
    /// The transaction's partitions; while prepared those that still wait for a marker.
    pub(crate) partitions: Partitions,
    /// When the transaction began, in milliseconds since 1970, or -1.
    pub(crate) started_ms: i64,
    /// The last change, in milliseconds since 1970.
    pub(crate) updated_ms: i64,
    /// While prepared, what decided so. Not in the log.
    pub(crate) decision: Decision,
    /// What the client that began or ended the transaction speaks.
    pub(crate) version: TransactionVersion,
}

/// No client gets the greatest epoch, so that whoever has one can be fenced.
pub(crate) fn is_last_epoch(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Transaction {
    /// A transactional id that nobody has used.
    pub(crate) fn new(id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer {
                id,
                epoch: NO_PRODUCER_EPOCH,
            },
            previous_id: NO_PRODUCER_ID,
            next_id: NO_PRODUCER_ID,
            last_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: Partitions::new(),
            started_ms: -1,
            updated_ms: now_ms,
            decision: Decision::default(),
            version: TransactionVersion::V0,
        }
    }

    /// When it is to be aborted, in milliseconds since 1970.
    pub(crate) fn times_out_at(&self) -> Option<i64> {
        // As long as can be means never: transactions that another system commits.
        let times_out = self.state == State::Ongoing && self.timeout_ms != i32::MAX;
        times_out.then(|| self.started_ms.saturating_add(i64::from(self.timeout_ms)))
    }

    /// Whether a producer that says that it is `expected` may begin again.
    pub(crate) fn may_begin(&self, expected: Producer) -> bool {
        self.producer.epoch == NO_PRODUCER_EPOCH
            || expected.id == self.producer.id
            // The answer to a request that changed the producer id may have been lost.
            || (expected.id == self.previous_id && is_last_epoch(expected.epoch))
    }

    /// The producer begins with the next epoch, or, when it only repeats that, with the present one.
    ///
    /// # Errors
    /// `PRODUCER_FENCED` if `expected` is neither the present epoch nor the one before.
    pub(crate) fn begin(
        &mut self,
        timeout_ms: i32,
        expected: Option<i16>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let epoch = self.producer.epoch;
        let (next, last) = match expected {
            None => (epoch + 1, NO_PRODUCER_EPOCH),
            Some(expected) if epoch == NO_PRODUCER_EPOCH || expected == epoch => (epoch + 1, epoch),
            // A new producer would have set the last epoch to none: it is the same one again.
            Some(expected) if expected == self.last_epoch => (epoch, self.last_epoch),
            Some(_) => return Err(ResponseError::ProducerFenced),
        };
        self.previous_id = self.producer.id;
        self.producer.epoch = next;
        self.last_epoch = last;
        self.clear(timeout_ms, now_ms);
        Ok(())
    }

    /// The producer begins with another id: the epochs of the one it had have run out.
    pub(crate) fn begin_with(&mut self, id: i64, timeout_ms: i32, known: bool, now_ms: i64) {
        self.previous_id = self.producer.id;
        self.last_epoch = if known {
            self.producer.epoch
        } else {
            NO_PRODUCER_EPOCH
        };
        self.producer = Producer { id, epoch: 0 };
        self.clear(timeout_ms, now_ms);
    }

    fn clear(&mut self, timeout_ms: i32, now_ms: i64) {
        self.timeout_ms = timeout_ms;
        self.state = State::Empty;
        self.partitions.clear();
        self.started_ms = -1;
        self.updated_ms = now_ms;
    }

    /// Whether all of these are in the transaction.
    pub(crate) fn has(&self, partitions: &Partitions) -> bool {
        let mut wanted = partitions.iter();
        wanted.all(|(topic, of)| {
            let has = self.partitions.get(topic);
            has.is_some_and(|has| of.is_subset(has))
        })
    }

    /// Those that are not in the transaction.
    pub(crate) fn lacks(&self, partitions: &Partitions) -> Partitions {
        let lacking = partitions.iter().filter_map(|(topic, of)| {
            let lacking = match self.partitions.get(topic) {
                Some(has) => of.difference(has).copied().collect(),
                None => of.clone(),
            };
            (!lacking.is_empty()).then(|| (topic.clone(), lacking))
        });
        lacking.collect()
    }

    /// Partitions are added; the first begin the transaction.
    pub(crate) fn add(&mut self, more: &Partitions, version: TransactionVersion, now_ms: i64) {
        if self.state != State::Ongoing {
            self.state = State::Ongoing;
            self.started_ms = now_ms;
        }
        for (topic, partitions) in more {
            let of = self.partitions.entry(topic.clone()).or_default();
            of.extend(partitions);
        }
        self.previous_id = self.producer.id;
        self.updated_ms = now_ms;
        self.version = version;
    }

    /// The transaction is decided. `next_id` is the producer id from its end on, if epochs run out.
    pub(crate) fn decide(
        &mut self,
        commit: bool,
        version: TransactionVersion,
        next_id: Option<i64>,
        now_ms: i64,
    ) {
        if version.bumps_epochs() {
            self.last_epoch = self.producer.epoch;
            self.producer.epoch += 1;
        }
        if self.state != State::Ongoing {
            // An abort of a transaction that has no partitions yet: it begins and ends here.
            self.started_ms = now_ms;
        }
        self.previous_id = self.producer.id;
        self.next_id = next_id.unwrap_or(NO_PRODUCER_ID);
        self.state = State::prepared(commit);
        self.updated_ms = now_ms;
        self.version = version;
    }

    /// All markers are written.
    pub(crate) fn complete(&mut self, now_ms: i64) {
        self.state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        self.previous_id = self.producer.id;
        if self.version.bumps_epochs() && self.next_id != NO_PRODUCER_ID {
            // The last epoch stays: it is the last one the client has seen.
            self.producer = Producer {
                id: self.next_id,
                epoch: 0,
            };
        }
        self.next_id = NO_PRODUCER_ID;
        self.partitions.clear();
        self.updated_ms = now_ms;
    }

    /// The producer from the end of this transaction on.
    pub(crate) fn producer_after(&self) -> Producer {
        if self.state.is_prepared() && self.next_id != NO_PRODUCER_ID {
            return Producer {
                id: self.next_id,
                epoch: 0,
            };
        }
        self.producer
    }
}
