//! A partition as one share group sees it: which records are out, with whom and for how long, and which are done.
//!
//! A [`SharePartition`] lives beside the partition's leader. It is made from what was stored of it, is told what
//! was read from the log, and says who got which records. Changes that must survive are handed out one write at a
//! time ([`SharePartition::next_write`]); until one is stored ([`SharePartition::written`]) the records
//! concerned are neither with their member nor free, and if it can't be stored they are with the member as before.
//! Writes are therefore ordered whatever stores them, and whatever changes while one is out goes with
//! the next.
//!
//! Where records are with a member is never stored: after a restart they are free.

mod acknowledge;
mod acquire;
mod window;

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use thiserror::Error;
use uuid::Uuid;

use window::{State, Window};

/// The limits of a share-partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// New records are acquired while fewer than this many lie between the first that isn't done and the last that
    /// was acquired: Kafka's `group.share.partition.max.record.locks`. The last record batch is acquired whole.
    pub max_in_flight: u32,
    /// A record that was delivered this often and isn't accepted is archived:
    /// `group.share.delivery.count.limit`.
    pub max_deliveries: i16,
    /// How long a member may hold a record, in milliseconds: `group.share.record.lock.duration.ms`, or
    /// the group's `share.record.lock.duration.ms`.
    pub lock_ms: u64,
}

/// Records from one offset to another in one stored state: Kafka's `StateBatch` of the share group state requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset.
    pub last_offset: i64,
    /// 0 available, 2 acknowledged, 4 archived.
    pub delivery_state: i8,
    /// How often they were delivered.
    pub delivery_count: i16,
}

/// What was stored of a share-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// The state's epoch, which each write has to give.
    pub state_epoch: i32,
    /// The first offset that isn't done. The shell has already put an offset of the log here if none was stored.
    pub start_offset: i64,
    /// Records from there on, by offset. Those it has nothing on were never delivered.
    pub batches: Vec<StateBatch>,
}

/// A stored state that can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damaged {
    /// Batches overlap, or end before they begin.
    #[error(
        "the stored state has offsets {first}-{last} where offset {expected} or a later one has to come next"
    )]
    Order {
        /// The batch's first offset.
        first: i64,
        /// Its last.
        last: i64,
        /// The first offset that it could have had.
        expected: i64,
    },
    /// A state that there isn't.
    #[error("the stored state has {state} as the state of offset {first}, which is none")]
    State {
        /// The batch's first offset.
        first: i64,
        /// Its state.
        state: i8,
    },
}

/// The number of a write, by which whoever waits for it knows it. Numbers grow by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is to be stored next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// For [`SharePartition::written`].
    pub ticket: Ticket,
    /// The state's epoch.
    pub state_epoch: i32,
    /// The first offset that isn't done once this is stored. May be behind that of a write that failed.
    pub start_offset: i64,
    /// What changed from there on, by offset. May be empty, when only the start moved.
    pub batches: Vec<StateBatch>,
}

/// Whom records are acquired for, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Acquire<'a> {
    /// The member.
    pub member: Uuid,
    /// The time now, in milliseconds of a clock that never goes back.
    pub now_ms: u64,
    /// Where the read began: what [`SharePartition::next_fetch`] gave. If the first record batch
    /// begins after it, there are no records between.
    pub from: i64,
    /// The record batches that were read, by offset: each one's first and last.
    pub read: &'a [(i64, i64)],
    /// Offsets that nobody may get, by offset: those of transactions that were given up.
    pub aborted: &'a [(i64, i64)],
    /// How many records are wanted. The record batch of the last of them is acquired to its end.
    pub max_records: u32,
    /// Acquired records are given in pieces of at least this many, cut where a record batch begins.
    pub batch_size: u32,
}

/// Records that a member now holds: Kafka's `AcquiredRecords`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset.
    pub last_offset: i64,
    /// How often they have been delivered, this time included.
    pub delivery_count: i16,
}

/// What a member says of records: Kafka's `AcknowledgementBatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckBatch<'a> {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset.
    pub last_offset: i64,
    /// One for all offsets, or one for each: 0 gap, 1 accept, 2 release, 3 reject.
    pub types: &'a [i8],
}

/// Why an acknowledgement changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    /// Some record isn't with the member, or not any more.
    #[error("offset {0} isn't acquired by this member")]
    NotAcquired(i64),
    /// Batches end before they begin, are out of order, or their types are not as many as they have to be.
    #[error(
        "the acknowledged offsets {first}-{last} aren't a batch that can follow the one before"
    )]
    Malformed {
        /// The batch's first offset.
        first: i64,
        /// Its last.
        last: i64,
    },
    /// A type that there isn't.
    #[error("{0} is no type of acknowledgement")]
    Type(i8),
    /// The batch goes on behind the last record that was ever acquired.
    #[error("the acknowledged offsets end at {last}, but none after {acquired} was acquired")]
    Beyond {
        /// The batch's last offset.
        last: i64,
        /// The last that was acquired.
        acquired: i64,
    },
}

impl AckError {
    /// How a client is told.
    pub fn error(&self) -> ResponseError {
        match self {
            Self::NotAcquired(_) => ResponseError::InvalidRecordState,
            Self::Malformed { .. } | Self::Type(_) | Self::Beyond { .. } => {
                ResponseError::InvalidRequest
            }
        }
    }
}

