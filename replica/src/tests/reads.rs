//! What may be read, by whom, and what is known of epochs.

use super::fixture::{Fixture, ME, peer, sender};
use super::log::TestLog;
use crate::{NotServed, Peer};

fn log() -> TestLog {
    TestLog::of(&[(2, 10), (4, 30)])
}

#[test]
fn consumers_see_up_to_the_high_watermark() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    fixture.log.raise_start(3);
    assert_eq!(fixture.replica.visible(&fixture.log), (3, 25));
    let follower = Fixture::follower(log(), 30);
    assert_eq!(follower.replica.visible(&follower.log), (0, 30));
}

#[test]
fn the_latest_offset_is_not_available_before_the_epoch_began_to_show() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2]);
    assert_eq!(
        fixture.replica.latest_offset(),
        Err(NotServed::OffsetNotAvailable)
    );
    fixture.in_step(2, 39);
    assert_eq!(
        fixture.replica.latest_offset(),
        Err(NotServed::OffsetNotAvailable)
    );
    fixture.progress(sender(2), 40);
    assert_eq!(fixture.replica.latest_offset(), Ok(40));
    let follower = Fixture::follower(log(), 40);
    assert_eq!(
        follower.replica.latest_offset(),
        Err(NotServed::NotLeaderOrFollower)
    );
}

#[test]
fn epochs_are_answered_as_kafka_does() {
    let fixture = Fixture::leader(log(), 25, &[1, 2]);
    for (believed, epoch, answer) in [
        (-1, 2, Ok((2, 10))),
        (5, 3, Ok((2, 10))),
        (5, 4, Ok((4, 40))),
        (5, 5, Ok((5, 40))),
        (5, 6, Ok((-1, -1))),
        (4, 2, Err(NotServed::FencedLeaderEpoch)),
        (6, 2, Err(NotServed::UnknownLeaderEpoch)),
    ] {
        let got = fixture
            .replica
            .offset_for_epoch(believed, epoch, &fixture.log);
        assert_eq!(got, answer, "believed {believed}, epoch {epoch}");
    }
    let follower = Fixture::follower(log(), 40);
    assert_eq!(
        follower.replica.offset_for_epoch(5, 2, &follower.log),
        Err(NotServed::NotLeaderOrFollower)
    );
}

#[test]
fn a_consumer_reads_from_the_furthest_follower_in_its_rack() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 2, 3]);
    fixture.in_step(2, 35);
    fixture.in_step(3, 30);
    let preferred = |offset, rack: &[i32]| {
        let replica = &fixture.replica;
        replica.preferred_read_replica(offset, 1_000, |node| rack.contains(&node))
    };
    assert_eq!(preferred(20, &[2, 3]), Some(2));
    assert_eq!(preferred(20, &[3]), Some(3));
    assert_eq!(preferred(33, &[3]), None, "it has not got that far");
    assert_eq!(preferred(20, &[]), None);
    assert_eq!(
        preferred(20, &[ME, 2, 3]),
        None,
        "the leader is in the rack"
    );
}

#[test]
fn a_consumer_is_not_sent_to_a_replica_out_of_sync_or_gone() {
    let mut fixture = Fixture::leader(log(), 25, &[1, 3]);
    fixture.in_step(2, 30);
    fixture.in_step(3, 40);
    let preferred = |fixture: &Fixture| fixture.replica.preferred_read_replica(20, 1_000, |_| true);
    let rack = |fixture: &Fixture, node| {
        let replica = &fixture.replica;
        replica.preferred_read_replica(20, 1_000, |there| there == node)
    };
    assert_eq!(preferred(&fixture), None);
    assert_eq!(rack(&fixture, 2), None);
    assert_eq!(rack(&fixture, 3), Some(3));
    fixture.disconnected(sender(3));
    assert_eq!(rack(&fixture, 3), None);
}

#[test]
fn records_are_deleted_when_all_live_replicas_have_deleted_them() {
    let mut fixture = Fixture::leader(log(), 40, &[1, 2, 3]);
    fixture.in_step(2, 40);
    fixture.log.raise_start(20);
    assert_eq!(
        fixture.replica.low_watermark(&fixture.log),
        Some(-1),
        "node 3 is not heard"
    );
    fixture.peer_changed(Peer {
        eligible: false,
        ..peer(3)
    });
    assert_eq!(fixture.replica.low_watermark(&fixture.log), Some(0));
    let follower = Fixture::follower(log(), 40);
    assert_eq!(follower.replica.low_watermark(&follower.log), None);
}

#[test]
fn everybody_knows_the_leader() {
    let fixture = Fixture::follower(log(), 40);
    let hint = fixture.replica.leader_hint();
    assert_eq!((hint.leader, hint.leader_epoch), (2, 5));
    let leader = Fixture::leader(log(), 40, &[1]);
    assert_eq!(leader.replica.leader_hint().leader, ME);
    let nodes: Vec<i32> = leader.replica.followers(1_000).map(|f| f.node).collect();
    assert_eq!(nodes, [2, 3]);
}
