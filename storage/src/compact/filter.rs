//! Which records of a batch stay. Pure.

use batch::{Batch, BatchError, DecompressLimit, Horizon, Record, Retained};

use crate::compact::keys::{KeyHasher, KeyMap};
use crate::compact::transactions::Verdict;

/// What records are measured by in one round.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) keys: KeyMap,
    pub(crate) hasher: KeyHasher,
    /// The time of the round.
    pub(crate) now_ms: i64,
    /// `delete.retention.ms`.
    pub(crate) delete_retention_ms: i64,
    pub(crate) limit: DecompressLimit,
}

impl Rules {
    /// What stays of a batch; nothing but its place where that is all that is held.
    pub(crate) fn apply(
        &self,
        batch: &Batch<'_>,
        verdict: Verdict,
    ) -> Result<Retained, BatchError> {
        let left = self.records_left(batch, verdict)?;
        match left {
            Retained::None if verdict.holds_place && batch.record_count() == 0 => Ok(Retained::All),
            Retained::None if verdict.holds_place => Ok(Retained::Some(batch::emptied(batch)?)),
            left => Ok(left),
        }
    }

    fn records_left(&self, batch: &Batch<'_>, verdict: Verdict) -> Result<Retained, BatchError> {
        if verdict.void && (!verdict.control || self.is_over(batch)) {
            return Ok(Retained::None);
        }
        // What isn't covered is not compacted: its tombstones don't begin to age either, since what they
        // delete is still there.
        let covered = Some(batch.base_offset()) <= self.keys.latest();
        if !covered || verdict.control && !verdict.void {
            let empty = batch.record_count() == 0;
            return Ok(if empty { Retained::None } else { Retained::All });
        }
        let horizon = Horizon {
            at_ms: self.now_ms.saturating_add(self.delete_retention_ms),
            always: verdict.control,
        };
        let over = self.is_over(batch);
        batch::retain(batch, self.limit, horizon, |record| {
            verdict.control || self.keeps(record, over)
        })
    }

    /// Whether the batch has a delete horizon and it has passed.
    fn is_over(&self, batch: &Batch<'_>) -> bool {
        batch.attributes().has_delete_horizon() && batch.base_timestamp() <= self.now_ms
    }

    fn keeps(&self, record: &Record<'_>, over: bool) -> bool {
        if Some(record.offset) > self.keys.latest() {
            return true;
        }
        // Records without a key come from a time before the topic was compacted.
        let Some(key) = record.key() else {
            return false;
        };
        if record.value().is_none() && over {
            return false;
        }
        let later = self.keys.get(self.hasher.hash(key));
        later.is_none_or(|later| record.offset >= later)
    }
}

/// Notes the keys of a batch's records from `from` on. False if there was no room for one.
pub(crate) fn note_keys(
    batch: &Batch<'_>,
    from: i64,
    keys: &mut KeyMap,
    hasher: &KeyHasher,
    limit: DecompressLimit,
) -> Result<bool, BatchError> {
    for record in &batch.records(limit)? {
        let record = record?;
        if let Some(key) = record.key().filter(|_| record.offset >= from)
            && !keys.put(hasher.hash(key), record.offset)
        {
            return Ok(false);
        }
    }
    keys.covered(batch.last_offset());
    Ok(true)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
