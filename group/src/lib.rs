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
mod state;
mod step;
#[cfg(test)]
mod tests;
mod timers;

pub use ask::{Ask, Asker, Reply};
pub use core::Groups;
pub use settings::{ConsumerSettings, MigrationPolicy, Settings};
pub use state::Figures;

use core::Timer;
