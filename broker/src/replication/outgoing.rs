//! What a leader sends a follower's shard: all partitions with something new, in one frame a round.
//!
//! The bytes of records are those of the log's memory. What is on the drive only is read by a task of a
//! lower class, one partition after the other, while those that are at the end of their log go on.

use std::collections::VecDeque;
use std::rc::Rc;

use batch::Batch;
use bytes::Bytes;
use replica::wire::{FrameWriter, Message};
use replica::{Answer, Next};
use rt::task::{Class, Task};
use storage::{ColdRead, Read};

use super::error::ConnectionError;
use super::leading::{Followed, Inbound};
use super::line::Source;

/// A frame gets no more messages when it is as long.
const FRAME_BYTES: usize = 512 << 10;

/// The most bytes of one partition that go before the next one's turn.
const TURN_BYTES: usize = 256 << 10;

/// Where a partition waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: there is nothing to send.
    Nowhere,
    /// There may be something.
    Ready,
    /// The follower doesn't know the newest high watermark or log start, which can wait a little. It may
    /// be ready meanwhile.
    Deferred,
    /// There is something, and no credit.
    WithoutCredit,
    /// Its records have to be read from the drive.
    Cold,
    /// They could not be read; there is another try at the next tick.
    Unreadable,
}

/// What waits to be sent over a connection.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) answers: Vec<(u32, Answer)>,
    pub(super) ready: VecDeque<Rc<Followed>>,
    deferred: Vec<Rc<Followed>>,
    pub(super) without_credit: Vec<Rc<Followed>>,
    pub(super) unreadable: Vec<Rc<Followed>>,
    cold: VecDeque<(Rc<Followed>, Cold)>,
    /// A read of the drive is under way.
    reading: bool,
    /// The task that reads, or the last one that did.
    reader: Option<Task<()>>,
    /// Its result.
    read: Option<(Rc<Followed>, Cold, Vec<Bytes>)>,
}

/// A read of the drive.
struct Cold {
    /// The epoch it was begun in.
    leader_epoch: i32,
    /// The offset it begins at.
    from: i64,
    /// Until it is begun.
    read: Option<ColdRead>,
}

impl Source for Rc<Inbound> {
    fn gather(&self, frame: &mut FrameWriter, flush: bool) -> Result<bool, ConnectionError> {
        let answers = std::mem::take(&mut self.outgoing.borrow_mut().answers);
        for (number, answer) in answers {
            frame.push(&Message::Answer { number, answer })?;
        }
        self.take_read(frame)?;
        while frame.len() < FRAME_BYTES {
            let next = self.outgoing.borrow_mut().ready.pop_front();
            let Some(followed) = next else { break };
            followed.place.set(Place::Nowhere);
            self.gather_one(&followed, frame, false)?;
        }
        self.begin_read();
        if frame.is_empty() && !flush {
            return Ok(!self.outgoing.borrow().deferred.is_empty());
        }
        let deferred = std::mem::take(&mut self.outgoing.borrow_mut().deferred);
        for followed in deferred {
            // One that has got records meanwhile has had its turn.
            if followed.place.get() == Place::Deferred {
                followed.place.set(Place::Nowhere);
                self.gather_one(&followed, frame, true)?;
            }
        }
        // What is left has its turn in the next round, which comes at once.
        if !self.outgoing.borrow().ready.is_empty() {
            self.line.wake();
        }
        Ok(false)
    }
}

impl Inbound {
    fn gather_one(
        &self,
        followed: &Rc<Followed>,
        frame: &mut FrameWriter,
        company: bool,
    ) -> Result<(), ConnectionError> {
        let number = followed.number;
        match followed.partition.next_for(self.line.peer.node) {
            Next::Nothing => {}
            Next::Moved(moved) if company => {
                frame.push(&Message::Moved { number, moved })?;
                followed.partition.sent_moved(self.line.peer.node, &moved);
            }
            Next::Moved(_) => {
                followed.place.set(Place::Deferred);
                let mut outgoing = self.outgoing.borrow_mut();
                outgoing.deferred.push(Rc::clone(followed));
            }
            Next::OutOfRange(answer) => frame.push(&Message::Answer { number, answer })?,
            Next::Records { from, end } => self.gather_records(followed, (from, end), frame)?,
        }
        Ok(())
    }

