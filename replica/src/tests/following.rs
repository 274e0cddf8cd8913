//! The follower's rules: becoming a part of the leader's log, taking records, reporting.

use super::fixture::{Fixture, follows, reported};
use super::log::TestLog;
use crate::{AnswerKind, Assigned, Effect, LogView, Position, Refusal, Verdict};

fn log() -> TestLog {
    TestLog::of(&[(2, 10), (4, 30)])
}

fn following(high_watermark: i64) -> AnswerKind {
    AnswerKind::Following {
        high_watermark,
        log_start: 0,
    }
}

/// A follower in epoch 5 that has not been answered yet.
fn waiting(high_watermark: i64) -> Fixture {
    let mut fixture = Fixture::new(log(), high_watermark);
    let (assigned, effects) = fixture.assign(2, 5, 8, &[1, 2, 3], &[1, 2]);
    assert_eq!(assigned, Assigned::Follower);
    assert_eq!(follows(&effects), Some((4, 40)));
    fixture
}

#[test]
fn a_follower_reports_and_shows_nothing_before_its_leader_answered() {
    let mut fixture = waiting(20);
    assert_eq!(fixture.log_moved(), []);
    assert_eq!(fixture.moved(40, 0), []);
    assert_eq!(fixture.records(5, (40, 45)), (Verdict::Ignore, vec![]));
    assert_eq!(fixture.replica.high_watermark(), 20);
    let effects = fixture.answer(following(30));
    assert_eq!(reported(&effects), Some((40, 0)));
    assert_eq!(fixture.replica.high_watermark(), 30);
    assert!(fixture.replica.is_in_step());
}

#[test]
fn an_answer_to_another_position_is_not_for_this_log() {
    let mut fixture = waiting(20);
    for (last_epoch, end) in [(4, 39), (3, 40), (-1, 0)] {
        let position = Position { last_epoch, end };
        for kind in [following(30), AnswerKind::Diverged { epoch: 2, end: 10 }] {
            assert_eq!(fixture.answer_to(position, kind), []);
        }
    }
    assert!(!fixture.replica.is_in_step());
}

#[test]
fn a_follower_cuts_where_the_logs_part() {
    for (epoch, end, cut) in [
        (2, 7, 7),
        (2, 30, 10),
        (3, 25, 10),
        (4, 33, 33),
        (4, 60, 40),
    ] {
        let mut fixture = waiting(5);
        let effects = fixture.answer(AnswerKind::Diverged { epoch, end });
        assert_eq!(
            effects,
            [Effect::Truncate { end: cut }],
            "epoch {epoch} ends at {end}"
        );
        // Nothing is heard until it is done.
        assert_eq!(fixture.answer(following(40)), []);
        fixture.log.truncate(cut);
        let last_epoch = if cut > 10 { 4 } else { 2 };
        assert_eq!(follows(&fixture.truncated()), Some((last_epoch, cut)));
    }
}

#[test]
fn a_follower_that_is_in_step_is_not_cut_by_an_answer_that_comes_late() {
    let mut fixture = Fixture::follower(log(), 40);
    assert_eq!(
        fixture.answer(AnswerKind::Diverged { epoch: 2, end: 10 }),
        []
    );
}

#[test]
fn a_cut_below_the_high_watermark_takes_it_along() {
    let mut fixture = waiting(35);
    let effects = fixture.answer(AnswerKind::Diverged { epoch: 4, end: 30 });
    assert_eq!(effects[0], Effect::Truncate { end: 30 });
    assert_eq!(fixture.replica.high_watermark(), 30);
}

#[test]
fn a_log_that_ends_below_the_leaders_start_begins_anew() {
    let mut fixture = waiting(20);
    let elsewhere = Position {
        last_epoch: -1,
        end: 30,
    };
    let above = AnswerKind::OutOfRange { log_start: 30 };
    assert_eq!(fixture.answer_to(elsewhere, above), []);
    let effects = fixture.answer(AnswerKind::OutOfRange { log_start: 55 });
    assert_eq!(effects[0], Effect::RestartAt { start: 55 });
    fixture.log.restart_at(55);
    assert_eq!(follows(&fixture.truncated()), Some((-1, 55)));
    assert_eq!(fixture.replica.high_watermark(), 55);
}

#[test]
fn a_log_that_the_leader_cannot_compare_with_begins_anew() {
    let deleted = AnswerKind::OutOfRange { log_start: 40 };
    let effects = waiting(20).answer(deleted);
    assert_eq!(effects[0], Effect::RestartAt { start: 40 });
    // One that is in step stays so: the answer is an old one.
    let mut in_step = Fixture::follower(TestLog::of(&[(2, 50)]), 20);
    assert_eq!(in_step.answer(deleted), []);
    // Unless all that it has is deleted.
    let effects = in_step.answer(AnswerKind::OutOfRange { log_start: 50 });
    assert_eq!(effects[0], Effect::RestartAt { start: 50 });
}

#[test]
fn a_cut_below_the_own_start_begins_anew() {
    let mut fixture = waiting(20);
    fixture.log.raise_start(15);
    let effects = fixture.answer(AnswerKind::Diverged { epoch: 2, end: 10 });
    assert_eq!(effects[0], Effect::RestartAt { start: 10 });
}

