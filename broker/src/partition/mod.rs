//! One replica on this shard: its log, its producers' state, its part in the replication, and who waits
//! for it.
//!
//! Owns the step of an append: everything from the sequence check to the wait list happens in one
//! call without an await, so no other request can come between. Owns the core of its replication,
//! [`replica::Replica`]: what that wants done to the log or for who waits is done here, the rest is
//! said to [`Peers`]. It lives on the shard that owns its drive and never leaves it. It must not hold a
//! borrow across an await, nor across a call of [`Peers`].

mod clock;
mod compaction;
mod effects;
mod followed;
mod following;
mod given;
mod own;
mod peers;
mod pending;
mod questions;
mod replay;
#[cfg(test)]
pub(crate) mod tests;
mod verifying;
mod view;
mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use batch::BatchInfo;
use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use replica::{Ack, Assigned, Assignment, NotServed, Peer, Replica, Settings};
use rt::sync::{Notify, oneshot};
use storage::{AppendError, Log, LogConfig, LogEnd, LogFailure, LogOwner, Watermarks};
use uuid::Uuid;

use crate::config::{TimestampType, TopicConfig};
use crate::producers::{ProducerError, Producers, Verdict};
pub use clock::clock_ms;
pub use compaction::Means;
use effects::Work;
pub use following::RecordsError;
pub use given::Given;
pub use peers::Peers;
use pending::Pending;
pub use pending::{AckError, Outcome};
pub use replay::Rebuilt;
use verifying::Verifying;
pub use verifying::{Begun, Claim, Question};
use view::View;
pub use waiters::Waiter;
pub(crate) use waiters::Waiters;

/// After how many milliseconds a request between replicas that nobody answered is made again.
const RETRY_MS: u64 = 1_000;

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
    /// What its producer wrote before, or its open transaction, stands against it.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The log takes nothing now.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// This replica doesn't lead, or too few are in sync.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The coordinator of the batch's transaction doesn't know that the partition is in it.
    #[error("the batch can't begin a transaction here: its coordinator says {0}")]
    Transaction(ResponseError),
}

/// A batch that is in the log, perhaps not yet as safe as was asked for.
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The time it was stamped with, in milliseconds since 1970; -1 if it kept its creation time.
    pub append_time_ms: i64,
    /// Completes when the batch is stable here, or with all replicas in sync; `None` if it is already.
    pub acked: Option<oneshot::Receiver<Outcome>>,
}

/// A log that was opened for a partition, and the producers' state its recovery gave.
pub struct Opened {
    /// Which partition it is.
    pub id: PartitionId,
    /// The topic's name.
    pub topic: String,
    /// The log.
    pub log: Log,
    /// Who wrote to it.
    pub producers: Rebuilt,
    /// The topic's settings.
    pub config: Rc<TopicConfig>,
}

/// Where a partition is: what it needs of its shard.
#[derive(Clone)]
pub struct Place {
    /// This node's id.
    pub node: i32,
    /// The way to the other replicas.
    pub peers: Rc<dyn Peers>,
    /// The high watermarks that the log's drive keeps.
    pub watermarks: Watermarks,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: u64,
}

struct State {
    replica: Replica,
    /// Kept for its room.
    effects: Vec<replica::Effect>,
    producers: Producers,
    /// Batches that are not yet stable here.
    unstable: Pending,
    /// Batches above the high watermark.
    uncommitted: Pending,
    waiters: Waiters,
    /// Those of readers who want only what no open transaction holds back.
    stable_waiters: Waiters,
    /// The last stable offset as those were told last.
    last_stable: i64,
    config: Rc<TopicConfig>,
    work: Work,
    verifying: Verifying,
    /// Whether there are other replicas.
    replicated: bool,
    /// The leader epoch and partition epoch that the metadata gave last.
    given: (i32, i32),
    /// Log end, high watermark and log start as the followers' sender was told last.
    told: (i64, i64, i64),
}

impl State {
    /// The partition changed, so that whoever waits for data should look again.
    fn wake_all(&mut self) {
        self.waiters.wake_all();
        self.stable_waiters.wake_all();
    }
}

/// One replica of a partition.
pub struct Partition {
    id: PartitionId,
    topic: Rc<str>,
    log: Log,
    this: Weak<Self>,
    peers: Rc<dyn Peers>,
    watermarks: Watermarks,
    lag_max_ms: u64,
    state: RefCell<State>,
    /// Told of whatever may have moved the replicas' log starts, while somebody waits for that.
    starts: Notify,
    waiting_for_starts: Cell<usize>,
}

