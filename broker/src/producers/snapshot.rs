//! The stored form of [`Producers`]: a snapshot beside the log, so that recovery has to replay only
//! what was written since.
//!
//! Version 1 is Kafka's own (`ProducerStateManager`): the last batch of each producer, and its open
//! transaction. It is read, because a directory of Kafka's opens here. Versions 2 and 3 are ours: all
//! remembered batches, so that a retry right after a restart is still recognised whichever batch it
//! repeats. Version 3 is written; it has the open transactions too, and those that have ended in the log
//! above the high watermark. All are big-endian: version i16, CRC-32C of all that follows u32, count i32,
//! then the producers, and in version 3 the count of transactions that have ended i32 and these.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{NO_COORDINATOR, Producer, Producers, REMEMBERED_BATCHES, Written};

const KAFKA: i16 = 1;
const WITHOUT_TRANSACTIONS: i16 = 2;
const OURS: i16 = 3;
const PREFIX_LEN: usize = 6;
/// Bytes of one producer in Kafka's version.
const KAFKA_ENTRY_LEN: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
const PRODUCER_LEN: usize = 8 + 2 + 8 + 1;
/// What version 3 has more of one producer.
const TRANSACTION_LEN: usize = 4 + 8;
const WRITTEN_LEN: usize = 4 + 4 + 8 + 8 + 8;
const ENDED_LEN: usize = 8 + 8;
/// First offset of a transaction that isn't there.
const NOT_OPEN: i64 = -1;

/// Why a snapshot can't be used. The log is then replayed from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It ends too early.
    #[error("the producer snapshot ends in the middle of an entry")]
    Truncated,
    /// Its checksum is wrong.
    #[error("the producer snapshot's checksum is wrong")]
    Checksum,
    /// A version this build does not know.
    #[error("the producer snapshot has version {0}; this build reads 1 to 3")]
    Version(i16),
}

impl Producers {
    /// The state as bytes (version 3).
    pub fn to_snapshot(&self) -> Bytes {
        let each = PRODUCER_LEN + TRANSACTION_LEN + WRITTEN_LEN;
        let mut body = BytesMut::with_capacity(8 + self.by_id.len() * each);
        body.put_i32(i32::try_from(self.by_id.len()).unwrap_or(i32::MAX));
        for (id, producer) in &self.by_id {
            body.put_i64(*id);
            body.put_i16(producer.epoch);
            body.put_i64(producer.last_used_ms);
            body.put_i32(producer.coordinator_epoch);
            body.put_i64(producer.open.unwrap_or(NOT_OPEN));
            body.put_u8(producer.batches.len() as u8);
            for w in &producer.batches {
                body.put_i32(w.first_sequence);
                body.put_i32(w.last_sequence);
                body.put_i64(w.base_offset);
                body.put_i64(w.last_offset);
                body.put_i64(w.timestamp);
            }
        }
        let ended = self.transactions.ended_ones();
        body.put_i32(i32::try_from(ended.len()).unwrap_or(i32::MAX));
        for (first_offset, marker) in ended {
            body.put_i64(first_offset);
            body.put_i64(marker);
        }
        let mut out = BytesMut::with_capacity(PREFIX_LEN + body.len());
        out.put_i16(OURS);
        out.put_u32(crc32c::crc32c(&body));
        out.unsplit(body);
        out.freeze()
    }

    /// Reads any of the versions.
    ///
    /// # Errors
    /// [`SnapshotError`] where the bytes are not whole or of no known version.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut bytes = bytes;
        if bytes.len() < PREFIX_LEN + 4 {
            return Err(SnapshotError::Truncated);
        }
        let version = bytes.get_i16();
        if !(KAFKA..=OURS).contains(&version) {
            return Err(SnapshotError::Version(version));
        }
        if bytes.get_u32() != crc32c::crc32c(bytes) {
            return Err(SnapshotError::Checksum);
        }
        let count = bytes.get_i32();
        let mut producers = Self::default();
        for _ in 0..count {
            let (id, producer) = if version == KAFKA {
                read_kafka(&mut bytes)?
            } else {
                read_ours(&mut bytes, version)?
            };
            if let Some(first_offset) = producer.open {
                producers.transactions.began(first_offset, id);
            }
            producers.by_id.insert(id, producer);
        }
        if version == OURS {
            producers.read_ended(&mut bytes)?;
        }
        Ok(producers)
    }
}

