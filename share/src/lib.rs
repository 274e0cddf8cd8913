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

/// What stands for a member here, for the id that it gave itself. Kafka takes ids only in its own form of a UUID,
/// but there are clients whose ids are others, so none is read: this is the id's FNV-1a hash. Two members of
/// a group would have to want the same one to get it, and either could as well use the other's id.
pub fn member_key(member_id: &str) -> Uuid {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = member_id.bytes().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    Uuid::from_u128(hash)
}
