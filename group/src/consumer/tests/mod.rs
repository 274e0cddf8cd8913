#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chaos;
mod members;
mod migration;
mod room;
