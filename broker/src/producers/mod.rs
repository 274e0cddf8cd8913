//! What is known of those who write to one log: the last batches of each producer, by which a retry is
//! recognised, and their transactions: which are open, and which have ended in the log only a moment ago.
//!
//! Pure: batches and the time come in as arguments, a decision comes out. It never looks at a clock,
//! a file or a socket. The owner calls one of the checks before an append and [`Producers::record`] after
//! it, in one step with no await between them.
//!
//! The rules are Kafka's (KIP-98, KIP-360, KIP-890, and the absence of state since 2.5, KIP-360 again).

mod check;
mod last;
mod snapshot;
mod transactions;
mod undo;

use std::collections::{BTreeMap, VecDeque};

use batch::{BatchInfo, ControlType, Marker};
pub use check::{ProducerError, Verdict};
pub use snapshot::SnapshotError;
use storage::AbortedTransaction;
use transactions::Transactions;
use undo::Undo;

/// How many of a producer's last batches are remembered, so that a retry of one of them is answered
/// with its first offset. Kafka's clients keep at most this many requests in flight when idempotent.
pub const REMEMBERED_BATCHES: usize = 5;

/// Epoch of the coordinator of a producer no marker has come for.
const NO_COORDINATOR: i32 = -1;

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
    /// Leader epoch of the coordinator that ended its last transaction here; -1 before the first.
    coordinator_epoch: i32,
    /// Oldest first, at most [`REMEMBERED_BATCHES`], all of `epoch`; empty if a marker began the epoch,
    /// or if the batches are those of a coordinator, which have no sequence numbers.
    batches: VecDeque<Written>,
    /// First offset of its open transaction.
    open: Option<i64>,
    /// When the producer last wrote, in milliseconds since 1970 by the broker's clock.
    last_used_ms: i64,
}

/// A producer as `DescribeProducers` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record, -1 if none is remembered.
    pub last_sequence: i32,
    /// When it last wrote, in milliseconds since 1970 by the broker's clock.
    pub last_used_ms: i64,
    /// Leader epoch of the coordinator that ended its last transaction here, -1 before the first.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub open: Option<i64>,
}

/// The producers of one log.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    by_id: BTreeMap<i64, Producer>,
    transactions: Transactions,
    undo: Undo,
}

/// The same producers are known, and the same of them; how to take back what came last doesn't count.
impl PartialEq for Producers {
    fn eq(&self, other: &Self) -> bool {
        self.by_id == other.by_id && self.transactions == other.transactions
    }
}

impl Eq for Producers {}

