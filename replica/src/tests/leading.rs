//! The leader's rules: beginning an epoch, answering followers, the high watermark, sending.

use super::fixture::{Fixture, ME, peer, sender};
use super::log::TestLog;
use crate::{AnswerKind, Assigned, Effect, LogView, Next, Peer, Refusal, Sender};

fn log() -> TestLog {
    TestLog::of(&[(2, 10), (4, 30)])
}

#[test]
fn a_new_leader_notes_its_epoch_and_keeps_its_high_watermark() {
    let mut fixture = Fixture::new(log(), 25);
    let (assigned, effects) = fixture.assign(ME, 5, 8, &[1, 2, 3], &[1, 2]);
    assert_eq!(assigned, Assigned::Leader);
    assert_eq!(
        effects,
        [Effect::AssignEpoch {
            epoch: 5,
            start: 40
        }]
    );
    assert_eq!(fixture.replica.high_watermark(), 25);
    assert_eq!(fixture.log.latest_epoch(), Some(5));
}

#[test]
fn a_single_replica_shows_what_is_stored_at_once() {
    let mut fixture = Fixture::new(log(), 0);
    let (_, effects) = fixture.assign(ME, 5, 8, &[1], &[1]);
    let moved = |high_watermark| Effect::HighWatermark {
        high_watermark,
        enough: true,
    };
    assert_eq!(effects[1..], [moved(40)]);
    assert_eq!(fixture.append(2, false), []);
    assert_eq!(fixture.append(1, true), [moved(43)]);
}

#[test]
fn metadata_that_is_older_or_known_changes_nothing() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    for (leader, leader_epoch, partition_epoch, what) in [
        (2, 4, 9, Assigned::Stale),
        (ME, 5, 7, Assigned::Stale),
        (2, 5, 9, Assigned::Stale),
        (ME, 5, 8, Assigned::Known),
    ] {
        let all = [1, 2, 3];
        let (assigned, effects) = fixture.assign(leader, leader_epoch, partition_epoch, &all, &[1]);
        assert_eq!(
            (assigned, effects),
            (what, vec![]),
            "{leader_epoch} {partition_epoch}"
        );
        assert_eq!(fixture.replica.isr_len(), 2);
    }
}

#[test]
fn who_loses_the_leadership_says_so_once() {
    for (leader, replicas, what) in [
        (2, &[1, 2][..], Assigned::Follower),
        (-1, &[1, 2][..], Assigned::Follower),
        (2, &[2, 3][..], Assigned::Gone),
    ] {
        let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
        let (assigned, effects) = fixture.assign(leader, 6, 9, replicas, &[2]);
        assert_eq!(assigned, what);
        let lost = effects.iter().filter(|e| **e == Effect::LeadershipLost);
        assert_eq!(lost.count(), 1);
        let (_, again) = fixture.assign(leader, 7, 10, replicas, &[2]);
        assert!(!again.contains(&Effect::LeadershipLost));
    }
}

#[test]
fn an_epoch_that_is_in_the_log_of_a_new_process_is_not_led_again() {
    let mut fixture = Fixture::new(TestLog::of(&[(5, 10)]), 10);
    let (_, effects) = fixture.assign(ME, 5, 8, &[1, 2], &[1, 2]);
    assert!(effects.contains(&Effect::Resign { leader_epoch: 5 }));
    assert!(!fixture.replica.is_leader());
    // Nobody else can have records of it where there is nobody else.
    let mut fixture = Fixture::new(TestLog::of(&[(5, 10)]), 10);
    fixture.assign(ME, 5, 8, &[1], &[1]);
    assert!(fixture.replica.is_leader());
}

#[test]
fn a_follower_is_answered_by_where_its_log_leaves_the_leaders() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.log.raise_start(5);
    let following = AnswerKind::Following {
        high_watermark: 25,
        log_start: 5,
    };
    let out_of_range = AnswerKind::OutOfRange { log_start: 5 };
    let diverged = |epoch, end| AnswerKind::Diverged { epoch, end };
    for (last_epoch, end, answer) in [
        (4, 40, following),
        (4, 12, following),
        (2, 10, following),
        (-1, 5, following),
        (-1, 20, following),
        (-1, 41, out_of_range),
        (-1, 0, out_of_range),
        (2, 4, out_of_range),
        (2, 15, diverged(2, 10)),
        (3, 10, diverged(2, 10)),
        (4, 41, diverged(4, 40)),
        (5, 41, diverged(5, 40)),
        (1, 8, out_of_range),
        (6, 40, AnswerKind::Refused(Refusal::UnknownEpoch)),
    ] {
        let got = fixture.follow(sender(2), last_epoch, end);
        assert_eq!(got, answer, "epoch {last_epoch}, end {end}");
    }
}

