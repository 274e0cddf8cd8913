//! The `ottla` broker: shards that own partitions, the APIs clients call on them, and what keeps
//! them together (metadata, configuration, admin server, command line).
//!
//! A request comes in on a connection of some shard (`api`), goes to the shards that own its
//! partitions (`shard`), is served by them in one step without waiting (`partition`), and is answered
//! when the log says so.

pub mod admin;
pub mod api;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod meta;
pub mod partition;
mod peers;
pub mod process;
pub mod producers;
pub mod replication;
pub mod shard;
pub mod share;
mod share_state;
mod transactions;
