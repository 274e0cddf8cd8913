//! The rules a batch must keep that a producer sends.

use crate::attributes::Compression;
use crate::codec::DecompressLimit;
use crate::error::{BatchError, RecordFault};
use crate::view::{Batch, BatchInfo};
use crate::walk;
use crate::{NO_PRODUCER_ID, NO_TIMESTAMP};

/// What a topic and a version of the produce API accept.
#[derive(Clone, Copy, Debug)]
pub struct ProducedLimits {
    /// `max.message.bytes`: most bytes of a whole batch, as it came.
    pub max_message_bytes: usize,
    /// Whether each record must have a key (compacted topics).
    pub require_keys: bool,
    /// Timestamps accepted; `None` accepts all, as log append time does.
    pub timestamps: Option<TimestampBounds>,
    /// Whether zstd is accepted (produce version 7 and later).
    pub allow_zstd: bool,
    /// Whether compressed batches are decompressed and their records checked as those of
    /// uncompressed ones are. Where this is `None`, the header's own claims are what is checked, and
    /// records are looked at only as far as `require_keys` demands.
    pub look_inside: Option<DecompressLimit>,
}

impl ProducedLimits {
    /// Bytes a batch on a compacted topic may decompress to where `look_inside` doesn't say:
    /// this many times `max_message_bytes`.
    const KEY_CHECK_RATIO: usize = 100;

    /// Only a size limit.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            require_keys: false,
            timestamps: None,
            allow_zstd: true,
            look_inside: None,
        }
    }

    /// How far to decompress a compressed batch, if at all.
    fn decompress(&self) -> Option<DecompressLimit> {
        let for_keys = || {
            let limit = self.max_message_bytes.saturating_mul(Self::KEY_CHECK_RATIO);
            self.require_keys.then_some(DecompressLimit::bytes(limit))
        };
        self.look_inside.or_else(for_keys)
    }
}

/// First and last timestamp a topic accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampBounds {
    /// The earliest.
    pub earliest: i64,
    /// The latest.
    pub latest: i64,
}

impl TimestampBounds {
    fn allows(self, timestamp: i64) -> bool {
        // A record that has no timestamp is not judged by it, as in Kafka.
        timestamp == NO_TIMESTAMP || (self.earliest..=self.latest).contains(&timestamp)
    }
}

/// Checks what a producer sent for one partition: exactly one batch, whole and undamaged, numbered
/// from 0, that only claims what a producer may claim. Of an uncompressed batch the records are
/// walked too, without allocating.
///
/// `max_timestamp` of the answer is the greatest the records have where they were walked, whatever
/// the header says; [`crate::stamp_create_time`] puts it right.
pub fn check_produced(bytes: &[u8], limits: ProducedLimits) -> Result<BatchInfo, BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::Empty);
    }
    let batch = Batch::parse(bytes)?;
    if batch.size() < bytes.len() {
        return Err(BatchError::MoreThanOne {
            extra: bytes.len() - batch.size(),
        });
    }
    check_header(&batch, &limits)?;
    batch.verify_crc()?;
    let mut info = batch.info();
    let compression = check_claims(&batch, &limits)?;
    let records = match (compression, limits.decompress()) {
        (Compression::None, _) => batch.records(DecompressLimit::bytes(0))?,
        (_, Some(limit)) => batch.records(limit)?,
        (_, None) => {
            check_claimed_times(&batch, &limits)?;
            return Ok(info);
        }
    };
    info.max_timestamp = check_records(&batch, records.payload(), &limits)?;
    Ok(info)
}

fn check_header(batch: &Batch<'_>, limits: &ProducedLimits) -> Result<(), BatchError> {
    if batch.base_offset() != 0 {
        return Err(BatchError::BaseOffset(batch.base_offset()));
    }
    if batch.size() > limits.max_message_bytes {
        return Err(BatchError::TooLarge {
            size: batch.size(),
            max: limits.max_message_bytes,
        });
    }
    Ok(())
}

/// Rules about fields the checksum covers: judged only when it is right, so that damage is called
/// damage.
fn check_claims(batch: &Batch<'_>, limits: &ProducedLimits) -> Result<Compression, BatchError> {
    let attributes = batch.attributes();
    let compression = attributes.compression()?;
    if compression == Compression::Zstd && !limits.allow_zstd {
        return Err(BatchError::CompressionNotAllowed(compression));
    }
    let (count, last_offset_delta) = (batch.record_count(), batch.last_offset_delta());
    if count <= 0 || last_offset_delta != count - 1 {
        return Err(BatchError::RecordCount {
            count,
            last_offset_delta,
        });
    }
    if attributes.is_control() {
        return Err(BatchError::Control);
    }
    if attributes.has_delete_horizon() {
        return Err(BatchError::DeleteHorizon);
    }
    check_producer(batch)?;
    Ok(compression)
}

fn check_producer(batch: &Batch<'_>) -> Result<(), BatchError> {
    let transactional = batch.attributes().is_transactional();
    let sound = match batch.producer_id() {
        NO_PRODUCER_ID => !transactional,
        id => id >= 0 && batch.producer_epoch() >= 0 && batch.base_sequence() >= 0,
    };
    if sound {
        return Ok(());
    }
    Err(BatchError::Producer {
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        transactional,
    })
}

/// Judges a compressed batch by the two timestamps its header has.
fn check_claimed_times(batch: &Batch<'_>, limits: &ProducedLimits) -> Result<(), BatchError> {
    let Some(bounds) = limits.timestamps else {
        return Ok(());
    };
    if !bounds.allows(batch.base_timestamp()) {
        return Err(BatchError::Timestamps { records: vec![0] });
    }
    if !bounds.allows(batch.max_timestamp()) {
        // Which record has it, only its writer knows.
        return Err(BatchError::Timestamps {
            records: vec![batch.last_offset_delta()],
        });
    }
    Ok(())
}

/// Walks the records; gives back their greatest timestamp.
fn check_records(
    batch: &Batch<'_>,
    mut payload: &[u8],
    limits: &ProducedLimits,
) -> Result<i64, BatchError> {
    let mut max_timestamp = NO_TIMESTAMP;
    let mut unkeyed = Vec::new();
    let mut untimely = Vec::new();
    for place in 0..batch.record_count() {
        let malformed = |fault| BatchError::Record {
            record: place,
            fault,
        };
        let record = walk::take_record(&mut payload).map_err(malformed)?;
        if record.offset_delta != place {
            return Err(malformed(RecordFault::OffsetDelta(record.offset_delta)));
        }
        let timestamp = batch
            .base_timestamp()
            .saturating_add(record.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        if limits.require_keys && record.key.is_none() {
            list(&mut unkeyed, place);
        }
        if limits
            .timestamps
            .is_some_and(|bounds| !bounds.allows(timestamp))
        {
            list(&mut untimely, place);
        }
    }
    if !payload.is_empty() {
        let fault = RecordFault::Trailing(payload.len());
        return Err(BatchError::Record {
            record: batch.record_count() - 1,
            fault,
        });
    }
    if !unkeyed.is_empty() {
        return Err(BatchError::MissingKeys { records: unkeyed });
    }
    if !untimely.is_empty() {
        return Err(BatchError::Timestamps { records: untimely });
    }
    Ok(max_timestamp)
}

fn list(places: &mut Vec<i32>, place: i32) {
    if places.len() < BatchError::MAX_LISTED {
        places.push(place);
    }
}
