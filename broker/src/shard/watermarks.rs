//! The high watermarks that a shard's drives keep.

use storage::{Drive, Watermarks};

use super::Shard;

impl Shard {
    /// Those of one of this shard's drives, read when they are first asked for.
    pub(super) async fn watermarks_of(&self, drive: &Drive) -> Watermarks {
        let known = self.watermarks.borrow().get(&drive.id()).cloned();
        if let Some(known) = known {
            return known;
        }
        let read = Watermarks::open(drive).await;
        let mut all = self.watermarks.borrow_mut();
        // Another task may have been first, and noted something since.
        all.entry(drive.id()).or_insert(read).clone()
    }

    /// Writes the high watermarks of all partitions that have other replicas.
    pub(super) async fn write_watermarks(&self) {
        for partition in self.partitions() {
            partition.note_watermark();
        }
        let all: Vec<_> = self.watermarks.borrow().values().cloned().collect();
        for watermarks in all {
            if let Err(error) = watermarks.write().await {
                tracing::warn!(%error, "high watermarks are not on their drive");
            }
        }
    }
}
