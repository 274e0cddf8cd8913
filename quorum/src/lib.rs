//! The metadata quorum: Raft without any I/O.
//!
//! [`Quorum`] is one member. Events go in ([`Quorum::tick`], [`Quorum::step`], [`Quorum::propose`],
//! [`Quorum::persisted`] and others), [`Ready`]s come out: what to write, what to send and when, what
//! is committed. One entry of its log is one commit of the metadata; what an entry's payload and a
//! snapshot's content mean is not its business. The algorithm is the `raft` crate's, which nothing
//! outside this crate sees; this crate adds what it leaves to its user: the entries since the last
//! snapshot, the order between writing and sending, messages in an encoding of ours, and a refusal of
//! every message that the algorithm takes for impossible.
//!
//! A member's outputs are a function of its configuration, of what it was restored from, and of the
//! events since: nothing here may read a clock, draw a random number that isn't of the seed given,
//! open a socket or a file. A member that stands alone is a quorum of one, by the same code.
//!
//! What a member's owner has to do:
//!
//! 1. After every event, take [`Quorum::ready`] until there is none.
//! 2. Send [`Ready::messages`] at any time. Write [`Ready::hard_state`], [`Ready::snapshot`] and
//!    [`Ready::entries`], as one and in the order of [`Ready::number`]; when all up to a number is on
//!    stable storage, send the [`Ready::messages_after`] of those and call [`Quorum::persisted`].
//! 3. Apply [`Ready::committed`] in order; tell how far that is by [`Quorum::applied`].
//! 4. Call [`Quorum::tick`] at an even pace.
//! 5. Now and then, and when [`Ready::wanted_snapshot`] asks, take a snapshot of what was applied:
//!    [`Quorum::mark_at`], then [`Quorum::snapshot_taken`] when it is on stable storage.
//! 6. After a restart, give [`Quorum::new`] what was written, nothing less.

mod changes;
mod check;
mod codec;
mod config;
mod core;
mod effects;
mod entry;
mod error;
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::use_self,
    clippy::expect_used,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    non_snake_case,
    unreachable_pub,
    unused_extern_crates,
    unused_imports,
    unused_qualifications,
    mismatched_lifetime_syntaxes,
    reason = "written by flatc, see scripts/gen-schema"
)]
#[rustfmt::skip]
mod generated;
mod membership;
mod message;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod timeout;

pub use crate::core::{Proposed, Quorum};
pub use changes::MemberProgress;
pub use codec::{
    DecodeError, decode, decode_entry, decode_mark, encode, encode_entry, encode_mark,
};
pub use config::{Config, Restored};
pub use effects::{Committed, CommittedKind, HardState, Install, ReadIndex, Ready, Role};
pub use entry::{Change, Entry, EntryBody, Part};
pub use error::{
    CampaignError, ChangeError, NewError, NotLeader, ProposeError, ReadError, SnapshotError,
    StepError, TransferError,
};
pub use membership::{MEMBERS_MAX, Membership, SnapshotMark};
pub use message::{Body, Message, VoteRequest, VoteResult};
