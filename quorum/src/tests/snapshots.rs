//! Snapshots: the log's beginning is let go, and who lacks it is given the snapshot.

use super::cluster::Cluster;
use super::*;

/// Three voters; one was down while the others went on, and took snapshots.
fn one_behind(seed: u64) -> (Cluster, i32, i32) {
    let mut cluster = Cluster::new(seed, 3, 0);
    let leader = cluster.elect();
    let behind = (leader + 1) % 3;
    cluster.crash(behind);
    for _ in 0..30 {
        cluster.propose(leader).unwrap();
    }
    cluster.settle();
    for node in [leader, (leader + 2) % 3] {
        cluster.snapshot(node);
    }
    (cluster, leader, behind)
}

#[test]
fn who_is_behind_is_given_the_snapshot() {
    for seed in 0..30 {
        let _seed = Seed(seed);
        let (mut cluster, leader, behind) = one_behind(seed);
        cluster.start(behind);
        cluster.run(10);
        let state = cluster.node(leader).state.clone();
        assert_eq!(state.len(), 30);
        assert_eq!(cluster.node(behind).state, state);
        let mark = cluster.node(behind).disk.snapshot.clone().unwrap();
        assert!(mark.index > 30, "it was given entries, not the snapshot");
        cluster.heal();
    }
}

#[test]
fn who_is_a_little_behind_is_given_entries() {
    // Of this seed the members keep 8 entries behind a snapshot.
    let mut cluster = Cluster::new(2, 3, 0);
    let leader = cluster.elect();
    let behind = (leader + 1) % 3;
    cluster.crash(behind);
    for _ in 0..8 {
        cluster.propose(leader).unwrap();
    }
    cluster.settle();
    cluster.snapshot(leader);
    cluster.start(behind);
    cluster.run(10);
    let one = cluster.node(behind);
    assert_eq!(one.state.len(), 8);
    assert_eq!(one.disk.snapshot.as_ref().unwrap().index, 1);
}

#[test]
fn a_snapshot_that_is_lost_is_sent_again() {
    let (mut cluster, leader, behind) = one_behind(1);
    cluster.start(behind);
    cluster.lost = 100;
    cluster.run(5);
    cluster.lost = 0;
    cluster.run(10);
    let applied = cluster.node(leader).applied;
    assert_eq!(cluster.node(behind).applied, applied);
}

#[test]
fn the_content_is_asked_for_after_a_restart() {
    let (mut cluster, _, behind) = one_behind(2);
    for node in cluster.ids() {
        cluster.crash(node);
    }
    for node in cluster.ids().into_iter().filter(|node| *node != behind) {
        cluster.start(node);
    }
    let leader = cluster.elect();
    cluster.start(behind);
    // As the cluster does, but looking.
    let mut asked = 0;
    for _ in 0..200 {
        for node in cluster.ids() {
            cluster.quorum(node).tick();
        }
        if let Some(index) = wanted(&mut cluster, leader) {
            asked += 1;
            assert_eq!(
                index,
                cluster.node(leader).disk.snapshot.clone().unwrap().index
            );
            assert_eq!(wanted(&mut cluster, leader), None, "asked for twice");
            break;
        }
        cluster.settle_but(leader);
    }
    assert_eq!(asked, 1);
}

fn wanted(cluster: &mut Cluster, node: i32) -> Option<u64> {
    let mut wanted = None;
    while let Some(ready) = cluster.quorum(node).ready() {
        wanted = wanted.or(ready.wanted_snapshot);
        cluster.do_all(node, ready);
    }
    wanted
}

#[test]
fn snapshots_that_cannot_be_are_refused() {
    let mut cluster = Cluster::new(3, 1, 0);
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    cluster.propose(0).unwrap();
    cluster.settle();
    let quorum = cluster.quorum(0);
    let (index, applied) = (9, 3);
    assert_eq!(
        quorum.snapshot_taken(index, Bytes::new()),
        Err(SnapshotError::NotApplied { index, applied })
    );
    let mark = quorum.mark_at(3).unwrap();
    assert_eq!((mark.index, mark.term), (3, 2));
    assert_eq!(mark.membership, Membership::of([0], []));
    quorum.snapshot_taken(3, Bytes::new()).unwrap();
    let (index, last) = (2, 3);
    assert_eq!(
        quorum.snapshot_taken(index, Bytes::new()),
        Err(SnapshotError::Outdated { index, last })
    );
    quorum.snapshot_taken(3, Bytes::new()).unwrap();
}

#[test]
fn a_mark_has_the_members_of_its_index() {
    let mut cluster = Cluster::new(4, 1, 1);
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    // It would want a snapshot that has it.
    cluster.crash(1);
    let before = cluster.node(0).applied;
    cluster.quorum(0).add_learner(1).unwrap();
    cluster.settle();
    let quorum = cluster.quorum(0);
    let members = |quorum: &Quorum, index| quorum.mark_at(index).unwrap().membership;
    assert_eq!(members(quorum, before), Membership::of([0], []));
    assert_eq!(members(quorum, before + 1), Membership::of([0], [1]));
    quorum.snapshot_taken(before, Bytes::new()).unwrap();
    assert_eq!(members(quorum, before), Membership::of([0], []));
    quorum.snapshot_taken(before + 1, Bytes::new()).unwrap();
    assert_eq!(members(quorum, before + 1), Membership::of([0], [1]));
}

#[test]
fn a_member_whose_snapshot_is_not_written_does_not_stand() {
    let (mut cluster, leader, behind) = one_behind(5);
    cluster.start(behind);
    let mut installing = false;
    for _ in 0..20 {
        cluster.quorum(leader).tick();
        cluster.settle_but(behind);
        let ready = std::iter::from_fn(|| cluster.quorum(behind).ready());
        for ready in ready.collect::<Vec<_>>() {
            installing |= ready.snapshot.is_some();
            if installing {
                continue;
            }
            cluster.do_all(behind, ready);
        }
    }
    assert!(installing);
    for _ in 0..100 {
        cluster.quorum(behind).tick();
        assert_eq!(cluster.quorum(behind).role(), Role::Follower);
    }
    let refused = cluster.quorum(behind).campaign();
    assert_eq!(refused, Err(CampaignError::Unsettled));
}
