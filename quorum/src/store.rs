//! The log as the algorithm reads it: the entries since (or a little before) the last snapshot, in
//! memory.
//!
//! It holds what was handed out to be written, written or not; what is on stable storage is known by
//! what the owner confirms.

use std::cell::Cell;
use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry as RaftEntry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};

use crate::membership::{SnapshotMark, node_of};

/// What an entry is taken to add to a message, besides its payload.
const ENTRY_OVERHEAD: u64 = 32;

/// The last snapshot.
struct Last {
    mark: SnapshotMark,
    content: Option<Bytes>,
}

pub(crate) struct Store {
    initial: RaftState,
    /// Index and term of the entry before the first; both 0 at a node that knows nothing.
    base: (u64, u64),
    entries: VecDeque<RaftEntry>,
    last: Option<Last>,
    /// The index of the last change of members.
    changed: u64,
    /// A snapshot of this index or a later one was looked for and not there; 0 for none.
    wanted: Cell<u64>,
    /// The greatest `wanted` that was told.
    asked: u64,
}

impl Store {
    /// `entries` begin right after the mark; without a mark there are none.
    pub(crate) fn new(
        hard_state: HardState,
        mark: Option<SnapshotMark>,
        entries: VecDeque<RaftEntry>,
    ) -> Self {
        let conf_state = mark
            .as_ref()
            .map_or_else(ConfState::default, |mark| mark.membership.to_raft());
        Self {
            initial: RaftState {
                hard_state,
                conf_state,
            },
            base: mark.as_ref().map_or((0, 0), |mark| (mark.index, mark.term)),
            entries,
            changed: mark.as_ref().map_or(0, |mark| mark.index),
            last: mark.map(|mark| Last {
                mark,
                content: None,
            }),
            wanted: Cell::new(0),
            asked: 0,
        }
    }

    /// Puts `entries` behind the one before their first, and forgets what was there.
    pub(crate) fn append(&mut self, entries: &[RaftEntry]) {
        if let Some(first) = entries.first() {
            let kept = first.index.saturating_sub(self.base.0 + 1) as usize;
            self.entries.truncate(kept);
            self.entries.extend(entries.iter().cloned());
        }
    }

    /// Replaces everything by a snapshot.
    pub(crate) fn install(&mut self, mark: SnapshotMark, content: Bytes) {
        self.base = (mark.index, mark.term);
        self.entries.clear();
        self.changed = mark.index;
        let content = Some(content);
        self.last = Some(Last { mark, content });
    }

    /// A snapshot of our own log was taken: forgets all entries of it but the last `keep`.
    pub(crate) fn compact(&mut self, mark: SnapshotMark, content: Bytes, keep: u64) {
        let base = mark.index.saturating_sub(keep);
        while self.base.0 < base {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.base = (entry.index, entry.term);
        }
        let content = Some(content);
        self.last = Some(Last { mark, content });
    }

    /// The last snapshot's mark.
    pub(crate) fn mark(&self) -> Option<&SnapshotMark> {
        self.last.as_ref().map(|last| &last.mark)
    }

    /// The content of the last snapshot, if that is of `index`.
    pub(crate) fn set_content(&mut self, index: u64, content: Bytes) {
        if let Some(last) = self.last.as_mut().filter(|last| last.mark.index == index) {
            last.content = Some(content);
        }
    }

    /// The members have changed at `index`.
    pub(crate) fn set_changed(&mut self, index: u64) {
        self.changed = index;
    }

    /// The index of the snapshot that is needed; once.
    pub(crate) fn take_wanted(&mut self) -> Option<u64> {
        let wanted = self.wanted.replace(0);
        if wanted <= self.asked {
            return None;
        }
        self.asked = wanted;
        Some(wanted)
    }

    fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }
}

impl Storage for Store {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<RaftEntry>> {
        if low <= self.base.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let max = max_size.into().unwrap_or(u64::MAX);
        let range = (low - self.base.0 - 1) as usize..(high - self.base.0 - 1) as usize;
        let mut size = 0;
        let mut taken = Vec::new();
        for entry in self.entries.range(range) {
            size += entry.data.len() as u64 + ENTRY_OVERHEAD;
            if size > max && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        let at = index.checked_sub(self.base.0 + 1);
        let Some(at) = at else {
            return Err(StorageError::Compacted.into());
        };
        match self.entries.get(at as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let unavailable = |wanted| {
            self.wanted.set(wanted);
            Err(StorageError::SnapshotTemporarilyUnavailable.into())
        };
        let Some(last) = &self.last else {
            return unavailable(0);
        };
        // Who isn't a member by the snapshot doesn't take it; a later one has it.
        let member = node_of(to).is_some_and(|node| last.mark.membership.contains(node));
        if !member || last.mark.index < request_index {
            return unavailable(self.changed.max(request_index));
        }
        let Some(content) = &last.content else {
            return unavailable(last.mark.index);
        };
        let mut snapshot = Snapshot::default();
        snapshot.set_metadata(last.mark.to_raft());
        snapshot.data = content.clone();
        Ok(snapshot)
    }
}
