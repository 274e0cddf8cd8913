//! How much of what was written a shard's tails keep in memory. Pure.
//!
//! As much as readers use: someone at the end of a log needs next to nothing, someone who is behind
//! needs what was appended since. Memory that nobody reads from is not free either: records come into
//! memory that the processor and the system still know, or into memory they must fetch and clear
//! first, which costs more than all else that is done with a record.
//!
//! Depths are counted in bytes appended on the shard, over all its logs.

/// What is kept where nobody is behind, in bytes: a moment's records, and well within the caches of a
/// processor.
const LEAST: usize = 16 << 20;

/// The amount kept, as it follows what readers do.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    limit: usize,
    kept: usize,
    /// All that was ever appended.
    appended: u64,
    /// The deepest read since the last judgement.
    deepest: u64,
    /// How much had been appended by the last judgement, and by the last growth.
    judged: u64,
    grown: u64,
}

impl Keep {
    /// Never more than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: LEAST.min(limit),
            appended: 0,
            deepest: 0,
            judged: 0,
            grown: 0,
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        *self = Self {
            appended: self.appended,
            judged: self.appended,
            ..Self::new(limit)
        };
    }

    /// Bytes to keep now.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// The place of what is appended next.
    pub(crate) fn place(&self) -> u64 {
        self.appended
    }

    /// Notes that so much was appended. What is kept shrinks, by half at most, when several times as
    /// much has been appended and nobody read so deep.
    pub(crate) fn appended(&mut self, bytes: usize) {
        self.appended += bytes as u64;
        if self.appended - self.judged < 4 * self.kept as u64 {
            return;
        }
        let used = usize::try_from(self.deepest.saturating_mul(2)).unwrap_or(self.limit);
        let least = LEAST.min(self.limit).max(self.kept / 2);
        self.kept = used.clamp(least, self.kept.max(least));
        self.deepest = 0;
        self.judged = self.appended;
    }

    /// Notes that something was read that was appended at `place`.
    pub(crate) fn hit(&mut self, place: u64) {
        self.deepest = self.deepest.max(self.appended - place);
    }

    /// Notes that something was asked for that was let go, `behind` bytes before its log's end. If it
    /// could have been kept, more is from now on; how much more is seen by the next one.
    pub(crate) fn missed(&mut self, behind: u64) {
        let Some(behind) = usize::try_from(behind).ok().filter(|&n| n <= self.limit) else {
            // Someone who reads all there is.
            return;
        };
        self.deepest = self.deepest.max(behind as u64);
        if self.appended - self.grown >= self.kept as u64 / 2 {
            self.kept = behind
                .saturating_add(behind / 4)
                .max(2 * self.kept)
                .min(self.limit);
            self.grown = self.appended;
            self.judged = self.appended;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn it_grows_with_a_reader_that_is_behind_and_shrinks_when_it_has_gone() {
        let mut keep = Keep::new(1024 * MIB);
        assert_eq!(keep.kept(), LEAST);
        keep.appended(LEAST);
        keep.missed(100 * MIB as u64);
        assert_eq!(keep.kept(), 125 * MIB);
        keep.missed(100 * MIB as u64);
        assert_eq!(keep.kept(), 125 * MIB, "not before it could have helped");
        for _ in 0..100 {
            keep.appended(100 * MIB);
            keep.hit(keep.place() - 100 * MIB as u64);
            assert_eq!(keep.kept(), 125 * MIB, "it is used");
        }
        for _ in 0..100 {
            keep.appended(100 * MIB);
        }
        assert_eq!(keep.kept(), LEAST);
    }

    #[test]
    fn who_reads_everything_does_not_count() {
        let mut keep = Keep::new(100 * MIB);
        keep.appended(LEAST);
        keep.missed(101 * MIB as u64);
        assert_eq!(keep.kept(), LEAST);
        let mut small = Keep::new(MIB);
        assert_eq!(small.kept(), MIB);
        small.appended(100 * MIB);
        small.missed(MIB as u64);
        assert_eq!(small.kept(), MIB);
        small.set_limit(0);
        small.appended(MIB);
        assert_eq!(small.kept(), 0);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(limit in 0..200 * MIB, steps in proptest::collection::vec((0..3_u8, 0..300 * MIB), 1..200)) {
            let mut keep = Keep::new(limit);
            for (kind, bytes) in steps {
                match kind {
                    0 => keep.appended(bytes),
                    1 => keep.hit(keep.place().saturating_sub(bytes as u64)),
                    _ => keep.missed(bytes as u64),
                }
                prop_assert!(keep.kept() <= limit && keep.kept() >= LEAST.min(limit));
            }
        }
    }
}
