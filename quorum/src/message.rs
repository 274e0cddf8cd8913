//! What members send each other, and its translation to and from the algorithm's messages.
//!
//! Only what a member of ours sends has a form here. Proposals, requests to hand leadership over and
//! read requests are never passed on to the leader: the caller is told who leads instead.

use bytes::Bytes;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{Entry as RaftEntry, Message as RaftMessage, MessageType, Snapshot};

use crate::entry::Entry;
use crate::membership::{SnapshotMark, node_of, raft_id};

/// A message from one member to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The node that sends it.
    pub from: i32,
    /// The node it is for.
    pub to: i32,
    /// The sender's term; for a trial vote, the term it would stand for.
    pub term: u64,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A leader's entries for a follower.
    Append {
        /// The index of the entry before the first of `entries`.
        previous_index: u64,
        /// That entry's term.
        previous_term: u64,
        /// The last index that the leader knows committed.
        commit: u64,
        /// Entries without gaps; may be none.
        entries: Vec<Entry>,
    },
    /// A follower's answer to `Append` and `Snapshot`.
    AppendResult {
        /// The last index that is the leader's and on stable storage; when rejected, the
        /// `previous_index` of the `Append`.
        index: u64,
        /// Whether the entries didn't fit the follower's log.
        rejected: bool,
        /// When rejected: where the logs may agree.
        hint_index: u64,
        /// When rejected: the follower's term at `hint_index`.
        hint_term: u64,
        /// The last index that the follower knows committed.
        commit: u64,
    },
    /// A candidate asks for a vote.
    VoteRequest(VoteRequest),
    /// The answer to `VoteRequest`.
    VoteResult(VoteResult),
    /// A leader's snapshot for a follower that is behind the leader's log.
    Snapshot {
        /// What it stands for.
        mark: SnapshotMark,
        /// What it holds.
        content: Bytes,
    },
    /// A leader is there.
    Heartbeat {
        /// The last committed index that the follower has.
        commit: u64,
        /// The read that an answer would confirm.
        read: Option<u64>,
    },
    /// The answer to `Heartbeat`.
    HeartbeatResult {
        /// The last index that the follower knows committed.
        commit: u64,
        /// The heartbeat's.
        read: Option<u64>,
    },
    /// The leader wants the receiver to stand for election at once.
    Stand,
}

/// A candidate asks for a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRequest {
    /// Whether it only asks who would vote for it.
    pub trial: bool,
    /// Whether the leader asked it to stand, so that no one need wait for the leader to be gone.
    pub forced: bool,
    /// The last index of its log.
    pub last_index: u64,
    /// The term of that entry.
    pub last_term: u64,
    /// The last index that it knows committed.
    pub commit: u64,
    /// The term of that entry.
    pub commit_term: u64,
}

/// The answer to a [`VoteRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteResult {
    /// Whether to a trial.
    pub trial: bool,
    /// Whether the vote was refused.
    pub rejected: bool,
    /// When refused: the last index known committed.
    pub commit: u64,
    /// The term of that entry.
    pub commit_term: u64,
}

impl Message {
    pub(crate) fn into_raft(self) -> RaftMessage {
        let mut raft = RaftMessage {
            from: raft_id(self.from),
            to: raft_id(self.to),
            term: self.term,
            ..RaftMessage::default()
        };
        fill(&mut raft, self.body);
        raft
    }

