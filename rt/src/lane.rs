//! Lanes between executors, and mailboxes from any thread to one.
//!
//! A lane is a bounded first-in first-out queue from one executor to another;
//! when it is full its sender waits, and nothing is ever dropped. A mesh is one
//! lane for each ordered pair of shards. A mailbox is unbounded and for rare
//! things: signals, commands of the administrator.
//!
//! These are queues of our own, not glommio's shared channels: those store one
//! more waker at each pending poll, keep their
//! executor spinning until the other end connects, are walked in full in every
//! turn of the reactor, and cannot say how full they are. Waking the other
//! executor costs the same: one eventfd write, and only if it sleeps.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::bell::{Ringer, Seat, lock};
use crate::local::Local;
use crate::sync::Credit;

/// The other end of the lane is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the lane is gone")]
pub struct Closed;

/// Why something was not sent; it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySend<T> {
    /// There is no room, or others wait for it.
    #[error("the lane is full")]
    Full(T),
    /// The other end is gone.
    #[error("the other end of the lane is gone")]
    Closed(T),
}

/// One end of a lane waits here for the other.
#[derive(Default)]
struct Side {
    waiting: Option<Ringer>,
    gone: bool,
}

struct State<T> {
    queue: VecDeque<T>,
    sender: Side,
    receiver: Side,
}

struct Lane<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

impl<T> Lane<T> {
    fn new(capacity: usize) -> Arc<Self> {
        // The queue grows to what is used; most lanes stay short.
        let (queue, sender, receiver) = (VecDeque::new(), Side::default(), Side::default());
        Arc::new(Self {
            capacity,
            state: Mutex::new(State {
                queue,
                sender,
                receiver,
            }),
        })
    }

    fn push(&self, item: T) -> Result<(), TrySend<T>> {
        let ringer = {
            let mut state = lock(&self.state);
            if state.receiver.gone {
                return Err(TrySend::Closed(item));
            }
            if state.queue.len() >= self.capacity {
                return Err(TrySend::Full(item));
            }
            state.queue.push_back(item);
            state.receiver.waiting.take()
        };
        ring(ringer);
        Ok(())
    }

    /// Ready when there is room (only the one sender fills it) or nobody reads.
    fn poll_room(&self, cx: &Context<'_>, seat: &Seat) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.receiver.gone || state.queue.len() < self.capacity {
            return Poll::Ready(());
        }
        seat.park(cx.waker());
        state.sender.waiting = Some(seat.ringer());
        Poll::Pending
    }

    fn pop(&self) -> Option<T> {
        let (item, ringer) = {
            let mut state = lock(&self.state);
            let item = state.queue.pop_front()?;
            (item, state.sender.waiting.take())
        };
        ring(ringer);
        Some(item)
    }

    fn poll_pop(&self, cx: &Context<'_>, seat: &Seat) -> Poll<Option<T>> {
        let (item, ringer) = {
            let mut state = lock(&self.state);
            match state.queue.pop_front() {
                Some(item) => (item, state.sender.waiting.take()),
                None if state.sender.gone => return Poll::Ready(None),
                None => {
                    seat.park(cx.waker());
                    state.receiver.waiting = Some(seat.ringer());
                    return Poll::Pending;
                }
            }
        };
        ring(ringer);
        Poll::Ready(Some(item))
    }

    fn len(&self) -> usize {
        lock(&self.state).queue.len()
    }

    fn sender_gone(&self) {
        let ringer = {
            let mut state = lock(&self.state);
            state.sender.gone = true;
            state.receiver.waiting.take()
        };
        ring(ringer);
    }

    fn receiver_gone(&self) {
        let (unread, ringer) = {
            let mut state = lock(&self.state);
            state.receiver.gone = true;
            (
                std::mem::take(&mut state.queue),
                state.sender.waiting.take(),
            )
        };
        ring(ringer);
        // Outside the lock: dropping an item may run anything.
        drop(unread);
    }
}

fn ring(ringer: Option<Ringer>) {
    if let Some(ringer) = ringer {
        ringer.ring();
    }
}

/// The raw end of a lane that tells the other side when it is dropped, also
/// when it is dropped without ever having been connected.
struct SendEnd<T>(Arc<Lane<T>>);

impl<T> Drop for SendEnd<T> {
    fn drop(&mut self) {
        self.0.sender_gone();
    }
}

struct ReceiveEnd<T>(Arc<Lane<T>>);

impl<T> Drop for ReceiveEnd<T> {
    fn drop(&mut self) {
        self.0.receiver_gone();
    }
}

/// What one shard takes along of a mesh before it connects. May be moved to
/// another thread.
pub struct MeshEnd<T> {
    index: usize,
    senders: Vec<Option<SendEnd<T>>>,
    receivers: Vec<Option<ReceiveEnd<T>>>,
}

/// Makes a lane of `capacity` items (at least one) for each ordered pair of
/// shards. The ends come in the order of the shards.
pub fn mesh<T: Send + 'static>(shards: usize, capacity: usize) -> Vec<MeshEnd<T>> {
    let none = || (0..shards).map(|_| None).collect::<Vec<_>>();
    let mut ends: Vec<MeshEnd<T>> = (0..shards)
        .map(|index| MeshEnd {
            index,
            senders: none(),
            receivers: (0..shards).map(|_| None).collect(),
        })
        .collect();
    for from in 0..shards {
        for to in (0..shards).filter(|&to| to != from) {
            let lane = Lane::new(capacity.max(1));
            ends[from].senders[to] = Some(SendEnd(Arc::clone(&lane)));
            ends[to].receivers[from] = Some(ReceiveEnd(lane));
        }
    }
    ends
}

