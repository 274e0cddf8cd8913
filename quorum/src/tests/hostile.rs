//! Messages that decode, but that no member sends: a member refuses them, or believes them, but goes on.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};

use super::cluster::Cluster;
use super::*;

fn refused(quorum: &mut Quorum, term: u64, body: Body) -> StepError {
    let message = Message {
        from: 1,
        to: 0,
        term,
        body,
    };
    quorum.step(message).unwrap_err()
}

fn append(previous_index: u64, previous_term: u64, entries: Vec<Entry>) -> Body {
    Body::Append {
        previous_index,
        previous_term,
        commit: 0,
        entries,
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        body: EntryBody::Payload(payload(index)),
    }
}

#[test]
fn what_no_member_sends_is_refused() {
    let config = Config::new(0, 0);
    let mut quorum = Quorum::new(config, Restored::bootstrap(0..3)).unwrap();
    let impossible = |error| matches!(error, StepError::Impossible { .. });
    for body in [
        append(0, 0, vec![entry(1, 1)]),
        append(0, 1, vec![]),
        append(1, 0, vec![]),
        append(1, 1, vec![entry(3, 2)]),
        append(1, 1, vec![entry(2, 2), entry(2, 2)]),
        append(1, 2, vec![entry(2, 1)]),
        append(1, 1, vec![entry(2, 3)]),
        append(u64::MAX, 1, vec![]),
        append(i64::MAX as u64, 1, vec![entry(1 << 63, 2)]),
        append(
            1,
            1,
            vec![Entry {
                body: EntryBody::Payload(Bytes::new()),
                ..entry(2, 2)
            }],
        ),
        Body::Heartbeat {
            commit: u64::MAX,
            read: None,
        },
    ] {
        assert!(
            impossible(refused(&mut quorum, 2, body.clone())),
            "{body:?}"
        );
    }
    assert!(impossible(refused(&mut quorum, 0, Body::Stand)));
    assert!(impossible(refused(&mut quorum, u64::MAX, Body::Stand)));
    let beyond = Body::Heartbeat {
        commit: 2,
        read: None,
    };
    let (from, index) = (1, 2);
    assert_eq!(
        refused(&mut quorum, 2, beyond),
        StepError::NotInLog { from, index }
    );
    for (from, to) in [(1, 1), (0, 0), (-1, 0), (1, 2)] {
        let message = Message {
            from,
            to,
            term: 2,
            body: Body::Stand,
        };
        let here = 0;
        assert_eq!(
            quorum.step(message),
            Err(StepError::Misdirected { from, to, here })
        );
    }
    assert_eq!((quorum.term(), quorum.last_index()), (1, 1));
    assert!(
        quorum.ready().is_none(),
        "a message that was refused did something"
    );
}

#[test]
fn memberships_that_cannot_be_are_refused() {
    let config = Config::new(0, 0);
    let mut quorum = Quorum::new(config, Restored::bootstrap(0..3)).unwrap();
    let several = |from: i32, count: i32| (from..from + count).collect::<Vec<_>>();
    let list = |voters: &[i32], learners: &[i32], outgoing: &[i32], next: &[i32]| Membership {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        outgoing: outgoing.to_vec(),
        next_learners: next.to_vec(),
    };
    for membership in [
        list(&[], &[0], &[], &[]),
        list(&[1, 0], &[], &[], &[]),
        list(&[0, 0], &[], &[], &[]),
        list(&[-1, 0], &[], &[], &[]),
        list(&[0], &[0], &[], &[]),
        list(&[0], &[1], &[1], &[]),
        list(&[0], &[], &[], &[1]),
        list(&[0], &[], &[0, 1], &[0]),
        list(&several(0, MEMBERS_MAX as i32 + 1), &[], &[], &[]),
    ] {
        let mark = SnapshotMark {
            index: 9,
            term: 2,
            membership,
        };
        let body = Body::Snapshot {
            mark: mark.clone(),
            content: Bytes::new(),
        };
        let error = refused(&mut quorum, 2, body);
        assert!(matches!(error, StepError::Impossible { .. }), "{mark:?}");
    }
    let membership = Membership::of([0], []);
    let content = Bytes::new();
    let later = SnapshotMark {
        index: 9,
        term: 3,
        membership: membership.clone(),
    };
    let error = refused(
        &mut quorum,
        2,
        Body::Snapshot {
            mark: later,
            content: content.clone(),
        },
    );
    assert!(matches!(error, StepError::Impossible { .. }));
    let other = SnapshotMark {
        index: 1,
        term: 2,
        membership,
    };
    let error = refused(
        &mut quorum,
        2,
        Body::Snapshot {
            mark: other,
            content,
        },
    );
    assert_eq!(error, StepError::NotInLog { from: 1, index: 1 });
}

