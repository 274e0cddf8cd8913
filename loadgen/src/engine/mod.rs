//! Runs one workload on one system: starts the workers, gathers what they count, ends them.
//!
//! It owns the order of things and the patience with which it waits. It must never touch a record.

mod crew;
mod line;
mod pin;
pub mod stop;

pub use crew::{Begin, Crew, Phase, Share, Threads};
pub use line::{Interrupt, Ran, Runner, Watch};
pub use pin::Cores;