impl<T: Send + 'static> MeshEnd<T> {
    /// The shard this end is for.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Binds the end to the executor of the caller. Doesn't wait for the other
    /// shards: what is sent to one that has not connected yet waits for it.
    #[expect(
        clippy::unused_async,
        reason = "another runtime would have to wait here"
    )]
    pub async fn connect(self) -> Mesh<T> {
        let local = Local::current();
        let senders = self.senders.into_iter().map(|end| {
            let end = end?;
            Some(Sender {
                end,
                seat: Seat::new(&local),
                turn: Credit::new(1),
            })
        });
        let receivers = self.receivers.into_iter().map(|end| {
            let end = end?;
            Some(Receiver {
                end,
                seat: Seat::new(&local),
            })
        });
        Mesh {
            index: self.index,
            senders: senders.collect(),
            receivers: receivers.collect(),
        }
    }
}

impl<T> fmt::Debug for MeshEnd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshEnd")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The lanes of one shard, by the index of the other; `None` at its own.
#[derive(Debug)]
pub struct Mesh<T> {
    /// The shard these are the lanes of.
    pub index: usize,
    /// Where to send.
    pub senders: Vec<Option<Sender<T>>>,
    /// Where from to receive.
    pub receivers: Vec<Option<Receiver<T>>>,
}

impl<T> Mesh<T> {
    /// Takes the senders out, for those who want to share them out.
    pub fn take_senders(&mut self) -> Vec<Option<Sender<T>>> {
        std::mem::take(&mut self.senders)
    }

    /// Takes the receivers out.
    pub fn take_receivers(&mut self) -> Vec<Option<Receiver<T>>> {
        std::mem::take(&mut self.receivers)
    }
}

/// Sends into a lane. Tasks that wait for room are served in turn.
pub struct Sender<T> {
    end: SendEnd<T>,
    seat: Seat,
    /// Held by the one task that may wait for room; the others queue for it.
    turn: Credit,
}

impl<T> Sender<T> {
    /// Sends, waiting for room if there is none. A future dropped before it is
    /// ready has sent nothing.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        let item = match self.try_send(item) {
            Ok(()) => return Ok(()),
            Err(TrySend::Closed(_)) => return Err(Closed),
            Err(TrySend::Full(item)) => item,
        };
        let _turn = self.turn.acquire(1).await;
        poll_fn(|cx| self.end.0.poll_room(cx, &self.seat)).await;
        // Between there and here nobody else of this end can have filled it.
        self.end.0.push(item).map_err(|_| Closed)
    }

    /// Sends if there is room and nobody waits for it.
    pub fn try_send(&self, item: T) -> Result<(), TrySend<T>> {
        match self.turn.try_acquire(1) {
            Some(_turn) => self.end.0.push(item),
            None => Err(TrySend::Full(item)),
        }
    }

    /// How many items are under way.
    pub fn len(&self) -> usize {
        self.end.0.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more items there is room for.
    pub fn free(&self) -> usize {
        self.end.0.capacity - self.len()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lane::Sender")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Receives from a lane. For one task: of two that wait, the later one is woken.
pub struct Receiver<T> {
    end: ReceiveEnd<T>,
    seat: Seat,
}

impl<T> Receiver<T> {
    /// The next item; `None` when the sender is gone and all it sent was read.
    /// Dropping the future loses nothing.
    pub fn recv(&self) -> impl Future<Output = Option<T>> + '_ {
        poll_fn(|cx| self.end.0.poll_pop(cx, &self.seat))
    }

    /// The next item, if it is there.
    pub fn try_recv(&self) -> Option<T> {
        self.end.0.pop()
    }

    /// How many items wait to be received.
    pub fn len(&self) -> usize {
        self.end.0.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lane::Receiver")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Makes a mailbox. Both ends may be moved to other threads; the mailbox is read
/// on an executor.
pub fn mailbox<T: Send>() -> (MailboxSender<T>, Mailbox<T>) {
    let lane = Lane::new(usize::MAX);
    let end = Arc::new(SendEnd(Arc::clone(&lane)));
    (
        MailboxSender { end },
        Mailbox {
            end: ReceiveEnd(lane),
        },
    )
}

/// Puts things into a mailbox, from any thread, executor or not.
pub struct MailboxSender<T> {
    end: Arc<SendEnd<T>>,
}

impl<T> MailboxSender<T> {
    /// Never waits.
    pub fn send(&self, item: T) -> Result<(), Closed> {
        self.end.0.push(item).map_err(|_| Closed)
    }
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> Self {
        Self {
            end: Arc::clone(&self.end),
        }
    }
}

impl<T> fmt::Debug for MailboxSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxSender")
    }
}

/// Reads what was put into a mailbox; one task at a time.
pub struct Mailbox<T> {
    end: ReceiveEnd<T>,
}

impl<T> Mailbox<T> {
    /// The next item; `None` when all senders are gone and everything was read.
    /// Dropping the future loses nothing.
    pub async fn recv(&self) -> Option<T> {
        if let Some(item) = self.end.0.pop() {
            return Some(item);
        }
        let seat = Seat::new(&Local::current());
        poll_fn(|cx| self.end.0.poll_pop(cx, &seat)).await
    }

    /// The next item, if it is there.
    pub fn try_recv(&self) -> Option<T> {
        self.end.0.pop()
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
