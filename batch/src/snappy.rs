//! Snappy as Kafka's clients write it: in the framing of Java's `SnappyOutputStream`, or as one
//! raw block (librdkafka, and most others).

use crate::attributes::Compression;
use crate::codec::DecompressLimit;
use crate::error::BatchError;

/// What a framed stream begins with.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version, least version of a reader.
const HEADER_LEN: usize = 16;
/// Version and least version of a reader, as Java writes them.
const VERSION: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Uncompressed bytes in a block: Java's default.
const BLOCK: usize = 32 * 1024;

/// Snappy's densest element makes 64 bytes of 3, so a block that claims more per byte lies, and
/// nothing is allocated for it.
const MAX_RATIO: usize = 64;

fn bad(cause: impl ToString) -> BatchError {
    BatchError::Codec {
        codec: Compression::Snappy,
        cause: cause.to_string(),
    }
}

pub(crate) fn decompress(payload: &[u8], limit: DecompressLimit) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    if !payload.starts_with(&MAGIC) {
        take_block(payload, limit, &mut out)?;
        return Ok(out);
    }
    let Some(mut rest) = payload.get(HEADER_LEN..) else {
        return Err(bad("the stream ends inside its header"));
    };
    while !rest.is_empty() {
        // Streams written one after the other may be joined: a header between blocks is skipped.
        if rest.starts_with(&MAGIC) {
            rest = rest
                .get(HEADER_LEN..)
                .ok_or_else(|| bad("the stream ends inside a header"))?;
            continue;
        }
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(bad("the stream ends inside a block's length"));
        };
        let length = u32::from_be_bytes(*length) as usize;
        let Some((block, after)) = after.split_at_checked(length) else {
            return Err(bad("the stream ends inside a block"));
        };
        take_block(block, limit, &mut out)?;
        rest = after;
    }
    Ok(out)
}

fn take_block(block: &[u8], limit: DecompressLimit, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let claimed = snap::raw::decompress_len(block).map_err(bad)?;
    if claimed > limit.get() - out.len() {
        return Err(BatchError::DecompressLimit { limit: limit.get() });
    }
    if claimed > block.len().saturating_mul(MAX_RATIO) {
        return Err(bad("a block claims more than its bytes can hold"));
    }
    let start = out.len();
    out.resize(start + claimed, 0);
    let got = snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(bad)?;
    out.truncate(start + got);
    Ok(())
}

pub(crate) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in records.chunks(BLOCK) {
        let block = encoder.compress_vec(chunk).map_err(bad)?;
        // A block of 32 KiB grows by a sixth at most.
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(())
}
