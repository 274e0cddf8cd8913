//! What is done to the bytes of every produced batch: the check, and the stamp.
//!
//! The bytes are hot, as they are when they have just been received.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use batch::{Batch, ProducedLimits};
use benches::{Bench, load};
use bytes::BytesMut;
use criterion::Throughput;

const SIZES: [(&str, usize); 2] = [("16 KiB", 16 << 10), ("1 MiB", 1 << 20)];

fn check(bench: &mut Bench) {
    let mut group = bench.benchmark_group("check");
    for (label, size) in SIZES {
        let bytes = load::batch(size, 1_700_000_000_000);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let limits = ProducedLimits::new(2 << 20);
        group.bench_function(format!("produced, {label}"), |bencher| {
            bencher.iter(|| batch::check_produced(black_box(&bytes), limits).unwrap());
        });
        let parsed = Batch::parse(&bytes).unwrap();
        group.bench_function(format!("checksum alone, {label}"), |bencher| {
            bencher.iter(|| black_box(&parsed).verify_crc().unwrap());
        });
    }
}

fn stamp(bench: &mut Bench) {
    let mut group = bench.benchmark_group("stamp");
    let mut bytes = BytesMut::from(&load::batch(16 << 10, 1_700_000_000_000)[..]);
    group.bench_function("offset and epoch", |bencher| {
        bencher.iter(|| batch::stamp(black_box(&mut bytes), black_box(77), 3));
    });
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("append time, 16 KiB", |bencher| {
        // Another time each: one that is there already is not stamped again.
        let mut now_ms = 1_800_000_000_000;
        bencher.iter(|| {
            now_ms += 1;
            batch::stamp_append_time(black_box(&mut bytes), black_box(now_ms));
        });
    });
}

fn main() {
    benches::run(&[check, stamp]);
}
