//! The producers' state, made anew from what a log tells when it is opened or cut back.

use storage::{AbortedTransaction, ReplayEvent};

use crate::producers::Producers;

/// What a log tells of those who wrote to it.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    /// Who they are.
    pub(super) producers: Producers,
    /// Their transactions that were given up, of the batches that were told, in the order of the markers.
    pub(super) aborted: Vec<AbortedTransaction>,
}

impl Rebuilt {
    /// Takes what the log of `partition` of `topic` tells; `now_ms` is the wall clock's.
    pub fn take(&mut self, event: ReplayEvent, now_ms: i64, (topic, partition): (&str, i32)) {
        match event {
            ReplayEvent::Snapshot(_, bytes) => match Producers::from_snapshot(&bytes) {
                Ok(snapshot) => self.producers = snapshot,
                Err(error) => {
                    tracing::warn!(topic, partition, %error, "producers are forgotten");
                }
            },
            ReplayEvent::Batch(info) => {
                let aborted = self.producers.record(&info, now_ms);
                self.aborted.extend(aborted);
                // It is on the drive.
                self.producers.settled(i64::MAX);
            }
        }
    }
}
