//! Batches that are in a log but have not got as far as somebody waits for, in offset order.
//!
//! A partition has two such lists: one for its own log's stable end, one for the high watermark. A
//! produce request, and later a coordinator, waits for an end offset; when that is reached, entries
//! leave from the front. Pure but for the one-shot channels it completes.

use std::collections::VecDeque;

use rt::sync::oneshot;

/// What an append comes to in the end: as safe as was asked for, or not.
pub type Outcome = Result<(), AckError>;

/// Why an appended batch is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// The drive failed or filled before the batch was written; the batch was taken back.
    #[error("the batch was not written: {0}")]
    NotWritten(String),
    /// Every replica in sync has it, but they are fewer than `min.insync.replicas`.
    #[error(
        "the batch was written, but fewer replicas are in sync than min.insync.replicas asks for; \
         send it again, or bring replicas back"
    )]
    NotEnoughReplicas,
    /// Another node leads by now, and decides whether the batch stays.
    #[error("this replica ceased to lead before the batch was with the others; send it again")]
    NotLeader,
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

    /// A receiver that is told when `end` is reached. The caller has seen that it is not.
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

    /// All up to `end` is reached: gives whoever waited the outcome, and says how many bytes that was.
    pub(super) fn reached(&mut self, end: i64, outcome: &Outcome) -> usize {
        let mut bytes = 0;
        while self.entries.front().is_some_and(|entry| entry.end <= end) {
            if let Some(entry) = self.entries.pop_front() {
                bytes += entry.bytes;
                if let Some(waiting) = entry.waiting {
                    // The request may be gone with its connection.
                    let _ = waiting.send(outcome.clone());
                }
            }
        }
        bytes
    }

    /// Fails everybody who waits; the batches stay.
    pub(super) fn fail_waiting(&mut self, why: &AckError) {
        for entry in &mut self.entries {
            if let Some(waiting) = entry.waiting.take() {
                let _ = waiting.send(Err(why.clone()));
            }
        }
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
