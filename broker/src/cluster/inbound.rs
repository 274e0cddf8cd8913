//! Other nodes' connections to this one: who is let in, and what becomes of what they say.
//!
//! It must never let in a node of another cluster, or a second process with an id that somebody has.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rt::sync::Notify;
use rt::tcp::{Bind, Listener, Stream, WriteHalf};

use super::Visitor;
use super::wire::{self, Call, Hello, Inquiry, Packet, PacketReader, Reply};
use crate::shard::control::Control;
use crate::shard::{ServeError, Shard};

/// How long a peer may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A process that was heard of within this time holds its id against another one.
const PRESENT: Duration = Duration::from_millis(1500);
/// How long to leave off when a connection can't be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What incoming connections are led to: nothing, until the metadata is open.
#[derive(Clone, Default)]
pub(crate) struct Door(Rc<Inside>);

#[derive(Default)]
struct Inside {
    control: RefCell<Option<Rc<Control>>>,
    connections: Cell<u64>,
}

impl Door {
    /// Leads to the metadata from now on.
    pub(crate) fn open(&self, control: Rc<Control>) {
        *self.0.control.borrow_mut() = Some(control);
    }

    fn control(&self) -> Option<Rc<Control>> {
        self.0.control.borrow().clone()
    }
}

/// Packets that wait to be written.
#[derive(Default)]
struct Outbox {
    queue: RefCell<VecDeque<Bytes>>,
    wake: Notify,
}

impl Outbox {
    fn say(&self, packet: &Packet) {
        match wire::encode(packet) {
            Ok(bytes) => {
                self.queue.borrow_mut().push_back(bytes);
                self.wake.notify_one();
            }
            Err(error) => tracing::error!(%error, "an answer to another node can't be encoded"),
        }
    }

    async fn write(&self, mut writer: WriteHalf) -> io::Result<()> {
        loop {
            let woken = self.wake.notified();
            let mut queue = self.queue.take();
            if queue.is_empty() {
                woken.await;
                continue;
            }
            writer.write_queue(&mut queue).await?;
        }
    }
}

impl Shard {
    /// Listens for other nodes; gives the address with its port.
    pub(crate) fn listen_for_nodes(
        self: &Rc<Self>,
        address: SocketAddr,
        door: &Door,
    ) -> Result<SocketAddr, ServeError> {
        let listener =
            Listener::bind(address, Bind::default()).map_err(|source| ServeError::Listen {
                address,
                source,
                flag: "--internal",
            })?;
        let local = listener.local_addr();
        let (shard, door) = (Rc::clone(self), door.clone());
        rt::task::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok(stream) => {
                        let (shard, door) = (Rc::clone(&shard), door.clone());
                        rt::task::spawn(async move { receive(&shard, &door, stream).await })
                            .detach();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a node's connection could not be accepted");
                        rt::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        })
        .detach();
        Ok(local)
    }
}

/// Serves a connection until it ends.
async fn receive(shard: &Rc<Shard>, door: &Door, stream: Stream) {
    let peer = stream.peer_addr();
    let (read, mut writer) = stream.split();
    let mut reader = PacketReader::new(read);
    let said = rt::time::timeout(HELLO_TIMEOUT, async {
        reader.preamble().await?;
        reader.hello().await
    });
    let hello = match said.await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            return tracing::warn!(?peer, %error, "not another node, on the internal address");
        }
        Err(_) => return tracing::warn!(?peer, "somebody on the internal address says nothing"),
    };
    let number = door.0.connections.get() + 1;
    door.0.connections.set(number);
    let (answer, refused) = match unfit(shard, door, &hello) {
        Some(why) => {
            tracing::warn!(node = hello.node, why, "another node was refused");
            (Packet::Refused(why), true)
        }
        None => (Packet::Hello(own_hello(shard, door, hello.node)), false),
    };
    let Ok(answer) = wire::encode(&answer) else {
        return;
    };
    if writer.write_all([wire::preamble(), answer]).await.is_err() || refused {
        return;
    }
    note(shard, door, &hello, number);
    let outbox = Rc::new(Outbox::default());
    let read = listen_to(shard, door, (&hello, number), reader, &outbox);
    let ended = futures_lite::future::or(read, outbox.write(writer)).await;
    if let Err(error) = ended {
        tracing::debug!(node = hello.node, %error, "a node's connection ended");
    }
    forget(shard, door, &hello, number);
}

