//! One member of the quorum.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{Entry as RaftEntry, Message as RaftMessage, MessageType};
use raft::{RawNode, SnapshotStatus, StateRole};
use slog::{Discard, Logger, o};

use crate::changes::History;
use crate::check::{self, Verdict};
use crate::config::{Config, Restored};
use crate::effects::{Committed, HardState, Install, ReadIndex, Ready, Role};
use crate::entry::Entry;
use crate::error::{
    CampaignError, NewError, NotLeader, ProposeError, ReadError, StepError, TransferError,
};
use crate::membership::{Membership, SnapshotMark, node_of, raft_id};
use crate::message::{Message, read_of, read_to_bytes};
use crate::store::Store;
use crate::timeout::Timeouts;

/// One member of the quorum. It is one thread's; nothing in it is shared.
pub struct Quorum {
    pub(crate) config: Config,
    pub(crate) raw: RawNode<Store>,
    pub(crate) history: History,
    /// The last index handed out as committed, or installed as a snapshot.
    pub(crate) handed: u64,
    /// The last index that the owner has applied.
    pub(crate) applied: u64,
    timeouts: Timeouts,
    /// What was handed out to be written and isn't confirmed, in order.
    unwritten: VecDeque<Unwritten>,
    /// The last hard state handed out.
    hard_state: HardState,
}

/// What is to be written of one [`Ready`].
struct Unwritten {
    number: u64,
    /// Entries or a snapshot.
    log: bool,
    /// A term or a vote.
    vote: bool,
    /// The snapshot's index.
    snapshot: Option<u64>,
}

/// Where a proposal is in the log. It is committed when that index is committed with that term, and
/// lost when it is with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposed {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
}

impl Quorum {
    /// The member as it was when it wrote what is `restored`. What is known to be committed is handed
    /// out again from the snapshot on.
    ///
    /// # Errors
    ///
    /// On a configuration, or on restored state, that can't be.
    pub fn new(config: Config, restored: Restored) -> Result<Self, NewError> {
        if let Some(fault) = config.fault() {
            return Err(NewError::BadConfig(fault));
        }
        let mut hard_state = restored.hard_state;
        let (store, mark_index) = restored.into_store()?;
        hard_state.commit = hard_state.commit.max(mark_index);
        let membership = store
            .mark()
            .map_or_else(Membership::default, |mark| mark.membership.clone());
        // What the algorithm would log, its owner can tell from what it is given to do.
        let logger = Logger::root(Discard, o!());
        let raw = RawNode::new(&config.to_raft(mark_index), store, &logger)
            .map_err(|error| NewError::BadState(error.to_string()))?;
        let mut quorum = Self {
            timeouts: Timeouts::new(config.seed, config.node, config.election_ticks),
            config,
            raw,
            history: History::new(mark_index, membership),
            handed: mark_index,
            applied: mark_index,
            unwritten: VecDeque::new(),
            hard_state,
        };
        quorum.pin(false);
        Ok(quorum)
    }

    /// A tick of time.
    pub fn tick(&mut self) {
        let raft = &self.raw.raft;
        let stands = raft.state != StateRole::Leader
            && raft.promotable()
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        // A member whose log isn't written can't lead; its election waits for the writes under way.
        if stands && !self.is_settled() {
            return;
        }
        self.raw.tick();
        self.pin(stands);
    }

    /// A message from another member. One that comes too late is ignored.
    ///
    /// # Errors
    ///
    /// When no member that keeps the rules sends such a message. Nothing has changed then.
    pub fn step(&mut self, mut message: Message) -> Result<(), StepError> {
        let settled = self.is_settled();
        match check::check(&self.raw, self.config.node, settled, &mut message)? {
            Verdict::Ignore => return Ok(()),
            // What the algorithm still refuses is an answer from a node that is no member.
            Verdict::Pass => {
                let _ = self.raw.step(message.into_raft());
            }
        }
        self.pin(false);
        Ok(())
    }

    /// Puts `payload` into the log, as one entry.
    ///
    /// # Errors
    ///
    /// When this member doesn't lead, when the payload is empty or larger than the limit, or when
    /// nothing can be taken at the moment.
    pub fn propose(&mut self, payload: Bytes) -> Result<Proposed, ProposeError> {
        self.may_propose()?;
        if payload.is_empty() {
            return Err(ProposeError::Empty);
        }
        let (size, max) = (payload.len(), self.config.max_entry_bytes);
        if size > max {
            return Err(ProposeError::TooLarge { size, max });
        }
        let entry = RaftEntry {
            data: payload,
            ..RaftEntry::default()
        };
        let mut message = RaftMessage {
            from: self.raw.raft.id,
            ..RaftMessage::default()
        };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(vec![entry].into());
        self.raw
            .step(message)
            .map_err(|_full| ProposeError::Backlog)?;
        Ok(self.proposed())
    }

