//! A coordinator with a log in memory, a clock that is turned by hand, and a few topics.

use std::cell::RefCell;
use std::collections::BTreeMap;

use coordinator::{Core, Now, Out, Record, Replayed, Token, Topic, Topics, World};
use uuid::Uuid;

use crate::{Ask, Asker, Effect, Groups, Reply, Settings};

/// Topics that can be made and deleted.
#[derive(Default)]
pub(super) struct Known {
    topics: RefCell<BTreeMap<String, Topic>>,
    version: RefCell<i64>,
}

impl Known {
    pub(super) fn make(&self, name: &str) -> Uuid {
        *self.version.borrow_mut() += 1;
        let id = Uuid::from_u128(*self.version.borrow() as u128);
        self.topics
            .borrow_mut()
            .insert(name.into(), Topic { id, partitions: 8 });
        id
    }

    /// Gives a topic partitions, as many as are new.
    pub(super) fn grow(&self, name: &str, partitions: i32) {
        *self.version.borrow_mut() += 1;
        if let Some(topic) = self.topics.borrow_mut().get_mut(name) {
            topic.partitions += partitions;
        }
    }

    pub(super) fn delete(&self, name: &str) {
        *self.version.borrow_mut() += 1;
        self.topics.borrow_mut().remove(name);
    }
}

impl Topics for Known {
    fn version(&self) -> i64 {
        *self.version.borrow()
    }

    fn by_name(&self, name: &str) -> Option<Topic> {
        self.topics.borrow().get(name).copied()
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        let topics = self.topics.borrow();
        topics
            .iter()
            .find(|(_, topic)| topic.id == id)
            .map(|(name, _)| name.clone())
    }

    fn each(&self, each: &mut dyn FnMut(&str)) {
        self.topics.borrow().keys().for_each(|name| each(name));
    }

    fn racks(&self, _id: Uuid, _partition: i32) -> Vec<String> {
        Vec::new()
    }
}

/// What the log has at an offset.
pub(super) enum Entry {
    Record(Option<(i64, i16)>, i64, Record),
    End(i64, i16, bool),
}

pub(super) struct Rig {
    pub(super) core: Groups,
    pub(super) settings: Settings,
    pub(super) topics: Known,
    pub(super) now: Now,
    pub(super) log: Vec<Entry>,
    pub(super) replies: BTreeMap<Token, Reply>,
    /// What is to be done elsewhere, and nobody has taken out.
    pub(super) effects: Vec<Effect>,
    asked: u64,
    ids: u128,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let topics = Known::default();
        topics.make("t");
        let mut rig = Self {
            core: Groups::new(settings.clone()),
            settings,
            topics,
            now: Now {
                mono_ms: 1_000,
                wall_ms: 1_700_000_000_000,
            },
            log: Vec::new(),
            replies: BTreeMap::new(),
            effects: Vec::new(),
            asked: 0,
            ids: 0,
        };
        rig.step(|core, world, out| core.loaded(world, out));
        rig
    }

    /// Runs one step, and keeps what comes of it.
    pub(super) fn step(&mut self, run: impl FnOnce(&mut Groups, &mut World<'_>, &mut Out<Groups>)) {
        let mut out = Out::default();
        let ids = &mut self.ids;
        let mut fresh_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let mut world = World {
            now: self.now,
            topics: &self.topics,
            fresh_id: &mut fresh_id,
        };
        run(&mut self.core, &mut world, &mut out);
        for batch in out.batches {
            assert!(!batch.records.is_empty());
            for record in batch.records {
                self.log
                    .push(Entry::Record(batch.producer, self.now.wall_ms, record));
            }
        }
        self.effects.extend(out.effects);
        for (token, reply) in out.replies {
            assert!(
                self.replies.insert(token, reply).is_none(),
                "answered twice"
            );
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Token {
        self.asked += 1;
        let token = Token(self.asked);
        self.step(|core, world, out| core.ask(world, token, ask, out));
        token
    }

    /// Asks what is answered at once.
    pub(super) fn answer(&mut self, ask: Ask) -> Reply {
        let token = self.ask(ask);
        self.taken(token)
    }

    pub(super) fn taken(&mut self, token: Token) -> Reply {
        self.replies.remove(&token).expect("it was answered")
    }

    pub(super) fn is_waiting(&self, token: Token) -> bool {
        !self.replies.contains_key(&token)
    }

    pub(super) fn tick(&mut self) {
        self.step(|core, world, out| core.tick(world, out));
    }

    fn turn(&mut self, to_ms: u64) {
        let ms = to_ms.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
    }

    /// Lets time go by, with every tick that is due.
    pub(super) fn pass(&mut self, ms: u64) {
        let end_ms = self.now.mono_ms + ms;
        while let Some(due_ms) = self.core.deadline().filter(|due_ms| *due_ms <= end_ms) {
            self.turn(due_ms);
            self.tick();
        }
        self.turn(end_ms);
    }

    pub(super) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        self.end_in_epoch(producer_id, 0, commit);
    }

    pub(super) fn end_in_epoch(&mut self, producer_id: i64, epoch: i16, commit: bool) {
        self.log.push(Entry::End(producer_id, epoch, commit));
        self.core.transaction_ended(producer_id, epoch, commit);
    }

    /// Drops what compaction would: records of which there is a later one of the same key. Those of
    /// transactions, and of keys that they have, stay.
    pub(super) fn compact(&mut self) {
        let mut last = BTreeMap::new();
        for (at, entry) in self.log.iter().enumerate() {
            if let Entry::Record(producer, _, record) = entry {
                let keep = last.entry(record.key.clone()).or_insert((at, false));
                *keep = (at, keep.1 || producer.is_some());
            }
        }
        let mut at = 0;
        self.log.retain(|entry| {
            at += 1;
            match entry {
                Entry::Record(_, _, record) => {
                    let (last, transactional) = last[&record.key];
                    transactional || last == at - 1
                }
                Entry::End(..) => true,
            }
        });
    }

    /// Another coordinator made of the log.
    pub(super) fn load(&mut self) {
        self.core = Groups::new(self.settings.clone());
        self.replies.clear();
        self.effects.clear();
        for (offset, entry) in self.log.iter().enumerate() {
            match entry {
                Entry::Record(producer, timestamp_ms, record) => {
                    let record = Replayed {
                        offset: offset as i64,
                        timestamp_ms: *timestamp_ms,
                        producer: *producer,
                        key: &record.key,
                        value: record.value.as_ref(),
                    };
                    self.core.replay(&record).unwrap();
                }
                Entry::End(producer_id, epoch, commit) => {
                    self.core.transaction_ended(*producer_id, *epoch, *commit);
                }
            }
        }
        self.step(|core, world, out| core.loaded(world, out));
    }
}

pub(super) fn asker() -> Asker {
    Asker {
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
    }
}
