//! `OffsetCommitKey` (0 to 1) and `OffsetCommitValue` (0 to 4).

use bytes::{BufMut, Bytes, BytesMut};
use coordinator::Record;
use coordinator::wire::{Malformed, Reader, Writer};
use uuid::Uuid;

use super::Unreadable;
use crate::offsets::Committed;

/// The tag of `topicId`.
const TOPIC_ID: u32 = 0;

/// The key of a group's offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
}

impl<'a> Key<'a> {
    /// Reads what follows the version.
    pub(crate) fn read(mut fields: Reader<'a>) -> Result<Self, Malformed> {
        let key = Self {
            group: fields.string()?,
            topic: fields.string()?,
            partition: fields.i32()?,
        };
        fields.end()?;
        Ok(key)
    }

    fn write(self) -> Bytes {
        let mut key = Writer::of_version(1);
        key.string(self.group);
        key.string(self.topic);
        key.i32(self.partition);
        key.finish()
    }

    /// The record that says what is committed.
    pub(crate) fn record(self, committed: &Committed) -> Record {
        Record {
            key: self.write(),
            value: Some(write(committed)),
        }
    }

    /// The record that says that nothing is.
    pub(crate) fn tombstone(self) -> Record {
        Record {
            key: self.write(),
            value: None,
        }
    }
}

/// As Kafka 4.1 writes it: version 4, or 1 if the client said how long to keep it.
fn write(committed: &Committed) -> Bytes {
    if let Some(expire_ms) = committed.expire_ms {
        let mut value = Writer::of_version(1);
        value.i64(committed.offset);
        value.string(&committed.metadata);
        value.i64(committed.commit_ms);
        value.i64(expire_ms);
        return value.finish();
    }
    let mut value = Writer::of_version(4);
    value.i64(committed.offset);
    value.i32(committed.leader_epoch);
    value.compact_string(&committed.metadata);
    value.i64(committed.commit_ms);
    if committed.topic_id.is_nil() {
        value.tagged(&[]);
    } else {
        let mut id = BytesMut::with_capacity(16);
        id.put_slice(committed.topic_id.as_bytes());
        value.tagged(&[(TOPIC_ID, id.freeze())]);
    }
    value.finish()
}

/// Reads a value.
pub(crate) fn read(value: &[u8]) -> Result<Committed, Unreadable> {
    let mut fields = Reader::new(value);
    let version = fields.i16()?;
    if !(0..=4).contains(&version) {
        return Err(Unreadable::Version(version));
    }
    let offset = fields.i64()?;
    let leader_epoch = if version >= 3 { fields.i32()? } else { -1 };
    let metadata = if version >= 4 {
        fields.compact_string()?
    } else {
        fields.string()?
    };
    let commit_ms = fields.i64()?;
    let expire_ms = if version == 1 { fields.i64()? } else { -1 };
    let mut topic_id = Uuid::nil();
    if version >= 4 {
        fields.tagged(|tag, mut field| {
            if tag == TOPIC_ID {
                topic_id = field.uuid()?;
            }
            Ok(())
        })?;
    }
    fields.end()?;
    Ok(Committed {
        offset,
        leader_epoch,
        metadata: metadata.into(),
        commit_ms,
        expire_ms: (expire_ms != -1).then_some(expire_ms),
        topic_id,
        order: 0,
    })
}
