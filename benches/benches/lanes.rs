//! What it costs to ask another shard: two executors, each pinned to a core of its own where there
//! are two, and the lanes between them. Messages are 64 bytes.
//!
//! With `BENCH_CLOCK=cpu` a figure is the processor time of both sides.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use benches::{Bench, Jobs, Shard};
use criterion::Throughput;
use rt::executor::{self, Executor, ExecutorConfig};
use rt::lane::{self, MeshEnd, Receiver, Sender};

const CAPACITY: usize = 1024;

/// What goes through a lane.
#[derive(Clone, Copy)]
struct Message {
    kind: Kind,
    payload: [u64; 7],
}

const _: () = assert!(size_of::<Message>() == 64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sent back.
    Echo,
    /// Taken, and that is all.
    Stream,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    /// Questions and answers, so many under way at a time.
    RoundTrips(u64),
    /// Messages one way, until the last one was taken.
    Stream,
}

const fn message(kind: Kind) -> Message {
    Message {
        kind,
        payload: [5; 7],
    }
}

async fn connect(end: MeshEnd<Message>) -> (Sender<Message>, Receiver<Message>) {
    let mut mesh = end.connect().await;
    let sender = mesh.take_senders().into_iter().flatten().next();
    let receiver = mesh.take_receivers().into_iter().flatten().next();
    (
        sender.expect("a lane to the other"),
        receiver.expect("a lane from the other"),
    )
}

async fn answer(end: MeshEnd<Message>) {
    let (sender, receiver) = connect(end).await;
    while let Some(message) = receiver.recv().await {
        if message.kind == Kind::Echo {
            sender.send(message).await.expect("the other side listens");
        }
    }
}

async fn ask(end: MeshEnd<Message>, mut jobs: Jobs<Work>) {
    let (sender, receiver) = connect(end).await;
    let send = async |kind| sender.send(message(kind)).await.expect("it listens");
    let receive = async || {
        let message = receiver.recv().await.expect("it answers");
        assert_eq!(message.payload, [5; 7]);
    };
    while let Some(job) = jobs.next().await {
        let work = job.work;
        job.time(async |iters| match work {
            Work::RoundTrips(window) => {
                for sent in 0..iters {
                    if sent >= window {
                        receive().await;
                    }
                    send(Kind::Echo).await;
                }
                for _ in 0..iters.min(window) {
                    receive().await;
                }
            }
            Work::Stream => {
                for _ in 0..iters {
                    send(Kind::Stream).await;
                }
                send(Kind::Echo).await;
                receive().await;
            }
        })
        .await;
    }
}

/// Both shards; the asking one ends first.
struct Pair {
    asking: Shard<Work>,
    _answering: Executor<()>,
}

fn start() -> Pair {
    let cores = executor::available_cores();
    let core = |at: usize| cores.get(at).copied().filter(|_| cores.len() >= 2);
    let mut ends = lane::mesh(2, CAPACITY).into_iter();
    let (near, far) = (ends.next().unwrap(), ends.next().unwrap());
    let config = ExecutorConfig {
        name: "answering".to_owned(),
        core: core(1),
        ..ExecutorConfig::default()
    };
    let answering = executor::spawn(config, move || answer(far));
    Pair {
        asking: Shard::start(core(0), move |jobs| ask(near, jobs)),
        _answering: answering.expect("the executor starts"),
    }
}

fn lanes(bench: &mut Bench) {
    let mut group = bench.benchmark_group("lane");
    group.throughput(Throughput::Elements(1));
    let mut pair = None;
    for (label, work) in [
        ("round trip", Work::RoundTrips(1)),
        ("round trip, 16 under way", Work::RoundTrips(16)),
        ("one way", Work::Stream),
    ] {
        group.bench_function(label, |bencher| {
            let pair = pair.get_or_insert_with(start);
            bencher.iter_custom(|iters| pair.asking.measure(work, iters));
        });
    }
}

fn main() {
    benches::run(&[lanes]);
}
