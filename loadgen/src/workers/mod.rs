//! Producers and consumers in other processes: workers, which a coordinator tells what to do.
//!
//! The coordinator (`loadgen run --workers`) plans, makes topics, gathers and reports; its [`Workers`]
//! are one [`crate::engine::Crew`]. A worker (`loadgen worker`, [`Server`]) runs its share of each
//! line with the same threads as a process alone would. [`wire`] is what they say to each other.
//!
//! It owns connections, and nothing of what is measured: what a line is, what counts and what is lost is the
//! engine's and the collector's, alike for threads and workers. There is no authentication: a worker does
//! what whoever connects says, so it listens on a trusted network only.

mod clock;
mod crew;
mod serve;
pub mod wire;

pub use clock::notes;
pub use crew::{Remote, Workers};
pub use serve::{Open, Server};
