//! Which transactions of a log were given up: an index for readers who want only what counts. Pure.
//!
//! It is the log's, not a segment's as Kafka's is: segments are merged by compaction and cut when a log
//! is cut back, and what they hold can only be told from records that may be far before them. Entries
//! lie in the order of their markers. The newest are in memory, and with each checkpoint in a file, the
//! list; whenever there are [`CHUNK`] of them they are put into a file of their own, a chunk, that
//! doesn't change any more. So a reader looks at few entries however many there are, and memory stays
//! bounded.

use std::rc::Rc;

/// Entries of a chunk.
pub(crate) const CHUNK: usize = 4096;
/// Version of both kinds of files.
const VERSION: i16 = 1;
const PREFIX_LEN: usize = 2 + 4;
const ENTRY_LEN: usize = 4 * 8;
const CHUNK_LEN: usize = 2 * 8;
/// Kafka's entry: its version, then what ours has.
const KAFKA_ENTRY_LEN: usize = 2 + ENTRY_LEN;
const KAFKA_VERSION: i16 = 0;

/// A transaction that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Id of the producer whose it was.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of the marker that ended it.
    pub last_offset: i64,
    /// The last stable offset once that marker was committed: no transaction whose marker lies behind it
    /// began below.
    pub last_stable_offset: i64,
}

/// A chunk's place: the offsets of its first and its last marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// What is to be looked through for a reader.
pub(crate) struct Search {
    /// These chunks, in order.
    pub(crate) chunks: Vec<Chunk>,
    /// Then these entries, which are found already.
    pub(crate) newest: Vec<AbortedTransaction>,
}

/// What a checkpoint writes.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) chunks: Vec<(Chunk, Vec<u8>)>,
    pub(crate) list: Vec<u8>,
}

/// What is left to do when the index was cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Chunks that are in it no longer.
    pub(crate) removed: Vec<Chunk>,
    /// The last of these, if its first entries are to be put [back](AbortedIndex::reopen).
    pub(crate) divided: Option<Chunk>,
}

/// The index of one log.
#[derive(Debug, Default)]
pub(crate) struct AbortedIndex {
    chunks: Vec<Chunk>,
    newest: Vec<AbortedTransaction>,
    /// Whether the list has to be written.
    changed: bool,
    /// The chunk that was read last.
    pub(crate) cached: Option<(Chunk, Rc<[AbortedTransaction]>)>,
}

impl AbortedIndex {
    /// Reads the list.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut body = unsealed(bytes)?;
        let mut chunks = Vec::new();
        for _ in 0..take_count(&mut body, CHUNK_LEN)? {
            chunks.push(Chunk {
                first: take_i64(&mut body)?,
                last: take_i64(&mut body)?,
            });
        }
        let newest = take_entries(&mut body)?;
        Some(Self {
            chunks,
            newest,
            ..Self::default()
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.newest.is_empty()
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Offset of the newest marker.
    fn last(&self) -> Option<i64> {
        let newest = self.newest.last().map(|entry| entry.last_offset);
        newest.or_else(|| self.chunks.last().map(|chunk| chunk.last))
    }

    /// Adds an entry, unless it is there already: owners tell again what they learn from the log again.
    pub(crate) fn note(&mut self, entry: AbortedTransaction) {
        if self.last() < Some(entry.last_offset) {
            self.newest.push(entry);
            self.changed = true;
        }
    }

    /// Where to look for transactions that have an offset from `from` up to `upto`, exclusive.
    pub(crate) fn search(&self, from: i64, upto: i64) -> Search {
        let skip = self.chunks.partition_point(|chunk| chunk.last < from);
        let mut newest = Vec::new();
        overlapping(&self.newest, (from, upto), &mut newest);
        Search {
            chunks: self.chunks[skip..].to_vec(),
            newest,
        }
    }

    /// Forgets the entries whose markers lie at `end` or behind it.
    pub(crate) fn cut(&mut self, end: i64) -> Cut {
        let stays = |entry: &AbortedTransaction| entry.last_offset < end;
        let before = self.newest.len();
        self.newest.truncate(self.newest.partition_point(stays));
        let keep = self.chunks.partition_point(|chunk| chunk.last < end);
        let removed = self.chunks.split_off(keep);
        self.changed |= self.newest.len() < before || !removed.is_empty();
        Cut {
            divided: removed.first().copied().filter(|chunk| chunk.first < end),
            removed,
        }
    }

    /// Puts the entries of a chunk that was divided back whose markers lie before `end`.
    pub(crate) fn reopen(&mut self, chunk: &[AbortedTransaction], end: i64) {
        let stays = chunk.partition_point(|entry| entry.last_offset < end);
        self.newest.splice(0..0, chunk[..stays].iter().copied());
    }

    /// Forgets entries that nobody asks for who reads at `start` or behind it; gives back the chunks that
    /// are in it no longer.
    pub(crate) fn drop_below(&mut self, start: i64) -> Vec<Chunk> {
        let old = self.chunks.partition_point(|chunk| chunk.last < start);
        let removed: Vec<_> = self.chunks.drain(..old).collect();
        let old = |entry: &AbortedTransaction| entry.last_offset < start;
        let old = self.newest.partition_point(old);
        self.newest.drain(..old);
        self.changed |= old > 0 || !removed.is_empty();
        removed
    }

    /// What a checkpoint has to write, if anything changed.
    pub(crate) fn capture(&mut self) -> Option<Captured> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut all = self.chunks.clone();
        let mut chunks = Vec::new();
        let mut full = self.newest.chunks_exact(CHUNK);
        for entries in full.by_ref() {
            if let ([first, ..], [.., last]) = (entries, entries) {
                let chunk = Chunk {
                    first: first.last_offset,
                    last: last.last_offset,
                };
                all.push(chunk);
                chunks.push((chunk, encode_chunk(entries)));
            }
        }
        let mut body = Vec::new();
        put_count(&mut body, all.len());
        for chunk in &all {
            body.extend_from_slice(&chunk.first.to_be_bytes());
            body.extend_from_slice(&chunk.last.to_be_bytes());
        }
        put_entries(&mut body, full.remainder());
        let list = sealed(&body);
        Some(Captured { chunks, list })
    }

    /// What [`capture`](Self::capture) gave is not on the drive.
    pub(crate) fn not_written(&mut self) {
        self.changed = true;
    }

    /// The chunks of a [`capture`](Self::capture) are on the drive.
    pub(crate) fn written(&mut self, captured: &Captured) {
        for (chunk, _) in &captured.chunks {
            let of_chunk = |entry: &AbortedTransaction| entry.last_offset <= chunk.last;
            let entries = self.newest.partition_point(of_chunk);
            self.newest.drain(..entries);
            self.chunks.push(*chunk);
        }
    }
}

/// Adds those of these entries to `found` that overlap the offsets. True if none that follows does.
pub(crate) fn overlapping(
    entries: &[AbortedTransaction],
    (from, upto): (i64, i64),
    found: &mut Vec<AbortedTransaction>,
) -> bool {
    let skip = entries.partition_point(|entry| entry.last_offset < from);
    for entry in &entries[skip..] {
        if entry.first_offset < upto {
            found.push(*entry);
        }
        if entry.last_stable_offset >= upto {
            return true;
        }
    }
    false
}

/// Reads a chunk.
pub(crate) fn decode_chunk(bytes: &[u8]) -> Option<Vec<AbortedTransaction>> {
    take_entries(&mut unsealed(bytes)?)
}

fn encode_chunk(entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + entries.len() * ENTRY_LEN);
    put_entries(&mut body, entries);
    sealed(&body)
}