impl Producer {
    fn new(epoch: i16, now_ms: i64) -> Self {
        Self {
            epoch,
            coordinator_epoch: NO_COORDINATOR,
            batches: VecDeque::new(),
            open: None,
            last_used_ms: now_ms,
        }
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
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

    /// All producers, in order of their ids.
    pub fn describe(&self) -> impl Iterator<Item = Description> {
        self.by_id.iter().map(|(&producer_id, producer)| {
            let last = producer.batches.back();
            Description {
                producer_id,
                epoch: producer.epoch,
                last_sequence: last.map_or(batch::NO_SEQUENCE, |last| last.last_sequence),
                last_used_ms: producer.last_used_ms,
                coordinator_epoch: producer.coordinator_epoch,
                open: producer.open,
            }
        })
    }

    /// Takes note of a batch that is in the log now, at the offsets that `info` says. If it ended a
    /// transaction by giving it up, that is told.
    pub fn record(&mut self, info: &BatchInfo, now_ms: i64) -> Option<AbortedTransaction> {
        if info.producer_id < 0 {
            return None;
        }
        match info.marker {
            Some(marker) => self.end(info, marker, now_ms),
            None if info.attributes.is_control() => None,
            None => {
                self.write(info, now_ms);
                None
            }
        }
    }

    fn write(&mut self, info: &BatchInfo, now_ms: i64) {
        let id = info.producer_id;
        let begins = |open: Option<i64>| open.is_none() && info.attributes.is_transactional();
        let producer = match self.by_id.get_mut(&id) {
            Some(producer) if producer.epoch == info.producer_epoch => {
                let full = producer.batches.len() == REMEMBERED_BATCHES && info.base_sequence >= 0;
                let dropped = full.then(|| producer.batches.pop_front()).flatten();
                let began = begins(producer.open);
                self.undo.wrote(info, dropped, producer.last_used_ms, began);
                producer
            }
            known => {
                self.undo.replaced(info, known.as_deref());
                let fresh = || Producer::new(info.producer_epoch, now_ms);
                self.by_id.entry(id).or_insert_with(fresh)
            }
        };
        producer.enter_epoch(info.producer_epoch);
        if begins(producer.open) {
            producer.open = Some(info.base_offset);
            self.transactions.began(info.base_offset, id);
        }
        // What coordinators write in a transaction is not numbered.
        if info.base_sequence >= 0 {
            producer.batches.push_back(Written {
                first_sequence: info.base_sequence,
                last_sequence: info.last_sequence,
                base_offset: info.base_offset,
                last_offset: info.last_offset,
                timestamp: info.max_timestamp,
            });
        }
        producer.last_used_ms = now_ms;
    }

    fn end(&mut self, info: &BatchInfo, marker: Marker, now_ms: i64) -> Option<AbortedTransaction> {
        let id = info.producer_id;
        self.undo.replaced(info, self.by_id.get(&id));
        let fresh = || Producer::new(info.producer_epoch, now_ms);
        let producer = self.by_id.entry(id).or_insert_with(fresh);
        producer.enter_epoch(info.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_used_ms = now_ms;
        // One that ends nothing is in the log all the same: the coordinator wants to see its epoch kept.
        let first_offset = producer.open.take()?;
        let last_stable_offset = self.transactions.ended(first_offset, info.last_offset);
        (marker.outcome == ControlType::Abort).then_some(AbortedTransaction {
            producer_id: id,
            first_offset,
            last_offset: info.last_offset,
            last_stable_offset,
        })
    }

    /// The first offset of the oldest transaction that is open, or whose end isn't yet committed, if
    /// everything below `high_watermark` is.
    pub fn first_unstable(&self, high_watermark: i64) -> Option<i64> {
        self.transactions.first_unstable(high_watermark)
    }

    /// How many transactions are open.
    pub fn open_transactions(&self) -> usize {
        self.transactions.open_len()
    }

    /// Everything below `high_watermark` is committed: transactions that ended there are over. It comes
    /// back no further than the log is cut.
    pub fn committed(&mut self, high_watermark: i64) {
        self.transactions.committed(high_watermark);
    }

    /// What lies below `offset` will never be taken back by [`take_back`](Self::take_back).
    pub fn settled(&mut self, offset: i64) {
        self.undo.settled(offset);
    }

    /// Forgets what was written at `offset` and above, none of which was [settled](Self::settled): it was
    /// taken back from the log. All is as it was before, but for who has expired.
    pub fn take_back(&mut self, offset: i64) {
        while let Some((id, change)) = self.undo.last_from(offset) {
            let after = self.by_id.remove(&id);
            let before = change.before(after.clone());
            if let Some(open) = after.and_then(|producer| producer.open) {
                self.transactions.never_began(open);
            }
            if let Some(producer) = before {
                if let Some(open) = producer.open {
                    self.transactions.never_ended(open, id);
                }
                self.by_id.insert(id, producer);
            }
        }
    }

    /// Forgets producers that have been silent for `expiration_ms` (`producer.id.expiration.ms`) and have
    /// no transaction open.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id.retain(|_, producer| {
            let silent_ms = now_ms.saturating_sub(producer.last_used_ms);
            silent_ms < expiration_ms || producer.open.is_some()
        });
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;
