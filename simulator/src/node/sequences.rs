//! What a replica knows of idempotent producers: their last sequences, from the records of its log.

use std::collections::BTreeMap;

use replica::LogView;

use crate::log::{Log, Record};

/// The last records of one producer: sequence and offset.
type Known = BTreeMap<u64, i64>;

/// Records of a producer that are remembered.
const KNOWN_MAX: usize = 64;

/// What a batch is to what was appended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It comes next.
    Next,
    /// It is there already, and ends before this offset.
    Known { end: i64 },
    /// Something is missing between.
    Gap,
}

/// The producers of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences(BTreeMap<u32, Known>);

impl Sequences {
    /// Those of the records in a log.
    pub(crate) fn of(log: &Log) -> Self {
        let mut sequences = Self::default();
        for (offset, &record) in (log.start()..).zip(log.read(log.start(), log.end())) {
            sequences.note(record, offset);
        }
        sequences
    }

    /// A record is appended.
    pub(crate) fn note(&mut self, record: Record, offset: i64) {
        let known = self.0.entry(record.producer).or_default();
        known.insert(record.sequence, offset);
        if known.len() > KNOWN_MAX {
            known.pop_first();
        }
    }

    /// Where a batch belongs. As with Kafka, any may come next of a producer that isn't known.
    pub(crate) fn place(&self, producer: u32, sequence: u64) -> Place {
        let Some(known) = self.0.get(&producer) else {
            return Place::Next;
        };
        let next = known.last_key_value().map_or(0, |(last, _)| last + 1);
        if sequence == next {
            return Place::Next;
        }
        match known.get(&sequence) {
            Some(&last) => Place::Known { end: last + 1 },
            None => Place::Gap,
        }
    }
}
