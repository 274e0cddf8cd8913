//! Building a batch: for tests, for the command line's producer, for transaction markers, and for
//! the broker's own records.

use bytes::Bytes;
use zerocopy::IntoBytes;

use crate::attributes::{Attributes, Compression, TimestampType};
use crate::codec;
use crate::error::BatchError;
use crate::header::RawHeader;
use crate::recompress::finish;
use crate::varint;
use crate::{
    HEADER_LEN, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP,
};

/// A record to put into a batch. `NewRecord::default()` is an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [Header<'a>],
}

/// A header of a record to put into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// What the one record of a transaction marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction was given up; its records are to be skipped.
    Abort,
    /// The transaction's records count.
    Commit,
}

impl ControlType {
    /// Reads the key of a control record: its format's version, then the type.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        match key {
            // Later versions may add fields behind, so only the start is looked at.
            [0, version, 0, 0, ..] if *version < 0x80 => Some(Self::Abort),
            [0, version, 0, 1, ..] if *version < 0x80 => Some(Self::Commit),
            _ => None,
        }
    }

    fn key(self) -> [u8; 4] {
        match self {
            Self::Abort => [0, 0, 0, 0],
            Self::Commit => [0, 0, 0, 1],
        }
    }
}

/// Builds one batch. Base offset 0 unless told, as producers send them.
#[derive(Clone, Debug)]
pub struct Builder {
    compression: Compression,
    attributes: Attributes,
    base_offset: i64,
    leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    /// Append time, where the broker's clock stands for the records' own timestamps.
    append_time: Option<i64>,
    delete_horizon: Option<i64>,
    least_last_delta: i32,
    records: Vec<u8>,
    count: i32,
    next_delta: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    overflow: Option<&'static str>,
}

impl Builder {
    /// An empty batch whose records will be compressed so.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            attributes: Attributes::default(),
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            append_time: None,
            delete_horizon: None,
            least_last_delta: -1,
            records: Vec::new(),
            count: 0,
            next_delta: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            overflow: None,
        }
    }

    /// The batch that ends a transaction on a partition, as the transaction's coordinator orders
    /// it. It takes one offset.
    pub fn end_transaction(
        outcome: ControlType,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
        timestamp: i64,
    ) -> Self {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        let record = NewRecord {
            timestamp,
            key: Some(&outcome.key()),
            value: Some(&value),
            headers: &[],
        };
        Self::new(Compression::None)
            .producer(producer_id, producer_epoch, NO_SEQUENCE)
            .transactional()
            .control()
            .record(record)
    }

    /// Sets the base offset; records that follow number from it.
    #[must_use]
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.base_offset = offset;
        self
    }

    /// Sets the partition leader epoch.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.leader_epoch = epoch;
        self
    }

    /// Sets the fields of an idempotent producer.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional(true);
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control(true);
        self
    }

    /// Makes the batch one of log append time `now_ms`.
    #[must_use]
    pub fn append_time(mut self, now_ms: i64) -> Self {
        self.append_time = Some(now_ms);
        self
    }

    /// Makes the base timestamp compaction's delete horizon. Call before the first record.
    #[must_use]
    pub fn delete_horizon(mut self, horizon_ms: i64) -> Self {
        self.delete_horizon = Some(horizon_ms);
        self.base_timestamp = horizon_ms;
        self
    }

    /// Keeps the last offset at `delta` from the base offset at least, also when the last records
    /// are gone (compaction).
    #[must_use]
    pub fn last_offset_delta(mut self, delta: i32) -> Self {
        self.least_last_delta = delta;
        self
    }

    /// Adds a record with the next offset; for chains of calls.
    #[must_use]
    pub fn record(mut self, record: NewRecord<'_>) -> Self {
        self.push(record);
        self
    }

    /// Adds a record with the next offset.
    pub fn push(&mut self, record: NewRecord<'_>) -> &mut Self {
        match i32::try_from(self.next_delta) {
            Ok(delta) => self.push_at(delta, record),
            Err(_) => {
                self.overflow = Some("more offsets than a batch can span");
                self
            }
        }
    }

    /// Adds a record at this distance from the base offset, which must be greater than that of the
    /// record before it (compaction leaves such gaps).
    pub fn push_at(&mut self, offset_delta: i32, record: NewRecord<'_>) -> &mut Self {
        if i64::from(offset_delta) < self.next_delta {
            self.overflow = Some("offsets do not grow");
            return self;
        }
        if self.count == 0 {
            if self.delete_horizon.is_none() {
                self.base_timestamp = record.timestamp;
            }
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let timestamp_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        if self
            .put_record(offset_delta, timestamp_delta, &record)
            .is_none()
        {
            self.overflow = Some("a record of more than 2 GiB");
            return self;
        }
        self.next_delta = i64::from(offset_delta) + 1;
        self.count += 1;
        self
    }

    fn put_record(
        &mut self,
        offset_delta: i32,
        timestamp_delta: i64,
        record: &NewRecord<'_>,
    ) -> Option<()> {
        let mut body = Vec::with_capacity(32);
        body.push(0);
        varint::put_i64(&mut body, timestamp_delta);
        varint::put_i32(&mut body, offset_delta);
        put_nullable(&mut body, record.key)?;
        put_nullable(&mut body, record.value)?;
        varint::put_i32(&mut body, i32::try_from(record.headers.len()).ok()?);
        for header in record.headers {
            put_nullable(&mut body, Some(header.key.as_bytes()))?;
            put_nullable(&mut body, header.value)?;
        }
        varint::put_i32(&mut self.records, i32::try_from(body.len()).ok()?);
        self.records.extend_from_slice(&body);
        Some(())
    }

    /// Records put in so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes the batch would have now, were it not compressed.
    pub fn uncompressed_size(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// The batch. Fails only where the records do not fit one.
    pub fn build(self) -> Result<Bytes, BatchError> {
        if let Some(what) = self.overflow {
            return Err(BatchError::Unbuildable(what));
        }
        let mut attributes = self
            .attributes
            .with_compression(self.compression)
            .with_delete_horizon(self.delete_horizon.is_some());
        if self.append_time.is_some() {
            attributes = attributes.with_timestamp_type(TimestampType::LogAppendTime);
        }
        // Fits: each record's delta did.
        let last_delta = (self.next_delta - 1)
            .max(i64::from(self.least_last_delta))
            .max(0) as i32;
        let header = RawHeader {
            base_offset: self.base_offset.into(),
            batch_length: 0.into(),
            leader_epoch: self.leader_epoch.into(),
            magic: MAGIC,
            crc: 0.into(),
            attributes: attributes.0.into(),
            last_offset_delta: last_delta.into(),
            base_timestamp: self.base_timestamp.into(),
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp).into(),
            producer_id: self.producer_id.into(),
            producer_epoch: self.producer_epoch.into(),
            base_sequence: self.base_sequence.into(),
            record_count: self.count.into(),
        };
        let mut out = Vec::with_capacity(HEADER_LEN + self.records.len());
        out.extend_from_slice(header.as_bytes());
        codec::compress(self.compression, &self.records, &mut out)?;
        finish(&mut out)?;
        Ok(out.into())
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Option<()> {
    match bytes {
        None => varint::put_i32(out, -1),
        Some(bytes) => {
            varint::put_i32(out, i32::try_from(bytes.len()).ok()?);
            out.extend_from_slice(bytes);
        }
    }
    Some(())
}
