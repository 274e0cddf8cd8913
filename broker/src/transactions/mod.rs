//! What a transaction's coordinator has done elsewhere: the markers that end it, written by the leaders of its
//! partitions, and the question whether a partition is in it, asked before the first batch is taken.
//!
//! Owns what is to be written and isn't yet. It must not decide over transactions: what a coordinator
//! decided is carried out until it is done, or until that coordinator is none any more.

mod beginning;
mod ending;
mod joining;
mod sending;

pub(crate) use beginning::{Append, append};
pub(crate) use ending::Ending;
pub(crate) use sending::MarkerSender;
