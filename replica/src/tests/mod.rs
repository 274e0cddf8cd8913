//! Tests of the rules one by one, and of all of them together in a simulation.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod appends;
mod fixture;
mod following;
mod isr;
mod leading;
mod log;
mod reads;
mod rng;
mod sim;
