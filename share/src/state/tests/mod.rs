//! Tests of the share coordinator, by a driver that keeps its log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod combining;
mod model;
mod records;
mod requests;

use std::collections::BTreeMap;

use bytes::Bytes;
use coordinator::{Core, Now, Out, Replayed, Token, Topic, Topics, World};
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::*;
use crate::partition::{StateBatch, StoredState};

/// The topics there are: their ids, and how many partitions.
#[derive(Clone, Debug, Default)]
struct Cluster {
    version: i64,
    topics: BTreeMap<Uuid, i32>,
}

impl Topics for Cluster {
    fn version(&self) -> i64 {
        self.version
    }
    fn by_name(&self, name: &str) -> Option<Topic> {
        let id = Uuid::parse_str(name).ok()?;
        let partitions = *self.topics.get(&id)?;
        Some(Topic { id, partitions })
    }
    fn name_of(&self, id: Uuid) -> Option<String> {
        self.topics.contains_key(&id).then(|| id.to_string())
    }
    fn each(&self, _: &mut dyn FnMut(&str)) {}
    fn racks(&self, _: Uuid, _: i32) -> Vec<String> {
        Vec::new()
    }
}

const BEGIN_MS: i64 = 1_700_000_000_000;

/// A coordinator, and the log of its partition.
struct Driver {
    core: ShareStates,
    log: Vec<(Bytes, Option<Bytes>)>,
    cluster: Cluster,
}

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn key(group: &str, number: u128, partition: i32) -> ShareKey {
    ShareKey {
        group_id: group.to_owned(),
        topic_id: topic(number),
        partition,
    }
}

fn batch(first: i64, last: i64, state: i8, delivery_count: i16) -> StateBatch {
    StateBatch {
        first_offset: first,
        last_offset: last,
        delivery_state: state,
        delivery_count,
    }
}

impl Driver {
    /// Topics 1 and 2 are there, with three partitions each.
    fn new() -> Self {
        let mut driver = Self {
            core: ShareStates::new(()),
            log: Vec::new(),
            cluster: Cluster {
                version: 1,
                topics: [(topic(1), 3), (topic(2), 3)].into(),
            },
        };
        driver.step(|core, world, out| core.loaded(world, out));
        driver
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut ShareStates, &mut World<'_>, &mut Out<ShareStates>),
    ) -> Vec<Reply> {
        let mut out = Out::default();
        let mut world = World {
            now: Now {
                mono_ms: 1,
                wall_ms: BEGIN_MS + i64::try_from(self.log.len()).unwrap(),
            },
            topics: &self.cluster,
            fresh_id: &mut || unreachable!("no ids are needed"),
        };
        step(&mut self.core, &mut world, &mut out);
        for batch in out.batches {
            assert!(!batch.records.is_empty() && batch.producer.is_none());
            let records = batch.records.into_iter();
            self.log
                .extend(records.map(|record| (record.key, record.value)));
        }
        out.replies.into_iter().map(|(_, reply)| reply).collect()
    }

    fn ask(&mut self, ask: Ask) -> Reply {
        let mut replies = self.step(|core, world, out| core.ask(world, Token(7), ask, out));
        assert_eq!(replies.len(), 1);
        replies.remove(0)
    }

    fn done(&mut self, ask: Ask) -> Result<(), ResponseError> {
        match self.ask(ask) {
            Reply::Done(done) => done,
            other => panic!("{other:?}"),
        }
    }

    fn initialize(
        &mut self,
        key: &ShareKey,
        state_epoch: i32,
        start_offset: i64,
    ) -> Result<(), ResponseError> {
        let with = Initialize {
            state_epoch,
            start_offset,
        };
        self.done(Ask::Initialize(key.clone(), with))
    }

    fn write(
        &mut self,
        key: &ShareKey,
        epochs: (i32, i32),
        start_offset: i64,
        batches: &[StateBatch],
    ) -> Result<(), ResponseError> {
        let write = WriteState {
            state_epoch: epochs.0,
            leader_epoch: epochs.1,
            start_offset,
            batches: batches.to_vec(),
        };
        self.done(Ask::Write(key.clone(), write))
    }

    fn read(&mut self, key: &ShareKey, leader_epoch: i32) -> Result<StoredState, ResponseError> {
        match self.ask(Ask::Read(key.clone(), leader_epoch)) {
            Reply::Read(read) => read,
            other => panic!("{other:?}"),
        }
    }

    fn summary(&mut self, key: &ShareKey) -> Result<Summary, ResponseError> {
        match self.ask(Ask::Summary(key.clone())) {
            Reply::Summary(summary) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// The topics changed, and the coordinator is told.
    fn change_topics(&mut self, change: impl FnOnce(&mut BTreeMap<Uuid, i32>)) {
        self.cluster.version += 1;
        change(&mut self.cluster.topics);
        self.step(|core, world, out| core.tick(world, out));
    }

    /// Another coordinator takes over, from the log or from what compaction leaves of it.
    fn fail_over(&mut self, compacted: bool) {
        if compacted {
            let mut last = BTreeMap::new();
            for (at, (key, _)) in self.log.iter().enumerate() {
                last.insert(key.clone(), at);
            }
            let mut at = 0..;
            self.log.retain(|(key, value)| {
                let stays = last[key] == at.next().unwrap();
                stays && value.is_some()
            });
        }
        self.core = ShareStates::new(());
        for (offset, (key, value)) in self.log.iter().enumerate() {
            let record = Replayed {
                offset: offset as i64,
                timestamp_ms: 0,
                producer: None,
                key,
                value: value.as_ref(),
            };
            self.core.replay(&record).unwrap();
        }
        self.step(|core, world, out| core.loaded(world, out));
    }
}
