//! What a replica knows whether it leads or follows.

use crate::assignment::Settings;

/// A replica's place in its partition, and its high watermark.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) me: i32,
    pub(crate) settings: Settings,
    /// The leading node, -1 for none.
    pub(crate) leader: i32,
    /// -1 before the first assignment.
    pub(crate) leader_epoch: i32,
    /// -1 before the first assignment.
    pub(crate) partition_epoch: i32,
    /// How many replicas the partition has.
    pub(crate) replicas: usize,
    pub(crate) high_watermark: i64,
    /// Counts ISR requests over all epochs, so that no two are taken for each other.
    pub(crate) requests: u64,
}

impl Shared {
    /// Kafka's effective `min.insync.replicas`: no more than there are replicas.
    pub(crate) fn min_insync(&self) -> usize {
        self.settings.min_insync_replicas.min(self.replicas)
    }
}
