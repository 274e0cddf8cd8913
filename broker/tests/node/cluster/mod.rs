//! Several nodes that are one broker to clients.

mod failover;
mod nodes;
mod strangers;

pub use nodes::Nodes;