#[test]
fn a_second_leader_and_answers_to_nothing_are_refused() {
    let mut cluster = Cluster::new(3, 3, 0);
    let leader = cluster.elect();
    let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let term = cluster.quorum(leader).term();
    let heartbeat = |from, to| Message {
        from,
        to,
        term,
        body: Body::Heartbeat {
            commit: 0,
            read: None,
        },
    };
    let from = other;
    for to in [leader, follower] {
        let result = cluster.quorum(to).step(heartbeat(other, to));
        assert_eq!(result, Err(StepError::TwoLeaders { from, term, leader }));
    }
    let index = cluster.quorum(leader).last_index() + 1;
    let answer = Message {
        from,
        to: leader,
        term,
        body: Body::AppendResult {
            index,
            rejected: false,
            hint_index: 0,
            hint_term: 0,
            commit: 0,
        },
    };
    let result = cluster.quorum(leader).step(answer);
    assert_eq!(result, Err(StepError::NotInLog { from, index }));
}

/// The rejection of raft-rs #557: it comes late, and the leader would go back to what the follower is known
/// to have.
#[test]
fn a_late_rejection_does_not_send_a_leader_back() {
    let mut cluster = Cluster::new(5, 3, 0);
    let leader = cluster.elect();
    for _ in 0..5 {
        cluster.propose(leader).unwrap();
    }
    cluster.settle();
    let to = (leader + 1) % 3;
    let quorum = cluster.quorum(leader);
    let (matched, term) = (quorum.last_index(), quorum.term());
    quorum.unreachable(to);
    for hint_index in 0..matched {
        for index in [matched, matched + 1] {
            let rejection = Message {
                from: to,
                to: leader,
                term,
                body: Body::AppendResult {
                    index,
                    rejected: true,
                    hint_index,
                    hint_term: 1,
                    commit: 0,
                },
            };
            quorum.step(rejection).unwrap();
            let progress = quorum.raw.raft.prs().get(membership::raft_id(to));
            let progress = progress.unwrap();
            assert!(progress.next_idx > progress.matched, "{progress:?}");
        }
    }
    cluster.heal();
}

