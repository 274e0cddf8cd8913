//! Compression of record bytes, and decompression that cannot be made to fill the memory.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::attributes::Compression;
use crate::error::BatchError;
use crate::snappy;

/// Most bytes a decompression may give. Explicit, because a batch of a few kilobytes can claim to
/// hold gigabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecompressLimit(usize);

impl DecompressLimit {
    /// At most this many bytes.
    pub const fn bytes(max: usize) -> Self {
        Self(max)
    }

    /// The number of bytes.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Largest zstd window accepted, as a power of two: what Kafka's own decoder accepts. The window
/// is reserved, not touched; memory is used only as far as [`DecompressLimit`] allows.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Kafka's default level for zstd.
const ZSTD_LEVEL: i32 = 3;

/// Record bytes out of a batch's payload; borrowed where the batch isn't compressed.
pub(crate) fn decompress(
    codec: Compression,
    payload: &[u8],
    limit: DecompressLimit,
) -> Result<Cow<'_, [u8]>, BatchError> {
    let fail = |error: io::Error| BatchError::Codec {
        codec,
        cause: error.to_string(),
    };
    let out = match codec {
        Compression::None => return Ok(Cow::Borrowed(payload)),
        Compression::Snappy => snappy::decompress(payload, limit)?,
        Compression::Gzip => read_bounded(MultiGzDecoder::new(payload), limit, fail)?,
        Compression::Lz4 => read_bounded(FrameDecoder::new(payload), limit, fail)?,
        Compression::Zstd => {
            let mut reader = zstd::Decoder::with_buffer(payload).map_err(fail)?;
            reader.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(fail)?;
            read_bounded(reader, limit, fail)?
        }
    };
    Ok(Cow::Owned(out))
}

fn read_bounded(
    mut reader: impl Read,
    limit: DecompressLimit,
    fail: impl Fn(io::Error) -> BatchError,
) -> Result<Vec<u8>, BatchError> {
    // In steps of our own, not `read_to_end`: some decoders override it and ignore bounds.
    let mut out = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(out),
            Ok(got) if got > limit.get() - out.len() => {
                return Err(BatchError::DecompressLimit { limit: limit.get() });
            }
            Ok(got) => out.extend_from_slice(&chunk[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
}

/// Appends `records`, compressed, to `out`.
pub(crate) fn compress(
    codec: Compression,
    records: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let fail = |error: io::Error| BatchError::Codec {
        codec,
        cause: error.to_string(),
    };
    match codec {
        Compression::None => out.extend_from_slice(records),
        Compression::Snappy => snappy::compress(records, out)?,
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(out, flate2::Compression::default());
            encoder
                .write_all(records)
                .and_then(|()| encoder.finish())
                .map_err(fail)?;
        }
        Compression::Lz4 => {
            // Java's reader takes no blocks that depend on each other.
            let info = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(records).map_err(fail)?;
            encoder.finish().map_err(|error| fail(error.into()))?;
        }
        Compression::Zstd => {
            zstd::stream::copy_encode(records, out, ZSTD_LEVEL).map_err(fail)?;
        }
    }
    Ok(())
}
