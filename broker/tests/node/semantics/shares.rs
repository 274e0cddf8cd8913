//! Records given to members of share groups, as members see it on the wire: who gets what, what becomes of what they
//! say, and when records come again.

use super::node::{Node, shared};
use super::records::{Topic, batch, create, store};
use super::transactions;
use super::versions::Exercise;
use super::wire::{Connection, FOR_EVER};
use crate::harness::{Options, cores};
use member::{ACCEPT, GAP, Member, REJECT, RELEASE, group_of};

pub mod member;

const INVALID_REQUEST: i16 = 42;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;
const INVALID_RECORD_STATE: i16 = 121;
const SHARE_SESSION_NOT_FOUND: i16 = 122;
const INVALID_SHARE_SESSION_EPOCH: i16 = 123;
const SHARE_SESSION_LIMIT_REACHED: i16 = 133;

/// A topic with one partition and batches of these many records, and a group that shares it from its start.
fn shared_topic(connection: &mut Connection, batches: &[usize]) -> (Topic, String) {
    let topic = create(connection, "shared", 1, &[]);
    for count in batches {
        store(connection, &topic, 0, &batch(*count));
    }
    let group = group_of(connection, &topic, 1);
    (topic, group)
}

impl Exercise<'_> {
    pub(super) fn share_fetch(&mut self) {
        let group = group_of(self.connection, self.topic, 1);
        let mut member = Member::new(shared().connect(), &group, self.topic);
        assert_eq!(member.fetch(FOR_EVER), [(0, 9, 1)]);
        assert_eq!(member.lock_timeout_ms, 30_000);
    }

    pub(super) fn share_acknowledge(&mut self) {
        let group = group_of(self.connection, self.topic, 1);
        let mut member = Member::new(shared().connect(), &group, self.topic);
        assert_eq!(member.fetch(FOR_EVER), [(0, 9, 1)]);
        assert_eq!(member.acknowledge(&[(0, 9, &[ACCEPT])]), 0);
    }
}

#[test]
fn what_one_member_has_no_other_gets_and_what_is_accepted_nobody() {
    let node = shared();
    let mut connection = node.connect();
    let (topic, group) = shared_topic(&mut connection, &[4, 6]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    assert_eq!(first.fetch(FOR_EVER), [(0, 9, 1)]);
    assert_eq!(second.fetch(0), []);
    assert_eq!(first.acknowledge(&[(0, 9, &[ACCEPT])]), 0);
    assert_eq!(second.fetch(0), []);
    // New ones go to whoever asks.
    store(&mut connection, &topic, 0, &batch(2));
    assert_eq!(second.fetch(FOR_EVER), [(10, 11, 1)]);
    assert_eq!(first.fetch(0), []);
    // Another group has all of it.
    let other = group_of(&mut connection, &topic, 1);
    let mut third = Member::begin(node.connect(), &other, &topic);
    assert_eq!(third.fetch(FOR_EVER), [(0, 11, 1)]);
}

#[test]
fn released_records_come_again_and_rejected_ones_do_not() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[6]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    assert_eq!(first.fetch(FOR_EVER), [(0, 5, 1)]);
    let each = [ACCEPT, RELEASE, REJECT, GAP, RELEASE, ACCEPT];
    assert_eq!(first.acknowledge(&[(0, 5, &each)]), 0);
    assert_eq!(second.fetch(FOR_EVER), [(1, 1, 2), (4, 4, 2)]);
    assert_eq!(
        second.acknowledge(&[(1, 1, &[ACCEPT]), (4, 4, &[ACCEPT])]),
        0
    );
    assert_eq!(first.fetch(0), []);
}