    /// None for a message that isn't for another member of ours, which none is.
    pub(crate) fn from_raft(mut raft: RaftMessage) -> Option<Self> {
        let (from, to, term) = (node_of(raft.from)?, node_of(raft.to)?, raft.term);
        let body = match raft.get_msg_type() {
            MessageType::MsgAppend => Body::Append {
                previous_index: raft.index,
                previous_term: raft.log_term,
                commit: raft.commit,
                entries: raft.get_entries().iter().map(Entry::from_raft).collect(),
            },
            MessageType::MsgAppendResponse => Body::AppendResult {
                index: raft.index,
                rejected: raft.reject,
                hint_index: raft.reject_hint,
                hint_term: raft.log_term,
                commit: raft.commit,
            },
            kind @ (MessageType::MsgRequestVote | MessageType::MsgRequestPreVote) => {
                Body::VoteRequest(VoteRequest {
                    trial: kind == MessageType::MsgRequestPreVote,
                    forced: raft.context == CAMPAIGN_TRANSFER,
                    last_index: raft.index,
                    last_term: raft.log_term,
                    commit: raft.commit,
                    commit_term: raft.commit_term,
                })
            }
            kind @ (MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVoteResponse) => Body::VoteResult(VoteResult {
                trial: kind == MessageType::MsgRequestPreVoteResponse,
                rejected: raft.reject,
                commit: raft.commit,
                commit_term: raft.commit_term,
            }),
            MessageType::MsgSnapshot => {
                let mut snapshot = raft.take_snapshot();
                Body::Snapshot {
                    mark: SnapshotMark::from_raft(snapshot.get_metadata()),
                    content: snapshot.take_data(),
                }
            }
            MessageType::MsgHeartbeat => Body::Heartbeat {
                commit: raft.commit,
                read: read_of(&raft.context),
            },
            MessageType::MsgHeartbeatResponse => Body::HeartbeatResult {
                commit: raft.commit,
                read: read_of(&raft.context),
            },
            MessageType::MsgTimeoutNow => Body::Stand,
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader
            | MessageType::MsgReadIndex
            | MessageType::MsgReadIndexResp => return None,
        };
        Some(Self {
            from,
            to,
            term,
            body,
        })
    }
}

fn fill(raft: &mut RaftMessage, body: Body) {
    raft.set_msg_type(kind_of(&body));
    match body {
        Body::Append {
            previous_index,
            previous_term,
            commit,
            entries,
        } => {
            raft.index = previous_index;
            raft.log_term = previous_term;
            raft.commit = commit;
            let entries: Vec<RaftEntry> = entries.into_iter().map(Entry::into_raft).collect();
            raft.set_entries(entries.into());
        }
        Body::AppendResult {
            index,
            rejected,
            hint_index,
            hint_term,
            commit,
        } => {
            raft.index = index;
            raft.reject = rejected;
            raft.reject_hint = hint_index;
            raft.log_term = hint_term;
            raft.commit = commit;
        }
        Body::VoteRequest(request) => {
            if request.forced {
                raft.context = Bytes::from_static(CAMPAIGN_TRANSFER);
            }
            raft.index = request.last_index;
            raft.log_term = request.last_term;
            raft.commit = request.commit;
            raft.commit_term = request.commit_term;
        }
        Body::VoteResult(result) => {
            raft.reject = result.rejected;
            raft.commit = result.commit;
            raft.commit_term = result.commit_term;
        }
        Body::Snapshot { mark, content } => {
            let mut snapshot = Snapshot::default();
            snapshot.set_metadata(mark.to_raft());
            snapshot.data = content;
            raft.set_snapshot(snapshot);
        }
        Body::Heartbeat { commit, read } | Body::HeartbeatResult { commit, read } => {
            raft.commit = commit;
            raft.context = read.map_or_else(Bytes::new, read_to_bytes);
        }
        Body::Stand => {}
    }
}

fn kind_of(body: &Body) -> MessageType {
    match body {
        Body::Append { .. } => MessageType::MsgAppend,
        Body::AppendResult { .. } => MessageType::MsgAppendResponse,
        Body::VoteRequest(request) if request.trial => MessageType::MsgRequestPreVote,
        Body::VoteRequest(_) => MessageType::MsgRequestVote,
        Body::VoteResult(result) if result.trial => MessageType::MsgRequestPreVoteResponse,
        Body::VoteResult(_) => MessageType::MsgRequestVoteResponse,
        Body::Snapshot { .. } => MessageType::MsgSnapshot,
        Body::Heartbeat { .. } => MessageType::MsgHeartbeat,
        Body::HeartbeatResult { .. } => MessageType::MsgHeartbeatResponse,
        Body::Stand => MessageType::MsgTimeoutNow,
    }
}

/// A read's number as the context that the algorithm carries.
pub(crate) fn read_to_bytes(read: u64) -> Bytes {
    Bytes::copy_from_slice(&read.to_le_bytes())
}

/// The read's number of a context; none if it is of no read.
pub(crate) fn read_of(context: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(context.try_into().ok()?))
}
