//! What a log knows, and the steps that change it. No I/O; borrowed only between awaits.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::{Rc, Weak};

use batch::BatchInfo;
use bytes::Bytes;

use crate::aborted::AbortedIndex;
use crate::config::LogConfig;
use crate::end::LogEnd;
use crate::epoch::EpochCache;
use crate::error::DriveFailed;
use crate::policy;
use crate::segment::Segment;
use crate::tail::{Tail, TailBatch};

/// Whether a log takes and gives records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Both.
    Open,
    /// It is being closed or deleted: gives, takes none.
    Closing,
    /// Neither.
    Closed,
    /// Neither, because its drive has failed.
    Failed(DriveFailed),
}

/// The block at the end of what is written, when it isn't whole.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) segment: i64,
    pub(crate) bytes: Vec<u8>,
}

/// State of a log.
///
/// Invariants: `segments` is never empty and its last one is active; `start` lies at or below the
/// end; `unfinished` holds closed segments in order.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) end: LogEnd,
    pub(crate) start: i64,
    pub(crate) segments: BTreeMap<i64, Rc<Segment>>,
    /// Closed segments that are not cut to their data yet.
    pub(crate) unfinished: VecDeque<Rc<Segment>>,
    pub(crate) tail: Tail,
    pub(crate) partial: Option<Partial>,
    pub(crate) epochs: EpochCache,
    pub(crate) aborted: AbortedIndex,
    /// Whether the epochs changed since their file was written.
    pub(crate) epochs_changed: bool,
    /// Whether a file was made since the folder was last synced.
    pub(crate) folder_changed: bool,
    /// Bytes of all segments' data.
    pub(crate) size: u64,
    /// Bytes written since the last checkpoint.
    pub(crate) since_checkpoint: u64,
    /// Whether anything changed that the last checkpoint doesn't say.
    pub(crate) changed: bool,
    /// Base offset of the segment that the checkpoint on the drive says was active.
    pub(crate) vouched: i64,
    /// Where it was compacted up to.
    pub(crate) compacted: i64,
    /// Segments that compaction took out of the log, as long as somebody reads them.
    pub(crate) replaced: Vec<Weak<Segment>>,
    /// How often appended batches were taken back.
    pub(crate) refusals: u64,
}

impl State {
    pub(crate) fn active(&self) -> Rc<Segment> {
        match self.segments.last_key_value() {
            Some((_, segment)) => Rc::clone(segment),
            None => unreachable!("a log always has an active segment"),
        }
    }

    pub(crate) fn is_active(&self, segment: &Segment) -> bool {
        let last = self.segments.last_key_value();
        last.is_some_and(|(&base, _)| base == segment.base_offset())
    }

    /// The segment that holds `offset`, or the first one behind it.
    pub(crate) fn segment_for(&self, offset: i64) -> Option<Rc<Segment>> {
        let below = self.segments.range(..=offset).next_back();
        let found = below.or_else(|| self.segments.first_key_value());
        found.map(|(_, segment)| Rc::clone(segment))
    }

    /// About how many bytes lie between `offset` and the end, by what the active segment's records take.
    pub(crate) fn bytes_behind(&self, offset: i64) -> u64 {
        let active = self.active();
        let (records, bytes) = (
            self.end.appended() - active.base_offset(),
            active.state().len,
        );
        let behind = u64::try_from(self.end.appended() - offset).unwrap_or(0);
        match u64::try_from(records) {
            Ok(records @ 1..) => (behind.saturating_mul(bytes) / records).min(self.size),
            // It has just begun.
            _ => self.size,
        }
    }

    /// The segment behind `base`.
    pub(crate) fn segment_after(&self, base: i64) -> Option<Rc<Segment>> {
        let next = self.segments.range(base + 1..).next();
        next.map(|(_, segment)| Rc::clone(segment))
    }

    /// Closes the active segment and begins one at `base`.
    pub(crate) fn roll(&mut self, folder: &Path, base: i64, now_ms: i64) {
        let old = self.active();
        assert!(base > old.base_offset(), "segments begin where none does");
        old.close_time_index();
        self.unfinished.push_back(old);
        self.segments
            .insert(base, Segment::new(folder, base, now_ms));
        self.changed = true;
    }

    /// Closes the active segment if the batch asks for it.
    pub(crate) fn roll_for(
        &mut self,
        folder: &Path,
        info: &BatchInfo,
        now_ms: i64,
        config: &LogConfig,
    ) {
        let active = self.active();
        if !policy::must_roll(active.roll_facts(), info, now_ms, config) {
            return;
        }
        // The end, so that segments lie back to back, unless the batch lies too far from it.
        let end = self.end.appended();
        let near = info.last_offset - end <= i64::from(i32::MAX) && end > active.base_offset();
        let base = if near { end } else { info.base_offset };
        self.roll(folder, base, now_ms);
    }

    /// Takes a batch in; it has been admitted. Gives back what it costs of the budget.
    pub(crate) fn append(
        &mut self,
        bytes: Bytes,
        info: &BatchInfo,
        interval: u32,
        place: u64,
    ) -> usize {
        let segment = self.active();
        segment.note(info, interval);
        if self.epochs.assign(info.leader_epoch, info.base_offset) {
            self.epochs_changed = true;
        }
        let batch = TailBatch {
            base_offset: info.base_offset,
            next_offset: info.next_offset(),
            max_timestamp: info.max_timestamp,
            segment: segment.base_offset(),
            place,
            bytes,
        };
        let charge = batch.charge();
        self.size += info.size as u64;
        self.tail.push(batch);
        self.end.append_to(info.next_offset());
        self.changed = true;
        charge
    }

    /// Takes back what is appended and not written. Gives back what it was charged.
    pub(crate) fn take_back(&mut self) -> usize {
        let freed = self.tail.take_back();
        let written = self.end.written();
        while self.segments.len() > 1 && self.active().base_offset() > written {
            if let Some((_, empty)) = self.segments.pop_last() {
                self.size -= empty.state().len;
                empty.state().removed = true;
            }
            let active = self.active();
            self.unfinished
                .retain(|segment| segment.base_offset() != active.base_offset());
        }
        self.size -= self.active().take_back(written);
        self.partial = None;
        self.end.take_back();
        self.epochs_changed |= self.epochs.truncate_end(written);
        // A chunk is only of what a checkpoint vouches for, so it stays.
        self.aborted.cut(written);
        self.refusals += 1;
        freed
    }

    /// Takes the segments below `start` out of the log, and gives them back, oldest first.
    pub(crate) fn take_below(&mut self, start: i64) -> Vec<Rc<Segment>> {
        let mut taken = Vec::new();
        while let Some((&base, _)) = self.segments.first_key_value() {
            let next = self.segments.range(base + 1..).next();
            if next.is_none_or(|(&next, _)| next > start) {
                break;
            }
            if let Some((_, segment)) = self.segments.pop_first() {
                segment.state().removed = true;
                self.size -= segment.state().len;
                self.unfinished.retain(|other| other.base_offset() != base);
                taken.push(segment);
            }
        }
        taken
    }

    /// Segments with bytes that no fdatasync covers, in order, up to the written end.
    pub(crate) fn take_dirty(&mut self) -> Vec<Rc<Segment>> {
        let flushed = self.end.flushed();
        let first = self
            .segments
            .range(..=flushed)
            .next_back()
            .map(|(&base, _)| base);
        let from = first.unwrap_or(i64::MIN);
        let dirty = self.segments.range(from..).map(|(_, segment)| segment);
        dirty
            .filter(|segment| std::mem::take(&mut segment.state().dirty))
            .map(Rc::clone)
            .collect()
    }
}
