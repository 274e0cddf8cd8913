//! What a quorum does when asked, one thing at a time.

use super::cluster::Cluster;
use super::*;

fn leading(seed: u64, voters: i32) -> (Cluster, i32) {
    let mut cluster = Cluster::new(seed, voters, 0);
    let leader = cluster.elect();
    (cluster, leader)
}

fn alone() -> Quorum {
    let mut quorum = Quorum::new(Config::new(7, 1), Restored::bootstrap([7])).unwrap();
    assert!(quorum.ready().is_none());
    quorum.campaign().unwrap();
    quorum
}

#[test]
fn a_voter_alone_commits_what_is_written_without_a_tick() {
    let mut quorum = alone();
    assert_eq!((quorum.role(), quorum.leader()), (Role::Leader, Some(7)));
    let first = quorum.ready().unwrap();
    assert_eq!(first.hard_state.unwrap().vote, Some(7));
    assert!(first.must_sync && first.committed.is_empty());
    let proposed = quorum.propose(payload(1)).unwrap();
    let second = quorum.ready().unwrap();
    assert_eq!(second.entries.len(), 1);
    assert!(quorum.ready().is_none(), "committed before it was written");
    quorum.persisted(first.number);
    let third = quorum.ready().unwrap();
    assert_eq!(third.committed.len(), 1);
    assert_eq!(third.committed[0].kind, CommittedKind::Empty);
    quorum.persisted(second.number);
    let last = quorum.ready().unwrap();
    let committed = &last.committed[0];
    assert_eq!(
        (committed.index, committed.term),
        (proposed.index, proposed.term)
    );
    assert_eq!(committed.kind, CommittedKind::Payload(payload(1)));
    assert!(!last.must_sync, "a commit index alone needn't be flushed");
    quorum.persisted(last.number);
    quorum.read_index(5).unwrap();
    let index = proposed.index;
    assert_eq!(
        quorum.ready().unwrap().reads,
        [ReadIndex { read: 5, index }]
    );
}

#[test]
fn a_voter_alone_is_the_same_after_a_restart() {
    let mut cluster = Cluster::new(1, 1, 0);
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    for _ in 0..10 {
        cluster.propose(0).unwrap();
    }
    cluster.settle();
    let state = cluster.node(0).state.clone();
    assert_eq!(state.len(), 10);
    cluster.crash(0);
    cluster.start(0);
    cluster.settle();
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    assert_eq!(cluster.node(0).state, state);
    assert_eq!(cluster.quorum(0).term(), 3);
}

#[test]
fn a_leader_sends_entries_before_it_has_written_them_a_follower_answers_after() {
    let (mut cluster, leader) = leading(3, 3);
    cluster.propose(leader).unwrap();
    let ready = cluster.quorum(leader).ready().unwrap();
    assert_eq!(ready.entries.len(), 1);
    assert_eq!((ready.messages.len(), ready.messages_after.len()), (2, 0));
    let message = ready.messages[0].clone();
    let follower = message.to;
    cluster.quorum(follower).step(message).unwrap();
    let answer = cluster.quorum(follower).ready().unwrap();
    assert_eq!(answer.entries, ready.entries);
    assert_eq!((answer.messages.len(), answer.messages_after.len()), (0, 1));
    let result = answer.messages_after[0].clone();
    cluster.quorum(leader).step(result).unwrap();
    // Neither majority: the leader's own write isn't done.
    assert!(
        cluster
            .quorum(leader)
            .ready()
            .is_none_or(|ready| ready.committed.is_empty())
    );
    cluster.quorum(leader).persisted(ready.number);
    let committed = cluster.quorum(leader).ready().unwrap().committed;
    assert_eq!(committed.len(), 1);
}

