//! The fields a broker writes into a batch it takes.

use crate::HEADER_LEN;
use crate::attributes::{Attributes, TimestampType};
use crate::header::{ATTRIBUTES_AT, CRC_AT, CRC_START, MAX_TIMESTAMP_AT};

/// Writes base offset and leader epoch. Both lie before the checksummed part, so the checksum
/// stays right.
///
/// `bytes` must be one whole batch, as [`crate::check_produced`] found it.
///
/// # Panics
/// When `bytes` is shorter than a header.
pub fn stamp(bytes: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(
        bytes.len() >= HEADER_LEN,
        "only a whole batch can be stamped"
    );
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Makes the batch one of log append time `now_ms`: sets the attribute bit and the greatest
/// timestamp, and computes the checksum anew. The records keep their deltas; readers take the
/// batch's greatest timestamp.
///
/// # Panics
/// When `bytes` is shorter than a header.
pub fn stamp_append_time(bytes: &mut [u8], now_ms: i64) {
    stamp_times(bytes, TimestampType::LogAppendTime, now_ms);
}

/// Makes the batch one of the producer's own timestamps, the greatest of which is `max_timestamp`
/// (as [`crate::check_produced`] found it). Touches nothing, and computes no checksum, where the
/// batch says so already, which all well-made producers' batches do.
///
/// # Panics
/// When `bytes` is shorter than a header.
pub fn stamp_create_time(bytes: &mut [u8], max_timestamp: i64) {
    stamp_times(bytes, TimestampType::CreateTime, max_timestamp);
}

fn stamp_times(bytes: &mut [u8], kind: TimestampType, max_timestamp: i64) {
    assert!(
        bytes.len() >= HEADER_LEN,
        "only a whole batch can be stamped"
    );
    let mut attributes = [0; 2];
    attributes.copy_from_slice(&bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2]);
    let attributes = Attributes(i16::from_be_bytes(attributes)).with_timestamp_type(kind);
    let attributes = attributes.0.to_be_bytes();
    let max_timestamp = max_timestamp.to_be_bytes();
    let unchanged = bytes[ATTRIBUTES_AT..].starts_with(&attributes)
        && bytes[MAX_TIMESTAMP_AT..].starts_with(&max_timestamp);
    if unchanged {
        return;
    }
    bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes);
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp);
    write_crc(bytes);
}

/// Computes the checksum of a whole batch and writes it.
pub(crate) fn write_crc(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
}
