//! Several nodes that are one broker to clients.

mod nodes;
mod strangers;

pub use nodes::Nodes;
