//! What is counted of a shard's coordinators.

use std::cell::{Cell, RefCell};

use group::Figures;

/// What a shard tells of its coordinators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorReport {
    /// Those that answer.
    pub serving: usize,
    /// Those that read their log, or wait until they can write to it.
    pub loading: usize,
    /// What was read of logs.
    pub loads: LoadCounts,
    /// Groups, and what was done for them since the start.
    pub groups: Figures,
    /// Transactional ids, and what was done for them since the start.
    pub transactions: txn::Figures,
}

/// Counts since the start.
#[derive(Default)]
pub struct CoordinatorMetrics {
    /// What was done by coordinators of groups that are gone.
    retired: RefCell<Figures>,
    /// What was done by coordinators of transactions that are gone.
    retired_transactions: RefCell<txn::Figures>,
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

    /// A coordinator of groups is gone, and its counts with it.
    pub(super) fn retired(&self, figures: &Figures) {
        add(&mut self.retired.borrow_mut(), figures);
    }

    /// What was done by coordinators of groups that are gone.
    pub(super) fn of_retired(&self) -> Figures {
        self.retired.borrow().clone()
    }

    /// A coordinator of transactions is gone, and its counts with it.
    pub(super) fn retired_transactions(&self, figures: &txn::Figures) {
        add_transactions(&mut self.retired_transactions.borrow_mut(), figures);
    }

    /// What was done by coordinators of transactions that are gone.
    pub(super) fn of_retired_transactions(&self) -> txn::Figures {
        self.retired_transactions.borrow().clone()
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

/// Adds what was done by one coordinator, and not what it has.
fn add(all: &mut Figures, one: &Figures) {
    all.commits += one.commits;
    all.deletions += one.deletions;
    all.expirations += one.expirations;
    all.rebalances += one.rebalances;
}

/// Adds what was done by a coordinator, and what it has.
pub(super) fn add_live(all: &mut Figures, one: &Figures) {
    add(all, one);
    all.offsets += one.offsets;
    for (kind, count) in &one.groups {
        *all.groups.entry(*kind).or_default() += count;
    }
}

/// Adds what was done by one coordinator of transactions, and not what it has.
fn add_transactions(all: &mut txn::Figures, one: &txn::Figures) {
    all.committed += one.committed;
    all.aborted += one.aborted;
    all.fenced += one.fenced;
    all.timed_out += one.timed_out;
}

/// Adds what was done by a coordinator of transactions, and what it has.
pub(super) fn add_live_transactions(all: &mut txn::Figures, one: &txn::Figures) {
    add_transactions(all, one);
    for (state, count) in &one.states {
        *all.states.entry(*state).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_outlives_a_coordinator_and_what_it_had_does_not() {
        let one = Figures {
            groups: [(("classic", "Stable"), 2)].into(),
            offsets: 7,
            commits: 30,
            rebalances: 4,
            ..Figures::default()
        };
        let metrics = CoordinatorMetrics::default();
        metrics.retired(&one);
        metrics.retired(&one);
        let mut all = metrics.of_retired();
        assert_eq!((all.commits, all.rebalances, all.offsets), (60, 8, 0));
        assert!(all.groups.is_empty());
        add_live(&mut all, &one);
        assert_eq!((all.commits, all.offsets), (90, 7));
        assert_eq!(all.groups[&("classic", "Stable")], 2);
    }
}
