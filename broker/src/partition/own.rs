//! What this node itself writes to a partition that it leads: the records of coordinators, and the markers
//! that end transactions.

use batch::{Batch, BatchInfo, Builder, ControlType};
use bytes::BytesMut;

use super::{Appended, Partition, ProduceError};

impl Partition {
    /// Appends a batch of this node's own, numbered from 0, in one step; to be told when all replicas in
    /// sync have it. One of a transaction has its producer's id and epoch and no sequence number.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub fn append_own(
        &self,
        records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
    ) -> Result<Appended, ProduceError> {
        let appended = {
            let state = &mut *self.state.borrow_mut();
            state.replica.check_append(true)?;
            state.producers.check_own(&info)?;
            self.append_new(state, records, info, now_ms, true)?
        };
        self.tell_moved();
        Ok(appended)
    }

    /// Ends a producer's transaction as its coordinator orders, whether one is open here or not; to be told
    /// when all replicas in sync have the marker. `epoch` is the producer's from then on, and
    /// `coordinator_epoch` the leader epoch of the coordinator's partition.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub fn end_transaction(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
        commit: bool,
        now_ms: i64,
    ) -> Result<Appended, ProduceError> {
        let outcome = if commit {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let marker =
            Builder::end_transaction(outcome, producer_id, epoch, coordinator_epoch, now_ms);
        let (records, info) = built(marker);
        let appended = {
            let state = &mut *self.state.borrow_mut();
            state.replica.check_append(true)?;
            let producers = &state.producers;
            producers.check_end(producer_id, epoch, coordinator_epoch)?;
            let appended = self.append_new(state, records, info, now_ms, true)?;
            state.verifying.ended(producer_id, epoch);
            appended
        };
        self.tell_moved();
        Ok(appended)
    }
}

fn built(marker: Builder) -> (BytesMut, BatchInfo) {
    let built = marker.build().ok().and_then(|bytes| {
        let info = Batch::parse(&bytes).ok()?.info();
        Some((BytesMut::from(&bytes[..]), info))
    });
    match built {
        Some(built) => built,
        None => unreachable!("one short record fits a batch"),
    }
}
