//! A shard's coordinators of one kind, and the questions that it has put to other shards'.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rt::sync::oneshot;

use super::CoordinatorError;
use super::host::OnShard;
use super::kind::Kind;
use super::running::{Answer, Running};
use crate::partition::Partition;
use crate::shard::Shard;

/// The coordinators of one kind, by their partition's index.
pub(crate) struct Table<K: Kind> {
    running: RefCell<BTreeMap<i32, Rc<Running<K>>>>,
    /// Who of this shard waits for the answer of another shard's coordinator.
    asked: RefCell<HashMap<u64, oneshot::Sender<Answer<K>>>>,
    next: Cell<u64>,
}

impl<K: Kind> Default for Table<K> {
    fn default() -> Self {
        Self {
            running: RefCell::default(),
            asked: RefCell::default(),
            next: Cell::new(0),
        }
    }
}

impl<K: Kind> Table<K> {
    /// Takes the part that this node has in a partition by now: begins its coordinator, or ends it.
    pub(super) fn follow(shard: &Rc<Shard>, partition: &Rc<Partition>) {
        let id = partition.id();
        let leader = shard.with_image(|image| {
            let state = image.topic_by_id(id.topic_id)?.partition(id.index)?;
            Some(state.leader)
        });
        let table = super::table::<K>(shard);
        if leader != Some(shard.node_id()) {
            return table.end(id.index);
        }
        let there = table.get(id.index);
        match there {
            // It may lead in another epoch now.
            Some(running) if Rc::ptr_eq(&running.partition, partition) => {
                running.settings_changed();
            }
            _ => {
                table.end(id.index);
                let host = Rc::new(OnShard(Rc::clone(shard)));
                let running = Running::begin(Rc::clone(partition), host);
                table.running.borrow_mut().insert(id.index, running);
            }
        }
    }

    /// Ends the coordinator of a partition.
    pub(super) fn end(&self, index: i32) {
        let running = self.running.borrow_mut().remove(&index);
        if let Some(running) = running {
            running.end();
        }
    }

    /// Ends all.
    pub(super) fn end_all(&self) {
        let all = std::mem::take(&mut *self.running.borrow_mut());
        for running in all.into_values() {
            running.end();
        }
    }

    /// All of them, by their partition's index.
    pub(super) fn all(&self) -> Vec<Rc<Running<K>>> {
        self.running.borrow().values().map(Rc::clone).collect()
    }

    /// How many answer, and how many are being made.
    pub(super) fn counts(&self) -> (usize, usize) {
        let running = self.running.borrow();
        let serving = running
            .values()
            .filter(|running| running.look_at(|_| ()).is_some());
        let serving = serving.count();
        (serving, running.len() - serving)
    }

    /// The topics changed.
    pub(super) fn topics_changed(&self) {
        for running in self.all() {
            running.look();
        }
    }

    /// The settings changed.
    pub(super) fn settings_changed(&self) {
        for running in self.all() {
            running.settings_changed();
        }
    }

    /// A marker was appended.
    pub(super) fn transaction_ended(&self, index: i32, id: i64, epoch: i16, committed: bool) {
        let running = self.get(index);
        if let Some(running) = running {
            running.transaction_ended(id, epoch, committed);
        }
    }

    /// Asks the coordinator of a partition of this shard.
    pub(super) fn ask(&self, index: i32, ask: K::Ask) -> oneshot::Receiver<Answer<K>> {
        let running = self.get(index);
        match running {
            Some(running) => running.ask(ask),
            None => {
                let (sender, receiver) = oneshot();
                // It is this node's by the metadata, so its log is being opened.
                drop(sender.send(Err(CoordinatorError::Loading)));
                receiver
            }
        }
    }

    /// As [`ask`](Self::ask), for what is written as part of a transaction.
    pub(super) fn ask_joined(
        &self,
        index: i32,
        number: u64,
        ask: K::Ask,
    ) -> oneshot::Receiver<Answer<K>> {
        match self.get(index) {
            Some(running) => running.ask_joined(number, ask),
            None => self.ask(index, ask),
        }
    }

    /// The coordinator of a partition of this shard.
    pub(super) fn get(&self, index: i32) -> Option<Rc<Running<K>>> {
        self.running.borrow().get(&index).map(Rc::clone)
    }

    /// A place for the answer of another shard's coordinator.
    pub(super) fn expect(&self) -> (u64, oneshot::Receiver<Answer<K>>) {
        let number = self.next.get();
        self.next.set(number + 1);
        let (sender, receiver) = oneshot();
        self.asked.borrow_mut().insert(number, sender);
        (number, receiver)
    }

    /// The answer to a question that [`expect`](Self::expect) gave the number of.
    pub(super) fn answered(&self, number: u64, answer: Answer<K>) {
        let asked = self.asked.borrow_mut().remove(&number);
        if let Some(sender) = asked {
            drop(sender.send(answer));
        }
    }
}
