//! A node as a member of the quorum: its log on the drive, what it sends when, its image of the metadata.
//!
//! The drive does writes one after the other. A crash loses what isn't written, but for the first writes
//! under way, which may just have been done.

use std::collections::VecDeque;

use bytes::Bytes;
use metadata::{Image, Record as MetaRecord};
use quorum::{Committed, CommittedKind, Config, HardState, Quorum, Ready, Restored, Role};

use crate::env::{Env, Work, tell};
use crate::ledger::records_of;
use crate::message::{Address, Body, Packet};
use crate::mutation::Mutation;
use crate::payload;
use crate::rng::Rng;

/// What is on the drive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    restored: Restored,
    /// The last snapshot's content.
    content: Bytes,
}

impl Stored {
    /// What one of the first voters begins with.
    pub(crate) fn bootstrap(voters: i32) -> Self {
        Self {
            restored: Restored::bootstrap(0..voters),
            content: Bytes::new(),
        }
    }

    fn write(&mut self, ready: &Ready) {
        if let Some(install) = &ready.snapshot {
            self.restored.snapshot = Some(install.mark.clone());
            self.restored.entries.clear();
            self.content = install.content.clone();
        }
        let entries = &mut self.restored.entries;
        if let Some(first) = ready.entries.first() {
            entries.retain(|entry| entry.index < first.index);
            entries.extend(ready.entries.iter().cloned());
        }
        if let Some(hard_state) = ready.hard_state {
            self.restored.hard_state = hard_state;
        }
    }
}

/// What became of the metadata.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The member doesn't lead.
    Follows,
    /// An entry was applied, with these records.
    Applied {
        index: u64,
        term: u64,
        records: Vec<MetaRecord>,
    },
    /// The whole image is another.
    Whole,
}

/// The member.
pub(crate) struct Member {
    node: i32,
    pub(crate) quorum: Quorum,
    stored: Stored,
    writes: VecDeque<Ready>,
    /// What was promised when this process began, for a mutation.
    first_promise: HardState,
    pub(crate) image: Image,
    /// The last entry that the image has.
    pub(crate) applied: u64,
    snapshot_wanted: bool,
    /// For a mutation: entries applied ahead of time.
    ahead_of_time: u64,
}

impl Member {
    /// The member as it was when it wrote what is stored.
    pub(crate) fn new(env: &mut Env, node: i32, stored: Stored) -> Self {
        let config = Config {
            keep_entries: 4,
            max_message_bytes: 4096,
            ..Config::new(node, env.rng.next())
        };
        let quorum = match Quorum::new(config, stored.restored.clone()) {
            Ok(quorum) => quorum,
            Err(error) => panic!("node {node} can't start: {error}"),
        };
        let mark = stored.restored.snapshot.as_ref();
        let mut member = Self {
            node,
            quorum,
            applied: mark.map_or(0, |mark| mark.index),
            first_promise: stored.restored.hard_state,
            stored,
            writes: VecDeque::new(),
            image: Image::new(),
            snapshot_wanted: false,
            ahead_of_time: 0,
        };
        member.image = member.image_of(&member.stored.content);
        if member.applied > 0 {
            env.ledger.same_image(node, member.applied, &member.image);
        }
        member
    }

    fn image_of(&self, content: &[u8]) -> Image {
        let mut image = Image::new();
        for record in payload::decode(content) {
            if let Err(error) = image.apply(&record) {
                panic!("node {}: a snapshot can't be applied: {error}", self.node);
            }
        }
        image
    }

    /// The process dies; what is on the drive then.
    pub(crate) fn crash(mut self, rng: &mut Rng, broken: Option<Mutation>) -> Stored {
        let written = rng.below(self.writes.len() as u64 + 1);
        for ready in self.writes.drain(..).take(written as usize) {
            self.stored.write(&ready);
        }
        if broken == Some(Mutation::VoteForgotten) {
            let promise = &mut self.stored.restored.hard_state;
            let mark = self.stored.restored.snapshot.as_ref();
            let last = self.stored.restored.entries.last().map(|entry| entry.term);
            let logged = last.or(mark.map(|mark| mark.term)).unwrap_or(0);
            promise.vote = None;
            promise.term = self.first_promise.term.max(logged);
        }
        self.stored
    }

    /// The offset after the last record that the image has.
    pub(crate) fn offset(&self) -> i64 {
        self.applied as i64 + 1
    }

    /// Whether this member leads, and has applied an entry of its own term.
    pub(crate) fn leads(&self, term: u64) -> bool {
        self.quorum.role() == Role::Leader && self.quorum.term() == term
    }

    /// Does what the quorum wants done; tells what became of the metadata.
    pub(crate) fn turn(&mut self, env: &mut Env, turns: &mut Vec<Turn>) {
        while let Some(ready) = self.quorum.ready() {
            self.perform(env, ready, turns);
        }
        self.take_snapshot(env);
    }

