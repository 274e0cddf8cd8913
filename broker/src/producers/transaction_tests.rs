#![allow(clippy::unwrap_used, clippy::expect_used)]
use batch::{Batch, BatchInfo, Builder, Compression, ControlType, NewRecord};
use proptest::prelude::*;

use super::*;

/// A batch of `count` records of a producer, as it would be stored at `base_offset`.
fn data(
    id: i64,
    epoch: i16,
    sequence: i32,
    count: usize,
    base_offset: i64,
    txn: bool,
) -> BatchInfo {
    let mut builder = Builder::new(Compression::None).producer(id, epoch, sequence);
    if txn {
        builder = builder.transactional();
    }
    for _ in 0..count {
        builder.push(NewRecord::default());
    }
    let bytes = builder.build().unwrap();
    Batch::parse(&bytes).unwrap().info().stamped(base_offset, 0)
}

fn marker(id: i64, epoch: i16, coordinator: i32, commit: bool, offset: i64) -> BatchInfo {
    let outcome = if commit {
        ControlType::Commit
    } else {
        ControlType::Abort
    };
    let bytes = Builder::end_transaction(outcome, id, epoch, coordinator, 7)
        .build()
        .unwrap();
    Batch::parse(&bytes).unwrap().info().stamped(offset, 0)
}

#[test]
fn the_oldest_open_transaction_holds_everything_back() {
    let mut producers = Producers::default();
    producers.record(&data(1, 0, 0, 2, 0, true), 5);
    producers.record(&data(2, 0, 0, 2, 2, true), 5);
    producers.record(&data(1, 0, 2, 2, 4, true), 5);
    assert_eq!(producers.first_unstable(6), Some(0));
    assert_eq!(producers.open_transactions(), 2);
    assert_eq!(producers.record(&marker(1, 0, 3, true, 6), 5), None);
    // Its end is not committed yet.
    assert_eq!(producers.first_unstable(6), Some(0));
    assert_eq!(producers.first_unstable(7), Some(2));
    producers.committed(7);
    assert_eq!(producers.first_unstable(7), Some(2));
    let aborted = producers.record(&marker(2, 0, 3, false, 7), 5).unwrap();
    assert_eq!(
        aborted,
        AbortedTransaction {
            producer_id: 2,
            first_offset: 2,
            last_offset: 7,
            last_stable_offset: 8
        }
    );
    assert_eq!(producers.first_unstable(7), Some(2));
    assert_eq!(producers.first_unstable(8), None);
}

#[test]
fn an_aborted_transaction_tells_where_the_next_one_had_begun() {
    let mut producers = Producers::default();
    producers.record(&data(1, 0, 0, 1, 0, true), 5);
    producers.record(&data(2, 0, 0, 1, 1, true), 5);
    let aborted = producers.record(&marker(1, 0, 3, false, 2), 5).unwrap();
    assert_eq!(aborted.last_stable_offset, 1);
}

#[test]
fn a_marker_without_a_transaction_leaves_only_the_epochs() {
    let mut producers = Producers::default();
    assert_eq!(producers.record(&marker(1, 4, 3, false, 0), 5), None);
    assert_eq!(producers.first_unstable(0), None);
    assert!(matches!(
        producers.check(&data(1, 3, 0, 1, 0, true)),
        Err(ProducerError::OldEpoch { current: 4, .. })
    ));
    assert!(matches!(
        producers.check_end(1, 4, 2),
        Err(ProducerError::OldCoordinator {
            current: 3,
            found: 2,
            ..
        })
    ));
    assert_eq!(producers.check_end(1, 4, 3), Ok(()));
    assert!(matches!(
        producers.check_end(1, 3, 3),
        Err(ProducerError::OldEpoch { .. })
    ));
}

