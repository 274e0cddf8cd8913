//! The Kafka protocol: frames, codec, connections, and a small client.

pub mod client;
pub mod connection;
mod endpoint;
pub mod fetch;
pub mod frame;
pub mod header;
mod memory;
pub mod produce;
mod put;
mod recycle;
pub mod registry;
pub mod request;
pub mod response;
mod shape;
mod shapes;
mod take;

pub use endpoint::NodeEndpoint;
pub use take::ParseError;
