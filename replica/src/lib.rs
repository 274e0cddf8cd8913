//! The replication of one partition, without any I/O: the leader's and the follower's side of one
//! replica as a state machine.
//!
//! A leader pushes its log as it grows to followers that asked for it from where their logs end; each
//! decides by itself what it takes. Kafka's rules hold for the rest: the ISR, the high watermark, leader
//! epochs, truncation by diverging epoch, `replica.lag.time.max.ms`, `min.insync.replicas`. ADR 8 tells
//! why it is so and why it is safe.
//!
//! A [`Replica`] looks at its log through a [`LogView`] given with each call, and gives [`Effect`]s. The
//! shell around it performs them, carries the messages, and asks the controller. [`wire`] is the form of
//! the messages between two nodes' shards.
//!
//! Nothing here may read a clock, draw a random number, or do any I/O.

mod assignment;
mod effect;
mod follower;
mod leader;
mod machine;
mod message;
mod reads;
mod remote;
mod rules;
mod shared;
#[cfg(test)]
mod tests;
mod view;
pub mod wire;

pub use assignment::{Assigned, Assignment, IsrAnswer, Peer, Settings};
pub use effect::{Effect, IsrChange, IsrMember};
pub use follower::Verdict;
pub use leader::Next;
pub use machine::Replica;
pub use message::{Answer, AnswerKind, Follow, Moved, Progress, Records, Refusal, Sender};
pub use reads::{Ack, FollowerStatus, LeaderHint, NotServed};
pub use view::{LogView, Position};
