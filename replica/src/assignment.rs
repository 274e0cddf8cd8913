//! What the metadata says of a partition and of the nodes it is on.

/// A partition as the metadata has it.
#[derive(Clone, Copy, Debug)]
pub struct Assignment<'a> {
    /// The leading node, -1 for none.
    pub leader: i32,
    /// Counts the leaders.
    pub leader_epoch: i32,
    /// Counts the changes.
    pub partition_epoch: i32,
    /// The nodes with a replica, in the order of the metadata.
    pub replicas: &'a [Peer],
    /// The nodes whose replica is in sync.
    pub isr: &'a [i32],
}

/// A node that has a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: i32,
    /// The epoch of its registration, -1 if it isn't registered.
    pub broker_epoch: i64,
    /// Whether it may join an ISR: registered, not fenced, not shutting down.
    pub eligible: bool,
}

/// What became of an [`Assignment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// It is older than what is known, or contradicts it; nothing changed.
    Stale,
    /// It is what is known; at most the state of nodes changed.
    Known,
    /// This replica leads in a new epoch.
    Leader,
    /// This replica leads as before, with other replicas or another ISR.
    LeaderUpdated,
    /// This replica follows a new leader, or has to wait for one.
    Follower,
    /// This replica follows as before.
    FollowerUpdated,
    /// This node has no replica any more.
    Gone,
}

/// Settings a replica needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: u64,
    /// After how many milliseconds a request that nobody answered is made again.
    pub retry_ms: u64,
    /// `min.insync.replicas`; counts as the number of replicas where there are fewer.
    pub min_insync_replicas: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lag_max_ms: 30_000,
            retry_ms: 1_000,
            min_insync_replicas: 1,
        }
    }
}

/// What the controller says to an [`IsrChange`](crate::IsrChange).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsrAnswer {
    /// It is so, from this partition epoch on.
    Accepted {
        /// The new partition epoch; the old one if nothing had to change.
        partition_epoch: i32,
    },
    /// `INELIGIBLE_REPLICA`, `OPERATION_NOT_ATTEMPTED`: a new member may not join now. Surely not
    /// applied.
    Ineligible,
    /// `FENCED_LEADER_EPOCH`: there is a newer leader epoch.
    Fenced,
    /// `INVALID_UPDATE_VERSION`: there is a newer partition epoch. It may be this very change, made by
    /// an answer that got lost.
    InvalidVersion,
    /// `NEW_LEADER_ELECTED`, `NOT_LEADER_OR_FOLLOWER`, unknown topic: this node doesn't lead it.
    NotLeader,
    /// The request got lost, timed out, or met a node that is no controller: whether it was applied is
    /// not known.
    Unknown,
}
