//! Entries of the log, and how they lie in the algorithm's own.
//!
//! A change of members is given to the algorithm as Protocol Buffers bytes when it is proposed, because
//! it looks at them then. Nowhere else: the entry's context holds the change in a form of ours, and
//! that is what is sent, written and applied, so bytes from outside never meet a Protocol Buffers
//! parser.

use bytes::Bytes;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry as RaftEntry,
    EntryType,
};

use crate::membership::{MEMBERS_MAX, raft_id};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place; the log has no gaps.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// What it holds.
    pub body: EntryBody,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody {
    /// What a new leader begins its term with.
    Empty,
    /// What was proposed; never empty.
    Payload(Bytes),
    /// These members get these parts.
    Changes {
        /// Whether by joint consensus: the voters before keep their say until a `Leave`.
        joint: bool,
        /// One part for each member that gets another.
        changes: Vec<Change>,
    },
    /// The end of a change by joint consensus.
    Leave,
}

/// A member's new part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The member.
    pub node: i32,
    /// What it is from now on.
    pub part: Part,
}

/// The part a node takes in the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It elects, and its writes count.
    Voter,
    /// It follows the log.
    Learner,
    /// It is no member.
    Nothing,
}

/// Bytes of one change in an entry's context: the part, then the node.
const CHANGE_LEN: usize = 5;

impl Entry {
    /// Why this can't be an entry, if it can't. Its index and term are looked at by who knows which
    /// are expected.
    pub(crate) fn fault(&self) -> Option<String> {
        match &self.body {
            EntryBody::Empty | EntryBody::Leave => None,
            EntryBody::Payload(payload) => payload
                .is_empty()
                .then(|| format!("entry {} has an empty payload", self.index)),
            EntryBody::Changes { changes, .. } => {
                let several = 1..=MEMBERS_MAX;
                let sound = several.contains(&changes.len()) && changes.iter().all(|c| c.node >= 0);
                (!sound).then(|| format!("entry {} changes no possible members", self.index))
            }
        }
    }

    pub(crate) fn into_raft(self) -> RaftEntry {
        let mut entry = RaftEntry {
            index: self.index,
            term: self.term,
            ..RaftEntry::default()
        };
        match self.body {
            EntryBody::Empty => {}
            EntryBody::Payload(payload) => entry.data = payload,
            EntryBody::Changes { joint, changes } => {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
                entry.context = changes_to_bytes(joint, &changes).into();
            }
            EntryBody::Leave => entry.set_entry_type(EntryType::EntryConfChangeV2),
        }
        entry
    }

    pub(crate) fn from_raft(entry: &RaftEntry) -> Self {
        let body = match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => EntryBody::Empty,
            EntryType::EntryNormal => EntryBody::Payload(entry.data.clone()),
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                changes_from_bytes(&entry.context)
            }
        };
        Self {
            index: entry.index,
            term: entry.term,
            body,
        }
    }
}

/// What goes into the context of an entry that changes members; never empty.
pub(crate) fn changes_to_bytes(joint: bool, changes: &[Change]) -> Vec<u8> {
    let mut bytes = vec![u8::from(joint)];
    for change in changes {
        bytes.push(match change.part {
            Part::Voter => 0,
            Part::Learner => 1,
            Part::Nothing => 2,
        });
        bytes.extend(change.node.to_le_bytes());
    }
    bytes
}

fn changes_from_bytes(bytes: &[u8]) -> EntryBody {
    let Some((joint, rest)) = bytes.split_first() else {
        return EntryBody::Leave;
    };
    let changes = rest.chunks_exact(CHANGE_LEN).map(|chunk| Change {
        part: match chunk[0] {
            0 => Part::Voter,
            1 => Part::Learner,
            _ => Part::Nothing,
        },
        node: i32::from_le_bytes([chunk[1], chunk[2], chunk[3], chunk[4]]),
    });
    EntryBody::Changes {
        joint: *joint != 0,
        changes: changes.collect(),
    }
}

/// The algorithm's form of a change of members; without changes, the end of a joint one.
pub(crate) fn changes_to_raft(joint: bool, changes: &[Change]) -> ConfChangeV2 {
    let mut all = ConfChangeV2::default();
    if joint {
        all.set_transition(ConfChangeTransition::Implicit);
    }
    let singles = changes.iter().map(|change| {
        let mut single = ConfChangeSingle {
            node_id: raft_id(change.node),
            ..ConfChangeSingle::default()
        };
        single.set_change_type(match change.part {
            Part::Voter => ConfChangeType::AddNode,
            Part::Learner => ConfChangeType::AddLearnerNode,
            Part::Nothing => ConfChangeType::RemoveNode,
        });
        single
    });
    all.set_changes(singles.collect::<Vec<_>>().into());
    all
}
