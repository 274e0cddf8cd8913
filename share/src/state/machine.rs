//! The coordinator of one partition: what it is asked finds its share-partition here.
//!
//! Every change of a share-partition is written as a whole snapshot of it: the topic is compacted, so the last
//! record of its key is all there ever need be.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::{Batch, Core, Out, Record, Replayed, Token, Topics, World};
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::api::{Ask, Initialize, Reply, ShareKey, Summary, WriteState};
use super::combine::combine;
use super::schema::{Key, Snapshot, Update};
use crate::partition::{StateBatch, StoredState};

/// The first offset of a share-partition whose leader is to find it, or that didn't change.
const NO_OFFSET: i64 = -1;
/// An epoch that fences nobody.
const NO_EPOCH: i32 = -1;
/// The most batches that a share-partition may have: some 2 MiB, less than a log takes at once.
const BATCHES_MAX: usize = 100_000;
/// The states that a record may have when nobody holds it: available, acknowledged, archived.
const STATES: [i8; 3] = [0, 2, 4];
/// Tombstones of so many bytes go into one batch, which is far less than a batch may have.
const TOMBSTONES_MAX: usize = 128 << 10;

/// What is known of a share-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    snapshot: Snapshot,
    /// Whether the log may have updates of it, as Kafka writes them.
    updated: bool,
}

/// The coordinator of the share-partitions of one partition.
#[derive(Default)]
pub struct ShareStates {
    known: BTreeMap<ShareKey, Known>,
    /// The version of the cluster's topics at which those that are gone were last looked for.
    swept: Option<i64>,
}

type Step = Out<ShareStates>;
type Done = Result<(), ResponseError>;

impl Core for ShareStates {
    type Ask = Ask;
    type Reply = Reply;
    type Effect = std::convert::Infallible;
    type Settings = ();

    fn new((): ()) -> Self {
        Self::default()
    }

    fn set_settings(&mut self, (): ()) {}

    fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let key = Key::read(record.key).map_err(|error| error.to_string())?;
        match (key, record.value) {
            (None, _) => Ok(()),
            (Some(Key::Snapshot(key)), Some(value)) => {
                let snapshot = Snapshot::read(value).map_err(|error| error.to_string())?;
                self.replayed(key, snapshot);
                Ok(())
            }
            (Some(Key::Snapshot(key)), None) => {
                self.known.remove(&key);
                Ok(())
            }
            (Some(Key::Update(key)), Some(value)) => {
                let update = Update::read(value).map_err(|error| error.to_string())?;
                self.update(key, &update);
                Ok(())
            }
            // Written with the snapshot's, which says it all.
            (Some(Key::Update(_)), None) => Ok(()),
        }
    }

    /// Nothing in this topic is part of a transaction.
    fn transaction_ended(&mut self, _producer_id: i64, _producer_epoch: i16, _committed: bool) {}

    fn loaded(&mut self, world: &mut World<'_>, out: &mut Step) {
        self.sweep(world.topics, out);
    }

    fn ask(&mut self, world: &mut World<'_>, from: Token, ask: Ask, out: &mut Step) {
        let now = world.now.wall_ms;
        let topics = world.topics;
        let reply = match ask {
            Ask::Initialize(key, with) => Reply::Done(self.initialize(key, with, topics, now, out)),
            Ask::Read(key, epoch) => Reply::Read(self.read(&key, epoch, topics, now, out)),
            Ask::Write(key, write) => Reply::Done(self.write(&key, &write, topics, now, out)),
            Ask::Delete(key) => Reply::Done(self.delete(&key, topics, out)),
            Ask::Summary(key) => Reply::Summary(self.summary(&key, topics)),
        };
        out.reply(from, reply);
    }

    fn tick(&mut self, world: &mut World<'_>, out: &mut Step) {
        self.sweep(world.topics, out);
    }

    fn deadline(&self) -> Option<u64> {
        None
    }
}

