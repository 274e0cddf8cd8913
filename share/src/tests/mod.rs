#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;
mod partition;
mod session;
