//! The coordinator of groups: what members, assignments and committed offsets one partition of
//! `__consumer_offsets` has, as a state machine ([`Groups`]) that is asked ([`Ask`]) and answers ([`Reply`]).
//!
//! The rules, error codes and records are Kafka's. Nothing here may read a clock, draw a random number,
//! or do any I/O; nothing may keep a piece of a request, which would hold its whole frame.

mod ask;
mod assign;
mod classic;
mod consumer;
mod core;
mod embedded;
mod group;
mod offsets;
mod records;
mod settings;
mod share;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod timers;
mod topics_hash;

pub use ask::{
    Ask, Asker, Reply, ShareAltered, ShareAsk, ShareOffsetsDeleted, ShareReply, ShareStart,
    ShareTopic,
};
pub use assign::Partitions;
pub use core::{Effect, Groups, NO_START_OFFSET};
pub use settings::{ConsumerSettings, MigrationPolicy, OwnSettings, Settings, ShareSettings};
pub use state::Figures;

use core::Timer;
