//! Changes of the members while the quorum runs.

use super::cluster::Cluster;
use super::*;

/// A voter that is alone leads; the others know nothing.
fn one_of(nodes: i32, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 1, nodes - 1);
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    cluster
}

fn members(cluster: &mut Cluster, node: i32) -> Membership {
    cluster.quorum(node).membership().clone()
}

fn grown_to_three(seed: u64, nodes: i32) -> Cluster {
    let mut cluster = one_of(nodes, seed);
    for node in [1, 2] {
        cluster.quorum(0).add_learner(node).unwrap();
        cluster.run(5);
    }
    cluster.quorum(0).set_voters(&[0, 1, 2]).unwrap();
    cluster.run(5);
    cluster
}

#[test]
fn one_grows_to_three_and_survives_the_first() {
    let mut cluster = one_of(3, 1);
    for _ in 0..5 {
        cluster.propose(0).unwrap();
    }
    cluster.settle();
    cluster.quorum(0).add_learner(1).unwrap();
    cluster.run(5);
    cluster.quorum(0).add_learner(2).unwrap();
    cluster.run(5);
    assert_eq!(members(&mut cluster, 2), Membership::of([0], [1, 2]));
    let last = cluster.quorum(0).last_index();
    for member in cluster.quorum(0).progress() {
        assert_eq!((member.matched, member.active), (last, true));
    }
    cluster.quorum(0).set_voters(&[0, 1, 2]).unwrap();
    cluster.run(5);
    for node in 0..3 {
        assert_eq!(members(&mut cluster, node), Membership::of([0, 1, 2], []));
        assert_eq!(cluster.node(node).state.len(), 5);
    }
    cluster.crash(0);
    let leader = cluster.elect();
    assert_ne!(leader, 0);
    cluster.propose(leader).unwrap();
    cluster.settle();
    cluster.heal();
}

#[test]
fn a_change_of_voters_needs_a_majority_of_both() {
    let mut cluster = one_of(3, 2);
    cluster.quorum(0).add_learner(1).unwrap();
    cluster.run(5);
    cluster.quorum(0).add_learner(2).unwrap();
    cluster.run(5);
    cluster.crash(1);
    cluster.crash(2);
    cluster.quorum(0).set_voters(&[0, 1, 2]).unwrap();
    cluster.run(3);
    let now = members(&mut cluster, 0);
    assert_eq!((now.voters, now.outgoing), (vec![0, 1, 2], vec![0]));
    let proposed = cluster.propose(0).unwrap();
    cluster.run(3);
    assert!(!cluster.committed.contains_key(&proposed.index));
    assert_eq!(
        cluster.quorum(0).add_learner(5),
        Err(ChangeError::UnderWay),
        "two changes at a time"
    );
    cluster.start(1);
    cluster.run(60);
    cluster.heal();
    let leader = cluster.leader().unwrap();
    assert_eq!(members(&mut cluster, leader), Membership::of([0, 1, 2], []));
}

#[test]
fn one_change_at_a_time() {
    let mut cluster = one_of(3, 3);
    cluster.quorum(0).add_learner(1).unwrap();
    let second = cluster.quorum(0).add_learner(2).unwrap_err();
    assert_eq!(second, ChangeError::UnderWay);
    assert!(second.to_string().contains("under way"));
    cluster.settle();
    cluster.quorum(0).add_learner(2).unwrap();
}

#[test]
fn changes_that_cannot_be_are_refused() {
    let mut cluster = one_of(2, 4);
    let quorum = cluster.quorum(0);
    assert_eq!(quorum.add_learner(0), Err(ChangeError::NoChange));
    assert_eq!(quorum.remove(5), Err(ChangeError::NoChange));
    assert_eq!(quorum.set_voters(&[0]), Err(ChangeError::NoChange));
    let impossible = |result| matches!(result, Err(ChangeError::Impossible(_)));
    assert!(impossible(quorum.remove(0)));
    assert!(impossible(quorum.set_voters(&[])));
    assert!(impossible(quorum.add_learner(-1)));
    let many: Vec<i32> = (0..=MEMBERS_MAX as i32).collect();
    assert!(impossible(quorum.set_voters(&many)));
}

