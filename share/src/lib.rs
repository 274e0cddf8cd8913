//! Share groups (KIP-932): what a partition's leader keeps of each group that shares the partition, the
//! sessions by which members fetch, and the coordinator that keeps what must survive.
//!
//! All of it is pure: nothing here reads a clock, draws a random number, or does any I/O. What a shell has to do
//! (read records, store a state, wake whoever waits) it is told by what a call returns.

pub mod partition;
pub mod session;
pub mod state;

#[cfg(test)]
mod tests;

use uuid::Uuid;

/// A partition of the topic with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's number in the topic, from 0.
    pub partition: i32,
}
