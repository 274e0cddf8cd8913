//! Which part of a log is to be compacted, how urgently, and which segments are put together. Pure.

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

/// What a new segment has been given by now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growing {
    pub(crate) base_offset: i64,
    /// Bytes written to it.
    pub(crate) len: u64,
    /// Length of the longer of its indexes, in bytes.
    pub(crate) index_bytes: u64,
}

/// Whether what is left of the next segment surely fits, too: into so many bytes and index bytes, and into the
/// offsets that an index can tell apart.
pub(crate) fn fits(
    growing: Growing,
    next: &Closed,
    most_bytes: u64,
    most_index_bytes: u64,
) -> bool {
    growing.len.saturating_add(next.len) <= most_bytes
        && growing.index_bytes.saturating_add(next.index_bytes) <= most_index_bytes
        && next.next_base - growing.base_offset <= i64::from(i32::MAX) + 1
}

#[cfg(test)]
mod tests {
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
    fn segments_are_joined_as_far_as_they_fit() {
        let growing = Growing {
            base_offset: 0,
            len: 600,
            index_bytes: 6,
        };
        let fits = |next: Closed| fits(growing, &next, 1000, 10);
        assert!(fits(closed(10, 20, 400)));
        assert!(!fits(closed(10, 20, 401)), "bytes");
        let indexed = |index_bytes| Closed {
            index_bytes,
            ..closed(10, 20, 100)
        };
        assert!(fits(indexed(4)) && !fits(indexed(5)), "index bytes");
        let last = i64::from(i32::MAX) + 1;
        assert!(fits(closed(10, last, 100)));
        assert!(!fits(closed(10, last + 1, 100)), "offsets");
    }
}
