//! A batch with some of its records taken out, as compaction writes it.
//!
//! What stays of a batch keeps its place: base offset, last offset, sequence numbers and leader epoch are
//! those of the whole batch, so offsets have gaps inside. Records are copied as they lie, not written anew.

use bytes::Bytes;
use zerocopy::IntoBytes;

use crate::attributes::{Attributes, Compression, TimestampType};
use crate::codec::{self, DecompressLimit};
use crate::error::{BatchError, RecordFault};
use crate::header::RawHeader;
use crate::recompress::finish;
use crate::records::Record;
use crate::view::Batch;
use crate::walk;
use crate::{HEADER_LEN, NO_TIMESTAMP, varint};

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// All of it, as it is.
    All,
    /// The batch with fewer records, or with a delete horizon it didn't have.
    Some(Bytes),
    /// No record.
    None,
}

/// When what is only kept to say that something is gone may go itself (KIP-534).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The delete horizon that a batch gets which needs one and has none, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whether the batch needs one in any case: a marker whose transaction's records are gone. Else it does
    /// if a tombstone stays in it.
    pub always: bool,
}

/// The batch with those records that `keep` wants, compressed as it was; `limit` bounds what it may decompress
/// to. A batch that needs a delete horizon and has none gets it: it becomes the base timestamp, and
/// the records' timestamps stay what they are.
///
/// # Errors
/// Where the records are not what the header says, or can't be compressed.
pub fn retain(
    batch: &Batch<'_>,
    limit: DecompressLimit,
    horizon: Horizon,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Retained, BatchError> {
    let records = batch.records(limit)?;
    let payload = records.payload();
    let mut kept = Kept::default();
    let mut left = payload;
    for (place, record) in (0..).zip(&records) {
        let record = record?;
        let fault = |fault| BatchError::Record {
            record: place,
            fault,
        };
        let before = left;
        walk::take_record(&mut left).map_err(fault)?;
        let bytes = &before[..before.len() - left.len()];
        if keep(&record) {
            kept.push(bytes, &record);
        } else {
            kept.all = false;
        }
    }
    if kept.spans.is_empty() {
        return Ok(Retained::None);
    }
    let needs = (kept.tombstones || horizon.always) && !batch.attributes().has_delete_horizon();
    if kept.all && !needs {
        return Ok(Retained::All);
    }
    let mut header = *batch.header();
    let mut out = Vec::with_capacity(kept.bytes);
    if needs {
        header
            .attributes
            .set(batch.attributes().with_delete_horizon(true).0);
        header.base_timestamp.set(horizon.at_ms);
        let shift = batch.base_timestamp().wrapping_sub(horizon.at_ms);
        for (place, bytes) in (0..).zip(&kept.spans) {
            put_shifted(&mut out, bytes, shift).map_err(|fault| BatchError::Record {
                record: place,
                fault,
            })?;
        }
    } else {
        kept.spans
            .iter()
            .for_each(|bytes| out.extend_from_slice(bytes));
    }
    header.record_count.set(kept.count);
    if batch.attributes().timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp.set(kept.max_timestamp);
    }
    seal(header, batch.attributes().compression()?, &out).map(Retained::Some)
}

/// The batch without any record, as its place in the log and its producer's last sequence are kept.
pub fn emptied(batch: &Batch<'_>) -> Result<Bytes, BatchError> {
    let had = batch.attributes();
    let attributes = Attributes::default()
        .with_timestamp_type(had.timestamp_type())
        .with_transactional(had.is_transactional())
        .with_control(had.is_control());
    let mut header = *batch.header();
    header.attributes.set(attributes.0);
    header.base_timestamp.set(NO_TIMESTAMP);
    header.record_count.set(0);
    seal(header, Compression::None, &[])
}

fn seal(header: RawHeader, codec: Compression, records: &[u8]) -> Result<Bytes, BatchError> {
    let mut out = Vec::with_capacity(HEADER_LEN + records.len());
    out.extend_from_slice(header.as_bytes());
    codec::compress(codec, records, &mut out)?;
    finish(&mut out)?;
    Ok(out.into())
}

/// The records that stay, as they lie in the batch.
struct Kept<'a> {
    spans: Vec<&'a [u8]>,
    bytes: usize,
    count: i32,
    max_timestamp: i64,
    tombstones: bool,
    all: bool,
}

impl Default for Kept<'_> {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            bytes: 0,
            count: 0,
            max_timestamp: i64::MIN,
            tombstones: false,
            all: true,
        }
    }
}

impl<'a> Kept<'a> {
    fn push(&mut self, bytes: &'a [u8], record: &Record<'_>) {
        self.spans.push(bytes);
        self.bytes += bytes.len();
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.tombstones |= record.value().is_none();
    }
}

