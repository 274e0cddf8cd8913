//! Questions to a replica: who leads, what may be appended, what may be read, and by whom.

use crate::machine::{Replica, Role};
use crate::view::LogView;

/// Why a replica doesn't serve a request. The names are those of Kafka's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// `NOT_LEADER_OR_FOLLOWER`.
    #[error("this replica does not lead the partition; refresh the metadata")]
    NotLeaderOrFollower,
    /// `FENCED_LEADER_EPOCH`.
    #[error("the leader epoch of the request is over; refresh the metadata")]
    FencedLeaderEpoch,
    /// `UNKNOWN_LEADER_EPOCH`.
    #[error("the leader epoch of the request is not known here yet; ask again")]
    UnknownLeaderEpoch,
    /// `OFFSET_NOT_AVAILABLE`.
    #[error(
        "the high watermark has not reached the start of the new leader's epoch yet; ask again"
    )]
    OffsetNotAvailable,
    /// `NOT_ENOUGH_REPLICAS`.
    #[error("fewer replicas are in sync than min.insync.replicas asks for; nothing was appended")]
    NotEnoughReplicas,
}

/// What somebody who waits for all replicas up to an offset is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// To wait.
    Wait,
    /// Every replica in sync has it.
    Done,
    /// `NOT_ENOUGH_REPLICAS_AFTER_APPEND`: those in sync have it, but are too few.
    NotEnoughReplicasAfterAppend,
    /// `NOT_LEADER_OR_FOLLOWER`: whether it stays is another leader's to say.
    NotLeaderOrFollower,
}

/// Who leads, for clients that asked the wrong node (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The leading node, -1 for none.
    pub leader: i32,
    /// Its epoch, -1 if nothing is known.
    pub leader_epoch: i32,
}

/// How a follower is doing, for metrics and descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Its node.
    pub node: i32,
    /// Whether it is in the ISR.
    pub in_isr: bool,
    /// Its stored end, -1 while not known.
    pub stable_end: i64,
    /// Its first offset, -1 while not known.
    pub log_start: i64,
    /// For how many milliseconds it has lacked something that the leader had; `u64::MAX` if it never
    /// had all.
    pub behind_ms: u64,
}

