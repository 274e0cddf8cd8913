//! The connections this node dials to others, one each, and what it says on them.
//!
//! Owns the addresses and the redialling. A message of the quorum that can't be sent at once is dropped:
//! the quorum's algorithm sends it again. A call is answered, or the caller learns whether it can have been
//! carried out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorum::{Body, Message};
use rt::sync::{Notify, oneshot};
use rt::tcp::{Stream, WriteHalf};
use uuid::Uuid;

use super::wire::{self, Call, Hello, Packet, PacketReader, Reply};
use crate::config::node::HostPort;

/// How long dialling, and saying hello, may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before dialling again: at first, and at most.
const REDIAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Bytes that may wait on one connection; more of the quorum's messages are dropped.
const QUEUE_MAX: usize = 64 << 20;

/// Why a call has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not sent.
    #[error("node {node} can't be reached: {why}")]
    Unreachable {
        /// The node.
        node: i32,
        /// What is wrong with it.
        why: String,
    },
    /// It was not sent: the node doesn't talk to this one.
    #[error("node {node} doesn't talk to this one: {why}")]
    Refused {
        /// The node.
        node: i32,
        /// Its words.
        why: String,
    },
    /// It was sent, and whether it was carried out isn't known.
    #[error("the connection to node {node} was lost before it answered")]
    Lost {
        /// The node.
        node: i32,
    },
    /// It was sent, and there was no answer in time.
    #[error("node {node} did not answer in time")]
    TimedOut {
        /// The node.
        node: i32,
    },
}

/// Who dials.
pub(super) struct Dialler {
    pub(super) node: i32,
    pub(super) incarnation: Uuid,
    pub(super) cluster_id: RefCell<Option<String>>,
}

impl Dialler {
    /// What this node says first to `to`.
    pub(super) fn hello(&self, to: i32) -> Hello {
        Hello {
            cluster_id: self.cluster_id.borrow().clone(),
            node: self.node,
            incarnation: self.incarnation,
            to,
        }
    }

    /// Why the node that says `hello` isn't one to talk to.
    pub(super) fn unfit(&self, hello: &Hello) -> Option<String> {
        let ours = self.cluster_id.borrow();
        match (&*ours, &hello.cluster_id) {
            (Some(ours), Some(theirs)) if ours != theirs => Some(format!(
                "node {} belongs to cluster {theirs}, node {} to cluster {ours}; give each cluster's nodes its own addresses and data directories",
                hello.node, self.node
            )),
            _ => None,
        }
    }
}

/// What became of a message that was sent, where the quorum has to know.
pub(super) type Reported = Box<dyn Fn(i32, Report)>;

/// See [`Reported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Messages to the node were lost.
    Unreachable,
    /// A snapshot was handed to the network, or wasn't.
    Snapshot(bool),
}

/// All connections of this node.
pub(super) struct Links {
    dialler: Rc<Dialler>,
    addresses: RefCell<BTreeMap<i32, HostPort>>,
    links: RefCell<BTreeMap<i32, Rc<Link>>>,
    reported: RefCell<Option<Reported>>,
    closed: Cell<bool>,
}

struct Queued {
    bytes: Bytes,
    snapshot: bool,
}

struct Link {
    node: i32,
    queue: RefCell<VecDeque<Queued>>,
    queued: Cell<usize>,
    /// Rung when something waits.
    wake: Notify,
    connected: Cell<bool>,
    /// Rung when it was connected, or couldn't be.
    turned: Notify,
    /// Why it isn't connected.
    why: RefCell<String>,
    /// Whether that is what the other side said.
    refused: Cell<bool>,
    next_call: Cell<u64>,
    calls: RefCell<HashMap<u64, oneshot::Sender<Reply>>>,
}

impl Links {
    pub(super) fn new(dialler: Rc<Dialler>, seeds: BTreeMap<i32, HostPort>) -> Rc<Self> {
        Rc::new(Self {
            dialler,
            addresses: RefCell::new(seeds),
            links: RefCell::default(),
            reported: RefCell::default(),
            closed: Cell::new(false),
        })
    }

    /// Tells what becomes of messages.
    pub(super) fn report_to(&self, reported: Reported) {
        *self.reported.borrow_mut() = Some(reported);
    }

