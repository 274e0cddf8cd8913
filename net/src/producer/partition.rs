//! One partition's batches in a producer.

use std::collections::VecDeque;
use std::rc::Rc;

use batch::{Open, ProducerFields, stamp_producer};
use bytes::{Bytes, BytesMut};

/// A batch that takes records.
pub(super) struct Filling<T> {
    pub(super) batch: Open,
    pub(super) tickets: Vec<T>,
    /// When its first record came.
    pub(super) since: u64,
}

impl<T> Filling<T> {
    pub(super) fn new(buffer: BytesMut, tickets: Vec<T>, limit: usize, now: u64) -> Self {
        Self {
            batch: Open::new(buffer, limit),
            tickets,
            since: now,
        }
    }

    /// Its bytes, as far as they count as buffered.
    pub(super) fn counted(&self) -> usize {
        if self.batch.count() == 0 {
            0
        } else {
            self.batch.size()
        }
    }
}

/// A batch that is whole.
#[derive(Debug)]
pub(super) struct Sealed<T> {
    pub(super) bytes: Bytes,
    pub(super) tickets: Vec<T>,
    pub(super) since: u64,
    /// Its place among the partition's batches.
    pub(super) order: u64,
    pub(super) count: i32,
    /// How often it was sent in vain.
    pub(super) attempts: u32,
    /// Why, the last time.
    pub(super) why: Option<Rc<str>>,
}

pub(super) struct Partition<T> {
    pub(super) leader: Option<i32>,
    pub(super) open: Option<Filling<T>>,
    pub(super) ready: VecDeque<Sealed<T>>,
    /// Batches on their way.
    pub(super) on_way: usize,
    /// What left last was sent before in vain.
    pub(super) resending: bool,
    /// Nothing leaves before this time.
    pub(super) not_before: u64,
    next_sequence: i32,
    next_order: u64,
}

impl<T> Partition<T> {
    pub(super) fn new() -> Self {
        Self {
            leader: None,
            open: None,
            ready: VecDeque::new(),
            on_way: 0,
            resending: false,
            not_before: 0,
            next_sequence: 0,
            next_order: 0,
        }
    }

    /// The sequence of the first of the next `count` records; after the greatest number comes 0.
    pub(super) fn take_sequence(&mut self, count: i32) -> i32 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(count) & i32::MAX;
        sequence
    }

    pub(super) fn take_order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.ready.is_empty()
    }

    /// Whether the open batch has waited for `linger`.
    pub(super) fn is_due(&self, linger: u64, now: u64) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.since.saturating_add(linger) <= now)
    }

    /// When there is something to do here. If that is over, it waits for an answer or a leader.
    pub(super) fn next_due(&self, linger: u64) -> Option<u64> {
        let due = match (self.ready.front(), &self.open) {
            (Some(_), _) => 0,
            (None, Some(open)) => open.since.saturating_add(linger),
            (None, None) => return None,
        };
        Some(due.max(self.not_before))
    }

    /// A batch that is to be sent again takes its old place.
    pub(super) fn put_back(&mut self, sealed: Sealed<T>) {
        let at = self
            .ready
            .partition_point(|other| other.order < sealed.order);
        self.ready.insert(at, sealed);
    }

    /// Gives all batches that wait new producer fields, and begins with sequence 0.
    pub(super) fn restart(&mut self, fields: impl Fn(i32) -> ProducerFields) {
        self.next_sequence = 0;
        let mut waiting = std::mem::take(&mut self.ready);
        for sealed in &mut waiting {
            let fields = fields(self.take_sequence(sealed.count));
            let bytes = std::mem::take(&mut sealed.bytes);
            let mut bytes = bytes
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            stamp_producer(&mut bytes, fields);
            sealed.bytes = bytes.freeze();
        }
        self.ready = waiting;
    }
}
