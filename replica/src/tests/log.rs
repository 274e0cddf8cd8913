//! A log in memory with a disk beneath that crashes as disks do: what is stored stays, what isn't may, and
//! a truncation is only certain once something was stored after it.

use super::rng::Rng;
use crate::LogView;

/// A record: the epoch it was written in, and what tells it from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: i32,
    pub(super) value: u64,
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
        self.base + i64::try_from(self.records.len()).unwrap()
    }

    fn index(&self, offset: i64) -> usize {
        usize::try_from(offset - self.base).unwrap()
    }

    fn is_prefix_of(&self, other: &Self) -> bool {
        self.base == other.base && other.records.starts_with(&self.records)
    }

    fn epochs(&self) -> Vec<(i32, i64)> {
        let mut epochs = Vec::new();
        for (offset, record) in (self.base..).zip(&self.records) {
            assign(&mut epochs, record.epoch, offset);
        }
        epochs
    }
}

/// As `storage`'s epoch cache does it.
fn assign(epochs: &mut Vec<(i32, i64)>, epoch: i32, offset: i64) {
    if epochs.last().is_some_and(|&(latest, _)| epoch <= latest) {
        return;
    }
    while epochs.last().is_some_and(|&(_, begin)| begin >= offset) {
        epochs.pop();
    }
    epochs.push((epoch, offset));
}

/// The log of one replica.
#[derive(Clone, Debug, Default)]
pub(super) struct TestLog {
    memory: Content,
    disk: Content,
    epochs: Vec<(i32, i64)>,
    stable: i64,
}

impl TestLog {
    /// A log with these epochs, all stored: each pair an epoch and how many records it wrote.
    pub(super) fn of(epochs: &[(i32, i64)]) -> Self {
        let mut log = Self::default();
        for &(epoch, count) in epochs {
            for _ in 0..count {
                log.append(Record { epoch, value: 0 });
            }
        }
        log.store(log.end());
        log
    }

    pub(super) fn append(&mut self, record: Record) {
        assign(&mut self.epochs, record.epoch, self.memory.end());
        self.memory.records.push(record);
    }

    pub(super) fn assign_epoch(&mut self, epoch: i32, start: i64) {
        assert_eq!(
            start,
            self.memory.end(),
            "an epoch begins at the end of the log"
        );
        assign(&mut self.epochs, epoch, start);
    }

    /// All below `end` is stored now, and every truncation with it.
    pub(super) fn store(&mut self, end: i64) {
        assert!((self.stable..=self.memory.end()).contains(&end));
        self.stable = end;
        self.disk = self.memory.clone();
        let kept = self.disk.index(end);
        self.disk.records.truncate(kept);
    }

    pub(super) fn truncate(&mut self, end: i64) {
        assert!(end >= self.memory.start && end <= self.memory.end());
        let kept = self.memory.index(end);
        self.memory.records.truncate(kept);
        self.epochs.retain(|&(_, begin)| begin < end);
        self.stable = self.stable.min(end);
    }

    pub(super) fn restart_at(&mut self, start: i64) {
        self.memory = Content {
            base: start,
            start,
            records: Vec::new(),
        };
        self.epochs.clear();
        self.stable = start;
    }

    /// What was appended and isn't stored is taken back.
    pub(super) fn take_back(&mut self) {
        self.truncate(self.stable);
    }

    pub(super) fn raise_start(&mut self, start: i64) {
        assert!(start >= self.memory.start && start <= self.memory.end());
        self.memory.start = start;
        if self.disk.is_prefix_of(&self.memory) {
            self.disk.start = start.min(self.disk.end());
        }
        let below = self.epochs.partition_point(|&(_, begin)| begin <= start);
        if below > 0 {
            self.epochs.drain(..below - 1);
            self.epochs[0].1 = start;
        }
    }

    /// The process dies.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let kept = if self.disk.is_prefix_of(&self.memory) || rng.chance(50) {
            rng.between(self.stable, self.memory.end())
        } else {
            -1
        };
        if kept >= 0 {
            self.disk = self.memory.clone();
            let kept = self.disk.index(kept);
            self.disk.records.truncate(kept);
        }
        self.disk.start = self.disk.start.min(self.disk.end());
        self.memory = self.disk.clone();
        self.stable = self.memory.end();
        self.epochs = self.memory.epochs();
        let start = self.memory.start;
        self.raise_start(start);
    }

    pub(super) fn get(&self, offset: i64) -> Option<Record> {
        if offset < self.memory.start {
            return None;
        }
        self.memory.records.get(self.memory.index(offset)).copied()
    }

    /// The records between two offsets.
    pub(super) fn read(&self, from: i64, end: i64) -> Vec<Record> {
        self.memory.records[self.memory.index(from)..self.memory.index(end)].to_vec()
    }
}

impl LogView for TestLog {
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
