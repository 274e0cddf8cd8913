//! What a record set has to be, what becomes of it, and what a refusal says.

use batch::{Batch, Builder, Compression, NewRecord, stamp};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use uuid::Uuid;

use super::node::shared;
use super::records::{
    ALL, BY_NAME, Topic, batch, compressed, create, fetch, now_ms, produce, produce_in,
    produce_request, records_at, refusal, rows, sized, spans, store,
};

const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const INVALID_REQUIRED_ACKS: i16 = 21;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// The bytes of a batch changed at one place, with the right checksum.
fn altered(records: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut changed = BytesMut::from(&records[..]);
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&changed[21..]);
    changed[17..21].copy_from_slice(&crc.to_be_bytes());
    changed.freeze()
}

fn assert_refused(outcome: &PartitionProduceResponse, error: i16, what: &str) {
    assert_eq!(
        outcome.error_code, error,
        "{what}: {:?}",
        outcome.error_message
    );
    assert_eq!(
        (outcome.base_offset, outcome.log_append_time_ms),
        (-1, -1),
        "{what}"
    );
}

// Point 8.
#[test]
fn acks_zero_is_never_answered() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "acks-zero", 1, &[]);
    let set = |records| produce_request(BY_NAME, &topic, 0, vec![(0, Some(records))]);
    for _ in 0..3 {
        connection.send(BY_NAME, &set(batch(2)));
    }
    // The next answer is that to the next request.
    assert_eq!(store(&mut connection, &topic, 0, &batch(1)), 6);
}

// Point 8: it is the one way to tell the client.
#[test]
fn an_error_with_acks_zero_closes_the_connection() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "acks-zero-error", 1, &[]);
    let nowhere = Topic {
        name: "no-such-topic-here".to_owned(),
        id: Uuid::nil(),
    };
    let mut damaged = BytesMut::from(&batch(1)[..]);
    damaged[17] ^= 1;
    let refused = [
        produce_request(BY_NAME, &topic, 0, vec![(7, Some(batch(1)))]),
        produce_request(BY_NAME, &topic, 0, vec![(0, Some(damaged.freeze()))]),
        produce_request(BY_NAME, &nowhere, 0, vec![(0, Some(batch(1)))]),
    ];
    for request in refused {
        let mut connection = node.connect();
        connection.send(BY_NAME, &request);
        connection.assert_closes("a refused record set with acks=0");
    }
}

// Point 9.
#[test]
fn other_acks_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "acks", 1, &[]);
    for acks in [2, -2, i16::MAX, i16::MIN] {
        let request = produce_request(BY_NAME, &topic, acks, vec![(0, Some(batch(1)))]);
        let answer = connection.call(BY_NAME, &request);
        let outcome = &answer.responses[0].partition_responses[0];
        assert_refused(outcome, INVALID_REQUIRED_ACKS, &format!("acks={acks}"));
    }
    for acks in [1, ALL] {
        let request = produce_request(BY_NAME, &topic, acks, vec![(0, Some(batch(1)))]);
        let answer = connection.call(BY_NAME, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    assert_eq!(fetch(&mut connection, &topic, 0, 0).high_watermark, 2);
}

// Point 10.
#[test]
fn a_record_set_is_exactly_one_batch_of_the_present_format() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "one-batch", 1, &[]);
    let two = [batch(1), batch(1)].concat();
    let mut renumbered = BytesMut::from(&batch(1)[..]);
    stamp(&mut renumbered, 5, -1);
    let sets: [(&str, Bytes); 7] = [
        ("no batch", Bytes::new()),
        ("two batches", two.into()),
        ("a base offset", renumbered.freeze()),
        ("magic 0", altered(&batch(1), 16, &[0])),
        ("magic 1", altered(&batch(1), 16, &[1])),
        (
            "a count below its records",
            altered(&batch(3), 57, &2_i32.to_be_bytes()),
        ),
        (
            "an offset delta beyond its records",
            altered(&batch(3), 23, &5_i32.to_be_bytes()),
        ),
    ];
    for (what, set) in sets {
        assert_refused(
            &produce(&mut connection, &topic, 0, &set),
            INVALID_RECORD,
            what,
        );
    }
    assert_eq!(
        fetch(&mut connection, &topic, 0, 0).high_watermark,
        0,
        "nothing was stored"
    );
}

// Point 10.
#[test]
fn control_batches_are_for_brokers_only() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "control", 1, &[]);
    let marker = NewRecord {
        timestamp: now_ms(),
        key: Some(&[0, 0, 0, 1]),
        value: Some(&[0; 6]),
        ..NewRecord::default()
    };
    for codec in Compression::ALL {
        let set = Builder::new(codec)
            .control()
            .record(marker)
            .build()
            .expect("a batch");
        let outcome = produce(&mut connection, &topic, 0, &set);
        assert_refused(&outcome, INVALID_RECORD, "a transaction marker");
    }
}

