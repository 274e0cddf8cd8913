//! The records of `__transaction_state`: Kafka's `TransactionLogKey` version 0 and
//! `TransactionLogValue` versions 0 and 1.
//!
//! Version 1 is written, as Kafka does where `transaction.version` is 1 or more. Unlike Kafka 4.1, which
//! has the fields but forgets to fill them, the previous and the next producer id are written: without
//! them an id whose epochs run out is lost with its coordinator.

use bytes::Bytes;
use coordinator::wire::{Malformed, Reader, Writer};

use crate::api::{
    Decision, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Partitions, Producer, TransactionVersion,
};
use crate::state::State;
use crate::transaction::Transaction;

const KEY_VERSION: i16 = 0;
/// The first version with tagged fields and compact lengths.
const FLEXIBLE: i16 = 1;

const PREVIOUS_ID: u32 = 0;
const NEXT_ID: u32 = 1;
const CLIENT_VERSION: u32 = 2;

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("its value has version {0}, which is not known")]
    Version(i16),
    #[error("it has a transaction in state {0}, which is not known or never written")]
    State(i8),
}

/// The key of a transactional id, of at most 32767 bytes.
pub(crate) fn key(transactional_id: &str) -> Bytes {
    let mut key = Writer::of_version(KEY_VERSION);
    key.string(transactional_id);
    key.finish()
}

/// The transactional id of a key; `None` if it is a key of another kind, of a later version.
pub(crate) fn read_key(key: &[u8]) -> Result<Option<String>, Malformed> {
    let mut key = Reader::new(key);
    if key.i16()? != KEY_VERSION {
        return Ok(None);
    }
    let id = key.string()?.to_owned();
    key.end()?;
    Ok(Some(id))
}

/// The value for what is known of a transactional id.
pub(crate) fn value(transaction: &Transaction) -> Bytes {
    let mut value = Writer::of_version(FLEXIBLE);
    value.i64(transaction.producer.id);
    value.i16(transaction.producer.epoch);
    value.i32(transaction.timeout_ms);
    value.i8(transaction.state.id());
    if transaction.state == State::Empty {
        // Null, as a compact length.
        value.varint(0);
    } else {
        value.compact_array(transaction.partitions.len());
        for (topic, partitions) in &transaction.partitions {
            value.compact_string(topic);
            value.compact_array(partitions.len());
            partitions.iter().for_each(|index| value.i32(*index));
            value.tagged(&[]);
        }
    }
    value.i64(transaction.updated_ms);
    value.i64(transaction.started_ms);
    value.tagged(&tagged(transaction));
    value.finish()
}

fn tagged(transaction: &Transaction) -> Vec<(u32, Bytes)> {
    let ids = [
        (PREVIOUS_ID, transaction.previous_id),
        (NEXT_ID, transaction.next_id),
    ];
    let ids = ids.into_iter().filter(|(_, id)| *id != NO_PRODUCER_ID);
    let ids = ids.map(|(tag, id)| (tag, Bytes::copy_from_slice(&id.to_be_bytes())));
    let version = transaction.version;
    let version = (version != TransactionVersion::V0).then(|| {
        (
            CLIENT_VERSION,
            Bytes::copy_from_slice(&version.0.to_be_bytes()),
        )
    });
    ids.chain(version).collect()
}

/// What a value says of its transactional id.
pub(crate) fn read_value(value: &[u8]) -> Result<Transaction, Unreadable> {
    let mut value = Reader::new(value);
    let version = value.i16()?;
    if !(0..=FLEXIBLE).contains(&version) {
        return Err(Unreadable::Version(version));
    }
    let flexible = version == FLEXIBLE;
    let producer = Producer {
        id: value.i64()?,
        epoch: value.i16()?,
    };
    let timeout_ms = value.i32()?;
    let state = value.i8()?;
    let mut transaction = Transaction {
        producer,
        previous_id: NO_PRODUCER_ID,
        next_id: NO_PRODUCER_ID,
        last_epoch: NO_PRODUCER_EPOCH,
        timeout_ms,
        state: State::of_id(state).ok_or(Unreadable::State(state))?,
        partitions: if flexible {
            partitions(&mut value)?
        } else {
            partitions_v0(&mut value)?
        },
        updated_ms: value.i64()?,
        started_ms: value.i64()?,
        decision: Decision::default(),
        version: TransactionVersion::V0,
    };
    if flexible {
        value.tagged(|tag, mut field| {
            match tag {
                PREVIOUS_ID => transaction.previous_id = field.i64()?,
                NEXT_ID => transaction.next_id = field.i64()?,
                CLIENT_VERSION => transaction.version.0 = field.i16()?,
                _ => {}
            }
            Ok(())
        })?;
    }
    value.end()?;
    Ok(transaction)
}

fn partitions(value: &mut Reader<'_>) -> Result<Partitions, Malformed> {
    let mut all = Partitions::new();
    let mut ahead = *value;
    if ahead.varint()? == 0 {
        *value = ahead;
        return Ok(all);
    }
    for _ in 0..value.compact_array()? {
        let topic = value.compact_string()?.to_owned();
        let of = all.entry(topic).or_default();
        for _ in 0..value.compact_array()? {
            of.insert(value.i32()?);
        }
        value.no_tagged()?;
    }
    Ok(all)
}

fn partitions_v0(value: &mut Reader<'_>) -> Result<Partitions, Malformed> {
    let mut all = Partitions::new();
    let mut ahead = *value;
    if ahead.i32()? == -1 {
        *value = ahead;
        return Ok(all);
    }
    for _ in 0..value.array()? {
        let topic = value.string()?.to_owned();
        let of = all.entry(topic).or_default();
        for _ in 0..value.array()? {
            of.insert(value.i32()?);
        }
    }
    Ok(all)
}
