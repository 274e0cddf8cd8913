//! A coordinator that adds up what it is told, and a host that keeps what it is asked to do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use batch::Compression;
use bytes::Bytes;
use coordinator::{Core, Out, Record, Replayed, Token, Topic, Topics, World};
use rt::sync::{Credit, oneshot};
use uuid::Uuid;

use super::super::host::{Host, Limits};
use super::super::running::{Answer, Running};
use crate::partition::Partition;

/// What the tally is asked.
pub(super) enum Ask {
    /// Add this, and say what it comes to.
    Add(i64),
    /// Say what it comes to.
    Sum,
    /// Say what it comes to in so many milliseconds.
    SumIn(u64),
    /// Add this without an answer, and have it performed.
    Perform(i64),
}

/// A sum, as the sum of its records' values.
pub(super) struct Tally {
    sum: i64,
    late: Vec<(u64, Token)>,
    /// Changes of the topics that it was told of.
    pub(super) version: i64,
}

fn record(value: i64) -> Record {
    Record {
        key: Bytes::copy_from_slice(&Uuid::new_v4().into_bytes()),
        value: Some(Bytes::copy_from_slice(&value.to_be_bytes())),
    }
}

impl Core for Tally {
    type Ask = Ask;
    type Reply = i64;
    type Effect = i64;
    type Settings = i64;

    fn new(first: i64) -> Self {
        Self {
            sum: first,
            late: Vec::new(),
            version: 0,
        }
    }

    fn set_settings(&mut self, _: i64) {}

    fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let value = record.value.and_then(|value| value[..].try_into().ok());
        let value = value.ok_or_else(|| "it has no number".to_owned())?;
        self.sum += i64::from_be_bytes(value);
        Ok(())
    }

    fn transaction_ended(&mut self, producer_id: i64, _: i16, committed: bool) {
        if committed {
            self.sum += producer_id;
        }
    }

    fn loaded(&mut self, _: &mut World<'_>, _: &mut Out<Self>) {}

    fn ask(&mut self, world: &mut World<'_>, from: Token, ask: Ask, out: &mut Out<Self>) {
        match ask {
            Ask::Add(value) => {
                self.sum += value;
                out.write(record(value));
                out.reply(from, self.sum);
            }
            Ask::Sum => out.reply(from, self.sum),
            Ask::SumIn(ms) => self.late.push((world.now.mono_ms + ms, from)),
            Ask::Perform(value) => {
                self.sum += value;
                out.write(record(value));
                out.effects.push(value);
            }
        }
    }

    fn tick(&mut self, world: &mut World<'_>, out: &mut Out<Self>) {
        self.version = world.topics.version();
        let now = world.now.mono_ms;
        let (due, late) = self.late.iter().partition(|(at, _)| *at <= now);
        self.late = late;
        let due: Vec<(u64, Token)> = due;
        for (_, token) in due {
            out.reply(token, self.sum);
        }
    }

    fn deadline(&self) -> Option<u64> {
        self.late.iter().map(|(at, _)| *at).min()
    }
}

/// What the coordinator has around it.
pub(super) struct TestHost {
    pub(super) performed: RefCell<Vec<i64>>,
    pub(super) commit_timeout_ms: Cell<u64>,
    pub(super) version: Cell<i64>,
    /// Logs read, and records in the last of them.
    pub(super) loads: Cell<(u64, u64)>,
    memory: Credit,
}

struct NoTopics(i64);

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        self.0
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

impl TestHost {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            performed: RefCell::default(),
            commit_timeout_ms: Cell::new(60_000),
            version: Cell::new(0),
            loads: Cell::new((0, 0)),
            memory: Credit::new(1 << 20),
        })
    }
}

impl Host<Tally> for TestHost {
    fn with_topics(&self, look: &mut dyn FnMut(&dyn Topics)) {
        look(&NoTopics(self.version.get()));
    }

    fn settings(&self, _: i32) -> i64 {
        0
    }

    fn limits(&self) -> Limits {
        Limits {
            commit_timeout_ms: self.commit_timeout_ms.get(),
            compression: Compression::None,
            // Little, so that it takes many steps.
            load_step: 200,
        }
    }

    fn memory(&self) -> &Credit {
        &self.memory
    }

    fn loaded(&self, _: u64, records: u64) {
        self.loads.set((self.loads.get().0 + 1, records));
    }

    fn dropped(&self, _: &Tally) {}

    fn perform(&self, effect: i64) {
        self.performed.borrow_mut().push(effect);
    }
}

/// Begins a tally on a partition, with a host of its own.
pub(super) fn begin(partition: &Rc<Partition>) -> (Rc<Running<Tally>>, Rc<TestHost>) {
    let host = TestHost::new();
    let running = Running::begin(
        Rc::clone(partition),
        Rc::clone(&host) as Rc<dyn Host<Tally>>,
    );
    (running, host)
}

/// The answer, if it is there.
pub(super) fn there(answer: &mut oneshot::Receiver<Answer<Tally>>) -> Option<Answer<Tally>> {
    answer.try_take()
}

/// Asks again and again until the coordinator has read its log.
pub(super) async fn sum(running: &Running<Tally>) -> i64 {
    loop {
        match running.ask(Ask::Sum).await.unwrap() {
            Ok(sum) => return sum,
            Err(super::super::CoordinatorError::Loading) => {
                rt::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            Err(error) => panic!("no coordinator: {error}"),
        }
    }
}
