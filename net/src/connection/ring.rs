//! The answers of one connection, in the order of its requests.
//!
//! A [`Slot`] is the place of one answer. Slots are filled in any order and leave in the
//! order they were opened. One task reads requests, hands them out and writes answers, so
//! the ring wakes it only when a slot is filled from elsewhere and its answer is next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use rt::sync::Permit;

use super::gather::Gather;
use crate::response::Response;

/// Why the connection's own task should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// It should not.
    Never,
    /// Read no more; what was begun is finished.
    Reading,
    /// Nothing more can be written, or has to be.
    Everything,
}

/// No further request is read while answers of this many bytes wait for the peer to take them: a
/// small request may have a large answer.
const MAX_UNREAD: usize = 256 * 1024;

enum Place {
    Open,
    Filled(Response, Option<Permit>),
    Nothing,
    Close(End),
}

/// Why the answers end before the requests do.
#[derive(Debug)]
pub(super) enum End {
    /// A handler asked for it.
    Asked(String),
    /// A handler dropped its slot.
    Abandoned,
}

#[derive(Default)]
struct Places {
    /// From the oldest answer that has not been handed to the writer.
    queue: VecDeque<Place>,
    /// The number of the first of them.
    first: u64,
    /// How many the writer has and has not written yet.
    writing: usize,
    /// Bytes of answers that are filled and not written, the writer's among them.
    unread: usize,
    /// How many of them the writer has.
    writing_bytes: usize,
}

impl Places {
    fn take_ready(&mut self, gather: &mut Gather) -> Option<End> {
        while !gather.is_enough() {
            match self.queue.front()? {
                Place::Open => break,
                // An end stays in its place until what comes before it is written.
                Place::Close(_) if !gather.is_empty() => break,
                _ => {}
            }
            match self.queue.pop_front()? {
                Place::Filled(response, credit) => {
                    self.writing += 1;
                    self.writing_bytes += response.len();
                    gather.push(response, credit);
                }
                Place::Close(end) => return Some(end),
                Place::Nothing | Place::Open => {}
            }
            self.first += 1;
        }
        None
    }
}

/// What the writer has to do.
pub(super) enum Ready {
    /// Write what it was given.
    Answers,
    /// Nothing any more.
    Done,
    /// Nothing any more, although requests may have come after.
    End(End),
}

pub(super) struct Ring {
    places: RefCell<Places>,
    max: usize,
    stop: Cell<Stop>,
    reader_done: Cell<bool>,
    reader_waits: Cell<bool>,
    /// The connection's task runs now, and will look at the ring before it waits.
    awake: Cell<bool>,
    /// Something changed that a part of the task which already ran has to see.
    again: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    last_write: Cell<Instant>,
}

