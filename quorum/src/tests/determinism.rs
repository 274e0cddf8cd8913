//! A run is a function of its seed and its events.

use super::faults::storm;
use super::*;

#[test]
fn equal_seeds_and_events_make_equal_outputs() {
    for seed in 5000..5020 {
        let _seed = Seed(seed);
        let first = storm(seed, 3, 1, 800);
        let second = storm(seed, 3, 1, 800);
        assert_eq!(first.trace, second.trace);
        assert_ne!(first.trace, storm(seed + 100, 3, 1, 800).trace);
    }
}

#[test]
fn members_of_one_seed_wait_for_different_times() {
    let stands = |seed, node| {
        let mut quorum = Quorum::new(Config::new(node, seed), Restored::bootstrap(0..3)).unwrap();
        let mut ticks = 0;
        while quorum.role() == Role::Follower {
            quorum.tick();
            ticks += 1;
        }
        ticks
    };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        for node in 0..3 {
            let ticks = stands(seed, node);
            assert!((10..20).contains(&ticks), "{ticks} ticks");
            assert_eq!(stands(seed, node), ticks);
            seen.insert((node, ticks));
        }
    }
    assert_eq!(seen.len(), 30, "not every timeout is ever drawn by each");
}
