//! What came of steps, held back until what was in the log at their end is committed.
//!
//! Pure but for the one-shot channels by which the partition tells.

use std::collections::VecDeque;

use coordinator::{Core, Token};
use rt::sync::oneshot;

use crate::partition::Outcome;

/// Where the partition tells that a step is committed, or never will be.
pub(super) type Committed = oneshot::Receiver<Outcome>;

/// What a step gave.
pub(super) struct Step<C: Core> {
    /// The end of the log after it.
    end: i64,
    since_ms: u64,
    /// None while somebody waits for it.
    committed: Option<Committed>,
    pub(super) replies: Vec<(Token, C::Reply)>,
    pub(super) effects: Vec<C::Effect>,
}

/// Steps in the order they were taken.
pub(super) struct Held<C: Core> {
    steps: VecDeque<Step<C>>,
    /// How many of the first have no answers any more, because they took too long.
    expired: usize,
}

impl<C: Core> Held<C> {
    /// None.
    pub(super) fn new() -> Self {
        Self {
            steps: VecDeque::new(),
            expired: 0,
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the last step ended at `end`, and another may be [joined](Self::join) to it.
    pub(super) fn ends_at(&self, end: i64) -> bool {
        let last = self.steps.back().is_some_and(|step| step.end == end);
        last && self.expired < self.steps.len()
    }

    /// Adds what a step gave to the last one, which ended where this one does.
    pub(super) fn join(&mut self, replies: Vec<(Token, C::Reply)>, effects: Vec<C::Effect>) {
        if let Some(last) = self.steps.back_mut() {
            last.replies.extend(replies);
            last.effects.extend(effects);
        }
    }

    /// Adds a step that ended at `end`.
    pub(super) fn push(
        &mut self,
        (end, since_ms): (i64, u64),
        committed: Committed,
        replies: Vec<(Token, C::Reply)>,
        effects: Vec<C::Effect>,
    ) {
        self.steps.push_back(Step {
            end,
            since_ms,
            committed: Some(committed),
            replies,
            effects,
        });
    }

    /// What the first step waits for, to be waited for by the caller.
    pub(super) fn take_first_wait(&mut self) -> Option<Committed> {
        self.steps.front_mut()?.committed.take()
    }

    /// Gives back what [`take_first_wait`](Self::take_first_wait) gave, unless that is known by now.
    pub(super) fn put_first_wait(&mut self, committed: Committed) {
        if let Some(first) = self.steps.front_mut() {
            first.committed = Some(committed);
        }
    }

    /// Takes out the first step.
    pub(super) fn take_first(&mut self) -> Option<Step<C>> {
        let first = self.steps.pop_front();
        self.expired = self.expired.saturating_sub(1);
        first
    }

    /// Whether the first step is known to be committed or not, where nobody waits for it.
    pub(super) fn first_outcome(&mut self) -> Option<Outcome> {
        self.steps.front_mut()?.committed.as_mut()?.try_take()
    }

    /// Takes away the answers of steps that were taken at `before_ms` or earlier, and says who was to
    /// get them. What else they gave stays.
    pub(super) fn expire(&mut self, before_ms: u64) -> Vec<Token> {
        let mut late = Vec::new();
        while let Some(step) = self.steps.get_mut(self.expired) {
            if step.since_ms > before_ms {
                break;
            }
            late.extend(step.replies.drain(..).map(|(token, _)| token));
            self.expired += 1;
        }
        late
    }

    /// When the first answers will have waited for `timeout_ms`.
    pub(super) fn due_ms(&self, timeout_ms: u64) -> Option<u64> {
        let first = self.steps.get(self.expired)?;
        Some(first.since_ms.saturating_add(timeout_ms))
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.expired = 0;
    }
}
