//! Which transactions hold the last stable offset back: those that are open, and those whose end lies
//! above the high watermark, where it may yet be taken back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The transactions of one log that are not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transactions {
    /// Producers with an open transaction, by its first offset.
    open: BTreeMap<i64, i64>,
    /// First offset and marker of those that have ended, in order of the markers.
    ended: VecDeque<(i64, i64)>,
    /// First offsets of those.
    ended_firsts: BTreeSet<i64>,
}

impl Transactions {
    pub(super) fn began(&mut self, first_offset: i64, producer_id: i64) {
        self.open.insert(first_offset, producer_id);
    }

    /// Gives back the last stable offset as of this end.
    pub(super) fn ended(&mut self, first_offset: i64, marker: i64) -> i64 {
        self.open.remove(&first_offset);
        self.ended.push_back((first_offset, marker));
        self.ended_firsts.insert(first_offset);
        let next = self.open.first_key_value();
        next.map_or(marker + 1, |(&first, _)| first)
    }

    /// The records that began it were taken back.
    pub(super) fn never_began(&mut self, first_offset: i64) {
        self.open.remove(&first_offset);
    }

    /// It is open after all: either it always was, or the marker that came last was taken back.
    pub(super) fn never_ended(&mut self, first_offset: i64, producer_id: i64) {
        self.open.insert(first_offset, producer_id);
        if self.ended_firsts.remove(&first_offset) {
            self.ended.retain(|&(first, _)| first != first_offset);
        }
    }

    pub(super) fn first_unstable(&self, high_watermark: i64) -> Option<i64> {
        let open = self.open.first_key_value().map(|(&first, _)| first);
        // They are kept only as long as they are not committed, so nearly always all of them count.
        let ended = match self.ended.front() {
            Some(&(_, marker)) if marker < high_watermark => {
                let mut above = self.ended.iter().filter(|(_, m)| *m >= high_watermark);
                above.by_ref().map(|&(first, _)| first).min()
            }
            _ => self.ended_firsts.first().copied(),
        };
        open.into_iter().chain(ended).min()
    }

    pub(super) fn committed(&mut self, high_watermark: i64) {
        while let Some(&(first, marker)) = self.ended.front()
            && marker < high_watermark
        {
            self.ended.pop_front();
            self.ended_firsts.remove(&first);
        }
    }

    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// First offset and marker of those that have ended, in order of the markers.
    pub(super) fn ended_ones(&self) -> impl ExactSizeIterator<Item = (i64, i64)> {
        self.ended.iter().copied()
    }

    /// One of [`ended_ones`](Self::ended_ones) again.
    pub(super) fn restore_ended(&mut self, first_offset: i64, marker: i64) {
        self.ended.push_back((first_offset, marker));
        self.ended_firsts.insert(first_offset);
    }
}