impl Partition {
    /// Takes over an open log. Serves nobody before its first [`assign`](Self::assign).
    pub fn new(opened: Opened, place: Place) -> Rc<Self> {
        let Opened {
            id,
            topic,
            log,
            producers,
            config,
        } = opened;
        let Rebuilt { producers, aborted } = producers;
        for entry in aborted {
            log.note_aborted(entry);
        }
        let settings = settings(&config, place.lag_max_ms);
        let known = place.watermarks.get(&topic, id.index).unwrap_or(0);
        let replica = Replica::new(place.node, settings, known, &View(&log));
        let partition = Rc::new_cyclic(|this| Self {
            id,
            topic: topic.into(),
            this: this.clone(),
            peers: place.peers,
            watermarks: place.watermarks,
            lag_max_ms: place.lag_max_ms,
            state: RefCell::new(State {
                work: Work::new(replica.high_watermark()),
                replica,
                effects: Vec::new(),
                producers,
                unstable: Pending::default(),
                uncommitted: Pending::default(),
                waiters: Waiters::default(),
                stable_waiters: Waiters::default(),
                last_stable: -1,
                config,
                verifying: Verifying::default(),
                replicated: false,
                given: (-1, -1),
                told: UNTOLD,
            }),
            log,
            starts: Notify::new(),
            waiting_for_starts: Cell::new(0),
        });
        let owner: Rc<dyn LogOwner> = Rc::clone(&partition) as Rc<dyn LogOwner>;
        partition.log.set_owner(Rc::downgrade(&owner));
        partition
    }

    /// A handle to this partition. There is one as long as anybody can call this.
    fn handle(&self) -> Rc<Self> {
        match self.this.upgrade() {
            Some(handle) => handle,
            None => unreachable!("a partition that is called exists"),
        }
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

    /// Takes a new configuration of the topic.
    pub fn set_config(&self, config: Rc<TopicConfig>) {
        if *self.state.borrow().config == *config {
            return;
        }
        self.log.set_config(log_config(&config));
        let settings = settings(&config, self.lag_max_ms);
        self.state.borrow_mut().config = config;
        // Another rule of what is stored moves the stable end.
        self.log_moved_by(|replica| replica.set_settings(settings));
    }

    /// Takes the partition as the metadata has it; `None` while the log is being cut back, after which
    /// the newest assignment is taken.
    pub fn assign(&self, given: &Assignment<'_>) -> Option<Assigned> {
        {
            let state = &mut *self.state.borrow_mut();
            state.given = (given.leader_epoch, given.partition_epoch);
            state.replicated = given.replicas.len() > 1;
            if state.work.hold(given) {
                return None;
            }
            state.told = UNTOLD;
        }
        Some(self.act(|replica, log, out| replica.assign(given, log, clock_ms(), out)))
    }

    /// Takes what the metadata says of a node that may have a replica.
    pub fn peer_changed(&self, peer: Peer) {
        self.act(|replica, log, out| replica.peer_changed(peer, log, out));
    }

    /// Appends a batch that [`batch::check_produced`] passed, in one step. `all` is `acks=all`: to be
    /// told when all replicas in sync have it, and not when this one has.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub fn append(
        &self,
        records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
        all: bool,
    ) -> Result<Appended, ProduceError> {
        let appended = self.append_here(records, info, now_ms, all)?;
        self.tell_moved();
        Ok(appended)
    }

    fn append_here(
        &self,
        records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
        all: bool,
    ) -> Result<Appended, ProduceError> {
        let state = &mut *self.state.borrow_mut();
        self.append_checked(state, records, info, now_ms, all)
    }

    fn append_checked(
        &self,
        state: &mut State,
        records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
        all: bool,
    ) -> Result<Appended, ProduceError> {
        state.replica.check_append(all)?;
        if let Verdict::Duplicate(earlier) = state.producers.check(&info)? {
            let end = earlier.last_offset + 1;
            return Ok(Appended {
                base_offset: earlier.base_offset,
                append_time_ms: match state.config.message_timestamp_type {
                    TimestampType::LogAppendTime => earlier.timestamp,
                    TimestampType::CreateTime => -1,
                },
                acked: self.wait(state, end, all),
            });
        }
        self.append_new(state, records, info, now_ms, all)
    }

    fn append_new(
        &self,
        state: &mut State,
        mut records: BytesMut,
        info: BatchInfo,
        now_ms: i64,
        all: bool,
    ) -> Result<Appended, ProduceError> {
        let epoch = state.replica.leader_epoch();
        let base_offset = self.log.end().appended();
        let mut append_time_ms = -1;
        let mut info = info.stamped(base_offset, epoch);
        if state.config.message_timestamp_type == TimestampType::LogAppendTime {
            append_time_ms = now_ms;
            batch::stamp_append_time(&mut records, now_ms);
            info.max_timestamp = now_ms;
        } else {
            // A client may claim another greatest timestamp than its records have; Kafka puts it right.
            batch::stamp_create_time(&mut records, info.max_timestamp);
        }
        batch::stamp(&mut records, base_offset, epoch);
        let end = info.last_offset + 1;
        self.log.append(records.freeze(), &info)?;
        if let Some(aborted) = state.producers.record(&info, now_ms) {
            self.log.note_aborted(aborted);
        }
        state.uncommitted.appended(end, info.size);
        Ok(Appended {
            base_offset,
            append_time_ms,
            acked: self.wait(state, end, all),
        })
    }

