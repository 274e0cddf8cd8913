//! Record sets that are not what they say.

use batch::{Builder, Compression, NewRecord};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::{MIB, Victim};
use crate::semantics::records::{batch, create, now_ms, produce, store, topic_name};
use crate::semantics::wire::Connection;

const CORRUPT_MESSAGE: i16 = 2;
const INVALID_RECORD: i16 = 87;

/// Where the checksummed part of a batch begins.
const CHECKED: usize = 21;

fn with_right_crc(mut bytes: BytesMut) -> Bytes {
    let crc = crc32c::crc32c(&bytes[CHECKED..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[test]
fn no_flipped_byte_is_taken_and_the_connection_lives() {
    let victim = Victim::start();
    let mut connection = victim.connect();
    let good = batch(3);
    store(&mut connection, &victim.topic, 0, &good);
    // Before it lie the base offset, which the broker gives, and the length; bytes 12 to 16 are the
    // leader epoch, which it gives too.
    for at in (8..12).chain(16..good.len()) {
        let mut bad = BytesMut::from(&good[..]);
        bad[at] ^= 0x55;
        let outcome = produce(&mut connection, &victim.topic, 0, &bad.freeze());
        assert_ne!(
            outcome.error_code, 0,
            "a batch with byte {at} changed was taken"
        );
        if at >= CHECKED {
            assert_eq!(outcome.error_code, CORRUPT_MESSAGE, "byte {at}");
        }
    }
    for cut in [0, 1, 11, 12, 60, 61, good.len() - 1] {
        let outcome = produce(&mut connection, &victim.topic, 0, &good.slice(..cut));
        assert_ne!(outcome.error_code, 0, "{cut} bytes of a batch were taken");
    }
    assert_eq!(
        store(&mut connection, &victim.topic, 0, &good),
        3,
        "only whole batches were taken"
    );
    victim.assert_unharmed();
}

#[test]
fn counts_that_lie_are_refused_with_the_right_checksum() {
    let victim = Victim::start();
    let mut connection = victim.connect();
    let good = batch(3);
    let lies: [i32; 8] = [-1, 0, 1, 2, 4, 1_000_000, i32::MAX, i32::MIN];
    for lie in lies {
        let mut bad = BytesMut::from(&good[..]);
        bad[57..61].copy_from_slice(&lie.to_be_bytes());
        // And once with a last offset that agrees with the count.
        let mut agreed = bad.clone();
        agreed[23..27].copy_from_slice(&lie.wrapping_sub(1).to_be_bytes());
        for bad in [with_right_crc(bad), with_right_crc(agreed)] {
            let outcome = produce(&mut connection, &victim.topic, 0, &bad);
            assert_eq!(
                outcome.error_code, INVALID_RECORD,
                "{lie}: {:?}",
                outcome.error_message
            );
        }
    }
    // Lengths inside: of the first record, its key, its value.
    for at in 61..good.len() {
        for lie in [0x01, 0x7f, 0xff] {
            let mut bad = BytesMut::from(&good[..]);
            if bad[at] != lie {
                bad[at] = lie;
                // Some are just another value; none ends the connection.
                produce(&mut connection, &victim.topic, 1, &with_right_crc(bad));
            }
        }
    }
    assert_eq!(store(&mut connection, &victim.topic, 0, &good), 0);
    victim.assert_unharmed();
    victim.assert_bounded("lying batches");
}

/// A record of `size` zeros, which hardly take any room.
fn bomb(codec: Compression, size: usize) -> Bytes {
    let value = vec![0; size];
    let record = NewRecord {
        timestamp: now_ms(),
        value: Some(&value),
        key: Some(b"bomb"),
        ..NewRecord::default()
    };
    Builder::new(codec).record(record).build().expect("a batch")
}

fn offset_for_time(timestamp: i64, topic: &str) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

#[test]
fn what_decompresses_without_end_is_stopped() {
    let victim = Victim::start();
    let mut connection = victim.connect();
    let compacted = create(
        &mut connection,
        "bomb-keys",
        1,
        &[("cleanup.policy", "compact")],
    );
    let plain = create(&mut connection, "bomb-times", 1, &[]);
    let begun = now_ms();
    for codec in [Compression::Zstd, Compression::Gzip, Compression::Lz4] {
        // As much as fits into a message of a megabyte.
        let size = if codec == Compression::Lz4 {
            200 * MIB
        } else {
            400 * MIB
        };
        let bomb = bomb(codec, size);
        assert!(bomb.len() < MIB, "{codec:?}: {} bytes", bomb.len());
        let outcome = produce(&mut connection, &compacted, 0, &bomb);
        assert_eq!(
            outcome.error_code, INVALID_RECORD,
            "{codec:?}: {:?}",
            outcome.error_message
        );
        // Where keys don't matter it is stored as it came, and opened only for times.
        store(&mut connection, &plain, 0, &bomb);
    }
    victim.assert_bounded("bombs that were refused");
    let mut askers: Vec<Connection> = (0..16).map(|_| victim.connect()).collect();
    let request = offset_for_time(begun, &plain.name);
    let sent: Vec<i32> = askers
        .iter_mut()
        .map(|asker| asker.send(7, &request))
        .collect();
    for (asker, id) in askers.iter_mut().zip(sent) {
        // An error or an offset; what matters is that it comes.
        let answer = asker.receive::<ListOffsetsRequest>(7, id);
        assert_eq!(answer.topics[0].partitions.len(), 1);
    }
    victim.assert_bounded("bombs that were looked into");
    victim.assert_unharmed();
}
