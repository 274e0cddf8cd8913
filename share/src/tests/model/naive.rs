//! A share-partition with a slot for each offset, each rule as it reads.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::partition::{AckBatch, Acquire, Settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Free,
    Held(Uuid, u64),
    Done(i8),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) is: Is,
    pub(super) count: i16,
    /// The ticket, what it will be, and its count then.
    pub(super) pending: Option<(u64, Is, i16)>,
}

/// The state of each offset, and how often it was delivered.
pub(super) type Stored = BTreeMap<i64, (i8, i16)>;

pub(super) struct Naive {
    pub(super) settings: Settings,
    pub(super) start: i64,
    pub(super) slots: BTreeMap<i64, Slot>,
    pub(super) ticket: u64,
    /// The write that is out, and its start.
    pub(super) out: Option<(u64, i64)>,
    /// Offsets for the next write, and those of the one that is out.
    pub(super) dirty: BTreeSet<i64>,
    out_dirty: BTreeSet<i64>,
    pub(super) wanted: bool,
    /// Archived because they were delivered too often.
    pub(super) worn_out: BTreeSet<i64>,
}

impl Naive {
    pub(super) fn new(start: i64, stored: &Stored, settings: Settings) -> Self {
        let mut slots = BTreeMap::new();
        if let Some((&last, _)) = stored.last_key_value() {
            for offset in start..=last {
                let (id, count) = stored.get(&offset).copied().unwrap_or((0, 0));
                let is = match id {
                    0 => Is::Free,
                    id => Is::Done(id),
                };
                let pending = None;
                slots.insert(offset, Slot { is, count, pending });
            }
        }
        let mut naive = Self {
            settings,
            start,
            slots,
            ticket: 0,
            out: None,
            dirty: BTreeSet::new(),
            out_dirty: BTreeSet::new(),
            wanted: false,
            worn_out: BTreeSet::new(),
        };
        naive.advance();
        naive
    }

    pub(super) fn end(&self) -> i64 {
        self.slots
            .last_key_value()
            .map_or(self.start, |(&last, _)| last + 1)
    }

    fn room(&self) -> i64 {
        i64::from(self.settings.max_in_flight) - self.slots.len() as i64
    }

    pub(super) fn next_fetch(&self) -> Option<i64> {
        let free = self.slots.iter().find(|(_, slot)| slot.is == Is::Free);
        match free {
            Some((&offset, _)) => Some(offset),
            None => (self.room() > 0).then(|| self.end()),
        }
    }

    fn advance(&mut self) {
        while let Some(entry) = self.slots.first_entry()
            && matches!(entry.get().is, Is::Done(_))
        {
            self.start = entry.key() + 1;
            entry.remove();
        }
    }

    /// Each offset acquired, with its count.
    pub(super) fn acquire(&mut self, wanted: &Acquire<'_>) -> Vec<(i64, i16)> {
        let (base, last) = (wanted.read[0].0, wanted.read[wanted.read.len() - 1].1);
        for offset in wanted.from..base {
            let gone = Slot {
                is: Is::Done(4),
                count: 0,
                pending: None,
            };
            if offset >= self.end() {
                self.slots.insert(offset, gone);
            } else if let Some(slot) = self.slots.get_mut(&offset)
                && slot.is == Is::Free
            {
                slot.is = gone.is;
            }
        }
        self.advance();
        let batch_end = |offset: i64| {
            let mut read = wanted.read.iter();
            let batch = read.find(|batch| batch.0 <= offset && offset <= batch.1);
            batch.map_or(offset, |batch| batch.1)
        };
        let (end, is) = (
            self.end(),
            Is::Held(wanted.member, wanted.now_ms + self.settings.lock_ms),
        );
        let mut got = Vec::new();
        let mut left = i64::from(wanted.max_records);
        let mut stop = last;
        for (&offset, slot) in self.slots.range_mut(base.max(self.start)..) {
            if offset <= stop && slot.is == Is::Free {
                (slot.is, slot.count) = (is, slot.count + 1);
                got.push((offset, slot.count));
                left -= 1;
                if left == 0 {
                    stop = batch_end(offset);
                }
            }
        }
        let news = left.min(self.room());
        if news > 0 {
            let to = match end + news > last {
                true => last,
                false => batch_end(end + news - 1),
            };
            let (count, pending) = (1, None);
            self.slots
                .extend((end..=to).map(|offset| (offset, Slot { is, count, pending })));
            got.extend((end..=to).map(|offset| (offset, 1)));
        }
        let is_aborted = |offset: i64| {
            let mut aborted = wanted.aborted.iter();
            aborted.any(|&(first, last)| first <= offset && offset <= last)
        };
        got.retain(|&(offset, _)| {
            if is_aborted(offset) {
                self.slots.get_mut(&offset).unwrap().is = Is::Done(4);
            }
            !is_aborted(offset)
        });
        self.advance();
        got
    }

