//! What a shard counts of its replication.

use std::cell::Cell;

/// What was counted, and how it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationCounts {
    /// Bytes of frames received from other nodes.
    pub bytes_in: u64,
    /// Bytes of frames sent to other nodes.
    pub bytes_out: u64,
    /// ISRs that the controller made smaller at this shard's request.
    pub isr_shrinks: u64,
    /// ISRs that the controller made larger at this shard's request.
    pub isr_expands: u64,
}

/// The counters of a shard.
#[derive(Debug, Default)]
pub(super) struct Counts(Cell<ReplicationCounts>);

impl Counts {
    fn update(&self, change: impl FnOnce(&mut ReplicationCounts)) {
        let mut counts = self.0.get();
        change(&mut counts);
        self.0.set(counts);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.update(|counts| counts.bytes_in += bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.update(|counts| counts.bytes_out += bytes as u64);
    }

    /// An ISR of `before` members has `after` now.
    pub(super) fn isr_changed(&self, before: usize, after: usize) {
        self.update(|counts| {
            counts.isr_shrinks += u64::from(after < before);
            counts.isr_expands += u64::from(after > before);
        });
    }

    pub(super) fn get(&self) -> ReplicationCounts {
        self.0.get()
    }
}
