//! The records between the first that isn't done and the last that was acquired, in runs of one state each.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// What records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Anybody's who asks.
    Available,
    /// With a member until a point in time.
    Acquired { member: Uuid, until: u64 },
    /// Done.
    Acknowledged,
    /// Nobody's any more.
    Archived,
}

impl State {
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// Its number in Kafka's records.
    pub(super) fn id(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acquired { .. } => 1,
            Self::Acknowledged => 2,
            Self::Archived => 4,
        }
    }
}

/// What acquired records will be once a write is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) ticket: u64,
    pub(super) to: State,
    pub(super) delivery_count: i16,
}

/// Records that follow each other and have everything in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) last: i64,
    pub(super) state: State,
    pub(super) delivery_count: i16,
    pub(super) pending: Option<Pending>,
}

impl Run {
    /// Whether anybody may acquire it.
    pub(super) fn is_free(&self) -> bool {
        self.state == State::Available
    }

    /// The member that holds it, unless it has said what becomes of it.
    pub(super) fn holder(&self) -> Option<Uuid> {
        match (self.state, self.pending) {
            (State::Acquired { member, .. }, None) => Some(member),
            _ => None,
        }
    }

    fn lock(&self) -> Option<u64> {
        match (self.state, self.pending) {
            (State::Acquired { until, .. }, None) => Some(until),
            _ => None,
        }
    }

    fn merges_with(&self, next: &Self) -> bool {
        self.pending.is_none()
            && next.pending.is_none()
            && self.state == next.state
            && self.delivery_count == next.delivery_count
            && self.lock().is_none()
    }

    /// What it will be, as it is stored: a record that is with a member is stored as if it had not been given.
    fn stored(&self) -> (State, i16) {
        match (self.pending, self.state) {
            (Some(pending), _) => (pending.to, pending.delivery_count),
            (None, State::Acquired { .. }) => (State::Available, self.delivery_count - 1),
            (None, state) => (state, self.delivery_count),
        }
    }
}

/// Runs that cover all offsets from `start` to before `end`, without holes.
#[derive(Debug)]
pub(super) struct Window {
    start: i64,
    end: i64,
    /// By first offset.
    runs: BTreeMap<i64, Run>,
    /// When the locks of acquired runs are over, and the runs' first offsets.
    locks: BTreeSet<(u64, i64)>,
    /// No run before this offset is free.
    free_from: i64,
}

impl Window {
    pub(super) fn new(start: i64) -> Self {
        Self {
            start,
            end: start,
            runs: BTreeMap::new(),
            locks: BTreeSet::new(),
            free_from: start,
        }
    }

    /// The first offset that isn't done.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The first offset that was never acquired.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// When the first lock is over, and the first and last offset of the run.
    pub(super) fn first_lock(&self) -> Option<(u64, i64, i64)> {
        let &(until, first) = self.locks.first()?;
        Some((until, first, self.runs.get(&first)?.last))
    }

    /// Adds a run behind the others. One without offsets changes nothing.
    pub(super) fn push(&mut self, last: i64, state: State, delivery_count: i16) {
        let first = self.end;
        if last < first {
            return;
        }
        let run = Run {
            last,
            state,
            delivery_count,
            pending: None,
        };
        if let Some(until) = run.lock() {
            self.locks.insert((until, first));
        }
        if run.is_free() {
            self.free_from = self.free_from.min(first);
        }
        self.runs.insert(first, run);
        self.end = last + 1;
        self.merge(first, last);
    }

    /// The runs that have offsets from `first` to `last`, by offset, each cut to what lies there.
    pub(super) fn within(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, Run)> + '_ {
        let from = self.runs.range(..=first).next_back();
        let from = from.map_or(first, |(&key, _)| key);
        self.runs
            .range(from..)
            .take_while(move |(key, _)| **key <= last)
            .filter(move |(_, run)| run.last >= first)
            .map(move |(&key, &run)| {
                let last = run.last.min(last);
                (key.max(first), Run { last, ..run })
            })
    }

    /// All runs.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, Run)> + '_ {
        self.runs.iter().map(|(&first, &run)| (first, run))
    }

    /// The first offset that anybody may acquire.
    pub(super) fn first_free(&self) -> Option<i64> {
        let mut from_there = self.runs.range(self.free_from..);
        from_there.find_map(|(&first, run)| run.is_free().then_some(first))
    }

    /// Looks from here on for what is free.
    pub(super) fn note_first_free(&mut self) {
        self.free_from = self.first_free().unwrap_or(self.end);
    }

    /// Changes what lies from `first` to `last`, and puts together what then has everything in common.
    pub(super) fn update(&mut self, first: i64, last: i64, mut change: impl FnMut(&mut Run)) {
        let (first, last) = (first.max(self.start), last.min(self.end - 1));
        if last < first {
            return;
        }
        self.split(first);
        self.split(last + 1);
        for (&at, run) in self.runs.range_mut(first..=last) {
            if let Some(until) = run.lock() {
                self.locks.remove(&(until, at));
            }
            change(run);
            if let Some(until) = run.lock() {
                self.locks.insert((until, at));
            }
            if run.is_free() {
                self.free_from = self.free_from.min(at);
            }
        }
        self.merge(first, last);
    }

    /// Makes a run begin at an offset that lies within one.
    fn split(&mut self, at: i64) {
        let Some((_, run)) = self.runs.range_mut(..at).next_back() else {
            return;
        };
        if run.last < at {
            return;
        }
        let rest = *run;
        run.last = at - 1;
        if let Some(until) = rest.lock() {
            self.locks.insert((until, at));
        }
        self.runs.insert(at, rest);
    }

    /// Puts together the runs from the one before `first` to the one after `last`.
    fn merge(&mut self, first: i64, last: i64) {
        let before = self.runs.range(..first).next_back();
        let mut at = before.map_or(first, |(&key, _)| key);
        while let Some((&next, &after)) = self.runs.range(at + 1..).next()
            && next <= last + 1
        {
            match self.runs.get_mut(&at) {
                Some(run) if run.merges_with(&after) => {
                    run.last = after.last;
                    self.runs.remove(&next);
                }
                _ => at = next,
            }
        }
    }

    /// Moves the start over what is done.
    pub(super) fn advance(&mut self) {
        while let Some(entry) = self.runs.first_entry()
            && entry.get().state.is_done()
        {
            self.start = entry.remove().last + 1;
        }
    }

    /// Forgets what lies before an offset. Nothing before it can be acquired or acknowledged afterwards.
    pub(super) fn forget_before(&mut self, offset: i64) {
        self.split(offset);
        while let Some(entry) = self.runs.first_entry()
            && *entry.key() < offset
        {
            let (first, run) = entry.remove_entry();
            if let Some(until) = run.lock() {
                self.locks.remove(&(until, first));
            }
        }
        self.start = self.start.max(offset);
        self.end = self.end.max(offset);
    }

    /// Where the start will be once everything that waits to be stored is.
    pub(super) fn start_when_stored(&self) -> i64 {
        let rest = self.runs.iter().find(|(_, run)| !run.stored().0.is_done());
        rest.map_or(self.end, |(&first, _)| first)
    }

    /// What lies from `first` to `last` as it is to be stored: each run's offsets, its state and delivery count.
    pub(super) fn to_store(
        &self,
        first: i64,
        last: i64,
    ) -> impl Iterator<Item = (i64, i64, State, i16)> + '_ {
        self.within(first, last).map(|(first, run)| {
            let (state, delivery_count) = run.stored();
            (first, run.last, state, delivery_count)
        })
    }
}