#[test]
fn a_leader_elected_by_itself_sends_nothing_of_a_term_it_has_not_written() {
    let mut cluster = Cluster::new(4, 1, 1);
    cluster.quorum(0).campaign().unwrap();
    cluster.settle();
    cluster.quorum(0).add_learner(1).unwrap();
    cluster.run(5);
    let term = cluster.quorum(0).term();
    // It leads the next term, and crashes before it has written that.
    cluster.crash(0);
    cluster.start(0);
    cluster.settle();
    cluster.quorum(0).campaign().unwrap();
    cluster.propose(0).unwrap();
    let ready = cluster.quorum(0).ready().unwrap();
    assert_eq!((ready.term, ready.messages), (term + 1, vec![]));
    assert!(!ready.messages_after.is_empty());
    cluster.quorum(0).tick();
    cluster.quorum(0).tick();
    let heartbeat = cluster.quorum(0).ready().unwrap();
    assert_eq!(heartbeat.messages, []);
    // Now it leads it again, with another entry at the same place.
    cluster.crash(0);
    cluster.start(0);
    cluster.heal();
}

#[test]
fn who_does_not_lead_says_who_does() {
    let (mut cluster, leader) = leading(5, 3);
    let follower = (leader + 1) % 3;
    let not_leader = NotLeader {
        leader: Some(leader),
    };
    let quorum = cluster.quorum(follower);
    assert_eq!(quorum.propose(payload(1)), Err(not_leader.into()));
    assert_eq!(quorum.read_index(1), Err(not_leader.into()));
    assert_eq!(quorum.transfer_leader(0), Err(not_leader.into()));
    let refused = quorum.add_learner(9).unwrap_err();
    assert_eq!(refused, ChangeError::Propose(not_leader.into()));
    assert!(refused.to_string().contains(&format!("ask node {leader}")));
    assert_eq!(quorum.progress(), []);
}

#[test]
fn what_cannot_be_proposed_is_refused() {
    let mut quorum = alone();
    let (size, max) = ((8 << 20) + 1, 8 << 20);
    let large = Bytes::from(vec![0; size]);
    assert_eq!(
        quorum.propose(large),
        Err(ProposeError::TooLarge { size, max })
    );
    assert_eq!(quorum.propose(Bytes::new()), Err(ProposeError::Empty));
    let much = Bytes::from(vec![0; max]);
    for _ in 0..4 {
        quorum.propose(much.clone()).unwrap();
    }
    assert_eq!(quorum.propose(payload(1)), Err(ProposeError::Backlog));
    assert_eq!(quorum.read_index(1), Err(ReadError::TooEarly));
    assert_eq!(quorum.add_learner(1), Err(ChangeError::TooEarly));
}

#[test]
fn a_read_waits_for_a_majority_that_still_follows() {
    let (mut cluster, leader) = leading(6, 3);
    cluster.propose(leader).unwrap();
    cluster.settle();
    for other in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.cut.insert((leader.min(other), leader.max(other)));
    }
    cluster.read(leader).unwrap();
    cluster.settle();
    assert_eq!(cluster.confirmed, 0, "confirmed by nobody");
    cluster.cut.clear();
    cluster.run(3);
    assert_eq!(cluster.confirmed, 1);
}

#[test]
fn a_leader_that_is_cut_off_steps_down_and_does_not_disturb_its_successor() {
    let (mut cluster, leader) = leading(7, 3);
    for other in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.cut.insert((leader.min(other), leader.max(other)));
    }
    let lost = cluster.propose(leader).unwrap();
    cluster.run(60);
    assert_ne!(cluster.quorum(leader).role(), Role::Leader);
    let successor = cluster.leader().unwrap();
    assert_ne!(successor, leader);
    let term = cluster.quorum(successor).term();
    cluster.propose(successor).unwrap();
    cluster.settle();
    cluster.heal();
    assert_eq!(cluster.leader(), Some(successor));
    assert_eq!(cluster.quorum(leader).term(), term, "it made a new term");
    assert_ne!(cluster.committed[&lost.index].term, lost.term);
}

#[test]
fn leadership_is_handed_over_without_waiting() {
    let (mut cluster, leader) = leading(8, 3);
    let to = (leader + 1) % 3;
    let quorum = cluster.quorum(leader);
    assert_eq!(quorum.transfer_leader(9), Err(TransferError::NotVoter(9)));
    quorum.transfer_leader(to).unwrap();
    assert_eq!(
        quorum.propose(payload(1)),
        Err(ProposeError::Transferring { to })
    );
    cluster.settle();
    assert_eq!(cluster.leader(), Some(to));
    cluster.heal();
}

