//! The share coordinator: the state of one partition of `__share_group_state`.
//!
//! It keeps what leaders of partitions must not lose of their share-partitions: where each begins, which
//! records in flight were acknowledged, archived or delivered how often. Owns the fencing of leaders that
//! are none any more, by the leader epoch, and of what was asked before a share-partition began anew, by
//! the state epoch. The rules and the record schemas are those of Apache Kafka 4.1.
//!
//! Must not judge whether a record may be acknowledged: that is its partition's leader's.

mod api;
pub(crate) mod combine;
mod machine;
mod schema;
#[cfg(test)]
mod tests;

pub use api::{Ask, Initialize, NotAKey, Reply, ShareKey, Summary, WriteState};
pub use machine::ShareStates;
