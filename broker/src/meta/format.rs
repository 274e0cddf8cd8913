//! The bytes of the metadata log's files; no I/O here.
//!
//! A log file is one block of header and then commits. A commit is one Kafka record batch whose
//! record values are metadata records; each starts at a block of its own, so that writing one never
//! touches the blocks of another. Behind the last commit are zeroes up to the preallocated end. A
//! snapshot file is a header and batches back to back. Offsets count records, as in any Kafka log.

use batch::{Batch, BatchError, Builder, Compression, DecompressLimit, NewRecord};
use bytes::Bytes;
use thiserror::Error;

use metadata::Record;
use metadata::{DecodeError, decode, encode};

/// What commits and writes are aligned to.
pub(super) const BLOCK: usize = 4096;

/// The version of both files' layout.
const VERSION: u32 = 1;
const LOG_MAGIC: &[u8; 8] = b"OTTLMLOG";
const SNAPSHOT_MAGIC: &[u8; 8] = b"OTTLMSNP";
/// Magic, version, a number, another number, CRC-32C of all that.
const HEADER_LEN: usize = 8 + 4 + 8 + 8 + 4;
/// Records in a batch of a snapshot.
const SNAPSHOT_BATCH: usize = 512;
/// We don't compress; a batch that claims to be is refused at this size.
const DECOMPRESS_MAX: DecompressLimit = DecompressLimit::bytes(64 << 20);

/// Why a file's bytes can't be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The file's first bytes aren't what such a file starts with.
    #[error("its header is damaged")]
    Header,
    /// The file was written by a later version.
    #[error("it is of layout version {0}, this version of ottla reads {VERSION}")]
    Version(u32),
    /// Commits follow something that is none: what was acknowledged is damaged.
    #[error("a commit at byte {position} (offset {offset}) is damaged, and others follow it")]
    Damaged {
        /// Where in the file.
        position: usize,
        /// The offset that was expected there.
        offset: i64,
    },
    /// A batch that is whole holds what can't be read.
    #[error("the batch at offset {offset} can't be read: {error}")]
    Batch {
        /// The batch's first offset.
        offset: i64,
        /// Why.
        error: BatchError,
    },
    /// A record can't be read.
    #[error("the record at offset {offset} can't be read: {error}")]
    Record {
        /// The record's offset.
        offset: i64,
        /// Why.
        error: DecodeError,
    },
    /// A snapshot ends too early or too late.
    #[error("it holds {found} of {expected} records")]
    Count {
        /// As its header says.
        expected: i64,
        /// As many are there.
        found: i64,
    },
}

/// The first block of a log file whose first record will have offset `base`.
pub(super) fn log_header(base: i64) -> Vec<u8> {
    let mut block = header(LOG_MAGIC, base, 0);
    block.resize(BLOCK, 0);
    block
}

fn header(magic: &[u8; 8], first: i64, second: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&first.to_be_bytes());
    bytes.extend_from_slice(&second.to_be_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The two numbers in the header of a file that starts with `magic`.
fn parse_header(magic: &[u8; 8], bytes: &[u8]) -> Result<(i64, i64), FormatError> {
    let head = bytes.get(..HEADER_LEN).ok_or(FormatError::Header)?;
    let (fields, crc) = head.split_at(HEADER_LEN - 4);
    if &fields[..8] != magic || crc32c::crc32c(fields).to_be_bytes() != *crc {
        return Err(FormatError::Header);
    }
    let version = u32::from_be_bytes([fields[8], fields[9], fields[10], fields[11]]);
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    Ok((number(&fields[12..20]), number(&fields[20..28])))
}

fn number(bytes: &[u8]) -> i64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | i64::from(byte))
}

/// The batch of one commit, whose first record gets offset `base`.
pub(super) fn commit(base: i64, now_ms: i64, records: &[Record]) -> Result<Bytes, BatchError> {
    let mut builder = Builder::new(Compression::None)
        .base_offset(base)
        .leader_epoch(0);
    for record in records {
        let value = encode(record);
        builder.push(NewRecord {
            timestamp: now_ms,
            value: Some(&value),
            ..NewRecord::default()
        });
    }
    builder.build()
}

