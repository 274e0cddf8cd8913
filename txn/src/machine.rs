//! The coordinator of one partition: what it is asked finds its transactional id here.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::{Batch, Core, Out, Record, Replayed, Token, World};
use kafka_protocol::ResponseError;

use crate::api::{
    Ask, Decision, Effect, InTransaction, Init, Markers, Partitions, Reply, Settings,
};
use crate::figures::Figures;
use crate::list;
use crate::schema;
use crate::state::State;
use crate::transaction::{Transaction, is_last_epoch};

/// Tombstones of so many bytes go into one batch, which is far less than a batch may have.
const TOMBSTONES_MAX: usize = 128 << 10;

/// The coordinator of the transactional ids of one partition.
pub struct Transactions {
    pub(crate) settings: Settings,
    pub(crate) known: BTreeMap<String, Transaction>,
    /// The ongoing transactions by the time they are to be aborted, in milliseconds since 1970.
    timeouts: BTreeSet<(i64, String)>,
    /// When timed out transactions are looked for next, of the clock that never jumps.
    next_abort: u64,
    /// The last decision.
    decided: Decision,
    /// When ids that nobody uses any more are looked for next, of the same clock.
    next_expiry: u64,
    /// What was done; what there is isn't kept in here.
    pub(crate) figures: Figures,
}

type Step = Out<Transactions>;

impl Core for Transactions {
    type Ask = Ask;
    type Reply = Reply;
    type Effect = Effect;
    type Settings = Settings;

    fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            decided: Decision::default(),
            next_abort: 0,
            next_expiry: 0,
            figures: Figures::default(),
        }
    }

    fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let Some(id) = schema::read_key(record.key).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let before = self.known.get(&id).and_then(Transaction::times_out_at);
        match record.value {
            Some(value) => {
                let transaction = schema::read_value(value).map_err(|error| error.to_string())?;
                self.known.insert(id.clone(), transaction);
            }
            None => drop(self.known.remove(&id)),
        }
        self.time(&id, before);
        Ok(())
    }

    /// Nothing in this topic is part of a transaction.
    fn transaction_ended(&mut self, _producer_id: i64, _producer_epoch: i16, _committed: bool) {}

    fn loaded(&mut self, world: &mut World<'_>, out: &mut Step) {
        self.decided.coordinator = world.id();
        self.next_abort = world.now.mono_ms + self.settings.abort_interval_ms;
        self.next_expiry = world.now.mono_ms + self.settings.expire_interval_ms;
        let prepared = self.known.iter().filter(|(_, t)| t.state.is_prepared());
        let prepared: Vec<String> = prepared.map(|(id, _)| id.clone()).collect();
        for id in prepared {
            self.go_on(&id, world.now.wall_ms, out);
        }
    }

    fn ask(&mut self, world: &mut World<'_>, from: Token, ask: Ask, out: &mut Step) {
        let now = world.now.wall_ms;
        let reply = match ask {
            Ask::Init(init) => self.init(init, now, out),
            Ask::Add(adding) => Reply::Add(self.add(&adding, now, out)),
            Ask::Verify(asked) => Reply::Verify(self.verify(&asked)),
            Ask::End(end) => self.end(&end, now, out),
            Ask::Written(markers) => Reply::Written(self.written(&markers, now, out)),
            Ask::Describe(id) => Reply::Describe(list::describe(&self.known, &id)),
            Ask::List(request) => Reply::List(list::list(&self.known, &request, now)),
        };
        out.reply(from, reply);
    }

    fn tick(&mut self, world: &mut World<'_>, out: &mut Step) {
        let now = world.now;
        if now.mono_ms >= self.next_abort {
            self.next_abort = now.mono_ms + self.settings.abort_interval_ms;
            self.abort_timed_out(now.wall_ms, out);
        }
        if now.mono_ms >= self.next_expiry {
            self.next_expiry = now.mono_ms + self.settings.expire_interval_ms;
            self.forget_unused(now.wall_ms, out);
        }
    }

    fn deadline(&self) -> Option<u64> {
        let abort = (!self.timeouts.is_empty()).then_some(self.next_abort);
        let expiry = (!self.known.is_empty()).then_some(self.next_expiry);
        abort.into_iter().chain(expiry).min()
    }
}

