//! What the core wants done.

use crate::message::{Answer, Follow, Progress};

/// Something for the shell to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Note in the log that `epoch` begins at `start`, before anything else is appended.
    AssignEpoch {
        /// The new leader epoch.
        epoch: i32,
        /// The log's end.
        start: i64,
    },
    /// Cut the log back to `end` (its epochs too, even where it ends there already), then call
    /// [`Replica::truncated`](crate::Replica::truncated).
    Truncate {
        /// The new end.
        end: i64,
    },
    /// Throw the log away and begin an empty one at `start`, then call
    /// [`Replica::truncated`](crate::Replica::truncated). Must be durable before the high watermark, which
    /// moves to `start`, is next written to a checkpoint.
    RestartAt {
        /// The new start and end.
        start: i64,
    },
    /// Give up what is below `start`, then call [`Replica::log_moved`](crate::Replica::log_moved).
    RaiseLogStart {
        /// The new first offset, never above the high watermark.
        start: i64,
    },
    /// The high watermark moved; it moves back only with a truncation. Whoever waits for all replicas
    /// up to here is answered: with success if `enough`, else with `NOT_ENOUGH_REPLICAS_AFTER_APPEND`.
    HighWatermark {
        /// The new high watermark.
        high_watermark: i64,
        /// Whether the ISR has at least `min.insync.replicas`.
        enough: bool,
    },
    /// This replica no longer leads: whoever waits for an append gets `NOT_LEADER_OR_FOLLOWER`.
    LeadershipLost,
    /// The leader can't go on in this epoch: ask the controller for another one. Until then nothing is
    /// appended. Comes again every `retry_ms` while there is none; what is asked twice changes nothing more.
    Resign {
        /// The epoch to be ended.
        leader_epoch: i32,
    },
    /// Ask the controller for another ISR; [`Replica::isr_answer`](crate::Replica::isr_answer) takes
    /// what it says. Requests of one partition must reach the controller in the order sent.
    AlterPartition(IsrChange),
    /// Ask the leader for its records.
    Follow {
        /// The leader.
        to: i32,
        /// What to ask.
        follow: Follow,
    },
    /// Tell the leader how far this replica is. Later ones make earlier ones needless.
    Progress {
        /// The leader.
        to: i32,
        /// What to tell.
        progress: Progress,
    },
    /// Answer a follower.
    Answer {
        /// The follower.
        to: i32,
        /// What to answer.
        answer: Answer,
    },
}

/// An ISR that a leader asks for: Kafka's `AlterPartition` of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// The number of the request, which the answer brings back. Another one each time it is sent.
    pub request: u64,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The partition epoch the change is made to.
    pub partition_epoch: i32,
    /// The ISR it should be, the leader first.
    pub isr: Vec<IsrMember>,
}

/// A member of a new ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsrMember {
    /// The node.
    pub node: i32,
    /// The broker epoch it has been heard with, -1 for a member not heard of in this leader epoch.
    pub broker_epoch: i64,
}