/// Reads an index of Kafka's, which is of one segment.
pub(crate) fn decode_kafka(bytes: &[u8]) -> Option<Vec<AbortedTransaction>> {
    let entry = |bytes: &[u8]| {
        let (version, mut rest) = bytes.split_first_chunk()?;
        let known = i16::from_be_bytes(*version) == KAFKA_VERSION;
        known.then(|| take_entry(&mut rest)).flatten()
    };
    let entries: Vec<_> = bytes
        .chunks(KAFKA_ENTRY_LEN)
        .map(entry)
        .collect::<Option<_>>()?;
    in_order(&entries).then_some(entries)
}

fn in_order(entries: &[AbortedTransaction]) -> bool {
    entries.is_sorted_by(|one, next| one.last_offset < next.last_offset)
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX_LEN + body.len());
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (crc, body) = rest.split_first_chunk()?;
    let whole =
        i16::from_be_bytes(*version) == VERSION && u32::from_be_bytes(*crc) == crc32c::crc32c(body);
    whole.then_some(body)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // More than this fit no memory.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

/// A count of things of a length, not more than the bytes hold.
fn take_count(bytes: &mut &[u8], len: usize) -> Option<usize> {
    let (count, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    (count <= rest.len() / len).then_some(count)
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i64::from_be_bytes(*number))
}

fn put_entries(out: &mut Vec<u8>, entries: &[AbortedTransaction]) {
    put_count(out, entries.len());
    for entry in entries {
        out.extend_from_slice(&entry.producer_id.to_be_bytes());
        out.extend_from_slice(&entry.first_offset.to_be_bytes());
        out.extend_from_slice(&entry.last_offset.to_be_bytes());
        out.extend_from_slice(&entry.last_stable_offset.to_be_bytes());
    }
}

fn take_entry(bytes: &mut &[u8]) -> Option<AbortedTransaction> {
    Some(AbortedTransaction {
        producer_id: take_i64(bytes)?,
        first_offset: take_i64(bytes)?,
        last_offset: take_i64(bytes)?,
        last_stable_offset: take_i64(bytes)?,
    })
}

fn take_entries(bytes: &mut &[u8]) -> Option<Vec<AbortedTransaction>> {
    let count = take_count(bytes, ENTRY_LEN)?;
    let entries: Option<Vec<_>> = (0..count).map(|_| take_entry(bytes)).collect();
    entries.filter(|entries| bytes.is_empty() && in_order(entries))
}

#[cfg(test)]
#[path = "aborted_tests.rs"]
mod tests;
