//! One segment of a log: its file, how far it is filled, its indexes.
//!
//! Lives on the shard of its log. A segment that was deleted stays readable for whoever holds its
//! open file.

use std::cell::{Cell, RefCell, RefMut};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use batch::BatchInfo;
use rt::file::DirectFile;

use crate::checkpoint::Checkpoint;
use crate::index::{Indexes, OffsetEntry, SegmentEnd, TimeEntry};
use crate::name::file_name;
use crate::policy::RollFacts;

/// Greatest timestamp, and the last offset of the first batch that has it.
pub(crate) type Newest = (i64, i64);

/// What is known of a segment. Positions are bytes from its start.
#[derive(Debug)]
pub(crate) struct SegmentState {
    /// End of what was appended.
    pub(crate) len: u64,
    /// End of what is on the drive; may lie within a batch.
    pub(crate) written: u64,
    /// End of the last batch that is wholly on the drive: as far as readers go.
    pub(crate) whole: u64,
    /// Length of the file.
    pub(crate) allocated: u64,
    /// Next offset after what was appended.
    pub(crate) next_offset: i64,
    /// Of what was appended; outer `None` where nobody looked yet.
    pub(crate) newest: Option<Option<Newest>>,
    /// Of what is wholly on the drive.
    pub(crate) whole_newest: Option<Newest>,
    /// Greatest timestamp of the first batch.
    pub(crate) first_timestamp: Option<i64>,
    pub(crate) created_ms: i64,
    pub(crate) indexes: Indexes,
    /// Whether the lengths of the index files were recorded (else they are what they are).
    pub(crate) counted: bool,
    /// Whether the file exists.
    pub(crate) exists: bool,
    /// Whether the file is cut to its data and its index files are complete.
    pub(crate) finished: bool,
    /// Whether it was written to since the last fdatasync began.
    pub(crate) dirty: bool,
    /// Whether a preallocation is under way.
    pub(crate) growing: bool,
    /// Whether a failed write may have left bytes behind the data: cut before the next write.
    pub(crate) stale: bool,
    /// Whether it was taken out of its log.
    pub(crate) removed: bool,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    path: PathBuf,
    file: RefCell<Option<DirectFile>>,
    /// Whether the file was used since the cache of open files last looked.
    used: Cell<bool>,
    state: RefCell<SegmentState>,
}

impl Segment {
    /// A segment that has no file yet.
    pub(crate) fn new(folder: &Path, base_offset: i64, now_ms: i64) -> Rc<Self> {
        let state = SegmentState {
            len: 0,
            written: 0,
            whole: 0,
            allocated: 0,
            next_offset: base_offset,
            newest: Some(None),
            whole_newest: None,
            first_timestamp: None,
            created_ms: now_ms,
            indexes: Indexes::new(),
            counted: true,
            exists: false,
            finished: false,
            dirty: false,
            growing: false,
            stale: false,
            removed: false,
        };
        Self::with(folder, base_offset, state)
    }

    /// A segment that was closed before the program started, of `len` bytes, ending before
    /// `next_offset`; its index files hold this many entries, as far as their lengths tell.
    pub(crate) fn closed(
        folder: &Path,
        base_offset: i64,
        len: u64,
        next_offset: i64,
        index_entries: (usize, usize),
    ) -> Rc<Self> {
        let state = SegmentState {
            len,
            written: len,
            whole: len,
            allocated: len,
            next_offset,
            newest: if len == 0 { Some(None) } else { None },
            whole_newest: None,
            first_timestamp: None,
            created_ms: 0,
            indexes: Indexes::in_files(index_entries.0, index_entries.1),
            counted: false,
            exists: true,
            finished: true,
            dirty: false,
            growing: false,
            stale: false,
            removed: false,
        };
        Self::with(folder, base_offset, state)
    }

    /// The segment a checkpoint tells of, whose file is `file_len` long; `None` where it has none.
    pub(crate) fn resumed(
        folder: &Path,
        known: &Checkpoint,
        file_len: Option<u64>,
        now_ms: i64,
    ) -> Rc<Self> {
        let state = SegmentState {
            len: known.position,
            written: known.position,
            whole: known.position,
            allocated: file_len.unwrap_or(0),
            next_offset: known.offset,
            newest: Some(known.newest),
            whole_newest: known.newest,
            first_timestamp: known.first_timestamp,
            created_ms: now_ms,
            indexes: Indexes::in_files(known.offset_entries, known.time_entries),
            counted: true,
            exists: file_len.is_some(),
            finished: file_len == Some(known.position),
            dirty: false,
            growing: false,
            stale: false,
            removed: false,
        };
        Self::with(folder, known.segment, state)
    }

