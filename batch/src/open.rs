//! A batch that is being filled by a producer, record by record, in the buffer that is sent.
//!
//! Owns the fast way from a record to the wire: each record is encoded straight behind the last
//! one, and header and checksum are written once, when the batch is closed. For offsets that have
//! gaps, headers of records and control records there is [`crate::Builder`].

use bytes::{BufMut, BytesMut};
use zerocopy::IntoBytes;

use crate::attributes::{Attributes, Compression};
use crate::codec;
use crate::error::BatchError;
use crate::header::RawHeader;
use crate::recompress::finish;
use crate::stamp::write_crc;
use crate::{
    HEADER_LEN, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP,
};

/// Room for everything of a record that is neither key nor value: the length, attributes, two
/// deltas, two lengths, and the count of headers, each at its longest.
const MOST_AROUND: usize = 5 + 1 + 10 + 5 + 5 + 5 + 1;

/// Where the producer's fields lie.
const PRODUCER_AT: usize = 43;

/// Who wrote a batch, and where it stands in what that producer wrote to the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// The producer's id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence of the batch's first record.
    pub base_sequence: i32,
}

impl ProducerFields {
    /// Those of a producer that is not idempotent.
    pub const NONE: Self = Self {
        id: NO_PRODUCER_ID,
        epoch: NO_PRODUCER_EPOCH,
        base_sequence: NO_SEQUENCE,
    };
}

