//! A connection to a node that may not be there, or go at any moment, and one who knows where nodes are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use kafka_protocol::protocol::Request;

use super::Nodes;
use super::nodes::PATIENCE;
use crate::semantics::wire::{decoded, encoded};

/// A connection.
pub struct Line {
    stream: TcpStream,
    next_id: i32,
}

impl Line {
    /// One to a node, if that is there.
    pub fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, next_id: 1 })
    }

    /// Asks; `None` if the node goes before it has answered.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = encoded(version, id, "line", request);
        let size = u32::try_from(frame.len()).unwrap();
        self.stream.write_all(&size.to_be_bytes()).ok()?;
        self.stream.write_all(&frame).ok()?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).ok()?;
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut answer).ok()?;
        Some(decoded::<R>(version, id, answer.into()))
    }
}

/// Asks a node, if it is there.
pub fn call<R: Request>(address: SocketAddr, version: i16, request: &R) -> Option<R::Response> {
    Line::open(address)?.call(version, request)
}

/// Where all nodes are.
#[derive(Clone)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// Those of a cluster.
    pub fn of(nodes: &Nodes) -> Self {
        let all = nodes.bootstrap();
        Self(all.split(',').map(|one| one.parse().unwrap()).collect())
    }

    /// The answer of the first node that gives one.
    pub fn any<R: Request>(&self, version: i16, request: &R) -> Option<R::Response> {
        let mut nodes = self.0.iter();
        nodes.find_map(|node| call(*node, version, request))
    }
}
