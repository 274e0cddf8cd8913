//! Who takes part in the quorum, and what a snapshot stands for.
//!
//! Node ids are 0 and up; the algorithm underneath wants ids that aren't 0, so ours plus one. That
//! addition is made here and nowhere else.

use raft::eraftpb::{ConfState, SnapshotMetadata};

/// The most members of one kind that a membership may have.
pub const MEMBERS_MAX: usize = 64;

/// The greatest index and term that a message may name: far from where adding could overflow.
pub(crate) const NUMBER_MAX: u64 = i64::MAX as u64;

/// The algorithm's id of `node`, which is 0 or more.
pub(crate) fn raft_id(node: i32) -> u64 {
    u64::from(node.unsigned_abs()) + 1
}

/// The node of the algorithm's id; none for the id that stands for nobody.
pub(crate) fn node_of(id: u64) -> Option<i32> {
    i32::try_from(id.checked_sub(1)?).ok()
}

/// Who takes part. Each list is in ascending order, without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those who elect and whose writes count. Empty only at a node that hasn't learnt yet who the
    /// quorum is.
    pub voters: Vec<i32>,
    /// Those who follow the log without a say.
    pub learners: Vec<i32>,
    /// The voters before a change of voters that is under way: until it has ended, a majority of
    /// these is needed too. Empty otherwise.
    pub outgoing: Vec<i32>,
    /// Those of `outgoing` who will be learners when the change has ended.
    pub next_learners: Vec<i32>,
}

impl Membership {
    /// These voters and learners, and no change under way.
    pub fn of(
        voters: impl IntoIterator<Item = i32>,
        learners: impl IntoIterator<Item = i32>,
    ) -> Self {
        Self {
            voters: ascending(voters),
            learners: ascending(learners),
            ..Self::default()
        }
    }

    /// Whether a change of voters is under way.
    pub fn is_changing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `node` has any part in it.
    pub fn contains(&self, node: i32) -> bool {
        let lists = [&self.voters, &self.learners, &self.outgoing];
        lists.iter().any(|list| list.contains(&node))
    }

    /// Why this can't be a membership, if it can't.
    pub(crate) fn fault(&self) -> Option<String> {
        let lists = [
            &self.voters,
            &self.learners,
            &self.outgoing,
            &self.next_learners,
        ];
        if self.voters.is_empty() {
            return Some("no voters".to_owned());
        }
        for list in lists {
            if list.len() > MEMBERS_MAX {
                return Some(format!(
                    "{} members of a kind, more than {MEMBERS_MAX}",
                    list.len()
                ));
            }
            if list.iter().any(|node| *node < 0) {
                return Some("a node id below 0".to_owned());
            }
            if list.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Some("node ids that don't ascend".to_owned());
            }
        }
        let voting = |node: &i32| self.voters.contains(node) || self.outgoing.contains(node);
        if self.learners.iter().any(voting) {
            return Some("a node that is a voter and a learner".to_owned());
        }
        let staged = |node: &i32| self.outgoing.contains(node) && !self.voters.contains(node);
        if !self.next_learners.iter().all(staged) {
            return Some("a next learner that isn't an outgoing voter only".to_owned());
        }
        None
    }

    pub(crate) fn to_raft(&self) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(ids(&self.voters));
        state.set_learners(ids(&self.learners));
        state.set_voters_outgoing(ids(&self.outgoing));
        state.set_learners_next(ids(&self.next_learners));
        state.auto_leave = self.is_changing();
        state
    }

    pub(crate) fn from_raft(state: &ConfState) -> Self {
        let nodes = |ids: &[u64]| ascending(ids.iter().copied().filter_map(node_of));
        Self {
            voters: nodes(state.get_voters()),
            learners: nodes(state.get_learners()),
            outgoing: nodes(state.get_voters_outgoing()),
            next_learners: nodes(state.get_learners_next()),
        }
    }
}

fn ids(nodes: &[i32]) -> Vec<u64> {
    nodes.iter().copied().map(raft_id).collect()
}

pub(crate) fn ascending(nodes: impl IntoIterator<Item = i32>) -> Vec<i32> {
    let mut nodes: Vec<i32> = nodes.into_iter().collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// What a snapshot stands for: the outcome of every entry up to and with `index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The index of the last entry that is in the snapshot; 1 and up.
    pub index: u64,
    /// That entry's term; 1 and up.
    pub term: u64,
    /// Who took part after that entry.
    pub membership: Membership,
}

impl SnapshotMark {
    /// Why this can't be a snapshot's mark, if it can't.
    pub(crate) fn fault(&self) -> Option<String> {
        let number = 1..=NUMBER_MAX;
        if !number.contains(&self.index) || !number.contains(&self.term) {
            return Some(format!("index {} of term {}", self.index, self.term));
        }
        self.membership.fault()
    }

    pub(crate) fn to_raft(&self) -> SnapshotMetadata {
        let mut metadata = SnapshotMetadata {
            index: self.index,
            term: self.term,
            ..SnapshotMetadata::default()
        };
        metadata.set_conf_state(self.membership.to_raft());
        metadata
    }

    pub(crate) fn from_raft(metadata: &SnapshotMetadata) -> Self {
        Self {
            index: metadata.index,
            term: metadata.term,
            membership: Membership::from_raft(metadata.get_conf_state()),
        }
    }
}