#[test]
fn the_epoch_of_a_marker_begins_the_numbers_anew() {
    let mut producers = Producers::default();
    producers.record(&data(1, 0, 0, 3, 0, true), 5);
    producers.record(&marker(1, 1, 0, true, 3), 5);
    assert!(matches!(
        producers.check(&data(1, 1, 3, 1, 0, true)),
        Err(ProducerError::OutOfOrder {
            expected: 0,
            found: 3,
            ..
        })
    ));
    assert_eq!(
        producers.check(&data(1, 1, 0, 1, 0, true)),
        Ok(Verdict::Append)
    );
    // One of the same epoch doesn't.
    producers.record(&data(1, 1, 0, 1, 4, true), 5);
    producers.record(&marker(1, 1, 0, true, 5), 5);
    assert_eq!(
        producers.check(&data(1, 1, 1, 1, 0, true)),
        Ok(Verdict::Append)
    );
}

#[test]
fn nothing_is_written_beside_an_open_transaction() {
    let mut producers = Producers::default();
    producers.record(&data(1, 0, 0, 1, 0, true), 5);
    assert!(producers.has_open(1, 0) && !producers.has_open(1, 1));
    let outside = data(1, 0, 1, 1, 0, false);
    let refused = ProducerError::NotTransactional {
        producer_id: 1,
        first_offset: 0,
    };
    assert_eq!(producers.check(&outside), Err(refused));
    assert_eq!(producers.check_own(&outside), Err(refused));
    assert_eq!(
        producers.check(&data(1, 0, 1, 1, 0, true)),
        Ok(Verdict::Append)
    );
}

#[test]
fn a_coordinators_batches_have_no_numbers() {
    let mut producers = Producers::default();
    for offset in 0..3 {
        let own = data(1, 0, -1, 1, offset, true);
        assert_eq!(producers.check_own(&own), Ok(()));
        producers.record(&own, 5);
    }
    assert_eq!(producers.first_unstable(3), Some(0));
    assert_eq!(producers.describe().next().unwrap().last_sequence, -1);
}

#[test]
fn who_has_a_transaction_open_does_not_expire() {
    let mut producers = Producers::default();
    producers.record(&data(1, 0, 0, 1, 0, true), 0);
    producers.record(&data(2, 0, 0, 1, 1, false), 0);
    producers.expire(10_000, 1_000);
    assert_eq!(producers.len(), 1);
    producers.record(&marker(1, 0, 0, true, 2), 10_000);
    producers.expire(11_000, 1_000);
    assert!(producers.is_empty());
}

#[test]
fn kafkas_snapshot_tells_of_open_transactions() {
    let mut body = 1i32.to_be_bytes().to_vec();
    body.extend_from_slice(&4000i64.to_be_bytes());
    body.extend_from_slice(&2i16.to_be_bytes());
    body.extend_from_slice(&4i32.to_be_bytes());
    body.extend_from_slice(&77i64.to_be_bytes());
    body.extend_from_slice(&2i32.to_be_bytes());
    body.extend_from_slice(&123i64.to_be_bytes());
    body.extend_from_slice(&6i32.to_be_bytes());
    body.extend_from_slice(&70i64.to_be_bytes());
    let mut bytes = 1i16.to_be_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    let producers = Producers::from_snapshot(&bytes).unwrap();
    let expected = Description {
        producer_id: 4000,
        epoch: 2,
        last_sequence: 4,
        last_used_ms: 123,
        coordinator_epoch: 6,
        open: Some(70),
    };
    assert_eq!(producers.describe().collect::<Vec<_>>(), [expected]);
    assert_eq!(producers.first_unstable(78), Some(70));
}

/// What may happen to a log.
#[derive(Clone, Debug)]
enum Step {
    Data {
        id: i64,
        bump: bool,
        count: usize,
        txn: bool,
    },
    Own {
        id: i64,
    },
    End {
        id: i64,
        bump: bool,
        commit: bool,
    },
    /// The log is stable up to this part of what isn't yet.
    Settle(u8),
    /// This part of what isn't stable is taken back.
    TakeBack(u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0i64..4, prop::bool::weighted(0.1), 1usize..4, any::<bool>())
            .prop_map(|(id, bump, count, txn)| Step::Data { id, bump, count, txn }),
        1 => (0i64..4).prop_map(|id| Step::Own { id }),
        3 => (0i64..4, any::<bool>(), any::<bool>())
            .prop_map(|(id, bump, commit)| Step::End { id, bump, commit }),
        1 => any::<u8>().prop_map(Step::Settle),
        1 => any::<u8>().prop_map(Step::TakeBack),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

/// A log, and what is known of its producers.
#[derive(Default)]
struct World {
    log: Vec<BatchInfo>,
    stable: usize,
    live: Producers,
    aborted: Vec<AbortedTransaction>,
}

impl World {
    fn end(&self) -> i64 {
        self.log.last().map_or(0, BatchInfo::next_offset)
    }

