//! The log on real files, through the real runtime.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aborted;
mod compaction;
mod compaction_steps;
mod crash;
mod fixture;
mod formats;
mod kafka_folder;
mod keeping;
mod model;
mod round_trip;
mod troubles;
mod truncate;
