#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;

use batch::{Batch, DecompressLimit};
use proptest::prelude::*;

use super::core::{PartAnswer, Rules};
use super::*;

const SLOTS: usize = 3;
const NODE: i32 = 1;

fn rules(idempotent: bool) -> Rules {
    Rules {
        batch_bytes: 150,
        linger: 0,
        in_flight: 3,
        request_bytes: 400,
        buffer_bytes: 1 << 20,
        delivery_timeout: u64::MAX,
        retry_pause: 10,
        compression: Compression::None,
        idempotent,
    }
}

fn new_core(rules: Rules, identity: Option<ProducerIdentity>) -> Core<u32> {
    let mut core = Core::new(rules, SLOTS, identity);
    for slot in 0..SLOTS {
        core.set_leader(slot, Some(NODE));
    }
    core
}

fn append(core: &mut Core<u32>, slot: usize, number: u32, now: u64) {
    let value = number.to_be_bytes();
    core.append(slot, 1, (None, Some(&value)), number, now);
}

fn numbers(batch: &[u8]) -> Vec<u32> {
    let batch = Batch::parse(batch).unwrap();
    batch.verify_crc().unwrap();
    let records = batch.records(DecompressLimit::bytes(10_000)).unwrap();
    let values = records.iter().map(|record| record.unwrap());
    values
        .map(|record| u32::from_be_bytes(record.value().unwrap().try_into().unwrap()))
        .collect()
}

/// A broker's side of one partition, as Kafka's brokers do it.
#[derive(Default)]
struct Log {
    identity: Option<(i64, i16)>,
    next: i32,
    stored: Vec<u32>,
    /// First sequences of what was stored under this identity.
    known: Vec<i32>,
}

impl Log {
    fn take(&mut self, bytes: &[u8], idempotent: bool) -> i16 {
        let batch = Batch::parse(bytes).unwrap();
        let found = numbers(bytes);
        if idempotent {
            let identity = (batch.producer_id(), batch.producer_epoch());
            if self.identity != Some(identity) {
                (self.identity, self.next) = (Some(identity), 0);
                self.known.clear();
            }
            let sequence = batch.base_sequence();
            if self.known.contains(&sequence) {
                return 46;
            }
            if sequence != self.next {
                return 45;
            }
            self.next += found.len() as i32;
            self.known.push(sequence);
        }
        self.stored.extend(found);
        0
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Append(usize),
    Drain(Push),
    /// The oldest request is answered; this code for those of its partitions in the mask.
    Answer(i16, u8),
    /// The connection ends; so many of the requests on their way were still taken.
    Lose(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..SLOTS).prop_map(Step::Append),
        3 => prop_oneof![Just(Push::Busy), Just(Push::Linger), Just(Push::All)]
            .prop_map(Step::Drain),
        3 => (prop_oneof![Just(0_i16), Just(6), Just(7), Just(19)], 0..8_u8)
            .prop_map(|(code, mask)| Step::Answer(code, mask)),
        1 => (0..4_usize).prop_map(Step::Lose),
        1 => (1..30_u64).prop_map(Step::Pass),
    ]
}

struct World {
    core: Core<u32>,
    wire: VecDeque<Plan>,
    logs: [Log; SLOTS],
    sent: [Vec<u32>; SLOTS],
    outcomes: Vec<Outcome<u32>>,
    now: u64,
    idempotent: bool,
}

impl World {
    fn new(rules: Rules) -> Self {
        let idempotent = rules.idempotent;
        let identity = idempotent.then_some(ProducerIdentity { id: 5, epoch: 0 });
        Self {
            core: new_core(rules, identity),
            wire: VecDeque::new(),
            logs: Default::default(),
            sent: Default::default(),
            outcomes: Vec::new(),
            now: 0,
            idempotent,
        }
    }

    fn do_step(&mut self, step: Step) {
        match step {
            Step::Append(slot) => {
                let number = self.sent[slot].len() as u32;
                self.sent[slot].push(number);
                append(&mut self.core, slot, number, self.now);
            }
            Step::Drain(push) => {
                while let Some(plan) = self.core.drain(NODE, self.now, push) {
                    self.wire.push_back(plan);
                }
                assert!(self.wire.len() <= 3, "more than may be on their way");
            }
            Step::Answer(code, mask) => self.answer(code, mask),
            Step::Lose(taken) => {
                for (at, plan) in std::mem::take(&mut self.wire).into_iter().enumerate() {
                    for (slot, batch) in &plan.batches {
                        if at < taken {
                            self.logs[*slot].take(batch, self.idempotent);
                        }
                    }
                    self.core.lost(plan.request, "gone", self.now);
                }
            }
            Step::Pass(time) => self.now += time,
        }
        while let Some(outcome) = self.core.next_outcome() {
            self.outcomes.push(outcome);
        }
    }

    fn answer(&mut self, code: i16, mask: u8) {
        let Some(plan) = self.wire.pop_front() else {
            return;
        };
        let mut answers = Vec::new();
        for (slot, batch) in &plan.batches {
            let code = match code {
                0 => self.logs[*slot].take(batch, self.idempotent),
                _ if mask & (1 << slot) == 0 => self.logs[*slot].take(batch, self.idempotent),
                7 => {
                    // Timed out waiting for replicas: it is there all the same.
                    self.logs[*slot].take(batch, self.idempotent);
                    7
                }
                code => code,
            };
            answers.push(PartAnswer {
                slot: *slot,
                code,
                message: None,
            });
        }
        self.core.answered(plan.request, &answers, self.now);
    }