    /// Stands for election now. A voter that is alone is elected at once.
    ///
    /// # Errors
    ///
    /// When this member is no voter, or when not all that it handed out is written.
    pub fn campaign(&mut self) -> Result<(), CampaignError> {
        if self.raw.raft.state == StateRole::Leader {
            return Ok(());
        }
        if !self.raw.raft.promotable() {
            return Err(CampaignError::NotVoter);
        }
        // Committed entries that weren't taken may change who the voters are.
        let untaken = self.raw.raft.raft_log.committed > self.handed;
        if untaken || !self.is_settled() {
            return Err(CampaignError::Unsettled);
        }
        let _ = self.raw.campaign();
        self.pin(true);
        Ok(())
    }

    /// Hands leadership to the voter `to`. It is over when another leads, and given up after about
    /// `election_ticks`; until then nothing can be proposed.
    ///
    /// # Errors
    ///
    /// When this member doesn't lead, or `to` is no voter.
    pub fn transfer_leader(&mut self, to: i32) -> Result<(), TransferError> {
        self.must_lead()?;
        if !self.membership().voters.contains(&to) {
            return Err(TransferError::NotVoter(to));
        }
        self.raw.transfer_leader(raft_id(to));
        self.pin(false);
        Ok(())
    }

    /// Asks for an index that all is at or below that is committed now, confirmed by a majority that
    /// this member still leads. It comes as [`Ready::reads`] with `read`, a number that wasn't used
    /// before. It never comes when the term or the role changes first.
    ///
    /// # Errors
    ///
    /// When this member doesn't lead, or has committed nothing in its term yet.
    pub fn read_index(&mut self, read: u64) -> Result<(), ReadError> {
        self.must_lead()?;
        if !self.raw.raft.commit_to_current_term() {
            return Err(ReadError::TooEarly);
        }
        self.raw.read_index(read_to_bytes(read).to_vec());
        Ok(())
    }

    /// A message to `node` was lost: sends to it more carefully.
    pub fn unreachable(&mut self, node: i32) {
        if node >= 0 && node != self.config.node {
            self.raw.report_unreachable(raft_id(node));
        }
    }

    /// The connection to `node` broke. Where that is the leader, its process may be gone: unless it is
    /// heard of again this member stands for election within a few ticks, and lets others stand.
    pub fn disconnected(&mut self, node: i32) {
        if self.role() != Role::Follower || self.leader() != Some(node) {
            return;
        }
        let before = |voter: &&i32| **voter != node && **voter < self.config.node;
        let rank = self.membership().voters.iter().filter(before).count();
        let raft = &mut self.raw.raft;
        raft.election_elapsed = raft.election_elapsed.max(self.config.election_ticks);
        self.timeouts.hasten(self.config.heartbeat_ticks, rank);
        self.pin(false);
    }

    /// What became of a [`Body::Snapshot`](crate::Body::Snapshot) that was sent to `node`. Must be told
    /// of each: nothing else is sent to the node before.
    pub fn report_snapshot(&mut self, node: i32, arrived: bool) {
        if node >= 0 && node != self.config.node {
            let status = match arrived {
                true => SnapshotStatus::Finish,
                false => SnapshotStatus::Failure,
            };
            self.raw.report_snapshot(raft_id(node), status);
        }
    }

    /// All that was handed out up to this number is on stable storage. A number that is unknown or
    /// was told before changes nothing.
    pub fn persisted(&mut self, number: u64) {
        let mut last = None;
        let mut snapshot = None;
        while let Some(front) = self.unwritten.front().filter(|one| one.number <= number) {
            last = Some(front.number);
            snapshot = front.snapshot.or(snapshot);
            self.unwritten.pop_front();
        }
        let Some(last) = last else {
            return;
        };
        self.raw.on_persist_ready(last);
        if let Some(index) = snapshot {
            self.raw.advance_apply_to(index);
        }
        self.pin(false);
    }

    /// All that was handed out as committed up to `index`, or as a snapshot of it, is applied.
    pub fn applied(&mut self, index: u64) {
        self.applied = index.min(self.handed).max(self.applied);
    }

