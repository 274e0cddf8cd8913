//! What is stored of share-partitions as nodes see it on the wire (keys 83 to 87), and the requests that others here
//! use.

use std::time::Duration;

use kafka_protocol::messages::*;
use share::state::ShareKey;
use uuid::Uuid;

use super::node::{Node, against_another, shared, unique};
use super::records::create;
use super::wire::{Connection, text};
use crate::harness::{Options, cores};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REQUEST: i16 = 42;
const FENCED_LEADER_EPOCH: i16 = 74;
const FENCED_STATE_EPOCH: i16 = 124;

/// A batch of records as requests and responses have it: offsets, state, delivery count.
pub type Batch = (i64, i64, i8, i16);

fn passes(error: i16) -> bool {
    (14..=16).contains(&error)
}

/// Asks until the coordinator is there: its topic is made for the first who asks.
fn until_there<T>(mut ask: impl FnMut() -> T, code: impl Fn(&T) -> i16) -> T {
    loop {
        let answer = ask();
        if !passes(code(&answer)) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The key of a share-partition.
pub fn share_key(group: &str, topic: Uuid, partition: i32) -> ShareKey {
    ShareKey {
        group_id: group.to_owned(),
        topic_id: topic,
        partition,
    }
}

/// FindCoordinator for a share-partition.
pub fn find_request(key: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default()
        .with_key_type(2)
        .with_coordinator_keys(vec![text(key)])
}

/// A group's share-partition whose coordinator is there.
pub fn coordinated_share(connection: &mut Connection, group: &str, topic: Uuid) -> ShareKey {
    let key = share_key(&unique(group), topic, 0);
    let find = find_request(&key.to_string());
    let ask = || connection.call(6, &find).coordinators.remove(0);
    let found = until_there(ask, |found| found.error_code);
    assert_eq!((found.error_code, found.key), (0, text(&key.to_string())));
    assert!(found.port > 0);
    let ask = || summary(connection, &key);
    let there = until_there(ask, |found| found.err().unwrap_or(0));
    assert_eq!(there, Ok((0, 0, -1)));
    key
}

/// InitializeShareGroupState.
pub fn initialize_request(
    key: &ShareKey,
    state_epoch: i32,
    start_offset: i64,
) -> InitializeShareGroupStateRequest {
    use initialize_share_group_state_request::{InitializeStateData, PartitionData};
    let partition = PartitionData::default()
        .with_partition(key.partition)
        .with_state_epoch(state_epoch)
        .with_start_offset(start_offset);
    let topic = InitializeStateData::default()
        .with_topic_id(key.topic_id)
        .with_partitions(vec![partition]);
    InitializeShareGroupStateRequest::default()
        .with_group_id(text(&key.group_id))
        .with_topics(vec![topic])
}

/// ReadShareGroupState.
pub fn read_request(key: &ShareKey, leader_epoch: i32) -> ReadShareGroupStateRequest {
    use read_share_group_state_request::{PartitionData, ReadStateData};
    let partition = PartitionData::default()
        .with_partition(key.partition)
        .with_leader_epoch(leader_epoch);
    let topic = ReadStateData::default()
        .with_topic_id(key.topic_id)
        .with_partitions(vec![partition]);
    ReadShareGroupStateRequest::default()
        .with_group_id(text(&key.group_id))
        .with_topics(vec![topic])
}

/// WriteShareGroupState, with the state and the leader epoch.
pub fn write_request(
    key: &ShareKey,
    epochs: (i32, i32),
    start_offset: i64,
    batches: &[Batch],
) -> WriteShareGroupStateRequest {
    use write_share_group_state_request::{PartitionData, StateBatch, WriteStateData};
    let batch = |(first, last, state, count): &Batch| {
        StateBatch::default()
            .with_first_offset(*first)
            .with_last_offset(*last)
            .with_delivery_state(*state)
            .with_delivery_count(*count)
    };
    let partition = PartitionData::default()
        .with_partition(key.partition)
        .with_state_epoch(epochs.0)
        .with_leader_epoch(epochs.1)
        .with_start_offset(start_offset)
        .with_state_batches(batches.iter().map(batch).collect());
    let topic = WriteStateData::default()
        .with_topic_id(key.topic_id)
        .with_partitions(vec![partition]);
    WriteShareGroupStateRequest::default()
        .with_group_id(text(&key.group_id))
        .with_topics(vec![topic])
}

/// DeleteShareGroupState.
pub fn delete_request(key: &ShareKey) -> DeleteShareGroupStateRequest {
    use delete_share_group_state_request::{DeleteStateData, PartitionData};
    let partition = PartitionData::default().with_partition(key.partition);
    let topic = DeleteStateData::default()
        .with_topic_id(key.topic_id)
        .with_partitions(vec![partition]);
    DeleteShareGroupStateRequest::default()
        .with_group_id(text(&key.group_id))
        .with_topics(vec![topic])
}

/// ReadShareGroupStateSummary.
pub fn summary_request(key: &ShareKey) -> ReadShareGroupStateSummaryRequest {
    use read_share_group_state_summary_request::{PartitionData, ReadStateSummaryData};
    let partition = PartitionData::default()
        .with_partition(key.partition)
        .with_leader_epoch(-1);
    let topic = ReadStateSummaryData::default()
        .with_topic_id(key.topic_id)
        .with_partitions(vec![partition]);
    ReadShareGroupStateSummaryRequest::default()
        .with_group_id(text(&key.group_id))
        .with_topics(vec![topic])
}

/// Begins a share-partition; the error code.
pub fn initialize(connection: &mut Connection, key: &ShareKey, epoch: i32, start: i64) -> i16 {
    let request = initialize_request(key, epoch, start);
    let answer = connection.call(0, &request);
    assert_eq!(answer.results[0].topic_id, key.topic_id);
    let row = &answer.results[0].partitions[0];
    assert_eq!(row.partition, key.partition);
    row.error_code
}

/// Writes; the error code.
pub fn write(
    connection: &mut Connection,
    key: &ShareKey,
    epochs: (i32, i32),
    start: i64,
    batches: &[Batch],
) -> i16 {
    let answer = connection.call(0, &write_request(key, epochs, start, batches));
    answer.results[0].partitions[0].error_code
}

/// State epoch, start offset and batches; or the error code.
pub fn read(
    connection: &mut Connection,
    key: &ShareKey,
    leader_epoch: i32,
) -> Result<(i32, i64, Vec<Batch>), i16> {
    let answer = connection.call(0, &read_request(key, leader_epoch));
    let row = &answer.results[0].partitions[0];
    if row.error_code != 0 {
        return Err(row.error_code);
    }
    let batches = row.state_batches.iter().map(|batch| {
        (
            batch.first_offset,
            batch.last_offset,
            batch.delivery_state,
            batch.delivery_count,
        )
    });
    Ok((row.state_epoch, row.start_offset, batches.collect()))
}

fn delete(connection: &mut Connection, key: &ShareKey) -> i16 {
    let answer = connection.call(0, &delete_request(key));
    answer.results[0].partitions[0].error_code
}

/// State epoch, leader epoch, start offset.
fn summary(connection: &mut Connection, key: &ShareKey) -> Result<(i32, i32, i64), i16> {
    let answer = connection.call(0, &summary_request(key));
    let row = &answer.results[0].partitions[0];
    match row.error_code {
        0 => Ok((row.state_epoch, row.leader_epoch, row.start_offset)),
        error => Err(error),
    }
}

// Point 69.
#[test]
fn what_leaders_store_of_share_partitions_is_combined_and_fenced() {
    let node = shared();
    let mut connection = node.connect();
    let connection = &mut connection;
    let topic = create(connection, "shared", 2, &[]);
    let key = coordinated_share(connection, "sharers", topic.id);
    assert_eq!(read(connection, &key, 0), Err(INVALID_REQUEST));
    assert_eq!(write(connection, &key, (0, 0), 0, &[]), INVALID_REQUEST);
    assert_eq!(summary(connection, &key), Ok((0, 0, -1)));
    assert_eq!(initialize(connection, &key, 3, -1), 0);
    assert_eq!(read(connection, &key, 5), Ok((3, -1, vec![])));
    let first = [(10, 19, 2, 1), (20, 29, 0, 1)];
    assert_eq!(write(connection, &key, (3, 5), 10, &first), 0);
    assert_eq!(write(connection, &key, (3, 5), 20, &[(25, 25, 4, 2)]), 0);
    let stored = vec![(20, 24, 0, 1), (25, 25, 4, 2), (26, 29, 0, 1)];
    assert_eq!(read(connection, &key, 5), Ok((3, 20, stored)));
    assert_eq!(read(connection, &key, 4), Err(FENCED_LEADER_EPOCH));
    assert_eq!(
        write(connection, &key, (3, 4), 21, &[]),
        FENCED_LEADER_EPOCH
    );
    assert_eq!(write(connection, &key, (2, 5), 21, &[]), FENCED_STATE_EPOCH);
    assert_eq!(initialize(connection, &key, 2, 0), FENCED_STATE_EPOCH);
    assert_eq!(summary(connection, &key), Ok((3, 5, 20)));
    assert_eq!(delete(connection, &key), 0);
    assert_eq!(summary(connection, &key), Ok((0, 0, -1)));
    assert_eq!(delete(connection, &key), 0);
}

#[test]
fn share_partitions_of_what_is_not_there_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let connection = &mut connection;
    let topic = create(connection, "shared", 1, &[]);
    let key = coordinated_share(connection, "sharers", topic.id);
    for (gone, code) in [
        (
            share_key(&key.group_id, topic.id, 1),
            UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (
            share_key(&key.group_id, Uuid::from_u128(7), 0),
            UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (share_key(&key.group_id, topic.id, -1), INVALID_REQUEST),
    ] {
        let ask = || initialize(connection, &gone, 0, 0);
        assert_eq!(until_there(ask, |code| *code), code);
        assert_eq!(delete(connection, &gone), code);
        assert_eq!(summary(connection, &gone), Err(code));
    }
    for wrong in [
        "",
        "group",
        "group:topic:0",
        "a:b:c:d",
        "group:AAECAwQFBgcICQoLDA0ODw:x",
    ] {
        let found = connection.call(6, &find_request(wrong));
        assert_eq!(found.coordinators[0].error_code, INVALID_REQUEST, "{wrong}");
    }
    let nobody = initialize_request(&share_key("", topic.id, 0), 0, 0);
    assert_eq!(connection.call(0, &nobody).results, []);
}

#[test]
fn a_request_may_be_about_many_share_partitions() {
    let node = shared();
    let mut connection = node.connect();
    let connection = &mut connection;
    let topic = create(connection, "shared", 60, &[]);
    let key = coordinated_share(connection, "sharers", topic.id);
    let mut request = initialize_request(&key, 1, 0);
    let one = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..60).map(|at| one.clone().with_partition(at)).collect();
    // All of it stands on one node, if on fifty partitions.
    let ask = || connection.call(0, &request);
    let code = |answer: &InitializeShareGroupStateResponse| {
        let rows = answer.results[0].partitions.iter();
        rows.map(|row| row.error_code)
            .find(|code| passes(*code))
            .unwrap_or(0)
    };
    let answer = until_there(ask, code);
    let rows = &answer.results[0].partitions;
    assert!(rows.iter().map(|row| row.partition).eq(0..60));
    assert!(rows.iter().all(|row| row.error_code == 0));
    for partition in 0..60 {
        let key = share_key(&key.group_id, topic.id, partition);
        assert_eq!(summary(connection, &key), Ok((1, 0, 0)));
    }
}

#[test]
fn what_is_stored_of_share_partitions_survives_a_kill() {
    if against_another() {
        return;
    }
    let options = |dir: &std::path::Path| Options::with_shards(dir, cores().min(2));
    let mut node = Node::start(options);
    let mut connection = node.connect();
    let topic = create(&mut connection, "shared", 1, &[]);
    let kept = coordinated_share(&mut connection, "kept", topic.id);
    let gone = coordinated_share(&mut connection, "gone", topic.id);
    for key in [&kept, &gone] {
        assert_eq!(initialize(&mut connection, key, 1, 0), 0);
        let batches = [(3, 4, 2, 1)];
        assert_eq!(write(&mut connection, key, (1, 2), 3, &batches), 0);
    }
    assert_eq!(delete(&mut connection, &gone), 0);
    node.restart(true, options);
    let mut connection = node.connect();
    let ask = || read(&mut connection, &kept, 2);
    let found = until_there(ask, |found| found.as_ref().err().copied().unwrap_or(0));
    assert_eq!(found, Ok((1, 3, vec![(3, 4, 2, 1)])));
    let ask = || read(&mut connection, &gone, 2);
    let found = until_there(ask, |found| found.as_ref().err().copied().unwrap_or(0));
    assert_eq!(found, Err(INVALID_REQUEST));
    let fenced = write(&mut connection, &kept, (1, 1), 4, &[]);
    assert_eq!(fenced, FENCED_LEADER_EPOCH);
}
