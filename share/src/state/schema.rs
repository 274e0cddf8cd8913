//! The records of `__share_group_state`: Kafka's `ShareSnapshotKey` and `ShareSnapshotValue`, `ShareUpdateKey` and
//! `ShareUpdateValue`, version 0 each. Updates are read and never written.

use bytes::Bytes;
use coordinator::wire::{Malformed, Reader, Writer};

use super::api::ShareKey;
use crate::partition::StateBatch;

/// The kinds of records, as their keys have them.
const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;
const VALUE_VERSION: i16 = 0;

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("its value has version {0}, which is not known")]
    Version(i16),
    #[error("it has a batch of records from {0} to {1}")]
    Batch(i64, i64),
}

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// All that is known of a share-partition.
    Snapshot(ShareKey),
    /// What changed since.
    Update(ShareKey),
}

/// All that is known of a share-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) snapshot_epoch: i32,
    pub(super) state_epoch: i32,
    pub(super) leader_epoch: i32,
    pub(super) start_offset: i64,
    /// Milliseconds since 1970.
    pub(super) created_ms: i64,
    /// Milliseconds since 1970.
    pub(super) written_ms: i64,
    pub(super) batches: Vec<StateBatch>,
}

/// What changed of a share-partition, as Kafka writes it between its snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) snapshot_epoch: i32,
    /// -1 if it is as before.
    pub(super) leader_epoch: i32,
    /// -1 if it is as before.
    pub(super) start_offset: i64,
    pub(super) batches: Vec<StateBatch>,
}

impl Key {
    /// Its bytes; the group's id has at most 32,767.
    pub(super) fn write(&self) -> Bytes {
        let (kind, of) = match self {
            Self::Snapshot(of) => (SNAPSHOT, of),
            Self::Update(of) => (UPDATE, of),
        };
        let mut key = Writer::of_version(kind);
        key.string(&of.group_id);
        key.uuid(of.topic_id);
        key.i32(of.partition);
        key.finish()
    }

    /// The key; `None` if it is one of another kind, of a later version.
    pub(super) fn read(key: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut key = Reader::new(key);
        let kind = key.i16()?;
        if kind != SNAPSHOT && kind != UPDATE {
            return Ok(None);
        }
        let of = ShareKey {
            group_id: key.string()?.to_owned(),
            topic_id: key.uuid()?,
            partition: key.i32()?,
        };
        key.end()?;
        Ok(Some(match kind {
            SNAPSHOT => Self::Snapshot(of),
            _ => Self::Update(of),
        }))
    }
}

impl Snapshot {
    pub(super) fn write(&self) -> Bytes {
        let mut value = Writer::of_version(VALUE_VERSION);
        value.i32(self.snapshot_epoch);
        value.i32(self.state_epoch);
        value.i32(self.leader_epoch);
        value.i64(self.start_offset);
        value.i64(self.created_ms);
        value.i64(self.written_ms);
        value.compact_array(self.batches.len());
        for batch in &self.batches {
            value.i64(batch.first_offset);
            value.i64(batch.last_offset);
            value.i8(batch.delivery_state);
            value.i16(batch.delivery_count);
            value.tagged(&[]);
        }
        value.tagged(&[]);
        value.finish()
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, Unreadable> {
        let mut value = of_version(value)?;
        let snapshot = Self {
            snapshot_epoch: value.i32()?,
            state_epoch: value.i32()?,
            leader_epoch: value.i32()?,
            start_offset: value.i64()?,
            created_ms: value.i64()?,
            written_ms: value.i64()?,
            batches: read_batches(&mut value)?,
        };
        end(value)?;
        Ok(snapshot)
    }
}

impl Update {
    pub(super) fn read(value: &[u8]) -> Result<Self, Unreadable> {
        let mut value = of_version(value)?;
        let update = Self {
            snapshot_epoch: value.i32()?,
            leader_epoch: value.i32()?,
            start_offset: value.i64()?,
            batches: read_batches(&mut value)?,
        };
        end(value)?;
        Ok(update)
    }
}

fn of_version(value: &[u8]) -> Result<Reader<'_>, Unreadable> {
    let mut value = Reader::new(value);
    match value.i16()? {
        VALUE_VERSION => Ok(value),
        other => Err(Unreadable::Version(other)),
    }
}

fn end(mut value: Reader<'_>) -> Result<(), Malformed> {
    value.no_tagged()?;
    value.end()
}

fn read_batches(value: &mut Reader<'_>) -> Result<Vec<StateBatch>, Unreadable> {
    let count = value.compact_array()?;
    let mut batches = Vec::new();
    for _ in 0..count {
        let batch = StateBatch {
            first_offset: value.i64()?,
            last_offset: value.i64()?,
            delivery_state: value.i8()?,
            delivery_count: value.i16()?,
        };
        value.no_tagged()?;
        if batch.first_offset > batch.last_offset || batch.last_offset == i64::MAX {
            return Err(Unreadable::Batch(batch.first_offset, batch.last_offset));
        }
        batches.push(batch);
    }
    Ok(batches)
}
