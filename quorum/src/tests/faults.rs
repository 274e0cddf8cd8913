//! Quorums under faults: whatever is lost, doubled, late, cut off or crashed, no two members differ; and
//! when the faults end, they go on.

use super::cluster::Cluster;
use super::*;

/// Rounds of random events, then the end of all faults.
pub(crate) fn storm(seed: u64, voters: i32, others: i32, rounds: usize) -> Cluster {
    let mut cluster = Cluster::new(seed, voters, others);
    cluster.lost = seed % 4 * 10;
    cluster.doubled = seed % 3 * 10;
    for _ in 0..rounds {
        let nodes = cluster.ids();
        let node = cluster.random.pick(&nodes);
        let event = cluster.random.below(10_000);
        if cluster.is_up(node) {
            event_at(&mut cluster, node, event);
        } else if event < 600 {
            cluster.start(node);
        }
        if (9930..9950).contains(&event) {
            let other = cluster.random.pick(&nodes);
            cluster.cut.insert((node.min(other), node.max(other)));
        } else if event >= 9970 {
            cluster.cut.clear();
        }
        // In any order, and the more the more are under way.
        for _ in 0..cluster.network.len().div_ceil(8) {
            let place = cluster.random.below(cluster.network.len() as u64);
            cluster.deliver(place as usize);
        }
    }
    cluster.heal();
    cluster
}

/// `event` is less than 10,000.
fn event_at(cluster: &mut Cluster, node: i32, event: u64) {
    match event {
        0..2000 => cluster.quorum(node).tick(),
        2000..5000 => cluster.write(node),
        5000..8500 => cluster.drain(node),
        8500..9300 => {
            let _ = cluster.propose(node);
        }
        9300..9700 => {
            let _ = cluster.read(node);
        }
        9700..9800 => cluster.snapshot(node),
        9800..9810 => {
            let to = cluster.random.below(cluster.nodes.len() as u64);
            let _ = cluster.quorum(node).transfer_leader(to as i32);
        }
        9810..9820 => {
            let _ = cluster.quorum(node).campaign();
        }
        9820..9900 => change(cluster, node),
        9900..9930 => cluster.crash(node),
        9950..9970 => {
            let other = cluster.random.below(cluster.nodes.len() as u64) as i32;
            cluster.quorum(node).disconnected(other);
        }
        _ => {}
    }
}

/// Tries to change the members in some way; two voters at least are left, so that none can be alone.
fn change(cluster: &mut Cluster, node: i32) {
    let all = cluster.nodes.len() as u64;
    let other = cluster.random.below(all) as i32;
    let members = cluster.quorum(node).membership().clone();
    let _ = match cluster.random.below(3) {
        0 => cluster.quorum(node).add_learner(other),
        1 if members.voters.len() > 2 || !members.voters.contains(&other) => {
            cluster.quorum(node).remove(other)
        }
        _ => {
            let mut voters = members.voters;
            voters.push(other);
            if voters.len() > 3 && cluster.random.chance(50) {
                voters.remove(0);
            }
            cluster.quorum(node).set_voters(&voters)
        }
    };
}

fn storms(voters: i32, others: i32, seeds: std::ops::Range<u64>) {
    let (mut committed, mut confirmed) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let _seed = Seed(seed);
        let cluster = storm(seed, voters, others, 3000);
        committed += cluster.committed.len() as u64;
        confirmed += cluster.confirmed;
    }
    let enough = committed > 20 * count && confirmed > 5 * count;
    assert!(enough, "only {committed} entries and {confirmed} reads");
}

#[test]
fn three_voters_agree_whatever_happens() {
    storms(3, 0, 0..120);
}

#[test]
fn five_voters_agree_whatever_happens() {
    storms(5, 0, 1000..1080);
}

#[test]
fn one_voter_and_those_who_join_it_agree_whatever_happens() {
    storms(1, 4, 2000..2080);
}
