//! What leaves a log: records that are deleted, and segments that are too old or too many.

use std::path::Path;
use std::time::{Duration, Instant};

use batch::{Builder, Compression, NewRecord};
use bytes::Bytes;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};

use super::node::{Node, against_another, shared};
use super::records::{
    Topic, batch, create, fetch, new_topic, now_ms, records_at, rows, sized, spans, store,
    topic_name, try_create,
};
use super::wire::{Connection, PATIENCE};
use crate::harness::Options;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const POLICY_VIOLATION: i16 = 44;

fn delete_in(
    connection: &mut Connection,
    version: i16,
    topic: &str,
    (index, offset): (i32, i64),
) -> (i16, i64) {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(index)
        .with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let answer = connection.call(version, &request);
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.partition_index, index);
    (found.error_code, found.low_watermark)
}

/// Deletes what lies before `offset` in partition 0; error and low watermark.
pub fn delete_before(connection: &mut Connection, topic: &Topic, offset: i64) -> (i16, i64) {
    delete_in(connection, 2, &topic.name, (0, offset))
}

fn log_start(connection: &mut Connection, topic: &Topic) -> i64 {
    // The end is never out of range, and known by trying.
    let found = fetch(connection, topic, 0, 0);
    if found.error_code == 0 {
        return found.log_start_offset;
    }
    let (error, start) = delete_before(connection, topic, 0);
    assert_eq!(error, 0);
    start
}