impl ShareStates {
    /// How many share-partitions it knows.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    fn replayed(&mut self, key: ShareKey, snapshot: Snapshot) {
        let known = self.known.entry(key);
        let known = known.and_modify(|known| known.snapshot = snapshot.clone());
        known.or_insert(Known {
            snapshot,
            updated: false,
        });
    }

    fn update(&mut self, key: ShareKey, update: &Update) {
        let known = self.known.entry(key).or_insert(Known {
            snapshot: Snapshot {
                snapshot_epoch: update.snapshot_epoch,
                state_epoch: 0,
                leader_epoch: 0,
                start_offset: NO_OFFSET,
                created_ms: 0,
                written_ms: 0,
                batches: Vec::new(),
            },
            updated: true,
        });
        known.updated = true;
        let of = &mut known.snapshot;
        of.leader_epoch = of.leader_epoch.max(update.leader_epoch);
        of.change(update.start_offset, &update.batches);
    }

    fn initialize(
        &mut self,
        key: ShareKey,
        with: Initialize,
        topics: &dyn Topics,
        now_ms: i64,
        out: &mut Step,
    ) -> Done {
        check(&key)?;
        if with.start_offset < NO_OFFSET {
            return Err(ResponseError::InvalidRequest);
        }
        let before = self.known.get(&key);
        let snapshot = before.map(|known| &known.snapshot);
        if let Some(snapshot) = snapshot {
            snapshot.fence_state(with.state_epoch)?;
        }
        exists(&key, topics)?;
        let snapshot = Snapshot {
            snapshot_epoch: snapshot.map_or(0, Snapshot::next_epoch),
            state_epoch: snapshot.map_or(with.state_epoch, |before| {
                with.state_epoch.max(before.state_epoch)
            }),
            // Leaders that were fenced stay so.
            leader_epoch: snapshot.map_or(0, |before| before.leader_epoch),
            start_offset: with.start_offset,
            created_ms: now_ms,
            written_ms: now_ms,
            batches: Vec::new(),
        };
        out.write(snapshot.record(&key));
        self.replayed(key, snapshot);
        Ok(())
    }

    fn read(
        &mut self,
        key: &ShareKey,
        leader_epoch: i32,
        topics: &dyn Topics,
        now_ms: i64,
        out: &mut Step,
    ) -> Result<StoredState, ResponseError> {
        check(key)?;
        let known = self.known.get_mut(key);
        let known = known.ok_or(ResponseError::InvalidRequest)?;
        let of = &mut known.snapshot;
        if of.leader_epoch > leader_epoch {
            return Err(ResponseError::FencedLeaderEpoch);
        }
        exists(key, topics)?;
        if of.leader_epoch < leader_epoch {
            of.leader_epoch = leader_epoch;
            of.written(now_ms);
            out.write(of.record(key));
        }
        Ok(StoredState {
            state_epoch: of.state_epoch,
            start_offset: of.start_offset,
            batches: of.batches.clone(),
        })
    }

    fn write(
        &mut self,
        key: &ShareKey,
        write: &WriteState,
        topics: &dyn Topics,
        now_ms: i64,
        out: &mut Step,
    ) -> Done {
        check(key)?;
        check_batches(write)?;
        let known = self.known.get_mut(key);
        let known = known.ok_or(ResponseError::InvalidRequest)?;
        let of = &mut known.snapshot;
        if write.leader_epoch != NO_EPOCH && of.leader_epoch > write.leader_epoch {
            return Err(ResponseError::FencedLeaderEpoch);
        }
        of.fence_state(write.state_epoch)?;
        exists(key, topics)?;
        if of.batches.len() + write.batches.len() > BATCHES_MAX {
            return Err(ResponseError::InvalidRequest);
        }
        of.leader_epoch = of.leader_epoch.max(write.leader_epoch);
        of.state_epoch = of.state_epoch.max(write.state_epoch);
        of.change(write.start_offset, &write.batches);
        of.written(now_ms);
        out.write(of.record(key));
        Ok(())
    }

    fn delete(&mut self, key: &ShareKey, topics: &dyn Topics, out: &mut Step) -> Done {
        check(key)?;
        exists(key, topics)?;
        if let Some(known) = self.known.remove(key) {
            for record in tombstones(key, &known) {
                out.write(record);
            }
        }
        Ok(())
    }

    fn summary(&self, key: &ShareKey, topics: &dyn Topics) -> Result<Summary, ResponseError> {
        check(key)?;
        exists(key, topics)?;
        let never = Summary {
            state_epoch: 0,
            leader_epoch: 0,
            start_offset: NO_OFFSET,
        };
        Ok(self.known.get(key).map_or(never, |known| Summary {
            state_epoch: known.snapshot.state_epoch,
            leader_epoch: known.snapshot.leader_epoch,
            start_offset: known.snapshot.start_offset,
        }))
    }

    /// Forgets the share-partitions of topics that are gone, if topics have changed.
    fn sweep(&mut self, topics: &dyn Topics, out: &mut Step) {
        let version = topics.version();
        if self.swept.replace(version) == Some(version) {
            return;
        }
        let ids: BTreeSet<Uuid> = self.known.keys().map(|key| key.topic_id).collect();
        let gone = ids.into_iter().filter(|id| topics.name_of(*id).is_none());
        let gone: BTreeSet<Uuid> = gone.collect();
        if gone.is_empty() {
            return;
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        self.known.retain(|key, known| {
            let stays = !gone.contains(&key.topic_id);
            if !stays {
                for record in tombstones(key, known) {
                    bytes += record.key.len();
                    records.push(record);
                }
                if bytes >= TOMBSTONES_MAX {
                    out.batches.push(plain(std::mem::take(&mut records)));
                    bytes = 0;
                }
            }
            stays
        });
        if !records.is_empty() {
            out.batches.push(plain(records));
        }
    }
}

