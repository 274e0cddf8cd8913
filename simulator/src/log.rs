//! The log of one replica: what is in memory, and a drive beneath that crashes as drives do.
//!
//! What is stored stays. What was appended and isn't stored may stay or go at a crash, from the end
//! backwards. A truncation is certain only once something was stored after it.

use replica::LogView;

use crate::rng::Rng;

/// A record, which is a batch of its own: the epoch it was written in, who made it, and its place among those of its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The leader epoch.
    pub(crate) epoch: i32,
    /// The producer.
    pub(crate) producer: u32,
    /// Counts the producer's records, from 0 on.
    pub(crate) sequence: u64,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    /// Offset of the first record.
    base: i64,
    /// The first offset that isn't deleted.
    start: i64,
    records: Vec<Record>,
}

impl Content {
    fn end(&self) -> i64 {
        self.base + self.records.len() as i64
    }

    fn index(&self, offset: i64) -> usize {
        (offset - self.base) as usize
    }
}

/// The log of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    memory: Content,
    disk: Content,
    /// So many records of the drive are those of the memory; `None` where the log began anew since.
    agree: Option<usize>,
    epochs: Vec<(i32, i64)>,
    stable: i64,
    /// For a mutation: the drive may find the log as it was before it began anew.
    adrift: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            memory: Content::default(),
            disk: Content::default(),
            agree: Some(0),
            epochs: Vec::new(),
            stable: 0,
            adrift: false,
        }
    }
}

impl Log {
    pub(crate) fn append(&mut self, record: Record) {
        assign(&mut self.epochs, record.epoch, self.memory.end());
        self.memory.records.push(record);
    }

    pub(crate) fn assign_epoch(&mut self, epoch: i32, start: i64) {
        assert_eq!(
            start,
            self.memory.end(),
            "an epoch begins at the end of the log"
        );
        assign(&mut self.epochs, epoch, start);
    }

    /// All below `end` is stored now, and every truncation with it.
    pub(crate) fn store(&mut self, end: i64) {
        let end = end.clamp(self.stable, self.memory.end());
        self.stable = end;
        if self.adrift {
            return;
        }
        let agree = match self.agree {
            Some(agree) => agree,
            None => {
                self.disk.base = self.memory.base;
                0
            }
        };
        let kept = self.memory.index(end);
        self.disk.records.truncate(agree);
        if agree < kept {
            let new = &self.memory.records[agree..kept];
            self.disk.records.extend_from_slice(new);
        } else {
            self.disk.records.truncate(kept);
        }
        self.disk.start = self.memory.start.min(end);
        self.agree = Some(kept);
    }

    pub(crate) fn truncate(&mut self, end: i64) {
        assert!(end >= self.memory.start && end <= self.memory.end());
        let kept = self.memory.index(end);
        self.memory.records.truncate(kept);
        self.epochs.retain(|&(_, begin)| begin < end);
        self.stable = self.stable.min(end);
        self.agree = self.agree.map(|agree| agree.min(kept));
    }

    /// Throws all away and begins at `start`. What follows is in vain where that isn't `durable`.
    pub(crate) fn restart_at(&mut self, start: i64, durable: bool) {
        self.adrift = !durable;
        self.memory = Content {
            base: start,
            start,
            records: Vec::new(),
        };
        self.epochs.clear();
        self.stable = start;
        self.agree = None;
        self.store(start);
    }

    pub(crate) fn raise_start(&mut self, start: i64) {
        assert!(start >= self.memory.start && start <= self.memory.end());
        self.memory.start = start;
        if self.agree == Some(self.disk.records.len()) {
            self.disk.start = start.min(self.disk.end());
        }
        let below = self.epochs.partition_point(|&(_, begin)| begin <= start);
        if below > 0 {
            self.epochs.drain(..below - 1);
            self.epochs[0].1 = start;
        }
    }

    /// The process dies.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let cut_is_done = self.agree == Some(self.disk.records.len());
        if cut_is_done || rng.chance(50) {
            let kept = rng.offset(self.stable, self.memory.end());
            self.adrift = false;
            self.store(kept);
        }
        self.adrift = false;
        self.disk.start = self.disk.start.min(self.disk.end());
        self.memory = self.disk.clone();
        self.agree = Some(self.memory.records.len());
        self.stable = self.memory.end();
        self.epochs.clear();
        for (offset, record) in (self.memory.base..).zip(&self.memory.records) {
            assign(&mut self.epochs, record.epoch, offset);
        }
        let start = self.memory.start;
        self.raise_start(start);
    }

    pub(crate) fn get(&self, offset: i64) -> Option<Record> {
        if offset < self.memory.start {
            return None;
        }
        self.memory.records.get(self.memory.index(offset)).copied()
    }

    /// The records between two offsets.
    pub(crate) fn read(&self, from: i64, end: i64) -> &[Record] {
        &self.memory.records[self.memory.index(from)..self.memory.index(end)]
    }
}

/// As the broker's epoch cache does it.
fn assign(epochs: &mut Vec<(i32, i64)>, epoch: i32, offset: i64) {
    if epochs.last().is_some_and(|&(latest, _)| epoch <= latest) {
        return;
    }
    while epochs.last().is_some_and(|&(_, begin)| begin >= offset) {
        epochs.pop();
    }
    epochs.push((epoch, offset));
}

impl LogView for Log {
    fn start(&self) -> i64 {
        self.memory.start
    }

    fn end(&self) -> i64 {
        self.memory.end()
    }

    fn stable_end(&self) -> i64 {
        self.stable
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|&(epoch, _)| epoch)
    }

    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        if epoch < 0 {
            return (-1, -1);
        }
        if self.latest_epoch() == Some(epoch) {
            return (epoch, self.end());
        }
        let above = self.epochs.partition_point(|&(begun, _)| begun <= epoch);
        let Some(&(_, end)) = self.epochs.get(above) else {
            return (-1, -1);
        };
        match above.checked_sub(1).map(|at| self.epochs[at]) {
            Some((floor, _)) => (floor, end),
            None => (epoch, end),
        }
    }
}
