//! What a leader and a follower of one partition say to each other.
//!
//! Every message carries the leader epoch it was said in, and means nothing in another. Each is true
//! whenever it arrives in its epoch, however late, however often: that is why loss, duplication and
//! reordering can do no harm.

use crate::view::Position;

/// Who a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The node.
    pub node: i32,
    /// The epoch of the node's registration: which of its processes it is.
    pub broker_epoch: i64,
    /// Which of the process's followings it is. Grows with every connection, and whenever a replica that
    /// was deleted is there again, perhaps with less than it once reported.
    pub session: u64,
}

/// Follower to leader: begin to send me records, or begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The epoch of the leader it means to follow.
    pub leader_epoch: i32,
    /// The partition epoch it has heard of: tells a replica that was taken away and is there again from
    /// what it was before.
    pub partition_epoch: i32,
    /// Where the follower's log ends.
    pub position: Position,
}

/// Follower to leader: how far it has come. Cumulative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The epoch it follows in.
    pub leader_epoch: i32,
    /// All below it is stored, and equal to the leader's.
    pub stable_end: i64,
    /// The first offset it still has.
    pub log_start: i64,
}

/// Leader to follower: the answer to a [`Follow`]. Repeats the position it answers, so that it can't be
/// taken for the answer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The epoch that was asked in.
    pub leader_epoch: i32,
    /// The position that was asked with.
    pub position: Position,
    /// What it comes to.
    pub kind: AnswerKind,
}

/// What a [`Follow`] comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// The follower's log is a part of the leader's; records follow from its end on.
    Following {
        /// The leader's high watermark.
        high_watermark: i64,
        /// The leader's first offset.
        log_start: i64,
    },
    /// The logs differ (KIP-595): cut yours back and follow again.
    Diverged {
        /// The leader's greatest epoch that is not above the follower's last.
        epoch: i32,
        /// Where that epoch ends in the leader's log.
        end: i64,
    },
    /// The leader has nothing that would continue the follower's log, or nothing any more that it could
    /// be compared with: it must begin anew.
    OutOfRange {
        /// The leader's first offset.
        log_start: i64,
    },
    /// The leader, or who was taken for it, doesn't serve this follower.
    Refused(Refusal),
}

/// Why a [`Follow`] was refused. All may pass: the follower asks again later, or metadata tells better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The follower's leader epoch is over.
    #[error("the leader epoch is over; wait for the metadata of the next one")]
    FencedEpoch,
    /// The leader has not heard of the epoch yet, or can't say where the follower's last epoch ended.
    #[error("the leader epoch is not known here yet; ask again")]
    UnknownEpoch,
    /// The node does not lead the partition.
    #[error("this node does not lead the partition; wait for metadata")]
    NotLeader,
    /// The follower's node has no replica of the partition.
    #[error("the node that asks has no replica of the partition; wait for metadata")]
    NotReplica,
    /// The follower's node has registered anew, or begun anew, since.
    #[error("the node that asks has begun anew since; connect again")]
    StaleBroker,
}

/// Leader to follower: records, as they are in the leader's log. Their bytes travel beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// The leader's epoch, not that of the records.
    pub leader_epoch: i32,
    /// The end of the log that they continue. The first record may have a greater offset where
    /// compaction left a gap.
    pub base_offset: i64,
    /// The offset after the last of them.
    pub next_offset: i64,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// The leader's first offset.
    pub log_start: i64,
}

/// Leader to follower: no records, but these moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// The leader's first offset.
    pub log_start: i64,
}
