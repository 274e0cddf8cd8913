//! What stands for the way to other nodes where there is none: a node that is alone.

use std::rc::Rc;

use replica::{Answer, Follow, IsrChange, Progress};

use crate::partition::{Partition, PartitionId, Peers};

/// Gives up whatever is to be said: nobody is there to hear it.
pub(super) struct Unconnected;

impl Peers for Unconnected {
    fn follow(&self, partition: &Rc<Partition>, to: i32, follow: Follow) {
        tracing::debug!(topic = partition.topic(), to, ?follow, "not sent");
    }

    fn progress(&self, partition: PartitionId, to: i32, progress: Progress) {
        tracing::debug!(?partition, to, ?progress, "not sent");
    }

    fn answer(&self, partition: PartitionId, to: i32, answer: Answer) {
        tracing::debug!(?partition, to, ?answer, "not sent");
    }

    fn alter_partition(&self, partition: PartitionId, change: IsrChange) {
        tracing::debug!(?partition, ?change, "not sent");
    }

    fn resign(&self, partition: PartitionId, leader_epoch: i32) {
        tracing::debug!(?partition, leader_epoch, "not sent");
    }

    fn leader_moved(&self, partition: &Partition) {
        tracing::trace!(topic = partition.topic(), "nobody to send to");
    }

    fn removed(&self, partition: PartitionId) {
        tracing::debug!(?partition, "removed");
    }

    fn peer_changed(&self, node: i32) {
        tracing::debug!(node, "changed");
    }
}