    fn gather_records(
        &self,
        followed: &Rc<Followed>,
        (from, end): (i64, i64),
        frame: &mut FrameWriter,
    ) -> Result<(), ConnectionError> {
        let credit = usize::try_from(self.credit.get()).unwrap_or(0);
        if credit == 0 {
            followed.place.set(Place::WithoutCredit);
            let mut outgoing = self.outgoing.borrow_mut();
            outgoing.without_credit.push(Rc::clone(followed));
            return Ok(());
        }
        let leader_epoch = followed.partition.leader_epoch();
        let most = TURN_BYTES.min(credit);
        match followed.partition.read_to_send(from, end, most) {
            Read::Tail(batches) => {
                self.push_records(followed, leader_epoch, from, &batches, frame)?;
            }
            Read::Cold(read) => {
                let cold = Cold {
                    leader_epoch,
                    from,
                    read: Some(read),
                };
                followed.place.set(Place::Cold);
                let mut outgoing = self.outgoing.borrow_mut();
                outgoing.cold.push_back((Rc::clone(followed), cold));
            }
            // The log's start has just passed it.
            Read::OutOfRange => followed.mark(),
            Read::Empty => self.put_off(followed, "nothing is where records should be"),
            Read::Unavailable(error) => self.put_off(followed, &error.to_string()),
        }
        Ok(())
    }

    fn put_off(&self, followed: &Rc<Followed>, why: &str) {
        let (topic, partition) = (followed.partition.topic(), followed.id.index);
        let follower = self.line.peer.node;
        tracing::warn!(
            topic,
            partition,
            follower,
            why,
            "records for a follower could not be read"
        );
        followed.place.set(Place::Unreadable);
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.unreadable.push(Rc::clone(followed));
    }

    fn push_records(
        &self,
        followed: &Rc<Followed>,
        leader_epoch: i32,
        from: i64,
        batches: &[Bytes],
        frame: &mut FrameWriter,
    ) -> Result<(), ConnectionError> {
        let Some(next) = batches.last().and_then(next_offset) else {
            self.put_off(followed, "what was read is no batch");
            return Ok(());
        };
        let node = self.line.peer.node;
        let header = followed
            .partition
            .sent_records(node, leader_epoch, (from, next));
        if let Some(header) = header {
            frame.push_records(followed.number, &header, batches)?;
            let bytes: usize = batches.iter().map(Bytes::len).sum();
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.credit.set(self.credit.get().saturating_sub(bytes));
        }
        // There may be more, or another leadership's.
        followed.mark();
        Ok(())
    }

    /// Sends what was read from the drive.
    fn take_read(&self, frame: &mut FrameWriter) -> Result<(), ConnectionError> {
        let read = self.outgoing.borrow_mut().read.take();
        let Some((followed, cold, batches)) = read else {
            return Ok(());
        };
        followed.place.set(Place::Nowhere);
        self.push_records(&followed, cold.leader_epoch, cold.from, &batches, frame)
    }

    /// Begins the next read of the drive, if none is under way. Such reads may use half of what the
    /// follower holds, so that the rest is left to partitions that are at the end of their log.
    fn begin_read(self: &Rc<Self>) {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.reading || self.credit.get() < self.window.get() / 2 {
            return;
        }
        let Some((followed, mut cold)) = outgoing.cold.pop_front() else {
            return;
        };
        let inbound = Rc::clone(self);
        let read = async move {
            let result = match cold.read.take() {
                Some(read) => read.run().await,
                None => Ok(Vec::new()),
            };
            inbound.outgoing.borrow_mut().reading = false;
            match result {
                Ok(batches) => {
                    inbound.outgoing.borrow_mut().read = Some((followed, cold, batches));
                }
                Err(error) => inbound.put_off(&followed, &error.to_string()),
            }
            inbound.line.wake();
        };
        outgoing.reading = true;
        outgoing.reader = Some(rt::task::spawn_in(Class::Cold, read));
    }
}

/// The offset after the last batch of these that lie back to back.
fn next_offset(batches: &Bytes) -> Option<i64> {
    let mut next = None;
    for batch in batch::batches(batches) {
        next = Some(batch.as_ref().map(Batch::next_offset).ok()?);
    }
    next
}
