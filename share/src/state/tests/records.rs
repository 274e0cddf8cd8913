//! Records as Kafka 4.1's own classes write them.

use super::*;
use crate::state::schema::{Key, Snapshot, Unreadable, Update};

const SNAPSHOT_KEY: &str = "000000057175657565000102030405060708090a0b0c0d0e0f00000007";
const UPDATE_KEY: &str = "000100057175657565000102030405060708090a0b0c0d0e0f00000007";
const SNAPSHOT: &str = "000000000003000000020000000900000000000000640000018bcfe568000000018bcfe5687b030000000000000064000000000000006d02000100000000000000006e000000000000006e0000050000";
const UPDATE: &str =
    "0000000000030000000affffffffffffffff02000000000000006e00000000000000700400050000";
/// `SharePartitionKey.asCoordinatorKey`, and its hash.
const COORDINATOR_KEY: &str = "queue:AAECAwQFBgcICQoLDA0ODw:7";
const HASH: i32 = 865_467_924;

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn queue() -> ShareKey {
    ShareKey {
        group_id: "queue".to_owned(),
        topic_id: Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        partition: 7,
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        snapshot_epoch: 3,
        state_epoch: 2,
        leader_epoch: 9,
        start_offset: 100,
        created_ms: 1_700_000_000_000,
        written_ms: 1_700_000_000_123,
        batches: vec![batch(100, 109, 2, 1), batch(110, 110, 0, 5)],
    }
}

#[test]
fn records_are_kafkas() {
    assert_eq!(Key::Snapshot(queue()).write(), bytes(SNAPSHOT_KEY));
    assert_eq!(Key::Update(queue()).write(), bytes(UPDATE_KEY));
    let read = |hex| Key::read(&bytes(hex)).unwrap();
    assert_eq!(read(SNAPSHOT_KEY), Some(Key::Snapshot(queue())));
    assert_eq!(read(UPDATE_KEY), Some(Key::Update(queue())));
    assert_eq!(read("0002ff"), None, "a later kind is passed over");
    assert_eq!(snapshot().write(), bytes(SNAPSHOT));
    assert_eq!(Snapshot::read(&bytes(SNAPSHOT)).unwrap(), snapshot());
    let update = Update {
        snapshot_epoch: 3,
        leader_epoch: 10,
        start_offset: -1,
        batches: vec![batch(110, 112, 4, 5)],
    };
    assert_eq!(Update::read(&bytes(UPDATE)).unwrap(), update);
}

#[test]
fn damaged_records_are_refused() {
    let whole = bytes(SNAPSHOT);
    for length in 0..whole.len() {
        assert!(Snapshot::read(&whole[..length]).is_err());
    }
    let later = bytes(&SNAPSHOT.replacen("0000", "0001", 1));
    assert_eq!(Snapshot::read(&later), Err(Unreadable::Version(1)));
    let backwards = Snapshot {
        batches: vec![batch(5, 4, 0, 1)],
        ..snapshot()
    };
    assert_eq!(
        Snapshot::read(&backwards.write()),
        Err(Unreadable::Batch(5, 4))
    );
}

#[test]
fn coordinator_keys_are_kafkas() {
    assert_eq!(queue().to_string(), COORDINATOR_KEY);
    assert_eq!(coordinator::java_hash(COORDINATOR_KEY), HASH);
    assert_eq!(COORDINATOR_KEY.parse(), Ok(queue()));
    for id in [0, u128::MAX, 0xfbff_beef << 90] {
        let key = key("g", id, i32::MAX);
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    let wrong = |text: &str| text.parse::<ShareKey>().unwrap_err();
    assert_eq!(wrong(""), NotAKey::Parts);
    assert_eq!(wrong("a:b"), NotAKey::Parts);
    assert_eq!(wrong("a:AAECAwQFBgcICQoLDA0ODw:1:2"), NotAKey::Parts);
    assert_eq!(wrong(" :AAECAwQFBgcICQoLDA0ODw:1"), NotAKey::Group);
    assert_eq!(wrong("a:AAECAwQFBgcICQoLDA0OD:1"), NotAKey::TopicId);
    assert_eq!(wrong("a:AAECAwQFBgcICQoLDA0O/w:1"), NotAKey::TopicId);
    assert_eq!(wrong("a:AAECAwQFBgcICQoLDA0ODw:one"), NotAKey::Partition);
}

#[test]
fn kafkas_updates_are_taken_and_forgotten_with_the_rest() {
    let mut driver = Driver::new();
    let id = queue().topic_id;
    driver.cluster.topics.insert(id, 8);
    for (key, value) in [(SNAPSHOT_KEY, SNAPSHOT), (UPDATE_KEY, UPDATE)] {
        driver.log.push((bytes(key), Some(bytes(value))));
    }
    driver.fail_over(false);
    let wanted = StoredState {
        state_epoch: 2,
        start_offset: 100,
        batches: vec![batch(100, 109, 2, 1), batch(110, 112, 4, 5)],
    };
    assert_eq!(driver.read(&queue(), 10), Ok(wanted));
    assert_eq!(driver.log.len(), 2, "nothing changed");
    assert_eq!(driver.done(Ask::Delete(queue())), Ok(()));
    let tombstones: Vec<_> = driver.log[2..].to_vec();
    assert_eq!(
        tombstones,
        [(bytes(SNAPSHOT_KEY), None), (bytes(UPDATE_KEY), None)]
    );
    driver.fail_over(true);
    assert_eq!(driver.core.count(), 0);
    assert!(driver.log.is_empty());
}
