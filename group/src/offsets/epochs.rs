//! Which epoch each producer was seen in last, so that a producer that another has taken the place of is
//! refused before anything is written: the partition's log would refuse it too, but then it would be too
//! late to answer only the one who asked.

use std::collections::BTreeMap;

/// For how long a producer is remembered that isn't heard of, at least, in milliseconds; as long as a
/// partition remembers it by default.
const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1000;

/// The epochs of producers.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    recent: BTreeMap<i64, i16>,
    /// Those that weren't heard of since these were the recent ones.
    before: BTreeMap<i64, i16>,
    /// Since when there are the recent ones.
    since_ms: u64,
}

impl Epochs {
    /// A producer was heard of in this epoch.
    pub(super) fn saw(&mut self, producer_id: i64, epoch: i16) {
        let before = self.before.remove(&producer_id).unwrap_or(epoch);
        let known = self.recent.entry(producer_id).or_insert(before);
        *known = epoch.max(*known);
    }

    /// Whether the producer was heard of in a later epoch.
    pub(super) fn is_over(&self, producer_id: i64, epoch: i16) -> bool {
        let known = self
            .recent
            .get(&producer_id)
            .or_else(|| self.before.get(&producer_id));
        known.is_some_and(|known| epoch < *known)
    }

    /// Forgets those that weren't heard of for long.
    pub(super) fn expire(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.since_ms) >= REMEMBERED_MS {
            self.before = std::mem::take(&mut self.recent);
            self.since_ms = now_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_remembered_for_a_day_or_two() {
        let mut epochs = Epochs::default();
        epochs.expire(REMEMBERED_MS);
        epochs.saw(1, 5);
        epochs.saw(1, 4);
        assert!(epochs.is_over(1, 4));
        assert!(!epochs.is_over(1, 5));
        assert!(!epochs.is_over(2, 0));
        epochs.expire(2 * REMEMBERED_MS);
        assert!(epochs.is_over(1, 4));
        epochs.saw(1, 4);
        epochs.expire(3 * REMEMBERED_MS);
        assert!(epochs.is_over(1, 4));
        epochs.expire(4 * REMEMBERED_MS);
        assert!(!epochs.is_over(1, 4));
    }
}
