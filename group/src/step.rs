//! What every step of the coordinator works with besides its state.

use std::rc::Rc;

use coordinator::{Batch, Out, Record, Token, World};

use crate::core::Groups;
use crate::settings::Settings;
use crate::timers::Timers;
use crate::{Effect, Reply, Timer};

/// A name that many places share: of a group, a member, a topic.
pub(crate) type Name = Rc<str>;

/// What a record takes in a batch besides its key and value, in bytes; at most.
const RECORD_OVERHEAD: usize = 24;

/// Up to how many bytes records share a batch that needn't: many at a time are written, and read again, in
/// batches of a handy size.
const SHARED_MAX: usize = 256 << 10;

/// The world, the settings, the timers, and what comes of the step.
pub(crate) struct Step<'a, 'w> {
    pub(crate) world: &'a mut World<'w>,
    pub(crate) settings: &'a Settings,
    pub(crate) timers: &'a mut Timers<Timer>,
    out: &'a mut Out<Groups>,
    /// The size of the last batch that isn't of a transaction.
    batch_bytes: usize,
}

impl<'a, 'w> Step<'a, 'w> {
    pub(crate) fn new(
        world: &'a mut World<'w>,
        settings: &'a Settings,
        timers: &'a mut Timers<Timer>,
        out: &'a mut Out<Groups>,
    ) -> Self {
        let batch_bytes = out
            .batches
            .last()
            .map_or(0, |batch| bytes_of(&batch.records));
        Self {
            world,
            settings,
            timers,
            out,
            batch_bytes,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.world.now.mono_ms
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        self.world.now.wall_ms
    }

    /// Sets a timer this many milliseconds from now.
    pub(crate) fn after(&mut self, timer: Timer, ms: u64) {
        let due_ms = self.now_ms().saturating_add(ms);
        self.timers.set(timer, due_ms);
    }

    pub(crate) fn reply(&mut self, to: Token, reply: Reply) {
        self.out.reply(to, reply);
    }

    /// Passes on what is to be done elsewhere once the step is committed.
    pub(crate) fn effects(&mut self, effects: Vec<Effect>) {
        self.out.effects.extend(effects);
    }

    /// Whether the records can be written together.
    pub(crate) fn fit(&self, records: &[Record]) -> bool {
        bytes_of(records) <= self.settings.batch_max_bytes
    }

    /// Writes records that belong together, so all in one batch.
    pub(crate) fn write(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let bytes = bytes_of(&records);
        match self.out.batches.last_mut() {
            Some(batch)
                if batch.producer.is_none()
                    && self.batch_bytes + bytes
                        <= SHARED_MAX.min(self.settings.batch_max_bytes) =>
            {
                batch.records.extend(records);
                self.batch_bytes += bytes;
            }
            _ => {
                self.batch_bytes = bytes;
                self.out.batches.push(Batch {
                    producer: None,
                    records,
                });
            }
        }
    }

    /// Writes records of a transaction, all in one batch.
    pub(crate) fn write_of(&mut self, producer: (i64, i16), records: Vec<Record>) {
        if !records.is_empty() {
            self.out.batches.push(Batch {
                producer: Some(producer),
                records,
            });
        }
    }
}

fn bytes_of(records: &[Record]) -> usize {
    records
        .iter()
        .map(|record| {
            RECORD_OVERHEAD
                + record.key.len()
                + record.value.as_ref().map_or(0, |value| value.len())
        })
        .sum()
}
