//! What a member wants done.

use bytes::Bytes;
use raft::StateRole;

use crate::entry::Entry;
use crate::membership::{Membership, SnapshotMark};
use crate::message::Message;

/// What is to be done since the last one.
///
/// What is to be written is one: after a crash, all of it is there or none. All writes are in the order of
/// the numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// Its number, for [`Quorum::persisted`](crate::Quorum::persisted): greater than those before.
    pub number: u64,
    /// To be written, if it has changed.
    pub hard_state: Option<HardState>,
    /// To be written in the place of everything there, and to be applied in the place of everything
    /// applied. Comes before `entries`.
    pub snapshot: Option<Install>,
    /// To be written; what was there from the first one's index on is no longer valid.
    pub entries: Vec<Entry>,
    /// Whether what is to be written must be on stable storage before `persisted`. If not, there is
    /// nothing, or only a commit index that may as well be lost, and writing in order is enough.
    pub must_sync: bool,
    /// To be sent at once.
    pub messages: Vec<Message>,
    /// To be sent when all up to this number is on stable storage.
    pub messages_after: Vec<Message>,
    /// To be applied, in order. After a snapshot that is to be installed nothing comes before that is
    /// confirmed by `persisted`.
    pub committed: Vec<Committed>,
    /// Reads that may be answered once `index` is applied.
    pub reads: Vec<ReadIndex>,
    /// A follower needs a snapshot of this index or a later one. If there is one, its content is to be
    /// given by [`Quorum::snapshot_content`](crate::Quorum::snapshot_content); if not, one is to be
    /// taken. It is asked for once.
    pub wanted_snapshot: Option<u64>,
    /// The leader of `term`, as far as known.
    pub leader: Option<i32>,
    /// The member's term.
    pub term: u64,
    /// The member's role.
    pub role: Role,
}

/// What a member must not forget, besides its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HardState {
    /// The term it is in.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<i32>,
    /// The last index it knows committed. What was written with it or after it may stand on a change
    /// of members below it: so it may be lost, but not with later writes there.
    pub commit: u64,
}

/// A snapshot from the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// What it stands for.
    pub mark: SnapshotMark,
    /// What it holds.
    pub content: Bytes,
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its index: one more than the last one's, or than the snapshot's.
    pub index: u64,
    /// Its term: with the index, it tells whether a proposal became this entry.
    pub term: u64,
    /// What it is.
    pub kind: CommittedKind,
}

/// What a committed entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommittedKind {
    /// What was proposed.
    Payload(Bytes),
    /// Who takes part from here on.
    Membership(Membership),
    /// Nothing; a new leader's first.
    Empty,
}

/// A read that is confirmed: all that was committed when it was asked for is at or below `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadIndex {
    /// What [`Quorum::read_index`](crate::Quorum::read_index) was given.
    pub read: u64,
    /// The index to be applied first.
    pub index: u64,
}

/// What a member is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It follows, or waits for, a leader; a learner always does.
    Follower,
    /// It asks who would vote for it.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
}

impl From<StateRole> for Role {
    fn from(role: StateRole) -> Self {
        match role {
            StateRole::Follower => Self::Follower,
            StateRole::PreCandidate => Self::PreCandidate,
            StateRole::Candidate => Self::Candidate,
            StateRole::Leader => Self::Leader,
        }
    }
}
