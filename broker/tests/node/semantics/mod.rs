//! Kafka's semantics, point by point, as raw frames show them: client libraries hide the details.
//!
//! Numbers in comments are those of the list of semantics that the broker was built to. Each file
//! is one subject; `wire` speaks, `node` is the broker, `records` makes batches and the requests
//! around them.

pub mod node;
pub mod records;
pub mod wire;

mod alterations;
mod compaction;
mod configs;
mod fetch;
mod framing;
pub mod groups;
mod idempotence;
mod long_poll;
mod metadata;
mod offsets;
mod partitions;
mod produce;
mod refused_topics;
mod retention;
mod sessions;
pub mod share_groups;
pub mod share_state;
pub mod shares;
mod shares_groups;
mod times;
mod topics;
pub mod transactions;
mod versions;
mod versions_configs;
mod versions_groups;
mod versions_quorum;
mod versions_share;
mod versions_transactions;
