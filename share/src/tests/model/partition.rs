//! A share-partition against a slot for each offset, with writes that fail, locks that are over and leaders that
//! are lost. Besides: what was acknowledged never comes again, and what wasn't is not lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::naive::{Is, Naive, Stored};
use crate::partition::{
    AckBatch, Acquire, Settings, SharePartition, StateBatch, StoredState, Ticket, Write,
};
use crate::state::combine::combine;

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Stored,
    Failed,
    /// It is stored, but that isn't known.
    Unheard,
}

#[derive(Clone, Debug)]
enum Op {
    Acquire {
        member: u128,
        batches: usize,
        max_records: u32,
        batch_size: u32,
        /// With what was read the last time.
        again: bool,
    },
    /// Of what the member holds.
    Acknowledge {
        member: u128,
        skip: usize,
        types: Vec<i8>,
        one_type: bool,
    },
    /// Of any offsets near those in flight.
    Wild {
        member: u128,
        from: i64,
        length: i64,
        types: Vec<i8>,
    },
    Release {
        member: u128,
    },
    Pass {
        ms: u64,
    },
    Write,
    Written(Outcome),
    LogStart {
        by: i64,
    },
    Settings(Settings),
    Reload {
        outcome: Outcome,
    },
}

fn settings() -> impl Strategy<Value = Settings> {
    (1u32..30, 1i16..4, 50u64..200).prop_map(|(max_in_flight, max_deliveries, lock_ms)| Settings {
        max_in_flight,
        max_deliveries,
        lock_ms,
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let member = 1u128..4;
    let outcome = prop_oneof![
        6 => Just(Outcome::Stored),
        2 => Just(Outcome::Failed),
        2 => Just(Outcome::Unheard)
    ];
    let op = prop_oneof![
        12 => (member.clone(), 1usize..6, 0u32..15, 1u32..8, prop::bool::weighted(0.2)).prop_map(
            |(member, batches, max_records, batch_size, again)| Op::Acquire {
                member, batches, max_records, batch_size, again
            }
        ),
        12 => (member.clone(), 0usize..8, prop::collection::vec(0i8..4, 1..10), any::<bool>()).prop_map(
            |(member, skip, types, one_type)| Op::Acknowledge { member, skip, types, one_type }
        ),
        2 => (member.clone(), -6i64..30, -1i64..9, prop::collection::vec(-1i8..5, 0..10)).prop_map(
            |(member, from, length, types)| Op::Wild { member, from, length, types }
        ),
        2 => member.prop_map(|member| Op::Release { member }),
        3 => (0u64..120).prop_map(|ms| Op::Pass { ms }),
        10 => Just(Op::Write),
        10 => outcome.clone().prop_map(Op::Written),
        1 => (0i64..12).prop_map(|by| Op::LogStart { by }),
        1 => settings().prop_map(Op::Settings),
        2 => outcome.prop_map(|outcome| Op::Reload { outcome }),
    ];
    prop::collection::vec(op, 1..120)
}

/// Record batches: the length of each, how many offsets are missing after it, and whether it was aborted.
fn log() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    let gap = prop_oneof![4 => Just(0i64), 1 => 1i64..5];
    let batch = (1i64..8, gap, prop::bool::weighted(0.1));
    prop::collection::vec(batch, 1..60)
}

/// A share-partition, its model, its log, and what was stored of it.
struct Subject {
    real: SharePartition,
    naive: Naive,
    log: Vec<(i64, i64)>,
    aborted: Vec<(i64, i64)>,
    log_start: i64,
    now_ms: u64,
    last_read: (i64, Vec<(i64, i64)>),
    out: Option<Write>,
    /// Whether the share coordinator's own rule for what counts is used, or the last word counts.
    combines: bool,
    stored_start: i64,
    stored: Stored,
    /// Offsets that were accepted, by the ticket that is waited for.
    waiting: BTreeMap<Ticket, Vec<i64>>,
    /// A member was told that these are accepted.
    accepted: BTreeSet<i64>,
    /// Nobody needs to get these any more.
    excused: BTreeSet<i64>,
}

impl Subject {
    fn new(batches: &[(i64, i64, bool)], settings: Settings, combines: bool) -> Self {
        let (mut log, mut aborted) = (Vec::new(), Vec::new());
        let mut at = 0;
        for &(length, gap, given_up) in batches {
            log.push((at, at + length - 1));
            if given_up {
                aborted.push((at, at + length - 1));
            }
            at += length + gap;
        }
        let state = StoredState {
            state_epoch: 1,
            start_offset: 0,
            batches: Vec::new(),
        };
        Self {
            real: SharePartition::new(&state, settings).unwrap(),
            naive: Naive::new(0, &BTreeMap::new(), settings),
            log,
            aborted,
            log_start: 0,
            now_ms: 0,
            last_read: (0, Vec::new()),
            out: None,
            combines,
            stored_start: 0,
            stored: BTreeMap::new(),
            waiting: BTreeMap::new(),
            accepted: BTreeSet::new(),
            excused: BTreeSet::new(),
        }
    }

    fn log_end(&self) -> i64 {
        self.log[self.log.len() - 1].1 + 1
    }

    fn acquire(&mut self, member: u128, batches: usize, max: u32, size: u32, again: bool) {
        if !again || self.last_read.1.is_empty() {
            let Some(from) = self.real.next_fetch() else {
                return;
            };
            let there = self.log.iter().copied();
            let read = there.filter(|&(_, last)| last >= from.max(self.log_start));
            self.last_read = (from, read.take(batches).collect());
        }
        let (from, read) = self.last_read.clone();
        if read.is_empty() || from > self.naive.end() || max == 0 {
            return;
        }
        let wanted = Acquire {
            member: Uuid::from_u128(member),
            now_ms: self.now_ms,
            from,
            read: &read,
            aborted: &self.aborted,
            max_records: max,
            batch_size: size,
        };
        let (in_flight, end) = (self.real.in_flight(), self.real.end_offset());
        let acquired = self.real.acquire(&wanted);
        let expected = self.naive.acquire(&wanted);
        let got: Vec<(i64, i16)> = acquired
            .iter()
            .flat_map(|got| {
                (got.first_offset..=got.last_offset).map(|offset| (offset, got.delivery_count))
            })
            .collect();
        assert_eq!(got, expected);
        for (offset, _) in &got {
            assert!(!self.accepted.contains(offset), "{offset} comes again");
        }
        // Ranges that follow each other were cut because they may be, where a record batch begins.
        for pair in acquired.windows(2) {
            let length = pair[0].last_offset - pair[0].first_offset + 1;
            let same = pair[0].last_offset + 1 == pair[1].first_offset
                && pair[0].delivery_count == pair[1].delivery_count;
            let at_batch = read.iter().any(|batch| batch.0 == pair[1].first_offset);
            if same && pair[0].delivery_count > 1 {
                assert!(length >= i64::from(size) && at_batch, "{acquired:?}");
            }
        }
        // New records only while fewer than the limit are in flight, and then to the end of a record batch.
        let limit = u64::from(self.naive.settings.max_in_flight) + 6;
        let missing = read[0].0.saturating_sub(end).max(0) as u64;
        assert!(self.real.in_flight() <= limit.max(in_flight + missing));
    }

    fn acknowledge(&mut self, member: u128, first: i64, last: i64, types: &[i8]) {
        let member = Uuid::from_u128(member);
        let batch = AckBatch {
            first_offset: first,
            last_offset: last,
            types,
        };
        let start = self.naive.start;
        let real = self.real.acknowledge(member, &[batch]);
        let naive = self.naive.acknowledge(member, &batch);
        assert_eq!(real.map(|ticket| ticket.is_some()).ok(), naive, "{real:?}");
        let Ok(Some(ticket)) = real else { return };
        for (offset, at) in (first..=last)
            .zip(0..)
            .filter(|(offset, _)| *offset >= start)
        {
            let kind = types[usize::min(at, types.len() - 1)];
            if kind == 1 {
                self.waiting.entry(ticket).or_default().push(offset);
            }
            if kind != 2 {
                self.excused.insert(offset);
            }
        }
    }

    fn write(&mut self) {
        let real = self.real.next_write();
        let naive = self.naive.next_write();
        assert_eq!(real.is_some(), naive.is_some());
        let (Some(write), Some((ticket, start, said))) = (real, naive) else {
            return;
        };
        assert_eq!((write.ticket, write.start_offset), (Ticket(ticket), start));
        assert_eq!(write.state_epoch, 1);
        assert_eq!(slots(&write.batches), said);
        self.out = Some(write);
    }

    fn store(&mut self, write: &Write) {
        self.stored_start = write.start_offset;
        if self.combines {
            let known: Vec<StateBatch> = self.stored.iter().map(state_batch).collect();
            self.stored = slots(&combine(&known, &write.batches, write.start_offset));
        } else {
            self.stored = self.stored.split_off(&write.start_offset);
            self.stored.extend(slots(&write.batches));
        }
    }

    fn written(&mut self, outcome: Outcome) {
        let Some(write) = self.out.take() else { return };
        if !matches!(outcome, Outcome::Failed) {
            self.store(&write);
        }
        let known = matches!(outcome, Outcome::Stored);
        self.real.written(Ticket(write.ticket.0 + 1), known);
        self.real.written(write.ticket, known);
        self.naive.written(known);
        let waiting = self.waiting.remove(&write.ticket).unwrap_or_default();
        if known {
            self.accepted.extend(waiting);
        }
    }

    fn reload(&mut self, outcome: Outcome) {
        if let Some(write) = self.out.take()
            && !matches!(outcome, Outcome::Failed)
        {
            self.store(&write);
        }
        self.waiting.clear();
        self.excused.extend(&self.naive.worn_out);
        let settings = self.naive.settings;
        let batches = self.stored.iter();
        let state = StoredState {
            state_epoch: 1,
            start_offset: self.stored_start,
            batches: batches.map(state_batch).collect(),
        };
        self.real = SharePartition::new(&state, settings).unwrap();
        self.naive = Naive::new(self.stored_start, &self.stored, settings);
        self.last_read = (0, Vec::new());
        self.real.log_start(self.log_start);
        self.naive.log_start(self.log_start);
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Acquire {
                member,
                batches,
                max_records,
                batch_size,
                again,
            } => self.acquire(*member, *batches, *max_records, *batch_size, *again),
            Op::Acknowledge {
                member,
                skip,
                types,
                one_type,
            } => self.acknowledge_held(*member, *skip, types, *one_type),
            Op::Wild {
                member,
                from,
                length,
                types,
            } => {
                let first = self.naive.start + from;
                self.acknowledge(*member, first, first + length, types);
            }
            Op::Release { member } => {
                let member = Uuid::from_u128(*member);
                let real = self.real.release(member).is_some();
                assert_eq!(real, self.naive.release(member));
            }
            Op::Pass { ms } => {
                self.now_ms += ms;
                assert_eq!(self.real.tick(self.now_ms), self.naive.tick(self.now_ms));
            }
            Op::Write => self.write(),
            Op::Written(outcome) => self.written(*outcome),
            Op::LogStart { by } => {
                self.log_start = (self.log_start + by).min(self.log_end());
                self.real.log_start(self.log_start);
                self.naive.log_start(self.log_start);
            }
            Op::Settings(settings) => {
                self.real.set_settings(*settings);
                self.naive.settings = *settings;
            }
            Op::Reload { outcome } => self.reload(*outcome),
        }
        self.check();
    }

    fn acknowledge_held(&mut self, member: u128, skip: usize, types: &[i8], one_type: bool) {
        let its = |is| matches!(is, Is::Held(of, _) if of == Uuid::from_u128(member));
        let held = self.naive.slots.iter().filter(|(_, slot)| its(slot.is));
        let held: Vec<i64> = held.map(|(&offset, _)| offset).collect();
        let Some(&first) = held.get(skip % held.len().max(1)) else {
            return;
        };
        let following = (first..).zip(types);
        let length = following.take_while(|(offset, _)| held.contains(offset));
        let length = length.count();
        let types = &types[..if one_type { 1 } else { length }];
        self.acknowledge(member, first, first + length as i64 - 1, types);
    }

    fn check(&self) {
        assert_eq!(self.real.next_fetch(), self.naive.next_fetch());
        assert_eq!(self.real.start_offset(), self.naive.start);
        assert_eq!(self.real.end_offset(), self.naive.end());
        assert_eq!(self.real.deadline(), self.naive.deadline());
    }

    /// Everything that is left is delivered and accepted.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.run(&Op::Pass { ms: 1_000 });
            self.run(&Op::Write);
            self.run(&Op::Written(Outcome::Stored));
            self.acquire(9, 100, 1_000, 1_000, false);
            let held = |is| matches!(is, Is::Held(..));
            let slots = self.naive.slots.iter();
            let held: Vec<i64> = slots.filter(|s| held(s.1.is)).map(|s| *s.0).collect();
            for offset in held {
                self.acknowledge(9, offset, offset, &[1]);
            }
            self.run(&Op::Write);
            self.run(&Op::Written(Outcome::Stored));
            if self.real.start_offset() >= self.log_end() {
                break;
            }
        }
        self.excused.extend(&self.naive.worn_out);
        for &(first, last) in &self.log {
            let aborted = self.aborted.contains(&(first, last));
            for offset in first.max(self.log_start)..=last {
                assert!(
                    aborted || self.excused.contains(&offset),
                    "{offset} was lost"
                );
            }
        }
        assert_eq!(self.real.start_offset(), self.log_end());
    }
}

fn state_batch((&offset, of): (&i64, &(i8, i16))) -> StateBatch {
    let &(delivery_state, delivery_count) = of;
    StateBatch {
        first_offset: offset,
        last_offset: offset,
        delivery_state,
        delivery_count,
    }
}

fn slots(batches: &[StateBatch]) -> Stored {
    let mut slots = Stored::new();
    for batch in batches {
        for offset in batch.first_offset..=batch.last_offset {
            let of = (batch.delivery_state, batch.delivery_count);
            assert_eq!(slots.insert(offset, of), None);
        }
    }
    slots
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_share_partition_is_what_its_offsets_are(
        log in log(),
        settings in settings(),
        ops in ops(),
        combines in any::<bool>(),
    ) {
        let mut subject = Subject::new(&log, settings, combines);
        for op in &ops {
            subject.run(op);
        }
        subject.finish();
    }
}
