//! The records of `__transaction_state`: Kafka's `TransactionLogKey` version 0 and
//! `TransactionLogValue` versions 0 and 1.
//!
//! Version 1 is written, as Kafka does where `transaction.version` is 1 or more. Unlike Kafka 4.1, which
//! has the fields but forgets to fill them, the previous and the next producer id are written: without
//! them an id whose epochs run out is lost with its coordinator.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::api::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Partitions, Producer, TransactionVersion};
use crate::state::State;
use crate::transaction::Transaction;

const KEY_VERSION: i16 = 0;
/// The first version with tagged fields and compact lengths.
const FLEXIBLE: i16 = 1;

const PREVIOUS_ID: u32 = 0;
const NEXT_ID: u32 = 1;
const CLIENT_VERSION: u32 = 2;

/// The key of a transactional id, of at most 32767 bytes.
pub(crate) fn key(transactional_id: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(4 + transactional_id.len());
    key.put_i16(KEY_VERSION);
    key.put_u16(transactional_id.len() as u16);
    key.put_slice(transactional_id.as_bytes());
    key.freeze()
}

/// The transactional id of a key; `None` if it is a key of another kind, of a later version.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_key(mut key: &[u8]) -> Result<Option<String>, String> {
    let version = key.try_get_i16().map_err(short)?;
    if version != KEY_VERSION {
        return Ok(None);
    }
    let length = key.try_get_i16().map_err(short)?;
    let length = usize::try_from(length).map_err(|_| "a transactional id of no length")?;
    text(&mut key, length).map(Some)
}

/// The value for what is known of a transactional id.
pub(crate) fn value(transaction: &Transaction) -> Bytes {
    let mut value = BytesMut::with_capacity(64);
    value.put_i16(FLEXIBLE);
    value.put_i64(transaction.producer.id);
    value.put_i16(transaction.producer.epoch);
    value.put_i32(transaction.timeout_ms);
    value.put_i8(transaction.state.id());
    if transaction.state == State::Empty {
        put_varint(&mut value, 0);
    } else {
        put_varint(&mut value, transaction.partitions.len() as u32 + 1);
        for (topic, partitions) in &transaction.partitions {
            put_varint(&mut value, topic.len() as u32 + 1);
            value.put_slice(topic.as_bytes());
            put_varint(&mut value, partitions.len() as u32 + 1);
            partitions.iter().for_each(|index| value.put_i32(*index));
            put_varint(&mut value, 0);
        }
    }
    value.put_i64(transaction.updated_ms);
    value.put_i64(transaction.started_ms);
    put_tags(&mut value, transaction);
    value.freeze()
}

fn put_tags(value: &mut BytesMut, transaction: &Transaction) {
    let ids = [
        (PREVIOUS_ID, transaction.previous_id),
        (NEXT_ID, transaction.next_id),
    ];
    let ids = ids.iter().filter(|(_, id)| *id != NO_PRODUCER_ID);
    let versioned = transaction.version != TransactionVersion::V0;
    put_varint(value, ids.clone().count() as u32 + u32::from(versioned));
    for (tag, id) in ids {
        put_varint(value, *tag);
        put_varint(value, 8);
        value.put_i64(*id);
    }
    if versioned {
        put_varint(value, CLIENT_VERSION);
        put_varint(value, 2);
        value.put_i16(transaction.version.0);
    }
}

/// What a value says of its transactional id.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_value(mut value: &[u8]) -> Result<Transaction, String> {
    let from = &mut value;
    let version = from.try_get_i16().map_err(short)?;
    if !(0..=FLEXIBLE).contains(&version) {
        return Err(format!("a value of version {version}, which is not known"));
    }
    let flexible = version == FLEXIBLE;
    let producer = Producer {
        id: from.try_get_i64().map_err(short)?,
        epoch: from.try_get_i16().map_err(short)?,
    };
    let timeout_ms = from.try_get_i32().map_err(short)?;
    let state = from.try_get_i8().map_err(short)?;
    let state = State::of_id(state).ok_or_else(|| format!("a transaction in state {state}"))?;
    let partitions = read_partitions(from, flexible)?;
    let mut transaction = Transaction {
        producer,
        previous_id: NO_PRODUCER_ID,
        next_id: NO_PRODUCER_ID,
        last_epoch: NO_PRODUCER_EPOCH,
        timeout_ms,
        state,
        partitions,
        updated_ms: from.try_get_i64().map_err(short)?,
        started_ms: from.try_get_i64().map_err(short)?,
        decision: 0,
        version: TransactionVersion::V0,
    };
    if flexible {
        read_tags(from, &mut transaction)?;
    }
    Ok(transaction)
}

fn read_tags(from: &mut &[u8], transaction: &mut Transaction) -> Result<(), String> {
    for _ in 0..varint(from)? {
        let tag = varint(from)?;
        let length = varint(from)? as usize;
        let mut field = take(from, length)?;
        match tag {
            PREVIOUS_ID => transaction.previous_id = field.try_get_i64().map_err(short)?,
            NEXT_ID => transaction.next_id = field.try_get_i64().map_err(short)?,
            CLIENT_VERSION => transaction.version.0 = field.try_get_i16().map_err(short)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_partitions(from: &mut &[u8], flexible: bool) -> Result<Partitions, String> {
    let mut all = Partitions::new();
    for _ in 0..length(from, flexible)?.unwrap_or(0) {
        let named = if flexible {
            length(from, true)?.ok_or("a topic without a name")?
        } else {
            let length = from.try_get_i16().map_err(short)?;
            usize::try_from(length).map_err(|_| "a topic without a name")?
        };
        let topic = text(from, named)?;
        let partitions = all.entry(topic).or_default();
        for _ in 0..length(from, flexible)?.unwrap_or(0) {
            partitions.insert(from.try_get_i32().map_err(short)?);
        }
        if flexible {
            for _ in 0..varint(from)? {
                varint(from)?;
                let length = varint(from)? as usize;
                take(from, length)?;
            }
        }
    }
    Ok(all)
}

/// The length of an array, or, if `flexible`, of a string; `None` is null.
fn length(from: &mut &[u8], flexible: bool) -> Result<Option<usize>, String> {
    if flexible {
        return Ok(varint(from)?.checked_sub(1).map(|length| length as usize));
    }
    let length = from.try_get_i32().map_err(short)?;
    Ok(usize::try_from(length).ok())
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let taken = from.split_off(..length);
    taken.ok_or_else(|| format!("{length} bytes wanted where {} are left", from.len()))
}

fn text(from: &mut &[u8], length: usize) -> Result<String, String> {
    let bytes = take(from, length)?;
    let text = str::from_utf8(bytes).map_err(|error| format!("a name that is no text: {error}"))?;
    Ok(text.to_owned())
}

fn put_varint(into: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        into.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    into.put_u8(value as u8);
}

fn varint(from: &mut &[u8]) -> Result<u32, String> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = from.try_get_u8().map_err(short)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than five bytes".into())
}

fn short(error: bytes::TryGetError) -> String {
    format!("it ends too early: {error}")
}