fn own_hello(shard: &Shard, door: &Door, to: i32) -> Hello {
    match door.control() {
        Some(control) => control.cluster.dialler.hello(to),
        None => Hello {
            cluster_id: None,
            node: shard.node_id(),
            incarnation: uuid::Uuid::nil(),
            to,
        },
    }
}

fn unfit(shard: &Shard, door: &Door, hello: &Hello) -> Option<String> {
    let me = shard.node_id();
    if hello.to != -1 && hello.to != me {
        return Some(format!(
            "this is node {me}, not {}; check the addresses given with --quorum on node {}",
            hello.to, hello.node
        ));
    }
    let control = door.control()?;
    if hello.node == me && hello.incarnation != control.cluster.incarnation() {
        return Some(format!(
            "node {me} is this one; give each node an id of its own with --node-id"
        ));
    }
    if let Some(why) = control.cluster.dialler.unfit(hello) {
        return Some(why);
    }
    let visitors = control.cluster.visitors.borrow();
    let other = visitors.get(&hello.node);
    let other = other.filter(|other| other.incarnation != hello.incarnation);
    let present = other.is_some_and(|other| other.heard.elapsed() < PRESENT);
    present.then(|| {
        format!(
            "there is a node {} already, which was heard of just now; give each node an id of its own with --node-id",
            hello.node
        )
    })
}

fn note(shard: &Rc<Shard>, door: &Door, hello: &Hello, connection: u64) {
    if let Some(control) = door.control() {
        shard.node_seen(hello.node, false);
        let visitor = Visitor {
            incarnation: hello.incarnation,
            connection,
            heard: rt::time::now(),
        };
        control
            .cluster
            .visitors
            .borrow_mut()
            .insert(hello.node, visitor);
    }
}

/// The connection is gone: unless the node has another one, its process may be, too.
fn forget(shard: &Rc<Shard>, door: &Door, hello: &Hello, connection: u64) {
    let Some(control) = door.control() else {
        return;
    };
    let mut visitors = control.cluster.visitors.borrow_mut();
    let last = visitors
        .get(&hello.node)
        .is_some_and(|one| one.connection == connection);
    if last {
        visitors.remove(&hello.node);
        drop(visitors);
        shard.node_seen(hello.node, true);
        control.cluster.cut(hello.node);
        let node = hello.node;
        control
            .meta
            .change_quorum(|quorum| quorum.disconnected(node));
    }
}

async fn listen_to(
    shard: &Rc<Shard>,
    door: &Door,
    (hello, number): (&Hello, u64),
    mut reader: PacketReader,
    outbox: &Rc<Outbox>,
) -> io::Result<()> {
    let mut known = door.control().is_some();
    loop {
        let packet = reader.next().await?;
        let control = door.control();
        if let Some(control) = &control {
            if !known {
                // It said who it is before there was anything to check it against.
                if let Some(why) = unfit(shard, door, hello) {
                    return Err(io::Error::other(why));
                }
                note(shard, door, hello, number);
            }
            let mut visitors = control.cluster.visitors.borrow_mut();
            if let Some(visitor) = visitors.get_mut(&hello.node) {
                visitor.heard = rt::time::now();
            }
        }
        known = control.is_some();
        match packet {
            Packet::Quorum(bytes) => {
                if let Some(control) = &control {
                    step(control, hello.node, &bytes)?;
                }
            }
            Packet::Call(number, call) => {
                let (shard, outbox, from) = (Rc::clone(shard), Rc::clone(outbox), hello.node);
                rt::task::spawn(async move {
                    let reply = match &control {
                        Some(control) => control.serve(&shard, from, call).await,
                        None if matches!(call, Call::Inquire) => Reply::Inquiry(Inquiry::default()),
                        None => Reply::NotController { leader: None },
                    };
                    outbox.say(&Packet::Reply(number, reply));
                })
                .detach();
            }
            _ => {
                return Err(io::Error::other(
                    "it sent what only the one who is dialled sends",
                ));
            }
        }
    }
}

fn step(control: &Control, from: i32, bytes: &[u8]) -> io::Result<()> {
    let message = quorum::decode(bytes).map_err(io::Error::other)?;
    if message.from != from {
        return Err(io::Error::other(format!(
            "node {from} speaks in the name of node {}",
            message.from
        )));
    }
    control.meta.step(message).map_err(io::Error::other)
}