    /// Lets everything come right.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.core.is_idle() {
                break;
            }
            self.do_step(Step::Pass(10));
            self.do_step(Step::Drain(Push::All));
            self.do_step(Step::Answer(0, 0));
        }
        assert!(self.core.is_idle() && self.wire.is_empty());
    }

    fn outcomes_of(&self, slot: usize) -> Vec<u32> {
        let of_slot = self.outcomes.iter().filter(|outcome| outcome.slot == slot);
        of_slot
            .flat_map(|outcome| outcome.tickets.clone())
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn with_an_identity_everything_is_stored_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(rules(true));
        for step in steps {
            world.do_step(step);
        }
        world.finish();
        for slot in 0..SLOTS {
            prop_assert_eq!(&world.logs[slot].stored, &world.sent[slot]);
            // Their order says nothing: a batch may be known to be stored before the one it follows.
            let mut back = world.outcomes_of(slot);
            back.sort_unstable();
            prop_assert_eq!(&back, &world.sent[slot]);
        }
        prop_assert!(world.outcomes.iter().all(|outcome| outcome.result.is_ok()));
    }

    #[test]
    fn without_one_nothing_is_lost_and_every_ticket_comes_back_once(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(rules(false));
        for step in steps {
            world.do_step(step);
        }
        world.finish();
        for slot in 0..SLOTS {
            let mut stored = world.logs[slot].stored.clone();
            stored.sort_unstable();
            stored.dedup();
            prop_assert_eq!(&stored, &world.sent[slot]);
            let mut back = world.outcomes_of(slot);
            back.sort_unstable();
            prop_assert_eq!(&back, &world.sent[slot]);
        }
    }

    #[test]
    fn what_takes_too_long_comes_back_failed_once(
        steps in proptest::collection::vec(step(), 1..150),
        timeout in 1..200_u64,
    ) {
        let mut world = World::new(Rules { delivery_timeout: timeout, ..rules(false) });
        for step in steps {
            world.do_step(step);
            world.core.expire(world.now, None);
        }
        world.do_step(Step::Lose(0));
        world.do_step(Step::Pass(timeout + 20));
        world.core.expire(world.now, None);
        world.do_step(Step::Pass(0));
        prop_assert!(world.core.is_idle());
        prop_assert_eq!(world.core.ready_bytes(), 0);
        for slot in 0..SLOTS {
            let mut back = world.outcomes_of(slot);
            back.sort_unstable();
            prop_assert_eq!(&back, &world.sent[slot]);
        }
    }
}

#[test]
fn a_request_has_one_batch_of_each_partition_up_to_its_size() {
    let mut core = new_core(rules(false), None);
    for number in 0..40 {
        append(&mut core, number as usize % SLOTS, number, 0);
    }
    let mut requests = 0;
    while let Some(plan) = core.drain(NODE, 0, Push::Busy) {
        requests += 1;
        let slots: Vec<_> = plan.batches.iter().map(|(slot, _)| *slot).collect();
        assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "{slots:?}");
        let bytes: usize = plan.batches.iter().map(|(_, batch)| batch.len()).sum();
        assert!(bytes <= 400, "{bytes}");
        assert!(core.drain(NODE + 1, 0, Push::All).is_none());
    }
    assert!(requests >= 1);
}

#[test]
fn a_batch_that_is_not_full_waits_for_linger() {
    let mut core = new_core(
        Rules {
            linger: 100,
            ..rules(false)
        },
        None,
    );
    append(&mut core, 0, 1, 50);
    assert_eq!(core.next_due(60), Some(150));
    assert!(core.drain(NODE, 149, Push::Linger).is_none());
    assert!(core.drain(NODE, 150, Push::Busy).is_none());
    assert!(core.drain(NODE, 150, Push::Linger).is_some());
}

#[test]
fn a_lost_batch_costs_the_identity_and_the_rest_goes_on_under_another() {
    let mut core = new_core(rules(true), Some(ProducerIdentity { id: 5, epoch: 0 }));
    append(&mut core, 0, 1, 0);
    let plan = core.drain(NODE, 0, Push::All).unwrap();
    append(&mut core, 0, 2, 0);
    let other = core.drain(NODE, 0, Push::All).unwrap();
    append(&mut core, 0, 3, 0);
    let answer = |code| {
        [PartAnswer {
            slot: 0,
            code,
            message: Some("no".to_owned()),
        }]
    };
    core.answered(plan.request, &answer(10), 0);
    assert!(core.next_outcome().unwrap().result.is_err());
    assert!(!core.wants_identity(), "another is on its way");
    core.lost(other.request, "gone", 0);
    assert!(core.drain(NODE, 100, Push::All).is_none());
    assert!(core.wants_identity());
    core.set_identity(ProducerIdentity { id: 6, epoch: 0 });
    drop(other);
    for (expected, sequence) in [(2, 0), (3, 1)] {
        let plan = core.drain(NODE, 100, Push::All).unwrap();
        let batch = Batch::parse(&plan.batches[0].1).unwrap();
        assert_eq!(numbers(batch.bytes()), [expected]);
        assert_eq!((batch.producer_id(), batch.base_sequence()), (6, sequence));
        core.answered(plan.request, &answer(0), 100);
    }
}