    fn append(&mut self, info: BatchInfo) {
        self.aborted
            .extend(self.live.record(&info, info.base_offset));
        self.log.push(info);
    }

    fn rebuilt(&self) -> (Producers, Vec<AbortedTransaction>) {
        let mut producers = Producers::default();
        let told = |info: &BatchInfo| producers.record(info, info.base_offset);
        let aborted = self.log.iter().filter_map(told).collect();
        (producers, aborted)
    }

    fn step(&mut self, step: Step) {
        let known = |world: &Self, id| {
            let mut all = world.live.describe();
            all.find(|known| known.producer_id == id)
        };
        let end = self.end();
        match step {
            Step::Data {
                id,
                bump,
                count,
                txn,
            } => {
                let before = known(self, id);
                let epoch = before.map_or(0, |p| p.epoch) + i16::from(bump);
                let sequence = before.filter(|_| !bump).map_or(0, |p| p.last_sequence + 1);
                let info = data(id, epoch, sequence, count, end, txn);
                if self.live.check(&info) == Ok(Verdict::Append) {
                    self.append(info);
                } else {
                    assert!(before.is_some_and(|p| p.open.is_some() && !txn));
                }
            }
            Step::Own { id } => {
                let epoch = known(self, id).map_or(0, |p| p.epoch);
                let info = data(id, epoch, -1, 1, end, true);
                self.live.check_own(&info).unwrap();
                self.append(info);
            }
            Step::End { id, bump, commit } => {
                let epoch = known(self, id).map_or(0, |p| p.epoch) + i16::from(bump);
                self.live.check_end(id, epoch, 1).unwrap();
                self.append(marker(id, epoch, 1, commit, end));
            }
            Step::Settle(part) => {
                let unstable = self.log.len() - self.stable;
                self.stable += unstable * usize::from(part) / 255;
                let upto = self.log[..self.stable]
                    .last()
                    .map_or(0, BatchInfo::next_offset);
                self.live.settled(upto);
                self.live.committed(upto);
            }
            Step::TakeBack(part) => {
                let unstable = self.log.len() - self.stable;
                let keep = self.stable + unstable * usize::from(part) / 255;
                self.log.truncate(keep);
                let end = self.end();
                self.live.take_back(end);
                self.aborted.retain(|aborted| aborted.last_offset < end);
            }
            Step::Restart => {
                self.live = Producers::from_snapshot(&self.live.to_snapshot()).unwrap();
                self.stable = self.log.len();
            }
        }
    }

    /// The last stable offset by its definition.
    fn stable_by_definition(&self, high_watermark: i64) -> Option<i64> {
        let mut open: Vec<(i64, i64)> = Vec::new();
        let mut held = Vec::new();
        for info in &self.log {
            let at = open.iter().position(|(id, _)| *id == info.producer_id);
            match (at, info.marker) {
                (Some(at), Some(_)) => {
                    let (_, first) = open.remove(at);
                    if info.base_offset >= high_watermark {
                        held.push(first);
                    }
                }
                (None, None) if info.attributes.is_transactional() => {
                    open.push((info.producer_id, info.base_offset));
                }
                _ => {}
            }
        }
        let open = open.into_iter().map(|(_, first)| first);
        open.chain(held).min()
    }
}

proptest! {
    #[test]
    fn what_is_known_is_what_the_log_says(steps in steps()) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
            let (mut rebuilt, aborted) = world.rebuilt();
            let stable = world.log[..world.stable].last().map_or(0, BatchInfo::next_offset);
            rebuilt.committed(stable);
            world.live.committed(stable);
            prop_assert_eq!(&world.live, &rebuilt);
            prop_assert_eq!(&world.aborted, &aborted);
            for high_watermark in stable..=world.end() {
                prop_assert_eq!(
                    world.live.first_unstable(high_watermark),
                    world.stable_by_definition(high_watermark)
                );
            }
        }
    }
}
