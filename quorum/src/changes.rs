//! Changes of the quorum's members.
//!
//! A change of voters goes by joint consensus, in two entries: with the first, a majority of the voters
//! before and one of those after must agree; the leader adds the second, which ends that, by itself. One
//! change at a time. A change takes effect when its entry is handed out as committed.

use raft::eraftpb::Entry as RaftEntry;

use crate::core::{Proposed, Quorum};
use crate::effects::{Committed, CommittedKind, Role};
use crate::entry::{Change, Entry, EntryBody, Part, changes_to_bytes, changes_to_raft};
use crate::error::{ChangeError, ProposeError};
use crate::membership::{Membership, node_of};

/// Who took part from which index on, from the last snapshot's on.
pub(crate) struct History {
    /// In the order of the indexes; never empty.
    changes: Vec<(u64, Membership)>,
}

impl History {
    pub(crate) fn new(index: u64, membership: Membership) -> Self {
        Self {
            changes: vec![(index, membership)],
        }
    }

    pub(crate) fn last(&self) -> &Membership {
        &self.changes[self.changes.len() - 1].1
    }

    /// Who took part after the entry at `index`, which isn't before the first one's.
    pub(crate) fn at(&self, index: u64) -> &Membership {
        &self.changes[self.place(index)].1
    }

    /// Forgets what was before `index`.
    pub(crate) fn forget_before(&mut self, index: u64) {
        self.changes.drain(..self.place(index));
    }

    fn push(&mut self, index: u64, membership: Membership) {
        self.changes.push((index, membership));
    }

    fn place(&self, index: u64) -> usize {
        let after = self.changes.partition_point(|(from, _)| *from <= index);
        after.saturating_sub(1)
    }
}

/// What a leader knows of another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberProgress {
    /// The member.
    pub node: i32,
    /// The last index that it has on stable storage, as far as known.
    pub matched: u64,
    /// Whether it was heard from lately: within one or two times `election_ticks`.
    pub active: bool,
}

impl Quorum {
    /// Makes `node`, which is no member, a learner.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub fn add_learner(&mut self, node: i32) -> Result<Proposed, ChangeError> {
        let mut target = self.membership().clone();
        if target.contains(node) {
            return Err(self.refuse_change(ChangeError::NoChange));
        }
        target.learners.push(node);
        self.change(&target)
    }

    /// Takes `node` out of the quorum, voter or learner. A leader that is removed leads until the change
    /// is committed, then steps down.
    ///
    /// A node that was removed should run until the others go on without it: those who don't know yet
    /// that the change is complete may need its vote.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub fn remove(&mut self, node: i32) -> Result<Proposed, ChangeError> {
        let mut target = self.membership().clone();
        target.voters.retain(|voter| *voter != node);
        target.learners.retain(|learner| *learner != node);
        self.change(&target)
    }

    /// Makes exactly `voters` the voters. Who was one and is none of them is no member any more; learners
    /// that aren't named stay.
    ///
    /// The change can be completed only by a majority of the new voters. So let those who are new be
    /// learners first, until [`Quorum::progress`] shows that they have the log.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub fn set_voters(&mut self, voters: &[i32]) -> Result<Proposed, ChangeError> {
        let learners = self.membership().learners.iter().copied();
        let learners = learners.filter(|learner| !voters.contains(learner));
        let target = Membership::of(voters.iter().copied(), learners);
        self.change(&target)
    }

    /// What the leader knows of all members, itself included, in the order of their ids. Of a member
    /// that doesn't lead: nothing.
    pub fn progress(&self) -> Vec<MemberProgress> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let own = self.raw.raft.id;
        let all = self.raw.raft.prs().iter().filter_map(|(id, progress)| {
            Some(MemberProgress {
                node: node_of(*id)?,
                matched: progress.matched,
                active: *id == own || progress.recent_active,
            })
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|member| member.node);
        all
    }

    /// The reason why no change can be made now, if there is one; else `error`.
    fn refuse_change(&self, error: ChangeError) -> ChangeError {
        self.may_change().err().unwrap_or(error)
    }

    fn may_change(&self) -> Result<(), ChangeError> {
        self.may_propose()?;
        if !self.raw.raft.commit_to_current_term() {
            return Err(ChangeError::TooEarly);
        }
        if self.raw.raft.has_pending_conf() || self.membership().is_changing() {
            return Err(ChangeError::UnderWay);
        }
        Ok(())
    }

    fn change(&mut self, target: &Membership) -> Result<Proposed, ChangeError> {
        self.may_change()?;
        let target = Membership::of(
            target.voters.iter().copied(),
            target.learners.iter().copied(),
        );
        if let Some(fault) = target.fault() {
            return Err(ChangeError::Impossible(fault));
        }
        let now = self.membership();
        let changes = difference(now, &target);
        if changes.is_empty() {
            return Err(ChangeError::NoChange);
        }
        let joint = now.voters != target.voters || changes.len() > 1;
        let context = changes_to_bytes(joint, &changes);
        self.raw
            .propose_conf_change(context, changes_to_raft(joint, &changes))
            .map_err(|_full| ProposeError::Backlog)?;
        Ok(self.proposed())
    }

    /// Makes the change of members that `entry` is, if it is one, and tells what was committed.
    pub(crate) fn commit_one(&mut self, entry: &RaftEntry) -> Committed {
        let Entry { index, term, body } = Entry::from_raft(entry);
        let kind = match body {
            EntryBody::Empty => CommittedKind::Empty,
            EntryBody::Payload(payload) => CommittedKind::Payload(payload),
            EntryBody::Changes { joint, changes } => self.make_change(index, joint, &changes),
            EntryBody::Leave => self.make_change(index, false, &[]),
        };
        Committed { index, term, kind }
    }

    /// A change that can't be made isn't: all members come to that, as all were in the same state.
    fn make_change(&mut self, index: u64, joint: bool, changes: &[Change]) -> CommittedKind {
        let change = changes_to_raft(joint, changes);
        if let Ok(state) = self.raw.apply_conf_change(&change) {
            self.history.push(index, Membership::from_raft(&state));
            self.raw.mut_store().set_changed(index);
        }
        // A leader that is no voter any more steps down: the algorithm can't go on with it.
        if self.role() == Role::Leader && !self.raw.raft.promotable() {
            let term = self.term();
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        CommittedKind::Membership(self.membership().clone())
    }
}

/// The changes that make `target` of `now`; neither is in the middle of a change.
fn difference(now: &Membership, target: &Membership) -> Vec<Change> {
    let gone = now.voters.iter().chain(&now.learners);
    let gone = gone.filter(|node| !target.contains(**node));
    let new = |now: &Vec<i32>, target: &Vec<i32>, part| {
        let new = target.iter().filter(|node| !now.contains(node));
        new.map(|node| Change { node: *node, part })
            .collect::<Vec<_>>()
    };
    let mut changes = new(&now.voters, &target.voters, Part::Voter);
    changes.extend(new(&now.learners, &target.learners, Part::Learner));
    changes.extend(gone.map(|node| Change {
        node: *node,
        part: Part::Nothing,
    }));
    changes
}
