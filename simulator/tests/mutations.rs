//! Every rule of the shells, broken, must be noticed: otherwise the simulation shows nothing.
//!
//! `SIMULATOR_MUTATION=VoteForgotten` tries only that one, `SIMULATOR_SEEDS=n` as many seeds at most.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use simulator::{Mutation, Options, run};

/// Seeds within which a broken rule has to be noticed.
const SEEDS: u64 = 20_000;

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn every_broken_rule_is_noticed() {
    // Many end in a panic of a core; each is shown as what was noticed.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let seeds = setting("SIMULATOR_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let only = setting("SIMULATOR_MUTATION");
    let wanted = |broken: &Mutation| {
        only.as_ref()
            .is_none_or(|only| *only == format!("{broken:?}"))
    };
    for broken in Mutation::ALL.into_iter().filter(wanted) {
        let options = Options {
            broken: Some(broken),
            trace: false,
        };
        match (0..seeds).find_map(|seed| run(seed, options).err()) {
            Some(failure) => println!(
                "{broken:?}: {}",
                failure.to_string().chars().take(240).collect::<String>()
            ),
            None => missed.push(broken),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