    fn with(folder: &Path, base_offset: i64, state: SegmentState) -> Rc<Self> {
        Rc::new(Self {
            base_offset,
            path: folder.join(file_name(base_offset, "log")),
            file: RefCell::default(),
            used: Cell::new(false),
            state: RefCell::new(state),
        })
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn offset_index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    pub(crate) fn time_index_path(&self) -> PathBuf {
        self.path.with_extension("timeindex")
    }

    /// Kafka's index of the transactions that were given up, where Kafka wrote the segment.
    pub(crate) fn kafka_aborted_path(&self) -> PathBuf {
        self.path.with_extension("txnindex")
    }

    /// The state, to be changed; never held across an await.
    pub(crate) fn state(&self) -> RefMut<'_, SegmentState> {
        self.state.borrow_mut()
    }

    /// The open file, if it is open.
    pub(crate) fn open_file(&self) -> Option<DirectFile> {
        let file = self.file.borrow().clone();
        if file.is_some() {
            self.used.set(true);
        }
        file
    }

    pub(crate) fn set_file(&self, file: Option<DirectFile>) {
        *self.file.borrow_mut() = file;
    }

    /// Whether it was used since this was last asked.
    pub(crate) fn take_used(&self) -> bool {
        self.used.replace(false)
    }

    /// What closing it is decided by.
    pub(crate) fn roll_facts(&self) -> RollFacts {
        let state = self.state.borrow();
        RollFacts {
            base_offset: self.base_offset,
            len: state.len,
            first_timestamp: state.first_timestamp,
            created_ms: state.created_ms,
            offset_index_bytes: state.indexes.offsets.bytes(),
            time_index_bytes: state.indexes.times.bytes(),
        }
    }

    /// How far its data goes, for its indexes.
    pub(crate) fn end(&self) -> SegmentEnd {
        let state = self.state.borrow();
        SegmentEnd {
            relative: state.next_offset - self.base_offset,
            position: state.len,
        }
    }

    /// An offset relative to the base. Every batch was checked to fit before it was taken.
    pub(crate) fn relative(&self, offset: i64) -> u32 {
        u32::try_from(offset - self.base_offset).unwrap_or(u32::MAX)
    }

    /// Notes a batch at the end of the segment: appended, or found by recovery.
    pub(crate) fn note(&self, info: &BatchInfo, interval: u32) {
        let relative = self.relative(info.last_offset);
        let state = &mut *self.state.borrow_mut();
        let before = state.newest.flatten();
        // A batch that compaction left nothing of says a time that no record has.
        let timestamp = Some(info.max_timestamp).filter(|&at| at >= 0 && info.record_count > 0);
        let newest = match (before, timestamp) {
            (Some(newest), Some(timestamp)) if newest.0 >= timestamp => before,
            (_, Some(timestamp)) => Some((timestamp, info.last_offset)),
            (_, None) => before,
        };
        if state.len == 0 {
            state.first_timestamp = timestamp;
        }
        state.newest = Some(newest);
        let entry = OffsetEntry {
            relative,
            // A segment never grows beyond 31 bits but by its first batch.
            position: u32::try_from(state.len).unwrap_or(u32::MAX),
        };
        let time = newest.map(|newest| self.time_entry(newest));
        state.indexes.note(entry, info.size as u64, time, interval);
        state.len += info.size as u64;
        state.next_offset = info.next_offset();
    }

    /// Makes all that was noted count as being on the drive.
    pub(crate) fn all_written(&self) {
        let state = &mut *self.state.borrow_mut();
        state.written = state.len;
        state.whole = state.len;
        state.whole_newest = state.newest.flatten();
    }

    /// Adds the entry that closes the time index.
    pub(crate) fn close_time_index(&self) {
        let state = &mut *self.state.borrow_mut();
        if let Some(newest) = state.newest.flatten() {
            let entry = self.time_entry(newest);
            state.indexes.times.push(entry);
        }
    }

    pub(crate) fn time_entry(&self, newest: Newest) -> TimeEntry {
        TimeEntry {
            timestamp: newest.0,
            relative: self.relative(newest.1),
        }
    }

    /// Takes back what was appended and isn't wholly on the drive; `next_offset` is where that
    /// ends. Gives back how many bytes it was.
    pub(crate) fn take_back(&self, next_offset: i64) -> u64 {
        let state = &mut *self.state.borrow_mut();
        let dropped = state.len - state.whole;
        state.stale |= state.written > state.whole || dropped > 0;
        state.len = state.whole;
        state.written = state.whole;
        state.next_offset = next_offset.max(self.base_offset);
        state.newest = Some(state.whole_newest);
        if state.len == 0 {
            state.first_timestamp = None;
        }
        let end = SegmentEnd {
            relative: state.next_offset - self.base_offset,
            position: state.len,
        };
        state.indexes.offsets.cut(end);
        state.indexes.times.cut(end);
        dropped
    }
}
