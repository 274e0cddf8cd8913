//! One coordinator: a core with the partition that has its state.
//!
//! Owns who waits for an answer, and the rule of when it is given: a step's answers and effects wait
//! until the high watermark has reached the log's end as of that step. A step is taken in one go, records
//! included; nothing comes between.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use coordinator::{Core, Now, Out, Token, World};
use rt::sync::{Notify, oneshot};
use uuid::Uuid;

use super::CoordinatorError;
use super::append::append;
use super::held::Held;
use super::host::Host;
use crate::partition::{Partition, clock_ms};

/// What somebody who asked gets.
pub(super) type Answer<C> = Result<<C as Core>::Reply, CoordinatorError>;

/// How far a coordinator is.
pub(super) enum Stage<C> {
    /// Its log is being read, or this replica doesn't lead yet.
    Loading,
    /// It answers.
    Serving(C),
    /// It could not store what it decided, so it must be made anew.
    Broken,
    /// It is another node's now.
    Ended,
}

pub(super) struct State<C: Core> {
    pub(super) stage: Stage<C>,
    next_token: u64,
    asked: HashMap<Token, oneshot::Sender<Answer<C>>>,
    pub(super) held: Held<C>,
    /// Producers whose transaction's coordinator is being asked whether this partition is in it; without
    /// those whose transaction has ended since.
    joining: HashMap<u64, i64>,
    /// When the driver looks again by itself; `None` for never.
    pub(super) armed_ms: Option<u64>,
    /// Whether the driver waits for the first of what is held.
    pub(super) watches: bool,
    /// Whether the core is to look at the world, due or not.
    pub(super) news: bool,
}

impl<C: Core> State<C> {
    /// A core is being made; false if the coordinator has ended.
    pub(super) fn begin_loading(&mut self) -> bool {
        let goes_on = !matches!(self.stage, Stage::Ended);
        if goes_on {
            self.stage = Stage::Loading;
        }
        goes_on
    }
}

/// One coordinator.
pub(super) struct Running<C: Core> {
    pub(super) partition: Rc<Partition>,
    pub(super) host: Rc<dyn Host<C>>,
    pub(super) state: RefCell<State<C>>,
    /// Tells the driver.
    pub(super) wake: Notify,
}

/// The time, by both clocks.
pub(super) fn now() -> Now {
    Now {
        mono_ms: clock_ms(),
        wall_ms: rt::time::wall_ms(),
    }
}

impl<C: Core> Running<C> {
    /// Begins a coordinator on a partition that this node is to lead.
    pub(super) fn begin(partition: Rc<Partition>, host: Rc<dyn Host<C>>) -> Rc<Self> {
        let running = Rc::new(Self {
            partition,
            host,
            state: RefCell::new(State {
                stage: Stage::Loading,
                next_token: 0,
                asked: HashMap::new(),
                held: Held::new(),
                joining: HashMap::new(),
                armed_ms: None,
                watches: false,
                news: false,
            }),
            wake: Notify::new(),
        });
        rt::task::spawn(Rc::clone(&running).drive()).detach();
        running
    }

    /// Looks at the core, if there is one.
    pub(super) fn look_at<R>(&self, look: impl FnOnce(&C) -> R) -> Option<R> {
        match &self.state.borrow().stage {
            Stage::Serving(core) => Some(look(core)),
            Stage::Loading | Stage::Broken | Stage::Ended => None,
        }
    }

    /// Asks; the answer may take its time.
    pub(super) fn ask(&self, ask: C::Ask) -> oneshot::Receiver<Answer<C>> {
        let (sender, receiver) = oneshot();
        let refused = match &self.state.borrow().stage {
            Stage::Serving(_) => None,
            Stage::Loading | Stage::Broken => Some(CoordinatorError::Loading),
            Stage::Ended => Some(CoordinatorError::NotCoordinator),
        };
        match refused {
            // The receiver is in this function's hands.
            Some(error) => drop(sender.send(Err(error))),
            None => {
                let token = self.expect(sender);
                self.step(|core, world, out| core.ask(world, token, ask, out));
            }
        }
        receiver
    }

    /// Notes that a producer's transaction is about to be asked after, for what is to be written as part of
    /// it; gives a number for [`ask_joined`](Self::ask_joined).
    pub(super) fn begin_joining(&self, producer_id: i64) -> u64 {
        let mut state = self.state.borrow_mut();
        let number = state.next_token;
        state.next_token += 1;
        state.joining.insert(number, producer_id);
        number
    }

    /// What was asked after is of no interest any more.
    pub(super) fn give_up_joining(&self, number: u64) {
        self.state.borrow_mut().joining.remove(&number);
    }

    /// Asks for something that is written as part of a producer's transaction, which this partition was found
    /// to be in. Not if it has ended since: what is written now would begin one that nobody ends.
    pub(super) fn ask_joined(&self, number: u64, ask: C::Ask) -> oneshot::Receiver<Answer<C>> {
        if self.state.borrow_mut().joining.remove(&number).is_some() {
            return self.ask(ask);
        }
        let (sender, receiver) = oneshot();
        drop(sender.send(Err(CoordinatorError::TransactionEnded)));
        receiver
    }

