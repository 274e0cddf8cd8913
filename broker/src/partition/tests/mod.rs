//! A partition as leader and as follower: two of them against each other, on real drives.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod leading;
pub(crate) mod pair;
mod rebuilding;
mod taking;
mod transactions;
mod verifying;