    /// Whether it is taken, and whether there is anything to wait for.
    pub(super) fn acknowledge(&mut self, member: Uuid, batch: &AckBatch<'_>) -> Option<bool> {
        let length = batch.last_offset - batch.first_offset + 1;
        if length < 1
            || (batch.types.len() != 1 && batch.types.len() as i64 != length)
            || batch.types.iter().any(|kind| !(0..=3).contains(kind))
        {
            return None;
        }
        if batch.last_offset < self.start {
            return Some(false);
        }
        let offsets = batch.first_offset.max(self.start)..=batch.last_offset;
        for offset in offsets.clone() {
            let slot = self.slots.get(&offset)?;
            if slot.pending.is_some() || !matches!(slot.is, Is::Held(of, _) if of == member) {
                return None;
            }
        }
        for offset in offsets {
            let at = (offset - batch.first_offset) as usize;
            let kind = batch.types[at.min(batch.types.len() - 1)];
            let slot = self.slots.get_mut(&offset).unwrap();
            let to = match kind {
                1 => Is::Done(2),
                2 if slot.count < self.settings.max_deliveries => Is::Free,
                2 => {
                    self.worn_out.insert(offset);
                    Is::Done(4)
                }
                _ => Is::Done(4),
            };
            slot.pending = Some((self.ticket, to, slot.count));
            self.dirty.insert(offset);
            self.wanted = true;
        }
        Some(true)
    }

    pub(super) fn release(&mut self, member: Uuid) -> bool {
        let mut any = false;
        for (&offset, slot) in &mut self.slots {
            if slot.pending.is_none() && matches!(slot.is, Is::Held(of, _) if of == member) {
                slot.pending = Some((self.ticket, Is::Free, slot.count - 1));
                self.dirty.insert(offset);
                any = true;
            }
        }
        self.wanted |= any;
        any
    }

    pub(super) fn tick(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        for (&offset, slot) in &mut self.slots {
            if slot.pending.is_none() && matches!(slot.is, Is::Held(_, until) if until <= now_ms) {
                slot.is = Is::Free;
                if slot.count >= self.settings.max_deliveries {
                    slot.is = Is::Done(4);
                    self.worn_out.insert(offset);
                }
                self.dirty.insert(offset);
                any = true;
            }
        }
        self.wanted |= any;
        self.advance();
        any
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let locks = self.slots.values().filter_map(|slot| match slot.is {
            Is::Held(_, until) if slot.pending.is_none() => Some(until),
            _ => None,
        });
        locks.min()
    }

    pub(super) fn log_start(&mut self, offset: i64) {
        if offset > self.start {
            self.slots = self.slots.split_off(&offset);
            self.start = offset;
            self.advance();
        }
    }

    /// The ticket, the start, and each offset's state and count.
    pub(super) fn next_write(&mut self) -> Option<(u64, i64, Stored)> {
        if self.out.is_some() || !self.wanted {
            return None;
        }
        self.wanted = false;
        let will_be = |slot: &Slot| {
            let (is, count) = match (slot.pending, slot.is) {
                (Some((_, to, count)), _) => (to, count),
                (None, Is::Held(..)) => (Is::Free, slot.count - 1),
                (None, is) => (is, slot.count),
            };
            match is {
                Is::Done(id) => (id, count),
                _ => (0, count),
            }
        };
        let mut rest = self.slots.iter().filter(|(_, slot)| will_be(slot).0 == 0);
        let start = rest.next().map_or(self.end(), |(&offset, _)| offset);
        self.out_dirty = std::mem::take(&mut self.dirty);
        let said = self.out_dirty.range(start..);
        let said = said.filter_map(|offset| Some((*offset, will_be(self.slots.get(offset)?))));
        let said = said.collect();
        self.out = Some((self.ticket, start));
        self.ticket += 1;
        Some((self.ticket - 1, start, said))
    }

    pub(super) fn written(&mut self, stored: bool) {
        let (ticket, start) = self.out.take().unwrap();
        for slot in self.slots.values_mut() {
            if let Some((of, to, count)) = slot.pending
                && of == ticket
            {
                slot.pending = None;
                if stored {
                    (slot.is, slot.count) = (to, count);
                }
            }
        }
        let said = std::mem::take(&mut self.out_dirty);
        if !stored {
            self.dirty.extend(said);
            self.dirty.extend(self.start..start);
        }
        self.advance();
    }
}
