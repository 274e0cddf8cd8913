//! How a member is set up, and what it is restored from.

use std::collections::VecDeque;

use raft::eraftpb::HardState as RaftHardState;
use raft::{Config as RaftConfig, NO_LIMIT};

use crate::effects::HardState;
use crate::entry::Entry;
use crate::error::NewError;
use crate::membership::{Membership, NUMBER_MAX, SnapshotMark, raft_id};
use crate::store::Store;

/// The most bytes that one entry or snapshot can have on the wire.
pub(crate) const CONTENT_MAX: usize = 1 << 30;

/// How a member is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node's id, 0 or more.
    pub node: i32,
    /// Where the member's randomness comes from: equal seeds and equal events, equal outputs.
    pub seed: u64,
    /// A follower that hears from no leader for this many ticks, up to twice as many, stands for
    /// election. A leader that hears from no majority for as long steps down. Greater than
    /// `heartbeat_ticks`.
    pub election_ticks: usize,
    /// Ticks between a leader's heartbeats; 1 or more.
    pub heartbeat_ticks: usize,
    /// The most `Append` messages on their way to one follower; 1 or more.
    pub max_inflight: usize,
    /// About the most bytes of payloads in one `Append`, which always has room for one entry.
    pub max_message_bytes: usize,
    /// The most bytes of one payload; up to 1 GiB.
    pub max_entry_bytes: usize,
    /// The most bytes of payloads that are proposed and not committed; one proposal always has room.
    /// No less than `max_message_bytes`.
    pub max_backlog_bytes: usize,
    /// Entries kept behind a snapshot in memory, for followers that are a little behind it.
    pub keep_entries: u64,
}

impl Config {
    /// For `node`, with what suits a tick of about 100 ms.
    pub fn new(node: i32, seed: u64) -> Self {
        Self {
            node,
            seed,
            election_ticks: 10,
            heartbeat_ticks: 2,
            max_inflight: 64,
            max_message_bytes: 1 << 20,
            max_entry_bytes: 8 << 20,
            max_backlog_bytes: 32 << 20,
            keep_entries: 1024,
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let checks = [
            (self.node < 0, "node is below 0"),
            (self.heartbeat_ticks == 0, "heartbeat_ticks is 0"),
            (
                self.election_ticks <= self.heartbeat_ticks,
                "election_ticks isn't greater than heartbeat_ticks",
            ),
            (
                self.election_ticks > 1 << 20,
                "election_ticks is beyond a million",
            ),
            (self.max_inflight == 0, "max_inflight is 0"),
            (
                self.max_entry_bytes == 0 || self.max_entry_bytes > CONTENT_MAX,
                "max_entry_bytes isn't between 1 and 1 GiB",
            ),
            (
                self.max_message_bytes > CONTENT_MAX,
                "max_message_bytes is beyond 1 GiB",
            ),
            (
                self.max_backlog_bytes < self.max_message_bytes,
                "max_backlog_bytes is less than max_message_bytes",
            ),
        ];
        let fault = checks.iter().find(|(wrong, _)| *wrong);
        fault.map(|(_, text)| (*text).to_owned())
    }

    pub(crate) fn to_raft(&self, applied: u64) -> RaftConfig {
        RaftConfig {
            id: raft_id(self.node),
            election_tick: self.election_ticks,
            heartbeat_tick: self.heartbeat_ticks,
            applied,
            max_size_per_msg: self.max_message_bytes as u64,
            max_inflight_msgs: self.max_inflight,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: self.max_backlog_bytes as u64,
            max_committed_size_per_ready: NO_LIMIT,
            ..RaftConfig::default()
        }
    }
}

/// What a member is restored from: all that its [`Ready`](crate::Ready)s gave it to write.
///
/// The default knows nothing: a node that joins a quorum starts with it, and learns from a leader's
/// snapshot who the others are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The last hard state written.
    pub hard_state: HardState,
    /// The last snapshot's mark.
    pub snapshot: Option<SnapshotMark>,
    /// The entries after the snapshot, without gaps. None without a snapshot.
    pub entries: Vec<Entry>,
}

impl Restored {
    /// What each of the first voters of a new quorum starts with, after it has written it. Every one
    /// must be given the same voters.
    ///
    /// It is a snapshot of index 1: the log of a quorum never begins with nothing, so a node that
    /// joins later must be given a snapshot, which tells it the membership that the later changes
    /// begin at.
    pub fn bootstrap(voters: impl IntoIterator<Item = i32>) -> Self {
        Self {
            hard_state: HardState {
                term: 1,
                vote: None,
                commit: 1,
            },
            snapshot: Some(SnapshotMark {
                index: 1,
                term: 1,
                membership: Membership::of(voters, []),
            }),
            entries: Vec::new(),
        }
    }

    /// The log of it, and the index of its snapshot.
    pub(crate) fn into_store(self) -> Result<(Store, u64), NewError> {
        if let Some(fault) = self.fault() {
            return Err(NewError::BadState(fault));
        }
        let mark_index = self.snapshot.as_ref().map_or(0, |mark| mark.index);
        let mut hard_state = RaftHardState::default();
        hard_state.term = self.hard_state.term;
        hard_state.vote = self.hard_state.vote.map_or(0, raft_id);
        hard_state.commit = self.hard_state.commit.max(mark_index);
        let entries: VecDeque<_> = self.entries.into_iter().map(Entry::into_raft).collect();
        Ok((Store::new(hard_state, self.snapshot, entries), mark_index))
    }

    fn fault(&self) -> Option<String> {
        let hard = &self.hard_state;
        if hard.term > NUMBER_MAX || hard.vote.is_some_and(|node| node < 0) {
            return Some(format!("a hard state of {hard:?}"));
        }
        if let Some(fault) = self.snapshot.as_ref().and_then(SnapshotMark::fault) {
            return Some(format!("a snapshot's mark with {fault}"));
        }
        let (mut index, mut term) = match &self.snapshot {
            Some(mark) => (mark.index, mark.term),
            None if self.entries.is_empty() => (0, 0),
            None => return Some("entries but no snapshot".to_owned()),
        };
        for entry in &self.entries {
            if let Some(fault) = entry.fault() {
                return Some(fault);
            }
            if entry.index != index + 1 || entry.term < term || entry.index > NUMBER_MAX {
                return Some(format!(
                    "entry {} of term {} right after entry {index} of term {term}",
                    entry.index, entry.term
                ));
            }
            (index, term) = (entry.index, entry.term);
        }
        if hard.term < term {
            return Some(format!(
                "a log that ends in term {term} but a hard state of term {}",
                hard.term
            ));
        }
        (hard.commit > index).then(|| {
            format!(
                "a log that ends at {index} although {} was committed: entries are lost",
                hard.commit
            )
        })
    }
}
