//! The cluster's metadata on this node: commits of records, which the quorum agrees on, made durable in
//! a small log (`log`) and then applied, in order, to an image.
//!
//! Shard 0 is the member of the quorum (`member`) and decides commands while it leads (`shell`); every
//! shard has an image of its own and gets the committed records. What the records are and how commands
//! become records is the crate `metadata`'s, how members agree is the crate `quorum`'s.

mod log;
mod member;
mod shell;
#[cfg(test)]
mod tests;

pub use log::{MetaLogError, MetaLogOptions, is_begun};
pub use shell::{
    Begin, Committed, Decided, Draft, MetaOptions, MetaShell, Outgoing, ProposeError, Subscriber,
};
