//! The rules of the ISR: who joins, who leaves, and what the controller's answers mean.

use super::fixture::{Fixture, ME, asked, peer, sender};
use super::log::TestLog;
use crate::{Effect, IsrAnswer, Peer};

fn log() -> TestLog {
    TestLog::of(&[(2, 10), (4, 30)])
}

fn accepted(partition_epoch: i32) -> IsrAnswer {
    IsrAnswer::Accepted { partition_epoch }
}

#[test]
fn a_replica_joins_at_the_high_watermark_and_at_the_start_of_the_epoch() {
    // High watermark 25, the epoch began at 40.
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    assert_eq!(asked(&fixture.in_step(3, 25)), None);
    assert_eq!(asked(&fixture.progress(sender(3), 39)), None);
    let effects = fixture.progress(sender(3), 40);
    assert_eq!(asked(&effects), Some((1, vec![1, 2, 3])));
    let Some(Effect::AlterPartition(change)) = effects.first() else {
        panic!("it comes first");
    };
    assert_eq!((change.leader_epoch, change.partition_epoch), (5, 8));
    // The follower not heard of yet is vouched for by the controller.
    let epochs: Vec<i64> = change.isr.iter().map(|m| m.broker_epoch).collect();
    assert_eq!(epochs, [10, -1, 30]);
    // High watermark above the start of the epoch.
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.append(5, true);
    assert_eq!(asked(&fixture.in_step(3, 40)), None);
    assert_eq!(
        asked(&fixture.progress(sender(3), 45)),
        Some((1, vec![1, 3]))
    );
}

#[test]
fn who_is_fenced_or_not_the_registered_process_does_not_join() {
    for peer in [
        Peer {
            eligible: false,
            ..peer(3)
        },
        Peer {
            broker_epoch: 31,
            ..peer(3)
        },
    ] {
        let mut fixture = Fixture::leader(log(), 25, &[1]);
        fixture.follow(sender(3), 4, 40);
        fixture.peer_changed(peer);
        assert_eq!(asked(&fixture.progress(sender(3), 40)), None);
    }
}

#[test]
fn one_change_is_under_way_at_a_time_and_its_member_is_waited_for() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    assert!(asked(&fixture.in_step(2, 40)).is_some());
    assert_eq!(asked(&fixture.in_step(3, 40)), None);
    fixture.append(2, true);
    assert_eq!(fixture.replica.high_watermark(), 40);
    assert_eq!(fixture.replica.isr_len(), 1);
    fixture.isr_answer(1, accepted(9));
    assert_eq!(
        (fixture.replica.isr_len(), fixture.replica.partition_epoch()),
        (2, 9)
    );
    // Node 3 has all that is shown, and its turn comes.
    assert_eq!(asked(&fixture.tick(1, 0)), Some((2, vec![1, 2, 3])));
}

#[test]
fn who_has_not_caught_up_for_too_long_leaves_when_the_controller_agrees() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2, 3]);
    fixture.in_step(2, 40);
    assert_eq!(asked(&fixture.tick(100, 0)), None);
    let effects = fixture.tick(1, 0);
    assert_eq!(asked(&effects), Some((1, vec![1, 2])));
    fixture.append(1, true);
    fixture.progress(sender(2), 41);
    assert_eq!(
        fixture.replica.high_watermark(),
        25,
        "it counts until the answer"
    );
    fixture.isr_answer(1, accepted(9));
    assert_eq!(fixture.replica.high_watermark(), 41);
}

#[test]
fn an_idle_follower_stays_as_long_as_its_connection_is_heard() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.in_step(2, 40);
    for _ in 0..10 {
        assert_eq!(asked(&fixture.tick(50, 30)), None);
    }
    assert_eq!(asked(&fixture.tick(50, 80)), None);
    assert_eq!(asked(&fixture.tick(50, 130)), Some((1, vec![1])));
}

