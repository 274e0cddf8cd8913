//! Compaction of a topic by a whole broker: what consumers find of it, before and after a kill.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use batch::{Builder, Compression, NewRecord};
use bytes::Bytes;

use super::node::{Node, against_another};
use super::records::{Row, Topic, create, fetch, now_ms, rows, store};
use super::wire::{Connection, PATIENCE};
use crate::harness::Options;

const KEYS: i64 = 40;

/// A broker that looks for what is to be compacted all the time, with no more memory for keys than is needed.
fn keen(dir: &Path) -> Options {
    Options::at(dir)
        .set("log.cleaner.backoff.ms", "20")
        .set("log.cleaner.dedupe.buffer.size", "1200")
}

/// A batch of records of a kilobyte: keys in turn, from `first` on.
fn keyed(codec: Compression, first: i64, count: i64) -> Bytes {
    let mut builder = Builder::new(codec);
    for at in first..first + count {
        let key = format!("key-{}", at % KEYS);
        let value = format!("{at} {}", "v".repeat(1000));
        builder.push(NewRecord {
            timestamp: now_ms(),
            key: Some(key.as_bytes()),
            // The last time a few of them are given, they are deleted.
            value: (at % KEYS >= 5).then_some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

fn all(connection: &mut Connection, topic: &Topic) -> Vec<Row> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let part = fetch(connection, topic, 0, from);
        assert_eq!(part.error_code, 0);
        let records = part.records.unwrap_or_default();
        let Some(last) = batch::batches(&records).last() else {
            assert_eq!(from, part.high_watermark, "nothing before the end");
            return found;
        };
        from = last.expect("a batch").next_offset();
        found.extend(rows(&records));
    }
}

/// The last value of each key.
fn view(rows: &[Row]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut view = BTreeMap::new();
    for (_, _, key, value) in rows {
        let key = key.clone().expect("a key");
        match value.clone() {
            Some(value) => view.insert(key, value),
            None => view.remove(&key),
        };
    }
    view
}

#[test]
fn a_compacted_topic_comes_down_to_the_last_value_of_each_key() {
    if against_another() {
        return;
    }
    let mut node = Node::start(keen);
    let mut connection = node.connect();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "500"),
    ];
    let topic = create(&mut connection, "compacted", 1, &settings);
    let mut written = Vec::new();
    for (at, codec) in (0..80).zip(Compression::ALL.into_iter().cycle()) {
        let batch = keyed(codec, at * 50, 50);
        assert_eq!(store(&mut connection, &topic, 0, &batch), at * 50);
        written.extend(
            rows(&batch)
                .into_iter()
                .map(|(offset, time, key, value)| (offset + at * 50, time, key, value)),
        );
    }
    let expected = view(&written);
    assert_eq!(expected.len() as i64, KEYS - 5);
    let begun = Instant::now();
    let found = loop {
        let found = all(&mut connection, &topic);
        assert_eq!(view(&found), expected, "at every moment");
        if found.len() as i64 <= KEYS {
            break found;
        }
        let left = found.len();
        assert!(begun.elapsed() < PATIENCE, "{left} records are still there");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(
        found.iter().all(|row| written.contains(row)),
        "what stays is what it was"
    );
    // Offsets that are gone are read as what follows them, and the log begins and ends where it did.
    let part = fetch(&mut connection, &topic, 0, 17);
    assert_eq!((part.error_code, part.log_start_offset), (0, 0));
    assert_eq!(rows(&part.records.expect("records"))[0], found[0]);
    assert_eq!(fetch(&mut connection, &topic, 0, 4000).error_code, 0);

    drop(connection);
    for kill in [true, false] {
        node.restart(kill, keen);
        let mut connection = node.connect();
        assert_eq!(all(&mut connection, &topic), found);
    }
    let mut connection = node.connect();
    assert_eq!(
        store(&mut connection, &topic, 0, &keyed(Compression::None, 0, 1)),
        4000
    );
}

#[test]
fn a_topic_that_is_compacted_and_deleted_from_loses_what_is_old() {
    if against_another() {
        return;
    }
    let node = Node::start(|dir| keen(dir).set("log.retention.check.interval.ms", "20"));
    let mut connection = node.connect();
    let settings = [
        ("cleanup.policy", "compact,delete"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("retention.bytes", "1200000"),
    ];
    let topic = create(&mut connection, "both", 1, &settings);
    // Keys that never come again, so that compaction frees nothing.
    for at in 0..60 {
        let mut builder = Builder::new(Compression::None);
        for n in 0..50 {
            let key = format!("{at}-{n}");
            builder.push(NewRecord {
                timestamp: now_ms(),
                key: Some(key.as_bytes()),
                value: Some(&[b'v'; 1000]),
                ..NewRecord::default()
            });
        }
        store(
            &mut connection,
            &topic,
            0,
            &builder.build().expect("a batch"),
        );
    }
    let begun = Instant::now();
    while fetch(&mut connection, &topic, 0, 3000).log_start_offset == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is deleted");
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = fetch(&mut connection, &topic, 0, 3000).log_start_offset;
    let part = fetch(&mut connection, &topic, 0, start);
    assert_eq!(rows(&part.records.expect("records"))[0].0, start);
}
