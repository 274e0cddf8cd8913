//! Shards of several nodes replicate to each other over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod greetings;
mod streams;
