//! Batches that are in a log but not yet stable, in offset order, and who waits for them.
//!
//! Owns the one wait list of a partition's log: a produce request, and later a coordinator, waits
//! here for an end offset; when the stable end moves, entries leave from the front. Pure but for the
//! one-shot channels it completes.

use std::collections::VecDeque;

use rt::sync::oneshot;

/// What an append comes to in the end: stable, or lost with its drive.
pub type Outcome = Result<(), AckError>;

/// Why an appended batch will not become stable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// The drive failed or filled before the batch was written; the batch was taken back.
    #[error("the batch was not written: {0}")]
    NotWritten(String),
}

struct Entry {
    /// The offset after the batch.
    end: i64,
    bytes: usize,
    waiting: Option<oneshot::Sender<Outcome>>,
}

/// The wait list.
#[derive(Default)]
pub(super) struct Pending {
    entries: VecDeque<Entry>,
}

impl Pending {
    /// Notes a batch of `bytes` that ends before `end`.
    pub(super) fn appended(&mut self, end: i64, bytes: usize) {
        debug_assert!(self.entries.back().is_none_or(|last| last.end <= end));
        self.entries.push_back(Entry {
            end,
            bytes,
            waiting: None,
        });
    }

    /// A receiver that is told when the log is stable up to `end`. The caller has seen that it is not.
    pub(super) fn wait(&mut self, end: i64) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot();
        // Nearly always the last entry; a retry of an earlier batch lies further to the front.
        let after = self.entries.partition_point(|entry| entry.end <= end);
        let free = after
            .checked_sub(1)
            .and_then(|at| self.entries.get_mut(at))
            .filter(|entry| entry.end == end && entry.waiting.is_none());
        match free {
            Some(entry) => entry.waiting = Some(sender),
            None => self.entries.insert(
                after,
                Entry {
                    end,
                    bytes: 0,
                    waiting: Some(sender),
                },
            ),
        }
        receiver
    }

    /// The log is stable up to `stable`: completes who waited, and says how many bytes became
    /// visible.
    pub(super) fn stable(&mut self, stable: i64) -> usize {
        let mut bytes = 0;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.end <= stable)
        {
            if let Some(entry) = self.entries.pop_front() {
                bytes += entry.bytes;
                if let Some(waiting) = entry.waiting {
                    // The request may be gone with its connection.
                    let _ = waiting.send(Ok(()));
                }
            }
        }
        bytes
    }

    /// The log was cut back to `end`, or will never move again: fails everything above.
    pub(super) fn fail_above(&mut self, end: i64, why: &AckError) {
        while self.entries.back().is_some_and(|entry| entry.end > end) {
            if let Some(waiting) = self.entries.pop_back().and_then(|entry| entry.waiting) {
                let _ = waiting.send(Err(why.clone()));
            }
        }
    }

    /// How many batches (and retries) wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
