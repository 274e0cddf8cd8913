//! The coordinator of groups, without its shell: what a request costs the shard besides the way there, the
//! append and the answer's way back.
//!
//! A figure holds the decision, the encoding of its records and the answer as a structure. Nothing is
//! decoded, nothing is written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use benches::{Bench, is_full};
use bytes::Bytes;
use coordinator::{Core, Now, Out, Record, Replayed, Token, Topic, Topics, World};
use criterion::{BatchSize, Throughput};
use group::{Ask, Asker, Groups, Reply, Settings};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Topics that are there whatever they are called.
struct All;

impl Topics for All {
    fn version(&self) -> i64 {
        0
    }

    fn by_name(&self, _: &str) -> Option<Topic> {
        Some(Topic {
            id: Uuid::from_u128(1),
            partitions: 1_000,
        })
    }

    fn name_of(&self, _: Uuid) -> Option<String> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&str)) {}

    fn racks(&self, _: Uuid, _: i32) -> Vec<String> {
        Vec::new()
    }
}

/// A coordinator, and the time.
struct Subject {
    core: Groups,
    now_ms: u64,
    ids: u128,
    asked: u64,
}

impl Subject {
    fn new() -> Self {
        let core = Groups::new(Settings {
            initial_rebalance_delay_ms: 0,
            ..Settings::default()
        });
        let mut subject = Self {
            core,
            now_ms: 0,
            ids: 0,
            asked: 0,
        };
        subject.step(|core, world, out| core.loaded(world, out));
        subject
    }

