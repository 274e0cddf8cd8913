//! What compaction decides, without any I/O: which part of a log is to be compacted, which records of it
//! stay. Pure. The rules are those of Kafka's log cleaner.
//!
//! The part of a log that was compacted before is its clean part, what follows its dirty one. A round
//! first reads the dirty part, up to some bound or until memory is used up, and notes the last offset of each
//! key ([`keys`]); then it rewrites the log from its start up to there, in groups of segments ([`plan`]),
//! without the records that a later one of the same key stands for ([`filter`], [`transactions`]).
//!
//! A record that stays keeps its offset. Records behind the noted part always stay.

pub(crate) mod filter;
pub(crate) mod keys;
pub(crate) mod plan;
pub(crate) mod throttle;
pub(crate) mod transactions;
