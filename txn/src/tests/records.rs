//! Records as Kafka 4.1's own classes write them.

use super::*;
use crate::schema::{key, read_key, read_value, value};
use crate::state::State;
use crate::transaction::Transaction;

const KEY: &str = "0000000a7061796d656e74732d31";
const V0: &str = "00000000000000000fa100050000ea60010000000200016100000002000000000000000700057a65627261000000010000012c0000018bcfe5687b0000018bcfe56801";
const V1: &str = "00010000000000000fa100050000ea600103026103000000000000000700067a65627261020000012c000000018bcfe5687b0000018bcfe568010200080000000000000fa102020002";
/// With all four tagged fields.
const V1_NEXT: &str = "00010000000000000fa17fff0000ea600203026103000000000000000700067a65627261020000012c000000018bcfe5687b0000018bcfe568010400080000000000000fa1010800000000000013880202000203020000";
const EMPTY_V0: &str = "00000000000000000fa10000000003e800ffffffff0000000000000005ffffffffffffffff";
const EMPTY_V1: &str = "00010000000000000fa10000000003e800000000000000000005ffffffffffffffff00";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn ongoing() -> Transaction {
    Transaction {
        producer: Producer { id: 4001, epoch: 5 },
        previous_id: 4001,
        next_id: NO_PRODUCER_ID,
        last_epoch: NO_PRODUCER_EPOCH,
        timeout_ms: 60_000,
        state: State::Ongoing,
        partitions: partitions([("a", 0), ("a", 7), ("zebra", 300)]),
        started_ms: 1_700_000_000_001,
        updated_ms: 1_700_000_000_123,
        decision: Decision::default(),
        version: TransactionVersion::V2,
    }
}

#[test]
fn keys_are_kafkas() {
    assert_eq!(key("payments-1"), bytes(KEY));
    assert_eq!(read_key(&bytes(KEY)).unwrap().unwrap(), "payments-1");
    assert_eq!(
        read_key(&bytes("0001ff")).unwrap(),
        None,
        "a later kind is passed over"
    );
}

#[test]
fn values_are_kafkas() {
    assert_eq!(read_value(&bytes(V1)).unwrap(), ongoing());
    assert_eq!(value(&ongoing()), bytes(V1));
    let empty = read_value(&bytes(EMPTY_V1)).unwrap();
    assert_eq!(empty.state, State::Empty);
    assert_eq!(value(&empty), bytes(EMPTY_V1));
    let next = read_value(&bytes(V1_NEXT)).unwrap();
    let wanted = Transaction {
        producer: Producer {
            id: 4001,
            epoch: i16::MAX,
        },
        next_id: 5000,
        state: State::PrepareCommit,
        ..ongoing()
    };
    assert_eq!(next, wanted);
}

#[test]
fn values_of_kafka_before_4_are_read() {
    let plain = Transaction {
        previous_id: NO_PRODUCER_ID,
        version: TransactionVersion::V0,
        ..ongoing()
    };
    assert_eq!(read_value(&bytes(V0)).unwrap(), plain);
    assert_eq!(
        read_value(&bytes(EMPTY_V0)).unwrap(),
        read_value(&bytes(EMPTY_V1)).unwrap()
    );
}

#[test]
fn damaged_records_are_refused() {
    for whole in [V0, V1, V1_NEXT, EMPTY_V0, EMPTY_V1] {
        let whole = bytes(whole);
        for end in 0..whole.len() {
            assert!(read_value(&whole[..end]).is_err(), "{end} bytes of it");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                // Only that it ends, and with no more memory than the bytes can ask for.
                let _ = read_value(&damaged);
            }
        }
    }
    let key = bytes(KEY);
    for end in 0..key.len() {
        assert!(read_key(&key[..end]).is_err(), "{end} bytes of it");
    }
    assert!(read_value(&bytes("0002")).is_err(), "a later version");
}
