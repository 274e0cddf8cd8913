//! Timestamps, and the other things a topic may ask of each record.

use batch::{Batch, Builder, Compression, NewRecord, TimestampType};
use bytes::Bytes;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;

use super::node::shared;
use super::records::{
    batch, compressed, create, fetch, now_ms, produce, produce_in, records_at, rows, timed,
};

const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;

/// The records at fault, by their place in the batch.
fn at_fault(outcome: &PartitionProduceResponse) -> Vec<i32> {
    outcome
        .record_errors
        .iter()
        .map(|error| error.batch_index)
        .collect()
}

// Point 13.
#[test]
fn log_append_time_is_the_brokers() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let topic = create(&mut connection, "append-time", 1, &settings);
    let mut next = 0;
    for codec in Compression::ALL {
        let before = now_ms();
        // Times that a topic of create times would refuse.
        let outcome = produce(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[5, i64::MAX / 2, 7]),
        );
        assert_eq!(
            (outcome.error_code, outcome.base_offset),
            (0, next),
            "{codec}"
        );
        let appended = outcome.log_append_time_ms;
        assert!(
            (before..=now_ms()).contains(&appended),
            "{codec}: {appended} after {before}"
        );
        let stored = records_at(&mut connection, &topic, 0, next);
        let kept = Batch::parse(&stored).expect("a batch");
        assert_eq!(
            kept.attributes().timestamp_type(),
            TimestampType::LogAppendTime
        );
        assert_eq!(kept.max_timestamp(), appended);
        // All records have it, and checksums are right.
        assert!(rows(&stored).iter().all(|row| row.1 == appended), "{codec}");
        next += 3;
    }
}

// Point 13.
#[test]
fn create_time_is_the_producers() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "create-time", 1, &[]);
    let now = now_ms();
    let mut next = 0;
    for codec in Compression::ALL {
        let sent = timed(codec, &[now - 5, now - 1, now - 9]);
        let outcome = produce(&mut connection, &topic, 0, &sent);
        assert_eq!(
            (outcome.error_code, outcome.log_append_time_ms),
            (0, -1),
            "{codec}"
        );
        let stored = records_at(&mut connection, &topic, 0, next);
        let times: Vec<i64> = rows(&stored).iter().map(|row| row.1).collect();
        assert_eq!(times, [now - 5, now - 1, now - 9], "{codec}");
        assert_eq!(
            Batch::parse(&stored).expect("a batch").max_timestamp(),
            now - 1
        );
        next += 3;
    }
}

// Point 14.
#[test]
fn timestamps_outside_the_topics_bounds_are_refused_record_by_record() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [
        ("message.timestamp.before.max.ms", "60000"),
        ("message.timestamp.after.max.ms", "60000"),
    ];
    let topic = create(&mut connection, "bounds", 1, &settings);
    let now = now_ms();
    let (early, late) = (now - 120_000, now + 120_000);
    let set = timed(Compression::None, &[now, early, now, late]);
    let outcome = produce(&mut connection, &topic, 0, &set);
    assert_eq!(
        outcome.error_code, INVALID_TIMESTAMP,
        "{:?}",
        outcome.error_message
    );
    assert_eq!((at_fault(&outcome), outcome.base_offset), (vec![1, 3], -1));
    assert!(outcome.error_message.is_some());
    for codec in Compression::ALL {
        for times in [[early, now], [now, late]] {
            let outcome = produce(&mut connection, &topic, 0, &timed(codec, &times));
            assert_eq!(outcome.error_code, INVALID_TIMESTAMP, "{codec} {times:?}");
        }
        let outcome = produce(
            &mut connection,
            &topic,
            0,
            &timed(codec, &[now - 30_000, now]),
        );
        assert_eq!(outcome.error_code, 0, "{codec}");
    }
    // The list came with version 8; before, there is the code.
    let outcome = produce_in(&mut connection, 7, &topic, 0, &set);
    assert_eq!(
        (outcome.error_code, at_fault(&outcome)),
        (INVALID_TIMESTAMP, Vec::new())
    );
}

// Point 14: the default bounds.
#[test]
fn a_clock_that_is_an_hour_ahead_is_refused_and_the_past_is_not() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "ahead", 1, &[]);
    let mut outcome = |timestamp| {
        produce(
            &mut connection,
            &topic,
            0,
            &timed(Compression::None, &[timestamp]),
        )
        .error_code
    };
    assert_eq!(outcome(now_ms() + 3_600_000 + 60_000), INVALID_TIMESTAMP);
    assert_eq!(outcome(now_ms() + 3_600_000 - 60_000), 0);
    assert_eq!(outcome(1), 0);
    // A record without a time is not judged by it.
    assert_eq!(outcome(-1), 0);
}

fn with_keys(codec: Compression, keys: &[Option<&[u8]>]) -> Bytes {
    let mut builder = Builder::new(codec);
    for key in keys {
        builder.push(NewRecord {
            timestamp: now_ms(),
            key: *key,
            value: Some(b"keyed"),
            ..NewRecord::default()
        });
    }
    builder.build().expect("a batch")
}

// Point 15.
#[test]
fn compacted_topics_demand_a_key_on_each_record() {
    let node = shared();
    let mut connection = node.connect();
    for policy in ["compact", "compact,delete"] {
        let topic = create(&mut connection, "keys", 1, &[("cleanup.policy", policy)]);
        for codec in Compression::ALL {
            let key = Some(&b"k"[..]);
            let set = with_keys(codec, &[key, None, key, None]);
            let outcome = produce(&mut connection, &topic, 0, &set);
            assert_eq!(outcome.error_code, INVALID_RECORD, "{policy} {codec}");
            assert_eq!(at_fault(&outcome), [1, 3], "{policy} {codec}");
            let empty_key = Some(&b""[..]);
            let set = with_keys(codec, &[key, empty_key]);
            assert_eq!(
                produce(&mut connection, &topic, 0, &set).error_code,
                0,
                "{policy} {codec}"
            );
        }
        assert_eq!(fetch(&mut connection, &topic, 0, 0).high_watermark, 10);
    }
    let kept = create(
        &mut connection,
        "no-keys",
        1,
        &[("cleanup.policy", "delete")],
    );
    assert_eq!(produce(&mut connection, &kept, 0, &batch(2)).error_code, 0);
    let set = compressed(Compression::Lz4, 2);
    assert_eq!(produce(&mut connection, &kept, 0, &set).error_code, 0);
}