#[test]
fn a_follower_that_always_trails_a_little_has_caught_up_by_kafkas_rule() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.in_step(2, 40);
    for end in 41..60 {
        fixture.append(1, true);
        assert_eq!(asked(&fixture.tick(50, 0)), None);
        // It has what the leader had at its report before.
        fixture.progress(sender(2), end - 1);
    }
    // It reports, but no longer what the leader had then.
    fixture.append(1, true);
    assert_eq!(asked(&fixture.tick(50, 0)), None);
    fixture.progress(sender(2), 58);
    assert_eq!(asked(&fixture.tick(51, 0)), Some((1, vec![1])));
}

#[test]
fn who_left_for_silence_is_back_when_it_is_heard() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.in_step(2, 40);
    assert_eq!(asked(&fixture.tick(200, 150)), Some((1, vec![1])));
    fixture.isr_answer(1, accepted(9));
    assert_eq!(asked(&fixture.tick(1, 151)), None);
    assert_eq!(asked(&fixture.tick(1, 0)), Some((2, vec![1, 2])));
}

#[test]
fn what_nobody_answers_is_asked_again_under_another_number() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.in_step(2, 40);
    assert_eq!(asked(&fixture.tick(19, 0)), None);
    assert_eq!(fixture.isr_answer(1, IsrAnswer::Unknown), []);
    assert_eq!(asked(&fixture.tick(1, 0)), Some((2, vec![1, 2])));
    fixture.isr_answer(1, accepted(9));
    assert_eq!(
        fixture.replica.isr_len(),
        2,
        "either copy may have been accepted"
    );
}

#[test]
fn a_refusal_counts_only_for_the_last_copy() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.in_step(2, 40);
    fixture.tick(20, 0);
    fixture.append(1, true);
    fixture.disconnected(sender(2));
    fixture.isr_answer(1, IsrAnswer::Ineligible);
    assert_eq!(
        fixture.replica.high_watermark(),
        40,
        "the second copy may be accepted yet"
    );
    fixture.isr_answer(2, IsrAnswer::Ineligible);
    assert_eq!(fixture.replica.high_watermark(), 41);
}

#[test]
fn who_was_refused_is_asked_for_again_later() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.in_step(2, 40);
    fixture.isr_answer(1, IsrAnswer::Ineligible);
    assert_eq!(asked(&fixture.progress(sender(2), 40)), None);
    fixture.tick(10, 0);
    assert_eq!(asked(&fixture.tick(10, 0)), Some((2, vec![1, 2])));
}

#[test]
fn what_only_metadata_can_tell_is_waited_for() {
    for answer in [
        IsrAnswer::Fenced,
        IsrAnswer::InvalidVersion,
        IsrAnswer::NotLeader,
    ] {
        let mut fixture = Fixture::leader(log(), 25, &[1]);
        fixture.in_step(2, 40);
        fixture.isr_answer(1, answer);
        fixture.append(1, true);
        fixture.disconnected(sender(2));
        assert_eq!(asked(&fixture.tick(60, 0)), None, "{answer:?}");
        assert_eq!(fixture.replica.high_watermark(), 40, "{answer:?}");
        fixture.assign(ME, 5, 9, &[1, 2, 3], &[1]);
        assert_eq!(fixture.replica.high_watermark(), 41, "{answer:?}");
    }
}

#[test]
fn an_answer_to_an_earlier_change_means_nothing() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.in_step(2, 40);
    fixture.assign(ME, 5, 9, &[1, 2, 3], &[1]);
    fixture.tick(1, 0);
    for answer in [accepted(10), IsrAnswer::Ineligible, IsrAnswer::Fenced] {
        fixture.isr_answer(1, answer);
    }
    assert_eq!(fixture.replica.isr_len(), 1);
    fixture.isr_answer(2, accepted(10));
    assert_eq!(fixture.replica.isr_len(), 2);
}

#[test]
fn metadata_that_says_what_an_answer_said_leaves_the_next_change_alone() {
    let mut fixture = Fixture::leader(log(), 25, &[1]);
    fixture.in_step(2, 40);
    fixture.isr_answer(1, accepted(9));
    assert!(asked(&fixture.in_step(3, 40)).is_some());
    fixture.assign(ME, 5, 9, &[1, 2, 3], &[1, 2]);
    fixture.append(1, true);
    fixture.progress(sender(2), 41);
    assert_eq!(
        fixture.replica.high_watermark(),
        40,
        "node 3 may be in the ISR already"
    );
}
