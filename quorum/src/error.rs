//! Why a member refuses an event.

use thiserror::Error;

/// Why a member can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NewError {
    /// The configuration can't be.
    #[error("the quorum's configuration can't be: {0}")]
    BadConfig(String),
    /// What was restored can't be what a member wrote.
    #[error("what was restored of the quorum's log can't be: {0}")]
    BadState(String),
}

/// The node doesn't lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this node doesn't lead the metadata quorum; {}", told(*leader))]
pub struct NotLeader {
    /// Who does, as far as known.
    pub leader: Option<i32>,
}

fn told(leader: Option<i32>) -> String {
    match leader {
        Some(node) => format!("ask node {node}"),
        None => "no leader is known, try again later".to_owned(),
    }
}

/// Why a proposal was refused. It isn't in the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Only the leader can.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// There is nothing in it.
    #[error("an entry of the metadata log can't be empty")]
    Empty,
    /// It is larger than an entry may be.
    #[error("an entry of {size} bytes is larger than the metadata log takes ({max} bytes)")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Leadership is being handed over.
    #[error("leadership of the metadata quorum is being handed to node {to}; try again later")]
    Transferring {
        /// To whom.
        to: i32,
    },
    /// Too much is proposed and not committed.
    #[error("too many metadata changes wait to be committed; try again later")]
    Backlog,
}

/// Why a change of members was refused. It isn't in the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// It can't be proposed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// One change at a time.
    #[error("a change of the quorum's members is under way; try again when it has ended")]
    UnderWay,
    /// A leader changes members only when an entry of its term is committed.
    #[error("the leader has committed nothing in its term yet; try again later")]
    TooEarly,
    /// Everything is so already.
    #[error("the quorum's members are so already")]
    NoChange,
    /// The outcome can't be.
    #[error("the quorum's members can't be so: {0}")]
    Impossible(String),
}

/// Why a member doesn't stand for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CampaignError {
    /// Only voters stand.
    #[error("this node isn't a voter of the metadata quorum")]
    NotVoter,
    /// It has written nothing false, but not everything: see [`crate::Ready`].
    #[error("what was handed out isn't all on stable storage, or not all was taken")]
    Unsettled,
}

/// Why leadership isn't handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Only the leader can.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Only a voter can lead.
    #[error("node {0} isn't a voter of the metadata quorum")]
    NotVoter(i32),
}

/// Why a read can't be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Only the leader can.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// A leader knows what is committed only when an entry of its term is.
    #[error("the leader has committed nothing in its term yet; try again later")]
    TooEarly,
}

/// Why a snapshot isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Not everything up to the index is applied.
    #[error("a snapshot of index {index}, but only {applied} is applied")]
    NotApplied {
        /// The snapshot's.
        index: u64,
        /// The last index applied.
        applied: u64,
    },
    /// There is a later one.
    #[error("a snapshot of index {index}, but there is one of {last}")]
    Outdated {
        /// The snapshot's.
        index: u64,
        /// The last snapshot's.
        last: u64,
    },
    /// It is larger than what can be sent.
    #[error("a snapshot of {size} bytes is larger than can be sent ({max} bytes)")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
}

/// Why a message was refused: no member that keeps the rules sends such a one. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepError {
    /// It is for another node, or from none.
    #[error("a quorum message from node {from} to node {to} came to node {here}")]
    Misdirected {
        /// The sender.
        from: i32,
        /// The node it is for.
        to: i32,
        /// This node.
        here: i32,
    },
    /// It contradicts itself.
    #[error("node {from} sent a quorum message that can't be: {fault}")]
    Impossible {
        /// The sender.
        from: i32,
        /// What is wrong.
        fault: String,
    },
    /// Two nodes say they lead the same term.
    #[error("node {from} sent as the leader of term {term}, but node {leader} leads it")]
    TwoLeaders {
        /// The sender.
        from: i32,
        /// The term.
        term: u64,
        /// The leader known.
        leader: i32,
    },
    /// It presumes entries that this node doesn't have, or has others of.
    #[error(
        "node {from} sent a quorum message that presumes entry {index}, which isn't in the log of \
         this node; if entries were lost here, remove this node from the quorum and add it again"
    )]
    NotInLog {
        /// The sender.
        from: i32,
        /// The index.
        index: u64,
    },
}
