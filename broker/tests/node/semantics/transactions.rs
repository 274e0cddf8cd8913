//! Transactions as producers and operators see them on the wire, and the requests that others here use.

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::*;

use super::groups::{coordinated, fetch_request};
use super::node::{Node, shared, unique};
use super::records::{create, records_at, spans, topic_name};
use super::wire::{Connection, text};
use crate::harness::{Options, cores};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const OPERATION_NOT_ATTEMPTED: i16 = 55;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;

/// LOAD_IN_PROGRESS, NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS: ask again.
fn is_passing(error: i16) -> bool {
    (14..=16).contains(&error) || error == CONCURRENT_TRANSACTIONS
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A producer: its transactional id, producer id and epoch.
pub type Producer = (TransactionalId, ProducerId, i16);

/// A transactional id that nobody has, of which the broker is the coordinator.
pub fn transactional_id(connection: &mut Connection, name: &str) -> TransactionalId {
    let id = TransactionalId(text(&unique(name)));
    let find = FindCoordinatorRequest::default()
        .with_key_type(1)
        .with_coordinator_keys(vec![id.0.clone()]);
    loop {
        let found = connection.call(4, &find).coordinators.remove(0);
        if found.error_code == 0 {
            return id;
        }
        assert!(is_passing(found.error_code), "{found:?}");
        pause();
    }
}

/// An InitProducerId request.
pub fn init_request(id: &TransactionalId) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(id.clone()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

/// Begins as a producer of a transactional id.
pub fn begin(connection: &mut Connection, version: i16, id: &TransactionalId) -> Producer {
    loop {
        let answer = connection.call(version, &init_request(id));
        if answer.error_code == 0 {
            return (id.clone(), answer.producer_id, answer.producer_epoch);
        }
        assert!(is_passing(answer.error_code), "{answer:?}");
        pause();
    }
}

/// A producer of a transactional id that nobody else has.
pub fn producer(connection: &mut Connection, name: &str) -> Producer {
    let id = transactional_id(connection, name);
    begin(connection, 4, &id)
}

fn added(topic: &str, indexes: &[i32]) -> AddPartitionsToTxnTopic {
    AddPartitionsToTxnTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(indexes.to_vec())
}

/// An AddPartitionsToTxn request.
pub fn add_request(
    version: i16,
    producer: &Producer,
    topic: &str,
    indexes: &[i32],
) -> AddPartitionsToTxnRequest {
    let (id, producer_id, epoch) = producer.clone();
    let topics = vec![added(topic, indexes)];
    if version < 4 {
        return AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id)
            .with_v3_and_below_producer_id(producer_id)
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics);
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(id)
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_topics(topics);
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}

/// Adds partitions; gives the code of each.
pub fn add(
    connection: &mut Connection,
    version: i16,
    producer: &Producer,
    topic: &str,
    indexes: &[i32],
) -> Vec<i16> {
    let request = add_request(version, producer, topic, indexes);
    loop {
        let mut answer = connection.call(version, &request);
        assert_eq!(answer.error_code, 0);
        let mut topics = match version {
            ..4 => answer.results_by_topic_v3_and_below,
            _ => answer.results_by_transaction.remove(0).topic_results,
        };
        let rows = topics.remove(0).results_by_partition;
        let codes: Vec<_> = rows.iter().map(|row| row.partition_error_code).collect();
        if !codes.contains(&CONCURRENT_TRANSACTIONS) {
            return codes;
        }
        pause();
    }
}

/// An EndTxn request.
pub fn end_request(producer: &Producer, commit: bool) -> EndTxnRequest {
    let (id, producer_id, epoch) = producer.clone();
    EndTxnRequest::default()
        .with_transactional_id(id)
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_committed(commit)
}

/// Ends a transaction, again and again while it is ending.
pub fn end(
    connection: &mut Connection,
    version: i16,
    producer: &Producer,
    commit: bool,
) -> EndTxnResponse {
    loop {
        let answer = connection.call(version, &end_request(producer, commit));
        if !is_passing(answer.error_code) {
            return answer;
        }
        pause();
    }
}

/// A WriteTxnMarkers request.
pub fn marker_request(producer: &Producer, topic: &str, index: i32) -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![index]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.1)
        .with_producer_epoch(producer.2)
        .with_transaction_result(false)
        .with_coordinator_epoch(0)
        .with_topics(vec![topic]);
    WriteTxnMarkersRequest::default().with_markers(vec![marker])
}

/// A DescribeProducers request.
pub fn producers_request(topic: &str, index: i32) -> DescribeProducersRequest {
    let topic = TopicRequest::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![index]);
    DescribeProducersRequest::default().with_topics(vec![topic])
}

