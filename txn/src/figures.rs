//! What operators are told of a coordinator.

use std::collections::BTreeMap;

use crate::machine::Transactions;

/// What was done since the coordinator was made, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many transactional ids are in a state.
    pub states: BTreeMap<&'static str, u64>,
    /// How many transactions were decided to be committed.
    pub committed: u64,
    /// How many were decided to be aborted, for whatever reason.
    pub aborted: u64,
    /// How many of these because another producer began with their transactional id.
    pub fenced: u64,
    /// How many of these because they took longer than their timeout.
    pub timed_out: u64,
}

impl Transactions {
    /// What was done, and what there is. Looks at every transactional id.
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures.clone();
        for known in self.known.values() {
            *figures.states.entry(known.state.name()).or_default() += 1;
        }
        figures
    }
}
