//! Idempotence state of one log: which producers wrote to it, with which epoch, and their last batches.
//!
//! Pure: batches and the time come in as arguments, a decision comes out. It never looks at a clock,
//! a file or a socket. The owner calls [`Producers::check`] before an append and
//! [`Producers::record`] after it, in one step with no await between them.
//!
//! The rules are Kafka's (KIP-98, KIP-360, and the absence of state since 2.5, KIP-360 again).

mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use batch::BatchInfo;
pub use snapshot::SnapshotError;

/// How many of a producer's last batches are remembered, so that a retry of one of them is answered
/// with its first offset. Kafka's clients keep at most this many requests in flight when idempotent.
pub const REMEMBERED_BATCHES: usize = 5;

/// A batch that a producer has written to this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Sequence number of the first record.
    pub first_sequence: i32,
    /// Sequence number of the last record (wraps from `i32::MAX` to 0).
    pub last_sequence: i32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Greatest timestamp in the batch, in milliseconds since 1970.
    pub timestamp: i64,
}

/// What is known of one producer id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// Oldest first, at most [`REMEMBERED_BATCHES`], all of `epoch`; empty right after an epoch bump
    /// that was read from a snapshot of Kafka's.
    batches: VecDeque<Written>,
    /// When the producer last wrote, in milliseconds since 1970 by the broker's clock.
    last_used_ms: i64,
}

/// What to do with a batch that passed the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: append it.
    Append,
    /// It is a retry of a batch that is in the log: answer with this one's offset, append nothing.
    Duplicate(Written),
}

/// Why a batch may not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// The sequence number does not follow the last one (Kafka's `OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error(
        "producer {producer_id} sent sequence {found} where {expected} was due: a batch is missing or \
         is older than the last {REMEMBERED_BATCHES}; the producer has to start anew"
    )]
    OutOfOrder {
        /// The producer.
        producer_id: i64,
        /// The sequence number that was due.
        expected: i32,
        /// The sequence number that came.
        found: i32,
    },
    /// The epoch is older than one already seen (Kafka's `INVALID_PRODUCER_EPOCH`).
    #[error(
        "producer {producer_id} has epoch {found}, but epoch {current} has written here: it was replaced"
    )]
    OldEpoch {
        /// The producer.
        producer_id: i64,
        /// The epoch last seen.
        current: i16,
        /// The epoch that came.
        found: i16,
    },
}

/// The idempotence state of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<i64, Producer>,
}

/// The sequence number after `sequence`: it wraps from `i32::MAX` to 0.
fn next_sequence(sequence: i32) -> i32 {
    if sequence == i32::MAX {
        0
    } else {
        sequence + 1
    }
}

impl Producers {
    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The greatest id of a producer that wrote here, of those that are known.
    pub fn greatest_id(&self) -> Option<i64> {
        self.by_id.last_key_value().map(|(&id, _)| id)
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Decides on a batch as a client sent it. A batch without a producer id is always new.
    ///
    /// # Errors
    /// [`SequenceError`] where Kafka refuses the batch.
    pub fn check(&self, info: &BatchInfo) -> Result<Verdict, SequenceError> {
        let producer_id = info.producer_id;
        if producer_id < 0 {
            return Ok(Verdict::Append);
        }
        // Without state any sequence is taken: it expired, or its records were deleted.
        let Some(producer) = self.by_id.get(&producer_id) else {
            return Ok(Verdict::Append);
        };
        let out_of_order = |expected| SequenceError::OutOfOrder {
            producer_id,
            expected,
            found: info.base_sequence,
        };
        if info.producer_epoch < producer.epoch {
            return Err(SequenceError::OldEpoch {
                producer_id,
                current: producer.epoch,
                found: info.producer_epoch,
            });
        }
        if info.producer_epoch > producer.epoch {
            return match info.base_sequence {
                0 => Ok(Verdict::Append),
                _ => Err(out_of_order(0)),
            };
        }
        let same = |w: &&Written| {
            w.first_sequence == info.base_sequence && w.last_sequence == info.last_sequence
        };
        if let Some(found) = producer.batches.iter().find(same) {
            return Ok(Verdict::Duplicate(*found));
        }
        match producer.batches.back() {
            None => Ok(Verdict::Append),
            Some(last) if next_sequence(last.last_sequence) == info.base_sequence => {
                Ok(Verdict::Append)
            }
            Some(last) => Err(out_of_order(next_sequence(last.last_sequence))),
        }
    }

    /// Takes note of a batch that is in the log now, at the offsets that `info` says.
    pub fn record(&mut self, info: &BatchInfo, now_ms: i64) {
        if info.producer_id < 0 || info.attributes.is_control() {
            return;
        }
        let producer = self
            .by_id
            .entry(info.producer_id)
            .or_insert_with(|| Producer {
                epoch: info.producer_epoch,
                batches: VecDeque::with_capacity(REMEMBERED_BATCHES),
                last_used_ms: now_ms,
            });
        if producer.epoch != info.producer_epoch {
            producer.epoch = info.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Written {
            first_sequence: info.base_sequence,
            last_sequence: info.last_sequence,
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            timestamp: info.max_timestamp,
        });
        producer.last_used_ms = now_ms;
    }

    /// Forgets what was written at `offset` and above: those batches were taken back from the log.
    pub fn truncate_to(&mut self, offset: i64) {
        self.by_id.retain(|_, producer| {
            let had_some = !producer.batches.is_empty();
            producer.batches.retain(|w| w.last_offset < offset);
            !(had_some && producer.batches.is_empty())
        });
    }

    /// Forgets producers that have been silent for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id
            .retain(|_, producer| now_ms.saturating_sub(producer.last_used_ms) < expiration_ms);
    }
}

#[cfg(test)]
mod tests;