    /// Notes who is to get the answer of a token.
    fn expect(&self, sender: oneshot::Sender<Answer<C>>) -> Token {
        let mut state = self.state.borrow_mut();
        let token = Token(state.next_token);
        state.next_token += 1;
        state.asked.insert(token, sender);
        token
    }

    /// Has the core take one step, if it serves.
    pub(super) fn step(&self, call: impl FnOnce(&mut C, &mut World<'_>, &mut Out<C>)) {
        let Some(out) = self.called(call) else { return };
        let Out {
            batches,
            replies,
            effects,
        } = out;
        let compression = self.host.limits().compression;
        let now_ms = rt::time::wall_ms();
        if let Err(error) = append(&self.partition, &batches, compression, now_ms) {
            return self.break_down(error);
        }
        if !replies.is_empty() || !effects.is_empty() {
            self.give_in_time(replies, effects);
        }
        self.call_driver();
    }

    /// Calls the core; `None` if it doesn't serve.
    fn called(&self, call: impl FnOnce(&mut C, &mut World<'_>, &mut Out<C>)) -> Option<Out<C>> {
        let mut state = self.state.borrow_mut();
        let Stage::Serving(core) = &mut state.stage else {
            return None;
        };
        let mut out = Out::default();
        let mut call = Some(call);
        self.host.with_topics(&mut |topics| {
            let mut world = World {
                now: now(),
                topics,
                fresh_id: &mut Uuid::new_v4,
            };
            if let Some(call) = call.take() {
                call(core, &mut world, &mut out);
            }
        });
        Some(out)
    }

    /// Gives answers and has effects done, now or when all that is in the log now is committed.
    fn give_in_time(&self, replies: Vec<(Token, C::Reply)>, effects: Vec<C::Effect>) {
        let end = self.partition.log().end().appended();
        if self.state.borrow().held.ends_at(end) {
            return self.state.borrow_mut().held.join(replies, effects);
        }
        match self.partition.until_committed(end) {
            Err(_) => self.break_down(CoordinatorError::NotCoordinator),
            Ok(Some(committed)) => {
                let at = (end, clock_ms());
                let held = &mut self.state.borrow_mut().held;
                held.push(at, committed, replies, effects);
            }
            // What is held is committed as well, goes first, and is about to be given out.
            Ok(None) if !self.state.borrow().held.is_empty() => {
                self.state.borrow_mut().held.join(replies, effects);
            }
            Ok(None) => self.give(replies, effects),
        }
    }

    /// Gives answers to who asked, and has effects done.
    pub(super) fn give(&self, replies: Vec<(Token, C::Reply)>, effects: Vec<C::Effect>) {
        for (token, reply) in replies {
            self.answer(token, Ok(reply));
        }
        for effect in effects {
            self.host.perform(effect);
        }
    }

    /// Answers one who asked, who may have gone.
    pub(super) fn answer(&self, token: Token, answer: Answer<C>) {
        let asked = self.state.borrow_mut().asked.remove(&token);
        if let Some(sender) = asked {
            drop(sender.send(answer));
        }
    }

    /// Drops the core: what it knows isn't what the log has. It is made anew.
    pub(super) fn break_down(&self, why: CoordinatorError) {
        self.stop_at(Stage::Broken, why);
    }

    /// Leadership is over.
    pub(super) fn end(&self) {
        self.stop_at(Stage::Ended, CoordinatorError::NotCoordinator);
    }

    fn stop_at(&self, stage: Stage<C>, why: CoordinatorError) {
        let (before, asked) = {
            let mut state = self.state.borrow_mut();
            if matches!(state.stage, Stage::Ended) {
                return;
            }
            state.held.clear();
            let before = std::mem::replace(&mut state.stage, stage);
            (before, std::mem::take(&mut state.asked))
        };
        if let Stage::Serving(core) = &before {
            self.host.dropped(core);
        }
        for sender in asked.into_values() {
            drop(sender.send(Err(why)));
        }
        self.wake.notify_one();
    }

    /// Has the core look at the world soon.
    pub(super) fn look(&self) {
        self.state.borrow_mut().news = true;
        self.wake.notify_one();
    }

    /// Takes the settings in force.
    pub(super) fn settings_changed(&self) {
        let settings = self.host.settings(self.partition.leader_epoch());
        if let Stage::Serving(core) = &mut self.state.borrow_mut().stage {
            core.set_settings(settings);
        }
        self.look();
    }

    /// The end of a producer's transaction was appended to the partition. A core that is being made finds
    /// it in the log.
    pub(super) fn transaction_ended(&self, id: i64, epoch: i16, committed: bool) {
        self.state
            .borrow_mut()
            .joining
            .retain(|_, producer| *producer != id);
        if let Stage::Serving(core) = &mut self.state.borrow_mut().stage {
            core.transaction_ended(id, epoch, committed);
        }
        self.look();
    }

    /// Wakes the driver if there is something that it doesn't wait for already.
    fn call_driver(&self) {
        let needed = {
            let state = self.state.borrow();
            let Stage::Serving(core) = &state.stage else {
                return;
            };
            let due = state.held.due_ms(self.host.limits().commit_timeout_ms);
            let due = core.deadline().into_iter().chain(due).min();
            let sooner = due.is_some_and(|due| state.armed_ms.is_none_or(|armed| due < armed));
            sooner || (!state.watches && !state.held.is_empty())
        };
        if needed {
            self.wake.notify_one();
        }
    }
}
