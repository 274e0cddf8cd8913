//! A seeded simulation of one partition on one to five nodes, with all that may go wrong.
//!
//! Each seed chooses the number of replicas and how bad the world is, runs some hundred random steps, with
//! every rule of [`Ledger`] checked after each, then heals the world and requires that all replicas become
//! equal, in sync and readable to the end. A failure names its seed and the step.
//!
//! `REPLICA_SEEDS=20000` runs that many seeds in place of the default; `REPLICA_SEED=17` runs only that one
//! and prints what it does.
//!
//! What a crash does: what was stored stays, any part of what was not may stay too, and a truncation after
//! which nothing was stored may be undone. Nodes also lose their log altogether, but only outside of the
//! ISR: inside of it that is the controller's to notice, by the drive's id.

mod controller;
mod heal;
mod ledger;
mod mutations;
mod network;
mod node;
mod step;

use controller::Controller;
use ledger::Ledger;
use network::Packet;
use node::Node;

use super::rng::Rng;
use crate::{IsrAnswer, IsrChange, Settings};

/// The most nodes.
const NODES_MAX: usize = 5;

/// Something between a leader and the controller.
#[derive(Debug)]
struct Ask {
    from: i32,
    change: IsrChange,
}

/// An answer of the controller on its way.
#[derive(Clone, Debug)]
struct Told {
    to: i32,
    broker_epoch: i64,
    request: u64,
    answer: IsrAnswer,
}

/// The world.
#[derive(Debug)]
struct World {
    rng: Rng,
    now_ms: u64,
    nodes: Vec<Node>,
    controller: Controller,
    packets: Vec<Packet>,
    /// In the order sent, as the promise to the core is.
    asks: Vec<Ask>,
    told: Vec<Told>,
    ledger: Ledger,
    /// When a node last heard another.
    heard: [[u64; NODES_MAX]; NODES_MAX],
    /// Pairs of nodes between which nothing passes, one way.
    blocked: [[bool; NODES_MAX]; NODES_MAX],
    next_value: u64,
    /// How often of 100 a packet gets lost, or comes twice.
    bad: usize,
    /// How often of 1000 steps something big happens to a node.
    rough: usize,
    /// Little is appended.
    quiet: bool,
    /// Nothing big happens to the leader.
    calm: bool,
    trace: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = [1, 2, 3, 3, 3, 4, 5][rng.below(7)];
        let settings = Settings {
            lag_max_ms: 100,
            retry_ms: 20,
            min_insync_replicas: 1 + rng.below(3),
        };
        let bad = [0, 5, 20][rng.below(3)];
        let rough = [5, 20, 60][rng.below(3)];
        let nodes = (0..count).map(|id| Node::new(id, settings));
        Self {
            now_ms: 1_000,
            nodes: nodes.collect(),
            controller: Controller::new(usize::try_from(count).unwrap()),
            packets: Vec::new(),
            asks: Vec::new(),
            told: Vec::new(),
            ledger: Ledger::default(),
            heard: [[0; NODES_MAX]; NODES_MAX],
            blocked: [[false; NODES_MAX]; NODES_MAX],
            next_value: 1,
            bad,
            rough,
            quiet: rng.chance(20),
            calm: rng.chance(20),
            trace: false,
            rng,
        }
    }
}

/// Runs one seed. The error says what didn't hold, and when.
fn run(seed: u64, trace: bool) -> Result<(), String> {
    let mut world = World::new(seed);
    world.trace = trace;
    let steps = 300 + world.rng.below(500);
    for step in 0..steps {
        world
            .step()
            .and_then(|()| world.check())
            .map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
    }
    world
        .heal()
        .map_err(|what| format!("seed {seed}, healing: {what}"))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn replicas_keep_every_promise_in_a_bad_world() {
    if let Some(seed) = setting("REPLICA_SEED") {
        run(seed, true).unwrap();
        return;
    }
    let seeds = setting("REPLICA_SEEDS").unwrap_or(600);
    for seed in 0..seeds {
        if let Err(what) = run(seed, false) {
            panic!("{what}");
        }
    }
    println!("{seeds} seeds, from 0 on");
}
