//! Several nodes that are one broker to clients.

mod changes;
mod failover;
mod groups;
mod line;
mod nodes;
mod share_state;
mod shares;
mod shares_leader;
mod strangers;
mod transactions;

pub use nodes::Nodes;
