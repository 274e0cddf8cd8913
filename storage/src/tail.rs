//! The hot end of one log: the newest batches, in the bytes they came in. Pure.
//!
//! Invariants: batches follow each other by offset; the written ones come before those that are
//! not; only written ones are ever let go.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::budget::BATCH_OVERHEAD;

/// One batch of the tail.
#[derive(Clone, Debug)]
pub(crate) struct TailBatch {
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) max_timestamp: i64,
    /// Base offset of the segment it goes to.
    pub(crate) segment: i64,
    /// Its place among all that was appended on the shard.
    pub(crate) place: u64,
    pub(crate) bytes: Bytes,
}

impl TailBatch {
    /// What it costs of the budget.
    pub(crate) fn charge(&self) -> usize {
        self.bytes.len() + BATCH_OVERHEAD
    }
}

/// What a look into the tail gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TailRead {
    /// These whole batches, and the place of the first.
    Batches(Vec<Bytes>, u64),
    /// The offset lies below the tail.
    Below,
}

/// What completing a write changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Completed {
    /// Next offset after the last batch that is now whole on the drive.
    pub(crate) next_offset: Option<i64>,
    /// Greatest timestamp of those batches, and the last offset of the first batch that has it.
    pub(crate) newest: Option<(i64, i64)>,
    /// What those batches were charged.
    pub(crate) charged: usize,
}

/// The newest batches of a log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
    /// Place of the first batch that is not wholly written.
    unwritten: usize,
    /// Bytes of that batch that are written already.
    part: usize,
    /// Bytes not written.
    backlog: usize,
}