/// A partition as one share group sees it.
#[derive(Debug)]
pub struct SharePartition {
    settings: Settings,
    state_epoch: i32,
    window: Window,
    /// Changes for the next write: first offsets, and the last of each.
    dirty: BTreeMap<i64, i64>,
    /// Whether somebody waits for the next write, or it is worth one of its own.
    write_wanted: bool,
    /// The ticket of the next write.
    next_ticket: u64,
    /// The write that is out.
    out: Option<Out>,
}

/// A write that is being stored.
#[derive(Debug)]
struct Out {
    ticket: Ticket,
    start_offset: i64,
    ranges: BTreeMap<i64, i64>,
}

impl SharePartition {
    /// Takes up what was stored.
    ///
    /// # Errors
    /// The state can't be one.
    pub fn new(stored: &StoredState, settings: Settings) -> Result<Self, Damaged> {
        let mut window = Window::new(stored.start_offset);
        for batch in &stored.batches {
            let (first, last) = (batch.first_offset, batch.last_offset);
            let state = match batch.delivery_state {
                // Acquired is never stored, but if it were, the member would be gone.
                0 | 1 => State::Available,
                2 => State::Acknowledged,
                4 => State::Archived,
                state => return Err(Damaged::State { first, state }),
            };
            let expected = window.end();
            let done = last < stored.start_offset && first <= last;
            let follows = first <= last && first.max(stored.start_offset) >= expected;
            if done {
                continue;
            }
            if !follows || last == i64::MAX {
                return Err(Damaged::Order {
                    first,
                    last,
                    expected,
                });
            }
            window.push(first - 1, State::Available, 0);
            window.push(last, state, batch.delivery_count);
        }
        window.advance();
        Ok(Self {
            settings,
            state_epoch: stored.state_epoch,
            window,
            dirty: BTreeMap::new(),
            write_wanted: false,
            next_ticket: 0,
            out: None,
        })
    }

    /// Takes new limits, for what happens from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The epoch of the stored state.
    pub fn state_epoch(&self) -> i32 {
        self.state_epoch
    }

    /// The first offset that isn't done.
    pub fn start_offset(&self) -> i64 {
        self.window.start()
    }

    /// The first offset that was never acquired.
    pub fn end_offset(&self) -> i64 {
        self.window.end()
    }

    /// How many offsets lie between those two.
    pub fn in_flight(&self) -> u64 {
        self.window.end().abs_diff(self.window.start())
    }

    /// The log begins at this offset by now: what is before it is forgotten, whoever holds it.
    pub fn log_start(&mut self, offset: i64) {
        if offset > self.window.start() {
            self.window.forget_before(offset);
            self.window.advance();
        }
    }

    /// The next write, if there is anything to be stored and none is out.
    pub fn next_write(&mut self) -> Option<Write> {
        if self.out.is_some() || !self.write_wanted {
            return None;
        }
        self.write_wanted = false;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let ranges = std::mem::take(&mut self.dirty);
        let start_offset = self.window.start_when_stored();
        let mut batches: Vec<StateBatch> = Vec::with_capacity(ranges.len());
        for (&first, &last) in ranges.range(..self.window.end()) {
            for (first, last, state, delivery_count) in
                self.window.to_store(first.max(start_offset), last)
            {
                let batch = StateBatch {
                    first_offset: first,
                    last_offset: last,
                    delivery_state: state.id(),
                    delivery_count,
                };
                match batches.last_mut() {
                    Some(before) if before.goes_on_with(&batch) => before.last_offset = last,
                    _ => batches.push(batch),
                }
            }
        }
        self.out = Some(Out {
            ticket,
            start_offset,
            ranges,
        });
        Some(Write {
            ticket,
            state_epoch: self.state_epoch,
            start_offset,
            batches,
        })
    }

    /// The write with this ticket is stored, or isn't: then the records are with those that
    /// held them, and an acknowledgement that waits for it is to be refused. Other writes than the one that is out
    /// change nothing.
    pub fn written(&mut self, ticket: Ticket, stored: bool) {
        let Some(out) = self.out.take_if(|out| out.ticket == ticket) else {
            return;
        };
        for (&first, &last) in &out.ranges {
            self.window.update(first, last, |run| {
                if let Some(pending) = run.pending
                    && pending.ticket == ticket.0
                {
                    run.pending = None;
                    if stored {
                        run.state = pending.to;
                        run.delivery_count = pending.delivery_count;
                    }
                }
            });
            if !stored {
                insert_range(&mut self.dirty, first, last);
            }
        }
        // Nobody knows what is stored by now, so the next write says it again: also of what was done already, and
        // which this one would have let be forgotten.
        let start = self.window.start();
        if !stored && start < out.start_offset {
            insert_range(&mut self.dirty, start, out.start_offset - 1);
        }
        self.window.advance();
    }

    /// Notes that offsets changed in a way that is to be stored.
    fn touch(&mut self, first: i64, last: i64) {
        insert_range(&mut self.dirty, first, last);
        self.write_wanted = true;
    }
}

impl StateBatch {
    fn goes_on_with(&self, next: &Self) -> bool {
        self.last_offset + 1 == next.first_offset
            && self.delivery_state == next.delivery_state
            && self.delivery_count == next.delivery_count
    }
}

/// Adds offsets to ranges that neither overlap nor touch.
fn insert_range(ranges: &mut BTreeMap<i64, i64>, mut first: i64, mut last: i64) {
    while let Some((&begin, &end)) = ranges.range(..=last.saturating_add(1)).next_back()
        && end.saturating_add(1) >= first
    {
        ranges.remove(&begin);
        (first, last) = (first.min(begin), last.max(end));
    }
    ranges.insert(first, last);
}