impl Replica {
    /// Whether this replica leads and may append.
    pub fn is_leader(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if !leader.resigned)
    }

    /// Whether this replica follows a leader that found its log to be a part of its own.
    pub fn is_in_step(&self) -> bool {
        matches!(&self.role, Role::Follower(follower) if follower.is_synced() && !follower.truncating)
    }

    /// The leader's epoch, -1 before the first assignment. Stamped on what is appended.
    pub fn leader_epoch(&self) -> i32 {
        self.shared.leader_epoch
    }

    /// The partition's epoch, -1 before the first assignment.
    pub fn partition_epoch(&self) -> i32 {
        self.shared.partition_epoch
    }

    /// Who leads.
    pub fn leader_hint(&self) -> LeaderHint {
        LeaderHint {
            leader: self.shared.leader,
            leader_epoch: self.shared.leader_epoch,
        }
    }

    /// The offset below which consumers may read.
    pub fn high_watermark(&self) -> i64 {
        self.shared.high_watermark
    }

    /// The offsets consumers may read: from the log's start to the high watermark.
    pub fn visible(&self, log: &impl LogView) -> (i64, i64) {
        (log.start(), self.shared.high_watermark)
    }

    /// Whether a client's record may be appended; `all` for `acks=all`.
    ///
    /// # Errors
    /// [`NotServed::NotLeaderOrFollower`], [`NotServed::NotEnoughReplicas`].
    pub fn check_append(&self, all: bool) -> Result<(), NotServed> {
        match &self.role {
            Role::Leader(leader) if !leader.resigned => {
                if all && leader.isr_len() < self.shared.min_insync() {
                    return Err(NotServed::NotEnoughReplicas);
                }
                Ok(())
            }
            _ => Err(NotServed::NotLeaderOrFollower),
        }
    }

    /// What somebody who waits for all replicas up to `end` is told now.
    pub fn ack(&self, end: i64) -> Ack {
        match &self.role {
            Role::Leader(leader) if !leader.resigned => {
                if self.shared.high_watermark < end {
                    Ack::Wait
                } else if leader.enough(&self.shared) {
                    Ack::Done
                } else {
                    Ack::NotEnoughReplicasAfterAppend
                }
            }
            _ => Ack::NotLeaderOrFollower,
        }
    }

    /// Compares the leader epoch a request believes in, -1 for none, with this replica's (KIP-320).
    ///
    /// # Errors
    /// [`NotServed::FencedLeaderEpoch`], [`NotServed::UnknownLeaderEpoch`].
    pub fn check_epoch(&self, believed: i32) -> Result<(), NotServed> {
        let current = self.shared.leader_epoch;
        match believed {
            -1 => Ok(()),
            believed if believed < current => Err(NotServed::FencedLeaderEpoch),
            believed if believed > current => Err(NotServed::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// The latest offset a consumer may know of: the high watermark.
    ///
    /// # Errors
    /// [`NotServed::OffsetNotAvailable`] while a new leader can't know yet how much its predecessor
    /// had shown to consumers; [`NotServed::NotLeaderOrFollower`]. A look-up by time that finds nothing
    /// below the high watermark gets the same.
    pub fn latest_offset(&self) -> Result<i64, NotServed> {
        match &self.role {
            Role::Leader(leader) if !leader.resigned => {
                if leader.epoch_start > self.shared.high_watermark {
                    return Err(NotServed::OffsetNotAvailable);
                }
                Ok(self.shared.high_watermark)
            }
            _ => Err(NotServed::NotLeaderOrFollower),
        }
    }

    /// Answers `OffsetsForLeaderEpoch`: the greatest epoch not above `epoch`, and where it ends; -1 and
    /// -1 if that isn't known. `believed` is the leader epoch the client believes in, -1 for none.
    ///
    /// # Errors
    /// As of [`check_epoch`](Self::check_epoch), or [`NotServed::NotLeaderOrFollower`].
    pub fn offset_for_epoch(
        &self,
        believed: i32,
        epoch: i32,
        log: &impl LogView,
    ) -> Result<(i32, i64), NotServed> {
        self.check_epoch(believed)?;
        if !self.is_leader() {
            return Err(NotServed::NotLeaderOrFollower);
        }
        Ok(log.epoch_end(epoch))
    }

    /// The node a consumer should rather read from at `offset` (KIP-392), as Kafka's
    /// `RackAwareReplicaSelector` picks it: `None` for the leader, where it is in the consumer's rack or
    /// nobody better is; else the follower in the rack that is in the ISR, has the offset, and is
    /// furthest. `in_rack` says of a node whether it is in the consumer's rack.
    pub fn preferred_read_replica(
        &self,
        offset: i64,
        now_ms: u64,
        in_rack: impl Fn(i32) -> bool,
    ) -> Option<i32> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        if in_rack(self.shared.me) {
            return None;
        }
        let has_it = leader.followers.iter().filter(|follower| {
            follower.in_isr
                && follower.following
                && (follower.log_start..=follower.stable).contains(&offset)
                && in_rack(follower.peer.node)
        });
        let best = has_it.max_by_key(|follower| {
            let behind_ms = follower.behind_ms(now_ms);
            (follower.stable, u64::MAX - behind_ms, follower.peer.node)
        });
        best.map(|follower| follower.peer.node)
    }

    /// The offset up to which all live replicas have deleted their records: `DeleteRecords` is answered
    /// when it is reached. `None` unless this replica leads.
    pub fn low_watermark(&self, log: &impl LogView) -> Option<i64> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let live = leader
            .followers
            .iter()
            .filter(|follower| follower.peer.eligible);
        let starts = live.map(|follower| follower.log_start);
        Some(starts.fold(log.start(), i64::min))
    }

    /// How the followers are doing; nothing unless this replica leads.
    pub fn followers(&self, now_ms: u64) -> impl Iterator<Item = FollowerStatus> + '_ {
        let followers = match &self.role {
            Role::Leader(leader) => leader.followers.as_slice(),
            _ => &[],
        };
        followers.iter().map(move |follower| FollowerStatus {
            node: follower.peer.node,
            in_isr: follower.in_isr,
            stable_end: follower.stable,
            log_start: follower.log_start,
            behind_ms: follower.behind_ms(now_ms),
        })
    }

    /// Size of the ISR that the controller is known to have; 0 unless this replica leads.
    pub fn isr_len(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.isr_len(),
            _ => 0,
        }
    }
}
