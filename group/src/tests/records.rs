//! Records against bytes that Apache Kafka 4.1.1 wrote.

use bytes::Bytes;
use coordinator::{Record, Replayed};
use proptest::prelude::*;
use uuid::Uuid;

use crate::offsets::Committed;
use crate::records::classic::{GroupMetadata, MemberMetadata, read_key, tombstone};
use crate::records::offset::{Key, read};
use crate::records::{Kind, Unreadable, kind_of};
use crate::state::State;

fn bytes(hex: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

const OFFSET_KEY: &str = "000100016700017400000003";
const GROUP_KEY: &str = "0002000167";
const GROUP_V3: &str = "00030008636f6e73756d657200000005000572616e676500016d0000018bcfe568000000000100016d00016900016300022f680000ea600000afc80000000201020000000103";

fn offset_key() -> Key<'static> {
    Key {
        group: "g",
        topic: "t",
        partition: 3,
    }
}

fn committed() -> Committed {
    Committed {
        offset: 42,
        leader_epoch: 7,
        metadata: "said".into(),
        commit_ms: 1_700_000_000_000,
        expire_ms: None,
        topic_id: Uuid::nil(),
        order: 0,
    }
}

fn group() -> GroupMetadata<'static> {
    let member = MemberMetadata {
        id: "m",
        instance: Some("i"),
        client_id: "c",
        client_host: "/h",
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 45_000,
        subscription: &[1, 2],
        assignment: &[3],
    };
    GroupMetadata {
        protocol_type: "consumer",
        generation: 5,
        protocol: Some("range"),
        leader: Some("m"),
        state_since_ms: 1_700_000_000_000,
        members: vec![member],
    }
}

#[test]
fn offsets_are_written_as_kafka_writes_them() {
    let written = |committed: &Committed, value| {
        let record = offset_key().record(committed);
        assert_eq!(record.key, bytes(OFFSET_KEY));
        assert_eq!(record.value, Some(bytes(value)));
    };
    written(
        &committed(),
        "0004000000000000002a0000000705736169640000018bcfe5680000",
    );
    let mut of_topic = committed();
    of_topic.topic_id = Uuid::from_u64_pair(1, 2);
    written(
        &of_topic,
        "0004000000000000002a0000000705736169640000018bcfe5680001001000000000000000010000000000000002",
    );
    let mut until = committed();
    until.expire_ms = Some(1_700_000_060_000);
    written(
        &until,
        "0001000000000000002a0004736169640000018bcfe568000000018bcfe65260",
    );
    assert_eq!(
        offset_key().tombstone(),
        Record {
            key: bytes(OFFSET_KEY),
            value: None
        }
    );
}

#[test]
fn offsets_of_all_versions_are_read() {
    let of = |epoch, expire_ms, topic_id| Committed {
        leader_epoch: epoch,
        expire_ms,
        topic_id,
        ..committed()
    };
    let (until, id) = (Some(1_700_000_060_000), Uuid::from_u64_pair(1, 2));
    let table = [
        (
            "0000000000000000002a0004736169640000018bcfe56800",
            of(-1, None, Uuid::nil()),
        ),
        (
            "0001000000000000002a0004736169640000018bcfe568000000018bcfe65260",
            of(-1, until, Uuid::nil()),
        ),
        (
            "0002000000000000002a0004736169640000018bcfe56800",
            of(-1, None, Uuid::nil()),
        ),
        (
            "0003000000000000002a000000070004736169640000018bcfe56800",
            of(7, None, Uuid::nil()),
        ),
        (
            "0004000000000000002a0000000705736169640000018bcfe5680001001000000000000000010000000000000002",
            of(7, None, id),
        ),
    ];
    for (value, expected) in table {
        assert_eq!(read(&bytes(value)).unwrap(), expected);
    }
    assert!(matches!(read(&bytes("0005")), Err(Unreadable::Version(5))));
    let key = bytes(OFFSET_KEY);
    let (kind, fields) = kind_of(&key).unwrap();
    assert_eq!((kind, Key::read(fields)), (Kind::Offset, Ok(offset_key())));
}