    /// Node `node` is reached at `address`.
    pub(super) fn set_address(self: &Rc<Self>, node: i32, address: HostPort) {
        if node == self.dialler.node {
            return;
        }
        let old = self.addresses.borrow_mut().insert(node, address.clone());
        if old.as_ref() != Some(&address) {
            tracing::debug!(node, %address, "a node's internal address");
        }
    }

    /// The nodes with an address.
    pub(super) fn nodes(&self) -> Vec<i32> {
        self.addresses.borrow().keys().copied().collect()
    }

    /// Ends all connections, and dials no more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for link in self.links.borrow().values() {
            link.wake.notify_one();
        }
    }

    fn link(self: &Rc<Self>, node: i32) -> Rc<Link> {
        if let Some(link) = self.links.borrow().get(&node) {
            return Rc::clone(link);
        }
        let link = Rc::new(Link {
            node,
            queue: RefCell::default(),
            queued: Cell::new(0),
            wake: Notify::new(),
            connected: Cell::new(false),
            turned: Notify::new(),
            why: RefCell::new("it is being connected".to_owned()),
            refused: Cell::new(false),
            next_call: Cell::new(0),
            calls: RefCell::default(),
        });
        self.links.borrow_mut().insert(node, Rc::clone(&link));
        let (links, kept) = (Rc::clone(self), Rc::clone(&link));
        rt::task::spawn(async move { links.keep(&kept).await }).detach();
        link
    }

    /// Sends a message of the quorum, or drops it.
    pub(super) fn send(self: &Rc<Self>, message: &Message) {
        let (node, snapshot) = (message.to, matches!(message.body, Body::Snapshot { .. }));
        let link = self.link(node);
        let packet = Packet::Quorum(quorum::encode(message));
        let sent =
            link.connected.get() && link.queued.get() < QUEUE_MAX && link.say(&packet, snapshot);
        if !sent {
            self.report(node, snapshot);
        }
    }

    fn report(&self, node: i32, snapshot: bool) {
        let report = match snapshot {
            true => Report::Snapshot(false),
            false => Report::Unreachable,
        };
        if let Some(reported) = &*self.reported.borrow() {
            reported(node, report);
        }
    }

    /// Asks `node`, and waits up to `limit` for a connection and the reply.
    pub(super) async fn call(
        self: &Rc<Self>,
        node: i32,
        call: Call,
        limit: Duration,
    ) -> Result<Reply, CallError> {
        let link = self.link(node);
        let deadline = rt::time::now() + limit;
        let left = || deadline.saturating_duration_since(rt::time::now());
        while !link.connected.get() {
            let _ = rt::time::timeout(left(), link.turned.notified()).await;
            // The caller knows whether another try with this node makes sense.
            if !link.connected.get() {
                let why = link.why.borrow().clone();
                return Err(match link.refused.get() {
                    true => CallError::Refused { node, why },
                    false => CallError::Unreachable { node, why },
                });
            }
        }
        let number = link.next_call.get();
        link.next_call.set(number + 1);
        let (sender, reply) = oneshot();
        link.calls.borrow_mut().insert(number, sender);
        if !link.say(&Packet::Call(number, call), false) {
            link.calls.borrow_mut().remove(&number);
            let why = "the request can't be encoded".to_owned();
            return Err(CallError::Unreachable { node, why });
        }
        match rt::time::timeout(left(), reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(CallError::Lost { node }),
            Err(_) => {
                link.calls.borrow_mut().remove(&number);
                Err(CallError::TimedOut { node })
            }
        }
    }

    /// Keeps a connection up until all are closed.
    async fn keep(&self, link: &Link) {
        let mut pause = REDIAL.0;
        while !self.closed.get() {
            match self.dial(link).await {
                Ok((reader, writer)) => {
                    pause = REDIAL.0;
                    link.connected.set(true);
                    link.turned.notify_waiters();
                    let read = link.read(reader);
                    let write = self.write(link, writer);
                    let ended = futures_lite::future::or(read, write).await;
                    tracing::debug!(node = link.node, error = ?ended.err(), "the connection to a node ended");
                    self.drop_all(link);
                }
                Err(why) => {
                    link.refused
                        .set(why.kind() == io::ErrorKind::PermissionDenied);
                    let why = why.to_string();
                    if link.why.replace(why.clone()) != why {
                        tracing::warn!(node = link.node, why, "another node can't be reached");
                    }
                    link.turned.notify_waiters();
                }
            }
            rt::time::sleep(pause).await;
            pause = (pause * 2).min(REDIAL.1);
        }
    }

    fn drop_all(&self, link: &Link) {
        link.connected.set(false);
        "the connection was lost".clone_into(&mut link.why.borrow_mut());
        link.queued.set(0);
        for queued in link.queue.take() {
            if queued.snapshot {
                self.report(link.node, true);
            }
        }
        // Whoever waits for a reply learns that there won't be one.
        link.calls.take();
        self.report(link.node, false);
    }

    async fn dial(&self, link: &Link) -> io::Result<(PacketReader, WriteHalf)> {
        let address = self.addresses.borrow().get(&link.node).cloned();
        let address = address.ok_or_else(|| io::Error::other("its address isn't known yet"))?;
        let hello = self.dialler.hello(link.node);
        let dialled = rt::time::timeout(DIAL_TIMEOUT, connect(&address, hello)).await;
        let late = || io::Error::other(format!("{address} doesn't answer"));
        let (theirs, reader, writer) = dialled
            .map_err(|_| late())?
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        if theirs.node != link.node {
            return Err(io::Error::other(format!(
                "at {address} is node {}, not {}; check the addresses given with --quorum",
                theirs.node, link.node
            )));
        }
        match self.dialler.unfit(&theirs) {
            Some(why) => Err(io::Error::other(why)),
            None => Ok((reader, writer)),
        }
    }

    async fn write(&self, link: &Link, mut writer: WriteHalf) -> io::Result<()> {
        loop {
            let woken = link.wake.notified();
            if self.closed.get() {
                return Ok(());
            }
            let queued = link.queue.take();
            if queued.is_empty() {
                woken.await;
                continue;
            }
            link.queued.set(0);
            let snapshots = queued.iter().filter(|one| one.snapshot).count();
            let mut pieces: VecDeque<Bytes> = queued.into_iter().map(|one| one.bytes).collect();
            let written = writer.write_queue(&mut pieces).await;
            for _ in 0..snapshots {
                if let Some(reported) = &*self.reported.borrow() {
                    reported(link.node, Report::Snapshot(written.is_ok()));
                }
            }
            written?;
        }
    }
}

