//! Idempotent producers: each batch once, in order, over retries and restarts.

use batch::{Builder, Compression, NewRecord};
use bytes::Bytes;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::node::{Node, against_another, shared};
use super::records::{create, fetch, now_ms, produce, refusal, sequenced, store};
use super::wire::{Connection, PATIENCE, text};
use crate::harness::Options;

const INVALID_REQUEST: i16 = 42;
const OUT_OF_ORDER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;

/// Kafka's answer while it fetches more ids.
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;

fn init(connection: &mut Connection, version: i16, id: i64, epoch: i16) -> InitProducerIdResponse {
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX);
    if version >= 3 {
        request = request
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch);
    }
    loop {
        let given = connection.call(version, &request);
        if given.error_code != COORDINATOR_LOAD_IN_PROGRESS || !against_another() {
            return given;
        }
    }
}

/// An id that nobody has.
fn producer(connection: &mut Connection) -> i64 {
    let given = init(connection, 5, -1, -1);
    assert_eq!((given.error_code, given.producer_epoch), (0, 0));
    given.producer_id.0
}

// Point 22.
#[test]
fn every_producer_is_given_an_id_of_its_own() {
    let node = shared();
    let mut ids = Vec::new();
    for version in 0..=5 {
        let mut connection = node.connect();
        for _ in 0..3 {
            let given = init(&mut connection, version, -1, -1);
            assert_eq!(
                (given.error_code, given.producer_epoch),
                (0, 0),
                "version {version}"
            );
            ids.push(given.producer_id.0);
        }
    }
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}

// Point 22: without a transactional id there is nothing to bump; Kafka gives a new id, too.
#[test]
fn a_producer_that_asks_again_is_given_a_new_id() {
    let node = shared();
    let mut connection = node.connect();
    let first = producer(&mut connection);
    for version in 3..=5 {
        let again = init(&mut connection, version, first, 0);
        assert_eq!((again.error_code, again.producer_epoch), (0, 0));
        assert_ne!(again.producer_id.0, first);
        // An epoch without an id says nothing, and the other way round.
        for (id, epoch) in [(first, -1), (-1, 0)] {
            let refused = init(&mut connection, version, id, epoch);
            assert_eq!(refused.error_code, INVALID_REQUEST);
            assert_eq!((refused.producer_id.0, refused.producer_epoch), (-1, -1));
        }
    }
}

// Point 23, the part that a broker without transactions has.
#[test]
fn an_empty_transactional_id_is_refused() {
    let node = shared();
    let mut connection = node.connect();
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text("").into()))
        .with_transaction_timeout_ms(1000);
    for version in 0..=5 {
        assert_eq!(
            connection.call(version, &request).error_code,
            INVALID_REQUEST
        );
    }
}

// Point 19.
#[test]
fn a_retry_within_the_last_five_batches_gets_its_first_offset() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "window", 1, &[]);
    let id = producer(&mut connection);
    let sent: Vec<Bytes> = (0..7).map(|n| sequenced(id, 0, n * 3, 3)).collect();
    for (n, set) in (0..).zip(&sent) {
        assert_eq!(store(&mut connection, &topic, 0, set), n * 3);
    }
    for (n, set) in (0..).zip(&sent) {
        let outcome = produce(&mut connection, &topic, 0, set);
        let expected = if n < 2 {
            (OUT_OF_ORDER, -1)
        } else {
            (0, n * 3)
        };
        assert_eq!(
            (outcome.error_code, outcome.base_offset),
            expected,
            "batch {n}"
        );
    }
    // First and last sequence are what a retry is known by.
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 0, 18, 2)),
        OUT_OF_ORDER
    );
    assert_eq!(
        fetch(&mut connection, &topic, 0, 0).high_watermark,
        21,
        "nothing came twice"
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 0, 21, 1)),
        21
    );
}

// Point 19: a retry is answered as the batch was.
#[test]
fn a_retry_gets_its_first_append_time() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let topic = create(&mut connection, "retry-time", 1, &settings);
    let id = producer(&mut connection);
    let set = sequenced(id, 0, 0, 2);
    let first = produce(&mut connection, &topic, 0, &set);
    // Time goes on for the clock that stamps.
    while now_ms() <= first.log_append_time_ms {
        std::thread::yield_now();
    }
    let again = produce(&mut connection, &topic, 0, &set);
    let answer = (
        first.error_code,
        first.base_offset,
        first.log_append_time_ms,
    );
    assert_eq!(
        (
            again.error_code,
            again.base_offset,
            again.log_append_time_ms
        ),
        answer
    );
}