/// Writes a record whose timestamp delta grows by `shift`.
fn put_shifted(out: &mut Vec<u8>, record: &[u8], shift: i64) -> Result<(), RecordFault> {
    let mut rest = record;
    varint::take_i32(&mut rest)?;
    let Some((&attributes, mut rest)) = rest.split_first() else {
        return Err(RecordFault::CutShort);
    };
    let delta = varint::take_i64(&mut rest)?;
    let mut head = Vec::with_capacity(11);
    head.push(attributes);
    varint::put_i64(&mut head, delta.wrapping_add(shift));
    let length = i32::try_from(head.len() + rest.len()).map_err(|_| RecordFault::CutShort)?;
    varint::put_i32(out, length);
    out.extend_from_slice(&head);
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::{Builder, Header, NewRecord};

    const LIMIT: DecompressLimit = DecompressLimit::bytes(1 << 20);
    const HORIZON: Horizon = Horizon {
        at_ms: 1_700_000_000_000,
        always: false,
    };

    type Seen = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn seen(batch: &Batch<'_>) -> Vec<Seen> {
        let records = batch.records(LIMIT).unwrap();
        let one = |record: Record<'_>| {
            (
                record.offset,
                record.timestamp,
                record.key().map(<[u8]>::to_vec),
                record.value().map(<[u8]>::to_vec),
                record.headers().len(),
            )
        };
        records.iter().map(|record| one(record.unwrap())).collect()
    }

    fn built(codec: Compression, append_time: bool, values: &[Option<Vec<u8>>]) -> Bytes {
        let mut builder = Builder::new(codec)
            .base_offset(1_000)
            .leader_epoch(7)
            .producer(5, 2, 30)
            .transactional();
        if append_time {
            builder = builder.append_time(1_650_000_000_000);
        }
        for (at, value) in (0_i64..).zip(values) {
            let headers = [Header {
                key: "h",
                value: Some(b"v"),
            }];
            builder.push(NewRecord {
                timestamp: 1_600_000_000_000 + at * 13 % 7,
                key: Some(&[at as u8]),
                value: value.as_deref(),
                headers: &headers[..(at % 2) as usize],
            });
        }
        builder.build().unwrap()
    }

    proptest! {
        #[test]
        fn what_stays_is_what_it_was(
            values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)), 1..30),
            kept in any::<u32>(), codec in 0..5_usize, append_time: bool, always: bool,
        ) {
            let codec = Compression::ALL[codec];
            let bytes = built(codec, append_time, &values);
            let batch = Batch::parse(&bytes).unwrap();
            let wanted = |offset: i64| kept >> (offset - 1_000) & 1 == 1;
            let expected: Vec<_> = seen(&batch).into_iter().filter(|one| wanted(one.0)).collect();
            let left = retain(&batch, LIMIT, Horizon { always, ..HORIZON }, |record| wanted(record.offset)).unwrap();
            let horizon = always || expected.iter().any(|one| one.3.is_none());
            let bytes = match left {
                Retained::None => { prop_assert!(expected.is_empty()); return Ok(()); }
                Retained::All => { prop_assert!(!horizon && expected.len() == values.len()); return Ok(()); }
                Retained::Some(bytes) => bytes,
            };
            let left = Batch::parse(&bytes).unwrap();
            left.verify_crc().unwrap();
            prop_assert_eq!(&seen(&left), &expected);
            prop_assert_eq!(left.attributes().has_delete_horizon(), horizon);
            if horizon { prop_assert_eq!(left.base_timestamp(), HORIZON.at_ms); }
            prop_assert_eq!(left.attributes().compression(), Ok(codec));
            prop_assert_eq!(left.max_timestamp(), expected.iter().map(|one| one.1).max().unwrap());
            let (was, is) = (batch.info(), left.info());
            prop_assert_eq!((was.base_offset, was.last_offset, was.last_sequence), (is.base_offset, is.last_offset, is.last_sequence));
            prop_assert_eq!((was.leader_epoch, was.producer_id, was.producer_epoch), (is.leader_epoch, is.producer_id, is.producer_epoch));
            // A horizon that is there stays.
            let later = Horizon { at_ms: 1_800_000_000_000, always: true };
            let again = retain(&left, LIMIT, later, |_| true).unwrap();
            prop_assert_eq!(again == Retained::All, horizon);
        }
    }

    #[test]
    fn an_emptied_batch_keeps_its_place_and_its_producers() {
        let bytes = built(Compression::Zstd, false, &[None, Some(vec![1]), None]);
        let batch = Batch::parse(&bytes).unwrap();
        let emptied = emptied(&batch).unwrap();
        assert_eq!(emptied.len(), HEADER_LEN);
        let left = Batch::parse(&emptied).unwrap();
        left.verify_crc().unwrap();
        assert_eq!((left.base_offset(), left.last_offset()), (1_000, 1_002));
        assert_eq!((left.base_sequence(), left.last_sequence()), (30, 32));
        assert_eq!(
            (left.record_count(), left.base_timestamp()),
            (0, NO_TIMESTAMP)
        );
        assert_eq!(left.max_timestamp(), batch.max_timestamp());
        assert!(left.attributes().is_transactional() && !left.attributes().is_control());
        assert_eq!(left.attributes().compression(), Ok(Compression::None));
        assert!(seen(&left).is_empty());
        assert_eq!(
            retain(&left, LIMIT, HORIZON, |_| true).unwrap(),
            Retained::None
        );
    }

    #[test]
    fn records_that_are_damaged_are_told() {
        let bytes = built(Compression::None, false, &[Some(vec![1]), Some(vec![2])]);
        let mut damaged = bytes.to_vec();
        damaged[HEADER_LEN] = 0xff;
        let batch = Batch::parse(&damaged).unwrap();
        assert!(retain(&batch, LIMIT, HORIZON, |_| true).is_err());
    }
}
