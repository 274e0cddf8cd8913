//! Who may append, and what those who wait are told.

use super::fixture::{Fixture, ME, sender, settings};
use super::log::TestLog;
use crate::{Ack, Effect, NotServed, Settings};

fn log() -> TestLog {
    TestLog::of(&[(2, 10), (4, 30)])
}

fn with_min(min_insync_replicas: usize, isr: &[i32]) -> Fixture {
    let mut fixture = Fixture::leader(log(), 40, isr);
    fixture.replica.set_settings(Settings {
        min_insync_replicas,
        ..settings()
    });
    fixture
}

#[test]
fn acks_all_needs_min_insync_replicas_before_the_append() {
    for (min, isr, all) in [
        (1, &[1][..], Ok(())),
        (2, &[1][..], Err(NotServed::NotEnoughReplicas)),
        (2, &[1, 2][..], Ok(())),
        // No more than there are.
        (5, &[1, 2][..], Err(NotServed::NotEnoughReplicas)),
        (5, &[1, 2, 3][..], Ok(())),
    ] {
        let fixture = with_min(min, isr);
        assert_eq!(fixture.replica.check_append(true), all, "{min} of {isr:?}");
        assert_eq!(fixture.replica.check_append(false), Ok(()));
    }
}

#[test]
fn who_does_not_lead_appends_nothing() {
    let follower = Fixture::follower(log(), 40);
    for all in [false, true] {
        let refused = Err(NotServed::NotLeaderOrFollower);
        assert_eq!(follower.replica.check_append(all), refused);
    }
}

#[test]
fn a_waiter_waits_for_the_high_watermark() {
    let mut fixture = with_min(2, &[1, 2]);
    fixture.in_step(2, 40);
    fixture.append(2, true);
    assert_eq!(fixture.replica.ack(42), Ack::Wait);
    let effects = fixture.progress(sender(2), 42);
    assert_eq!(
        effects,
        [Effect::HighWatermark {
            high_watermark: 42,
            enough: true,
        }]
    );
    assert_eq!(fixture.replica.ack(42), Ack::Done);
}

#[test]
fn a_waiter_is_told_when_too_few_are_left_in_sync() {
    let mut fixture = with_min(2, &[1, 2]);
    fixture.append(2, true);
    let (_, effects) = fixture.assign(ME, 5, 9, &[1, 2, 3], &[1]);
    assert_eq!(
        effects,
        [Effect::HighWatermark {
            high_watermark: 42,
            enough: false,
        }]
    );
    assert_eq!(fixture.replica.ack(42), Ack::NotEnoughReplicasAfterAppend);
}

#[test]
fn a_waiter_is_told_when_the_leadership_is_lost() {
    let mut fixture = with_min(1, &[1, 2]);
    fixture.append(2, true);
    fixture.assign(2, 6, 9, &[1, 2, 3], &[1, 2]);
    assert_eq!(fixture.replica.ack(42), Ack::NotLeaderOrFollower);
}

#[test]
fn a_new_epoch_of_the_same_leader_loses_no_waiter() {
    let mut fixture = with_min(1, &[1, 2]);
    fixture.append(2, true);
    let (_, effects) = fixture.assign(ME, 6, 9, &[1, 2, 3], &[1, 2]);
    assert_eq!(
        effects,
        [Effect::AssignEpoch {
            epoch: 6,
            start: 42
        }]
    );
    assert_eq!(fixture.replica.ack(42), Ack::Wait);
}
