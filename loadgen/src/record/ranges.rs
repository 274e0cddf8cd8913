//! Sets of sequence numbers that mostly follow each other.

use serde::{Deserialize, Serialize};

/// Most ranges kept in one set.
const MOST: usize = 65_536;

/// A set of numbers, kept as ranges `from..to` in order. Memory is bounded: with too many holes the
/// oldest ranges are joined, and the numbers thus wrongly taken in are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    ranges: Vec<(u32, u32)>,
    joined: u64,
}

/// What adding one number found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It follows the greatest, or leaves a hole of so many before it.
    Ahead(u32),
    /// It is new, and less than the greatest.
    Late,
    /// It was there.
    Again,
}

impl Ranges {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one number.
    #[inline]
    pub(super) fn add(&mut self, number: u32) -> Added {
        if let Some((_, to)) = self.ranges.last_mut() {
            if *to == number {
                *to += 1;
                return Added::Ahead(0);
            }
        } else {
            self.ranges.push((number, number + 1));
            return Added::Ahead(number);
        }
        self.add_elsewhere(number)
    }

    fn add_elsewhere(&mut self, number: u32) -> Added {
        let greatest = self.end();
        if number > greatest {
            self.ranges.push((number, number + 1));
            self.bound();
            return Added::Ahead(number - greatest);
        }
        if self.contains(number) {
            return Added::Again;
        }
        self.insert(number, number + 1);
        Added::Late
    }

    /// Adds `from..to`.
    pub fn insert(&mut self, from: u32, to: u32) {
        if from >= to {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.1 == from => {
                last.1 = to;
                return;
            }
            Some(last) if last.1 > from => {}
            _ => {
                self.ranges.push((from, to));
                self.bound();
                return;
            }
        }
        // The ranges that touch it become one with it.
        let first = self.ranges.partition_point(|range| range.1 < from);
        let after = self.ranges.partition_point(|range| range.0 <= to);
        let whole = self.ranges[first..after]
            .iter()
            .fold((from, to), |whole, range| {
                (whole.0.min(range.0), whole.1.max(range.1))
            });
        self.ranges.splice(first..after, [whole]);
        self.bound();
    }

    fn bound(&mut self) {
        while self.ranges.len() > MOST {
            let (from, to) = self.ranges.remove(0);
            self.joined += u64::from(self.ranges[0].0 - to);
            self.ranges[0].0 = from;
        }
    }

    /// Whether it is there.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.1 <= number);
        self.ranges.get(at).is_some_and(|range| range.0 <= number)
    }

    /// One more than the greatest.
    pub fn end(&self) -> u32 {
        self.ranges.last().map_or(0, |range| range.1)
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| u64::from(range.1 - range.0))
            .sum()
    }

    /// How many numbers were taken in without having been added, to bound memory.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.ranges.iter().copied()
    }

    /// What is here and not there.
    pub fn without(&self, there: &Self) -> Self {
        let mut left = Self::new();
        let mut others = there.ranges.iter().copied().peekable();
        for (mut from, to) in self.iter() {
            while let Some(&(start, end)) = others.peek() {
                if end <= from {
                    others.next();
                } else if start >= to {
                    break;
                } else {
                    left.insert(from, start.max(from));
                    from = end.min(to);
                    if end > to {
                        break;
                    }
                    others.next();
                }
            }
            left.insert(from, to);
        }
        left
    }

    /// Adds all of `other`, and says how many were here already.
    pub fn merge(&mut self, other: &Self) -> u64 {
        let before = self.count() + other.count();
        for (from, to) in other.iter() {
            self.insert(from, to);
        }
        self.joined += other.joined;
        before.saturating_sub(self.count())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Added, MOST, Ranges};

    fn all(ranges: &Ranges) -> BTreeSet<u32> {
        ranges.iter().flat_map(|(from, to)| from..to).collect()
    }

    proptest! {
        #[test]
        fn is_the_set_of_what_was_added(
            ones in prop::collection::vec(0u32..200, 0..200),
            spans in prop::collection::vec((0u32..200, 0u32..20), 0..50),
        ) {
            let (mut left, mut left_set) = (Ranges::new(), BTreeSet::new());
            for one in ones {
                let greatest = left_set.last().copied();
                let known = left_set.contains(&one);
                let added = left.add(one);
                prop_assert_eq!(added == Added::Again, known);
                prop_assert_eq!(added == Added::Late, !known && greatest > Some(one));
                left_set.insert(one);
                prop_assert_eq!(all(&left), left_set.clone());
            }
            let (mut right, mut right_set) = (Ranges::new(), BTreeSet::new());
            for (from, len) in spans {
                right.insert(from, from + len);
                right_set.extend(from..from + len);
                prop_assert_eq!(all(&right), right_set.clone());
                prop_assert!(right.ranges.windows(2).all(|two| two[0].1 < two[1].0));
            }
            let less: BTreeSet<u32> = left_set.difference(&right_set).copied().collect();
            prop_assert_eq!(all(&left.without(&right)), less);
            let both = left_set.intersection(&right_set).count() as u64;
            prop_assert_eq!(left.merge(&right), both);
            prop_assert_eq!(left.count(), left_set.union(&right_set).count() as u64);
        }
    }

    #[test]
    fn is_bounded() {
        let mut ranges = Ranges::new();
        for number in 0..MOST as u32 + 100 {
            ranges.add(number * 2);
        }
        assert_eq!(ranges.ranges.len(), MOST);
        assert_eq!(ranges.joined(), 100);
        assert_eq!(ranges.count(), MOST as u64 + 200);
    }
}
