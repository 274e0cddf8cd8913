#![allow(clippy::unwrap_used, clippy::expect_used)]

mod partition;
mod session;
