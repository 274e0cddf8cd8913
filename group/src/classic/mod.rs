//! Groups of the classic protocol: members agree on a protocol and a leader, and the leader gives out the
//! work. The coordinator keeps them to the same step.
//!
//! ```text
//!            first member             all joined, or time is over            leader's assignment
//!     Empty ──────────────> Preparing ──────────────────────────> Completing ──────────────────> Stable
//!       ^                     │    ^                                   │                            │
//!       └── nobody joined ────┘    └───── a member came, left, or changed what it wants ────────────┘
//! ```

mod answers;
mod convert;
mod describe;
mod join;
mod leave;
mod member;
mod rebalance;
mod replay;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use crate::embedded::PROTOCOL_TYPE as CONSUMER;
use crate::group::{Committer, Expiry};
use crate::step::{Name, Step};

pub(crate) use answers::{not_joined, not_synced};
use member::Member;

/// The longest string of a record, in bytes.
const LONGEST_STRING: usize = i16::MAX as usize;

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No members.
    Empty,
    /// Waiting for members to join.
    Preparing,
    /// Waiting for the leader's assignment.
    Completing,
    /// Every member can have its assignment.
    Stable,
}

impl Phase {
    /// As Kafka's tools know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A group of the classic protocol.
#[derive(Debug)]
pub(crate) struct Classic {
    id: Name,
    phase: Phase,
    /// Whether it was empty before this phase.
    was_empty: bool,
    /// Since when it is in its phase, in milliseconds since 1970.
    since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<Name>,
    /// The protocol that the members agreed on.
    protocol: Option<Name>,
    leader: Option<Name>,
    members: BTreeMap<Name, Member>,
    /// By instance id: the member that it is now.
    instances: BTreeMap<Name, Name>,
    /// Those that were given an id to join with.
    pending: BTreeSet<Name>,
    /// Those that haven't asked for their assignment of this generation.
    unsynced: BTreeSet<Name>,
    /// How many members wait for the answer to their JoinGroup.
    joining: usize,
    /// How many members know each protocol.
    known: BTreeMap<Name, usize>,
    /// The topics that its members want, if they are consumers that can be understood.
    topics: Option<BTreeSet<Name>>,
    /// Whether its record says that its members have to come again: it was of another protocol.
    was_to_rebalance: bool,
    /// While the first rebalance of an empty group waits for more members.
    gathering: Option<Gathering>,
}

/// The first rebalance of an empty group.
#[derive(Clone, Copy, Debug)]
struct Gathering {
    /// How long this round of waiting takes.
    delay_ms: u64,
    /// For how long there may be more rounds.
    remaining_ms: u64,
    /// Whether somebody came in this round.
    joined: bool,
}

impl Classic {
    /// One without members.
    pub(crate) fn new(id: Name, now_ms: i64) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            was_empty: false,
            since_ms: Some(now_ms),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            joining: 0,
            known: BTreeMap::new(),
            topics: None,
            was_to_rebalance: false,
            gathering: None,
        }
    }

    pub(crate) fn state(&self) -> Phase {
        self.phase
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    fn enter(&mut self, step: &Step<'_, '_>, phase: Phase) {
        self.was_empty = self.phase == Phase::Empty;
        self.phase = phase;
        self.since_ms = Some(step.wall_ms());
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Whether this is a member, and its instance, if it says one, is this very member.
    fn check_member(&self, member_id: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            let now = self
                .instances
                .get(instance)
                .ok_or(ResponseError::UnknownMemberId)?;
            if **now != *member_id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
        }
    }

    pub(crate) fn may_commit(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        let Committer {
            member_id,
            instance,
            generation,
            version,
        } = *committer;
        let transactional = version.is_none();
        if generation < 0 && self.is_empty() {
            // Kafka as a mere store of offsets.
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance.is_some() {
            self.check_member(member_id, instance)?;
            if generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !transactional && !self.is_empty() {
            return Err(ResponseError::UnknownMemberId);
        }
        if !transactional && self.phase == Phase::Completing {
            // The commit is of the generation before, which is over.
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    pub(crate) fn committed(&self, step: &mut Step<'_, '_>, member_id: &str) {
        if matches!(self.phase, Phase::Stable | Phase::Preparing)
            && let Some((id, member)) = self.members.get_key_value(member_id)
        {
            self.put_off_session(step, id, member);
        }
    }

    pub(crate) fn may_delete_offsets(&self) -> Result<(), ResponseError> {
        match self.is_empty() || self.protocol_type() == Some(CONSUMER) {
            true => Ok(()),
            false => Err(ResponseError::NonEmptyGroup),
        }
    }

    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            // Not understood: it may be any.
            None => self.protocol_type() == Some(CONSUMER),
        }
    }

    pub(crate) fn expiry(&self) -> Expiry {
        if self.protocol_type.is_none() {
            return Expiry::SinceCommit;
        }
        match self.phase {
            Phase::Empty => self.since_ms.map_or(Expiry::SinceCommit, Expiry::Since),
            Phase::Stable if self.topics.is_some() && self.protocol_type() == Some(CONSUMER) => {
                Expiry::SinceCommit
            }
            _ => Expiry::Never,
        }
    }

    /// How long a rebalance may take: as long as the most patient member allows.
    fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts
            .max()
            .map_or(0, |ms| u64::try_from(ms).unwrap_or(0))
    }

    fn all_joined(&self) -> bool {
        self.members.len() == self.joining && self.pending.is_empty()
    }
}
