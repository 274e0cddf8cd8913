//! Which part of a log is to be compacted, how urgently, and which segments are put together. Pure.

use std::ops::Range;

/// A closed segment, as far as these decisions need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) base_offset: i64,
    /// Where the next segment begins.
    pub(crate) next_base: i64,
    pub(crate) len: u64,
    /// Lengths of its index files, in bytes.
    pub(crate) index_bytes: u64,
}

/// The part of a log that can be compacted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compactable {
    /// Where the dirty part begins.
    pub from: i64,
    /// Where what may be compacted ends.
    pub upto: i64,
    /// Bytes before the dirty part.
    pub clean_bytes: u64,
    /// Bytes of the dirty part, up to where it may be compacted.
    pub dirty_bytes: u64,
    /// By how many milliseconds its oldest dirty record is over `max.compaction.lag.ms`; 0 if it isn't.
    pub overdue_ms: i64,
}

impl Compactable {
    /// The share of it that is dirty, as Kafka's `min.cleanable.dirty.ratio` counts.
    pub fn dirty_ratio(&self) -> f64 {
        let whole = self.clean_bytes.saturating_add(self.dirty_bytes);
        if whole == 0 {
            return 0.0;
        }
        self.dirty_bytes as f64 / whole as f64
    }

    /// Whether it is worth while: enough of it is dirty, or it can't wait any longer.
    pub fn is_due(&self, min_dirty_ratio: f64) -> bool {
        self.dirty_bytes > 0 && (self.overdue_ms > 0 || self.dirty_ratio() > min_dirty_ratio)
    }
}

/// Where the dirty part begins, of a log that was compacted up to `compacted`.
pub(crate) fn dirty_from(compacted: i64, start: i64, end: i64) -> i64 {
    if compacted > end {
        return start;
    }
    compacted.max(start)
}

/// How far a log may be compacted, by `upto`: segments are taken whole or not at all.
pub(crate) fn whole_segments(segments: &[Closed], upto: i64) -> i64 {
    let whole = segments.iter().take_while(|one| one.next_base <= upto);
    match whole.last() {
        Some(last) => last.next_base,
        None => segments.first().map_or(upto, |first| first.base_offset),
    }
}

/// Bytes before `from`, and bytes from there up to `upto`; a segment that `from` lies in counts as dirty.
pub(crate) fn sizes(segments: &[Closed], from: i64, upto: i64) -> (u64, u64) {
    let sum = |wanted: &dyn Fn(&&Closed) -> bool| {
        let wanted = segments.iter().filter(|one| wanted(one));
        wanted.map(|one| one.len).sum()
    };
    (
        sum(&|one| one.next_base <= from),
        sum(&|one| one.next_base > from && one.next_base <= upto),
    )
}

/// Puts segments that follow each other together, so that each group makes a segment of at most this many
/// bytes and index bytes, and of offsets that an index can tell apart.
pub(crate) fn groups(
    segments: &[Closed],
    most_bytes: u64,
    most_index_bytes: u64,
) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut first, mut bytes, mut index_bytes) = (0, 0_u64, 0_u64);
    for (at, one) in segments.iter().enumerate() {
        bytes = bytes.saturating_add(one.len);
        index_bytes = index_bytes.saturating_add(one.index_bytes);
        let span = one.next_base - segments[first].base_offset;
        let fits = bytes <= most_bytes
            && index_bytes <= most_index_bytes
            && span <= i64::from(i32::MAX) + 1;
        match groups.last_mut() {
            Some(open) if fits => open.end = at + 1,
            _ => {
                (first, bytes, index_bytes) = (at, one.len, one.index_bytes);
                groups.push(at..at + 1);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closed(base_offset: i64, next_base: i64, len: u64) -> Closed {
        Closed {
            base_offset,
            next_base,
            len,
            index_bytes: len / 100,
        }
    }

    #[test]
    fn the_dirty_part_begins_where_compaction_ended_within_the_log() {
        assert_eq!(dirty_from(50, 10, 100), 50);
        assert_eq!(dirty_from(5, 10, 100), 10);
        assert_eq!(dirty_from(101, 10, 100), 10, "another log had that offset");
    }

    #[test]
    fn segments_are_taken_whole() {
        let log = [
            closed(10, 20, 100),
            closed(20, 35, 100),
            closed(35, 40, 100),
        ];
        for (upto, expected) in [(9, 10), (19, 10), (20, 20), (34, 20), (35, 35), (90, 40)] {
            assert_eq!(whole_segments(&log, upto), expected, "{upto}");
        }
        assert_eq!(sizes(&log, 20, 40), (100, 200));
        assert_eq!(sizes(&log, 25, 35), (100, 100));
        assert_eq!(sizes(&log, 10, 10), (0, 0));
    }

    #[test]
    fn it_is_due_when_enough_is_dirty_or_time_is_up() {
        let mut part = Compactable {
            from: 10,
            upto: 40,
            clean_bytes: 50,
            dirty_bytes: 50,
            overdue_ms: 0,
        };
        assert!(!part.is_due(0.5) && part.is_due(0.49));
        part.overdue_ms = 1;
        assert!(part.is_due(1.0));
        part.dirty_bytes = 0;
        assert!(!part.is_due(0.0));
        part.clean_bytes = 0;
        assert!(!part.is_due(0.0), "there is nothing");
    }

    #[test]
    fn a_group_spans_no_more_offsets_than_an_index_can_tell() {
        let far = i64::from(i32::MAX);
        let log = [
            closed(0, far, 1),
            closed(far, far + 1, 1),
            closed(far + 1, far + 2, 1),
        ];
        assert_eq!(groups(&log, 100, 100), vec![0..2, 2..3]);
    }

    proptest! {
        #[test]
        fn groups_hold_all_and_keep_to_the_bounds(lens in proptest::collection::vec((1_i64..50, 0_u64..500), 0..40), most in 1_u64..1000) {
            let mut base = 0;
            let log: Vec<_> = lens.iter().map(|&(span, len)| {
                base += span;
                closed(base - span, base, len)
            }).collect();
            let groups = groups(&log, most, 8);
            let joined: Vec<usize> = groups.iter().cloned().flatten().collect();
            prop_assert_eq!(joined, (0..log.len()).collect::<Vec<_>>());
            for group in &groups {
                let bytes: u64 = log[group.clone()].iter().map(|one| one.len).sum();
                let index: u64 = log[group.clone()].iter().map(|one| one.index_bytes).sum();
                prop_assert!(group.len() == 1 || (bytes <= most && index <= 8));
            }
            for pair in groups.windows(2) {
                let both = &log[pair[0].start..=pair[1].start];
                let bytes: u64 = both.iter().map(|one| one.len).sum();
                let index: u64 = both.iter().map(|one| one.index_bytes).sum();
                prop_assert!(bytes > most || index > 8, "no group ends without need");
            }
        }
    }
}