impl Link {
    /// Puts a packet in the queue; false if it can't be sent.
    fn say(&self, packet: &Packet, snapshot: bool) -> bool {
        let Ok(bytes) = wire::encode(packet) else {
            return false;
        };
        self.queued.set(self.queued.get() + bytes.len());
        self.queue
            .borrow_mut()
            .push_back(Queued { bytes, snapshot });
        self.wake.notify_one();
        true
    }

    async fn read(&self, mut reader: PacketReader) -> io::Result<()> {
        loop {
            match reader.next().await? {
                Packet::Reply(number, reply) => {
                    let waiting = self.calls.borrow_mut().remove(&number);
                    if let Some(waiting) = waiting {
                        // Who asked may have given up.
                        let _gone = waiting.send(reply);
                    }
                }
                _ => return Err(io::Error::other("it sent what only a dialler sends")),
            }
        }
    }
}

/// Dials `address` and says `hello`; gives the other side's.
pub(super) async fn connect(
    address: &HostPort,
    hello: Hello,
) -> io::Result<(Hello, PacketReader, WriteHalf)> {
    let named = (address.host.clone(), address.port);
    let found = match address.host.parse() {
        Ok(ip) => Some(std::net::SocketAddr::new(ip, address.port)),
        Err(_) => rt::task::blocking(move || named.to_socket_addrs().map(|mut all| all.next()))
            .await
            .map_err(io::Error::other)??,
    };
    let found = found.ok_or_else(|| io::Error::other("no address for this name"))?;
    let (read, mut writer) = Stream::connect(found).await?.split();
    let first = wire::encode(&Packet::Hello(hello))?;
    writer.write_all([wire::preamble(), first]).await?;
    let mut reader = PacketReader::new(read);
    reader.preamble().await?;
    let theirs = reader.hello().await?;
    Ok((theirs, reader, writer))
}
