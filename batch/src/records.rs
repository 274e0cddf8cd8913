//! The records of a batch, decompressed where they have to be.

use std::borrow::Cow;

use crate::attributes::TimestampType;
use crate::builder::ControlType;
use crate::codec::{self, DecompressLimit};
use crate::error::{BatchError, RecordFault};
use crate::view::Batch;
use crate::walk::{self, RawRecord};

/// The record bytes of one batch, uncompressed. Iterate to read them.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    payload: Cow<'a, [u8]>,
    base_offset: i64,
    base_timestamp: i64,
    /// Set where the broker's append time stands for all records' own.
    append_time: Option<i64>,
    count: i32,
}

impl<'a> Records<'a> {
    pub(crate) fn of(batch: &Batch<'a>, limit: DecompressLimit) -> Result<Self, BatchError> {
        let codec = batch.attributes().compression()?;
        let append_time = match batch.attributes().timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.max_timestamp()),
        };
        Ok(Self {
            payload: codec::decompress(codec, batch.payload(), limit)?,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            append_time,
            count: batch.record_count(),
        })
    }

    /// How many records the batch's header counts.
    pub fn count(&self) -> i32 {
        self.count
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Length of the uncompressed record bytes.
    pub fn uncompressed_size(&self) -> usize {
        self.payload.len()
    }

    /// The records in order. Ends after the first error.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            rest: &self.payload,
            next: 0,
            count: self.count,
            base_offset: self.base_offset,
            base_timestamp: self.base_timestamp,
            append_time: self.append_time,
        }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordsIter<'r>;

    fn into_iter(self) -> RecordsIter<'r> {
        self.iter()
    }
}

/// The walk of [`Records::iter`].
#[derive(Clone, Debug)]
pub struct RecordsIter<'r> {
    rest: &'r [u8],
    next: i32,
    count: i32,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl<'r> RecordsIter<'r> {
    fn step(&mut self) -> Result<RawRecord<'r>, RecordFault> {
        let raw = walk::take_record(&mut self.rest)?;
        if self.next + 1 == self.count && !self.rest.is_empty() {
            return Err(RecordFault::Trailing(self.rest.len()));
        }
        Ok(raw)
    }
}

impl<'r> Iterator for RecordsIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let place = self.next;
        match self.step() {
            Ok(raw) => {
                self.next += 1;
                Some(Ok(Record {
                    offset: self.base_offset.saturating_add(i64::from(raw.offset_delta)),
                    timestamp: self
                        .append_time
                        .unwrap_or_else(|| self.base_timestamp.saturating_add(raw.timestamp_delta)),
                    raw,
                }))
            }
            Err(fault) => {
                self.next = self.count;
                Some(Err(BatchError::Record {
                    record: place,
                    fault,
                }))
            }
        }
    }
}

impl std::iter::FusedIterator for RecordsIter<'_> {}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp: its own, or the broker's where the batch says so.
    pub timestamp: i64,
    raw: RawRecord<'r>,
}

impl<'r> Record<'r> {
    /// The key.
    pub fn key(&self) -> Option<&'r [u8]> {
        self.raw.key
    }

    /// The value; none is a tombstone on a compacted topic.
    pub fn value(&self) -> Option<&'r [u8]> {
        self.raw.value
    }

    /// The headers in order.
    pub fn headers(&self) -> Headers<'r> {
        Headers {
            rest: self.raw.headers,
            left: self.raw.header_count,
        }
    }

    /// What a record of a control batch says; `None` for control records of later Kafkas.
    pub fn control(&self) -> Option<ControlType> {
        ControlType::of_key(self.raw.key?)
    }
}

/// The headers of a record.
#[derive(Clone, Debug)]
pub struct Headers<'r> {
    rest: &'r [u8],
    left: i32,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'r> {
    /// The key; UTF-8 by convention, not checked.
    pub key: &'r [u8],
    /// The value.
    pub value: Option<&'r [u8]>,
}

impl<'r> Iterator for Headers<'r> {
    type Item = RecordHeader<'r>;

    fn next(&mut self) -> Option<RecordHeader<'r>> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        // Walked and found whole when the record was read, so an error cannot come here.
        let (key, value) = walk::take_header(&mut self.rest).ok()?;
        Some(RecordHeader { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(0);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}