/// A TxnOffsetCommit request of somebody who is no member.
pub fn offsets_request(
    producer: &Producer,
    group: &GroupId,
    topic: &str,
) -> TxnOffsetCommitRequest {
    let (id, producer_id, epoch) = producer.clone();
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_committed_offset(3)
        .with_committed_metadata(Some(text("note")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(id)
        .with_group_id(group.clone())
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

/// Waits until a transaction is in this state.
pub fn wait_for(connection: &mut Connection, id: &TransactionalId, state: &str) {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id.clone()]);
    loop {
        let mut answer = connection.call(0, &request);
        let described = answer.transaction_states.remove(0);
        if described.error_code == 0 && &*described.transaction_state == state {
            return;
        }
        assert!(described.error_code == 0 || is_passing(described.error_code));
        pause();
    }
}

// Points 23 to 25.
#[test]
fn producers_that_may_not_go_on_are_told_so() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "fenced", 2, &[]);
    let old = producer(&mut connection, "fenced");
    let init = |connection: &mut Connection, version, request: &InitProducerIdRequest| {
        connection.call(version, request).error_code
    };
    let empty = init_request(&TransactionalId(text("")));
    assert_eq!(init(&mut connection, 4, &empty), INVALID_REQUEST);
    let long = init_request(&old.0).with_transaction_timeout_ms(900_001);
    assert_eq!(init(&mut connection, 4, &long), INVALID_TRANSACTION_TIMEOUT);
    let half = init_request(&old.0).with_producer_epoch(3);
    assert_eq!(init(&mut connection, 4, &half), INVALID_REQUEST);
    let new = begin(&mut connection, 4, &old.0);
    assert_eq!((new.1, new.2), (old.1, old.2 + 1));
    let stale = init_request(&old.0)
        .with_producer_id(ProducerId(old.1.0 + 12_345))
        .with_producer_epoch(0);
    assert_eq!(init(&mut connection, 4, &stale), PRODUCER_FENCED);
    assert_eq!(init(&mut connection, 3, &stale), INVALID_PRODUCER_EPOCH);
    for (version, code) in [(1, INVALID_PRODUCER_EPOCH), (3, PRODUCER_FENCED)] {
        let codes = add(&mut connection, version, &old, &topic.name, &[0, 1]);
        assert_eq!(codes, [code, code]);
        let ended = end(&mut connection, version, &old, true);
        assert_eq!(ended.error_code, code);
    }
    let other = (new.0.clone(), ProducerId(new.1.0 + 12_345), new.2);
    let codes = add(&mut connection, 3, &other, &topic.name, &[0]);
    assert_eq!(codes, [INVALID_PRODUCER_ID_MAPPING]);
    let codes = add(&mut connection, 3, &new, &topic.name, &[0, 9]);
    assert_eq!(codes, [OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION]);
    let ended = end(&mut connection, 3, &new, true);
    assert_eq!(ended.error_code, INVALID_TXN_STATE, "nothing was begun");
    let nobody = TransactionalId(text(&unique("nobody")));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![nobody]);
    let described = connection.call(0, &request);
    let code = described.transaction_states[0].error_code;
    assert!(
        code == TRANSACTIONAL_ID_NOT_FOUND || is_passing(code),
        "{code}"
    );
}

// Points 25 and 28.
#[test]
fn the_end_of_a_transaction_is_in_each_of_its_partitions() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "ended", 2, &[]);
    let producer = producer(&mut connection, "ended");
    let codes = add(&mut connection, 3, &producer, &topic.name, &[0, 1]);
    assert_eq!(codes, [0, 0]);
    let described =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![producer.0.clone()]);
    let described = connection.call(0, &described).transaction_states.remove(0);
    assert_eq!(&*described.transaction_state, "Ongoing");
    assert_eq!(described.producer_id, producer.1);
    assert_eq!(described.transaction_timeout_ms, 60_000);
    assert_eq!(described.topics[0].partitions, [0, 1]);
    assert_eq!(end(&mut connection, 3, &producer, true).error_code, 0);
    wait_for(&mut connection, &producer.0, "CompleteCommit");
    for index in [0, 1] {
        let records = records_at(&mut connection, &topic, index, 0);
        assert_eq!(spans(&records), [(0, 0)]);
        let marker = batch::Batch::parse(&records).unwrap();
        assert!(marker.attributes().is_control() && marker.attributes().is_transactional());
        assert_eq!(marker.producer_id(), producer.1.0);
    }
    assert_eq!(
        end(&mut connection, 3, &producer, true).error_code,
        0,
        "again"
    );
    let other = end(&mut connection, 3, &producer, false);
    assert_eq!(other.error_code, INVALID_TXN_STATE);
    let list = ListTransactionsRequest::default()
        .with_duration_filter(-1)
        .with_producer_id_filters(vec![producer.1])
        .with_state_filters(vec![text("CompleteCommit"), text("what")]);
    let listed = connection.call(1, &list);
    assert_eq!(listed.unknown_state_filters, [text("what")]);
    assert_eq!(listed.transaction_states.len(), 1);
    assert_eq!(listed.transaction_states[0].transactional_id, producer.0);
}

