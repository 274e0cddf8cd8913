//! Leader epochs of a log: which epoch began at which offset. Pure.
//!
//! Stored as Kafka's `leader-epoch-checkpoint`. The entries can be had again from the batches'
//! headers, so the file may lag behind the log.

use std::fmt::Write as _;

/// Answer of [`EpochCache::end_of`] where an epoch isn't known.
pub(crate) const UNDEFINED: (i32, i64) = (-1, -1);

/// One epoch and the offset it began at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: i32,
    pub(crate) offset: i64,
}

/// The epochs of a log. Invariant: both epoch and offset grow from entry to entry (offsets may
/// stay equal only by the epoch that came to nothing being replaced).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochCache {
    entries: Vec<EpochStart>,
}

/// Why a checkpoint file was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a leader epoch checkpoint of version 0")]
pub(crate) struct BadEpochs;

impl EpochCache {
    /// Reads Kafka's text.
    pub(crate) fn decode(text: &[u8]) -> Result<Self, BadEpochs> {
        let text = std::str::from_utf8(text).map_err(|_| BadEpochs)?;
        let mut lines = text.lines();
        let version = lines.next().ok_or(BadEpochs)?;
        let count = lines
            .next()
            .and_then(|line| line.trim().parse::<usize>().ok());
        let count = count.ok_or(BadEpochs)?;
        if version.trim() != "0" {
            return Err(BadEpochs);
        }
        let mut cache = Self::default();
        for line in lines {
            let (epoch, offset) = line.trim().split_once(' ').ok_or(BadEpochs)?;
            let epoch = epoch.parse().map_err(|_| BadEpochs)?;
            let offset = offset.parse().map_err(|_| BadEpochs)?;
            cache.assign(epoch, offset);
        }
        if cache.entries.len() == count {
            Ok(cache)
        } else {
            Err(BadEpochs)
        }
    }

    /// Kafka's text.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", entry.epoch, entry.offset);
        }
        text.into_bytes()
    }

    /// Notes that `epoch` begins at `offset`. Older or equal epochs than the latest change nothing.
    /// Says whether anything changed.
    pub(crate) fn assign(&mut self, epoch: i32, offset: i64) -> bool {
        if epoch < 0 || offset < 0 || self.latest().is_some_and(|latest| epoch <= latest) {
            return false;
        }
        // An epoch without a record of its own is no longer of use.
        while self
            .entries
            .last()
            .is_some_and(|last| last.offset >= offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, offset });
        true
    }

    /// The latest epoch.
    pub(crate) fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The greatest epoch not above `epoch`, and where it ends: where the next begins, or at
    /// `log_end` for the latest. Kafka's OffsetForLeaderEpoch.
    pub(crate) fn end_of(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        if epoch < 0 {
            return UNDEFINED;
        }
        if self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let Some(next) = self.entries.get(above) else {
            return UNDEFINED;
        };
        match above.checked_sub(1).and_then(|at| self.entries.get(at)) {
            Some(floor) => (floor.epoch, next.offset),
            None => (epoch, next.offset),
        }
    }

    /// Forgets what begins at `end` or later.
    pub(crate) fn truncate_end(&mut self, end: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.offset < end);
        before != self.entries.len()
    }

    /// Forgets what ends before `start`; the epoch at `start` now begins there.
    pub(crate) fn truncate_start(&mut self, start: i64) -> bool {
        let below = self.entries.partition_point(|entry| entry.offset <= start);
        let Some(keep) = below.checked_sub(1) else {
            return false;
        };
        let unchanged = keep == 0 && self.entries.first().is_some_and(|e| e.offset == start);
        if unchanged {
            return false;
        }
        self.entries.drain(..keep);
        if let Some(first) = self.entries.first_mut() {
            first.offset = start;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for &(epoch, offset) in entries {
            cache.assign(epoch, offset);
        }
        cache
    }

    #[test]
    fn the_end_of_an_epoch_is_as_kafka_answers() {
        let epochs = cache(&[(2, 0), (4, 10), (7, 25)]);
        for (asked, answer) in [
            (-1, (-1, -1)),
            (0, (0, 0)),
            (2, (2, 10)),
            (3, (2, 10)),
            (4, (4, 25)),
            (6, (4, 25)),
            (7, (7, 40)),
            (8, (-1, -1)),
        ] {
            assert_eq!(epochs.end_of(asked, 40), answer, "epoch {asked}");
        }
        assert_eq!(EpochCache::default().end_of(0, 0), UNDEFINED);
    }

    #[test]
    fn an_epoch_without_records_is_replaced() {
        let mut epochs = cache(&[(1, 0), (2, 10)]);
        assert!(epochs.assign(3, 10));
        assert!(!epochs.assign(3, 12));
        assert!(!epochs.assign(2, 12));
        assert_eq!(epochs, cache(&[(1, 0), (3, 10)]));
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut epochs = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(epochs.truncate_start(15));
        assert_eq!(epochs, cache(&[(2, 15), (3, 20)]));
        assert!(!epochs.truncate_start(15));
        assert!(epochs.truncate_end(20));
        assert_eq!(epochs, cache(&[(2, 15)]));
        assert!(!epochs.truncate_end(20));
        assert!(!epochs.truncate_start(3));
    }

    #[test]
    fn kafkas_text_is_read_and_written() {
        let epochs = cache(&[(0, 0), (3, 120)]);
        assert_eq!(epochs.encode(), b"0\n2\n0 0\n3 120\n");
        assert_eq!(EpochCache::decode(b"0\n2\n0 0\n3 120\n"), Ok(epochs));
        assert_eq!(EpochCache::decode(b"0\n0\n"), Ok(EpochCache::default()));
        for bad in [
            "",
            "0\n",
            "1\n0\n",
            "0\n2\n0 0\n",
            "0\n1\n0-0\n",
            "0\n1\nx 0\n",
        ] {
            assert_eq!(
                EpochCache::decode(bad.as_bytes()),
                Err(BadEpochs),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_survives(pairs in proptest::collection::vec((0..50_i32, 0..1000_i64), 0..20)) {
            let epochs = cache(&pairs);
            prop_assert_eq!(EpochCache::decode(&epochs.encode()), Ok(epochs));
        }

        #[test]
        fn entries_grow(pairs in proptest::collection::vec((0..50_i32, 0..1000_i64), 0..20)) {
            let epochs = cache(&pairs);
            prop_assert!(epochs.entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.offset < b.offset));
        }
    }
}
