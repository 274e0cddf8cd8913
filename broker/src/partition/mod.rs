//! One replica on this shard: its log, its producers' state, and who waits for it.
//!
//! Owns the step of an append: everything from the sequence check to the wait list happens in one
//! call without an await, so no other request can come between. It lives on the shard that owns its
//! drive and never leaves it. It must not hold a borrow across an await.

mod pending;
mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use batch::BatchInfo;
use bytes::{Bytes, BytesMut};
use rt::sync::oneshot;
use storage::{AppendError, Log, LogConfig, LogEnd, LogFailure, LogOwner};
use uuid::Uuid;

use crate::config::{TimestampType, TopicConfig};
use crate::producers::{Producers, SequenceError, Verdict};
use pending::Pending;
pub use pending::{AckError, Outcome};
pub use waiters::Waiter;
use waiters::Waiters;

/// Which partition of which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index in the topic, from 0.
    pub index: i32,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The producer's sequence or epoch does not fit.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The log takes nothing now.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A batch that is in the log, perhaps not yet stable.
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The time it was stamped with, in milliseconds since 1970; -1 if it kept its creation time.
    pub append_time_ms: i64,
    /// Completes when the batch is stable; `None` if it is already.
    pub stable: Option<oneshot::Receiver<Outcome>>,
}

struct State {
    producers: Producers,
    pending: Pending,
    waiters: Waiters,
    config: Rc<TopicConfig>,
}

/// One replica of a partition.
pub struct Partition {
    id: PartitionId,
    topic: Rc<str>,
    log: Log,
    leader_epoch: Cell<i32>,
    state: RefCell<State>,
}

impl Partition {
    /// Takes over an open log and the producer state its recovery gave.
    pub fn new(
        id: PartitionId,
        topic: &str,
        log: Log,
        producers: Producers,
        config: Rc<TopicConfig>,
        leader_epoch: i32,
    ) -> Rc<Self> {
        let partition = Rc::new(Self {
            id,
            topic: topic.into(),
            log,
            leader_epoch: Cell::new(leader_epoch),
            state: RefCell::new(State {
                producers,
                pending: Pending::default(),
                waiters: Waiters::default(),
                config,
            }),
        });
        let owner: Rc<dyn LogOwner> = Rc::clone(&partition) as Rc<dyn LogOwner>;
        partition.log.set_owner(Rc::downgrade(&owner));
        partition
    }

    /// Which partition this is.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The log below.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The epoch of the present leader, stamped on what is appended.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.get()
    }

    /// The offset below which everything is stable and may be read. With one replica this is the
    /// written end of the log, or the flushed one where the topic asks for a flush of each batch.
    pub fn high_watermark(&self) -> i64 {
        self.log.stable_end()
    }

    /// Takes a new configuration of the topic.
    pub fn set_config(&self, config: Rc<TopicConfig>) {
        self.log.set_config(log_config(&config));
        self.state.borrow_mut().config = config;
    }

    /// Appends a batch that [`batch::check_produced`] passed, in one step.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub fn append(
        &self,
        mut records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
    ) -> Result<Appended, ProduceError> {
        let mut state = self.state.borrow_mut();
        if let Verdict::Duplicate(earlier) = state.producers.check(&info)? {
            let end = earlier.last_offset + 1;
            return Ok(Appended {
                base_offset: earlier.base_offset,
                append_time_ms: match state.config.message_timestamp_type {
                    TimestampType::LogAppendTime => earlier.timestamp,
                    TimestampType::CreateTime => -1,
                },
                stable: self.wait(&mut state, end),
            });
        }
        let base_offset = self.log.end().appended();
        let mut append_time_ms = -1;
        let mut info = info.stamped(base_offset, self.leader_epoch.get());
        if state.config.message_timestamp_type == TimestampType::LogAppendTime {
            append_time_ms = now_ms;
            batch::stamp_append_time(&mut records, now_ms);
            info.max_timestamp = now_ms;
        } else {
            // A client may claim another greatest timestamp than its records have; Kafka puts it right.
            batch::stamp_create_time(&mut records, info.max_timestamp);
        }
        batch::stamp(&mut records, base_offset, self.leader_epoch.get());
        let end = info.last_offset + 1;
        self.log.append(records.freeze(), &info)?;
        state.producers.record(&info, now_ms);
        state.pending.appended(end, info.size);
        Ok(Appended {
            base_offset,
            append_time_ms,
            stable: self.wait(&mut state, end),
        })
    }

    fn wait(&self, state: &mut State, end: i64) -> Option<oneshot::Receiver<Outcome>> {
        (self.log.stable_end() < end).then(|| state.pending.wait(end))
    }

    /// Adds a fetch that waits for more data here.
    pub fn watch(&self, waiter: &Rc<Waiter>) {
        self.state.borrow_mut().waiters.add(waiter);
    }

    /// Forgets producers that have been silent for `expiration_ms`.
    pub fn expire_producers(&self, now_ms: i64, expiration_ms: i64) {
        let producers = &mut self.state.borrow_mut().producers;
        producers.expire(now_ms, expiration_ms);
    }

    /// The greatest id of a producer that wrote here, of those that are known.
    pub fn greatest_producer_id(&self) -> Option<i64> {
        self.state.borrow().producers.greatest_id()
    }

    /// Sizes of what is held in memory for this partition: producers, batches not yet stable, waiting
    /// fetches.
    pub fn held(&self) -> (usize, usize, usize) {
        let state = self.state.borrow();
        (
            state.producers.len(),
            state.pending.len(),
            state.waiters.len(),
        )
    }

    /// The partition goes away: nobody waits for it any longer.
    pub fn abandon(&self, why: &str) {
        let mut state = self.state.borrow_mut();
        state
            .pending
            .fail_above(i64::MIN, &AckError::NotWritten(why.to_owned()));
        state.waiters.wake_all();
    }
}

/// The part of a topic's settings that its logs need.
pub fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: config.segment_ms,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        delete: config.cleanup_policy.delete,
        flush_messages: config.flush_messages,
        flush_ms: config.flush_ms,
        index_interval_bytes: config.index_interval_bytes,
        segment_index_bytes: u64::from(config.segment_index_bytes),
        ..LogConfig::default()
    }
}

impl LogOwner for Partition {
    fn moved(&self, _end: LogEnd) {
        let mut state = self.state.borrow_mut();
        let visible = state.pending.stable(self.log.stable_end());
        if visible > 0 {
            state.waiters.arrived(visible);
        }
    }

    fn failed(&self, failure: &LogFailure) {
        let end = self.log.end().appended();
        let mut state = self.state.borrow_mut();
        state.producers.truncate_to(end);
        let why = AckError::NotWritten(match failure {
            LogFailure::Refused { .. } => "the drive is full".to_owned(),
            LogFailure::DriveFailed(failed) => failed.to_string(),
        });
        state.pending.fail_above(self.log.stable_end(), &why);
        state.waiters.wake_all();
    }

    fn snapshot(&self) -> Option<Bytes> {
        let state = self.state.borrow();
        (!state.producers.is_empty()).then(|| state.producers.to_snapshot())
    }
}