// Point 26: each end gives another epoch.
#[test]
fn an_end_since_version_5_gives_a_new_epoch() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "bumped", 1, &[]);
    let mut producer = producer(&mut connection, "bumped");
    for commit in [true, false, true] {
        assert_eq!(add(&mut connection, 4, &producer, &topic.name, &[0]), [0]);
        let answer = connection.call(5, &end_request(&producer, commit));
        assert_eq!(answer.error_code, 0);
        let next = (answer.producer_id, answer.producer_epoch);
        assert_eq!(next, (producer.1, producer.2 + 1));
        let again = end(&mut connection, 5, &producer, commit);
        assert_eq!((again.producer_id, again.producer_epoch), next, "repeated");
        producer = (producer.0, next.0, next.1);
    }
}

// Point 32.
#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let name = "transaction.abort.timed.out.transaction.cleanup.interval.ms";
    let node = Node::start(|dir| Options::with_shards(dir, cores().min(2)).set(name, "100"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "slow", 1, &[]);
    let id = transactional_id(&mut connection, "slow");
    let request = init_request(&id).with_transaction_timeout_ms(300);
    let producer = loop {
        let answer = connection.call(4, &request);
        if answer.error_code == 0 {
            break (id.clone(), answer.producer_id, answer.producer_epoch);
        }
        pause();
    };
    assert_eq!(add(&mut connection, 3, &producer, &topic.name, &[0]), [0]);
    wait_for(&mut connection, &id, "CompleteAbort");
    let ended = end(&mut connection, 3, &producer, true);
    assert_eq!(ended.error_code, PRODUCER_FENCED);
}

// Transactions outlive the node: what was decided is carried out after a kill.
#[test]
fn transactions_survive_a_kill() {
    let options = |dir: &std::path::Path| Options::with_shards(dir, cores().min(2));
    let mut node = Node::start(options);
    let mut connection = node.connect();
    let topic = create(&mut connection, "killed", 1, &[]);
    let open = producer(&mut connection, "open");
    let ended = producer(&mut connection, "ended");
    for producer in [&open, &ended] {
        assert_eq!(add(&mut connection, 3, producer, &topic.name, &[0]), [0]);
    }
    assert_eq!(connection.call(3, &end_request(&ended, true)).error_code, 0);
    node.restart(true, options);
    let mut connection = node.connect();
    wait_for(&mut connection, &ended.0, "CompleteCommit");
    wait_for(&mut connection, &open.0, "Ongoing");
    assert_eq!(end(&mut connection, 3, &open, true).error_code, 0);
    wait_for(&mut connection, &open.0, "CompleteCommit");
}

// Point 31.
#[test]
fn offsets_of_a_transaction_are_there_when_it_is_committed() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "offsets", 1, &[]);
    let group = coordinated(&mut connection, "offsets");
    for (commit, found) in [(false, -1), (true, 3)] {
        let producer = producer(&mut connection, "offsets");
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(producer.0.clone())
            .with_producer_id(producer.1)
            .with_producer_epoch(producer.2)
            .with_group_id(group.clone());
        assert_eq!(connection.call(3, &request).error_code, 0);
        let committed = connection.call(3, &offsets_request(&producer, &group, &topic.name));
        assert_eq!(committed.topics[0].partitions[0].error_code, 0);
        let fetch = fetch_request(&group, Some((&topic.name, vec![0]))).with_require_stable(true);
        let unstable = connection.call(8, &fetch);
        assert_eq!(unstable.groups[0].topics[0].partitions[0].error_code, 88);
        assert_eq!(end(&mut connection, 3, &producer, commit).error_code, 0);
        let row = loop {
            let answer = connection.call(8, &fetch);
            let row = answer.groups[0].topics[0].partitions[0].clone();
            if row.error_code != 88 {
                break row;
            }
            pause();
        };
        assert_eq!((row.error_code, row.committed_offset), (0, found));
    }
}
