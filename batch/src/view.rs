//! A view over the bytes of one batch, and the walk over batches that lie back to back.

use std::fmt;

use zerocopy::FromBytes;

use crate::attributes::Attributes;
use crate::codec::DecompressLimit;
use crate::error::BatchError;
use crate::header::{CRC_START, MAGIC_AT, MIN_LENGTH, RawHeader};
use crate::marker::Marker;
use crate::records::Records;
use crate::{HEADER_LEN, LOG_OVERHEAD, MAGIC, NO_PRODUCER_ID, NO_SEQUENCE};

/// One whole batch: its length and format version were checked, its checksum was not.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    header: &'a RawHeader,
}

impl<'a> Batch<'a> {
    /// The first batch in `bytes`; there may be more behind it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let available = bytes.len();
        // The format version is looked at before the header's length: an entry of an older format
        // may be shorter than a header of this one, and should be called by its name.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::BadMagic(magic as i8));
        }
        let Ok((header, _)) = RawHeader::ref_from_prefix(bytes) else {
            return Err(BatchError::Truncated {
                needed: HEADER_LEN,
                available,
            });
        };
        let claimed = header.batch_length.get();
        let length = match usize::try_from(claimed) {
            Ok(length) if length >= MIN_LENGTH => length,
            _ => return Err(BatchError::BadLength(claimed)),
        };
        let size = LOG_OVERHEAD + length;
        let Some(bytes) = bytes.get(..size) else {
            return Err(BatchError::Truncated {
                needed: size,
                available,
            });
        };
        Ok(Self { bytes, header })
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Length of the whole batch.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they are stored: compressed, where the batch is.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset.get()
    }

    /// Distance from the base offset to the last offset.
    pub fn last_offset_delta(&self) -> i32 {
        self.header.last_offset_delta.get()
    }

    /// Offset of the last record (kept by compaction also when that record is gone).
    pub fn last_offset(&self) -> i64 {
        self.base_offset()
            .saturating_add(i64::from(self.last_offset_delta()))
    }

    /// The offset that follows this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Epoch of the leader that took the batch.
    pub fn leader_epoch(&self) -> i32 {
        self.header.leader_epoch.get()
    }

    /// The checksum the header holds.
    pub fn crc(&self) -> u32 {
        self.header.crc.get()
    }

    /// The attribute bits.
    pub fn attributes(&self) -> Attributes {
        Attributes(self.header.attributes.get())
    }

    /// Timestamp the records' deltas count from.
    pub fn base_timestamp(&self) -> i64 {
        self.header.base_timestamp.get()
    }

    /// Greatest timestamp in the batch, as its writer says.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp.get()
    }

    /// The producer's id, or -1.
    pub fn producer_id(&self) -> i64 {
        self.header.producer_id.get()
    }

    /// The producer's epoch, or -1.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch.get()
    }

    /// Sequence of the first record, or -1.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence.get()
    }

    /// Sequence of the last record, or -1; after the greatest number comes 0.
    pub fn last_sequence(&self) -> i32 {
        last_sequence(self.base_sequence(), self.last_offset_delta())
    }

    /// How many records the header counts.
    pub fn record_count(&self) -> i32 {
        self.header.record_count.get()
    }

    /// Computes the checksum and compares it with the header's.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.crc();
        let computed = crc32c::crc32c(&self.bytes[CRC_START..]);
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch { stored, computed })
        }
    }

    /// The records, decompressed where they have to be; `limit` bounds what that may give.
    pub fn records(&self, limit: DecompressLimit) -> Result<Records<'a>, BatchError> {
        Records::of(self, limit)
    }

    /// An owned summary of the header.
    pub fn info(&self) -> BatchInfo {
        BatchInfo {
            base_offset: self.base_offset(),
            last_offset: self.last_offset(),
            leader_epoch: self.leader_epoch(),
            size: self.size(),
            attributes: self.attributes(),
            base_timestamp: self.base_timestamp(),
            max_timestamp: self.max_timestamp(),
            producer_id: self.producer_id(),
            producer_epoch: self.producer_epoch(),
            base_sequence: self.base_sequence(),
            last_sequence: self.last_sequence(),
            record_count: self.record_count(),
            marker: Marker::of(self),
        }
    }

    pub(crate) fn header(&self) -> &'a RawHeader {
        self.header
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info().fmt(f)
    }
}

fn last_sequence(base: i32, delta: i32) -> i32 {
    if base == NO_SEQUENCE {
        return NO_SEQUENCE;
    }
    match base.checked_add(delta) {
        Some(last) => last,
        // Sequences are 31 bits wide and go round: after i32::MAX comes 0.
        None => delta
            .wrapping_sub(i32::MAX.wrapping_sub(base))
            .wrapping_sub(1),
    }
}

/// What a broker keeps about a batch once its bytes have gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Epoch of the leader that took the batch.
    pub leader_epoch: i32,
    /// Length of the whole batch in bytes.
    pub size: usize,
    /// The attribute bits.
    pub attributes: Attributes,
    /// Timestamp the records' deltas count from.
    pub base_timestamp: i64,
    /// Greatest timestamp in the batch.
    pub max_timestamp: i64,
    /// The producer's id, or -1.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// Sequence of the last record, or -1.
    pub last_sequence: i32,
    /// How many records the batch holds.
    pub record_count: i32,
    /// The end of a transaction, if that is what it is.
    pub marker: Option<Marker>,
}

impl BatchInfo {
    /// The offset that follows this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset.saturating_add(1)
    }

    /// Whether an idempotent or transactional producer wrote it.
    pub fn has_producer(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// The same batch after [`crate::stamp`] with these values.
    #[must_use]
    pub fn stamped(mut self, base_offset: i64, leader_epoch: i32) -> Self {
        let delta = self.last_offset.saturating_sub(self.base_offset);
        self.base_offset = base_offset;
        self.last_offset = base_offset.saturating_add(delta);
        self.leader_epoch = leader_epoch;
        self
    }
}

/// Walks batches that lie back to back. Ends after the first error; a batch that is cut short at
/// the end of the bytes is [`BatchError::Truncated`].
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// The walk of [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The bytes not walked over yet; after an error, none.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = Batch::parse(self.rest);
        self.rest = match &parsed {
            Ok(batch) => &self.rest[batch.size()..],
            Err(_) => &[],
        };
        Some(parsed)
    }
}

impl std::iter::FusedIterator for Batches<'_> {}
