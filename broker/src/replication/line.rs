//! What both ends of a connection have in common: when it was heard, waking its writer, ending it, and
//! the loop that writes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use replica::wire::{FrameWriter, Hello, Message};
use rt::sync::Notify;
use rt::tcp::WriteHalf;

use super::error::ConnectionError;
use super::metrics::Counts;
use crate::partition::clock_ms;

/// How long news that only move the high watermark or the log's start wait for records to go with. Nobody
/// waits for them but readers of followers, and a frame of their own wakes the other node for little.
const DEFERRED: Duration = Duration::from_millis(5);

/// An established connection with another shard.
pub(super) struct Line {
    /// Who is on the other side, as it said.
    pub(super) peer: Hello,
    /// The epoch of this node's registration, as the other side was told.
    own_epoch: i64,
    wake: Notify,
    closing: Notify,
    why: RefCell<Option<ConnectionError>>,
    heard_ms: Cell<u64>,
    /// Something was written since the last look.
    wrote: Cell<bool>,
    /// The other side is to be told that this one is here.
    alive: Cell<bool>,
}

impl Line {
    pub(super) fn new(ours: &Hello, peer: Hello) -> Self {
        Self {
            peer,
            own_epoch: ours.broker_epoch,
            wake: Notify::new(),
            closing: Notify::new(),
            why: RefCell::default(),
            heard_ms: Cell::new(clock_ms()),
            wrote: Cell::new(false),
            alive: Cell::new(false),
        }
    }

    /// There is something to be written.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Something was read.
    pub(super) fn heard(&self) {
        self.heard_ms.set(clock_ms());
    }

    /// When something was last read.
    pub(super) fn heard_ms(&self) -> u64 {
        self.heard_ms.get()
    }

    /// Ends the connection.
    pub(super) fn close(&self, why: ConnectionError) {
        self.why.borrow_mut().get_or_insert(why);
        self.closing.notify_one();
    }

    /// Ends the connection if the other side, or this one, has registered anew since: `peer_epoch` and
    /// `own_epoch` are what the metadata has.
    pub(super) fn close_if_outdated(&self, peer_epoch: i64, own_epoch: i64) {
        if self.peer.broker_epoch < peer_epoch || self.own_epoch < own_epoch {
            self.close(ConnectionError::Registered);
        }
    }

    /// Ready when somebody ended the connection.
    pub(super) async fn closed(&self) -> ConnectionError {
        self.closing.notified().await;
        let why = self.why.borrow_mut().take();
        why.unwrap_or(ConnectionError::Closed)
    }

    /// To be called at each tick: says that this side is here if nothing else did since the last one, and
    /// ends a connection that was silent for `limit_ms`.
    pub(super) fn tick(&self, now_ms: u64, limit_ms: u64) {
        let silent_ms = now_ms.saturating_sub(self.heard_ms());
        if silent_ms > limit_ms {
            self.close(ConnectionError::Silent(silent_ms));
        }
        if !self.wrote.replace(false) {
            self.alive.set(true);
            self.wake();
        }
    }

    /// Writes what `source` gives, one frame a round, until it can't.
    pub(super) async fn write(
        &self,
        mut half: WriteHalf,
        source: &impl Source,
        counts: &Counts,
    ) -> ConnectionError {
        let mut frame = FrameWriter::default();
        let mut queue = VecDeque::new();
        let mut deadline = None;
        loop {
            let flush = deadline.is_some_and(|deadline| rt::time::now() >= deadline);
            let deferred = match source.gather(&mut frame, flush) {
                Ok(deferred) => deferred,
                Err(error) => return error,
            };
            if self.alive.take()
                && frame.is_empty()
                && let Err(error) = frame.push(&Message::Alive)
            {
                return error.into();
            }
            if frame.is_empty() {
                if deferred {
                    let now = rt::time::now();
                    let until = *deadline.get_or_insert_with(|| now + DEFERRED);
                    let left = until.saturating_duration_since(now);
                    // Either way there is a look at what there is.
                    let _: Result<(), _> = rt::time::timeout(left, self.wake.notified()).await;
                } else {
                    deadline = None;
                    self.wake.notified().await;
                }
                continue;
            }
            deadline = None;
            self.wrote.set(true);
            counts.sent(frame.len());
            queue.extend(frame.finish().pieces);
            if let Err(error) = half.write_queue(&mut queue).await {
                return error.into();
            }
            rt::task::yield_if_needed().await;
        }
    }
}

/// Whoever has something to be written on a line.
pub(super) trait Source {
    /// Gathers what there is to a frame. What can wait for company is left out unless there is some or
    /// `flush` is set; true if there is such.
    ///
    /// # Errors
    /// A [`ConnectionError`] that ends the connection.
    fn gather(&self, frame: &mut FrameWriter, flush: bool) -> Result<bool, ConnectionError>;
}