impl Snapshot {
    /// That of the next snapshot. It only tells one from another.
    fn next_epoch(&self) -> i32 {
        self.snapshot_epoch.wrapping_add(1)
    }

    fn written(&mut self, now_ms: i64) {
        self.snapshot_epoch = self.next_epoch();
        self.created_ms = now_ms;
        self.written_ms = now_ms;
    }

    fn record(&self, key: &ShareKey) -> Record {
        Record {
            key: Key::Snapshot(key.clone()).write(),
            value: Some(self.write()),
        }
    }

    /// Refuses what was asked in a state epoch before.
    fn fence_state(&self, state_epoch: i32) -> Done {
        match state_epoch != NO_EPOCH && self.state_epoch > state_epoch {
            true => Err(ResponseError::FencedStateEpoch),
            false => Ok(()),
        }
    }

    fn change(&mut self, start_offset: i64, batches: &[StateBatch]) {
        if start_offset != NO_OFFSET {
            self.start_offset = start_offset;
        }
        self.batches = combine(&self.batches, batches, self.start_offset);
    }
}

/// What makes the log forget a share-partition.
fn tombstones(key: &ShareKey, known: &Known) -> impl Iterator<Item = Record> {
    let update = known.updated.then(|| Key::Update(key.clone()));
    let keys = std::iter::once(Key::Snapshot(key.clone())).chain(update);
    keys.map(|key| Record {
        key: key.write(),
        value: None,
    })
}

fn plain(records: Vec<Record>) -> Batch {
    Batch {
        producer: None,
        records,
    }
}

/// Refuses what no share-partition is.
fn check(key: &ShareKey) -> Done {
    let fits = !key.group_id.is_empty() && i16::try_from(key.group_id.len()).is_ok();
    match fits && key.partition >= 0 {
        true => Ok(()),
        false => Err(ResponseError::InvalidRequest),
    }
}

/// Refuses states that no leader has.
fn check_batches(write: &WriteState) -> Done {
    let sound = |batch: &StateBatch| {
        (0..=batch.last_offset).contains(&batch.first_offset)
            && batch.last_offset < i64::MAX
            && batch.delivery_count >= 0
            && STATES.contains(&batch.delivery_state)
    };
    match write.start_offset >= NO_OFFSET && write.batches.iter().all(sound) {
        true => Ok(()),
        false => Err(ResponseError::InvalidRequest),
    }
}

/// Refuses a share-partition whose partition isn't there.
fn exists(key: &ShareKey, topics: &dyn Topics) -> Done {
    let name = topics.name_of(key.topic_id);
    let topic = name.and_then(|name| topics.by_name(&name));
    match topic.is_some_and(|topic| key.partition < topic.partitions) {
        true => Ok(()),
        false => Err(ResponseError::UnknownTopicOrPartition),
    }
}