#[test]
fn a_follow_that_is_not_for_this_leadership_is_refused_by_why() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    let mut refused = |from, leader_epoch, partition_epoch| match fixture.follow_in(
        from,
        leader_epoch,
        partition_epoch,
        4,
        40,
    ) {
        AnswerKind::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(sender(2), 4, 8), Refusal::FencedEpoch);
    assert_eq!(refused(sender(2), 6, 8), Refusal::UnknownEpoch);
    assert_eq!(refused(sender(9), 5, 8), Refusal::NotReplica);
    assert_eq!(refused(sender(2), 5, 7), Refusal::NotReplica);
    let earlier = Sender {
        broker_epoch: 19,
        ..sender(2)
    };
    assert_eq!(refused(earlier, 5, 8), Refusal::StaleBroker);
    let mut follower = Fixture::follower(log(), 25);
    assert_eq!(
        follower.follow(sender(3), 4, 40),
        AnswerKind::Refused(Refusal::NotLeader)
    );
}

#[test]
fn the_high_watermark_is_the_least_stored_end_of_the_isr_and_of_the_leader() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2, 3]);
    fixture.in_step(2, 40);
    assert_eq!(fixture.replica.high_watermark(), 25);
    fixture.in_step(3, 30);
    assert_eq!(fixture.replica.high_watermark(), 30);
    fixture.progress(sender(3), 40);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.append(2, false);
    fixture.progress(sender(2), 42);
    fixture.progress(sender(3), 42);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.log.store(42);
    fixture.log_moved();
    assert_eq!(fixture.replica.high_watermark(), 42);
}

#[test]
fn the_high_watermark_does_not_go_back_when_the_isr_grows_or_a_report_comes_late() {
    let mut fixture = Fixture::leader(log(), 0, &[1]);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.assign(ME, 5, 9, &[1, 2, 3], &[1, 2]);
    fixture.in_step(2, 20);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.progress(sender(2), 40);
    assert_eq!(fixture.progress(sender(2), 30), []);
    fixture.append(1, true);
    fixture.progress(sender(2), 41);
    assert_eq!(fixture.replica.high_watermark(), 41);
}

#[test]
fn reports_of_strangers_of_earlier_lives_and_beyond_the_log_mean_nothing() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    assert_eq!(fixture.progress(sender(2), 40), [], "it has not begun");
    fixture.in_step(2, 30);
    let earlier = Sender {
        broker_epoch: 19,
        ..sender(2)
    };
    let other_session = Sender {
        session: 0,
        ..sender(2)
    };
    for (from, stable_end) in [
        (sender(7), 40),
        (earlier, 40),
        (other_session, 40),
        (sender(2), 41),
    ] {
        assert_eq!(
            fixture.progress(from, stable_end),
            [],
            "{from:?} {stable_end}"
        );
    }
    assert_eq!(fixture.replica.high_watermark(), 30);
}

#[test]
fn who_begins_anew_has_to_report_anew() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2, 3]);
    fixture.in_step(3, 40);
    let anew = Sender {
        session: 2,
        ..sender(3)
    };
    fixture.follow(anew, -1, 0);
    fixture.in_step(2, 40);
    assert_eq!(fixture.replica.high_watermark(), 25);
    fixture.progress(anew, 33);
    assert_eq!(fixture.replica.high_watermark(), 33);
}

#[test]
fn a_follower_that_keeps_up_is_waited_for_though_it_is_not_in_the_isr() {
    let mut fixture = Fixture::leader(log(), 0, &[1]);
    fixture.in_step(2, 40);
    // In step, but the controller was asked already: as if it had refused.
    fixture.isr_answer(1, crate::IsrAnswer::Ineligible);
    fixture.append(2, true);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.peer_changed(Peer {
        eligible: false,
        ..peer(2)
    });
    assert_eq!(fixture.replica.high_watermark(), 42);
}

#[test]
fn a_follower_that_hung_up_is_waited_for_only_in_the_isr() {
    for (isr, reached) in [(&[1][..], 42), (&[1, 2][..], 40)] {
        let mut fixture = Fixture::leader(log(), 0, isr);
        fixture.in_step(2, 40);
        fixture.isr_answer(1, crate::IsrAnswer::Ineligible);
        fixture.append(2, true);
        fixture.disconnected(sender(2));
        assert_eq!(fixture.replica.high_watermark(), reached);
    }
}

