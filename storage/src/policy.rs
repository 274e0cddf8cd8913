//! Decisions about segments: when one is closed, how far its file is preallocated, when it is
//! deleted. Pure, and as Kafka decides.

use batch::BatchInfo;

use crate::config::LogConfig;

/// The unit of all direct I/O.
pub(crate) const BLOCK: u64 = rt::file::BLOCK as u64;
/// First preallocation of a segment, and the least that is added.
const STEP_MIN: u64 = 1 << 20;
/// Most that is added at once.
const STEP_MAX: u64 = 64 << 20;
/// Positions in an index have 32 bits, of which Kafka uses 31.
pub(crate) const SEGMENT_MAX: u64 = i32::MAX as u64;

/// What closing a segment is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollFacts {
    pub(crate) base_offset: i64,
    pub(crate) len: u64,
    /// Greatest timestamp of the segment's first batch.
    pub(crate) first_timestamp: Option<i64>,
    pub(crate) created_ms: i64,
    pub(crate) offset_index_bytes: u64,
    pub(crate) time_index_bytes: u64,
}

/// Whether the segment has to be closed before this batch.
pub(crate) fn must_roll(
    segment: RollFacts,
    batch: &BatchInfo,
    now_ms: i64,
    config: &LogConfig,
) -> bool {
    let beyond = batch.last_offset - segment.base_offset > i64::from(i32::MAX);
    if segment.len == 0 {
        return beyond;
    }
    let age = match segment.first_timestamp {
        Some(first) if batch.max_timestamp >= 0 => batch.max_timestamp.saturating_sub(first),
        _ => now_ms.saturating_sub(segment.created_ms),
    };
    let len = segment.len.saturating_add(batch.size as u64);
    let index_len = segment.offset_index_bytes.max(segment.time_index_bytes);
    beyond
        || len > config.segment_bytes.min(SEGMENT_MAX)
        || age > longest_ms(config)
        || index_len.saturating_add(16) > config.segment_index_bytes
}

/// How long a segment may be open.
fn longest_ms(config: &LogConfig) -> i64 {
    if config.compact {
        config.segment_ms.min(config.max_compaction_lag_ms)
    } else {
        config.segment_ms
    }
}

/// `len` rounded up to whole blocks.
pub(crate) fn round_up(len: u64) -> u64 {
    len.next_multiple_of(BLOCK)
}

/// How long to make a file that is `allocated` long and has to hold `need` bytes: in steps that
/// grow with the file, so that thousands of small logs don't reserve a segment each, and not
/// beyond the segment's greatest length unless one batch needs it.
pub(crate) fn next_allocation(allocated: u64, need: u64, segment_bytes: u64) -> u64 {
    let step = allocated.clamp(STEP_MIN, STEP_MAX);
    let wanted = allocated.saturating_add(step).min(round_up(segment_bytes));
    round_up(wanted.max(need))
}

/// Whether it is time to preallocate more, when data will have come to `end`.
pub(crate) fn wants_more(allocated: u64, end: u64, segment_bytes: u64) -> bool {
    allocated < round_up(segment_bytes)
        && allocated.saturating_sub(end) < (allocated / 4).min(16 << 20)
}

/// What deleting the oldest segment is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldestFacts {
    /// Base offset of the next segment, or the log's end.
    pub(crate) next_base: i64,
    pub(crate) len: u64,
    /// Greatest timestamp in it, or when it was last written where its records have none.
    pub(crate) newest_ms: i64,
    /// Size of the whole log.
    pub(crate) log_bytes: u64,
    pub(crate) log_start: i64,
}

/// Why a segment is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// All its records lie below the log's start.
    BelowStart,
    /// `retention.ms`.
    Time,
    /// `retention.bytes`.
    Size,
}

