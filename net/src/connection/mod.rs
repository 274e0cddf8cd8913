//! One connection: requests in order to a handler, answers in order back.
//!
//! Owns the socket, the receive buffer, the ring of answers that are due, and the decision
//! when the connection ends. One task does it all: a request that is answered at once costs
//! no wake-up beyond the one its bytes caused, and all answers that are ready leave in one
//! write.
//!
//! It must never answer out of order, never read more while its ring is full, never leave
//! a client waiting for an answer that nobody will give, and never do harm to another
//! connection.

mod closed;
mod drive;
mod gather;
mod ring;
mod shutdown;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
pub use closed::Closed;
pub use drive::serve;
pub use ring::Slot;
pub use shutdown::Shutdown;

use crate::frame::{FrameLimits, FrameMemory, RequestCredit};
use crate::header::RequestHeader;

/// What one connection may do.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// For its requests.
    pub frame: FrameLimits,
    /// Requests whose answers are not written yet; no more are read beyond this.
    pub in_flight: usize,
    /// A connection on which nothing happens for this long is closed
    /// (`connections.max.idle.ms`). A peer that takes nothing of an answer for this long
    /// is cut off too.
    pub idle: Duration,
    /// The same for an answer that holds memory which others may be waiting for: then the peer
    /// has less time to take the next part of it.
    pub unread: Duration,
    /// How long requests that were begun may take after a shutdown began.
    pub drain: Duration,
    /// How long to wait for the peer to take its last answers when the connection is closed
    /// from this side; at a shutdown, since the last one was written.
    pub linger: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            frame: FrameLimits::default(),
            in_flight: 64,
            idle: Duration::from_secs(600),
            unread: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            linger: Duration::from_secs(1),
        }
    }
}

/// What the connections of a shard share.
#[derive(Debug, Clone)]
pub struct ConnectionContext {
    /// What each may do.
    pub limits: ConnectionLimits,
    /// The memory they take turns with.
    pub memory: FrameMemory,
    /// Ends them all.
    pub shutdown: Shutdown,
}

/// Whose connection it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Unlike that of any other connection of this process.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
}

/// A request that was read, and not looked at beyond its header.
#[derive(Debug)]
pub struct Request {
    /// Its header.
    pub header: RequestHeader,
    /// What follows the header.
    pub body: BytesMut,
    /// The memory promised for the request; dropping it gives it back.
    pub credit: RequestCredit,
    /// Where it came from.
    pub connection: Rc<ConnectionInfo>,
}

/// What answers requests.
pub trait Handler {
    /// Takes a request. The next one of the connection is read when this is done, which may
    /// be before the slot is filled: that is how produce requests overlap.
    ///
    /// It runs to its end also when the connection fails meanwhile, unless the whole task
    /// is dropped or a shutdown's time has run out.
    fn handle(&self, request: Request, slot: Slot) -> impl Future<Output = ()>;

    /// A connection has ended, in whatever way: no request comes over it any more.
    fn ended(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }
}
