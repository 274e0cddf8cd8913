//! Who carries what a partition has to say to its other replicas and to the controller.

use std::rc::Rc;

use replica::{Answer, Follow, IsrChange, Progress};

use super::{Partition, PartitionId};

/// The way from a shard's partitions to other nodes. A partition tells it what is to be said; nothing is
/// awaited, and any message may be given up: the replica asks again.
///
/// None of these may call back into the partition: they only take note.
pub trait Peers {
    /// Asks node `to`, which leads, for its records.
    fn follow(&self, partition: &Rc<Partition>, to: i32, follow: Follow);

    /// Tells node `to`, which leads, how far this replica is. A later one makes earlier ones needless.
    fn progress(&self, partition: PartitionId, to: i32, progress: Progress);

    /// Answers follower `to`.
    fn answer(&self, partition: PartitionId, to: i32, answer: Answer);

    /// Asks the controller for another ISR; what it says goes to [`Partition::isr_answer`]. Requests of
    /// one partition reach the controller in this order.
    fn alter_partition(&self, partition: PartitionId, change: IsrChange);

    /// Asks the controller to end the leader epoch, in which this replica can't go on.
    fn resign(&self, partition: PartitionId, leader_epoch: i32);

    /// This replica leads others, and its log's end or start or its high watermark moved, or a follower
    /// began: [`Partition::next_for`] may have something. Cheap; called for each batch.
    fn leader_moved(&self, partition: &Partition);

    /// This node has no replica of the partition any more. It may have one again later, with nothing of
    /// what was there.
    fn removed(&self, partition: PartitionId);

    /// The metadata says something new of a node: it registered, or is fenced, or is not any longer.
    fn peer_changed(&self, node: i32);
}