/// A batch that takes records.
#[derive(Debug)]
pub struct Open {
    bytes: BytesMut,
    limit: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Open {
    /// An empty batch of at most `limit` bytes uncompressed, in a buffer that is used again.
    pub fn new(mut bytes: BytesMut, limit: usize) -> Self {
        bytes.clear();
        bytes.reserve(limit.max(HEADER_LEN));
        bytes.put_bytes(0, HEADER_LEN);
        Self {
            bytes,
            limit,
            count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Puts a record in. False, and nothing done, if there is no room for it: close the batch and
    /// open another. The first record always fits, up to the protocol's 2 GiB.
    #[inline]
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        let base = if self.count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let (key_len, value_len) = (length(key), length(value));
        let room = MOST_AROUND + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let (Some(key_len), Some(value_len), true) = (key_len, value_len, room < MOST_RECORD)
        else {
            return false;
        };
        let timestamp_delta = zigzag(timestamp.wrapping_sub(base));
        let offset_delta = zigzag(i64::from(self.count));
        let body = 1
            + size(timestamp_delta)
            + size(offset_delta)
            + size(key_len)
            + key.map_or(0, <[u8]>::len)
            + size(value_len)
            + value.map_or(0, <[u8]>::len)
            + 1;
        let length = zigzag(body as i64);
        if self.count > 0 && self.bytes.len() + size(length) + body > self.limit {
            return false;
        }
        self.bytes.reserve(room);
        let mut head = Head::default();
        head.put(length);
        // The record's own attributes, which have no meaning yet.
        head.put(0);
        head.put(timestamp_delta);
        head.put(offset_delta);
        head.put(key_len);
        match key {
            None => {}
            Some(key) => {
                self.bytes.extend_from_slice(head.bytes());
                head = Head::default();
                self.bytes.extend_from_slice(key);
            }
        }
        head.put(value_len);
        self.bytes.extend_from_slice(head.bytes());
        if let Some(value) = value {
            self.bytes.extend_from_slice(value);
        }
        // No headers.
        self.bytes.put_u8(0);
        self.base_timestamp = base;
        self.max_timestamp = if self.count == 0 {
            timestamp
        } else {
            self.max_timestamp.max(timestamp)
        };
        self.count += 1;
        true
    }

    /// Records put in so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes the batch has now, uncompressed.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The whole batch, as it is sent. Fails only where a codec does, or with nothing in it.
    pub fn close(
        self,
        compression: Compression,
        producer: ProducerFields,
    ) -> Result<BytesMut, BatchError> {
        if self.count == 0 {
            return Err(BatchError::Unbuildable("no record in it"));
        }
        let header = RawHeader {
            base_offset: 0.into(),
            batch_length: 0.into(),
            leader_epoch: NO_LEADER_EPOCH.into(),
            magic: MAGIC,
            crc: 0.into(),
            attributes: Attributes::default().with_compression(compression).0.into(),
            last_offset_delta: (self.count - 1).into(),
            base_timestamp: self.base_timestamp.into(),
            max_timestamp: self.max_timestamp.into(),
            producer_id: producer.id.into(),
            producer_epoch: producer.epoch.into(),
            base_sequence: producer.base_sequence.into(),
            record_count: self.count.into(),
        };
        let mut bytes = if compression == Compression::None {
            self.bytes
        } else {
            let mut out = Vec::with_capacity(self.bytes.len());
            out.resize(HEADER_LEN, 0);
            codec::compress(compression, &self.bytes[HEADER_LEN..], &mut out)?;
            let mut bytes = self.bytes;
            bytes.clear();
            bytes.extend_from_slice(&out);
            bytes
        };
        bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
        finish(&mut bytes)?;
        Ok(bytes)
    }
}

/// Gives a closed batch to another producer identity, as a producer has to whose old one is lost.
///
/// # Panics
/// When there is no whole header in `bytes`.
pub fn stamp_producer(bytes: &mut [u8], producer: ProducerFields) {
    let fields = &mut bytes[PRODUCER_AT..PRODUCER_AT + 14];
    fields[..8].copy_from_slice(&producer.id.to_be_bytes());
    fields[8..10].copy_from_slice(&producer.epoch.to_be_bytes());
    fields[10..].copy_from_slice(&producer.base_sequence.to_be_bytes());
    write_crc(bytes);
}

/// No record may be as long.
const MOST_RECORD: usize = i32::MAX as usize / 2;

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A length as it is written, -1 for null.
#[inline]
fn length(bytes: Option<&[u8]>) -> Option<u64> {
    match bytes {
        None => Some(zigzag(-1)),
        Some(bytes) => i32::try_from(bytes.len())
            .ok()
            .map(|len| zigzag(len.into())),
    }
}

/// Bytes of a variable-length number.
#[inline]
fn size(raw: u64) -> usize {
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

/// What is put together before it goes into the buffer in one piece.
struct Head {
    bytes: [u8; MOST_AROUND],
    len: usize,
}

impl Default for Head {
    #[inline]
    fn default() -> Self {
        Self {
            bytes: [0; MOST_AROUND],
            len: 0,
        }
    }
}

impl Head {
    #[inline]
    fn put(&mut self, mut raw: u64) {
        while raw >= 0x80 {
            self.bytes[self.len] = raw as u8 | 0x80;
            self.len += 1;
            raw >>= 7;
        }
        self.bytes[self.len] = raw as u8;
        self.len += 1;
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::{Batch, Builder, DecompressLimit, NewRecord};

    type Record = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    const CODECS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let time = prop_oneof![
            1_700_000_000_000_i64..1_700_000_001_000,
            Just(i64::MAX),
            Just(i64::MIN)
        ];
        proptest::collection::vec((time, bytes(), bytes()), 1..40)
    }

    proptest! {
        #[test]
        fn it_is_what_the_builder_makes(records in records(), codec in 0..5_usize) {
            let codec = CODECS[codec];
            let mut open = Open::new(BytesMut::new(), 1 << 20);
            let mut builder = Builder::new(codec).producer(7, 3, 40);
            for (timestamp, key, value) in &records {
                prop_assert!(open.push(*timestamp, key.as_deref(), value.as_deref()));
                builder.push(NewRecord {
                    timestamp: *timestamp,
                    key: key.as_deref(),
                    value: value.as_deref(),
                    headers: &[],
                });
                prop_assert_eq!(open.size(), builder.uncompressed_size());
            }
            let fields = ProducerFields { id: 7, epoch: 3, base_sequence: 40 };
            let closed = open.close(codec, fields).unwrap();
            prop_assert_eq!(&closed[..], &builder.build().unwrap()[..]);
        }

        #[test]
        fn the_limit_holds_from_the_second_record_on(limit in 61..2000_usize, len in 0..400_usize) {
            let value = vec![1; len];
            let mut open = Open::new(BytesMut::new(), limit);
            prop_assert!(open.push(1, None, Some(&value)));
            let first = open.size();
            while open.push(2, None, Some(&value)) {}
            prop_assert!(open.size() <= limit.max(first));
            prop_assert!(open.size() + len + MOST_AROUND > limit);
        }
    }

    #[test]
    fn another_identity_leaves_a_sound_batch() {
        let mut open = Open::new(BytesMut::new(), 1000);
        assert!(open.push(5, Some(b"key"), Some(b"value")));
        let mut closed = open.close(Compression::None, ProducerFields::NONE).unwrap();
        let fields = ProducerFields {
            id: 99,
            epoch: 2,
            base_sequence: 17,
        };
        stamp_producer(&mut closed, fields);
        let batch = Batch::parse(&closed).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(
            (
                batch.producer_id(),
                batch.producer_epoch(),
                batch.base_sequence()
            ),
            (99, 2, 17)
        );
        let records = batch.records(DecompressLimit::bytes(1000)).unwrap();
        assert_eq!(
            records.iter().next().unwrap().unwrap().key(),
            Some(&b"key"[..])
        );
    }

    #[test]
    fn an_empty_batch_is_none() {
        let open = Open::new(BytesMut::new(), 100);
        assert!(open.close(Compression::None, ProducerFields::NONE).is_err());
    }
}
