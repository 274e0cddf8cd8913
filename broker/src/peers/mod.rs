//! Requests of this node's own to other nodes, at the addresses that clients use.
//!
//! Owns one connection to each node from each shard, made when it is first needed. Requests of all who ask
//! share it, and go out in the order they are asked in. Must not repeat a request: whether that is safe
//! only the one who asks knows.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::protocol::Request;
use net::link::{Link, LinkConfig, LinkError};
use rt::sync::Notify;

use crate::partition::clock_ms;
use crate::shard::Shard;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take. Whatever is asked of another node is answered earlier, or never.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is taken.
const MAX_ANSWER: usize = 64 << 20;
/// How long a node is left alone that couldn't be reached, at first and at most, in milliseconds.
const BACKOFF_MS: (u64, u64) = (50, 1_000);

/// Why another node gave no answer. Whether it did what it was asked is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    /// The metadata has no such node, or no address for it.
    #[error("node {0} has no address that is known here")]
    NoAddress(i32),
    /// This node is stopping.
    #[error("this node is stopping")]
    Stopping,
    /// The connection fails.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// How far the connection to a node is.
enum State {
    /// There is none, and none is made before this time, of [`clock_ms`].
    None {
        not_before: u64,
        why: Option<LinkError>,
    },
    Opening,
    Open(Rc<Link>),
}

impl State {
    /// There is no connection yet.
    const NEW: Self = Self::None {
        not_before: 0,
        why: None,
    };
}

/// The connection to one node at one address.
struct Peer {
    address: String,
    state: RefCell<State>,
    /// How long it is left alone after the next failure.
    backoff_ms: Cell<u64>,
    changed: Notify,
}

impl Peer {
    fn new(address: String) -> Self {
        Self {
            address,
            state: RefCell::new(State::NEW),
            backoff_ms: Cell::new(BACKOFF_MS.0),
            changed: Notify::new(),
        }
    }

    /// The connection, made if there is none.
    async fn link(self: &Rc<Self>) -> Result<Rc<Link>, LinkError> {
        loop {
            match self.ready() {
                Some(ready) => return ready,
                None => self.changed.notified().await,
            }
        }
    }

    /// The connection, or why there is none; `None` while it is being made.
    fn ready(self: &Rc<Self>) -> Option<Result<Rc<Link>, LinkError>> {
        let mut state = self.state.borrow_mut();
        if let State::Open(link) = &*state {
            match link.ended() {
                None => return Some(Ok(Rc::clone(link))),
                // It was good until now, so it may be at once.
                Some(_) => *state = State::NEW,
            }
        }
        match &*state {
            State::None {
                not_before,
                why: Some(why),
            } if clock_ms() < *not_before => Some(Err(why.clone())),
            State::None { .. } => {
                *state = State::Opening;
                // By a task of its own: whoever asks may give up meanwhile.
                rt::task::spawn(Rc::clone(self).open()).detach();
                None
            }
            State::Opening | State::Open(_) => None,
        }
    }

    async fn open(self: Rc<Self>) {
        let config = LinkConfig {
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            max_answer_bytes: MAX_ANSWER,
            ..LinkConfig::default()
        };
        let opened = Link::open(&self.address, config, Notify::new()).await;
        let next = match opened {
            Ok(link) => {
                self.backoff_ms.set(BACKOFF_MS.0);
                State::Open(Rc::new(link))
            }
            Err(why) => self.leave_alone(why),
        };
        *self.state.borrow_mut() = next;
        self.changed.notify_waiters();
    }

    fn leave_alone(&self, why: LinkError) -> State {
        let for_ms = self.backoff_ms.get();
        self.backoff_ms.set((2 * for_ms).min(BACKOFF_MS.1));
        State::None {
            not_before: clock_ms() + for_ms,
            why: Some(why),
        }
    }
}

/// A shard's connections to other nodes.
#[derive(Default)]
pub(crate) struct Peers {
    nodes: RefCell<BTreeMap<i32, Rc<Peer>>>,
    stopping: Cell<bool>,
}

impl Peers {
    /// Asks the node of this id, at its address.
    async fn ask<R: Request>(
        &self,
        node: i32,
        address: String,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, PeerError> {
        if self.stopping.get() {
            return Err(PeerError::Stopping);
        }
        let link = self.peer(node, address).link().await?;
        Ok(link.call(request, max_version).await?)
    }

    fn peer(&self, node: i32, address: String) -> Rc<Peer> {
        let mut nodes = self.nodes.borrow_mut();
        match nodes.get(&node) {
            Some(peer) if peer.address == address => Rc::clone(peer),
            // It is another process by now.
            _ => {
                let peer = Rc::new(Peer::new(address));
                nodes.insert(node, Rc::clone(&peer));
                peer
            }
        }
    }

    /// Closes all connections; none is made any more.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        for peer in std::mem::take(&mut *self.nodes.borrow_mut()).into_values() {
            if let State::Open(link) = &*peer.state.borrow() {
                link.close();
            }
        }
    }
}

impl Shard {
    /// Asks another node, in the highest version that both have, and not above `max_version`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) async fn ask_node<R: Request>(
        &self,
        node: i32,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, PeerError> {
        let endpoints = self.endpoints(&[node].into());
        let endpoint = endpoints.first().ok_or(PeerError::NoAddress(node))?;
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        self.peers.ask(node, address, request, max_version).await
    }
}