impl Ring {
    pub(super) fn new(max: usize, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            places: RefCell::default(),
            max: max.max(1),
            stop: Cell::new(Stop::Never),
            reader_done: Cell::new(false),
            reader_waits: Cell::new(false),
            awake: Cell::new(false),
            again: Cell::new(false),
            waker: RefCell::new(None),
            last_write: Cell::new(now),
        })
    }

    /// The task begins to run. True if it has not run with this waker before.
    pub(super) fn enter(&self, waker: &Waker) -> bool {
        self.awake.set(true);
        let mut held = self.waker.borrow_mut();
        let known = held.as_ref().is_some_and(|held| held.will_wake(waker));
        if !known {
            *held = Some(waker.clone());
        }
        !known
    }

    /// The task is about to wait. False if it has to look again first.
    pub(super) fn leave(&self) -> bool {
        let again = self.again.replace(false);
        self.awake.set(again);
        !again
    }

    /// The next answer's place. The reader waits for [`Self::poll_room`] first.
    pub(super) fn open(self: &Rc<Self>) -> Slot {
        let mut places = self.places.borrow_mut();
        let number = places.first + places.queue.len() as u64;
        places.queue.push_back(Place::Open);
        Slot {
            ring: Rc::clone(self),
            number,
            settled: false,
        }
    }

    /// Ready when another request may be read.
    pub(super) fn poll_room(&self) -> Poll<()> {
        let room = self.has_room();
        self.reader_waits.set(!room);
        if room { Poll::Ready(()) } else { Poll::Pending }
    }

    fn has_room(&self) -> bool {
        self.unwritten() < self.max && self.places.borrow().unread < MAX_UNREAD
    }

    /// How many requests have no answer on the wire.
    pub(super) fn unwritten(&self) -> usize {
        let places = self.places.borrow();
        places.queue.len() + places.writing
    }

    pub(super) fn stop(&self, stop: Stop) {
        if stop > self.stop.get() {
            self.stop.set(stop);
            self.again.set(true);
        }
    }

    pub(super) fn stopped(&self) -> Stop {
        self.stop.get()
    }

    pub(super) fn reader_done(&self) {
        self.reader_done.set(true);
    }

    pub(super) fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// Moves answers that are next and filled into `gather`, until it has enough.
    pub(super) fn poll_ready(&self, gather: &mut Gather) -> Poll<Ready> {
        if self.stop.get() == Stop::Everything {
            return Poll::Ready(Ready::Done);
        }
        let end = self.places.borrow_mut().take_ready(gather);
        if let Some(end) = end {
            return Poll::Ready(Ready::End(end));
        }
        if !gather.is_empty() {
            return Poll::Ready(Ready::Answers);
        }
        if self.reader_done.get() && self.unwritten() == 0 {
            return Poll::Ready(Ready::Done);
        }
        self.tell_reader();
        Poll::Pending
    }

    /// All that was taken is on the wire.
    pub(super) fn written(&self, now: Instant) {
        {
            let places = &mut *self.places.borrow_mut();
            places.writing = 0;
            places.unread -= std::mem::take(&mut places.writing_bytes);
        }
        self.last_write.set(now);
        self.tell_reader();
    }

    fn tell_reader(&self) {
        if self.reader_waits.get() && self.has_room() {
            self.again.set(true);
        }
    }

    /// Lets go of everything; slots filled from now on are dropped.
    pub(super) fn close(&self) {
        self.stop.set(Stop::Everything);
        let left = {
            let mut places = self.places.borrow_mut();
            places.first = u64::MAX;
            std::mem::take(&mut places.queue)
        };
        // Outside the borrow: an answer's credit wakes whoever waits for it.
        drop(left);
        self.waker.borrow_mut().take();
    }

    fn settle(&self, number: u64, place: Place) {
        let is_next = {
            let mut places = self.places.borrow_mut();
            let Some(index) = number.checked_sub(places.first) else {
                return;
            };
            if matches!(place, Place::Close(_)) {
                self.stop.set(self.stop.get().max(Stop::Reading));
            }
            let bytes = match &place {
                Place::Filled(response, _) => response.len(),
                _ => 0,
            };
            if let Some(open) = usize::try_from(index)
                .ok()
                .and_then(|index| places.queue.get_mut(index))
            {
                *open = place;
                places.unread += bytes;
            }
            index == 0
        };
        // An answer that is not next leaves with the one that is; the end of reading has
        // to be seen at once.
        if self.awake.get() || !(is_next || self.stop.get() > Stop::Never) {
            return;
        }
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The place of one answer. It is settled once; one that is dropped unsettled closes the
/// connection, so that a client never waits for an answer nobody will give.
#[must_use = "dropping a slot that was not filled closes the connection"]
pub struct Slot {
    ring: Rc<Ring>,
    number: u64,
    settled: bool,
}

impl Slot {
    /// Answers.
    pub fn fill(self, response: Response) {
        self.settle(Place::Filled(response, None));
    }

    /// Answers, and gives `credit` back when the answer is on the wire or the connection
    /// has ended: for answers that hold on to counted memory.
    pub fn fill_holding(self, response: Response, credit: Permit) {
        self.settle(Place::Filled(response, Some(credit)));
    }

    /// Sends no answer, as for a produce request with acks=0.
    pub fn nothing(self) {
        self.settle(Place::Nothing);
    }

    /// Closes the connection when the answers to all earlier requests are written. No
    /// further request is read. `reason` is for the log.
    pub fn close(self, reason: impl Into<String>) {
        self.settle(Place::Close(End::Asked(reason.into())));
    }

    /// Whether the connection has ended, so that an answer would reach nobody.
    pub fn is_closed(&self) -> bool {
        self.ring.stopped() == Stop::Everything
    }

    fn settle(mut self, place: Place) {
        self.settled = true;
        self.ring.settle(self.number, place);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.settled {
            self.ring.settle(self.number, Place::Close(End::Abandoned));
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.number).finish()
    }
}