    /// Waits as `acks` asks; this replica leads.
    fn wait(&self, state: &mut State, end: i64, all: bool) -> Option<oneshot::Receiver<Outcome>> {
        if all {
            // That enough are in sync was seen to before.
            (state.replica.ack(end) == Ack::Wait).then(|| state.uncommitted.wait(end))
        } else {
            (self.log.stable_end() < end).then(|| state.unstable.wait(end))
        }
    }

    /// Adds a fetch that waits for more data here; `committed` if it may read only up to the last stable
    /// offset.
    pub fn watch(&self, waiter: &Rc<Waiter>, committed: bool) {
        let state = &mut *self.state.borrow_mut();
        if committed {
            state.stable_waiters.add(waiter);
        } else {
            state.waiters.add(waiter);
        }
    }

    /// Forgets producers that have been silent for `expiration_ms`.
    pub fn expire_producers(&self, now_ms: i64, expiration_ms: i64) {
        let state = &mut *self.state.borrow_mut();
        state.producers.expire(now_ms, expiration_ms);
        state.verifying.expire(now_ms, expiration_ms);
    }

    /// The greatest id of a producer that wrote here, of those that are known.
    pub fn greatest_producer_id(&self) -> Option<i64> {
        self.state.borrow().producers.greatest_id()
    }

    /// Sizes of what is held in memory for this partition: producers, batches above the high
    /// watermark, waiting fetches.
    pub fn held(&self) -> (usize, usize, usize) {
        let state = self.state.borrow();
        (
            state.producers.len(),
            state.uncommitted.len(),
            state.waiters.len() + state.stable_waiters.len(),
        )
    }

    /// The partition goes away: nobody waits for it any longer.
    pub fn abandon(&self, why: &str) {
        let why = AckError::NotWritten(why.to_owned());
        let mut state = self.state.borrow_mut();
        state.unstable.fail_above(i64::MIN, &why);
        state.uncommitted.fail_above(i64::MIN, &why);
        state.verifying.lost();
        state.wake_all();
        self.starts.notify_waiters();
    }
}

/// What no log, high watermark and log start are.
const UNTOLD: (i64, i64, i64) = (-1, -1, -1);

/// The part of the settings that replication needs.
fn settings(config: &TopicConfig, lag_max_ms: u64) -> Settings {
    Settings {
        lag_max_ms,
        retry_ms: RETRY_MS,
        min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(usize::MAX),
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
        compact: config.cleanup_policy.compact,
        min_compaction_lag_ms: config.min_compaction_lag_ms,
        max_compaction_lag_ms: config.max_compaction_lag_ms,
        delete_retention_ms: config.delete_retention_ms,
        flush_messages: config.flush_messages,
        flush_ms: config.flush_ms,
        index_interval_bytes: config.index_interval_bytes,
        segment_index_bytes: u64::from(config.segment_index_bytes),
        ..LogConfig::default()
    }
}

impl LogOwner for Partition {
    fn moved(&self, _end: LogEnd) {
        let stable = self.log.stable_end();
        {
            let state = &mut *self.state.borrow_mut();
            state.unstable.reached(stable, &Ok(()));
            state.producers.settled(stable);
        }
        self.log_moved();
    }

    fn failed(&self, failure: &LogFailure) {
        let end = self.log.end().appended();
        let stable = self.log.stable_end();
        {
            let mut state = self.state.borrow_mut();
            state.producers.take_back(end);
            let why = AckError::NotWritten(match failure {
                LogFailure::Refused { .. } => "the drive is full".to_owned(),
                LogFailure::DriveFailed(failed) => failed.to_string(),
            });
            let offline = matches!(failure, LogFailure::DriveFailed(_));
            let lost = if offline { i64::MIN } else { stable };
            state.unstable.fail_above(stable, &why);
            state.uncommitted.fail_above(lost, &why);
            state.wake_all();
        }
        if matches!(failure, LogFailure::Refused { .. }) {
            self.act(|replica, log, out| replica.log_cut(log, clock_ms(), out));
        }
    }

    fn snapshot(&self) -> Option<Bytes> {
        let state = self.state.borrow();
        (!state.producers.is_empty()).then(|| state.producers.to_snapshot())
    }
}