/// A commit as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The offset after its last record.
    pub(super) next: i64,
    /// Its records, without those that may be ignored.
    pub(super) records: Vec<Record>,
}

/// What a log file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// The offset of its first record.
    pub(super) base: i64,
    /// Its commits, each following the one before.
    pub(super) commits: Vec<Stored>,
    /// The offset after the last.
    pub(super) next: i64,
    /// Where the next commit goes.
    pub(super) end: usize,
    /// Whether there are remains of a write behind the last commit.
    pub(super) torn: bool,
}

/// Reads a log file up to its last whole commit. Remains behind it are a write that was never
/// acknowledged, unless there is a whole commit behind them.
pub(super) fn scan_log(bytes: &[u8]) -> Result<Scanned, FormatError> {
    let (base, _) = parse_header(LOG_MAGIC, bytes)?;
    let mut scanned = Scanned {
        base,
        commits: Vec::new(),
        next: base,
        end: BLOCK,
        torn: false,
    };
    while let Some(batch) = batch_at(bytes, scanned.end) {
        if batch.base_offset() != scanned.next {
            return Err(FormatError::Damaged {
                position: scanned.end,
                offset: scanned.next,
            });
        }
        scanned.end = (scanned.end + batch.size()).next_multiple_of(BLOCK);
        scanned.next = batch.next_offset();
        scanned.commits.push(Stored {
            next: batch.next_offset(),
            records: records_of(&batch)?,
        });
    }
    let rest = bytes.get(scanned.end..).unwrap_or_default();
    scanned.torn = rest.iter().any(|&byte| byte != 0);
    let mut behind = (scanned.end..bytes.len())
        .step_by(BLOCK)
        .filter_map(|at| batch_at(bytes, at));
    if scanned.torn && behind.any(|batch| batch.base_offset() >= scanned.next) {
        return Err(FormatError::Damaged {
            position: scanned.end,
            offset: scanned.next,
        });
    }
    Ok(scanned)
}

fn batch_at(bytes: &[u8], position: usize) -> Option<Batch<'_>> {
    let batch = Batch::parse(bytes.get(position..)?).ok()?;
    batch.verify_crc().ok().map(|()| batch)
}

fn records_of(batch: &Batch<'_>) -> Result<Vec<Record>, FormatError> {
    let failed = |error| FormatError::Batch {
        offset: batch.base_offset(),
        error,
    };
    let stored = batch.records(DECOMPRESS_MAX).map_err(failed)?;
    let mut records = Vec::new();
    for (offset, record) in (batch.base_offset()..).zip(&stored) {
        let record = record.map_err(failed)?;
        let decoded = decode(record.value().unwrap_or_default());
        records.extend(decoded.map_err(|error| FormatError::Record { offset, error })?);
    }
    Ok(records)
}

/// A snapshot file of the image that `records` make, as of the offset `next`.
pub(super) fn snapshot(next: i64, now_ms: i64, records: &[Record]) -> Result<Vec<u8>, BatchError> {
    let mut bytes = header(SNAPSHOT_MAGIC, next, records.len() as i64);
    for (at, chunk) in (0..)
        .step_by(SNAPSHOT_BATCH)
        .zip(records.chunks(SNAPSHOT_BATCH))
    {
        bytes.extend_from_slice(&commit(at, now_ms, chunk)?);
    }
    Ok(bytes)
}

/// The offset of a snapshot, and its records.
pub(super) fn read_snapshot(bytes: &[u8]) -> Result<(i64, Vec<Record>), FormatError> {
    let (next, expected) = parse_header(SNAPSHOT_MAGIC, bytes)?;
    let (mut records, mut found) = (Vec::new(), 0);
    for batch in batch::batches(&bytes[HEADER_LEN..]) {
        let failed = |error| FormatError::Batch {
            offset: found,
            error,
        };
        let batch = batch.map_err(failed)?;
        batch.verify_crc().map_err(failed)?;
        if batch.base_offset() != found {
            return Err(FormatError::Damaged {
                position: 0,
                offset: found,
            });
        }
        records.extend(records_of(&batch)?);
        found = batch.next_offset();
    }
    if found != expected {
        return Err(FormatError::Count { expected, found });
    }
    Ok((next, records))
}
