//! Reading: recent records from memory, older ones by a plan that is carried out without the log
//! being borrowed.

use std::rc::Rc;

use batch::BatchInfo;
use bytes::{Bytes, BytesMut};

use crate::error::ReadError;
use crate::log::{Log, LogInner, Status};
use crate::reader::{READ_MAX, Walk};
use crate::segment::Segment;
use crate::tail::TailRead;

/// What [`Log::read`] found.
#[derive(Debug)]
pub enum Read {
    /// There is nothing there that may be seen (yet), or nothing that fits.
    Empty,
    /// Whole batches, in the bytes they were appended in; the first one holds the offset.
    Tail(Vec<Bytes>),
    /// The records are on the drive: run this.
    Cold(ColdRead),
    /// The offset lies below the log's start or above its end.
    OutOfRange,
    /// The log is closed, or its drive has failed.
    Unavailable(ReadError),
}

/// A read of the drive, to be run with nothing borrowed. What it is to read may be deleted
/// meanwhile, which is an error only if it had not begun.
#[derive(Debug)]
pub struct ColdRead {
    log: Rc<LogInner>,
    segment: Rc<Segment>,
    want: Want,
}

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
struct Want {
    from: i64,
    upto: i64,
    max_bytes: usize,
    at_least_one: bool,
}

/// What one segment gave.
enum Found {
    /// All there is to give.
    Batches(Vec<Bytes>),
    /// Nothing at or behind the offset: it may be in the next segment.
    Beyond,
    /// The index sent the reader to a wrong place.
    Misled,
}

impl Log {
    /// Reads whole batches from the one that holds `from`, all ending at or before `upto` (what
    /// the reader may see, exclusive), up to `max_bytes`. With `at_least_one` the first batch is
    /// given though it be longer.
    pub fn read(&self, from: i64, upto: i64, max_bytes: usize, at_least_one: bool) -> Read {
        let log = &self.0;
        let segment = {
            let state = log.state.borrow();
            match &state.status {
                Status::Open | Status::Closing => {}
                Status::Closed => {
                    let log = log.name.to_string();
                    return Read::Unavailable(ReadError::Closed { log });
                }
                Status::Failed(failed) => {
                    return Read::Unavailable(ReadError::DriveFailed(failed.clone()));
                }
            }
            if from < state.start || from > state.end.appended() {
                return Read::OutOfRange;
            }
            if from >= upto {
                return Read::Empty;
            }
            match state.tail.read(from, upto, max_bytes, at_least_one) {
                TailRead::Batches(batches, _) if batches.is_empty() => return Read::Empty,
                TailRead::Batches(batches, place) => {
                    log.drive.config.tail.hit(place);
                    log.counters.update(|counters| counters.tail_reads += 1);
                    return Read::Tail(batches);
                }
                TailRead::Below => log.drive.config.tail.missed(state.bytes_behind(from)),
            }
            state.segment_for(from)
        };
        let Some(segment) = segment else {
            return Read::Empty;
        };
        log.counters.update(|counters| counters.cold_reads += 1);
        Read::Cold(ColdRead {
            log: Rc::clone(log),
            segment,
            want: Want {
                from,
                upto,
                max_bytes,
                at_least_one,
            },
        })
    }
}

impl ColdRead {
    /// Carries the read out: whole batches, their checksums verified, in order; the first one holds
    /// the offset, or is the first behind it where the log has a gap. Empty where there is nothing
    /// that may be seen.
    pub async fn run(self) -> Result<Vec<Bytes>, ReadError> {
        let Self {
            log,
            mut segment,
            want,
        } = self;
        loop {
            match log.read_one(&segment, want).await {
                Ok(Some(batches)) => return Ok(batches),
                Ok(None) => {}
                Err(error) => match log.instead_of(&segment, want.from) {
                    // Compaction made another of it.
                    Some(other) => {
                        segment = other;
                        continue;
                    }
                    None => return Err(log.gone(&segment, want.from, error)),
                },
            }
            // The segment that took its place may have what follows, too.
            let next = log.instead_of(&segment, want.from).or_else(|| {
                let state = log.state.borrow();
                state.segment_after(segment.base_offset())
            });
            match next {
                Some(next) if next.base_offset() < want.upto => segment = next,
                _ => return Ok(Vec::new()),
            }
        }
    }
}

impl LogInner {
    /// An error of a segment that was deleted meanwhile is that deletion.
    fn gone(&self, segment: &Segment, offset: i64, error: ReadError) -> ReadError {
        if segment.state().removed && matches!(error, ReadError::Io { .. }) {
            return ReadError::Deleted {
                log: self.name.to_string(),
                offset,
            };
        }
        match &self.state.borrow().status {
            Status::Failed(failed) => ReadError::DriveFailed(failed.clone()),
            _ => error,
        }
    }

