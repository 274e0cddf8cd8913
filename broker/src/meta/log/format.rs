//! The bytes of the metadata log's files; no I/O here.
//!
//! A log file is one block of header and then entries. An entry is one Kafka record batch, whose leader
//! epoch is the quorum's term: of a commit, whose record values are metadata records, or of something
//! that concerns the quorum only, which is a control batch. Each starts at a block of its own, so that
//! writing one never touches the blocks of another. Behind the last entry are zeroes up to the
//! preallocated end. A snapshot file is a header and batches back to back. Offsets count records, as in
//! any Kafka log; indexes count entries, from 1.
//!
//! Files of layout version 1 are of a time without a quorum: their entries have term 0, which counts as
//! 1, and the offset before an entry plus two stands for its index: a quorum's log begins with a snapshot of
//! index 1.

use batch::{Batch, BatchError, Builder, Compression, DecompressLimit, NewRecord, ProducerFields};
use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::promise::Promise;

use metadata::Record;
use metadata::{DecodeError, decode, encode};

/// What commits and writes are aligned to.
pub(in crate::meta) const BLOCK: usize = 4096;

/// The version of both files' layout.
const VERSION: u32 = 2;
/// The least version that is read.
const OLDEST: u32 = 1;
/// The term of what has none.
const FIRST_TERM: u64 = 1;
const LOG_MAGIC: &[u8; 8] = b"OTTLMLOG";
const SNAPSHOT_MAGIC: &[u8; 8] = b"OTTLMSNP";
const PROMISE_MAGIC: &[u8; 8] = b"OTTLVOTE";
/// Magic and version; numbers follow, then what they say, then the CRC-32C of all that.
const PREFIX_LEN: usize = 8 + 4;
const CRC_LEN: usize = 4;
/// The longest description of a quorum's members that is believed.
const MEMBERS_MAX: usize = 1 << 20;
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
    #[error("it is of layout version {0}, this version of ottla reads up to {VERSION}")]
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

/// The first block of a log file whose first record will have offset `base`, after `entries` entries.
pub(in crate::meta) fn log_header(base: i64, entries: u64) -> Vec<u8> {
    let mut block = header(LOG_MAGIC, &[base as u64, entries], &[]);
    block.resize(BLOCK, 0);
    block
}

