//! Seeds, one after the other: in each of them everything promised must hold.
//!
//! `SIMULATOR_SEED=n` runs one and, where it fails, prints what happened before; `SIMULATOR_SEEDS=n` runs as
//! many from 0 on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use simulator::{Failure, Options, run};

/// Lines of the trace to be shown, unless `SIMULATOR_LINES` says.
const LINES: usize = 400;

fn setting(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number"))
}

fn show(failure: &Failure) -> String {
    let lines = setting("SIMULATOR_LINES").map_or(LINES, |lines| lines as usize);
    let from = failure.trace.len().saturating_sub(lines);
    format!("{}\n{failure}", failure.trace[from..].join("\n"))
}

#[test]
fn a_cluster_keeps_every_promise_in_a_bad_world() {
    let one = setting("SIMULATOR_SEED");
    let count = setting("SIMULATOR_SEEDS").unwrap_or(3000);
    let seeds = one.map_or(0..count, |seed| seed..seed + 1);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut events, mut micros) = (0, 0);
    for seed in seeds {
        let trace = one.is_some();
        let options = Options {
            trace,
            broken: None,
        };
        match run(seed, options) {
            Ok(summary) => {
                for (what, times) in summary.counts {
                    *counts.entry(what).or_default() += times;
                }
                events += summary.events;
                micros += summary.micros;
            }
            Err(failure) => panic!("{}", show(&failure)),
        }
    }
    println!(
        "{events} events in {} s of virtual time: {counts:?}",
        micros / 1_000_000
    );
}
