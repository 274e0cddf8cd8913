//! Sparse indexes of a segment, in Kafka's file formats. Pure.
//!
//! An index helps to find a place; it is never believed over the log. Its older entries lie in the
//! file and are in memory only when somebody looks them up; its newest ones are in memory until
//! the log's next checkpoint appends them to the file. So the memory of a log is bounded by what it
//! wrote since its checkpoint, whatever the length of its segment.

use std::fmt::Debug;

use zerocopy::byteorder::big_endian::{I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An entry of the offset index: the batch that ends with this offset begins at this position.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(crate) struct RawOffsetEntry {
    relative: U32,
    position: U32,
}

/// An entry of the time index: no record up to this offset has a timestamp above this one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(crate) struct RawTimeEntry {
    timestamp: I64,
    relative: U32,
}

const _: () = assert!(size_of::<RawOffsetEntry>() == 8 && size_of::<RawTimeEntry>() == 12);

/// An entry of either index, with the segment's base offset taken out.
pub(crate) trait Entry: Copy + Debug + PartialEq {
    /// The form in the file.
    type Raw: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy;

    /// What look-ups compare with.
    fn key(&self) -> i64;
    /// Whether this may follow `before`.
    fn follows(&self, before: &Self) -> bool;
    /// Whether it lies wholly below this end of the segment.
    fn is_below(&self, end: SegmentEnd) -> bool;
    fn to_raw(self) -> Self::Raw;
    fn of_raw(raw: &Self::Raw) -> Self;
    /// Whether the bytes are what an unused entry of a file that Kafka preallocated holds.
    fn is_blank(&self) -> bool;
}

/// How far the data of a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Next offset, relative to the segment's base.
    pub(crate) relative: i64,
    /// Length in bytes.
    pub(crate) position: u64,
}

/// Offset (relative) and file position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative: u32,
    pub(crate) position: u32,
}

impl OffsetEntry {
    /// Length of an entry in the file.
    pub(crate) const SIZE: usize = size_of::<RawOffsetEntry>();
}

impl TimeEntry {
    /// Length of an entry in the file.
    pub(crate) const SIZE: usize = size_of::<RawTimeEntry>();
}

impl Entry for OffsetEntry {
    type Raw = RawOffsetEntry;

    fn key(&self) -> i64 {
        i64::from(self.relative)
    }

    fn follows(&self, before: &Self) -> bool {
        self.relative > before.relative && self.position > before.position
    }

    fn is_below(&self, end: SegmentEnd) -> bool {
        i64::from(self.relative) < end.relative && u64::from(self.position) < end.position
    }

    fn to_raw(self) -> RawOffsetEntry {
        RawOffsetEntry {
            relative: self.relative.into(),
            position: self.position.into(),
        }
    }

    fn of_raw(raw: &RawOffsetEntry) -> Self {
        Self {
            relative: raw.relative.get(),
            position: raw.position.get(),
        }
    }

    fn is_blank(&self) -> bool {
        self.relative == 0 && self.position == 0
    }
}

/// Timestamp and offset (relative).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative: u32,
}

impl Entry for TimeEntry {
    type Raw = RawTimeEntry;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn follows(&self, before: &Self) -> bool {
        self.timestamp > before.timestamp && self.relative >= before.relative
    }

    fn is_below(&self, end: SegmentEnd) -> bool {
        i64::from(self.relative) < end.relative
    }

    fn to_raw(self) -> RawTimeEntry {
        RawTimeEntry {
            timestamp: self.timestamp.into(),
            relative: self.relative.into(),
        }
    }

    fn of_raw(raw: &RawTimeEntry) -> Self {
        Self {
            timestamp: raw.timestamp.get(),
            relative: raw.relative.get(),
        }
    }

    fn is_blank(&self) -> bool {
        self.timestamp == 0 && self.relative == 0
    }
}

/// Why an index file was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexFault {
    /// Its length is not a whole number of entries.
    #[error("its length is not a whole number of entries")]
    Length,
    /// An entry does not grow over the one before it.
    #[error("entry {0} does not follow the one before it")]
    Order(usize),
    /// An entry points behind the data.
    #[error("entry {0} points behind the end of the segment")]
    Beyond(usize),
    /// It has fewer entries than were written to it.
    #[error("it is shorter than what was written to it")]
    Short,
}