    fn perform(&mut self, env: &mut Env, mut ready: Ready, turns: &mut Vec<Turn>) {
        if ready.role == Role::Leader {
            env.ledger.leads_quorum(self.node, ready.term);
        } else {
            turns.push(Turn::Follows);
        }
        let early = env.breaks(Mutation::QuorumAnswersUnwritten);
        if early {
            let mut after = std::mem::take(&mut ready.messages_after);
            ready.messages.append(&mut after);
        }
        self.send(env, &ready.messages);
        if let Some(install) = &ready.snapshot {
            self.image = self.image_of(&install.content);
            self.applied = install.mark.index;
            env.ledger.same_image(self.node, self.applied, &self.image);
            env.ledger.count("snapshots installed");
            turns.push(Turn::Whole);
        }
        if env.breaks(Mutation::UncommittedApplied) {
            self.apply_uncommitted(env, &ready, turns);
        }
        for committed in std::mem::take(&mut ready.committed) {
            self.apply(env, committed, turns);
        }
        self.quorum.applied(self.applied);
        if let Some(wanted) = ready.wanted_snapshot {
            match self
                .stored
                .restored
                .snapshot
                .as_ref()
                .map(|mark| mark.index)
            {
                Some(index) if index >= wanted && !self.stored.content.is_empty() => {
                    let content = self.stored.content.clone();
                    self.quorum.snapshot_content(index, content);
                }
                _ => self.snapshot_wanted = true,
            }
        }
        let number = ready.number;
        self.writes.push_back(ready);
        if early {
            self.quorum.persisted(number);
        }
        let write = env.shape.write;
        let after = env.rng.between(write.0, write.1);
        env.work_after(after, self.node, Work::QuorumWritten(number));
    }

    fn send(&self, env: &mut Env, messages: &[quorum::Message]) {
        for message in messages {
            env.send(Packet {
                from: Address::Node(self.node),
                to: Address::Node(message.to),
                body: Body::Quorum(quorum::encode(message)),
            });
        }
    }

    /// All up to a number is on the drive.
    pub(crate) fn written(&mut self, env: &mut Env, number: u64) {
        while self
            .writes
            .front()
            .is_some_and(|ready| ready.number <= number)
        {
            let Some(ready) = self.writes.pop_front() else {
                return;
            };
            self.stored.write(&ready);
            self.send(env, &ready.messages_after);
            self.quorum.persisted(ready.number);
        }
    }

    /// A message of another member.
    pub(crate) fn step(&mut self, env: &mut Env, bytes: &[u8]) {
        let Ok(message) = quorum::decode(bytes) else {
            panic!("a message of the quorum can't be read");
        };
        if let Err(error) = self.quorum.step(message) {
            let said = quorum::decode(bytes);
            env.ledger
                .fail(format!("node {} refused {said:?}: {error}", self.node));
        }
    }

    fn apply(&mut self, env: &mut Env, committed: Committed, turns: &mut Vec<Turn>) {
        let Committed { index, term, kind } = committed;
        if index <= self.ahead_of_time {
            return;
        }
        assert_eq!(index, self.applied + 1, "a gap at node {}", self.node);
        let payload = match kind {
            CommittedKind::Payload(payload) => Some(payload),
            CommittedKind::Membership(_) | CommittedKind::Empty => None,
        };
        self.apply_one(env, (index, term), payload, turns);
    }

    fn apply_one(
        &mut self,
        env: &mut Env,
        (index, term): (u64, u64),
        payload: Option<Bytes>,
        turns: &mut Vec<Turn>,
    ) {
        let records = records_of(payload.as_ref());
        for record in &records {
            tell!(env, "node {} applies {index}: {record:?}", self.node);
            if let Err(error) = self.image.apply(record) {
                env.ledger.fail(format!(
                    "node {} can't apply {record:?}: {error}",
                    self.node
                ));
            }
        }
        self.applied = index;
        let place = (index, term);
        env.ledger
            .applied(self.node, place, payload.as_ref(), &self.image);
        turns.push(Turn::Applied {
            index,
            term,
            records,
        });
    }

    fn apply_uncommitted(&mut self, env: &mut Env, ready: &Ready, turns: &mut Vec<Turn>) {
        for entry in &ready.entries {
            if entry.index == self.applied + 1 {
                let payload = match &entry.body {
                    quorum::EntryBody::Payload(payload) => Some(payload.clone()),
                    _ => None,
                };
                self.apply_one(env, (entry.index, entry.term), payload, turns);
                self.ahead_of_time = self.applied;
            }
        }
    }

    /// Takes a snapshot, if one is due and nothing is being written.
    fn take_snapshot(&mut self, env: &mut Env) {
        let last = self.stored.restored.snapshot.as_ref();
        let last = last.map_or(0, |mark| mark.index);
        let due = self.snapshot_wanted || self.applied >= last + env.shape.snapshot_every;
        if !due || !self.writes.is_empty() {
            return;
        }
        let content = payload::encode(&self.image.to_records());
        let Ok(mark) = self.quorum.mark_at(self.applied) else {
            return;
        };
        let index = mark.index;
        let entries = &mut self.stored.restored.entries;
        entries.retain(|entry| entry.index > index);
        self.stored.restored.snapshot = Some(mark);
        self.stored.content = content.clone();
        self.snapshot_wanted = false;
        if let Err(error) = self.quorum.snapshot_taken(index, content) {
            panic!("node {}: {error}", self.node);
        }
        env.ledger.count("snapshots taken");
    }
}
