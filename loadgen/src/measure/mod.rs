//! Counting: what workers note, and how it is put together.

pub mod collector;
pub mod histogram;
mod meter;
pub mod plan;
pub mod recorder;
pub mod tick;