#[test]
fn entries_of_a_follower_that_was_away_are_replaced() {
    let (mut cluster, leader) = leading(9, 5);
    let others: Vec<i32> = cluster.ids().into_iter().filter(|n| *n != leader).collect();
    for other in &others {
        cluster.cut.insert((leader.min(*other), leader.max(*other)));
    }
    for _ in 0..20 {
        cluster.propose(leader).unwrap();
    }
    cluster.run(60);
    let successor = cluster.leader().unwrap();
    for _ in 0..5 {
        cluster.propose(successor).unwrap();
        cluster.run(1);
    }
    cluster.heal();
    let applied = cluster.node(leader).state.len();
    assert_eq!(applied, cluster.node(successor).state.len());
}

#[test]
fn what_cannot_be_restored_is_refused() {
    let refused = |change: fn(&mut Restored)| {
        let mut restored = Restored::bootstrap([0]);
        let entry = |index, term| Entry {
            index,
            term,
            body: EntryBody::Empty,
        };
        restored.entries = vec![entry(2, 1), entry(3, 1)];
        assert!(Quorum::new(Config::new(0, 0), restored.clone()).is_ok());
        change(&mut restored);
        match Quorum::new(Config::new(0, 0), restored) {
            Err(NewError::BadState(text)) => text,
            _ => panic!("not refused"),
        }
    };
    assert!(refused(|r| r.entries[1].index = 4).contains("right after entry 2"));
    assert!(refused(|r| r.entries[0].term = 2).contains("right after entry 2"));
    assert!(refused(|r| r.entries[1].term = 2).contains("a hard state of term 1"));
    assert!(refused(|r| r.hard_state.commit = 4).contains("entries are lost"));
    assert!(refused(|r| r.snapshot = None).contains("no snapshot"));
    assert!(refused(|r| r.hard_state.vote = Some(-1)).contains("hard state"));
    let no_voters = refused(|r| r.snapshot.as_mut().unwrap().membership.voters.clear());
    assert!(no_voters.contains("no voters"));
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Config)| {
        let mut config = Config::new(0, 0);
        change(&mut config);
        let made = Quorum::new(config, Restored::bootstrap([0]));
        assert!(matches!(made, Err(NewError::BadConfig(_))));
    };
    refused(|config| config.node = -1);
    refused(|config| config.heartbeat_ticks = 0);
    refused(|config| config.election_ticks = 2);
    refused(|config| config.max_inflight = 0);
    refused(|config| config.max_entry_bytes = 0);
    refused(|config| config.max_backlog_bytes = 0);
}

#[test]
fn the_greatest_node_id_is_a_node() {
    let config = Config::new(i32::MAX, 0);
    let mut quorum = Quorum::new(config, Restored::bootstrap([i32::MAX])).unwrap();
    quorum.campaign().unwrap();
    assert_eq!(quorum.leader(), Some(i32::MAX));
}

#[test]
fn a_leader_whose_connections_break_is_replaced_within_a_few_ticks() {
    for seed in 0..20 {
        let (mut cluster, leader) = leading(seed, 3);
        cluster.run(5);
        cluster.crash(leader);
        for follower in (0..3).filter(|node| *node != leader) {
            cluster.quorum(follower).disconnected(leader);
        }
        cluster.run(8);
        let next = cluster.leader().filter(|next| *next != leader);
        assert!(next.is_some(), "seed {seed}: nobody leads");
    }
}

#[test]
fn a_leader_that_is_heard_of_again_stays() {
    let (mut cluster, leader) = leading(6, 3);
    cluster.run(5);
    let term = cluster.quorum(leader).term();
    for follower in (0..3).filter(|node| *node != leader) {
        cluster.quorum(follower).disconnected(leader);
        cluster.quorum(follower).disconnected(follower);
        cluster.quorum(follower).disconnected(-1);
    }
    // Its heartbeat comes before the first could stand.
    cluster.run(60);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.quorum(leader).term(), term);
}
