//! What is counted of a shard's coordinators.

use std::cell::Cell;

/// Counts since the start.
#[derive(Default)]
pub struct CoordinatorMetrics {
    loads: Cell<u64>,
    load_ms: Cell<u64>,
    load_max_ms: Cell<u64>,
    records: Cell<u64>,
}

/// The counts at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Logs that were read whole.
    pub loads: u64,
    /// How long that took, in milliseconds, all together.
    pub ms: u64,
    /// How long the longest took, in milliseconds.
    pub max_ms: u64,
    /// Records that were read.
    pub records: u64,
}

impl CoordinatorMetrics {
    /// A log was read whole, in `took_ms` milliseconds.
    pub(super) fn loaded(&self, took_ms: u64, records: u64) {
        self.loads.set(self.loads.get() + 1);
        self.load_ms.set(self.load_ms.get() + took_ms);
        self.load_max_ms.set(self.load_max_ms.get().max(took_ms));
        self.records.set(self.records.get() + records);
    }

    /// The counts now.
    pub fn loads(&self) -> LoadCounts {
        LoadCounts {
            loads: self.loads.get(),
            ms: self.load_ms.get(),
            max_ms: self.load_max_ms.get(),
            records: self.records.get(),
        }
    }
}
