//! Offsets against a plain map of them.

use std::collections::BTreeMap;

use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use proptest::prelude::*;

use crate::Ask;
use crate::tests::requests::{commit, commit_of, group_id, topic_name};
use crate::tests::rig::Rig;

#[derive(Clone, Debug)]
enum Op {
    Commit {
        partition: i32,
        offset: i64,
    },
    Pending {
        producer: i64,
        partition: i32,
        offset: i64,
    },
    End {
        producer: i64,
        commit: bool,
    },
    Delete {
        partition: i32,
    },
    DeleteGroup,
    /// The topic is deleted and made again.
    Renew,
    Pass {
        days: u64,
    },
    Load {
        compacted: bool,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let partition = 0i32..4;
    let producer = 0i64..3;
    let op = prop_oneof![
        6 => (partition.clone(), 0i64..1000).prop_map(|(partition, offset)| Op::Commit { partition, offset }),
        6 => (producer.clone(), partition.clone(), 0i64..1000)
            .prop_map(|(producer, partition, offset)| Op::Pending { producer, partition, offset }),
        4 => (producer, any::<bool>()).prop_map(|(producer, commit)| Op::End { producer, commit }),
        2 => partition.prop_map(|partition| Op::Delete { partition }),
        1 => Just(Op::DeleteGroup),
        1 => Just(Op::Renew),
        2 => (0u64..5).prop_map(|days| Op::Pass { days }),
        2 => any::<bool>().prop_map(|compacted| Op::Load { compacted }),
    ];
    prop::collection::vec(op, 1..80)
}

#[derive(Clone, Copy, Debug)]
struct Commit {
    offset: i64,
    day: u64,
    written: usize,
}

/// By partition what is committed, and by producer and partition what is to be.
#[derive(Default)]
struct Model {
    committed: BTreeMap<i32, Commit>,
    pending: BTreeMap<i64, BTreeMap<i32, Commit>>,
    day: u64,
    written: usize,
}

impl Model {
    fn commit(&mut self, offset: i64) -> Commit {
        self.written += 1;
        Commit {
            offset,
            day: self.day,
            written: self.written,
        }
    }

    fn is_pending(&self, partition: i32) -> bool {
        self.pending
            .values()
            .any(|pending| pending.contains_key(&partition))
    }

    fn forget(&mut self, partition: i32) {
        self.committed.remove(&partition);
        self.pending.values_mut().for_each(|pending| {
            pending.remove(&partition);
        });
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Commit { partition, offset } => {
                let commit = self.commit(offset);
                self.committed.insert(partition, commit);
            }
            Op::Pending {
                producer,
                partition,
                offset,
            } => {
                let commit = self.commit(offset);
                self.pending
                    .entry(producer)
                    .or_default()
                    .insert(partition, commit);
            }
            Op::End { producer, commit } => {
                for (partition, pending) in self.pending.remove(&producer).unwrap_or_default() {
                    let old = self.committed.get(&partition);
                    if commit && old.is_none_or(|old| old.written < pending.written) {
                        self.committed.insert(partition, pending);
                    }
                }
            }
            Op::Delete { partition } => self.forget(partition),
            Op::DeleteGroup => (self.committed, self.pending) = Default::default(),
            Op::Renew => (0..4).for_each(|partition| self.forget(partition)),
            Op::Pass { days } => {
                self.day += days;
                let old: Vec<i32> = self
                    .committed
                    .iter()
                    .filter(|(partition, commit)| {
                        self.day - commit.day >= 7 && !self.is_pending(**partition)
                    })
                    .map(|(partition, _)| *partition)
                    .collect();
                old.iter().for_each(|partition| {
                    self.committed.remove(partition);
                });
            }
            Op::Load { .. } => {}
        }
    }
}

fn run(rig: &mut Rig, op: &Op) {
    match *op {
        Op::Commit { partition, offset } => {
            assert_eq!(rig.commit(commit(-1, "", partition, offset)), 0);
        }
        Op::Pending {
            producer,
            partition,
            offset,
        } => {
            assert_eq!(rig.commit_of(commit_of(producer, partition, offset)), 0);
        }
        Op::End { producer, commit } => rig.end_transaction(producer, commit),
        Op::Delete { partition } => {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
            let topic = OffsetDeleteRequestTopic::default()
                .with_name(topic_name("t"))
                .with_partitions(vec![partition]);
            let request = OffsetDeleteRequest::default()
                .with_group_id(group_id("g"))
                .with_topics(vec![topic]);
            rig.answer(Ask::DeleteOffsets(request));
        }
        Op::DeleteGroup => {
            rig.answer(Ask::Delete(group_id("g")));
        }
        Op::Renew => {
            rig.topics.delete("t");
            rig.tick();
            rig.pass(1_000);
            rig.topics.make("t");
            rig.tick();
        }
        Op::Pass { days } => {
            rig.now.wall_ms += days as i64 * 24 * 3_600_000;
            // The sweep is every ten minutes.
            rig.pass(600_000);
        }
        Op::Load { compacted } => {
            if compacted {
                rig.compact();
            }
            rig.load();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn offsets_are_those_of_the_plain_map(ops in ops()) {
        let mut rig = Rig::new();
        let mut model = Model::default();
        for op in &ops {
            run(&mut rig, op);
            model.run(op);
            for partition in 0..4 {
                let committed = model.committed.get(&partition).map_or(-1, |commit| commit.offset);
                prop_assert_eq!(rig.fetch(partition, false), (committed, 0));
                let stable = if model.is_pending(partition) { (-1, 88) } else { (committed, 0) };
                prop_assert_eq!(rig.fetch(partition, true), stable);
            }
            prop_assert_eq!(rig.core.figures().offsets, model.committed.len() as u64);
        }
    }
}