/// Reads a file's bytes; `end` is how far the segment's data goes. The zeros of a file that Kafka
/// preallocated and did not trim are left off.
pub(crate) fn decode<E: Entry>(bytes: &[u8], end: SegmentEnd) -> Result<Vec<E>, IndexFault> {
    let size = size_of::<E::Raw>();
    let (whole, rest) = bytes.as_chunks_of(size);
    if !rest.is_empty() {
        return Err(IndexFault::Length);
    }
    let mut entries: Vec<E> = Vec::with_capacity(whole.len() / size);
    for (at, raw) in whole.chunks_exact(size).enumerate() {
        let Ok(raw) = E::Raw::ref_from_bytes(raw) else {
            return Err(IndexFault::Length);
        };
        let entry = E::of_raw(raw);
        let in_order = entries.last().is_none_or(|before| entry.follows(before));
        let blank = entry.is_blank() && whole[at * size..].iter().all(|&byte| byte == 0);
        // One blank entry at the start is also what Kafka leaves of an empty preallocated file.
        if blank && (at > 0 || whole.len() > size || end.position == 0) {
            break;
        }
        if !in_order {
            return Err(IndexFault::Order(at));
        }
        if !entry.is_below(end) {
            return Err(IndexFault::Beyond(at));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The file's bytes of these entries.
pub(crate) fn encode<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(entries));
    for entry in entries {
        bytes.extend_from_slice(entry.to_raw().as_bytes());
    }
    bytes
}

trait WholeChunks {
    fn as_chunks_of(&self, size: usize) -> (&[u8], &[u8]);
}

impl WholeChunks for [u8] {
    fn as_chunks_of(&self, size: usize) -> (&[u8], &[u8]) {
        self.split_at(self.len() - self.len() % size)
    }
}

/// An answer of [`SparseIndex::floor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor<E> {
    /// The last entry at or below the key.
    Entry(E),
    /// All entries lie above it: begin at the segment's start.
    Start,
    /// The entries in the file have to be loaded first.
    NotLoaded,
}

/// One index of a segment.
#[derive(Clone, Debug)]
pub(crate) struct SparseIndex<E> {
    /// Entries in the file.
    stored: usize,
    /// Those, where they are in memory.
    loaded: Option<Vec<E>>,
    /// Entries behind them that are not in the file yet.
    recent: Vec<E>,
}

impl<E: Entry> SparseIndex<E> {
    /// The index of a new segment.
    pub(crate) fn new() -> Self {
        Self {
            stored: 0,
            loaded: Some(Vec::new()),
            recent: Vec::new(),
        }
    }

    /// An index with this many entries in its file, none of them in memory.
    pub(crate) fn in_file(stored: usize) -> Self {
        Self {
            stored,
            loaded: None,
            recent: Vec::new(),
        }
    }

    /// Entries in all.
    pub(crate) fn len(&self) -> usize {
        self.stored + self.recent.len()
    }

    /// Entries in the file.
    pub(crate) fn stored(&self) -> usize {
        self.stored
    }

    /// Length of the file with all entries.
    pub(crate) fn bytes(&self) -> u64 {
        (self.len() * size_of::<E::Raw>()) as u64
    }

    /// Adds an entry if it follows the last one known; otherwise nothing.
    pub(crate) fn push(&mut self, entry: E) -> bool {
        if !self.last().is_none_or(|last| entry.follows(&last)) {
            return false;
        }
        self.recent.push(entry);
        true
    }

    /// The last entry, of those in memory.
    pub(crate) fn last(&self) -> Option<E> {
        let loaded = self.loaded.as_ref().and_then(|entries| entries.last());
        self.recent.last().or(loaded).copied()
    }

    /// The last entry whose key is not above `key`.
    pub(crate) fn floor(&self, key: i64) -> Floor<E> {
        if let Some(entry) = floor_in(&self.recent, key) {
            return Floor::Entry(entry);
        }
        match &self.loaded {
            Some(loaded) => floor_in(loaded, key).map_or(Floor::Start, Floor::Entry),
            None if self.stored == 0 => Floor::Start,
            None => Floor::NotLoaded,
        }
    }

