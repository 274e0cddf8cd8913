//! A share-partition without its shell: what giving records out and taking what becomes of them costs the
//! partition's shard besides the reads, and the writes of its state.
//!
//! A figure holds the decision, the acknowledgement's and what is to be stored, as structures. Nothing is read,
//! nothing is encoded.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use benches::Bench;
use criterion::Throughput;
use share::partition::{AckBatch, Acquire, Settings, SharePartition, StoredState};
use uuid::Uuid;

const MEMBER: Uuid = Uuid::from_u128(1);
/// Records in a record batch.
const BATCH: i64 = 100;
/// Record batches in a read.
const BATCHES: i64 = 5;

/// A share-partition, and a log that never ends.
struct Subject {
    partition: SharePartition,
    now_ms: u64,
}

impl Subject {
    fn new() -> Self {
        let state = StoredState {
            state_epoch: 0,
            start_offset: 0,
            batches: Vec::new(),
        };
        let settings = Settings {
            max_in_flight: 2_000,
            max_deliveries: i16::MAX,
            lock_ms: 30_000,
        };
        Self {
            partition: SharePartition::new(&state, settings).unwrap(),
            now_ms: 0,
        }
    }

    /// Acquires the next record batches. The first offset and the one after the last.
    fn acquire(&mut self) -> (i64, i64) {
        self.now_ms += 1;
        let from = self.partition.next_fetch().unwrap();
        let first = from - from % BATCH;
        let mut read = [(0, 0); BATCHES as usize];
        for (at, batch) in (0..).zip(&mut read) {
            *batch = (first + at * BATCH, first + (at + 1) * BATCH - 1);
        }
        let acquired = self.partition.acquire(&Acquire {
            member: MEMBER,
            now_ms: self.now_ms,
            from,
            read: &read,
            aborted: &[],
            max_records: 500,
            batch_size: 500,
        });
        let last = acquired.last().unwrap().last_offset;
        (acquired[0].first_offset, last + 1)
    }

    fn acknowledge(&mut self, first: i64, end: i64, types: &[i8]) {
        let batch = AckBatch {
            first_offset: first,
            last_offset: end - 1,
            types,
        };
        assert!(
            self.partition
                .acknowledge(MEMBER, &[batch])
                .unwrap()
                .is_some()
        );
    }

    fn store(&mut self) {
        let write = black_box(self.partition.next_write().unwrap());
        self.partition.written(write.ticket, true);
    }
}

fn deliveries(bench: &mut Bench) {
    let mut group = bench.benchmark_group("share");
    group.throughput(Throughput::Elements((BATCH * BATCHES) as u64));
    group.bench_function("500 records accepted together", |bencher| {
        let mut subject = Subject::new();
        bencher.iter(|| {
            let (first, end) = subject.acquire();
            subject.acknowledge(first, end, &[1]);
            subject.store();
        });
        assert_eq!(subject.partition.in_flight(), 0);
    });
    group.bench_function("500 records accepted one by one", |bencher| {
        let mut subject = Subject::new();
        bencher.iter(|| {
            let (first, end) = subject.acquire();
            for offset in first..end {
                subject.acknowledge(offset, offset + 1, &[1]);
            }
            subject.store();
        });
        assert_eq!(subject.partition.in_flight(), 0);
    });
    group.bench_function("every second of 500 records released", |bencher| {
        let mut subject = Subject::new();
        let types: Vec<i8> = (0..BATCH * BATCHES).map(|at| 1 + (at % 2) as i8).collect();
        bencher.iter(|| {
            let (first, end) = subject.acquire();
            subject.acknowledge(first, end, &types);
            subject.store();
            // What was released comes again, each record by itself.
            subject.acquire();
            for offset in (first + 1..end).step_by(2) {
                subject.acknowledge(offset, offset + 1, &[1]);
            }
            subject.store();
        });
        assert_eq!(subject.partition.in_flight(), 0);
    });
}

fn main() {
    benches::run(&[deliveries]);
}