// Point 19.
#[test]
fn a_gap_is_refused_and_does_not_stand_in_the_way() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "gap", 1, &[]);
    let id = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 0, 0, 4)),
        0
    );
    for sequence in [5, 40, i32::MAX] {
        let outcome = produce(&mut connection, &topic, 0, &sequenced(id, 0, sequence, 1));
        assert_eq!(
            (outcome.error_code, outcome.base_offset),
            (OUT_OF_ORDER, -1),
            "{sequence}"
        );
    }
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 0, 4, 1)),
        4
    );
    // Each partition for itself.
    let other = create(&mut connection, "gap-other", 1, &[]);
    assert_eq!(
        store(&mut connection, &other, 0, &sequenced(id, 0, 0, 1)),
        0
    );
}

// Point 20.
#[test]
fn sequences_go_on_from_zero_after_the_greatest() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "wrap", 1, &[]);
    let id = producer(&mut connection);
    // The batch wraps inside: its records are MAX-1, MAX, 0, 1.
    let wrapping = sequenced(id, 0, i32::MAX - 1, 4);
    assert_eq!(store(&mut connection, &topic, 0, &wrapping), 0);
    assert_eq!(store(&mut connection, &topic, 0, &wrapping), 0, "a retry");
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 0, 0, 1)),
        OUT_OF_ORDER
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 0, 2, 1)),
        4
    );
    let next = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(next, 0, i32::MAX, 1)),
        5
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(next, 0, 0, 1)),
        6
    );
}

// Point 20.
#[test]
fn a_new_epoch_begins_at_zero_and_ends_the_old_one() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "epoch", 1, &[]);
    let id = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 3, 0, 2)),
        0
    );
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 4, 2, 1)),
        OUT_OF_ORDER
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 4, 0, 1)),
        2
    );
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 3, 2, 1)),
        INVALID_PRODUCER_EPOCH
    );
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 3, 0, 2)),
        INVALID_PRODUCER_EPOCH
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 4, 1, 1)),
        3
    );
}

// Point 21.
#[test]
fn a_producer_that_is_not_known_may_begin_anywhere() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "stranger", 1, &[]);
    let id = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 7, 1000, 3)),
        0
    );
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 7, 1003, 1)),
        3
    );
    assert_eq!(
        refusal(&mut connection, &topic, &sequenced(id, 7, 0, 1)),
        OUT_OF_ORDER
    );
}

