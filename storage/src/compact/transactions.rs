//! Transactions as compaction meets them: records of those that were given up go, a marker stays as long as
//! there may be records of its transaction. Pure.
//!
//! One walk over a log, from its start on, in order.

use std::collections::{BTreeMap, BTreeSet};

use batch::{Batch, ControlType, DecompressLimit};

use crate::aborted::AbortedTransaction;

/// Where a producer that may go on writes on: what a log must keep of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWritten {
    /// Offset of its last record, which says its last sequence number; none if it only has a marker.
    pub last_offset: Option<i64>,
    /// Its epoch.
    pub epoch: i16,
}

/// The producers of a log that are not forgotten, by their ids.
pub type Writers = BTreeMap<i64, LastWritten>;

/// What is to become of a batch, apart from its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its records don't count: they were given up, or they are a marker that nothing is left for.
    pub(crate) void: bool,
    /// It is a marker.
    pub(crate) control: bool,
    /// If no record of it stays, an empty batch does.
    pub(crate) holds_place: bool,
}

/// One walk over the batches of a log.
#[derive(Debug)]
pub(crate) struct Walked<'a> {
    writers: &'a Writers,
    /// By producer and first offset, the marker's offset.
    aborted: BTreeMap<(i64, i64), i64>,
    /// Producers of which a batch of another transaction was met since their last marker.
    open: BTreeSet<i64>,
}

impl<'a> Walked<'a> {
    /// `aborted` are all of the log's index that have a record or their marker in the part that is walked over.
    pub(crate) fn new(writers: &'a Writers, aborted: &[AbortedTransaction]) -> Self {
        let entry =
            |one: &AbortedTransaction| ((one.producer_id, one.first_offset), one.last_offset);
        Self {
            writers,
            aborted: aborted.iter().map(entry).collect(),
            open: BTreeSet::new(),
        }
    }

    /// Judges the next batch.
    pub(crate) fn next(&mut self, batch: &Batch<'_>) -> Verdict {
        let attributes = batch.attributes();
        let control = attributes.is_control();
        let void = if control {
            self.marker(batch)
        } else {
            attributes.is_transactional() && self.is_aborted(batch)
        };
        Verdict {
            void,
            control,
            holds_place: self.is_last_of_producer(batch),
        }
    }

    /// Whether nothing is left that the marker is about.
    fn marker(&mut self, batch: &Batch<'_>) -> bool {
        let producer = batch.producer_id();
        let records = batch.records(DecompressLimit::bytes(0));
        let first = records.as_ref().ok().and_then(|records| {
            let first = records.iter().next()?.ok()?;
            Some(first.control())
        });
        match first {
            // Emptied before, so it said nothing any more.
            None => true,
            // Of a kind that isn't known.
            Some(None) => false,
            Some(Some(ControlType::Commit)) => !self.open.remove(&producer),
            Some(Some(ControlType::Abort)) => {
                // What the index has needs its marker, for readers who skip up to there; and what wasn't told
                // is not guessed: as long as there are batches, there is the marker.
                let met = self.open.remove(&producer);
                !met && !self.is_known(producer, batch.last_offset())
            }
        }
    }

    fn is_aborted(&mut self, batch: &Batch<'_>) -> bool {
        let known = self.is_known(batch.producer_id(), batch.last_offset());
        if !known {
            self.open.insert(batch.producer_id());
        }
        known
    }

    /// Whether the index has an aborted transaction of this producer's that holds the offset.
    fn is_known(&self, producer: i64, offset: i64) -> bool {
        let mut before = self
            .aborted
            .range((producer, i64::MIN)..=(producer, offset));
        before.next_back().is_some_and(|(_, &last)| offset <= last)
    }