impl Tail {
    /// Bytes not written yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog
    }

    /// Bytes written of a batch that is not wholly written.
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    /// Adds a batch.
    pub(crate) fn push(&mut self, batch: TailBatch) {
        let last = self.batches.back();
        assert!(last.is_none_or(|last| last.next_offset <= batch.base_offset));
        self.backlog += batch.bytes.len();
        self.batches.push_back(batch);
    }

    /// The segment the next byte to write goes to.
    pub(crate) fn next_segment(&self) -> Option<i64> {
        self.batches.get(self.unwritten).map(|batch| batch.segment)
    }

    /// Bytes not written that go to the same segment, up to `max`.
    pub(crate) fn writable(&self, max: usize) -> usize {
        let mut bytes = 0;
        let mut skip = self.part;
        let segment = self.next_segment();
        for batch in self.batches.range(self.unwritten..) {
            if Some(batch.segment) != segment || bytes >= max {
                break;
            }
            bytes += batch.bytes.len() - skip;
            skip = 0;
        }
        bytes.min(max)
    }

    /// Copies the next bytes to write; `into` must not be longer than [`Self::writable`].
    pub(crate) fn gather(&self, mut into: &mut [u8]) {
        let mut skip = self.part;
        for batch in self.batches.range(self.unwritten..) {
            if into.is_empty() {
                return;
            }
            let from = &batch.bytes[skip..];
            let count = from.len().min(into.len());
            let (head, rest) = into.split_at_mut(count);
            head.copy_from_slice(&from[..count]);
            into = rest;
            skip = 0;
        }
        assert!(into.is_empty(), "no more is gathered than is there");
    }

    /// Notes that the next `bytes` bytes were written.
    pub(crate) fn complete(&mut self, mut bytes: usize) -> Completed {
        let mut done = Completed::default();
        assert!(bytes <= self.backlog, "no more is written than is there");
        self.backlog -= bytes;
        while bytes > 0 {
            let batch = &self.batches[self.unwritten];
            let left = batch.bytes.len() - self.part;
            if bytes < left {
                self.part += bytes;
                break;
            }
            bytes -= left;
            self.part = 0;
            self.unwritten += 1;
            done.next_offset = Some(batch.next_offset);
            done.charged += batch.charge();
            if done
                .newest
                .is_none_or(|(newest, _)| batch.max_timestamp > newest)
            {
                done.newest = Some((batch.max_timestamp, batch.next_offset - 1));
            }
        }
        done
    }

    /// Lets go of written batches that end at or before `upto`; gives back what they were charged.
    pub(crate) fn evict(&mut self, upto: i64) -> usize {
        let mut freed = 0;
        while self.holds(upto) {
            let batch = self.batches.pop_front();
            freed += batch.map_or(0, |batch| batch.charge());
            self.unwritten -= 1;
        }
        freed
    }

    /// Whether it has a written batch that ends at or before `upto`.
    pub(crate) fn holds(&self, upto: i64) -> bool {
        self.unwritten > 0 && self.batches.front().is_some_and(|b| b.next_offset <= upto)
    }

    /// Drops what is not wholly written; gives back what it was charged.
    pub(crate) fn take_back(&mut self) -> usize {
        let dropped = self.batches.drain(self.unwritten..);
        let freed = dropped.map(|batch| batch.charge()).sum();
        self.part = 0;
        self.backlog = 0;
        freed
    }

    /// Whole batches from the one that holds `from`, all ending at or before `upto`, up to `max`
    /// bytes; the first one even if it is larger, where `at_least_one`.
    pub(crate) fn read(&self, from: i64, upto: i64, max: usize, at_least_one: bool) -> TailRead {
        match self.batches.front() {
            Some(first) if first.base_offset <= from => {}
            _ => return TailRead::Below,
        }
        let start = self
            .batches
            .partition_point(|batch| batch.next_offset <= from);
        let mut found = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.range(start..) {
            let free_first = at_least_one && found.is_empty();
            if batch.next_offset > upto || (bytes + batch.bytes.len() > max && !free_first) {
                break;
            }
            bytes += batch.bytes.len();
            found.push(batch.bytes.clone());
        }
        let first = self.batches.get(start);
        TailRead::Batches(found, first.map_or(u64::MAX, |batch| batch.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(base: i64, next: i64, segment: i64, len: usize) -> TailBatch {
        TailBatch {
            base_offset: base,
            next_offset: next,
            max_timestamp: next * 10,
            segment,
            place: 0,
            bytes: Bytes::from(vec![base as u8; len]),
        }
    }

    fn lens(read: TailRead) -> Vec<usize> {
        match read {
            TailRead::Batches(batches, _) => batches.iter().map(Bytes::len).collect(),
            TailRead::Below => panic!("below the tail"),
        }
    }

    #[test]
    fn reads_are_cut_at_whole_batches() {
        let mut tail = Tail::default();
        tail.push(batch(10, 12, 0, 100));
        tail.push(batch(12, 15, 0, 200));
        tail.push(batch(15, 16, 0, 300));
        assert_eq!(tail.read(9, 16, 1000, true), TailRead::Below);
        assert_eq!(lens(tail.read(11, 16, 1000, true)), [100, 200, 300]);
        assert_eq!(lens(tail.read(12, 16, 1000, true)), [200, 300]);
        assert_eq!(lens(tail.read(12, 15, 1000, true)), [200]);
        assert_eq!(lens(tail.read(10, 16, 299, true)), [100]);
        assert_eq!(lens(tail.read(10, 16, 300, true)), [100, 200]);
        assert_eq!(lens(tail.read(13, 16, 0, true)), [200]);
        assert_eq!(lens(tail.read(13, 16, 199, false)), [0; 0]);
        assert_eq!(lens(tail.read(13, 14, 1000, true)), [0; 0]);
    }

    #[test]
    fn writes_stay_within_a_segment_and_may_cut_a_batch() {
        let mut tail = Tail::default();
        tail.push(batch(1, 2, 0, 100));
        tail.push(batch(2, 3, 0, 100));
        tail.push(batch(3, 4, 3, 100));
        assert_eq!(tail.writable(1000), 200);
        let mut out = vec![0; 150];
        tail.gather(&mut out);
        assert_eq!((out[99], out[100]), (1, 2));
        let done = tail.complete(150);
        assert_eq!((done.next_offset, tail.backlog()), (Some(2), 150));
        assert_eq!(tail.writable(1000), 50);
        let done = tail.complete(50);
        assert_eq!(done.next_offset, Some(3));
        assert_eq!(tail.next_segment(), Some(3));
        assert_eq!(tail.evict(4), 2 * (100 + BATCH_OVERHEAD));
        assert_eq!(tail.evict(4), 0, "what is not written stays");
        assert_eq!(tail.take_back(), 100 + BATCH_OVERHEAD);
        assert_eq!((tail.next_segment(), tail.backlog()), (None, 0));
    }

    proptest! {
        #[test]
        fn every_byte_is_written_once(lens in proptest::collection::vec(1..300_usize, 1..30), step in 1..500_usize) {
            let mut tail = Tail::default();
            let mut expected = Vec::new();
            for (at, &len) in lens.iter().enumerate() {
                let at = at as i64;
                let batch = batch(at, at + 1, at / 7 * 7, len);
                expected.extend_from_slice(&batch.bytes);
                tail.push(batch);
            }
            let (mut written, mut last) = (Vec::new(), None);
            while tail.next_segment().is_some() {
                let count = tail.writable(step);
                prop_assert!(count > 0 && count <= step);
                let mut out = vec![0; count];
                tail.gather(&mut out);
                written.extend_from_slice(&out);
                last = tail.complete(count).next_offset.or(last);
            }
            prop_assert_eq!(written, expected);
            prop_assert_eq!(last, Some(lens.len() as i64));
            prop_assert_eq!(tail.backlog(), 0);
        }
    }
}
