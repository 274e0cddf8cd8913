//! Appending: one synchronous step.

use batch::BatchInfo;
use bytes::Bytes;

use crate::error::AppendError;
use crate::log::{Log, LogInner, Status};
use crate::recovery::BATCH_MAX;

/// Batches up to this long are copied when they are appended: a small one must not keep the much
/// larger buffer in memory that it was received into.
const COPY_MAX: usize = 1024;

impl Log {
    /// Appends a batch, already checked and stamped: its base offset is the end's, or greater
    /// where a log is copied that has gaps. The bytes are kept as the log's hot tail; the writer
    /// carries them to the drive, and the owner is told.
    ///
    /// # Panics
    /// When `info` doesn't describe `batch`, or its base offset lies below the end: the caller is
    /// wrong about the log, and going on would lose records.
    pub fn append(&self, batch: Bytes, info: &BatchInfo) -> Result<(), AppendError> {
        let log = &self.0;
        log.admit(&batch, info)?;
        let batch = if batch.len() <= COPY_MAX {
            Bytes::copy_from_slice(&batch)
        } else {
            batch
        };
        let charge = {
            let config = log.config.borrow();
            let state = &mut *log.state.borrow_mut();
            state.roll_for(&log.folder, info, rt::time::wall_ms(), &config);
            let place = log.drive.config.tail.place();
            state.append(batch, info, config.index_interval_bytes, place)
        };
        log.counters.update(|counters| {
            counters.batches += 1;
            counters.bytes += info.size as u64;
        });
        log.drive.config.tail.charge(charge);
        log.drive.config.tail.enforce();
        log.start_writer();
        Ok(())
    }
}

impl LogInner {
    fn admit(&self, batch: &Bytes, info: &BatchInfo) -> Result<(), AppendError> {
        let state = self.state.borrow();
        match &state.status {
            Status::Open => {}
            Status::Closing | Status::Closed => {
                let log = self.name.to_string();
                return Err(AppendError::Closed { log });
            }
            Status::Failed(failed) => return Err(AppendError::DriveFailed(failed.clone())),
        }
        if self.drive.is_full() {
            let path = self.drive.path.clone();
            return Err(AppendError::DriveFull { path });
        }
        if batch.len() > BATCH_MAX {
            return Err(AppendError::TooLarge {
                log: self.name.to_string(),
                size: batch.len(),
                limit: BATCH_MAX,
            });
        }
        assert_eq!(batch.len(), info.size, "the batch is as long as told");
        let stamped = batch.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        assert_eq!(stamped, Some(info.base_offset), "the batch is stamped");
        assert!(info.last_offset >= info.base_offset, "a batch has offsets");
        assert!(
            info.base_offset >= state.end.appended(),
            "{}: a batch at {} behind the end {}",
            self.name,
            info.base_offset,
            state.end.appended()
        );
        Ok(())
    }
}