impl Producers {
    fn read_ended(&mut self, bytes: &mut &[u8]) -> Result<(), SnapshotError> {
        need(bytes, 4)?;
        for _ in 0..bytes.get_i32() {
            need(bytes, ENDED_LEN)?;
            let (first_offset, marker) = (bytes.get_i64(), bytes.get_i64());
            self.transactions.restore_ended(first_offset, marker);
        }
        Ok(())
    }
}

fn need(bytes: &[u8], len: usize) -> Result<(), SnapshotError> {
    if bytes.len() < len {
        return Err(SnapshotError::Truncated);
    }
    Ok(())
}

fn read_kafka(bytes: &mut &[u8]) -> Result<(i64, Producer), SnapshotError> {
    need(bytes, KAFKA_ENTRY_LEN)?;
    let id = bytes.get_i64();
    let epoch = bytes.get_i16();
    let last_sequence = bytes.get_i32();
    let last_offset = bytes.get_i64();
    let offset_delta = bytes.get_i32();
    let timestamp = bytes.get_i64();
    let coordinator_epoch = bytes.get_i32();
    let open = open_at(bytes.get_i64());
    let mut batches = VecDeque::with_capacity(REMEMBERED_BATCHES);
    // -1 says that the producer was fenced or began an epoch, and has written nothing in it.
    if last_sequence >= 0 {
        batches.push_back(Written {
            first_sequence: first_of(last_sequence, offset_delta),
            last_sequence,
            base_offset: last_offset - i64::from(offset_delta),
            last_offset,
            timestamp,
        });
    }
    Ok((
        id,
        Producer {
            epoch,
            coordinator_epoch,
            batches,
            open,
            last_used_ms: timestamp,
        },
    ))
}

fn open_at(first_offset: i64) -> Option<i64> {
    (first_offset != NOT_OPEN).then_some(first_offset)
}

/// The sequence number `delta` before `last`, going back over the wrap.
fn first_of(last: i32, delta: i32) -> i32 {
    let first = i64::from(last) - i64::from(delta);
    let wrapped = if first < 0 {
        first + i64::from(i32::MAX) + 1
    } else {
        first
    };
    wrapped as i32
}

fn read_ours(bytes: &mut &[u8], version: i16) -> Result<(i64, Producer), SnapshotError> {
    let transactions = version > WITHOUT_TRANSACTIONS;
    need(
        bytes,
        PRODUCER_LEN + if transactions { TRANSACTION_LEN } else { 0 },
    )?;
    let id = bytes.get_i64();
    let epoch = bytes.get_i16();
    let last_used_ms = bytes.get_i64();
    let (coordinator_epoch, open) = if transactions {
        (bytes.get_i32(), open_at(bytes.get_i64()))
    } else {
        (NO_COORDINATOR, None)
    };
    let count = usize::from(bytes.get_u8()).min(REMEMBERED_BATCHES);
    need(bytes, count * WRITTEN_LEN)?;
    let batches = (0..count)
        .map(|_| Written {
            first_sequence: bytes.get_i32(),
            last_sequence: bytes.get_i32(),
            base_offset: bytes.get_i64(),
            last_offset: bytes.get_i64(),
            timestamp: bytes.get_i64(),
        })
        .collect();
    Ok((
        id,
        Producer {
            epoch,
            coordinator_epoch,
            batches,
            open,
            last_used_ms,
        },
    ))
}
