//! The cluster's metadata on this node: commits of records, made durable in a small log (`log`) and
//! then applied, in order, to an image.
//!
//! Shard 0 owns the log (`shell`), every shard has an image of its own and gets the committed
//! records. What the records are and how commands become records is the crate `metadata`'s.

mod files;
mod format;
mod log;
mod shell;
#[cfg(test)]
mod tests;

pub use log::{MetaLogError, MetaLogOptions};
pub use shell::{Committed, Decided, Draft, MetaShell, ProposeError, Subscriber};