    fn is_last_of_producer(&self, batch: &Batch<'_>) -> bool {
        let known = self.writers.get(&batch.producer_id());
        known.is_some_and(|known| match known.last_offset {
            Some(last) => batch.last_offset() == last,
            None => batch.attributes().is_control() && batch.producer_epoch() == known.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use batch::{Builder, Compression, NewRecord};
    use bytes::Bytes;

    use super::*;

    fn data(offset: i64, producer: i64) -> Bytes {
        let record = NewRecord {
            key: Some(b"k"),
            ..NewRecord::default()
        };
        let builder = Builder::new(Compression::None).base_offset(offset);
        let builder = builder.producer(producer, 0, 0).transactional();
        builder.record(record).build().unwrap()
    }

    fn marker(offset: i64, producer: i64, outcome: ControlType) -> Bytes {
        let builder = Builder::end_transaction(outcome, producer, 0, 0, 0).base_offset(offset);
        builder.build().unwrap()
    }

    fn void(aborted: &[AbortedTransaction], batches: &[Bytes]) -> Vec<bool> {
        let writers = Writers::new();
        let mut walked = Walked::new(&writers, aborted);
        let judge = |bytes: &Bytes| walked.next(&Batch::parse(bytes).unwrap()).void;
        batches.iter().map(judge).collect()
    }

    const ABORT: ControlType = ControlType::Abort;
    const COMMIT: ControlType = ControlType::Commit;

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: last_offset + 1,
        }
    }

    #[test]
    fn records_that_were_given_up_go_before_their_marker() {
        let known = [aborted(1, 0, 3)];
        let log = [data(0, 1), data(1, 2), data(2, 1), marker(3, 1, ABORT)];
        assert_eq!(void(&known, &log), [true, false, true, false]);
        // As long as the index has it, readers rely on the marker.
        let log = [data(1, 2), marker(3, 1, ABORT), data(4, 1)];
        assert_eq!(void(&known, &log), [false, false, false]);
        assert_eq!(void(&[], &log), [false, true, false]);
    }

    #[test]
    fn a_commit_stays_as_long_as_its_records() {
        let log = [data(0, 1), marker(1, 1, COMMIT), marker(2, 1, COMMIT)];
        assert_eq!(void(&[], &log), [false, false, true]);
    }

    #[test]
    fn an_abort_that_nobody_told_of_keeps_its_marker() {
        let log = [data(0, 1), marker(1, 1, ABORT), marker(2, 1, ABORT)];
        assert_eq!(void(&[], &log), [false, false, true]);
    }

    #[test]
    fn transactions_of_one_producer_are_told_apart() {
        let known = [aborted(1, 2, 3)];
        let log = [
            data(0, 1),
            marker(1, 1, COMMIT),
            data(2, 1),
            marker(3, 1, ABORT),
            data(4, 1),
            marker(5, 1, COMMIT),
            marker(9, 1, ABORT),
        ];
        let expected = [false, false, true, false, false, false, true];
        assert_eq!(void(&known, &log), expected);
    }

    #[test]
    fn an_emptied_marker_says_nothing_and_a_new_kind_is_left_alone() {
        let emptied = batch::emptied(&Batch::parse(&marker(0, 1, COMMIT)).unwrap()).unwrap();
        let record = NewRecord {
            key: Some(&[0, 0, 0, 9]),
            value: Some(&[0; 6]),
            ..NewRecord::default()
        };
        let other = Builder::new(Compression::None).base_offset(1).control();
        let other = other.record(record).build().unwrap();
        assert_eq!(void(&[], &[emptied, other]), [true, false]);
    }

    #[test]
    fn the_last_batch_of_each_live_producer_holds_its_place() {
        let last = |last_offset| LastWritten {
            last_offset,
            epoch: 0,
        };
        let writers = Writers::from([(1, last(Some(2))), (2, last(None)), (3, last(Some(9)))]);
        let log = [
            data(0, 1),
            data(2, 1),
            marker(3, 2, COMMIT),
            data(4, 2),
            data(5, 3),
        ];
        let mut walked = Walked::new(&writers, &[]);
        let judge = |bytes: &Bytes| walked.next(&Batch::parse(bytes).unwrap()).holds_place;
        let held: Vec<_> = log.iter().map(judge).collect();
        assert_eq!(held, [false, true, true, false, false]);
    }
}
