//! Snapshots of what a member has applied: they take the place of the log's beginning.

use bytes::Bytes;
use raft::Storage;

use crate::config::CONTENT_MAX;
use crate::core::Quorum;
use crate::error::SnapshotError;
use crate::membership::SnapshotMark;

impl Quorum {
    /// The mark for a snapshot of all that is applied up to `index`, to be written with it, and after all
    /// writes that were handed out before.
    ///
    /// # Errors
    ///
    /// When that isn't applied, or when there is a later snapshot.
    pub fn mark_at(&self, index: u64) -> Result<SnapshotMark, SnapshotError> {
        let applied = self.applied;
        let last = self.raw.store().mark().map_or(0, |mark| mark.index);
        if index < last {
            return Err(SnapshotError::Outdated { index, last });
        }
        let not_applied = SnapshotError::NotApplied { index, applied };
        if index == 0 || index > applied {
            return Err(not_applied);
        }
        Ok(SnapshotMark {
            index,
            term: self.raw.store().term(index).map_err(|_gone| not_applied)?,
            membership: self.history.at(index).clone(),
        })
    }

    /// A snapshot of `index` is on stable storage, with the mark that [`Quorum::mark_at`] gave for it: the
    /// entries up to it aren't needed any more, in memory or where they were written.
    ///
    /// # Errors
    ///
    /// As for [`Quorum::mark_at`], or when the content is larger than can be sent (1 GiB).
    pub fn snapshot_taken(&mut self, index: u64, content: Bytes) -> Result<(), SnapshotError> {
        let mark = self.mark_at(index)?;
        let (size, max) = (content.len(), CONTENT_MAX);
        if size > max {
            return Err(SnapshotError::TooLarge { size, max });
        }
        self.history.forget_before(index);
        let keep = self.config.keep_entries;
        self.raw.mut_store().compact(mark, content, keep);
        Ok(())
    }

    /// The content of the last snapshot, which [`Ready::wanted_snapshot`](crate::Ready::wanted_snapshot)
    /// asked for. Of another snapshot it is ignored: there has been a later one since.
    pub fn snapshot_content(&mut self, index: u64, content: Bytes) {
        if content.len() <= CONTENT_MAX {
            self.raw.mut_store().set_content(index, content);
        }
    }
}
