//! What a partition does while this replica follows: messages of its leader, records above all.
//!
//! Owns the check of what comes over the network before it becomes a part of the log.

use batch::{Batch, BatchError, BatchInfo};
use bytes::Bytes;
use replica::{Answer, Moved, Records, Verdict};

use super::{Partition, RETRY_MS, View, clock_ms};

/// Why records of a leader were not taken. It says nothing true any more: the connection has to end.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A batch is not whole, or not what its checksum says.
    #[error("the leader sent a batch that is damaged: {0}; connect again")]
    Damaged(#[from] BatchError),
    /// The batches are not those that the message names.
    #[error(
        "the leader sent records from {base_offset} to {next_offset}, but a batch at {found} (it \
         ends before {end}, its epoch is {epoch}) does not fit there; connect again"
    )]
    Unfit {
        /// Where the records were said to begin.
        base_offset: i64,
        /// Where they were said to end.
        next_offset: i64,
        /// The base offset of the batch.
        found: i64,
        /// The offset after it.
        end: i64,
        /// Its leader epoch.
        epoch: i32,
    },
    /// There are fewer batches than the message says.
    #[error("the leader sent records up to {found} where it said {said}; connect again")]
    Short {
        /// Where they end.
        found: i64,
        /// Where they were said to end.
        said: i64,
    },
}

impl Partition {
    /// There is a new connection to the leader.
    pub fn connected(&self) {
        self.act(|replica, log, out| replica.connected(log, clock_ms(), out));
    }

    /// Node `from` answers.
    pub fn on_answer(&self, from: i32, answer: &Answer) {
        self.act(|replica, log, out| replica.on_answer(from, answer, log, out));
    }

    /// Node `from` says that its high watermark or log start moved.
    pub fn on_moved(&self, from: i32, moved: &Moved) {
        self.act(|replica, log, out| replica.on_moved(from, moved, log, out));
    }

    /// Records arrive from node `from`: `bytes` are whole batches, back to back. What doesn't continue
    /// this log is left out.
    ///
    /// # Errors
    /// [`RecordsError`]; nothing of them was taken, and the connection has to end.
    pub fn on_records(
        &self,
        from: i32,
        records: &Records,
        bytes: &Bytes,
    ) -> Result<(), RecordsError> {
        if self.state.borrow().work.refused_until_ms.is_some() {
            return Ok(());
        }
        let now_ms = clock_ms();
        let verdict =
            self.act(|replica, log, out| replica.on_records(from, records, log, now_ms, out));
        let Verdict::Append { from } = verdict else {
            return Ok(());
        };
        let batches = checked(records, from, self.log.latest_epoch(), bytes)?;
        self.take_in(&batches);
        self.log_moved();
        Ok(())
    }

    fn take_in(&self, batches: &[(BatchInfo, Bytes)]) {
        let now_ms = rt::time::wall_ms();
        let state = &mut *self.state.borrow_mut();
        for (info, bytes) in batches {
            if let Err(error) = self.log.append(bytes.clone(), info) {
                state.work.refused_until_ms = Some(clock_ms() + RETRY_MS);
                let first = !std::mem::replace(&mut state.work.refusing, true);
                // Of a full drive or a failed one the drive itself tells, once for all that it has.
                if first && !error.is_of_drive() {
                    let index = self.id.index;
                    tracing::warn!(topic = self.topic(), partition = index, %error, "a follower can't take records now");
                }
                return;
            }
            state.work.refusing = false;
            if let Some(aborted) = state.producers.record(info, now_ms) {
                self.log.note_aborted(aborted);
            }
            state.uncommitted.appended(info.next_offset(), info.size);
        }
    }

    /// Asks for records again where the log could take none.
    pub(super) fn try_again(&self, now_ms: u64) {
        let due = {
            let until = &mut self.state.borrow_mut().work.refused_until_ms;
            until.take_if(|until| *until <= now_ms).is_some()
        };
        if due {
            self.act(|replica, log: &View<'_>, out| replica.log_cut(log, now_ms, out));
        }
    }
}

/// The batches of a message that lie at `from` and above, once all of them are known to be sound, in
/// order, and of epochs that a leader of that epoch can have.
fn checked(
    records: &Records,
    from: i64,
    latest_epoch: Option<i32>,
    bytes: &Bytes,
) -> Result<Vec<(BatchInfo, Bytes)>, RecordsError> {
    let mut taken = Vec::new();
    let mut at = 0;
    let mut end = records.base_offset;
    let mut epoch = -1;
    while at < bytes.len() {
        let batch = Batch::parse(&bytes[at..])?;
        batch.verify_crc()?;
        let info = batch.info();
        let below = info.next_offset() <= from;
        let above = info.base_offset >= from && Some(info.leader_epoch) >= latest_epoch;
        if info.base_offset < end
            || info.last_offset < info.base_offset
            || info.next_offset() > records.next_offset
            || info.leader_epoch < epoch
            || info.leader_epoch > records.leader_epoch
            || !(below || above)
        {
            return Err(RecordsError::Unfit {
                base_offset: records.base_offset,
                next_offset: records.next_offset,
                found: info.base_offset,
                end: info.next_offset(),
                epoch: info.leader_epoch,
            });
        }
        end = info.next_offset();
        epoch = info.leader_epoch;
        let size = info.size;
        if above {
            taken.push((info, bytes.slice(at..at + size)));
        }
        at += size;
    }
    if end != records.next_offset {
        return Err(RecordsError::Short {
            found: end,
            said: records.next_offset,
        });
    }
    Ok(taken)
}
