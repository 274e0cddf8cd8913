//! Which blocks of a file have room set aside, as sorted ranges that never touch.
//!
//! Owns the arithmetic of ranges. Must never know what the blocks hold.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of block numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extents {
    /// Start to end (exclusive); ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Extents {
    /// How many blocks are in the set.
    pub(crate) fn len(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// How many blocks of `range` are not in the set.
    pub(crate) fn missing(&self, range: &Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        let present: u64 = self.overlapping(range).map(|r| r.end - r.start).sum();
        width - present
    }

    /// The parts of `range` that are in the set.
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Range { start, end } = *range;
        self.ranges
            .range(..end)
            .rev()
            .take_while(move |(_, until)| **until > start)
            .map(move |(from, until)| (*from).max(start)..(*until).min(end))
            .filter(|r| r.start < r.end)
    }

    /// Adds `range`; tells how many blocks are new.
    pub(crate) fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.start >= range.end {
            return 0;
        }
        let new = self.missing(&range);
        let (mut start, mut end) = (range.start, range.end);
        // Every range that overlaps or touches is joined to the new one.
        while let Some((&from, &until)) = self.ranges.range(..=end).next_back() {
            if until < start {
                break;
            }
            start = start.min(from);
            end = end.max(until);
            self.ranges.remove(&from);
        }
        self.ranges.insert(start, end);
        new
    }

    /// Takes `range` out; tells how many blocks were there.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> u64 {
        let cut: Vec<Range<u64>> = self.overlapping(&range).collect();
        for part in &cut {
            // The stored range that holds this part: the last one starting at or before it.
            let Some((&from, &until)) = self.ranges.range(..=part.start).next_back() else {
                continue;
            };
            self.ranges.remove(&from);
            if from < part.start {
                self.ranges.insert(from, part.start);
            }
            if part.end < until {
                self.ranges.insert(part.end, until);
            }
        }
        cut.iter().map(|r| r.end - r.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut extents = Extents::default();
        assert_eq!(extents.insert(0..4), 4);
        assert_eq!(extents.insert(8..10), 2);
        assert_eq!(extents.insert(4..8), 4);
        assert_eq!(extents.ranges, BTreeMap::from([(0, 10)]));
        assert_eq!(extents.insert(5..12), 2);
        assert_eq!(extents.remove(2..3), 1);
        assert_eq!(extents.ranges, BTreeMap::from([(0, 2), (3, 12)]));
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..20), 0..60)) {
            let (mut extents, mut set) = (Extents::default(), BTreeSet::new());
            for (insert, start, width) in steps {
                let range = start..start + width;
                let held = range.clone().filter(|b| set.contains(b)).count() as u64;
                prop_assert_eq!(extents.missing(&range), width - held);
                if insert {
                    prop_assert_eq!(extents.insert(range.clone()), width - held);
                    set.extend(range);
                } else {
                    prop_assert_eq!(extents.remove(range.clone()), held);
                    set.retain(|b| !range.contains(b));
                }
                prop_assert_eq!(extents.len(), set.len() as u64);
            }
        }
    }
}