#[test]
fn a_voter_is_replaced_while_entries_flow() {
    let mut cluster = grown_to_three(5, 4);
    cluster.quorum(0).add_learner(3).unwrap();
    cluster.run(5);
    cluster.crash(1);
    cluster.quorum(0).set_voters(&[0, 2, 3]).unwrap();
    for _ in 0..10 {
        cluster.propose(0).unwrap();
        cluster.run(1);
    }
    assert_eq!(members(&mut cluster, 3), Membership::of([0, 2, 3], []));
    assert_eq!(cluster.node(3).state.len(), 10);
    // The one that was replaced comes back, and changes nothing.
    let term = cluster.quorum(0).term();
    cluster.start(1);
    cluster.run(60);
    assert_eq!(
        (cluster.leader(), cluster.quorum(0).term()),
        (Some(0), term)
    );
    cluster.crash(0);
    let leader = cluster.elect();
    assert!([2, 3].contains(&leader));
}

#[test]
fn a_leader_removes_itself_and_another_leads() {
    let mut cluster = grown_to_three(6, 3);
    let proposed = cluster.quorum(0).remove(0).unwrap();
    cluster.propose(0).unwrap();
    cluster.settle();
    assert!(cluster.committed.contains_key(&proposed.index));
    assert_eq!(cluster.quorum(0).role(), Role::Follower);
    assert_eq!(cluster.quorum(0).campaign(), Err(CampaignError::NotVoter));
    let leader = cluster.elect();
    assert_ne!(leader, 0);
    cluster.propose(leader).unwrap();
    cluster.settle();
    cluster.heal();
    assert_eq!(members(&mut cluster, leader), Membership::of([1, 2], []));
}

#[test]
fn three_shrink_to_one() {
    let mut cluster = grown_to_three(7, 3);
    cluster.quorum(0).set_voters(&[2]).unwrap();
    cluster.run(5);
    assert_eq!(members(&mut cluster, 2), Membership::of([2], []));
    cluster.crash(0);
    cluster.crash(1);
    assert_eq!(cluster.elect(), 2);
    let proposed = cluster.propose(2).unwrap();
    cluster.settle();
    assert!(cluster.committed.contains_key(&proposed.index));
}

#[test]
fn a_learner_follows_and_never_stands() {
    let mut cluster = one_of(2, 8);
    cluster.quorum(0).add_learner(1).unwrap();
    cluster.run(5);
    let refused = cluster.quorum(1).campaign();
    assert_eq!(refused, Err(CampaignError::NotVoter));
    cluster.crash(0);
    cluster.run(100);
    assert_eq!(cluster.leader(), None);
    assert_eq!(cluster.quorum(1).role(), Role::Follower);
    cluster.heal();
    let leader = cluster.leader().unwrap();
    cluster.quorum(leader).remove(1).unwrap();
    cluster.run(5);
    assert_eq!(members(&mut cluster, 0), Membership::of([0], []));
}

/// A voter that was alone has taken in others and crashes. It must not be alone again, whatever of its
/// commit index was lost: the others may have gone on without it.
#[test]
fn who_was_alone_is_not_alone_again_after_a_crash() {
    for seed in 0..50 {
        let _seed = Seed(seed);
        let mut cluster = grown_to_three(seed, 3);
        cluster.crash(0);
        let leader = cluster.elect();
        cluster.propose(leader).unwrap();
        cluster.settle();
        for other in [1, 2] {
            cluster.cut.insert((0, other));
        }
        cluster.start(0);
        let _ = cluster.quorum(0).campaign();
        cluster.run(50);
        assert_ne!(cluster.quorum(0).role(), Role::Leader);
        cluster.heal();
    }
}