impl Transactions {
    /// Puts a transactional id that was to be aborted at `before` into its place among the timeouts.
    fn time(&mut self, id: &str, before: Option<i64>) {
        let after = self.known.get(id).and_then(Transaction::times_out_at);
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.timeouts.remove(&(at, id.to_owned()));
        }
        if let Some(at) = after {
            self.timeouts.insert((at, id.to_owned()));
        }
    }

    /// Changes a transactional id that is known, and writes what it is now.
    pub(crate) fn change<R>(
        &mut self,
        id: &str,
        out: &mut Step,
        change: impl FnOnce(&mut Transaction) -> R,
    ) -> Option<R> {
        let transaction = self.known.get_mut(id)?;
        let before = transaction.times_out_at();
        let done = change(transaction);
        out.write(Record {
            key: schema::key(id),
            value: Some(schema::value(transaction)),
        });
        self.time(id, before);
        Some(done)
    }

    fn init(&mut self, init: Init, now: i64, out: &mut Step) -> Reply {
        let timeout = init.timeout_ms;
        if timeout <= 0 || timeout > self.settings.max_timeout_ms {
            return Reply::Init(Err(ResponseError::InvalidTransactionTimeout));
        }
        let id = init.transactional_id;
        if i16::try_from(id.len()).is_err() {
            return Reply::Init(Err(ResponseError::InvalidRequest));
        }
        let Some(known) = self.known.get(&id) else {
            let Some(fresh) = init.fresh_id else {
                return Reply::NeedsProducerId;
            };
            self.known
                .insert(id.clone(), Transaction::new(fresh, timeout, now));
            let expected = init.expected.map(|producer| producer.epoch);
            return self.begin(&id, timeout, expected, now, out);
        };
        if known.state.is_prepared() {
            return Reply::Init(Err(ResponseError::ConcurrentTransactions));
        }
        if init.expected.is_some_and(|it| !known.may_begin(it)) {
            return Reply::Init(Err(ResponseError::ProducerFenced));
        }
        let expected = init.expected.map(|producer| producer.epoch);
        match known.state {
            State::Ongoing => {
                // It has to ask again, when the transaction has been aborted.
                self.figures.fenced += 1;
                self.fence(&id, now, out);
                Reply::Init(Err(ResponseError::ConcurrentTransactions))
            }
            _ => {
                let epoch = known.producer.epoch;
                if !is_last_epoch(epoch) || expected.is_some_and(|it| it != epoch) {
                    return self.begin(&id, timeout, expected, now, out);
                }
                let Some(fresh) = init.fresh_id else {
                    return Reply::NeedsProducerId;
                };
                let begun = self.change(&id, out, |transaction| {
                    transaction.begin_with(fresh, timeout, expected.is_some(), now);
                    transaction.producer
                });
                Reply::Init(begun.ok_or(ResponseError::UnknownServerError))
            }
        }
    }

    fn begin(
        &mut self,
        id: &str,
        timeout: i32,
        expected: Option<i16>,
        now: i64,
        out: &mut Step,
    ) -> Reply {
        let Some(known) = self.known.get(id) else {
            return Reply::Init(Err(ResponseError::UnknownServerError));
        };
        // Tried on a copy, so that nothing is written that was refused.
        let mut begun = known.clone();
        if let Err(error) = begun.begin(timeout, expected, now) {
            return Reply::Init(Err(error));
        }
        let producer = begun.producer;
        self.change(id, out, |transaction| *transaction = begun);
        Reply::Init(Ok(producer))
    }

    fn add(
        &mut self,
        adding: &InTransaction,
        now: i64,
        out: &mut Step,
    ) -> Result<(), ResponseError> {
        let known = self.owned(adding)?;
        if known.state == State::Ongoing && known.has(&adding.partitions) {
            return Ok(());
        }
        self.change(&adding.transactional_id, out, |transaction| {
            transaction.add(&adding.partitions, adding.version, now);
        });
        Ok(())
    }

    fn verify(&self, asked: &InTransaction) -> Result<Partitions, ResponseError> {
        Ok(self.owned(asked)?.lacks(&asked.partitions))
    }

    /// The transaction that this producer may write in.
    fn owned(&self, asked: &InTransaction) -> Result<&Transaction, ResponseError> {
        let known = self.known.get(&asked.transactional_id);
        let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
        if known.producer.id != asked.producer.id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if known.producer.epoch != asked.producer.epoch {
            Err(ResponseError::ProducerFenced)
        } else if known.state.is_prepared() {
            Err(ResponseError::ConcurrentTransactions)
        } else {
            Ok(known)
        }
    }

    /// Has the markers of a transaction that was decided written, or ends it where there are none.
    pub(crate) fn go_on(&mut self, id: &str, now: i64, out: &mut Step) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        if known.partitions.is_empty() {
            self.change(id, out, |transaction| transaction.complete(now));
            return;
        }
        self.decided.number += 1;
        known.decision = self.decided;
        out.effects.push(Effect::Write(Markers {
            transactional_id: id.to_owned(),
            producer: known.producer,
            coordinator_epoch: self.settings.coordinator_epoch,
            decision: known.decision,
            commit: known.state == State::PrepareCommit,
            partitions: known.partitions.clone(),
        }));
    }

    fn written(&mut self, markers: &Markers, now: i64, out: &mut Step) -> bool {
        let id = &markers.transactional_id;
        let known = self.known.get_mut(id);
        let known =
            known.filter(|known| known.state.is_prepared() && known.decision == markers.decision);
        let Some(known) = known else {
            return false;
        };
        // Which ones are still waited for is nothing that has to be in the log: a coordinator that
        // takes over has all of them written again.
        for (topic, done) in &markers.partitions {
            if let Some(waiting) = known.partitions.get_mut(topic) {
                waiting.retain(|index| !done.contains(index));
                if waiting.is_empty() {
                    known.partitions.remove(topic);
                }
            }
        }
        if known.partitions.is_empty() {
            self.go_on(id, now, out);
        }
        true
    }

    fn abort_timed_out(&mut self, now: i64, out: &mut Step) {
        while let Some((at, id)) = self.timeouts.first() {
            if *at >= now {
                return;
            }
            let id = id.clone();
            self.figures.timed_out += 1;
            self.fence(&id, now, out);
        }
    }

    fn forget_unused(&mut self, now: i64, out: &mut Step) {
        let oldest = now.saturating_sub(self.settings.id_expiration_ms);
        let unused = self
            .known
            .iter()
            .filter(|(_, known)| known.state.can_expire() && known.updated_ms <= oldest);
        let unused: Vec<String> = unused.map(|(id, _)| id.clone()).collect();
        let (mut records, mut bytes) = (Vec::new(), 0);
        for id in unused {
            self.known.remove(&id);
            bytes += id.len();
            records.push(Record {
                key: schema::key(&id),
                value: None,
            });
            if bytes >= TOMBSTONES_MAX {
                out.batches.push(plain(std::mem::take(&mut records)));
                bytes = 0;
            }
        }
        if !records.is_empty() {
            out.batches.push(plain(records));
        }
    }
}

fn plain(records: Vec<Record>) -> Batch {
    Batch {
        producer: None,
        records,
    }
}