#[test]
fn a_follower_is_sent_records_then_what_moved_then_nothing() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    assert_eq!(fixture.replica.next_for(2, &fixture.log), Next::Nothing);
    fixture.in_step(2, 30);
    let next = fixture.replica.next_for(2, &fixture.log);
    assert_eq!(next, Next::Records { from: 30, end: 40 });
    let header = fixture
        .replica
        .sent_records(2, 5, (30, 40), &fixture.log)
        .unwrap();
    assert_eq!(
        (
            header.base_offset,
            header.next_offset,
            header.high_watermark
        ),
        (30, 40, 30)
    );
    assert_eq!(fixture.replica.next_for(2, &fixture.log), Next::Nothing);
    fixture.progress(sender(2), 40);
    let Next::Moved(moved) = fixture.replica.next_for(2, &fixture.log) else {
        panic!("the high watermark moved");
    };
    assert_eq!(moved.high_watermark, 40);
    fixture.replica.sent_moved(2, &moved);
    assert_eq!(fixture.replica.next_for(2, &fixture.log), Next::Nothing);
    fixture.log.raise_start(35);
    assert!(
        matches!(fixture.replica.next_for(2, &fixture.log), Next::Moved(m) if m.log_start == 35)
    );
}

#[test]
fn records_read_in_another_epoch_are_not_sent() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.in_step(2, 30);
    assert_eq!(
        fixture.replica.sent_records(2, 4, (30, 40), &fixture.log),
        None
    );
    assert_eq!(
        fixture.replica.next_for(2, &fixture.log),
        Next::Records { from: 30, end: 40 }
    );
}

#[test]
fn a_follower_below_the_log_start_is_told_to_begin_anew() {
    let mut fixture = Fixture::leader(log(), 40, &[1]);
    fixture.in_step(2, 10);
    fixture.log.raise_start(20);
    let Next::OutOfRange(answer) = fixture.replica.next_for(2, &fixture.log) else {
        panic!("its records are gone");
    };
    assert_eq!(answer.kind, AnswerKind::OutOfRange { log_start: 20 });
    assert_eq!(fixture.replica.next_for(2, &fixture.log), Next::Nothing);
}

#[test]
fn a_follower_whose_last_epoch_is_deleted_here_is_told_to_begin_anew() {
    // Epochs 2 and 4, of which 2 ended at 10.
    let mut fixture = Fixture::leader(log(), 40, &[1]);
    fixture.log.raise_start(14);
    let out_of_range = AnswerKind::OutOfRange { log_start: 14 };
    for end in [14, 20, 41] {
        // What it has of 2 may be above 10, and then was never committed.
        assert_eq!(fixture.follow(sender(2), 2, end), out_of_range);
        assert_eq!(fixture.follow(sender(2), 3, end), out_of_range);
    }
    let following = AnswerKind::Following {
        high_watermark: 40,
        log_start: 14,
    };
    assert_eq!(fixture.follow(sender(2), 4, 14), following);
    assert_eq!(fixture.follow(sender(2), -1, 14), following);
}

#[test]
fn a_log_without_records_continues_where_all_was_deleted() {
    let mut fixture = Fixture::leader(log(), 40, &[1]);
    fixture.log.raise_start(40);
    let following = AnswerKind::Following {
        high_watermark: 40,
        log_start: 40,
    };
    assert_eq!(fixture.follow(sender(2), 5, 40), following);
    assert_eq!(fixture.follow(sender(2), -1, 40), following);
}

#[test]
fn a_leader_resigns_when_records_are_taken_back_that_others_may_have() {
    for (shown, resigns) in [(false, false), (true, true)] {
        let mut fixture = Fixture::leader(log(), 40, &[1, 2]);
        fixture.in_step(2, 40);
        fixture.append(3, false);
        if shown {
            fixture.replica.next_for(2, &fixture.log);
        }
        fixture.log.take_back();
        let effects = fixture.log_cut();
        assert_eq!(
            effects.contains(&Effect::Resign { leader_epoch: 5 }),
            resigns
        );
        assert_eq!(effects.contains(&Effect::LeadershipLost), resigns);
        assert_eq!(fixture.replica.is_leader(), !resigns);
        // Either way followers can be told where epochs end.
        assert!(resigns || fixture.log.latest_epoch() == Some(5));
        fixture.assign(ME, 6, 9, &[1, 2, 3], &[1, 2]);
        assert!(
            fixture.replica.is_leader(),
            "the next epoch is another matter"
        );
    }
}

#[test]
fn a_leader_that_resigned_asks_again_until_there_is_another_epoch() {
    let mut fixture = Fixture::leader(log(), 40, &[1, 2]);
    fixture.in_step(2, 40);
    fixture.append(3, false);
    fixture.replica.next_for(2, &fixture.log);
    fixture.log.take_back();
    let resign = Effect::Resign { leader_epoch: 5 };
    assert!(fixture.log_cut().contains(&resign));
    assert_eq!(fixture.tick(1, 0), []);
    for _ in 0..2 {
        assert_eq!(fixture.tick(10, 0), []);
        assert_eq!(fixture.tick(10, 0), std::slice::from_ref(&resign));
    }
    fixture.assign(ME, 6, 9, &[1, 2, 3], &[1, 2]);
    assert!(!fixture.tick(20, 0).contains(&resign));
}
