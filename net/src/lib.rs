//! The Kafka protocol: frames, codec, connections, and the client side: a blocking one for command
//! lines ([`client`]), and a pipelined one on an executor ([`producer`], [`consumer`]).

pub mod brokers;
pub mod client;
pub mod connection;
pub mod consumer;
mod endpoint;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod link;
mod memory;
pub mod produce;
pub mod producer;
mod put;
pub mod recycle;
pub mod registry;
pub mod request;
pub mod response;
mod shape;
mod shapes;
pub mod share_fetch;
mod take;

pub use endpoint::NodeEndpoint;
pub use take::ParseError;
