//! Committed offsets, as a client sees them.

use coordinator::Core;
use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use super::requests::{commit, commit_of, group_id, join, subscription, text, topic_name};
use super::rig::Rig;
use crate::{Ask, Reply, Settings};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[test]
fn what_is_committed_is_found_again() {
    let mut rig = Rig::new();
    assert_eq!(rig.fetch(0, false), (-1, 0));
    assert_eq!(rig.commit(commit(-1, "", 0, 42)), 0);
    assert_eq!(rig.fetch(0, false), (42, 0));
    assert_eq!(rig.fetch(1, false), (-1, 0));
    rig.load();
    assert_eq!(rig.fetch(0, false), (42, 0));
    assert_eq!(rig.commit(commit(0, "who", 0, 43)), 25);
    assert_eq!(rig.fetch(0, false), (42, 0));
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits() {
    let mut rig = Rig::new();
    rig.commit(commit(-1, "", 0, 1));
    assert_eq!(rig.commit_of(commit_of(7, 0, 10)), 0);
    assert_eq!(rig.commit_of(commit_of(8, 1, 20)), 0);
    for _ in 0..2 {
        assert_eq!(rig.fetch(0, false), (1, 0));
        assert_eq!(rig.fetch(0, true), (-1, 88));
        assert_eq!(rig.fetch(1, true), (-1, 88));
        rig.load();
    }
    rig.end_transaction(7, true);
    rig.end_transaction(8, false);
    for _ in 0..2 {
        assert_eq!(rig.fetch(0, true), (10, 0));
        assert_eq!(rig.fetch(1, true), (-1, 0));
        rig.load();
    }
}

#[test]
fn a_later_commit_is_not_undone_by_a_transaction_that_ends_after_it() {
    let mut rig = Rig::new();
    rig.commit_of(commit_of(7, 0, 10));
    rig.commit(commit(-1, "", 0, 11));
    rig.end_transaction(7, true);
    assert_eq!(rig.fetch(0, true), (11, 0));
    rig.load();
    assert_eq!(rig.fetch(0, true), (11, 0));
}

#[test]
fn offsets_expire_when_nobody_has_committed_for_a_week() {
    let mut rig = Rig::new();
    rig.commit(commit(-1, "", 0, 1));
    rig.commit(commit(-1, "", 1, 1));
    rig.pass(4 * DAY_MS);
    rig.commit(commit(-1, "", 1, 2));
    rig.pass(4 * DAY_MS);
    assert_eq!(
        (rig.fetch(0, false), rig.fetch(1, false)),
        ((-1, 0), (2, 0))
    );
    rig.pass(4 * DAY_MS);
    assert_eq!(rig.state(), None);
    rig.load();
    assert_eq!(rig.state(), None);
    assert_eq!(rig.core.figures().expirations, 0);
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    let mut rig = Rig::new();
    rig.commit(commit(-1, "", 0, 1));
    rig.commit_of(commit_of(7, 1, 1));
    rig.topics.delete("t");
    rig.tick();
    rig.pass(1_000);
    assert_eq!(rig.core.figures().offsets, 0);
    rig.end_transaction(7, true);
    assert_eq!(rig.core.figures().offsets, 0);

    rig.topics.make("t");
    rig.commit(commit(-1, "", 0, 5));
    rig.topics.delete("t");
    rig.topics.make("t");
    // Not seen even before it is cleaned up.
    assert_eq!(rig.fetch(0, false), (-1, 0));
    rig.tick();
    rig.pass(1_000);
    assert_eq!(rig.core.figures().offsets, 0);
}

#[test]
fn offsets_are_deleted_unless_they_are_needed() {
    let mut rig = Rig::new();
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(vec![topic]);
    let delete = |rig: &mut Rig| match rig.answer(Ask::DeleteOffsets(request.clone())) {
        Reply::DeleteOffsets(answer) => (
            answer.error_code,
            answer
                .topics
                .first()
                .map_or(0, |topic| topic.partitions[0].error_code),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(delete(&mut rig), (69, 0));
    let ids = rig.stable(1);
    assert_eq!(rig.commit(commit(1, &ids[0], 0, 9)), 0);
    assert_eq!(delete(&mut rig), (0, 86));
    assert_eq!(rig.fetch(0, false), (9, 0));
    rig.leave(&[(&ids[0], None)]);
    assert_eq!(delete(&mut rig), (0, 0));
    assert_eq!(rig.fetch(0, false), (-1, 0));
}

#[test]
fn only_empty_groups_are_deleted() {
    let mut rig = Rig::new();
    let delete = |rig: &mut Rig| match rig.answer(Ask::Delete(group_id("g"))) {
        Reply::Delete(answer) => answer.error_code,
        other => panic!("{other:?}"),
    };
    assert_eq!(delete(&mut rig), 69);
    let ids = rig.stable(1);
    rig.commit(commit(1, &ids[0], 0, 9));
    assert_eq!(delete(&mut rig), 68);
    rig.leave(&[(&ids[0], None)]);
    assert_eq!(delete(&mut rig), 0);
    rig.load();
    assert_eq!((rig.state(), rig.fetch(0, false)), (None, (-1, 0)));
}

#[test]
fn what_has_expired_goes_in_pieces_that_come_to_an_end() {
    let mut rig = Rig::new();
    for group in 0..25_000 {
        rig.commit(commit(-1, "", 0, 1).with_group_id(group_id(&format!("g{group}"))));
    }
    let committed = rig.log.len();
    // Nothing to do, for topics or offsets; and that is found out in pieces, too.
    rig.topics.make("other");
    rig.tick();
    rig.pass(700_000);
    assert_eq!(rig.log.len(), committed);
    rig.now.wall_ms += 7 * DAY_MS as i64;
    let mut steps = 0;
    while rig.core.figures().offsets > 0 {
        let before = rig.core.figures().offsets;
        rig.now.mono_ms = rig.core.deadline().unwrap();
        rig.tick();
        let done = before - rig.core.figures().offsets;
        assert!(done <= 10_000, "{done} in one go");
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(rig.state(), None);
    // An offset and a group at a time: two tombstones for each.
    assert_eq!(rig.log.len(), 3 * committed);
}

#[test]
fn offsets_of_a_deleted_topic_go_in_pieces_that_come_to_an_end() {
    let mut rig = Rig::new();
    rig.topics.make("s");
    for group in 0..12_000 {
        let mut both = commit(-1, "", 0, 1).with_group_id(group_id(&format!("g{group}")));
        let mut other = both.topics[0].clone();
        other.name = topic_name("s");
        both.topics.push(other);
        rig.commit(both);
    }
    rig.topics.delete("s");
    rig.tick();
    rig.pass(1_000);
    assert_eq!(rig.core.figures().offsets, 12_000);
    rig.topics.delete("t");
    rig.tick();
    rig.pass(1_000);
    assert_eq!(rig.core.figures().offsets, 0);
}

#[test]
fn a_commit_that_no_batch_takes_is_refused_whole() {
    let mut rig = Rig::with(Settings {
        batch_max_bytes: 1_000,
        ..Settings::default()
    });
    let mut large = commit(-1, "", 0, 1);
    let partition = large.topics[0].partitions[0].clone();
    large.topics[0].partitions = vec![partition; 50];
    assert_eq!(rig.commit(large), -1);
    assert_eq!(rig.fetch(0, false), (-1, 0));
    let long = "x".repeat(4_097);
    let mut long_metadata = commit(-1, "", 0, 1);
    long_metadata.topics[0].partitions[0].committed_metadata = Some(text(&long));
    assert_eq!(rig.commit(long_metadata), 12);
    assert!(rig.log.is_empty());
}

#[test]
fn a_producer_whose_place_was_taken_is_refused_before_anything_is_written() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit_of(commit_of(7, 0, 1)), 0);
    rig.end_in_epoch(7, 1, false);
    for _ in 0..2 {
        assert_eq!(rig.commit_of(commit_of(7, 0, 2)), 47);
        let next = commit_of(7, 0, 3).with_producer_epoch(1);
        assert_eq!(rig.commit_of(next), 0);
        assert_eq!(rig.commit_of(commit_of(7, 0, 4)), 47);
        rig.load();
    }
    assert_eq!(rig.commit_of(commit_of(-1, 0, 1)), 49);
    assert_eq!(rig.log.len(), 4);
}

#[test]
fn offsets_of_a_group_that_is_not_understood_are_kept() {
    let mut rig = Rig::new();
    let mut odd = join("", None);
    odd.protocols[0].metadata = vec![1].into();
    let token = rig.join(3, odd.clone());
    rig.pass(3_000);
    let id = rig.joined(token).member_id;
    let token = rig.sync(1, &id, &[(&id, "x")]);
    assert_eq!(rig.synced(token).error_code, 0);
    assert_eq!(rig.commit(commit(1, &id, 0, 9)), 0);
    rig.now.wall_ms += 8 * DAY_MS as i64;
    for _ in 0..80 {
        rig.pass(9_000);
        assert_eq!(rig.heartbeat(1, &id), 0);
    }
    assert_eq!(rig.fetch(0, false), (9, 0));
    // Of one that is understood, what it isn't subscribed to any more goes.
    odd.member_id = id.clone();
    odd.protocols[0].metadata = subscription(&["other"]);
    let token = rig.join(3, odd);
    assert_eq!(rig.joined(token).generation_id, 2);
    let token = rig.sync(2, &id, &[(&id, "x")]);
    assert_eq!(rig.synced(token).error_code, 0);
    for _ in 0..80 {
        rig.pass(9_000);
        assert_eq!(rig.heartbeat(2, &id), 0);
    }
    assert_eq!(rig.fetch(0, false), (-1, 0));
}
