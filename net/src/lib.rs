//! The Kafka protocol: frames, codec, connections, and a small client.

pub mod client;
