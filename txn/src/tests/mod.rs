//! Tests of the coordinator, by a driver that keeps its log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;
mod records;
mod requests;
mod timers;

use bytes::Bytes;
use coordinator::{Core, Now, Out, Replayed, Token, Topic, Topics, World};
use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::api::*;
use crate::machine::Transactions;

struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        0
    }
    fn by_name(&self, _: &str) -> Option<Topic> {
        None
    }
    fn name_of(&self, _: Uuid) -> Option<String> {
        None
    }
    fn each(&self, _: &mut dyn FnMut(&str)) {}
    fn racks(&self, _: Uuid, _: i32) -> Vec<String> {
        Vec::new()
    }
}

/// A coordinator, the log of its partition, and what it wanted done.
struct Driver {
    core: Transactions,
    log: Vec<(Bytes, Option<Bytes>)>,
    effects: Vec<Markers>,
    now: Now,
    next_id: i64,
    steps: u128,
}

/// Nothing that is tested here is before this time.
const BEGIN_MS: i64 = 1_700_000_000_000;

impl Driver {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let mut driver = Self {
            core: Transactions::new(settings),
            log: Vec::new(),
            effects: Vec::new(),
            now: Now {
                mono_ms: 1,
                wall_ms: BEGIN_MS,
            },
            next_id: 1000,
            steps: 0,
        };
        driver.step(|core, world, out| core.loaded(world, out));
        driver
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut Transactions, &mut World<'_>, &mut Out<Transactions>),
    ) -> Vec<Reply> {
        let mut out = Out::default();
        self.steps += 1;
        let id = self.steps;
        let mut world = World {
            now: self.now,
            topics: &NoTopics,
            fresh_id: &mut || Uuid::from_u128(id),
        };
        step(&mut self.core, &mut world, &mut out);
        for batch in out.batches {
            assert!(!batch.records.is_empty() && batch.producer.is_none());
            let records = batch.records.into_iter();
            self.log
                .extend(records.map(|record| (record.key, record.value)));
        }
        for Effect::Write(markers) in out.effects {
            self.effects.push(markers);
        }
        out.replies.into_iter().map(|(_, reply)| reply).collect()
    }

    fn ask(&mut self, ask: Ask) -> Reply {
        let mut replies = self.step(|core, world, out| core.ask(world, Token(7), ask, out));
        assert_eq!(replies.len(), 1);
        replies.remove(0)
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
        while self
            .core
            .deadline()
            .is_some_and(|at| at <= self.now.mono_ms)
        {
            let before = self.core.deadline();
            self.step(|core, world, out| core.tick(world, out));
            assert_ne!(self.core.deadline(), before, "the timer stands still");
        }
    }

    /// The coordinator as another node makes it of the log.
    fn replayed(&self, settings: Settings) -> Transactions {
        let mut core = Transactions::new(settings);
        for (offset, (key, value)) in self.log.iter().enumerate() {
            let record = Replayed {
                offset: offset as i64,
                timestamp_ms: 0,
                producer: None,
                key,
                value: value.as_ref(),
            };
            core.replay(&record).unwrap();
        }
        core
    }

    /// Another node takes over.
    fn fail_over(&mut self) {
        let mut settings = self.core.settings;
        settings.coordinator_epoch += 1;
        self.core = self.replayed(settings);
        self.step(|core, world, out| core.loaded(world, out));
    }

    fn try_init(
        &mut self,
        id: &str,
        expected: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        let mut init = Init {
            transactional_id: id.into(),
            timeout_ms: 60_000,
            expected,
            fresh_id: None,
        };
        match self.ask(Ask::Init(init.clone())) {
            Reply::Init(done) => return done,
            Reply::NeedsProducerId => {}
            reply => panic!("{reply:?}"),
        }
        self.next_id += 1;
        init.fresh_id = Some(self.next_id);
        match self.ask(Ask::Init(init)) {
            Reply::Init(done) => done,
            reply => panic!("{reply:?}"),
        }
    }

    fn init(&mut self, id: &str) -> Producer {
        self.try_init(id, None).unwrap()
    }

    fn add(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &Partitions,
        version: TransactionVersion,
    ) -> Result<(), ResponseError> {
        match self.ask(Ask::Add(asked(id, producer, partitions, version))) {
            Reply::Add(done) => done,
            reply => panic!("{reply:?}"),
        }
    }

    fn verify(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &Partitions,
    ) -> Result<Partitions, ResponseError> {
        let asked = asked(id, producer, partitions, TransactionVersion::V0);
        match self.ask(Ask::Verify(asked)) {
            Reply::Verify(done) => done,
            reply => panic!("{reply:?}"),
        }
    }

    fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<Producer, ResponseError> {
        let mut end = End {
            transactional_id: id.into(),
            producer,
            commit,
            version,
            fresh_id: None,
        };
        match self.ask(Ask::End(end.clone())) {
            Reply::End(done) => return done,
            Reply::NeedsProducerId => {}
            reply => panic!("{reply:?}"),
        }
        self.next_id += 1;
        end.fresh_id = Some(self.next_id);
        match self.ask(Ask::End(end)) {
            Reply::End(done) => done,
            reply => panic!("{reply:?}"),
        }
    }

    fn written(&mut self, markers: Markers) -> bool {
        match self.ask(Ask::Written(markers)) {
            Reply::Written(awaited) => awaited,
            reply => panic!("{reply:?}"),
        }
    }

    /// Every marker that is wanted is written.
    fn write_all(&mut self) {
        for markers in std::mem::take(&mut self.effects) {
            self.written(markers);
        }
    }

    fn describe(&mut self, id: &str) -> Result<Description, ResponseError> {
        match self.ask(Ask::Describe(id.into())) {
            Reply::Describe(done) => done,
            reply => panic!("{reply:?}"),
        }
    }

    fn state(&mut self, id: &str) -> &'static str {
        self.describe(id).unwrap().state
    }
}

fn asked(
    id: &str,
    producer: Producer,
    partitions: &Partitions,
    version: TransactionVersion,
) -> InTransaction {
    InTransaction {
        transactional_id: id.into(),
        producer,
        partitions: partitions.clone(),
        version,
    }
}

fn partitions<const N: usize>(of: [(&str, i32); N]) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, index) in of {
        partitions.entry(topic.into()).or_default().insert(index);
    }
    partitions
}