// Point 50.
#[test]
fn deleted_records_are_gone_at_once() {
    let node = shared();
    let mut connection = node.connect();
    for version in 0..=2 {
        let topic = create(&mut connection, "delete", 1, &[]);
        for _ in 0..3 {
            store(&mut connection, &topic, 0, &batch(4));
        }
        let mut delete = |to| delete_in(&mut connection, version, &topic.name, (0, to));
        assert_eq!(delete(6), (0, 6), "inside a batch, version {version}");
        assert_eq!(delete(2), (0, 6), "never backwards");
        assert_eq!(
            delete(13),
            (OFFSET_OUT_OF_RANGE, -1),
            "beyond the high watermark"
        );
        assert_eq!(delete(-2), (OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(
            fetch(&mut connection, &topic, 0, 5).error_code,
            OFFSET_OUT_OF_RANGE
        );
        let rest = fetch(&mut connection, &topic, 0, 6);
        assert_eq!(
            (rest.error_code, rest.log_start_offset, rest.high_watermark),
            (0, 6, 12)
        );
        let mut delete = |to| delete_in(&mut connection, version, &topic.name, (0, to));
        assert_eq!(delete(-1), (0, 12), "-1 is the high watermark");
        assert_eq!(
            store(&mut connection, &topic, 0, &batch(1)),
            12,
            "offsets go on"
        );
        assert_eq!(
            spans(&records_at(&mut connection, &topic, 0, 12)),
            [(12, 12)]
        );
    }
}

// Point 50.
#[test]
fn only_partitions_that_delete_can_be_deleted_from() {
    let node = shared();
    let mut connection = node.connect();
    let compacted = create(
        &mut connection,
        "compact",
        1,
        &[("cleanup.policy", "compact")],
    );
    assert_eq!(
        delete_before(&mut connection, &compacted, 0),
        (POLICY_VIOLATION, -1)
    );
    let both = create(
        &mut connection,
        "both",
        1,
        &[("cleanup.policy", "compact,delete")],
    );
    assert_eq!(delete_before(&mut connection, &both, 0), (0, 0));
    for name in ["nowhere", &both.name] {
        assert_eq!(
            delete_in(&mut connection, 2, name, (3, 0)),
            (UNKNOWN_TOPIC_OR_PARTITION, -1)
        );
    }
    let internal = "__consumer_offsets";
    let created = try_create(&mut connection, new_topic(internal, 1, &[]));
    assert!(matches!(created.error_code, 0 | 36));
    assert_eq!(
        delete_in(&mut connection, 2, internal, (0, 0)),
        (INVALID_TOPIC, -1)
    );
}

// Point 50: before it is told it is on the drive.
#[test]
fn deleted_records_stay_deleted_over_a_restart() {
    if against_another() {
        return;
    }
    let mut node = Node::start(Options::at);
    let mut connection = node.connect();
    let topic = create(&mut connection, "stay", 1, &[("segment.bytes", "1048576")]);
    for _ in 0..6 {
        store(&mut connection, &topic, 0, &sized(500_000));
        store(&mut connection, &topic, 0, &batch(5));
    }
    for (kill, up_to) in [(true, 3), (false, 8), (true, 20), (true, 36)] {
        let mut connection = node.connect();
        assert_eq!(delete_before(&mut connection, &topic, up_to), (0, up_to));
        node.restart(kill, Options::at);
        let mut connection = node.connect();
        let found = fetch(&mut connection, &topic, 0, up_to);
        assert_eq!(
            (found.error_code, found.log_start_offset),
            (0, up_to),
            "kill: {kill}"
        );
        assert_eq!(found.high_watermark, 36, "kill: {kill}");
        let below = fetch(&mut connection, &topic, 0, up_to - 1);
        assert_eq!(below.error_code, OFFSET_OUT_OF_RANGE, "kill: {kill}");
    }
    let mut connection = node.connect();
    assert_eq!(store(&mut connection, &topic, 0, &batch(1)), 36);
}

/// A broker that looks for what is to be deleted all the time.
fn keen(dir: &Path) -> Options {
    Options::at(dir).set("log.retention.check.interval.ms", "20")
}

/// Waits until the log starts at `expected`; panics when it starts above.
fn wait_for_start(connection: &mut Connection, topic: &Topic, expected: i64) {
    let begun = Instant::now();
    loop {
        let start = log_start(connection, topic);
        assert!(
            start <= expected,
            "the log starts at {start}, beyond {expected}"
        );
        if start == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the log starts at {start}, not yet at {expected}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The base offsets of the segments of partition 0 on the drive.
fn segments(node: &Node, topic: &Topic) -> Vec<i64> {
    let drive = std::fs::read_dir(node.dir().join("data")).expect("the drive's directory");
    let folders = drive.map(|entry| entry.expect("an entry").path());
    // The topic's id follows the partition's number.
    let of_partition = format!("{}-0.", topic.name);
    let named = |path: &std::path::PathBuf| {
        let name = path.file_name().and_then(std::ffi::OsStr::to_str);
        name.is_some_and(|name| name.starts_with(&of_partition))
    };
    let dir = folders
        .into_iter()
        .find(named)
        .expect("the partition's directory");
    let files = std::fs::read_dir(&dir).expect("the partition's directory");
    let names = files.map(|file| {
        file.expect("an entry")
            .file_name()
            .into_string()
            .expect("a name")
    });
    let mut bases: Vec<i64> = names
        .filter_map(|name| {
            name.strip_suffix(".log")
                .map(|base| base.parse().expect("an offset"))
        })
        .collect();
    bases.sort_unstable();
    bases
}

/// Waits until these segments are left: their files go after the log's start has moved.
fn wait_for_segments(node: &Node, topic: &Topic, expected: &[i64]) {
    let begun = Instant::now();
    loop {
        let found = segments(node, topic);
        if found == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "segments {found:?} are left, not {expected:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

// Point 52: three batches to a segment; the oldest ones go as long as retention.bytes stay.
#[test]
fn segments_beyond_the_size_are_deleted() {
    if against_another() {
        return;
    }
    let mut node = Node::start(keen);
    let mut connection = node.connect();
    let settings = [("segment.bytes", "1048576"), ("retention.bytes", "1500000")];
    let topic = create(&mut connection, "by-size", 1, &settings);
    for n in 0..10 {
        assert_eq!(store(&mut connection, &topic, 0, &sized(300_000)), n);
    }
    // Of 3,000,000 bytes the first 900,000 may go, the next not: fewer than 1,500,000 would be left.
    wait_for_start(&mut connection, &topic, 3);
    wait_for_segments(&node, &topic, &[3, 6, 9]);
    let kept: Vec<i64> = (3..10).collect();
    let mut found = Vec::new();
    while found.len() < kept.len() {
        let next = found.last().map_or(3, |last| last + 1);
        let records = records_at(&mut connection, &topic, 0, next);
        found.extend(rows(&records).into_iter().map(|row| row.0));
    }
    assert_eq!(found, kept);
    // A setting that changes takes hold, and what is gone stays gone.
    node.restart(true, |dir| keen(dir).set("log.retention.bytes", "1"));
    let mut connection = node.connect();
    assert_eq!(log_start(&mut connection, &topic), 3);
    super::alterations::set_topic(&mut connection, &topic, "retention.bytes", "0");
    // As in Kafka, nothing at all is kept then: the active segment is closed and goes, too.
    wait_for_start(&mut connection, &topic, 10);
}

/// A batch of about 600 KB with this time, so that each has a segment of its own.
fn large_at(timestamp: i64) -> Bytes {
    let value = vec![b'x'; 600_000];
    let record = NewRecord {
        timestamp,
        key: Some(b"k"),
        value: Some(&value),
        ..NewRecord::default()
    };
    Builder::new(Compression::None)
        .record(record)
        .build()
        .expect("a batch")
}

// Point 52: by the greatest time in a segment.
#[test]
fn segments_that_are_too_old_are_deleted() {
    if against_another() {
        return;
    }
    let node = Node::start(keen);
    let mut connection = node.connect();
    let settings = [("segment.bytes", "1048576"), ("retention.ms", "3600000")];
    let topic = create(&mut connection, "by-time", 1, &settings);
    let (old, now) = (now_ms() - 7_200_000, now_ms());
    for time in [old, old + 1, now, old, now] {
        store(&mut connection, &topic, 0, &large_at(time));
    }
    // The fourth is old, but behind one that isn't.
    wait_for_start(&mut connection, &topic, 2);
    wait_for_segments(&node, &topic, &[2, 3, 4]);
    // Settings that keep everything, at the same time and on the same broker.
    for settings in [
        [("retention.ms", "-1"), ("retention.bytes", "-1")],
        [("retention.ms", "1"), ("cleanup.policy", "compact")],
    ] {
        let kept = create(&mut connection, "kept", 1, &settings);
        for _ in 0..3 {
            store(&mut connection, &kept, 0, &large_at(1));
        }
        let marker = create(&mut connection, "marker", 1, &[("retention.ms", "1")]);
        store(&mut connection, &marker, 0, &large_at(1));
        wait_for_start(&mut connection, &marker, 1);
        assert_eq!(log_start(&mut connection, &kept), 0, "{settings:?}");
    }
}

// Point 52: the active segment is closed first when it has expired; offsets go on.
#[test]
fn an_expired_active_segment_is_closed_and_deleted() {
    if against_another() {
        return;
    }
    let mut node = Node::start(keen);
    let mut connection = node.connect();
    let topic = create(&mut connection, "active", 1, &[("retention.ms", "1000")]);
    for n in 0..3 {
        let set = super::records::timed(Compression::Zstd, &[5_000 + n, 5_001 + n]);
        assert_eq!(store(&mut connection, &topic, 0, &set), n * 2);
        wait_for_start(&mut connection, &topic, n * 2 + 2);
    }
    // The file of a new segment is made with its first record.
    wait_for_segments(&node, &topic, &[]);
    for kill in [false, true] {
        node.restart(kill, keen);
        let mut connection = node.connect();
        assert_eq!(log_start(&mut connection, &topic), 6, "kill: {kill}");
        let end = fetch(&mut connection, &topic, 0, 6);
        assert_eq!((end.error_code, end.high_watermark), (0, 6), "kill: {kill}");
    }
    let mut connection = node.connect();
    assert_eq!(store(&mut connection, &topic, 0, &batch(1)), 6);
}

// Point 52: when a segment is closed, by size and by the time its records span.
#[test]
fn segments_are_closed_by_size_and_by_time() {
    if against_another() {
        return;
    }
    let mut node = Node::start(Options::at);
    let mut connection = node.connect();
    let by_size = create(
        &mut connection,
        "roll-size",
        1,
        &[("segment.bytes", "1048576")],
    );
    for _ in 0..3 {
        store(&mut connection, &by_size, 0, &sized(524_288));
    }
    store(&mut connection, &by_size, 0, &sized(524_289));
    store(&mut connection, &by_size, 0, &sized(524_288));
    assert_eq!(segments(&node, &by_size), [0, 2, 3, 4]);
    let by_time = create(&mut connection, "roll-time", 1, &[("segment.ms", "1000")]);
    let now = now_ms() - 1_000_000;
    for time in [
        now,
        now + 1_000,
        now + 1_001,
        now + 2_001,
        now + 2_002,
        now + 100,
        now + 3_100,
    ] {
        let set = super::records::timed(Compression::None, &[time]);
        store(&mut connection, &by_time, 0, &set);
    }
    assert_eq!(segments(&node, &by_time), [0, 2, 4, 6]);
    node.restart(true, Options::at);
    assert_eq!(segments(&node, &by_size), [0, 2, 3, 4]);
    let mut connection = node.connect();
    let mut next = 0;
    while next < 5 {
        let found = rows(&records_at(&mut connection, &by_size, 0, next));
        for row in found {
            assert_eq!(row.0, next);
            next += 1;
        }
    }
    assert_eq!(fetch(&mut connection, &by_time, 0, 0).high_watermark, 7);
}