    /// Whether entries of the file have to be loaded before all can be looked up.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.is_some() || self.stored == 0
    }

    /// Entries not in the file, up to the `count`th of all.
    pub(crate) fn not_stored(&self, count: usize) -> &[E] {
        let upto = count.saturating_sub(self.stored).min(self.recent.len());
        &self.recent[..upto]
    }

    /// The entries of the file, as far as they are in memory.
    pub(crate) fn loaded_entries(&self) -> &[E] {
        self.loaded.as_deref().unwrap_or_default()
    }

    /// Notes that the first `count` entries are now in the file.
    pub(crate) fn mark_stored(&mut self, count: usize) {
        let moved = count.saturating_sub(self.stored).min(self.recent.len());
        let now_stored = self.recent.drain(..moved);
        match &mut self.loaded {
            Some(loaded) => loaded.extend(now_stored),
            None => drop(now_stored),
        }
        self.stored += moved;
    }

    /// Takes in the file's entries, as [`decode`] found them. More than were written to it are cut.
    pub(crate) fn load(&mut self, mut entries: Vec<E>) -> Result<(), IndexFault> {
        if entries.len() < self.stored {
            return Err(IndexFault::Short);
        }
        entries.truncate(self.stored);
        let in_order = match (entries.last(), self.recent.first()) {
            (Some(last), Some(next)) => next.follows(last),
            _ => true,
        };
        if !in_order {
            return Err(IndexFault::Order(self.stored));
        }
        self.loaded = Some(entries);
        Ok(())
    }

    /// Takes in entries made anew from the log, in place of those of the file.
    pub(crate) fn rebuilt(&mut self, mut entries: Vec<E>) {
        // The newest ones are known already.
        let next = self.recent.first();
        let keep = |entry: &E| next.is_none_or(|next| next.follows(entry));
        while entries.last().is_some_and(|last| !keep(last)) {
            entries.pop();
        }
        self.stored = entries.len();
        self.loaded = Some(entries);
    }

    /// Forgets the entries that are in the file; they can be loaded again.
    pub(crate) fn unload(&mut self) {
        self.loaded = None;
    }

    /// Forgets entries not in the file that lie at or behind `end`.
    pub(crate) fn cut(&mut self, end: SegmentEnd) {
        while self.recent.last().is_some_and(|last| !last.is_below(end)) {
            self.recent.pop();
        }
    }
}

fn floor_in<E: Entry>(entries: &[E], key: i64) -> Option<E> {
    let above = entries.partition_point(|entry| entry.key() <= key);
    entries.get(above.checked_sub(1)?).copied()
}

/// Both indexes of a segment, and what decides when the next entry is due.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    pub(crate) offsets: SparseIndex<OffsetEntry>,
    pub(crate) times: SparseIndex<TimeEntry>,
    since_entry: u64,
}

impl Indexes {
    /// Indexes of a new segment.
    pub(crate) fn new() -> Self {
        Self {
            offsets: SparseIndex::new(),
            times: SparseIndex::new(),
            since_entry: 0,
        }
    }

    /// The size of the larger of the two, in bytes.
    pub(crate) fn larger_bytes(&self) -> u64 {
        self.offsets.bytes().max(self.times.bytes())
    }

    /// Indexes with this many entries in their files.
    pub(crate) fn in_files(offsets: usize, times: usize) -> Self {
        Self {
            offsets: SparseIndex::in_file(offsets),
            times: SparseIndex::in_file(times),
            since_entry: 0,
        }
    }

    /// Notes a batch of `size` bytes. `last` is its entry of the offset index; `newest` is the
    /// greatest timestamp up to and with it.
    pub(crate) fn note(
        &mut self,
        last: OffsetEntry,
        size: u64,
        newest: Option<TimeEntry>,
        interval: u32,
    ) {
        if self.since_entry > u64::from(interval) {
            self.offsets.push(last);
            if let Some(newest) = newest {
                self.times.push(newest);
            }
            self.since_entry = 0;
        }
        self.since_entry += size;
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
