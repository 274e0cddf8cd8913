//! Whether a batch may be appended: the rules, and what is said where it may not.

use batch::BatchInfo;

use super::{Producers, REMEMBERED_BATCHES, Written};

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
pub enum ProducerError {
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
    /// A batch outside of the transaction that its producer has open here (Kafka's `INVALID_TXN_STATE`).
    #[error(
        "producer {producer_id} sent a batch outside of its transaction, which began at offset \
         {first_offset} and is still open; it has to end the transaction first"
    )]
    NotTransactional {
        /// The producer.
        producer_id: i64,
        /// Where its open transaction began.
        first_offset: i64,
    },
    /// A batch whose transaction ended before its coordinator's word for it was there (Kafka's
    /// `INVALID_TXN_STATE`).
    #[error(
        "producer {producer_id} sent a batch whose transaction has ended; it has to begin another"
    )]
    NotInTransaction {
        /// The producer.
        producer_id: i64,
    },
    /// A marker of a coordinator that was replaced (Kafka's `TRANSACTION_COORDINATOR_FENCED`).
    #[error(
        "coordinator epoch {found} wants to end a transaction of producer {producer_id}, but epoch \
         {current} has ended one: another node coordinates it now"
    )]
    OldCoordinator {
        /// The producer.
        producer_id: i64,
        /// The coordinator's epoch last seen.
        current: i32,
        /// The epoch that came.
        found: i32,
    },
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
    /// Decides on a batch as a client sent it. A batch without a producer id is always new.
    ///
    /// # Errors
    /// [`ProducerError`] where Kafka refuses the batch.
    pub fn check(&self, info: &BatchInfo) -> Result<Verdict, ProducerError> {
        let producer_id = info.producer_id;
        if producer_id < 0 {
            return Ok(Verdict::Append);
        }
        // Without state any sequence is taken: it expired, or its records were deleted.
        let Some(producer) = self.by_id.get(&producer_id) else {
            return Ok(Verdict::Append);
        };
        let same = |w: &&Written| {
            w.first_sequence == info.base_sequence && w.last_sequence == info.last_sequence
        };
        if info.producer_epoch == producer.epoch
            && let Some(found) = producer.batches.iter().find(same)
        {
            return Ok(Verdict::Duplicate(*found));
        }
        self.check_epoch(producer_id, info.producer_epoch)?;
        let last = producer.batches.back();
        let expected = match last {
            Some(last) if info.producer_epoch == producer.epoch => {
                next_sequence(last.last_sequence)
            }
            _ => 0,
        };
        if info.base_sequence != expected {
            return Err(ProducerError::OutOfOrder {
                producer_id,
                expected,
                found: info.base_sequence,
            });
        }
        self.check_transaction(info)?;
        Ok(Verdict::Append)
    }

    /// Decides on a batch of a coordinator of this node's own, which has no sequence numbers.
    ///
    /// # Errors
    /// [`ProducerError::OldEpoch`], [`ProducerError::NotTransactional`].
    pub fn check_own(&self, info: &BatchInfo) -> Result<(), ProducerError> {
        self.check_epoch(info.producer_id, info.producer_epoch)?;
        self.check_transaction(info)
    }

    /// Decides on the end of a producer's transaction, whether one is open or not.
    ///
    /// # Errors
    /// [`ProducerError::OldEpoch`], [`ProducerError::OldCoordinator`].
    pub fn check_end(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), ProducerError> {
        self.check_epoch(producer_id, epoch)?;
        match self.by_id.get(&producer_id) {
            Some(producer) if producer.coordinator_epoch > coordinator_epoch => {
                Err(ProducerError::OldCoordinator {
                    producer_id,
                    current: producer.coordinator_epoch,
                    found: coordinator_epoch,
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether a numbered batch of the producer's is remembered.
    pub fn has_written(&self, producer_id: i64) -> bool {
        let producer = self.by_id.get(&producer_id);
        producer.is_some_and(|producer| !producer.batches.is_empty())
    }

    /// Whether the producer has a transaction open here, in this epoch.
    pub fn has_open(&self, producer_id: i64, epoch: i16) -> bool {
        let producer = self.by_id.get(&producer_id);
        producer.is_some_and(|producer| producer.epoch == epoch && producer.open.is_some())
    }

    fn check_epoch(&self, producer_id: i64, found: i16) -> Result<(), ProducerError> {
        match self.by_id.get(&producer_id) {
            Some(producer) if found < producer.epoch => Err(ProducerError::OldEpoch {
                producer_id,
                current: producer.epoch,
                found,
            }),
            _ => Ok(()),
        }
    }

    fn check_transaction(&self, info: &BatchInfo) -> Result<(), ProducerError> {
        let producer_id = info.producer_id;
        let open = self.by_id.get(&producer_id).and_then(|known| known.open);
        match open {
            Some(first_offset) if !info.attributes.is_transactional() => {
                Err(ProducerError::NotTransactional {
                    producer_id,
                    first_offset,
                })
            }
            _ => Ok(()),
        }
    }
}
