//! Compaction on one shard: in the background, one log at a time, the dirtiest first, as Kafka's cleaner
//! does.
//!
//! A log that can't be compacted (its records are damaged, or memory is too small) is left alone until the
//! shard starts again; it goes on serving, and is counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use rt::task::Class;
use storage::{Compactable, Compacted, LogError};

use super::Shard;
use crate::partition::{Means, Partition, PartitionId};

/// How soon a log is looked at again after a round that found work.
const BREATH: Duration = Duration::from_millis(10);

/// What was counted of compaction on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionCounts {
    /// Rounds that changed a log.
    pub rounds: u64,
    /// Rounds that ended with an error.
    pub failed: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes by which logs became smaller.
    pub freed_bytes: u64,
    /// Microseconds that rounds took.
    pub busy_us: u64,
    /// Bytes of memory that the last round used for keys.
    pub key_bytes: u64,
    /// By how many milliseconds the log is overdue that is most so.
    pub overdue_ms: u64,
    /// Logs that can't be compacted.
    pub given_up: usize,
}

/// Compaction on a shard.
#[derive(Debug, Default)]
pub struct Compaction {
    counts: Cell<CompactionCounts>,
    given_up: RefCell<BTreeSet<PartitionId>>,
}

impl Compaction {
    /// What was counted.
    pub fn counts(&self) -> CompactionCounts {
        CompactionCounts {
            given_up: self.given_up.borrow().len(),
            ..self.counts.get()
        }
    }

    fn count(&self, change: impl FnOnce(&mut CompactionCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn done(&self, done: &Compacted, took: Duration) {
        self.count(|counts| {
            counts.rounds += 1;
            counts.read_bytes += done.read_bytes;
            counts.written_bytes += done.written_bytes;
            counts.freed_bytes += done.before_bytes.saturating_sub(done.after_bytes);
            counts.busy_us += u64::try_from(took.as_micros()).unwrap_or(0);
            counts.key_bytes = done.key_bytes;
        });
    }
}

/// Whether the log of this part should be compacted before that of another.
fn comes_before(part: &Compactable, other: &Compactable) -> bool {
    part.dirty_ratio() > other.dirty_ratio()
}

impl Shard {
    /// Starts to compact logs; it ends with the shard.
    pub(super) fn start_compaction(self: &Rc<Self>) {
        if !self.settings().cleaner.enabled {
            return;
        }
        let shard = Rc::clone(self);
        let compact = async move { shard.compact_for_ever().await };
        rt::task::spawn_in(Class::Background, compact).detach();
    }

    async fn compact_for_ever(self: Rc<Self>) {
        let mut wait = self.settings().cleaner.backoff;
        while !self.is_stopping() {
            rt::time::sleep(wait.max(BREATH)).await;
            let next = self.next_to_compact().await;
            wait = match next {
                Some(partition) if self.compact_one(&partition).await => BREATH,
                _ => self.settings().cleaner.backoff,
            };
        }
    }

    /// The log that most needs it, if one does.
    async fn next_to_compact(&self) -> Option<Rc<Partition>> {
        let now_ms = rt::time::wall_ms();
        let mut next: Option<(Compactable, Rc<Partition>)> = None;
        let mut overdue_ms = 0;
        for partition in self.partitions() {
            if self.is_stopping() {
                return None;
            }
            if self.compaction.given_up.borrow().contains(&partition.id()) {
                continue;
            }
            match partition.compactable(now_ms).await {
                Ok(Some(part)) => {
                    overdue_ms = overdue_ms.max(part.overdue_ms);
                    if next
                        .as_ref()
                        .is_none_or(|(best, _)| comes_before(&part, best))
                    {
                        next = Some((part, partition));
                    }
                }
                Ok(None) => {}
                Err(error) => self.compaction_failed(&partition, &error),
            }
            rt::task::yield_if_needed().await;
        }
        self.compaction
            .count(|counts| counts.overdue_ms = u64::try_from(overdue_ms).unwrap_or(0));
        next.map(|(_, partition)| partition)
    }

    /// Compacts one log. Whether it came on by that.
    async fn compact_one(&self, partition: &Partition) -> bool {
        let settings = self.settings();
        let shards = self.node.shards;
        let rate = || self.settings().cleaner.bytes_per_second / shards as f64;
        let means = Means {
            memory: settings.cleaner.key_bytes / shards,
            load: settings.cleaner.load,
            rate: &rate,
        };
        let began = rt::time::now();
        match partition.compact(rt::time::wall_ms(), &means).await {
            Ok(Some(done)) => {
                let (topic, index) = (partition.topic(), partition.id().index);
                tracing::info!(topic, partition = index, ?done, "log compacted");
                self.compaction.done(&done, began.elapsed());
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.compaction_failed(partition, &error);
                false
            }
        }
    }

    fn compaction_failed(&self, partition: &Partition, error: &LogError) {
        let (topic, index) = (partition.topic(), partition.id().index);
        match error {
            // Something else was to be done to the log; or it is on its way out.
            LogError::Interrupted { .. }
            | LogError::Closed { .. }
            | LogError::NoOwner { .. }
            | LogError::DriveFailed(_) => {
                tracing::debug!(topic, partition = index, %error, "compaction comes later");
                return;
            }
            LogError::Read(_) | LogError::KeysDontFit { .. } | LogError::SegmentTooLong { .. } => {
                self.compaction.given_up.borrow_mut().insert(partition.id());
                tracing::error!(topic, partition = index, %error, "log can't be compacted, and isn't until the next start");
            }
            _ => {
                tracing::warn!(topic, partition = index, %error, "log could not be compacted");
            }
        }
        self.compaction.count(|counts| counts.failed += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(clean_bytes: u64, dirty_bytes: u64) -> Compactable {
        Compactable {
            from: 0,
            upto: 10,
            clean_bytes,
            dirty_bytes,
            overdue_ms: 0,
        }
    }

    #[test]
    fn the_dirtiest_log_comes_first() {
        assert!(comes_before(&part(1, 9), &part(100, 100)));
        assert!(!comes_before(&part(100, 100), &part(1, 9)));
        assert!(!comes_before(&part(1, 9), &part(1, 9)));
    }

    #[test]
    fn rounds_are_counted() {
        let compaction = Compaction::default();
        let done = Compacted {
            read_bytes: 20,
            written_bytes: 5,
            before_bytes: 10,
            after_bytes: 4,
            key_bytes: 240,
            ..Compacted::default()
        };
        for _ in 0..2 {
            compaction.done(&done, Duration::from_millis(3));
        }
        let id = PartitionId {
            topic_id: uuid::Uuid::nil(),
            index: 0,
        };
        compaction.given_up.borrow_mut().insert(id);
        let expected = CompactionCounts {
            rounds: 2,
            failed: 0,
            read_bytes: 40,
            written_bytes: 10,
            freed_bytes: 12,
            busy_us: 6_000,
            key_bytes: 240,
            overdue_ms: 0,
            given_up: 1,
        };
        assert_eq!(compaction.counts(), expected);
    }
}
