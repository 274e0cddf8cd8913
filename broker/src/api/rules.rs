//! What a topic's settings ask of a produced batch beyond being whole: its size, keys, timestamps and
//! codec.

use batch::{
    Batch, BatchError, BatchInfo, Compression, DecompressLimit, ProducedLimits, TimestampBounds,
};
use bytes::BytesMut;

use super::error::{Refusal, refused_batch};
use crate::config::{CompressionType, TimestampType, TopicConfig};

/// The first version of Produce that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// A batch that has to be opened may grow to this many times its topic's largest message.
const OPENED_RATIO: usize = 100;
/// And to no more than this: it is memory that no budget counts. Logs open batches up to the same
/// size to look for times.
const OPENED_MOST: usize = 64 << 20;

/// What a batch may decompress to.
fn opened_limit(config: &TopicConfig) -> DecompressLimit {
    let of_message = (config.max_message_bytes as usize).saturating_mul(OPENED_RATIO);
    DecompressLimit::bytes(of_message.min(OPENED_MOST))
}

/// What is checked before a batch is taken, at `now_ms` since 1970.
pub(super) fn limits(config: &TopicConfig, version: i16, now_ms: i64) -> ProducedLimits {
    let stamped_here = config.message_timestamp_type == TimestampType::LogAppendTime;
    let any_time = config.message_timestamp_before_max_ms == i64::MAX
        && config.message_timestamp_after_max_ms == i64::MAX;
    let bounds = TimestampBounds {
        earliest: now_ms.saturating_sub(config.message_timestamp_before_max_ms),
        latest: now_ms.saturating_add(config.message_timestamp_after_max_ms),
    };
    ProducedLimits {
        require_keys: config.cleanup_policy.compact,
        timestamps: (!stamped_here && !any_time).then_some(bounds),
        allow_zstd: version >= ZSTD_SINCE,
        look_inside: config.cleanup_policy.compact.then(|| opened_limit(config)),
        ..ProducedLimits::new(config.max_message_bytes as usize)
    }
}

/// The batch with the codec its topic wants; as it came where that is `producer`, the default.
///
/// # Errors
/// `INVALID_RECORD` where the batch can't be opened, `MESSAGE_TOO_LARGE` where it becomes so.
pub(super) fn recompressed(
    config: &TopicConfig,
    records: BytesMut,
    info: BatchInfo,
) -> Result<(BytesMut, BatchInfo), Refusal> {
    let wanted = match config.compression_type {
        CompressionType::Producer => return Ok((records, info)),
        CompressionType::Uncompressed => Compression::None,
        CompressionType::Gzip => Compression::Gzip,
        CompressionType::Snappy => Compression::Snappy,
        CompressionType::Lz4 => Compression::Lz4,
        CompressionType::Zstd => Compression::Zstd,
    };
    if info.attributes.compression().is_ok_and(|has| has == wanted) {
        return Ok((records, info));
    }
    let changed = Batch::parse(&records)
        .and_then(|batch| batch::recompress(&batch, wanted, opened_limit(config)))
        .map_err(|error| refused_batch(&error))?;
    let mut changed_info = Batch::parse(&changed)
        .map_err(|error| refused_batch(&error))?
        .info();
    // What is stored and read may not be larger either.
    if changed_info.size > config.max_message_bytes as usize {
        return Err(refused_batch(&BatchError::TooLarge {
            size: changed_info.size,
            max: config.max_message_bytes as usize,
        }));
    }
    changed_info.max_timestamp = info.max_timestamp;
    Ok((BytesMut::from(&changed[..]), changed_info))
}