    /// The segment that has an offset now, in place of one that was taken out of the log.
    fn instead_of(&self, segment: &Segment, offset: i64) -> Option<Rc<Segment>> {
        if !segment.state().removed {
            return None;
        }
        let state = self.state.borrow();
        let found = state.segment_for(offset)?;
        (offset >= state.start && !found.state().removed).then_some(found)
    }

    /// What one segment has of what is wanted; none if all of it lies before.
    async fn read_one(
        &self,
        segment: &Rc<Segment>,
        want: Want,
    ) -> Result<Option<Vec<Bytes>>, ReadError> {
        let position = self.locate(segment, want.from).await?;
        match self.read_segment(segment, position, want).await? {
            Found::Batches(batches) => return Ok(Some(batches)),
            Found::Beyond => return Ok(None),
            Found::Misled => {}
        }
        if let Err(error) = self.distrust_indexes(segment).await {
            // The damage may lie elsewhere in the segment; the reader will see.
            tracing::warn!(log = %self.name, %error, "indexes could not be made anew");
        }
        match self.read_segment(segment, 0, want).await? {
            Found::Batches(batches) => Ok(Some(batches)),
            Found::Beyond | Found::Misled => Ok(None),
        }
    }

    async fn read_segment(
        &self,
        segment: &Rc<Segment>,
        position: u64,
        want: Want,
    ) -> Result<Found, ReadError> {
        if segment.state().whole == 0 {
            return Ok(Found::Beyond);
        }
        let chunk = want.max_bytes.saturating_add(8192);
        let mut walk = Walk::begin(&self.drive, segment, position, chunk).await?;
        let mut out = Parts::default();
        loop {
            let first = walk.position() == position;
            let batch = match walk.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) if out.is_empty() => return Ok(Found::Beyond),
                Ok(None) => break,
                Err(ReadError::Damaged { .. }) if first && position > 0 => {
                    return Ok(Found::Misled);
                }
                // What came before it can be had; the damage is told to whoever goes on.
                Err(ReadError::Damaged { .. }) if !out.is_empty() => break,
                Err(error) => return Err(error),
            };
            if first && position > 0 && batch.base_offset() > want.from {
                return Ok(Found::Misled);
            }
            if batch.next_offset() <= want.from {
                continue;
            }
            let free = want.at_least_one && out.is_empty();
            let too_much = out.len() + batch.size() > want.max_bytes && !free;
            if batch.next_offset() > want.upto || too_much {
                break;
            }
            out.push(batch.bytes());
        }
        Ok(Found::Batches(out.finish()))
    }
}

/// Bytes gathered in pieces of bounded length, so that none is moved when it grows.
#[derive(Default)]
struct Parts {
    done: Vec<Bytes>,
    open: BytesMut,
    len: usize,
}

impl Parts {
    fn len(&self) -> usize {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.open.len() + bytes.len() > READ_MAX {
            self.close();
        }
        self.open.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(self.open.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }
}

/// Calls `each` with every batch of these segments, in order, that begins at or behind `from` and
/// before `upto`.
pub(crate) async fn replay(
    log_drive: &Rc<crate::drive::DriveInner>,
    segments: &[Rc<Segment>],
    (from, upto): (i64, i64),
    each: &mut dyn FnMut(BatchInfo),
) -> Result<(), ReadError> {
    for segment in segments {
        let (next, whole) = {
            let state = segment.state();
            (state.next_offset, state.whole)
        };
        if next <= from || segment.base_offset() >= upto || whole == 0 {
            continue;
        }
        let mut walk = Walk::begin(log_drive, segment, 0, READ_MAX).await?;
        while let Some(batch) = walk.next().await? {
            if batch.base_offset() >= upto {
                return Ok(());
            }
            if batch.base_offset() >= from {
                each(batch.info());
            }
        }
    }
    Ok(())
}

impl Log {
    /// Calls `each` with every batch from `from` up to the written end: for an owner whose own
    /// state has to be made anew.
    pub async fn replay(
        &self,
        from: i64,
        each: &mut dyn FnMut(BatchInfo),
    ) -> Result<(), ReadError> {
        let (segments, upto) = {
            let state = self.0.state.borrow();
            let segments: Vec<_> = state.segments.values().map(Rc::clone).collect();
            (segments, state.end.written())
        };
        replay(&self.0.drive, &segments, (from, upto), each).await
    }
}
