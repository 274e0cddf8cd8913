//! Counters of a drive and of a log. Plain numbers of one shard; whoever serves them adds up.

use std::cell::Cell;
use std::time::Duration;

/// Buckets of [`Latency`]: up to 1 µs, 2 µs, 4 µs, … and the rest.
pub const LATENCY_BUCKETS: usize = 28;

/// A histogram of times by powers of two of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// `buckets[i]` counts times of at most `2^i` µs; the last one also all longer ones.
    pub buckets: [u64; LATENCY_BUCKETS],
    /// Sum of all times in microseconds.
    pub sum_us: u64,
}

impl Latency {
    /// How many times were noted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The greatest time, in microseconds, that bucket `at` counts.
    pub fn bound_us(at: usize) -> u64 {
        1 << at
    }

    pub(crate) fn note(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = (u64::BITS - us.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[at.min(LATENCY_BUCKETS - 1)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

/// What a drive did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriveMetrics {
    /// Times of writes to segments.
    pub write: Latency,
    /// Bytes handed to the drive, padding and rewritten blocks included.
    pub write_bytes: u64,
    /// Times of fdatasyncs of segments.
    pub sync: Latency,
    /// Times of cold reads.
    pub read: Latency,
    /// Bytes read cold.
    pub read_bytes: u64,
    /// Preallocations of segment files.
    pub preallocations: u64,
    /// Times the drive was found full.
    pub full: u64,
    /// Segments deleted.
    pub segments_deleted: u64,
    /// Indexes made anew from their log.
    pub indexes_rebuilt: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// What a log did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMetrics {
    /// Batches appended.
    pub batches: u64,
    /// Bytes appended.
    pub bytes: u64,
    /// Writes to the drive.
    pub writes: u64,
    /// fdatasyncs.
    pub syncs: u64,
    /// Reads answered from memory.
    pub tail_reads: u64,
    /// Reads that went to the drive.
    pub cold_reads: u64,
}

/// Plain counters of a log.
#[derive(Debug, Default)]
pub(crate) struct Counters(Cell<LogMetrics>);

impl Counters {
    pub(crate) fn get(&self) -> LogMetrics {
        self.0.get()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut LogMetrics)) {
        let mut metrics = self.0.get();
        change(&mut metrics);
        self.0.set(metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let mut latency = Latency::default();
        for us in [0, 1, 2, 3, 4, 5, u64::from(u32::MAX)] {
            latency.note(Duration::from_micros(us));
        }
        assert_eq!(latency.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(latency.buckets[LATENCY_BUCKETS - 1], 1);
        assert_eq!(latency.count(), 7);
    }
}