#[test]
fn acknowledgements_come_with_a_fetch_too() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[3, 3]);
    let mut member = Member::begin(node.connect(), &group, &topic);
    member.max_records = 1;
    assert_eq!(member.fetch(FOR_EVER), [(0, 2, 1)]);
    member.say(&[(0, 1, &[ACCEPT]), (2, 2, &[RELEASE])]);
    // What it gave back is free once that is stored, before or after it was looked for.
    let mut given = member.fetch(FOR_EVER);
    assert_eq!(member.acknowledged, Some(0));
    given.extend(member.fetch(FOR_EVER));
    assert_eq!(member.acknowledged, None);
    given.sort_unstable();
    assert_eq!(given, [(2, 2, 2), (3, 5, 1)]);
}

#[test]
fn records_are_acquired_in_pieces_of_batches() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[3, 3, 3, 3]);
    let mut member = Member::begin(node.connect(), &group, &topic);
    member.batch_size = 4;
    member.max_records = 7;
    assert_eq!(member.fetch(FOR_EVER), [(0, 5, 1), (6, 8, 1)]);
    // Only the batches that they are in are sent.
    assert_eq!(member.sent, [(0, 2), (3, 5), (6, 8)]);
    assert_eq!(member.fetch(FOR_EVER), [(9, 11, 1)]);
    assert_eq!(member.sent, [(9, 11)]);
}

#[test]
fn what_a_member_does_not_have_it_cannot_acknowledge() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[5]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    assert_eq!(first.fetch(FOR_EVER), [(0, 4, 1)]);
    assert_eq!(
        second.acknowledge(&[(0, 4, &[ACCEPT])]),
        INVALID_RECORD_STATE
    );
    assert_eq!(first.acknowledge(&[(0, 9, &[ACCEPT])]), INVALID_REQUEST);
    assert_eq!(first.acknowledge(&[(3, 2, &[ACCEPT])]), INVALID_REQUEST);
    assert_eq!(first.acknowledge(&[(0, 4, &[])]), INVALID_REQUEST);
    assert_eq!(first.acknowledge(&[(0, 4, &[9])]), INVALID_REQUEST);
    assert_eq!(first.acknowledge(&[(0, 4, &[1, 1])]), INVALID_REQUEST);
    assert_eq!(first.acknowledge(&[(0, 4, &[ACCEPT])]), 0);
    // A second time, they lie before what the group has in hand.
    assert_eq!(first.acknowledge(&[(0, 4, &[ACCEPT])]), 0);
    let nowhere = Topic {
        id: uuid::Uuid::from_u128(7),
        ..topic.clone()
    };
    first.topic = nowhere;
    assert_eq!(first.acknowledge(&[(0, 4, &[ACCEPT])]), UNKNOWN_TOPIC_ID);
    first.topic = topic;
    first.index = 7;
    let outcome = first.acknowledge(&[(0, 4, &[ACCEPT])]);
    assert_eq!(outcome, UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn sessions_have_epochs() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[5]);
    let mut member = Member::new(node.connect(), &group, &topic);
    member.epoch = 5;
    assert_eq!(member.try_fetch(0), SHARE_SESSION_NOT_FOUND);
    member.epoch = -1;
    assert_eq!(member.try_fetch(0), SHARE_SESSION_NOT_FOUND);
    member.epoch = 0;
    member.say(&[(0, 4, &[ACCEPT])]);
    assert_eq!(member.try_fetch(0), INVALID_REQUEST);
    member.epoch = 0;
    assert_eq!(member.try_fetch(0), 0);
    member.epoch = 2;
    assert_eq!(member.try_fetch(0), INVALID_SHARE_SESSION_EPOCH);
    member.epoch = 0;
    assert_eq!(member.try_acknowledge(&[]), INVALID_SHARE_SESSION_EPOCH);
    member.epoch = 1;
    assert_eq!(member.try_acknowledge(&[]), 0);
    assert_eq!(member.epoch, 2);
    assert_eq!(member.try_fetch(0), 0);
    member.group = String::new();
    assert_eq!(member.try_fetch(0), 24, "INVALID_GROUP_ID");
}

