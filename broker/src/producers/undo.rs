//! How to take back what was recorded last: a log may lose the batches that it had not yet written when
//! its drive takes no more, and what is known of their producers has to be what it was before them.

use std::collections::VecDeque;

use batch::BatchInfo;

use super::{Producer, Written};

/// What a batch changed of its producer.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// It is one more of the same epoch.
    Wrote {
        /// Whether it has a sequence number.
        numbered: bool,
        /// The batch that is no longer remembered for it.
        dropped: Option<Written>,
        /// When the producer had written before.
        last_used_ms: i64,
        /// Whether it began a transaction.
        began: bool,
    },
    /// This is what was known of the producer before, if anything was.
    Replaced(Option<Box<Producer>>),
}

#[derive(Clone, Debug)]
struct Entry {
    base_offset: i64,
    producer_id: i64,
    change: Change,
}

/// The changes that may have to be taken back, in the order they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Undo {
    entries: VecDeque<Entry>,
}

impl Change {
    /// What was known of a producer before the change, of which this is known after it: nothing, if it has
    /// expired meanwhile.
    pub(super) fn before(self, after: Option<Producer>) -> Option<Producer> {
        match self {
            Self::Replaced(before) => before.map(|producer| *producer),
            Self::Wrote {
                numbered,
                dropped,
                last_used_ms,
                began,
            } => {
                let mut producer = after?;
                if numbered {
                    producer.batches.pop_back();
                }
                if let Some(dropped) = dropped {
                    producer.batches.push_front(dropped);
                }
                if began {
                    producer.open = None;
                }
                producer.last_used_ms = last_used_ms;
                Some(producer)
            }
        }
    }
}

impl Undo {
    pub(super) fn wrote(
        &mut self,
        info: &BatchInfo,
        dropped: Option<Written>,
        last_used_ms: i64,
        began: bool,
    ) {
        let numbered = info.base_sequence >= 0;
        self.push(
            info,
            Change::Wrote {
                numbered,
                dropped,
                last_used_ms,
                began,
            },
        );
    }

    pub(super) fn replaced(&mut self, info: &BatchInfo, before: Option<&Producer>) {
        let before = before.cloned().map(Box::new);
        self.push(info, Change::Replaced(before));
    }

    fn push(&mut self, info: &BatchInfo, change: Change) {
        self.entries.push_back(Entry {
            base_offset: info.base_offset,
            producer_id: info.producer_id,
            change,
        });
    }

    /// Forgets the changes of batches below `offset`.
    pub(super) fn settled(&mut self, offset: i64) {
        while let Some(entry) = self.entries.front()
            && entry.base_offset < offset
        {
            self.entries.pop_front();
        }
    }

    /// Takes out the last change, if it is of a batch at `offset` or above: whose it is, and what it was.
    pub(super) fn last_from(&mut self, offset: i64) -> Option<(i64, Change)> {
        let last = self.entries.back()?;
        if last.base_offset < offset {
            return None;
        }
        let last = self.entries.pop_back()?;
        Some((last.producer_id, last.change))
    }
}