// Point 10: every bit that the checksum covers, and the checksum itself.
#[test]
fn damaged_batches_are_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "damage", 1, &[]);
    let whole = batch(1);
    for at in 17..whole.len() {
        let mut damaged = BytesMut::from(&whole[..]);
        damaged[at] ^= 0x40;
        let outcome = produce(&mut connection, &topic, 0, &damaged.freeze());
        assert_refused(&outcome, CORRUPT_MESSAGE, &format!("byte {at} damaged"));
    }
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut damaged = BytesMut::from(&compressed(codec, 10)[..]);
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let outcome = produce(&mut connection, &topic, 0, &damaged.freeze());
        assert_refused(&outcome, CORRUPT_MESSAGE, codec.name());
    }
    assert_eq!(
        fetch(&mut connection, &topic, 0, 0).high_watermark,
        0,
        "nothing was stored"
    );
}

// Point 10.
#[test]
fn zstd_needs_version_7() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "zstd", 1, &[]);
    let set = compressed(Compression::Zstd, 5);
    for version in 3..7 {
        let outcome = produce_in(&mut connection, version, &topic, 0, &set);
        assert_refused(
            &outcome,
            UNSUPPORTED_COMPRESSION_TYPE,
            &format!("version {version}"),
        );
    }
    for version in 7..=13 {
        assert_eq!(
            produce_in(&mut connection, version, &topic, 0, &set).error_code,
            0
        );
    }
}

// A codec that Kafka has not given away.
#[test]
fn codecs_that_do_not_exist_are_refused() {
    if super::node::against_another() {
        // Kafka answers UNKNOWN_SERVER_ERROR.
        return;
    }
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "codec", 1, &[]);
    for codec in 5..8 {
        let outcome = produce(
            &mut connection,
            &topic,
            0,
            &altered(&batch(1), 21, &[0, codec]),
        );
        assert_refused(
            &outcome,
            UNSUPPORTED_COMPRESSION_TYPE,
            &format!("codec {codec}"),
        );
    }
}

// Point 10: each partition for itself.
#[test]
fn a_refused_record_set_does_no_harm_to_the_others() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "partly", 3, &[]);
    let mut damaged = BytesMut::from(&batch(1)[..]);
    damaged[60] ^= 1;
    let sets = vec![
        (0, Some(batch(2))),
        (1, Some(damaged.freeze())),
        (2, Some(batch(4))),
        (9, Some(batch(1))),
    ];
    let answer = connection.call(BY_NAME, &produce_request(BY_NAME, &topic, ALL, sets));
    let outcomes = answer.responses[0].partition_responses.iter();
    let mut outcomes: Vec<_> = outcomes
        .map(|o| (o.index, o.error_code, o.base_offset))
        .collect();
    outcomes.sort_unstable();
    let unknown = UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(
        outcomes,
        [
            (0, 0, 0),
            (1, CORRUPT_MESSAGE, -1),
            (2, 0, 0),
            (9, unknown, -1)
        ]
    );
}

// Point 11: the size as it came, compressed, with the 12 bytes in front.
#[test]
fn the_largest_message_is_measured_compressed_and_whole() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(
        &mut connection,
        "largest",
        1,
        &[("max.message.bytes", "1000")],
    );
    assert_eq!(refusal(&mut connection, &topic, &sized(1000)), 0);
    assert_eq!(
        refusal(&mut connection, &topic, &sized(1001)),
        MESSAGE_TOO_LARGE
    );
    let value = vec![b'x'; 50_000];
    let record = NewRecord {
        timestamp: now_ms(),
        value: Some(&value),
        ..NewRecord::default()
    };
    for codec in [Compression::Gzip, Compression::Zstd] {
        let set = Builder::new(codec).record(record).build().expect("a batch");
        assert!(set.len() < 1000, "{}", set.len());
        assert_eq!(refusal(&mut connection, &topic, &set), 0, "{codec}");
    }
    let standard = create(&mut connection, "largest-default", 1, &[]);
    assert_eq!(refusal(&mut connection, &standard, &sized(1_048_588)), 0);
    assert_eq!(
        refusal(&mut connection, &standard, &sized(1_048_589)),
        MESSAGE_TOO_LARGE
    );
}

// Point 11 and 39: what the broker writes lies before the checksum; all else comes back as sent.
#[test]
fn a_batch_comes_back_as_sent_but_for_offset_and_epoch() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "stamp", 1, &[]);
    for codec in Compression::ALL {
        let sent = compressed(codec, 7);
        let base = store(&mut connection, &topic, 0, &sent);
        let stored = records_at(&mut connection, &topic, 0, base);
        let stored = Batch::parse(&stored).expect("a batch");
        assert_eq!(
            (stored.base_offset(), stored.leader_epoch()),
            (base, 0),
            "{codec}"
        );
        let mut expected = BytesMut::from(&sent[..]);
        stamp(&mut expected, base, 0);
        assert_eq!(stored.bytes(), &expected[..], "{codec}");
    }
}

