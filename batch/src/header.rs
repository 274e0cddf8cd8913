//! The fixed 61 bytes at the start of a batch.

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{HEADER_LEN, LOG_OVERHEAD};

/// A batch's header as it lies in the bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    pub(crate) base_offset: I64,
    /// Bytes after this field.
    pub(crate) batch_length: I32,
    pub(crate) leader_epoch: I32,
    pub(crate) magic: i8,
    /// CRC-32C of all that follows this field.
    pub(crate) crc: U32,
    pub(crate) attributes: I16,
    pub(crate) last_offset_delta: I32,
    pub(crate) base_timestamp: I64,
    pub(crate) max_timestamp: I64,
    pub(crate) producer_id: I64,
    pub(crate) producer_epoch: I16,
    pub(crate) base_sequence: I32,
    pub(crate) record_count: I32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// Where the checksummed part of a batch begins.
pub(crate) const CRC_START: usize = 21;
/// Where the checksum lies.
pub(crate) const CRC_AT: usize = 17;
/// Where the format version lies, in this format and in the two before it.
pub(crate) const MAGIC_AT: usize = 16;
/// Where the attributes lie.
pub(crate) const ATTRIBUTES_AT: usize = 21;
/// Where the greatest timestamp lies.
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;

/// Least value of the length field: a header and no records.
pub(crate) const MIN_LENGTH: usize = HEADER_LEN - LOG_OVERHEAD;