    fn step(
        &mut self,
        run: impl FnOnce(&mut Groups, &mut World<'_>, &mut Out<Groups>),
    ) -> Out<Groups> {
        let mut out = Out::default();
        let ids = &mut self.ids;
        let mut fresh_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let mut world = World {
            now: Now {
                mono_ms: self.now_ms,
                wall_ms: 1_700_000_000_000 + self.now_ms as i64,
            },
            topics: &All,
            fresh_id: &mut fresh_id,
        };
        run(&mut self.core, &mut world, &mut out);
        out
    }

    fn ask(&mut self, ask: Ask) -> Out<Groups> {
        self.asked += 1;
        let token = Token(self.asked);
        self.step(|core, world, out| core.ask(world, token, ask, out))
    }

    fn tick(&mut self) -> Out<Groups> {
        self.step(|core, world, out| core.tick(world, out))
    }

    /// Makes a stable group of these many members. Returns their ids.
    fn gather(&mut self, group: &str, members: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(members);
        for _ in 0..members {
            let [(_, Reply::Join(answer))] = &self.ask(join(group, "")).replies[..] else {
                panic!("no id was given");
            };
            let id = answer.member_id.to_string();
            self.ask(join(group, &id));
            ids.push(id);
        }
        let leader = self.rebalanced(members, |subject| subject.tick());
        self.distribute(group, 1, &leader, &ids);
        ids
    }

    /// The leader, when `last` let everybody join.
    fn rebalanced(
        &mut self,
        members: usize,
        last: impl FnOnce(&mut Self) -> Out<Groups>,
    ) -> String {
        let out = last(self);
        assert_eq!(out.replies.len(), members);
        match &out.replies[0].1 {
            Reply::Join(answer) => answer.leader.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Has everybody ask for its assignment, the leader last.
    fn distribute(&mut self, group: &str, generation: i32, leader: &str, ids: &[String]) {
        for id in ids.iter().filter(|id| *id != leader) {
            self.ask(sync(group, generation, id, &[]));
        }
        let out = self.ask(sync(group, generation, leader, ids));
        assert_eq!((out.replies.len(), out.batches.len()), (ids.len(), 1));
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn join(group: &str, id: &str) -> Ask {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(
            b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff",
        ));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(300_000)
        .with_member_id(text(id))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let asker = Asker {
        client_id: "consumer".into(),
        client_host: "/127.0.0.1".into(),
    };
    Ask::Join(asker, 9, request)
}

fn sync(group: &str, generation: i32, id: &str, ids: &[String]) -> Ask {
    let one = |id: &String| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(id))
            .with_assignment(Bytes::from_static(&[7; 30]))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id(generation)
        .with_member_id(text(id))
        .with_assignments(ids.iter().map(one).collect());
    Ask::Sync(4, request)
}

fn commit(group: &str, partitions: i32, offset: i64) -> Ask {
    let one = |partition| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str("a-topic-with-a-name")))
        .with_partitions((0..partitions).map(one).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    Ask::Commit(9, request)
}

fn commits(bench: &mut Bench) {
    let mut group = bench.benchmark_group("group");
    for (label, partitions) in [("commit, 1 partition", 1), ("commit, 100 partitions", 100)] {
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(label, |bencher| {
            let mut subject = Subject::new();
            bencher.iter_batched(
                || commit("group-1", partitions, 42),
                |ask| black_box(subject.ask(ask)),
                BatchSize::SmallInput,
            );
            assert_eq!(subject.core.figures().offsets, partitions as u64);
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("commit among a million", |bencher| {
        let mut subject = Subject::new();
        let groups = if is_full() { 10_000 } else { 10 };
        for index in 0..groups {
            subject.ask(commit(&format!("group-{index}"), 100, 1));
        }
        let mut next = 0;
        bencher.iter_batched(
            || {
                next = (next + 7) % groups;
                commit(&format!("group-{next}"), 1, 42)
            },
            |ask| black_box(subject.ask(ask)),
            BatchSize::SmallInput,
        );
        assert_eq!(subject.core.figures().offsets, groups * 100);
    });
}

fn heartbeats(bench: &mut Bench) {
    let mut group = bench.benchmark_group("group");
    group.throughput(Throughput::Elements(1));
    let (large, many) = if is_full() {
        (10_000, 1_000)
    } else {
        (100, 10)
    };
    for (label, groups, members) in [
        ("heartbeat, one group of 10,000", 1, large),
        ("heartbeat, 1,000 groups of ten", many, 10),
    ] {
        group.bench_function(label, |bencher| {
            let mut subject = Subject::new();
            let mut all = Vec::new();
            for index in 0..groups {
                let name = format!("group-{index}");
                let ids = subject.gather(&name, members);
                all.extend(ids.into_iter().map(|id| (name.clone(), id)));
            }
            let (mut next, mut beats) = (0, 0);
            bencher.iter_batched(
                || {
                    next = (next + 1) % all.len();
                    let (group, id) = &all[next];
                    let request = HeartbeatRequest::default()
                        .with_group_id(GroupId(text(group)))
                        .with_generation_id(1)
                        .with_member_id(text(id));
                    Ask::Heartbeat(request)
                },
                |ask| {
                    // All of them within three seconds, as consumers do.
                    beats = (beats + 1) % all.len();
                    subject.now_ms += u64::from(beats == 0) * 3_000;
                    let out = subject.ask(ask);
                    if subject.core.deadline().is_some_and(|due_ms| due_ms <= subject.now_ms) {
                        subject.tick();
                    }
                    assert!(matches!(&out.replies[..], [(_, Reply::Heartbeat(answer))] if answer.error_code == 0));
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn rebalances(bench: &mut Bench) {
    let mut group = bench.benchmark_group("group");
    let members = if is_full() { 1_000 } else { 20 };
    group.throughput(Throughput::Elements(members as u64));
    group.bench_function("rebalance of 1,000 members", |bencher| {
        let mut subject = Subject::new();
        let mut ids = subject.gather("group", members);
        let mut generation = 1;
        bencher.iter(|| {
            // The leader begins it by joining again.
            let leader = ids.iter().min().unwrap().clone();
            ids.sort_by_key(|id| *id != leader);
            let (last, others) = ids.split_last().unwrap();
            for id in others {
                assert!(subject.ask(join("group", id)).replies.is_empty());
            }
            let leader = subject.rebalanced(members, |subject| subject.ask(join("group", last)));
            generation += 1;
            subject.distribute("group", generation, &leader, &ids);
        });
    });
}

fn replay(bench: &mut Bench) {
    let mut group = bench.benchmark_group("group");
    let groups = if is_full() { 10_000 } else { 10 };
    let mut source = Subject::new();
    let mut records: Vec<Record> = Vec::new();
    for index in 0..groups {
        let out = source.ask(commit(&format!("group-{index}"), 100, index));
        records.extend(out.batches.into_iter().flat_map(|batch| batch.records));
    }
    group.throughput(Throughput::Elements(records.len() as u64));
    group.sample_size(10);
    group.bench_function("replay of a million offsets", |bencher| {
        bencher.iter_with_large_drop(|| {
            let mut core = Groups::new(Settings::default());
            for (offset, record) in records.iter().enumerate() {
                let record = Replayed {
                    offset: offset as i64,
                    timestamp_ms: 0,
                    producer: None,
                    key: &record.key,
                    value: record.value.as_ref(),
                };
                core.replay(&record).unwrap();
            }
            assert_eq!(core.figures().offsets, records.len() as u64);
            core
        });
    });
}

fn main() {
    benches::run(&[commits, heartbeats, rebalances, replay]);
}