/// Whether the oldest segment may go, and why.
pub(crate) fn expired(oldest: OldestFacts, now_ms: i64, config: &LogConfig) -> Option<Expired> {
    if oldest.next_base <= oldest.log_start {
        return Some(Expired::BelowStart);
    }
    if !config.delete {
        return None;
    }
    // Records of the future have an age below zero: they stay.
    let age = now_ms.saturating_sub(oldest.newest_ms);
    if config.retention_ms >= 0 && age > config.retention_ms {
        return Some(Expired::Time);
    }
    let bound = u64::try_from(config.retention_bytes).ok()?;
    let excess = oldest.log_bytes.saturating_sub(bound);
    (oldest.log_bytes > bound && excess >= oldest.len).then_some(Expired::Size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use batch::{Attributes, NO_TIMESTAMP};
    use proptest::prelude::*;

    fn info(last_offset: i64, size: usize, max_timestamp: i64) -> BatchInfo {
        BatchInfo {
            base_offset: last_offset,
            last_offset,
            leader_epoch: 0,
            size,
            attributes: Attributes(0),
            base_timestamp: max_timestamp,
            max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_sequence: -1,
            record_count: 1,
            marker: None,
        }
    }

    const SEGMENT: RollFacts = RollFacts {
        base_offset: 100,
        len: 1000,
        first_timestamp: Some(5000),
        created_ms: 4000,
        offset_index_bytes: 80,
        time_index_bytes: 120,
    };

    fn config() -> LogConfig {
        LogConfig {
            segment_bytes: 2000,
            segment_ms: 60_000,
            segment_index_bytes: 1000,
            ..LogConfig::default()
        }
    }

    #[test]
    fn a_segment_is_closed_for_each_reason() {
        let roll = |segment, batch, now| must_roll(segment, &batch, now, &config());
        assert!(!roll(SEGMENT, info(200, 1000, 6000), 6000));
        assert!(roll(SEGMENT, info(200, 1001, 6000), 6000), "bytes");
        assert!(
            roll(SEGMENT, info(200, 10, 65_001), 6000),
            "time of records"
        );
        assert!(!roll(SEGMENT, info(200, 10, 65_000), 99_999_999));
        let untimed = info(200, 10, NO_TIMESTAMP);
        assert!(roll(SEGMENT, untimed, 64_001), "time of the clock");
        assert!(!roll(SEGMENT, untimed, 64_000));
        let index = RollFacts {
            time_index_bytes: 996,
            ..SEGMENT
        };
        assert!(roll(index, info(200, 10, 6000), 6000), "index");
        let far = 100 + i64::from(i32::MAX);
        assert!(!roll(SEGMENT, info(far, 10, 6000), 6000));
        assert!(roll(SEGMENT, info(far + 1, 10, 6000), 6000), "offset");
        let empty = RollFacts { len: 0, ..SEGMENT };
        assert!(!roll(empty, info(200, 99_999, 999_999_999), 999_999_999));
        assert!(roll(empty, info(far + 1, 10, 6000), 6000));
    }

    #[test]
    fn preallocation_grows_in_steps_up_to_the_segment() {
        let mib = 1 << 20;
        let mut len = 0;
        let mut steps = Vec::new();
        while len < 1024 * mib {
            len = next_allocation(len, len + 1, 1024 * mib);
            steps.push(len / mib);
        }
        assert_eq!(steps[..8], [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(steps[8..10], [192, 256]);
        assert_eq!(next_allocation(0, 100, 5000), 8192);
        assert_eq!(next_allocation(0, 20_000, 5000), 20_480, "one large batch");
        assert!(!wants_more(8192, 8000, 5000));
        assert!(wants_more(4 * mib, 4 * mib - 1000, 1024 * mib));
        assert!(!wants_more(4 * mib, mib, 1024 * mib));
    }

    const OLDEST: OldestFacts = OldestFacts {
        next_base: 50,
        len: 1000,
        newest_ms: 10_000,
        log_bytes: 5000,
        log_start: 10,
    };

    #[test]
    fn a_segment_expires_for_each_reason() {
        let mut config = LogConfig {
            retention_ms: 1000,
            retention_bytes: -1,
            ..LogConfig::default()
        };
        assert_eq!(expired(OLDEST, 11_000, &config), None);
        assert_eq!(expired(OLDEST, 11_001, &config), Some(Expired::Time));
        assert_eq!(expired(OLDEST, 0, &config), None, "records of the future");
        config.retention_ms = -1;
        assert_eq!(expired(OLDEST, i64::MAX, &config), None);
        config.retention_bytes = 4000;
        assert_eq!(expired(OLDEST, 0, &config), Some(Expired::Size));
        config.retention_bytes = 4001;
        assert_eq!(expired(OLDEST, 0, &config), None);
        let below = OldestFacts {
            log_start: 50,
            ..OLDEST
        };
        config.retention_bytes = 0;
        config.delete = false;
        assert_eq!(expired(below, 0, &config), Some(Expired::BelowStart));
        assert_eq!(expired(OLDEST, 0, &config), None, "compacted only");
    }

    proptest! {
        #[test]
        fn an_allocation_holds_what_is_needed(allocated in 0..1_u64 << 31, need in 0..1_u64 << 31, segment in 1..1_u64 << 31) {
            let next = next_allocation(allocated, need, segment);
            prop_assert!(next >= need);
            prop_assert_eq!(next % BLOCK, 0);
            prop_assert!(next <= round_up(segment).max(round_up(need)));
        }
    }
}