// Point 21: producer.id.expiration.ms.
#[test]
fn a_producer_that_was_silent_for_long_is_forgotten() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| Options::at(dir).set("producer.id.expiration.ms", "100"));
    let mut connection = node.connect();
    let topic = create(&mut connection, "expiry", 1, &[]);
    let id = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(id, 0, 0, 1)),
        0
    );
    let begun = std::time::Instant::now();
    loop {
        let outcome = produce(&mut connection, &topic, 0, &sequenced(id, 0, 500, 1));
        if outcome.error_code == 0 {
            assert_eq!(outcome.base_offset, 1);
            return;
        }
        assert_eq!(outcome.error_code, OUT_OF_ORDER);
        assert!(
            begun.elapsed() < PATIENCE,
            "the producer is never forgotten"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

// Point 21: with the same outcome after a clean end and after a kill, on one shard and on two.
#[test]
fn what_is_known_of_producers_outlives_the_broker() {
    if against_another() {
        return;
    }
    let options = |dir: &std::path::Path| Options::with_shards(dir, crate::harness::cores().min(2));
    let mut node = Node::start(options);
    let mut connection = node.connect();
    let topic = create(&mut connection, "restart", 1, &[]);
    let id = producer(&mut connection);
    let mut ids = vec![id];
    let sent = |n: i32| sequenced(id, 1, n * 2, 2);
    for n in 0..6 {
        assert_eq!(
            store(&mut connection, &topic, 0, &sent(n)),
            i64::from(n) * 2
        );
    }
    for (round, kill) in (0..).zip([true, false, true, true, false]) {
        node.restart(kill, options);
        let mut connection = node.connect();
        // One that was acknowledged is known, one that is too old or from the past epoch refused.
        let last = 5 + round;
        for n in last - 4..=last {
            assert_eq!(
                store(&mut connection, &topic, 0, &sent(n)),
                i64::from(n) * 2,
                "kill: {kill}"
            );
        }
        assert_eq!(
            refusal(&mut connection, &topic, &sent(last - 5)),
            OUT_OF_ORDER
        );
        assert_eq!(
            refusal(&mut connection, &topic, &sent(last + 2)),
            OUT_OF_ORDER
        );
        let old = sequenced(id, 0, 0, 1);
        assert_eq!(
            refusal(&mut connection, &topic, &old),
            INVALID_PRODUCER_EPOCH
        );
        assert_eq!(
            fetch(&mut connection, &topic, 0, 0).high_watermark,
            i64::from(last + 1) * 2
        );
        let next = sent(last + 1);
        assert_eq!(
            store(&mut connection, &topic, 0, &next),
            i64::from(last + 1) * 2
        );
        let fresh = producer(&mut connection);
        assert!(!ids.contains(&fresh), "{fresh} was given away before");
        ids.push(fresh);
    }
}

/// A batch of about 600 KiB, so that two don't share the smallest segment.
fn large(producer: i64, sequence: i32) -> Bytes {
    let value = vec![b'x'; 600_000];
    let record = NewRecord {
        timestamp: now_ms(),
        value: Some(&value),
        ..NewRecord::default()
    };
    let builder = Builder::new(Compression::None).producer(producer, 0, sequence);
    builder.record(record).build().expect("a batch")
}

// Point 21: retention takes the records, not what is known of who wrote them.
#[test]
fn what_is_known_of_producers_outlives_their_records() {
    if against_another() {
        return;
    }
    let mut node = Node::start(Options::at);
    let mut connection = node.connect();
    let topic = create(
        &mut connection,
        "outlive",
        1,
        &[("segment.bytes", "1048576")],
    );
    let id = producer(&mut connection);
    for n in 0..4 {
        assert_eq!(
            store(&mut connection, &topic, 0, &large(id, n)),
            i64::from(n)
        );
    }
    assert_eq!(
        super::retention::delete_before(&mut connection, &topic, 4),
        (0, 4)
    );
    for kill in [false, true] {
        node.restart(kill, Options::at);
        let mut connection = node.connect();
        assert_eq!(fetch(&mut connection, &topic, 0, 4).log_start_offset, 4);
        assert_eq!(
            store(&mut connection, &topic, 0, &large(id, 3)),
            3,
            "a retry, kill: {kill}"
        );
        assert_eq!(
            refusal(&mut connection, &topic, &sequenced(id, 0, 9, 1)),
            OUT_OF_ORDER
        );
    }
    let mut connection = node.connect();
    assert_eq!(store(&mut connection, &topic, 0, &large(id, 4)), 4);
}

/// A topic's logs may be older than the metadata: Kafka's, or those of a node whose metadata was lost.
/// A new producer with the id of an old one would have its batches taken for that one's.
#[test]
fn ids_in_logs_that_were_taken_in_are_not_given_again() {
    if against_another() {
        return;
    }
    let mut node = Node::start(Options::at);
    let mut connection = node.connect();
    let topic = create(&mut connection, "older", 1, &[]);
    let old = producer(&mut connection);
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(old, 0, 0, 3)),
        0
    );
    node.restart(false, |dir| {
        make_it_kafkas(dir, &topic.name);
        Options::at(dir)
    });
    let mut connection = node.connect();
    assert_eq!(fetch(&mut connection, &topic, 0, 0).high_watermark, 3);
    let new = producer(&mut connection);
    assert!(new > old, "{new} after {old}");
    assert_eq!(
        store(&mut connection, &topic, 0, &sequenced(new, 0, 0, 3)),
        3
    );
}

/// Takes the metadata away, and gives the topic's folder the name and content that Kafka gives it.
fn make_it_kafkas(dir: &std::path::Path, topic: &str) {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "__meta" {
                std::fs::remove_dir_all(path).unwrap();
            } else if name.starts_with(&format!("{topic}-0.")) {
                std::fs::remove_file(path.join("checkpoint")).unwrap();
                std::fs::rename(&path, path.with_file_name(format!("{topic}-0"))).unwrap();
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
}
