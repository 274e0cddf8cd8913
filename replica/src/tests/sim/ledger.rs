//! What must be true after every step.

use std::collections::BTreeMap;

use super::controller::Metadata;
use super::node::{Node, Waiter};
use crate::LogView;
use crate::tests::log::Record;

/// What was promised so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// All records that some leader's high watermark has passed.
    committed: Vec<Record>,
    /// Which process appended in an epoch.
    writers: BTreeMap<i32, (i32, i64)>,
    /// What was sent of which offset and epoch.
    written: BTreeMap<(i64, i32), u64>,
    /// The high watermark each replica of each process was last seen with.
    watermarks: BTreeMap<(i32, u64), i64>,
}

/// Makes an error of what doesn't hold.
macro_rules! must {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

impl Ledger {
    pub(super) fn len(&self) -> i64 {
        i64::try_from(self.committed.len()).unwrap()
    }

    /// A leader appended in an epoch.
    pub(super) fn appended(&mut self, node: &Node, epoch: i32) -> Result<(), String> {
        let process = (node.id, node.broker_epoch);
        let writer = *self.writers.entry(epoch).or_insert(process);
        must!(
            writer == process,
            "both {writer:?} and {process:?} append in epoch {epoch}"
        );
        Ok(())
    }

    /// Records are sent. What was never sent may be taken back, and others written in its place.
    pub(super) fn sent(&mut self, base_offset: i64, records: &[Record]) -> Result<(), String> {
        for (offset, record) in (base_offset..).zip(records) {
            let epoch = record.epoch;
            let there = *self.written.entry((offset, epoch)).or_insert(record.value);
            must!(
                there == record.value,
                "epoch {epoch} wrote two records at {offset}"
            );
        }
        Ok(())
    }

    /// Looks at a node after a step.
    pub(super) fn check(&mut self, node: &Node) -> Result<(), String> {
        let Some(replica) = node.replica.as_ref().filter(|_| !node.is_cutting()) else {
            return Ok(());
        };
        let (id, high_watermark, log) = (node.id, replica.high_watermark(), &node.log);
        must!(
            high_watermark <= log.stable_end(),
            "node {id}: high watermark {high_watermark} above what is stored, {}",
            log.stable_end()
        );
        must!(
            log.start() <= high_watermark,
            "node {id}: log start {} above high watermark {high_watermark}",
            log.start()
        );
        let before = self.watermarks.insert((id, node.lives), high_watermark);
        must!(
            before.is_none_or(|before| before <= high_watermark),
            "node {id}: high watermark went back from {before:?} to {high_watermark}"
        );
        if replica.is_leader() {
            for offset in self.len()..high_watermark {
                let record = log.get(offset);
                must!(
                    record.is_some(),
                    "node {id}: committed {offset} without having it"
                );
                self.committed.extend(record);
            }
        }
        must!(
            high_watermark <= self.len(),
            "node {id}: high watermark {high_watermark} above all leaders', {}",
            self.len()
        );
        self.equal(node, high_watermark)
    }

    fn equal(&self, node: &Node, end: i64) -> Result<(), String> {
        for (offset, &record) in (0..end).zip(&self.committed) {
            let there = node.log.get(offset);
            must!(
                offset < node.log.start() || there == Some(record),
                "node {}: {there:?} at {offset}, where {record:?} was committed",
                node.id
            );
        }
        Ok(())
    }

    /// Every replica that could be elected has all that was committed.
    pub(super) fn check_isr(&self, state: &Metadata, nodes: &[Node]) -> Result<(), String> {
        for &member in &state.isr {
            let node = &nodes[usize::try_from(member).unwrap()];
            must!(
                node.log.stable_end() >= self.len(),
                "node {member} is in the ISR with {} records, {} are committed",
                node.log.stable_end(),
                self.len()
            );
            self.equal(node, self.len())?;
        }
        Ok(())
    }

    /// A waiter was told that all is well.
    pub(super) fn acknowledged(&self, waiter: &Waiter) -> Result<(), String> {
        let offset = usize::try_from(waiter.end - 1).unwrap();
        let there = self.committed.get(offset);
        must!(
            there == Some(&waiter.record),
            "{waiter:?} acknowledged, but {there:?} committed there"
        );
        Ok(())
    }
}
