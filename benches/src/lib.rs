//! What the benchmarks share: criterion's settings, a clock, made records, and a shard that is
//! given work from criterion's thread.
//!
//! What it must never do: measure anything itself. A benchmark lies in `benches/`, one file a
//! subject, and says there what is inside its figure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot be set up has nothing better to do than to end"
)]

mod clock;
pub mod load;
mod run;
mod shard;
pub mod sink;
pub mod store;

pub use clock::Clock;
pub use run::{Bench, is_full, run};
pub use shard::{Job, Jobs, Shard};
