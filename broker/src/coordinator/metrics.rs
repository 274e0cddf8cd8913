//! What is counted of a shard's coordinators.

use std::cell::{Cell, RefCell};

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
    pub groups: group::Figures,
    /// Transactional ids, and what was done for them since the start.
    pub transactions: txn::Figures,
}

/// Counts since the start.
#[derive(Default)]
pub struct CoordinatorMetrics {
    /// What was done by coordinators of groups that are gone.
    pub(super) retired_groups: Retired<group::Figures>,
    /// What was done by coordinators of transactions that are gone.
    pub(super) retired_transactions: Retired<txn::Figures>,
    loads: Cell<u64>,
    load_ms: Cell<u64>,
    load_max_ms: Cell<u64>,
    records: Cell<u64>,
}

/// What was done by coordinators that are gone.
#[derive(Default)]
pub(super) struct Retired<Figures>(RefCell<Figures>);

impl<Figures: Counted + Clone> Retired<Figures> {
    /// A coordinator is gone, and its counts with it.
    pub(super) fn add(&self, figures: &Figures) {
        self.0.borrow_mut().add_done(figures);
    }

    pub(super) fn all(&self) -> Figures {
        self.0.borrow().clone()
    }
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

/// What coordinators of one kind count.
pub(super) trait Counted {
    /// Adds what was done by one coordinator, and not what it has.
    fn add_done(&mut self, one: &Self);

    /// Adds what one coordinator has.
    fn add_held(&mut self, one: &Self);

    /// Adds what was done by a coordinator, and what it has.
    fn add(&mut self, one: &Self) {
        self.add_done(one);
        self.add_held(one);
    }
}

impl Counted for group::Figures {
    fn add_done(&mut self, one: &Self) {
        self.commits += one.commits;
        self.deletions += one.deletions;
        self.expirations += one.expirations;
        self.rebalances += one.rebalances;
    }

    fn add_held(&mut self, one: &Self) {
        self.offsets += one.offsets;
        for (kind, count) in &one.groups {
            *self.groups.entry(*kind).or_default() += count;
        }
    }
}

impl Counted for txn::Figures {
    fn add_done(&mut self, one: &Self) {
        self.committed += one.committed;
        self.aborted += one.aborted;
        self.fenced += one.fenced;
        self.timed_out += one.timed_out;
    }

    fn add_held(&mut self, one: &Self) {
        for (state, count) in &one.states {
            *self.states.entry(*state).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_outlives_a_coordinator_and_what_it_had_does_not() {
        let one = group::Figures {
            groups: [(("classic", "Stable"), 2)].into(),
            offsets: 7,
            commits: 30,
            rebalances: 4,
            ..group::Figures::default()
        };
        let metrics = CoordinatorMetrics::default();
        metrics.retired_groups.add(&one);
        metrics.retired_groups.add(&one);
        let mut all = metrics.retired_groups.all();
        assert_eq!((all.commits, all.rebalances, all.offsets), (60, 8, 0));
        assert!(all.groups.is_empty());
        all.add(&one);
        assert_eq!((all.commits, all.offsets), (90, 7));
        assert_eq!(all.groups[&("classic", "Stable")], 2);
    }
}
