//! Storing what changed of a share-partition with its share coordinator, one write after the other.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use share::partition::Write;
use share::state::WriteState;

use super::part::SharePart;
use crate::shard::Shard;

/// Whether this is no share-partition any more, now that the share coordinator says so: another node leads
/// the partition, its state was changed from elsewhere, or it or the group is gone.
fn is_over(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::FencedLeaderEpoch
            | ResponseError::FencedStateEpoch
            | ResponseError::NotLeaderOrFollower
            | ResponseError::GroupIdNotFound
            | ResponseError::UnknownTopicOrPartition
            | ResponseError::InvalidRequest
    )
}

/// What members are told of this.
pub(super) fn told(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::FencedLeaderEpoch | ResponseError::FencedStateEpoch => {
            ResponseError::NotLeaderOrFollower
        }
        ResponseError::NotCoordinator
        | ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        ResponseError::GroupIdNotFound
        | ResponseError::UnknownTopicOrPartition
        | ResponseError::NotLeaderOrFollower
        | ResponseError::OffsetNotAvailable
        | ResponseError::KafkaStorageError => error,
        _ => ResponseError::UnknownServerError,
    }
}

impl SharePart {
    /// Has stored what is to be stored, unless that is being done.
    pub(super) fn store(self: &Rc<Self>) {
        if !self.begin_storing() {
            return;
        }
        match (self.next_write(), self.shard()) {
            (Some(write), Some(shard)) => {
                rt::task::spawn(Rc::clone(self).store_all(shard, write)).detach();
            }
            _ => self.stored(),
        }
    }

    fn next_write(self: &Rc<Self>) -> Option<Write> {
        let next = self.with(share::partition::SharePartition::next_write);
        next.ok().flatten().flatten()
    }

    async fn store_all(self: Rc<Self>, shard: Rc<Shard>, first: Write) {
        let mut next = Some(first);
        while let Some(write) = next {
            let ticket = write.ticket;
            let state = WriteState {
                state_epoch: write.state_epoch,
                leader_epoch: self.leader_epoch,
                start_offset: write.start_offset,
                batches: write.batches,
            };
            let stored = shard
                .share_state_write(self.group(), self.of(), state)
                .await;
            shard.shares.count(|counts| match stored {
                Ok(()) => counts.writes += 1,
                Err(_) => counts.failed_writes += 1,
            });
            // It may have ended meanwhile; then everybody has been told.
            let _ = self.with(|core| core.written(ticket, stored.is_ok()));
            self.tell(ticket, stored.map_err(told));
            if let Err(error) = stored {
                self.note(error, &shard);
            }
            self.wake_if_free();
            next = self.next_write();
        }
        self.stored();
        self.end_if_stored();
    }

    /// The share coordinator took nothing.
    fn note(self: &Rc<Self>, error: ResponseError, shard: &Rc<Shard>) {
        let (group, topic) = (self.group(), self.partition.topic());
        let partition = self.id().index;
        // What sessions give back that end with the node isn't stored anyway.
        if !shard.is_stopping() {
            tracing::warn!(group, topic, partition, %error, "the state of a share-partition could not be stored");
        }
        if is_over(error) {
            shard.shares.end(self, told(error));
        }
    }
}
