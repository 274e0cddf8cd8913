//! What compaction must keep of each producer.

use storage::LastWritten;

use super::Producers;

impl Producers {
    /// Where each producer that is known wrote last, by their ids.
    pub fn last_written(&self) -> impl Iterator<Item = (i64, LastWritten)> {
        self.by_id.iter().map(|(&id, producer)| {
            let last = producer.batches.back();
            let last = LastWritten {
                last_offset: last.map(|last| last.last_offset),
                epoch: producer.epoch,
            };
            (id, last)
        })
    }
}
