//! Several nodes that are one broker to clients.

mod changes;
mod failover;
mod groups;
mod nodes;
mod share_state;
mod strangers;
mod transactions;

pub use nodes::Nodes;