/// Bodies near what would be right, so that they get past the first looks.
fn near(random: &mut Random, quorum: &Quorum, any: Body) -> Body {
    let about = |random: &mut Random, number: u64| (number + random.below(5)).saturating_sub(2);
    let last = about(random, quorum.last_index());
    let commit = about(random, quorum.commit_index());
    let term = quorum.term();
    match any {
        Body::Append { mut entries, .. } => {
            let previous_index = random.pick(&[last, commit]);
            let previous_term = about(random, term).max(1);
            for (index, entry) in (previous_index + 1..).zip(&mut entries) {
                (entry.index, entry.term) = (index, term.max(previous_term));
                if let EntryBody::Changes { changes, .. } = &mut entry.body {
                    changes.iter_mut().for_each(|change| change.node &= 7);
                }
            }
            Body::Append {
                previous_index,
                previous_term,
                commit: random.pick(&[last, commit]),
                entries,
            }
        }
        Body::AppendResult { rejected, .. } => Body::AppendResult {
            index: random.pick(&[last, commit]),
            rejected,
            hint_index: about(random, last),
            hint_term: about(random, term),
            commit,
        },
        Body::VoteRequest(VoteRequest { trial, forced, .. }) => Body::VoteRequest(VoteRequest {
            trial,
            forced,
            last_index: last,
            last_term: term,
            commit,
            commit_term: about(random, term),
        }),
        Body::VoteResult(VoteResult {
            trial, rejected, ..
        }) => Body::VoteResult(VoteResult {
            trial,
            rejected,
            commit,
            commit_term: about(random, term),
        }),
        Body::Snapshot { mut mark, content } => {
            mark.index = random.pick(&[last, commit]);
            mark.term = about(random, term).max(1);
            let node = |random: &mut Random| random.below(5) as i32;
            let several = |random: &mut Random| (0..3).map(|_| node(random)).collect::<Vec<_>>();
            mark.membership = Membership::of(several(random), []);
            if random.chance(30) {
                mark.membership.outgoing = Membership::of(several(random), []).voters;
            }
            Body::Snapshot { mark, content }
        }
        Body::Heartbeat { read, .. } => Body::Heartbeat {
            commit: random.pick(&[last, commit]),
            read,
        },
        Body::HeartbeatResult { read, .. } => Body::HeartbeatResult { commit, read },
        Body::Stand => Body::Stand,
    }
}

/// One member alone against a world that says anything.
fn besiege(seed: u64, bodies: &impl Strategy<Value = Body>, runner: &mut TestRunner) -> [u64; 2] {
    let _seed = Seed(seed);
    let mut random = Random(seed);
    let mut quorum = Quorum::new(
        Config {
            keep_entries: seed % 4,
            ..Config::new(0, seed)
        },
        Restored::bootstrap(0..random.pick(&[1, 3])),
    )
    .unwrap();
    let (mut writes, mut taken, mut refused) = (Vec::new(), 0, 0);
    for _ in 0..400 {
        match random.below(20) {
            0..4 => quorum.tick(),
            4 => {
                let _ = quorum.campaign();
            }
            5 => {
                let _ = quorum.propose(payload(1));
            }
            6 => {
                let _ = quorum.add_learner(random.below(5) as i32);
            }
            7 => {
                let _ = quorum.set_voters(&[0, random.below(5) as i32]);
            }
            8 => quorum.report_snapshot(random.below(5) as i32, random.chance(50)),
            9 => {
                let _ = quorum.read_index(random.next());
            }
            10 => {
                let index = quorum.commit_index();
                quorum.applied(index);
                let _ = quorum.snapshot_taken(index.saturating_sub(random.below(3)), Bytes::new());
            }
            11..14 => writes.extend(std::iter::from_fn(|| quorum.ready()).map(|r| r.number)),
            14 if !writes.is_empty() => {
                let written = random.below(writes.len() as u64) as usize;
                quorum.persisted(writes[written]);
                writes.drain(..=written);
            }
            15 => {
                let _ = quorum.transfer_leader(random.below(5) as i32);
            }
            _ => {}
        }
        let body = bodies.new_tree(runner).unwrap().current();
        let body = match random.chance(90) {
            true => near(&mut random, &quorum, body),
            false => body,
        };
        let from = match random.chance(50) {
            true => quorum.leader().unwrap_or(1),
            false => random.below(5) as i32,
        };
        let term = (quorum.term() + random.pick(&[0, 0, 0, 0, 0, 1, 2]))
            .saturating_sub(random.below(5) / 4);
        match quorum.step(Message {
            from,
            to: 0,
            term,
            body,
        }) {
            Ok(()) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    [taken, refused]
}

#[test]
fn messages_of_any_kind_are_survived() {
    let bodies = codec::any_body();
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(RunnerConfig::default(), rng);
        let [now_taken, now_refused] = besiege(seed, &bodies, &mut runner);
        (taken, refused) = (taken + now_taken, refused + now_refused);
    }
    assert!(
        taken > 20_000 && refused > 20_000,
        "{taken} taken, {refused} refused"
    );
}
