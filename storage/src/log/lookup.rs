//! Finding a place in a segment: indexes loaded when somebody needs them, made anew where they
//! can't be believed.

use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::error::ReadError;
use crate::index::{self, Entry, Floor, Indexes, OffsetEntry, SparseIndex};
use crate::log::LogInner;
use crate::log::checkpoint::{Addition, append_index};
use crate::reader::{READ_MAX, Walk};
use crate::recovery::{IndexVerdict, IndexedSegment, judge_index};
use crate::segment::{Newest, Segment};

/// A segment up to this long is read from its start, without a look at its index.
const SMALL: u64 = 64 << 10;

impl LogInner {
    /// A position in the segment from which the batch that holds `offset` is reached.
    pub(crate) async fn locate(
        &self,
        segment: &Rc<Segment>,
        offset: i64,
    ) -> Result<u64, ReadError> {
        if segment.state().whole <= SMALL {
            return Ok(0);
        }
        let key = offset - segment.base_offset();
        let position = |floor| match floor {
            Floor::Entry(OffsetEntry { position, .. }) => Some(u64::from(position)),
            Floor::Start => Some(0),
            Floor::NotLoaded => None,
        };
        let found = position(segment.state().indexes.offsets.floor(key));
        if let Some(found) = found {
            return Ok(found);
        }
        self.load_indexes(segment).await?;
        let found = position(segment.state().indexes.offsets.floor(key));
        Ok(found.unwrap_or(0))
    }

    /// The greatest timestamp in the segment, of what is wholly on the drive.
    pub(crate) async fn newest_of(
        &self,
        segment: &Rc<Segment>,
    ) -> Result<Option<Newest>, ReadError> {
        {
            let state = segment.state();
            match state.newest {
                Some(newest) if state.len == state.whole => return Ok(newest),
                Some(_) => return Ok(state.whole_newest),
                None => {}
            }
        }
        self.load_indexes(segment).await?;
        let state = &mut *segment.state();
        if let Some(known) = state.newest {
            return Ok(known);
        }
        let last = state.indexes.times.last();
        let newest = last.map(|last| {
            let offset = segment.base_offset() + i64::from(last.relative);
            (last.timestamp, offset)
        });
        state.newest = Some(newest);
        state.whole_newest = newest;
        Ok(newest)
    }

    /// Brings both indexes of the segment into memory.
    pub(crate) async fn load_indexes(&self, segment: &Rc<Segment>) -> Result<(), ReadError> {
        let is_loaded = || {
            let indexes = &segment.state().indexes;
            indexes.offsets.is_loaded() && indexes.times.is_loaded()
        };
        let known = segment.state().newest.is_some();
        if is_loaded() && known {
            return Ok(());
        }
        let _files = self.files.acquire(1).await;
        if is_loaded() && segment.state().newest.is_some() {
            return Ok(());
        }
        let offsets = read_index(&segment.offset_index_path()).await?;
        let times = read_index(&segment.time_index_path()).await?;
        let interval = self.config.borrow().index_interval_bytes;
        let end = segment.end();
        let believed = {
            let state = &mut *segment.state();
            let counted = state.counted;
            let offsets = take_in(&mut state.indexes.offsets, offsets, counted, end, interval);
            offsets && take_in(&mut state.indexes.times, times, counted, end, interval)
        };
        if believed {
            self.note_loaded(segment);
            return Ok(());
        }
        self.rebuild(segment).await
    }

    fn note_loaded(&self, segment: &Rc<Segment>) {
        let bytes = {
            let indexes = &segment.state().indexes;
            indexes.offsets.bytes() + indexes.times.bytes()
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.drive.files.loaded(segment, bytes);
    }

    /// Makes the indexes anew from the log, after a look-up found that they don't fit it.
    pub(crate) async fn distrust_indexes(&self, segment: &Rc<Segment>) -> Result<(), ReadError> {
        let _files = self.files.acquire(1).await;
        self.rebuild(segment).await
    }

    /// Makes the indexes anew. The caller holds the log's files.
    async fn rebuild(&self, segment: &Rc<Segment>) -> Result<(), ReadError> {
        tracing::info!(segment = %segment.path().display(), "indexes are made anew");
        let interval = self.config.borrow().index_interval_bytes;
        let mut walk = Walk::begin(&self.drive, segment, 0, READ_MAX).await?;
        // A segment of its own to note the batches in, thrown away afterwards.
        let again = Segment::new(&self.folder, segment.base_offset(), 0);
        while let Some(batch) = walk.next().await? {
            again.note(&batch.info(), interval);
        }
        again.close_time_index();
        let made = std::mem::replace(&mut again.state().indexes, Indexes::new());
        let newest = again.state().newest;
        let (offset_bytes, time_bytes) = {
            let state = &mut *segment.state();
            let (offsets, times) = (made.offsets, made.times);
            let active = state.newest.is_some() && !state.finished;
            state
                .indexes
                .offsets
                .rebuilt(offsets.not_stored(offsets.len()).to_vec());
            let mut times = times.not_stored(times.len()).to_vec();
            if active {
                // The entry that closes an index would be in the way of those to come.
                times.pop();
            }
            state.indexes.times.rebuilt(times);
            if state.newest.is_none() {
                state.newest = newest;
                state.whole_newest = newest.flatten();
            }
            (
                stored_bytes(&state.indexes.offsets),
                stored_bytes(&state.indexes.times),
            )
        };
        self.drive.meter(|metrics| metrics.indexes_rebuilt += 1);
        self.note_loaded(segment);
        for (path, bytes) in [
            (segment.offset_index_path(), offset_bytes),
            (segment.time_index_path(), time_bytes),
        ] {
            if segment.state().removed {
                break;
            }
            let addition = Addition { at: 0, bytes };
            if let Err(error) = append_index(path.clone(), addition).await {
                // It is in memory; the file is made anew next time.
                tracing::warn!(path = %path.display(), %error, "cannot write an index");
            }
        }
        Ok(())
    }
}

fn stored_bytes<E: Entry>(index: &SparseIndex<E>) -> Vec<u8> {
    index::encode(index.loaded_entries())
}

/// Judges an index file and takes its entries in. Says whether it was believed.
fn take_in<E: Entry>(
    index: &mut SparseIndex<E>,
    file: Option<Vec<u8>>,
    counted: bool,
    end: index::SegmentEnd,
    interval: u32,
) -> bool {
    let segment = IndexedSegment {
        end,
        written: counted.then(|| index.stored()),
        interval,
    };
    match judge_index(file.as_deref(), segment) {
        IndexVerdict::Believe(entries) if counted => index.load(entries).is_ok(),
        IndexVerdict::Believe(entries) => {
            index.rebuilt(entries);
            true
        }
        IndexVerdict::Rebuild(fault) => {
            if let Some(fault) = fault {
                tracing::warn!(%fault, "an index is not believed");
            }
            false
        }
    }
}

async fn read_index(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    match rt::fs::read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReadError::io(path)(error)),
    }
}