    /// What is to be done, if there is anything.
    pub fn ready(&mut self) -> Option<Ready> {
        let wanted_snapshot = self.raw.mut_store().take_wanted();
        if wanted_snapshot.is_none() && !self.raw.has_ready() {
            return None;
        }
        let mut raft = self.raw.ready();
        let snapshot = self.take_snapshot(&raft);
        let entries = raft.take_entries();
        self.raw.mut_store().append(&entries);
        let (hard_state, voted) = self.take_hard_state(raft.hs().is_some());
        self.unwritten.push_back(Unwritten {
            number: raft.number(),
            log: snapshot.is_some() || !entries.is_empty(),
            vote: voted,
            snapshot: snapshot.as_ref().map(|install| install.mark.index),
        });
        // A leader may send before it has written: its own write counts only when it is confirmed. But
        // not before its term is written: it might lead the same term again, with other entries. Only
        // a voter that was elected by nobody else comes here so early.
        let mut messages = translate(raft.take_messages());
        let mut messages_after = translate(raft.take_persisted_messages());
        if self.unwritten.iter().any(|one| one.vote) {
            messages_after.append(&mut messages);
        }
        let committed = raft.take_committed_entries();
        let reads = raft.take_read_states();
        let (number, must_sync) = (raft.number(), raft.must_sync());
        self.raw.advance_append_async(raft);
        let committed = self.commit(&committed);
        self.pin(false);
        Some(Ready {
            number,
            hard_state,
            snapshot,
            entries: entries.iter().map(Entry::from_raft).collect(),
            must_sync,
            messages,
            messages_after,
            committed,
            reads: reads
                .into_iter()
                .filter_map(|state| {
                    let (read, index) = (read_of(&state.request_ctx)?, state.index);
                    Some(ReadIndex { read, index })
                })
                .collect(),
            wanted_snapshot,
            leader: self.leader(),
            term: self.term(),
            role: self.role(),
        })
    }

    /// Who leads, as far as known.
    pub fn leader(&self) -> Option<i32> {
        node_of(self.raw.raft.leader_id)
    }

    /// The member's term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// The member's role.
    pub fn role(&self) -> Role {
        Role::from(self.raw.raft.state)
    }

    /// Who takes part, by what was handed out as committed.
    pub fn membership(&self) -> &Membership {
        self.history.last()
    }

    /// The last index of the log.
    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// The last index known committed.
    pub fn commit_index(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    fn take_snapshot(&mut self, ready: &raft::Ready) -> Option<Install> {
        if ready.snapshot().is_empty() {
            return None;
        }
        let mark = SnapshotMark::from_raft(ready.snapshot().get_metadata());
        let content = ready.snapshot().data.clone();
        self.history = History::new(mark.index, mark.membership.clone());
        self.handed = mark.index;
        self.raw.mut_store().install(mark.clone(), content.clone());
        Some(Install { mark, content })
    }

    /// The hard state, if it has changed, and whether more of it than the commit index has.
    fn take_hard_state(&mut self, changed: bool) -> (Option<HardState>, bool) {
        if !changed {
            return (None, false);
        }
        let voted = self.has_voted();
        self.hard_state = self.hard_state_now();
        (Some(self.hard_state), voted)
    }

    fn hard_state_now(&self) -> HardState {
        let state = self.raw.raft.hard_state();
        HardState {
            term: state.term,
            vote: node_of(state.vote),
            commit: state.commit,
        }
    }

    /// Whether the term or the vote differ from what was handed out.
    fn has_voted(&self) -> bool {
        let now = self.hard_state_now();
        (now.term, now.vote) != (self.hard_state.term, self.hard_state.vote)
    }

    /// Changes the members as the entries say; hands them out.
    fn commit(&mut self, entries: &[RaftEntry]) -> Vec<Committed> {
        let committed = entries.iter().map(|entry| self.commit_one(entry)).collect();
        if let Some(last) = entries.last() {
            self.handed = last.index;
            // The algorithm waits for this only to know that changes of members have been made.
            self.raw.advance_apply_to(last.index);
        }
        committed
    }

    /// Whether all that could keep the member from leading is written: it must have its whole log, its
    /// term and its vote on stable storage.
    fn is_settled(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let written = self.unwritten.iter().all(|one| !one.log && !one.vote);
        written
            && !self.has_voted()
            && log.unstable_entries().is_empty()
            && log.unstable_snapshot().is_none()
            && log.persisted == log.last_index()
    }

    pub(crate) fn must_lead(&self) -> Result<(), NotLeader> {
        match self.role() {
            Role::Leader => Ok(()),
            _ => Err(NotLeader {
                leader: self.leader(),
            }),
        }
    }

    pub(crate) fn may_propose(&self) -> Result<(), ProposeError> {
        self.must_lead()?;
        match self.raw.raft.lead_transferee.and_then(node_of) {
            Some(to) => Err(ProposeError::Transferring { to }),
            None => Ok(()),
        }
    }

    /// Where the last proposal is.
    pub(crate) fn proposed(&self) -> Proposed {
        Proposed {
            index: self.last_index(),
            term: self.term(),
        }
    }

    fn pin(&mut self, stood: bool) {
        self.timeouts.pin(&mut self.raw, stood);
    }
}

fn translate(messages: Vec<RaftMessage>) -> Vec<Message> {
    messages
        .into_iter()
        .filter_map(Message::from_raft)
        .collect()
}
