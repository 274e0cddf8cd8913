//! Questions of clients and of the shard to a partition: who leads, what may be read, how it stands.

use std::cell::Cell;

use replica::{Ack, FollowerStatus, LeaderHint, NotServed};
use rt::sync::oneshot;
use storage::{LogError, Retained};

use super::{Outcome, Partition, View, clock_ms};
use crate::producers::Description;

impl Partition {
    /// The epoch of the present leader, stamped on what is appended; -1 before the first assignment.
    pub fn leader_epoch(&self) -> i32 {
        self.state.borrow().replica.leader_epoch()
    }

    /// The offset below which everything is committed and may be read. With one replica this is the
    /// written end of the log, or the flushed one where the topic asks for a flush of each batch.
    pub fn high_watermark(&self) -> i64 {
        self.state.borrow().replica.high_watermark()
    }

    /// The offset below which every transaction has ended, and everything is committed: where readers
    /// stop who want only what counts. Never above [`high_watermark`](Self::high_watermark).
    pub fn last_stable_offset(&self) -> i64 {
        let state = self.state.borrow();
        let high_watermark = state.replica.high_watermark();
        match state.producers.first_unstable(high_watermark) {
            // What began below the log's start can't hold back what is above it.
            Some(first) => first.max(self.log.log_start()).min(high_watermark),
            None => high_watermark,
        }
    }

    /// How far readers see: up to the last stable offset if they want only what counts, else up to the high
    /// watermark.
    pub fn visible_end(&self, committed: bool) -> i64 {
        if committed {
            self.last_stable_offset()
        } else {
            self.high_watermark()
        }
    }

    /// How many transactions have begun here and not ended.
    pub fn open_transactions(&self) -> usize {
        self.state.borrow().producers.open_transactions()
    }

    /// Who has written here, of those that are known.
    pub fn producers(&self) -> Vec<Description> {
        self.state.borrow().producers.describe().collect()
    }

    /// Whether this replica leads and may append.
    pub fn is_leader(&self) -> bool {
        self.state.borrow().replica.is_leader()
    }

    /// Whether there are other replicas.
    pub fn is_replicated(&self) -> bool {
        self.state.borrow().replicated
    }

    /// Whether this replica leads and takes what this node itself writes.
    pub fn takes_own(&self) -> bool {
        self.state.borrow().replica.check_append(true).is_ok()
    }

    /// What tells when all below `end` is committed, or lost; `None` if it is committed.
    ///
    /// # Errors
    /// [`NotServed::NotLeaderOrFollower`] if this replica doesn't lead.
    pub fn until_committed(
        &self,
        end: i64,
    ) -> Result<Option<oneshot::Receiver<Outcome>>, NotServed> {
        let state = &mut *self.state.borrow_mut();
        match state.replica.ack(end) {
            Ack::Done | Ack::NotEnoughReplicasAfterAppend => Ok(None),
            Ack::Wait => Ok(Some(state.uncommitted.wait(end))),
            Ack::NotLeaderOrFollower => Err(NotServed::NotLeaderOrFollower),
        }
    }

    /// Who leads, as this replica knows it.
    pub fn leader_hint(&self) -> LeaderHint {
        self.state.borrow().replica.leader_hint()
    }

    /// Whether the metadata gave these epochs last.
    pub fn was_given(&self, leader_epoch: i32, partition_epoch: i32) -> bool {
        self.state.borrow().given == (leader_epoch, partition_epoch)
    }

    /// Whether a request that believes in this leader epoch (-1 for none) is served; `by_leader` if only
    /// the leader may.
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn check(&self, believed: i32, by_leader: bool) -> Result<(), NotServed> {
        let replica = &self.state.borrow().replica;
        replica.check_epoch(believed)?;
        let serves = replica.is_leader() || (!by_leader && replica.leader_epoch() >= 0);
        serves.then_some(()).ok_or(NotServed::NotLeaderOrFollower)
    }

    /// The latest offset a consumer may know of.
    ///
    /// # Errors
    /// As [`replica::Replica::latest_offset`].
    pub fn latest_offset(&self) -> Result<i64, NotServed> {
        self.state.borrow().replica.latest_offset()
    }

    /// Answers `OffsetsForLeaderEpoch`.
    ///
    /// # Errors
    /// As [`replica::Replica::offset_for_epoch`].
    pub fn offset_for_epoch(&self, believed: i32, epoch: i32) -> Result<(i32, i64), NotServed> {
        let replica = &self.state.borrow().replica;
        replica.offset_for_epoch(believed, epoch, &View(&self.log))
    }

    /// The node a consumer should rather read from at `offset` (KIP-392); `in_rack` says of a node
    /// whether it is in the consumer's rack.
    pub fn preferred_read_replica(
        &self,
        offset: i64,
        in_rack: impl Fn(i32) -> bool,
    ) -> Option<i32> {
        let replica = &self.state.borrow().replica;
        replica.preferred_read_replica(offset, clock_ms(), in_rack)
    }

    /// How the followers are doing; none unless this replica leads.
    pub fn followers(&self) -> Vec<FollowerStatus> {
        self.state.borrow().replica.followers(clock_ms()).collect()
    }

    /// Size of the ISR that the controller is known to have; 0 unless this replica leads.
    pub fn isr_len(&self) -> usize {
        self.state.borrow().replica.isr_len()
    }

    /// Whether this replica follows a leader that found its log to be a part of its own.
    pub fn is_in_step(&self) -> bool {
        self.state.borrow().replica.is_in_step()
    }

    /// Deletes what its settings say is too old or too much, by the wall clock, and never above the high
    /// watermark.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn retain(&self, now_ms: i64) -> Result<Retained, LogError> {
        let retained = self.log.retain(now_ms, self.high_watermark()).await?;
        if retained.segments > 0 {
            self.log_moved();
        }
        Ok(retained)
    }

    /// Makes `offset`, not above the high watermark, the log's start, durably.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn delete_records_before(&self, offset: i64) -> Result<i64, LogError> {
        let start = self.log.delete_records_before(offset).await?;
        self.log_moved();
        Ok(start)
    }

    /// Waits until all live replicas have deleted their records below `offset`; gives the first offset
    /// that one of them still has.
    ///
    /// # Errors
    /// [`NotServed::NotLeaderOrFollower`] once this replica doesn't lead.
    pub async fn deleted_everywhere(&self, offset: i64) -> Result<i64, NotServed> {
        let _waiting = Waiting::at(&self.waiting_for_starts);
        loop {
            let moved = self.starts.notified();
            let low = {
                let replica = &self.state.borrow().replica;
                let low = replica.low_watermark(&View(&self.log));
                low.filter(|_| replica.is_leader())
            };
            match low {
                None => return Err(NotServed::NotLeaderOrFollower),
                Some(low) if low >= offset => return Ok(low),
                Some(_) => moved.await,
            }
        }
    }
}

/// Counts who waits, for as long as it lives.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn at(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
