//! Tests of the whole coordinator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod classic;
mod consumer;
mod migration;
mod model;
mod offsets;
mod records;
mod requests;
mod rig;
mod share;
mod share_chaos;
