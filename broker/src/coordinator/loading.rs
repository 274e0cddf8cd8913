//! Making a core from its partition's log.
//!
//! The log is read in large steps, from its start to its end, committed or not: what is there was written
//! by a leader before, and none but this node can take it back now. Between steps other work goes on.

use batch::{DecompressLimit, batches};
use bytes::Bytes;
use coordinator::{Core, Replayed};
use storage::{Read, ReadError};

use super::running::{Running, Stage};
use crate::partition::clock_ms;

/// The most that one batch of the log may hold.
const DECOMPRESS_MAX: DecompressLimit = DecompressLimit::bytes(256 << 20);
/// After so many records that can't be read, the others are only counted.
const TOLD_MOST: u64 = 10;

/// A log that takes as long to read is told of.
const LONG_MS: u64 = 1_000;

/// Why a core can't be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is a batch in it that makes no sense.
    #[error("a batch at offset {offset} or later is damaged: {error}")]
    Damaged {
        /// Where.
        offset: i64,
        /// What is wrong with it.
        error: batch::BatchError,
    },
}

/// A core that is being made.
struct Making<C> {
    core: C,
    /// The offset to read from.
    next: i64,
    records: u64,
    unreadable: u64,
}

impl<C: Core> Running<C> {
    /// Makes a core from the log and has it serve, unless the coordinator ends meanwhile.
    pub(super) async fn load(&self) -> Result<(), LoadError> {
        if !self.state.borrow_mut().begin_loading() {
            return Ok(());
        }
        let begun = clock_ms();
        let mut making = self.make();
        loop {
            if self.has_ended() {
                return Ok(());
            }
            // Nobody else's appends are lost: the last look and the first step are taken in one go.
            if making.next >= self.partition.log().end().appended() {
                break;
            }
            if !self.read_on(&mut making).await? {
                making = self.make();
            }
        }
        let Making {
            core,
            records,
            unreadable,
            ..
        } = making;
        let took_ms = clock_ms().saturating_sub(begun);
        self.host.loaded(took_ms, records);
        let (topic, partition) = (self.partition.topic(), self.partition.id().index);
        if took_ms >= LONG_MS {
            tracing::info!(
                topic,
                partition,
                records,
                unreadable,
                took_ms,
                "a coordinator read its log"
            );
        } else {
            tracing::debug!(
                topic,
                partition,
                records,
                unreadable,
                took_ms,
                "a coordinator read its log"
            );
        }
        self.state.borrow_mut().stage = Stage::Serving(core);
        self.settings_changed();
        self.step(|core, world, out| core.loaded(world, out));
        Ok(())
    }

    fn make(&self) -> Making<C> {
        Making {
            core: C::new(self.host.settings(self.partition.leader_epoch())),
            next: self.partition.log().log_start(),
            records: 0,
            unreadable: 0,
        }
    }

    /// Reads a step further; false if the log's start has moved beyond that.
    async fn read_on(&self, making: &mut Making<C>) -> Result<bool, LoadError> {
        let memory = self.host.memory();
        let step = self.host.limits().load_step.clamp(1, memory.total().max(1));
        let _held = memory.acquire(step).await;
        let end = self.partition.log().end().appended();
        let read = match self.partition.read_to_send(making.next, end, step) {
            Read::Tail(read) => read,
            Read::Cold(cold) => cold.run().await?,
            Read::Unavailable(error) => return Err(error.into()),
            Read::OutOfRange => return Ok(false),
            // Compaction has left nothing up to there.
            Read::Empty => Vec::new(),
        };
        if read.is_empty() {
            making.next = end;
        }
        for bytes in read {
            for batch in batches(&bytes) {
                let offset = making.next;
                let damaged = |error| LoadError::Damaged { offset, error };
                let batch = batch.map_err(damaged)?;
                self.replay(&batch, making).map_err(damaged)?;
                making.next = batch.next_offset();
                rt::task::yield_if_needed().await;
            }
        }
        Ok(true)
    }

    fn replay(
        &self,
        batch: &batch::Batch<'_>,
        making: &mut Making<C>,
    ) -> Result<(), batch::BatchError> {
        let producer = (batch.producer_id(), batch.producer_epoch());
        let attributes = batch.attributes();
        let records = batch.records(DECOMPRESS_MAX)?;
        for record in &records {
            let record = record?;
            making.records += 1;
            if attributes.is_control() {
                if let Some(kind) = record.control() {
                    let committed = kind == batch::ControlType::Commit;
                    making
                        .core
                        .transaction_ended(producer.0, producer.1, committed);
                }
                continue;
            }
            // Copies, so that nothing that the core keeps holds on to what was read at once.
            let key = Bytes::copy_from_slice(record.key().unwrap_or_default());
            let value = record.value().map(Bytes::copy_from_slice);
            let replayed = making.core.replay(&Replayed {
                offset: record.offset,
                timestamp_ms: record.timestamp,
                producer: attributes.is_transactional().then_some(producer),
                key: &key,
                value: value.as_ref(),
            });
            if let Err(why) = replayed {
                making.unreadable += 1;
                self.tell_unreadable(record.offset, &why, making.unreadable);
            }
        }
        Ok(())
    }

    fn tell_unreadable(&self, offset: i64, why: &str, so_far: u64) {
        if so_far <= TOLD_MOST {
            let (topic, partition) = (self.partition.topic(), self.partition.id().index);
            tracing::warn!(
                topic,
                partition,
                offset,
                why,
                "a coordinator can't read a record of its log; it is passed over"
            );
        }
    }
}