// Point 12, as far as one node: more replicas than there are can't be waited for, and Kafka takes the
// smaller of min.insync.replicas and the replication factor.
#[test]
fn more_in_sync_replicas_than_replicas_are_not_waited_for() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "isr", 1, &[("min.insync.replicas", "3")]);
    assert_eq!(store(&mut connection, &topic, 0, &batch(1)), 0);
    assert_eq!(fetch(&mut connection, &topic, 0, 0).high_watermark, 1);
}

// Point 17.
#[test]
fn partitions_and_topics_that_do_not_exist_are_named() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "unknown", 2, &[]);
    for version in 3..=13 {
        for index in [2, -1, i32::MAX] {
            let outcome = produce_in(&mut connection, version, &topic, index, &batch(1));
            assert_refused(
                &outcome,
                UNKNOWN_TOPIC_OR_PARTITION,
                &format!("partition {index}"),
            );
        }
    }
    let nowhere = Topic {
        name: super::node::unique("nowhere"),
        id: Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
    };
    let outcome = produce_in(&mut connection, 12, &nowhere, 0, &batch(1));
    assert_refused(&outcome, UNKNOWN_TOPIC_OR_PARTITION, "a topic by name");
    let outcome = produce_in(&mut connection, 13, &nowhere, 0, &batch(1));
    assert_refused(&outcome, UNKNOWN_TOPIC_ID, "a topic by id");
    let nil = Topic {
        id: Uuid::nil(),
        ..nowhere
    };
    let outcome = produce_in(&mut connection, 13, &nil, 0, &batch(1));
    assert_refused(&outcome, UNKNOWN_TOPIC_ID, "the id of no topic");
}

// Point 18.
#[test]
fn internal_topics_take_records_of_the_admin_client_only() {
    let node = shared();
    let mut connection = node.connect();
    for name in ["__consumer_offsets", "__transaction_state"] {
        let wanted = super::records::new_topic(name, 1, &[]);
        let created = super::records::try_create(&mut connection, wanted);
        assert!(
            matches!(created.error_code, 0 | 36),
            "{:?}",
            created.error_message
        );
        let topic = Topic {
            name: name.to_owned(),
            id: created.topic_id,
        };
        let outcome = produce(&mut connection, &topic, 0, &batch(1));
        assert_refused(&outcome, INVALID_TOPIC, name);
        let mut admin = node.connect().named("__admin_client");
        assert_eq!(
            produce(&mut admin, &topic, 0, &batch(1)).error_code,
            0,
            "{name}"
        );
    }
}

// Point 16.
#[test]
fn a_topic_with_a_codec_of_its_own_stores_with_that() {
    let node = shared();
    let mut connection = node.connect();
    let targets = [
        ("uncompressed", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    for (name, target) in targets {
        let topic = create(&mut connection, name, 1, &[("compression.type", name)]);
        let mut next = 0;
        for codec in Compression::ALL {
            let sent = compressed(codec, 20);
            assert_eq!(store(&mut connection, &topic, 0, &sent), next);
            let stored = records_at(&mut connection, &topic, 0, next);
            let kept = Batch::parse(&stored).expect("a batch");
            assert_eq!(
                kept.attributes().compression(),
                Ok(target),
                "{codec} to {name}"
            );
            let mut expected = rows(&sent);
            expected.iter_mut().for_each(|row| row.0 += next);
            assert_eq!(rows(&stored), expected, "{codec} to {name}");
            assert_eq!(spans(&stored), [(next, next + 19)]);
            next += 20;
        }
    }
}

// Points 11 and 16: what is stored may not be too large either.
#[test]
fn a_batch_that_grows_too_large_by_its_topics_codec_is_refused() {
    let node = shared();
    let mut connection = node.connect();
    let settings = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "2000"),
    ];
    let topic = create(&mut connection, "unpacked", 1, &settings);
    let value = vec![b'x'; 5_000];
    let record = NewRecord {
        timestamp: now_ms(),
        value: Some(&value),
        ..NewRecord::default()
    };
    let set = Builder::new(Compression::Gzip)
        .record(record)
        .build()
        .expect("a batch");
    assert!(set.len() < 2000);
    assert_refused(
        &produce(&mut connection, &topic, 0, &set),
        MESSAGE_TOO_LARGE,
        "5000 bytes",
    );
    assert_eq!(
        refusal(&mut connection, &topic, &compressed(Compression::Gzip, 20)),
        0
    );
}
