//! Tests of the whole thing: real `ottla` processes on loopback, real files, real clients.
//!
//! One binary, so that it is linked once. Each module is one subject; `harness` starts and ends
//! brokers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![expect(unreachable_pub, reason = "a test binary exports nothing")]

mod admin;
mod cluster;
mod compacted;
mod drives;
mod group_command;
mod harness;
mod hostile;
mod kill;
mod power;
mod roundtrip;
mod semantics;
mod stop;
mod transactions;
