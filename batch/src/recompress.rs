//! The same records with another codec, for topics whose `compression.type` isn't `producer`.

use bytes::Bytes;
use zerocopy::IntoBytes;

use crate::attributes::Compression;
use crate::codec::{self, DecompressLimit};
use crate::error::BatchError;
use crate::stamp::write_crc;
use crate::view::Batch;
use crate::{HEADER_LEN, LOG_OVERHEAD};

/// The batch with its records compressed by `target`. Offsets, timestamps, producer fields and the
/// record bytes stay what they are; length, codec and checksum change.
pub fn recompress(
    batch: &Batch<'_>,
    target: Compression,
    limit: DecompressLimit,
) -> Result<Bytes, BatchError> {
    let source = batch.attributes().compression()?;
    if source == target {
        return Ok(Bytes::copy_from_slice(batch.bytes()));
    }
    let records = codec::decompress(source, batch.payload(), limit)?;
    let mut out = Vec::with_capacity(batch.size());
    let mut header = *batch.header();
    header
        .attributes
        .set(batch.attributes().with_compression(target).0);
    out.extend_from_slice(header.as_bytes());
    codec::compress(target, &records, &mut out)?;
    finish(&mut out)?;
    Ok(out.into())
}

/// Writes length and checksum into a batch whose other bytes are all there.
pub(crate) fn finish(out: &mut [u8]) -> Result<(), BatchError> {
    debug_assert!(out.len() >= HEADER_LEN);
    let length = i32::try_from(out.len() - LOG_OVERHEAD)
        .map_err(|_| BatchError::Unbuildable("more than 2 GiB of records"))?;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    write_crc(out);
    Ok(())
}
