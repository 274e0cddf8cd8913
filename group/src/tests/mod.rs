//! Tests of the whole coordinator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod classic;
mod offsets;
mod requests;
mod rig;
