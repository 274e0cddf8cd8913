//! Compaction of a partition's log: what it may touch, and what it must keep of producers.

use storage::{Compactable, Compacted, LogError, Round, Writers};

use super::Partition;

/// What one round of compaction may use.
pub struct Means<'a> {
    /// Bytes of memory for keys.
    pub memory: usize,
    /// How full that may get, of 1.
    pub load: f64,
    /// Bytes to read and write in a second at most; asked for again and again.
    pub rate: &'a dyn Fn() -> f64,
}

impl Partition {
    /// What of the log should be compacted, by the wall clock; `None` where nothing should, or the topic
    /// isn't compacted.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn compactable(&self, now_ms: i64) -> Result<Option<Compactable>, LogError> {
        let config = std::rc::Rc::clone(&self.state.borrow().config);
        if !config.cleanup_policy.compact {
            return Ok(None);
        }
        let part = self
            .log
            .compactable(self.last_stable_offset(), now_ms)
            .await?;
        Ok(part
            .is_due(config.min_cleanable_dirty_ratio)
            .then_some(part))
    }

    /// Compacts the log, up to where no transaction is open and everything is committed. `None` if there
    /// was nothing to do.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn compact(
        &self,
        now_ms: i64,
        means: &Means<'_>,
    ) -> Result<Option<Compacted>, LogError> {
        let writers: Writers = self.state.borrow().producers.last_written().collect();
        let round = Round {
            upto: self.last_stable_offset(),
            now_ms,
            writers: &writers,
            memory: means.memory,
            load: means.load,
            rate: means.rate,
        };
        self.log.compact(&round).await
    }
}
