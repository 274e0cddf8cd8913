//! What can be wrong with a batch, and to which family of Kafka's error codes it belongs.

use crate::attributes::Compression;

/// Why bytes are not a batch, or not one this operation accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("record batch is cut short: it needs {needed} bytes and {available} are there")]
    Truncated {
        /// Bytes the batch (or its header, when not even that is there) needs.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field cannot be that of a batch.
    #[error("record batch claims a length of {0} bytes, which no batch can have")]
    BadLength(i32),
    /// The format version is not 2.
    #[error("record batch has format version (magic) {0}; only version 2 is supported")]
    BadMagic(i8),
    /// The checksum in the header is not that of the bytes.
    #[error(
        "record batch is corrupt: its checksum is {stored:#010x}, its bytes give {computed:#010x}"
    )]
    CrcMismatch {
        /// Checksum in the header.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// A produced record set without a batch.
    #[error(
        "record set is empty; a produce request must bring one record batch for each partition"
    )]
    Empty,
    /// A produced record set with something after its batch.
    #[error(
        "record set has {extra} bytes after its first batch; exactly one batch for each partition is accepted"
    )]
    MoreThanOne {
        /// Bytes after the first batch.
        extra: usize,
    },
    /// Larger than the topic takes.
    #[error("record batch is {size} bytes, more than the {max} bytes max.message.bytes allows")]
    TooLarge {
        /// Size of the whole batch.
        size: usize,
        /// What is allowed.
        max: usize,
    },
    /// A producer numbered its batch from something other than 0.
    #[error("produced record batch has base offset {0}; producers must number from 0")]
    BaseOffset(i64),
    /// A producer sent a control batch.
    #[error("produced record batch is a control batch; only brokers write those")]
    Control,
    /// Count and offsets contradict each other, or there is nothing in the batch.
    #[error("record batch claims {count} records with a last offset delta of {last_offset_delta}")]
    RecordCount {
        /// Records by the header.
        count: i32,
        /// Last offset delta by the header.
        last_offset_delta: i32,
    },
    /// Attribute bits name a codec Kafka does not have.
    #[error("record batch has unknown compression type {0}")]
    UnknownCompression(u8),
    /// The codec exists, but not for the protocol version it came by.
    #[error(
        "record batch is compressed with {0}, which this version of the produce API does not carry"
    )]
    CompressionNotAllowed(Compression),
    /// Producer fields that no producer may send together.
    #[error(
        "record batch of producer {producer_id} has epoch {producer_epoch}, sequence {base_sequence} and transactional={transactional}"
    )]
    Producer {
        /// Producer id in the header.
        producer_id: i64,
        /// Producer epoch in the header.
        producer_epoch: i16,
        /// Base sequence in the header.
        base_sequence: i32,
        /// Transactional bit of the attributes.
        transactional: bool,
    },
    /// An attribute only compaction sets.
    #[error("produced record batch has a delete horizon; only compaction sets that")]
    DeleteHorizon,
    /// A record whose bytes break the format.
    #[error("record {record} of the batch is malformed: {fault}")]
    Record {
        /// Place of the record in the batch, from 0.
        record: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// Records without key where each must have one (compacted topics).
    #[error("{} record(s) of the batch have no key; a compacted topic needs one on each", records.len())]
    MissingKeys {
        /// Places of the records in the batch, from 0; at most [`BatchError::MAX_LISTED`].
        records: Vec<i32>,
    },
    /// Records whose timestamps are too far in the past or the future.
    #[error("{} record(s) of the batch have a timestamp outside what the topic accepts", records.len())]
    Timestamps {
        /// Places of the records in the batch, from 0; at most [`BatchError::MAX_LISTED`].
        records: Vec<i32>,
    },
    /// The codec failed on the records: compressed bytes that it does not understand.
    #[error("{codec} cannot read or write the records: {cause}")]
    Codec {
        /// Codec by the header.
        codec: Compression,
        /// What the codec said.
        cause: String,
    },
    /// Compressed bytes that would become more than the caller allows.
    #[error("the records decompress to more than the {limit} bytes allowed")]
    DecompressLimit {
        /// What was allowed.
        limit: usize,
    },
    /// A batch that would not fit the format's 32-bit lengths and deltas.
    #[error("the records do not fit one batch: {0}")]
    Unbuildable(&'static str),
}

/// How one record breaks the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The batch ends inside the record.
    #[error("the batch ends inside it")]
    CutShort,
    /// A variable-length number longer than its type.
    #[error("a variable-length number is too long")]
    Varint,
    /// A length below -1, or more than the record holds.
    #[error("it holds a length of {0}, which does not fit the record")]
    Length(i32),
    /// A number of headers that cannot be.
    #[error("it claims {0} headers")]
    HeaderCount(i32),
    /// The record's fields end before its length says.
    #[error("{0} bytes are left after its last field")]
    LeftOver(usize),
    /// Offset deltas of a produced batch must be 0, 1, 2 …
    #[error("its offset delta is {0}, which is not its place in the batch")]
    OffsetDelta(i32),
    /// Bytes after the last record the header counts.
    #[error("{0} bytes follow where the batch should have ended")]
    Trailing(usize),
    /// A control record whose key or value is not one Kafka writes.
    #[error("it is not a control record that is known")]
    Control,
}

/// Families of errors, as Kafka's produce answers tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// `CORRUPT_MESSAGE` (2): the bytes were damaged on the way; sending again may help.
    Corrupt,
    /// `INVALID_RECORD` (87): the producer made a batch that breaks a rule.
    InvalidRecord,
    /// `INVALID_TIMESTAMP` (32).
    InvalidTimestamp,
    /// `MESSAGE_TOO_LARGE` (10).
    TooLarge,
    /// `UNSUPPORTED_COMPRESSION_TYPE` (76).
    UnsupportedCompression,
    /// Format version 0 or 1. Kafka 4 answers `INVALID_RECORD` (87) to a produce request;
    /// elsewhere it is `UNSUPPORTED_FOR_MESSAGE_FORMAT` (43).
    OldFormat,
}

impl BatchError {
    /// Most records a [`BatchError::MissingKeys`] or [`BatchError::Timestamps`] lists.
    pub const MAX_LISTED: usize = 1000;

    /// The family of Kafka error codes this belongs to.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Truncated { .. } | Self::BadLength(_) | Self::CrcMismatch { .. } => {
                ErrorClass::Corrupt
            }
            Self::BadMagic(0 | 1) => ErrorClass::OldFormat,
            Self::BadMagic(_) => ErrorClass::Corrupt,
            Self::TooLarge { .. } => ErrorClass::TooLarge,
            Self::UnknownCompression(_) | Self::CompressionNotAllowed(_) => {
                ErrorClass::UnsupportedCompression
            }
            Self::Timestamps { .. } => ErrorClass::InvalidTimestamp,
            Self::Empty
            | Self::MoreThanOne { .. }
            | Self::BaseOffset(_)
            | Self::Control
            | Self::RecordCount { .. }
            | Self::Producer { .. }
            | Self::DeleteHorizon
            | Self::Record { .. }
            | Self::MissingKeys { .. }
            | Self::Codec { .. }
            | Self::DecompressLimit { .. }
            | Self::Unbuildable(_) => ErrorClass::InvalidRecord,
        }
    }

    /// Places (from 0) of the records at fault, where the error is about single records.
    /// Goes into `record_errors[].batch_index` of a produce response.
    pub fn records(&self) -> &[i32] {
        match self {
            Self::MissingKeys { records } | Self::Timestamps { records } => records,
            Self::Record { record, .. } => std::slice::from_ref(record),
            _ => &[],
        }
    }
}