#[test]
fn groups_are_written_as_kafka_writes_them() {
    let record = group().record("g");
    assert_eq!(
        (record.key, record.value),
        (bytes(GROUP_KEY), Some(bytes(GROUP_V3)))
    );
    let empty = GroupMetadata {
        state_since_ms: 1_700_000_000_000,
        ..GroupMetadata::default()
    };
    let value = bytes("0003000000000000ffffffff0000018bcfe5680000000000");
    assert_eq!(empty.record("g").value, Some(value));
    assert_eq!(
        tombstone("g"),
        Record {
            key: bytes(GROUP_KEY),
            value: None
        }
    );
}

#[test]
fn groups_of_all_versions_are_read() {
    let table = [
        (
            0,
            "00000008636f6e73756d657200000005000572616e676500016d0000000100016d00016300022f680000afc80000000201020000000103",
        ),
        (
            1,
            "00010008636f6e73756d657200000005000572616e676500016d0000000100016d00016300022f680000ea600000afc80000000201020000000103",
        ),
        (
            2,
            "00020008636f6e73756d657200000005000572616e676500016d0000018bcfe568000000000100016d00016300022f680000ea600000afc80000000201020000000103",
        ),
        (3, GROUP_V3),
        (
            4,
            "000409636f6e73756d6572000000050672616e6765026d0000018bcfe5680002026d02690263032f680000ea600000afc803010202030000",
        ),
    ];
    for (version, value) in table {
        let mut expected = group();
        if version < 1 {
            expected.members[0].rebalance_timeout_ms = -1;
        }
        if version < 2 {
            expected.state_since_ms = -1;
        }
        if version < 3 {
            expected.members[0].instance = None;
        }
        assert_eq!(
            GroupMetadata::read(&bytes(value)).unwrap(),
            expected,
            "version {version}"
        );
    }
    assert!(matches!(
        GroupMetadata::read(&bytes("0005")),
        Err(Unreadable::Version(5))
    ));
    let key = bytes(GROUP_KEY);
    let (kind, fields) = kind_of(&key).unwrap();
    assert_eq!((kind, read_key(fields)), (Kind::Group, Ok("g")));
}

#[test]
fn what_cannot_be_read_is_named_and_changes_nothing() {
    let mut state = State::default();
    let mut replay = |key: &str, value: &str| {
        let (key, value) = (bytes(key), bytes(value));
        let record = Replayed {
            offset: 0,
            timestamp_ms: 0,
            producer: None,
            key: &key,
            value: Some(&value),
        };
        state.replay(&record).unwrap_err().to_string()
    };
    assert!(replay("0002000167", "0009").contains("version 9 of the value"));
    assert!(replay("7fff", "00").contains("records of kind 32767"));
    assert!(replay("00", "00").contains("ends within a field"));
    assert!(replay("00010001670001", "00").contains("ends within a field"));
    assert!(state.groups.is_empty());
}

proptest! {
    /// Whatever is in a log: it is read or refused.
    #[test]
    fn no_bytes_make_it_panic(
        kind in 0i16..4,
        key in prop::collection::vec(any::<u8>(), 0..20),
        version in 0i16..6,
        value in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let key: Bytes = [&kind.to_be_bytes()[..], &key].concat().into();
        let good: Bytes = bytes(if kind == 2 { GROUP_KEY } else { OFFSET_KEY });
        let value: Bytes = [&version.to_be_bytes()[..], &value].concat().into();
        let mut state = State::default();
        for key in [&key, &good] {
            let record = Replayed { offset: 0, timestamp_ms: 0, producer: None, key, value: Some(&value) };
            let _ = state.replay(&record);
        }
    }
}
