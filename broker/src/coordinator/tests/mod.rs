#![allow(clippy::unwrap_used, clippy::expect_used)]

mod giving;
mod losing;
mod tally;