#[test]
fn records_are_taken_only_where_the_log_ends() {
    let mut fixture = Fixture::follower(log(), 20);
    for (between, verdict) in [
        ((40, 45), Verdict::Append { from: 40 }),
        ((35, 45), Verdict::Append { from: 40 }),
        ((30, 40), Verdict::Ignore),
        ((41, 45), Verdict::Ignore),
        ((45, 45), Verdict::Ignore),
    ] {
        assert_eq!(fixture.records(5, between).0, verdict, "{between:?}");
    }
    assert_eq!(fixture.records(4, (40, 45)), (Verdict::Ignore, vec![]));
    assert_eq!(fixture.records(6, (40, 45)), (Verdict::Ignore, vec![]));
}

#[test]
fn a_gap_makes_the_follower_begin_again_once() {
    let mut fixture = Fixture::follower(log(), 20);
    assert_eq!(follows(&fixture.records(5, (41, 45)).1), Some((4, 40)));
    assert_eq!(follows(&fixture.records(5, (45, 50)).1), None);
    // And again when nobody answers.
    assert_eq!(follows(&fixture.tick(10, 0)), None);
    assert_eq!(follows(&fixture.tick(10, 0)), Some((4, 40)));
    fixture.answer(following(20));
    assert_eq!(follows(&fixture.records(5, (45, 50)).1), Some((4, 40)));
}

#[test]
fn records_that_are_there_already_make_the_follower_report_again() {
    let mut fixture = Fixture::follower(log(), 20);
    assert_eq!(reported(&fixture.log_moved()), None);
    assert_eq!(reported(&fixture.records(5, (30, 40)).1), Some((40, 0)));
}

#[test]
fn a_follower_reports_what_is_stored_not_what_is_appended() {
    let mut fixture = Fixture::follower(log(), 20);
    assert_eq!(reported(&fixture.append(5, false)), None);
    fixture.log.store(43);
    assert_eq!(reported(&fixture.log_moved()), Some((43, 0)));
}

#[test]
fn a_followers_high_watermark_is_the_leaders_within_what_is_stored() {
    let mut fixture = Fixture::follower(log(), 20);
    fixture.moved(30, 0);
    assert_eq!(fixture.replica.high_watermark(), 30);
    fixture.moved(25, 0);
    assert_eq!(fixture.replica.high_watermark(), 30);
    fixture.moved(44, 0);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.append(5, false);
    assert_eq!(fixture.replica.high_watermark(), 40);
    fixture.log.store(45);
    fixture.log_moved();
    assert_eq!(fixture.replica.high_watermark(), 44);
}

#[test]
fn a_follower_gives_up_what_its_leader_gave_up_but_not_above_the_high_watermark() {
    let mut fixture = Fixture::follower(log(), 20);
    let effects = fixture.moved(20, 30);
    assert!(effects.contains(&Effect::RaiseLogStart { start: 20 }));
    fixture.log.raise_start(20);
    assert_eq!(reported(&fixture.log_moved()), Some((40, 20)));
    let effects = fixture.moved(35, 30);
    assert!(effects.contains(&Effect::RaiseLogStart { start: 30 }));
}

#[test]
fn who_is_not_answered_or_refused_asks_again() {
    let mut fixture = waiting(20);
    assert_eq!(
        fixture.answer(AnswerKind::Refused(Refusal::UnknownEpoch)),
        []
    );
    assert_eq!(fixture.tick(19, 0), []);
    assert_eq!(follows(&fixture.tick(1, 0)), Some((4, 40)));
    fixture.answer(following(20));
    assert_eq!(fixture.tick(100, 0), []);
    // A new connection: begun again, and reported again.
    assert_eq!(follows(&fixture.connected()), Some((4, 40)));
    assert_eq!(reported(&fixture.answer(following(20))), Some((40, 0)));
}

#[test]
fn a_follower_whose_drive_filled_begins_again() {
    let mut fixture = Fixture::follower(log(), 20);
    fixture.append(5, false);
    fixture.log.take_back();
    assert_eq!(follows(&fixture.log_cut()), Some((4, 40)));
    assert_eq!(fixture.log.end(), 40);
}

#[test]
fn without_a_leader_nobody_is_asked() {
    let mut fixture = Fixture::new(log(), 20);
    let (_, effects) = fixture.assign(-1, 5, 8, &[1, 2], &[1]);
    assert_eq!(effects, []);
    assert_eq!(fixture.tick(100, 0), []);
    let (_, effects) = fixture.assign(2, 6, 9, &[1, 2], &[1, 2]);
    assert_eq!(follows(&effects), Some((4, 40)));
}

#[test]
fn a_change_of_the_isr_does_not_interrupt_a_follower() {
    let mut fixture = Fixture::follower(log(), 20);
    let (assigned, effects) = fixture.assign(2, 5, 9, &[1, 2, 3], &[1, 2, 3]);
    assert_eq!((assigned, effects), (Assigned::FollowerUpdated, vec![]));
    assert!(fixture.replica.is_in_step());
}