fn header(magic: &[u8; 8], numbers: &[u64], rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    for number in numbers {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The version of a file that starts with `magic`, and `numbers` numbers of its header.
fn parse_header(
    magic: &[u8; 8],
    bytes: &[u8],
    numbers: impl Fn(u32) -> usize,
) -> Result<(u32, Vec<u64>), FormatError> {
    let prefix = bytes.get(..PREFIX_LEN).ok_or(FormatError::Header)?;
    if &prefix[..8] != magic {
        return Err(FormatError::Header);
    }
    let version = number(&prefix[8..]) as u32;
    let known = (OLDEST..=VERSION).contains(&version);
    let count = if known { numbers(version) } else { 2 };
    let end = PREFIX_LEN + 8 * count;
    let fields = bytes.get(PREFIX_LEN..end).ok_or(FormatError::Header)?;
    let numbers: Vec<u64> = fields.chunks(8).map(number).collect();
    let rest = match numbers.get(SNAPSHOT_MEMBERS) {
        Some(&len) if len <= MEMBERS_MAX as u64 => len as usize,
        Some(_) => return Err(FormatError::Header),
        None => 0,
    };
    let end = end + rest;
    let crc = bytes.get(end..end + CRC_LEN).ok_or(FormatError::Header)?;
    if u64::from(crc32c::crc32c(&bytes[..end])) != number(crc) {
        return Err(FormatError::Header);
    }
    if known {
        Ok((version, numbers))
    } else {
        Err(FormatError::Version(version))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The batch of one commit, as it travels: where it comes to stand is stamped on it then.
pub(in crate::meta) fn commit(now_ms: i64, records: &[Record]) -> Result<Bytes, BatchError> {
    let mut builder = Builder::new(Compression::None);
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

/// The batch of what concerns the quorum only.
fn control(body: &[u8], now_ms: i64) -> Result<Bytes, BatchError> {
    let mut builder = Builder::new(Compression::None).control();
    builder.push(NewRecord {
        timestamp: now_ms,
        value: Some(body),
        ..NewRecord::default()
    });
    builder.build()
}

/// What an entry of the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meta) enum Body {
    /// A commit: the batch of [`commit`].
    Commit(Bytes),
    /// What the quorum keeps for itself.
    Quorum(Bytes),
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meta) struct Entry {
    /// Its number in the log, from 1.
    pub(in crate::meta) index: u64,
    /// The term of the leader who made it.
    pub(in crate::meta) term: u64,
    /// What it is.
    pub(in crate::meta) body: Body,
}

/// The batch of an entry whose first record gets offset `base`, written when all up to index `commit`
/// was known to be committed. That stands where a producer's id does: what is written after it may
/// rest on it.
pub(in crate::meta) fn entry(
    base: i64,
    now_ms: i64,
    commit: u64,
    entry: &Entry,
) -> Result<BytesMut, BatchError> {
    let bytes = match &entry.body {
        Body::Commit(batch) => batch.clone(),
        Body::Quorum(body) => control(body, now_ms)?,
    };
    Batch::parse(&bytes)?;
    let mut bytes = BytesMut::from(&bytes[..]);
    let term = i32::try_from(entry.term).unwrap_or(i32::MAX);
    batch::stamp(&mut bytes, base, term);
    let known = ProducerFields {
        id: i64::try_from(commit).unwrap_or(i64::MAX),
        ..ProducerFields::NONE
    };
    batch::stamp_producer(&mut bytes, known);
    Ok(bytes)
}

/// How many offsets an entry takes.
pub(in crate::meta) fn offsets(body: &Body) -> Result<i64, BatchError> {
    match body {
        Body::Commit(bytes) => Ok(i64::from(Batch::parse(bytes)?.last_offset_delta()) + 1),
        Body::Quorum(_) => Ok(1),
    }
}

/// The records of a commit's batch, without those that may be ignored.
pub(in crate::meta) fn records(commit: &[u8]) -> Result<Vec<Record>, FormatError> {
    let failed = |error| FormatError::Batch { offset: 0, error };
    let batch = Batch::parse(commit).map_err(failed)?;
    batch.verify_crc().map_err(failed)?;
    records_of(&batch)
}

/// An entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meta) struct Stored {
    /// Where in the file.
    pub(in crate::meta) position: usize,
    /// The offset after its last record.
    pub(in crate::meta) next: i64,
    /// The term of the leader who made it.
    pub(in crate::meta) term: u64,
    /// The last index that was known to be committed when it was written.
    pub(in crate::meta) commit: u64,
    /// What it is.
    pub(in crate::meta) body: Body,
}

/// What a log file holds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::meta) struct Scanned {
    /// The offset of its first record.
    pub(in crate::meta) base: i64,
    /// The version of its layout.
    pub(in crate::meta) version: u32,
    /// How many entries there were before.
    pub(in crate::meta) before: u64,
    /// Its entries, each following the one before.
    pub(in crate::meta) entries: Vec<Stored>,
    /// The offset after the last.
    pub(in crate::meta) next: i64,
    /// Where the next entry goes.
    pub(in crate::meta) end: usize,
    /// Whether there are remains of a write behind the last entry.
    pub(in crate::meta) torn: bool,
}

/// Reads a log file up to its last whole entry. Remains behind it are a write that was never
/// acknowledged, unless there is a whole entry behind them.
pub(in crate::meta) fn scan_log(bytes: &[u8]) -> Result<Scanned, FormatError> {
    let (version, numbers) = parse_header(LOG_MAGIC, bytes, |_| 2)?;
    let base = numbers[0] as i64;
    let mut scanned = Scanned {
        base,
        version,
        before: if version == 1 {
            numbers[0] + 1
        } else {
            numbers[1]
        },
        entries: Vec::new(),
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
        let term = u64::try_from(batch.leader_epoch()).unwrap_or(0);
        scanned.entries.push(Stored {
            position: scanned.end,
            next: batch.next_offset(),
            term: term.max(FIRST_TERM),
            commit: u64::try_from(batch.producer_id()).unwrap_or(0),
            body: body_of(&batch)?,
        });
        scanned.end = (scanned.end + batch.size()).next_multiple_of(BLOCK);
        scanned.next = batch.next_offset();
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

fn body_of(batch: &Batch<'_>) -> Result<Body, FormatError> {
    if batch.attributes().is_control() {
        return Ok(Body::Quorum(control_body(batch)?));
    }
    // Refused now rather than when it has to be applied.
    records_of(batch)?;
    Ok(Body::Commit(Bytes::copy_from_slice(batch.bytes())))
}

fn control_body(batch: &Batch<'_>) -> Result<Bytes, FormatError> {
    let failed = |error| FormatError::Batch {
        offset: batch.base_offset(),
        error,
    };
    let stored = batch.records(DECOMPRESS_MAX).map_err(failed)?;
    let first = stored.iter().next().transpose().map_err(failed)?;
    let value = first.as_ref().and_then(|record| record.value());
    Ok(Bytes::copy_from_slice(value.unwrap_or_default()))
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

/// What a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meta) struct Mark {
    /// The offset after its last record.
    pub(in crate::meta) next: i64,
    /// The last entry in it.
    pub(in crate::meta) index: u64,
    /// That entry's term.
    pub(in crate::meta) term: u64,
    /// The quorum's members then, as the quorum writes them; empty where there was none.
    pub(in crate::meta) members: Bytes,
}

impl Mark {
    /// Of nothing: what a log begins with.
    pub(in crate::meta) fn nothing() -> Self {
        Self {
            next: 0,
            index: 1,
            term: FIRST_TERM,
            members: Bytes::new(),
        }
    }
}

/// A snapshot file of the image that `records` make.
pub(in crate::meta) fn snapshot(
    mark: &Mark,
    now_ms: i64,
    records: &[Record],
) -> Result<Vec<u8>, BatchError> {
    let numbers = [
        mark.next as u64,
        records.len() as u64,
        mark.index,
        mark.term,
        mark.members.len() as u64,
    ];
    let mut bytes = header(SNAPSHOT_MAGIC, &numbers, &mark.members);
    for (at, chunk) in (0..)
        .step_by(SNAPSHOT_BATCH)
        .zip(records.chunks(SNAPSHOT_BATCH))
    {
        let mut batch = BytesMut::from(&commit(now_ms, chunk)?[..]);
        batch::stamp(&mut batch, at, 0);
        bytes.extend_from_slice(&batch);
    }
    Ok(bytes)
}

/// Which of a snapshot's numbers is the length of what follows them.
const SNAPSHOT_MEMBERS: usize = 4;

/// What a snapshot stands for, and its records.
pub(in crate::meta) fn read_snapshot(bytes: &[u8]) -> Result<(Mark, Vec<Record>), FormatError> {
    let count = |version| {
        if version == 1 {
            2
        } else {
            SNAPSHOT_MEMBERS + 1
        }
    };
    let (version, numbers) = parse_header(SNAPSHOT_MAGIC, bytes, count)?;
    let (next, expected) = (numbers[0] as i64, numbers[1] as i64);
    let start = PREFIX_LEN + 8 * numbers.len();
    let (mark, start) = if version == 1 {
        let mark = Mark {
            next,
            index: numbers[0] + 1,
            term: FIRST_TERM,
            members: Bytes::new(),
        };
        (mark, start)
    } else {
        let end = start + numbers[SNAPSHOT_MEMBERS] as usize;
        let mark = Mark {
            next,
            index: numbers[2],
            term: numbers[3],
            members: Bytes::copy_from_slice(&bytes[start..end]),
        };
        (mark, end)
    };
    let (mut records, mut found) = (Vec::new(), 0);
    for batch in batch::batches(&bytes[start + CRC_LEN..]) {
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
    Ok((mark, records))
}

/// The bytes of a promise.
pub(in crate::meta) fn promise(promise: Promise) -> Vec<u8> {
    let vote = promise.vote.map_or(-1, i64::from);
    header(
        PROMISE_MAGIC,
        &[promise.term, vote as u64, promise.commit],
        &[],
    )
}

/// Reads a promise.
pub(in crate::meta) fn read_promise(bytes: &[u8]) -> Result<Promise, FormatError> {
    let (_, numbers) = parse_header(PROMISE_MAGIC, bytes, |_| 3)?;
    Ok(Promise {
        commit: numbers[2],
        term: numbers[0],
        vote: i32::try_from(numbers[1] as i64)
            .ok()
            .filter(|&vote| vote >= 0),
    })
}