#[test]
fn a_session_that_is_closed_gives_back_what_its_member_had() {
    let node = shared();
    let (topic, group) = shared_topic(&mut node.connect(), &[5]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    assert_eq!(first.fetch(FOR_EVER), [(0, 4, 1)]);
    first.epoch = -1;
    assert_eq!(first.acknowledge(&[(0, 1, &[ACCEPT])]), 0);
    // As if they had never been delivered.
    assert_eq!(second.fetch(FOR_EVER), [(2, 4, 1)]);
    // The connection's end is the session's.
    drop(second);
    let mut third = Member::begin(node.connect(), &group, &topic);
    assert_eq!(third.fetch(FOR_EVER), [(2, 4, 1)]);
    third.say(&[(2, 3, &[ACCEPT])]);
    third.epoch = -1;
    assert_eq!(third.fetch(FOR_EVER), []);
    assert_eq!(third.acknowledged, Some(0));
    let mut fourth = Member::begin(node.connect(), &group, &topic);
    assert_eq!(fourth.fetch(FOR_EVER), [(4, 4, 1)]);
}

#[test]
fn a_fetch_waits_for_records() {
    let node = shared();
    let mut connection = node.connect();
    let (topic, group) = shared_topic(&mut connection, &[]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    let waiting = first.send_fetch(FOR_EVER);
    store(&mut connection, &topic, 0, &batch(3));
    assert_eq!(first.receive_fetch(waiting), [(0, 2, 1)]);
    // For what another gives back, too.
    let waiting = second.send_fetch(FOR_EVER);
    assert_eq!(first.acknowledge(&[(0, 2, &[RELEASE])]), 0);
    assert_eq!(second.receive_fetch(waiting), [(0, 2, 2)]);
    // And for as many bytes as it wants.
    first.min_bytes = 1_000;
    let waiting = first.send_fetch(FOR_EVER);
    for _ in 0..30 {
        store(&mut connection, &topic, 0, &batch(1));
    }
    let given = first.receive_fetch(waiting);
    assert!(given[0].1 - given[0].0 >= 5, "{given:?}");
}

#[test]
fn members_get_records_of_all_partitions_on_all_shards() {
    for shards in 1..=cores().min(2) {
        let node = Node::start(|dir| Options::with_shards(dir, shards));
        let mut connection = node.connect();
        let topic = create(&mut connection, "wide", 8, &[]);
        let group = group_of(&mut connection, &topic, 8);
        let mut members: Vec<Member> = (0..3)
            .map(|_| Member::new(node.connect(), &group, &topic))
            .collect();
        for index in 0..8 {
            store(&mut connection, &topic, index, &batch(10));
        }
        let mut given = 0;
        for round in 0.. {
            let member = &mut members[round % 3];
            let partitions = member.fetch_all(8);
            for (index, ranges) in partitions {
                member.index = index;
                for (first, last, count) in ranges {
                    assert_eq!(count, 1);
                    given += last - first + 1;
                    assert_eq!(member.acknowledge(&[(first, last, &[ACCEPT])]), 0);
                }
            }
            if given == 80 {
                break;
            }
        }
        assert!(
            members
                .iter_mut()
                .all(|member| member.fetch_all(8).is_empty())
        );
    }
}

#[test]
fn a_lock_that_is_over_and_too_many_deliveries() {
    let node = Node::start(|dir| {
        Options::at(dir)
            .set("group.share.record.lock.duration.ms", "1000")
            .set("group.share.delivery.count.limit", "2")
    });
    let mut connection = node.connect();
    let (topic, group) = shared_topic(&mut connection, &[2]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::begin(node.connect(), &group, &topic);
    assert_eq!(first.fetch(FOR_EVER), [(0, 1, 1)]);
    assert_eq!(first.lock_timeout_ms, 1000);
    assert_eq!(second.fetch(FOR_EVER), [(0, 1, 2)], "the lock is over");
    assert_eq!(
        first.acknowledge(&[(0, 1, &[ACCEPT])]),
        INVALID_RECORD_STATE
    );
    // Unless that was over, too, before this came.
    let given_back = second.acknowledge(&[(0, 0, &[RELEASE])]);
    assert!([0, INVALID_RECORD_STATE].contains(&given_back));
    store(&mut connection, &topic, 0, &batch(1));
    // One was given back at the limit, one is over at the limit: nobody gets either.
    assert_eq!(first.fetch(FOR_EVER), [(2, 2, 1)]);
    assert_eq!(second.fetch(FOR_EVER), [(2, 2, 2)]);
}

#[test]
fn sessions_and_records_in_flight_have_limits() {
    let node = Node::start(|dir| {
        Options::at(dir)
            .set("group.share.max.share.sessions", "1")
            .set("group.share.partition.max.record.locks", "100")
    });
    let mut connection = node.connect();
    let (topic, group) = shared_topic(&mut connection, &[60, 60, 60]);
    let mut first = Member::begin(node.connect(), &group, &topic);
    let mut second = Member::new(node.connect(), &group, &topic);
    assert_eq!(second.try_fetch(0), SHARE_SESSION_LIMIT_REACHED);
    // A batch is acquired whole; then no more is, until some are done.
    assert_eq!(first.fetch(FOR_EVER), [(0, 119, 1)]);
    assert_eq!(first.fetch(0), []);
    first.say(&[(0, 59, &[ACCEPT])]);
    assert_eq!(first.fetch(FOR_EVER), [(120, 179, 1)]);
}

#[test]
fn nothing_accepted_comes_again_after_a_restart_and_nothing_else_is_lost() {
    for kill in [false, true] {
        let options = |dir: &std::path::Path| Options::with_shards(dir, cores().min(2));
        let mut node = Node::start(options);
        let (topic, group) = shared_topic(&mut node.connect(), &[4, 4]);
        let mut member = Member::begin(node.connect(), &group, &topic);
        assert_eq!(member.fetch(FOR_EVER), [(0, 7, 1)]);
        let said: [(i64, i64, &[i8]); 3] =
            [(0, 0, &[ACCEPT]), (2, 3, &[ACCEPT]), (5, 5, &[RELEASE])];
        assert_eq!(member.acknowledge(&said), 0);
        node.restart(kill, options);
        let mut member = Member::begin(node.connect(), &group, &topic);
        let mut given = member.fetch(FOR_EVER);
        while given.last().is_none_or(|last| last.1 < 7) {
            given.extend(member.fetch(FOR_EVER));
        }
        // A stop in order closes the session, which counts as no delivery; kill -9 leaves what was stored.
        let offsets: Vec<i64> = given.iter().flat_map(|one| one.0..=one.1).collect();
        assert_eq!(offsets, [1, 4, 5, 6, 7], "{given:?}");
        let again = given.iter().find(|one| (one.0..=one.1).contains(&5));
        assert_eq!(again.map(|one| one.2), Some(2), "{given:?}");
    }
}

#[test]
fn markers_are_nobodys() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "marked", 1, &[]);
    let group = group_of(&mut connection, &topic, 1);
    for (commit, state, count) in [(true, "CompleteCommit", 2), (false, "CompleteAbort", 1)] {
        let producer = transactions::producer(&mut connection, "marked");
        let codes = transactions::add(&mut connection, 3, &producer, &topic.name, &[0]);
        assert_eq!(codes, [0]);
        transactions::end(&mut connection, 3, &producer, commit);
        transactions::wait_for(&mut connection, &producer.0, state);
        store(&mut connection, &topic, 0, &batch(count));
    }
    let mut member = Member::begin(node.connect(), &group, &topic);
    assert_eq!(member.fetch(FOR_EVER), [(1, 2, 1), (4, 4, 1)]);
}
