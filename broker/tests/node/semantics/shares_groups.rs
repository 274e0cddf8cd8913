//! Share groups whole: members that join, are assigned partitions and fetch from them, and what their group's settings
//! and offsets have to do with what they are given.

use kafka_protocol::messages::*;

use super::groups::coordinated;
use super::node::shared;
use super::records::{Topic, batch, create, now_ms, store};
use super::share_groups::{alter_offsets_request, assigned, leave, set};
use super::shares::member::{ACCEPT, Member};
use super::transactions::{self, Producer};
use super::wire::{Connection, FOR_EVER};

/// A group that shares a topic from where this setting says.
fn group_from(connection: &mut Connection, topic: &Topic, reset: &str) -> GroupId {
    let group = coordinated(connection, "from");
    assert_eq!(set(connection, &group, "share.auto.offset.reset", reset), 0);
    assigned(connection, &group, "m", &topic.name, 1);
    group
}

#[test]
fn a_group_begins_where_its_settings_say() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "begun", 1, &[]);
    store(&mut connection, &topic, 0, &batch(5));
    for reset in ["earliest", "by_duration:PT1H"] {
        let group = group_from(&mut connection, &topic, reset);
        let mut member = Member::begin(node.connect(), &group, &topic);
        assert_eq!(member.fetch(FOR_EVER), [(0, 4, 1)], "{reset}");
    }
    let group = group_from(&mut connection, &topic, "latest");
    let mut member = Member::begin(node.connect(), &group, &topic);
    // The end is where it is when the state has been read.
    let given = loop {
        let given = member.fetch(100);
        if !given.is_empty() {
            break given;
        }
        store(&mut connection, &topic, 0, &batch(1));
    };
    assert!(given[0].0 >= 5, "{given:?}");
}

#[test]
fn offsets_that_are_set_anew_are_where_the_next_member_begins() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "anew", 1, &[]);
    store(&mut connection, &topic, 0, &batch(5));
    store(&mut connection, &topic, 0, &batch(5));
    let group = group_from(&mut connection, &topic, "earliest");
    let mut member = Member::begin(node.connect(), &group, &topic);
    assert_eq!(member.fetch(FOR_EVER), [(0, 9, 1)]);
    member.epoch = -1;
    assert_eq!(member.acknowledge(&[(0, 9, &[ACCEPT])]), 0);
    leave(&mut connection, &group, "m");
    let alter = alter_offsets_request(&group, &topic.name, &[(0, 3)]);
    let altered = connection.call(0, &alter);
    assert_eq!(altered.responses[0].partitions[0].error_code, 0);
    assigned(&mut connection, &group, "n", &topic.name, 1);
    let mut member = Member::begin(node.connect(), &group, &topic);
    // It may be given all of the batch, but has acquired only what is there for it.
    assert_eq!(member.fetch(FOR_EVER), [(3, 9, 1)]);
    assert_eq!(member.sent, [(0, 4), (5, 9)]);
}

/// Records of an open transaction.
fn transactional(producer: &Producer, sequence: i32, count: usize) -> bytes::Bytes {
    let (_, id, epoch) = producer;
    let mut builder = batch::Builder::new(batch::Compression::None)
        .producer(id.0, *epoch, sequence)
        .transactional();
    for _ in 0..count {
        builder.push(batch::NewRecord {
            timestamp: now_ms(),
            value: Some(b"t"),
            ..batch::NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

#[test]
fn a_group_that_reads_only_what_counts_gets_nothing_else() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "counted", 1, &[]);
    let mut write = |count| {
        let producer = transactions::producer(&mut connection, "counted");
        let codes = transactions::add(&mut connection, 3, &producer, &topic.name, &[0]);
        assert_eq!(codes, [0]);
        let records = transactional(&producer, 0, count);
        let transactional_id = producer.0.to_string();
        store_as(&mut connection, &topic, &transactional_id, records);
        producer
    };
    let aborted = write(2);
    let end = |producer: &Producer, commit, state| {
        let mut connection = node.connect();
        transactions::end(&mut connection, 3, producer, commit);
        transactions::wait_for(&mut connection, &producer.0, state);
    };
    end(&aborted, false, "CompleteAbort");
    let committed = write(2);
    end(&committed, true, "CompleteCommit");
    let open = write(1);
    let mut connection = node.connect();
    store(&mut connection, &topic, 0, &batch(1));
    let group = coordinated(&mut connection, "counted");
    let put = set(
        &mut connection,
        &group,
        "share.isolation.level",
        "read_committed",
    );
    assert_eq!(put, 0);
    let put = set(
        &mut connection,
        &group,
        "share.auto.offset.reset",
        "earliest",
    );
    assert_eq!(put, 0);
    assigned(&mut connection, &group, "m", &topic.name, 1);
    let mut member = Member::begin(node.connect(), &group, &topic);
    assert_eq!(member.fetch(FOR_EVER), [(3, 4, 1)]);
    let waiting = member.send_fetch(FOR_EVER);
    end(&open, true, "CompleteCommit");
    assert_eq!(member.receive_fetch(waiting), [(6, 7, 1)]);
}

/// Produces as part of a transaction.
fn store_as(
    connection: &mut Connection,
    topic: &Topic,
    transactional_id: &str,
    records: bytes::Bytes,
) {
    use super::records::{ALL, BY_NAME, produce_request};
    let id = TransactionalId(super::wire::text(transactional_id));
    let request = produce_request(BY_NAME - 1, topic, ALL, vec![(0, Some(records))])
        .with_transactional_id(Some(id));
    let answer = connection.call(BY_NAME - 1, &request);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}
