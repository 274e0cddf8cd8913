//! Looking records up by time.

use std::rc::Rc;

use batch::{Attributes, Batch, BatchError, Compression, DecompressLimit};
use bytes::Bytes;
use rt::task;

use crate::error::ReadError;
use crate::index::Floor;
use crate::log::{Log, LogInner, Status};
use crate::reader::{READ_MIN, Walk, damaged};
use crate::segment::Segment;

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: i64,
    /// Epoch of the leader that took it.
    pub leader_epoch: i32,
}

/// Which record of a batch is looked for.
#[derive(Clone, Copy, Debug)]
struct Sought {
    /// Least timestamp.
    timestamp: i64,
    /// Least offset.
    offset: i64,
}

impl Log {
    /// The first record with a timestamp of at least `timestamp`, among those below `upto`.
    pub async fn offset_for_time(
        &self,
        timestamp: i64,
        upto: i64,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let log = &self.0;
        loop {
            log.check_readable()?;
            let offset = self.log_start();
            let segments = log.segments_from(offset);
            let found = log
                .find_time(&segments, Sought { timestamp, offset }, upto)
                .await;
            if !log.were_replaced(&segments) {
                return found;
            }
        }
    }

    /// The first of the records with the greatest timestamp, if it lies below `upto`.
    pub async fn max_timestamp(&self, upto: i64) -> Result<Option<TimedOffset>, ReadError> {
        let log = &self.0;
        log.check_readable()?;
        let newest = loop {
            let segments = log.segments_from(self.log_start());
            let newest = log.newest_of_all(&segments).await;
            if !log.were_replaced(&segments) {
                break newest?;
            }
        };
        match newest {
            Some(timestamp) => self.offset_for_time(timestamp, upto).await,
            None => Ok(None),
        }
    }
}

impl LogInner {
    fn check_readable(&self) -> Result<(), ReadError> {
        match &self.state.borrow().status {
            Status::Open | Status::Closing => Ok(()),
            Status::Closed => Err(ReadError::Closed {
                log: self.name.to_string(),
            }),
            Status::Failed(failed) => Err(ReadError::DriveFailed(failed.clone())),
        }
    }

    fn segments_from(&self, offset: i64) -> Vec<Rc<Segment>> {
        let state = self.state.borrow();
        let first = state
            .segment_for(offset)
            .map_or(0, |first| first.base_offset());
        state
            .segments
            .range(first..)
            .map(|(_, segment)| Rc::clone(segment))
            .collect()
    }

    /// Whether compaction put others in the place of some of these segments.
    fn were_replaced(&self, segments: &[Rc<Segment>]) -> bool {
        let state = self.state.borrow();
        segments.iter().any(|segment| {
            let end = segment.state().next_offset;
            segment.state().removed
                && end > state.start
                && segment.base_offset() < state.end.appended()
        })
    }

    async fn find_time(
        &self,
        segments: &[Rc<Segment>],
        sought: Sought,
        upto: i64,
    ) -> Result<Option<TimedOffset>, ReadError> {
        for segment in segments {
            if segment.base_offset() >= upto {
                break;
            }
            let newest = match self.newest_of(segment).await {
                Ok(newest) => newest,
                Err(_) if segment.state().removed => continue,
                Err(error) => return Err(error),
            };
            if newest.is_none_or(|newest| newest.0 < sought.timestamp) {
                continue;
            }
            match self.search(segment, sought).await {
                Ok(Some(found)) => return Ok((found.offset < upto).then_some(found)),
                Ok(None) => {}
                Err(_) if segment.state().removed => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The greatest timestamp in these segments.
    async fn newest_of_all(&self, segments: &[Rc<Segment>]) -> Result<Option<i64>, ReadError> {
        let mut newest = None;
        for segment in segments {
            let found = self.newest_of(segment).await?.map(|found| found.0);
            newest = newest.max(found.filter(|&found| found >= 0));
        }
        Ok(newest)
    }

    async fn search(
        &self,
        segment: &Rc<Segment>,
        sought: Sought,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.load_indexes(segment).await?;
        // Up to this entry's offset no timestamp is as great as the one sought.
        let floor = segment
            .state()
            .indexes
            .times
            .floor(sought.timestamp.saturating_sub(1));
        let after = match floor {
            Floor::Entry(entry) => segment.base_offset() + i64::from(entry.relative),
            Floor::Start | Floor::NotLoaded => segment.base_offset(),
        };
        let position = self.locate(segment, after.max(sought.offset)).await?;
        let mut walk = Walk::begin(&self.drive, segment, position, READ_MIN).await?;
        let limit = DecompressLimit::bytes(self.config.borrow().decompress_bytes);
        loop {
            let at = walk.position();
            let Some(batch) = walk.next().await? else {
                return Ok(None);
            };
            if batch.max_timestamp() < sought.timestamp || batch.next_offset() <= sought.offset {
                continue;
            }
            let found = look_into(batch, sought, limit).await;
            let found = found.map_err(|error| damaged(segment.path(), at, &error.to_string()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

/// The first fitting record of a batch. Compressed ones are opened on a thread of their own, for
/// they may take a while.
async fn look_into(
    batch: Batch<'_>,
    sought: Sought,
    limit: DecompressLimit,
) -> Result<Option<TimedOffset>, BatchError> {
    if is_plain(batch.attributes()) {
        return find(&batch, sought, limit);
    }
    let bytes = Bytes::copy_from_slice(batch.bytes());
    let found = task::blocking(move || find(&Batch::parse(&bytes)?, sought, limit)).await;
    match found {
        Ok(found) => found,
        Err(_) => Err(BatchError::Unbuildable("its records could not be opened")),
    }
}

fn is_plain(attributes: Attributes) -> bool {
    matches!(attributes.compression(), Ok(Compression::None))
}

fn find(
    batch: &Batch<'_>,
    sought: Sought,
    limit: DecompressLimit,
) -> Result<Option<TimedOffset>, BatchError> {
    for record in &batch.records(limit)? {
        let record = record?;
        if record.timestamp >= sought.timestamp && record.offset >= sought.offset {
            return Ok(Some(TimedOffset {
                offset: record.offset,
                timestamp: record.timestamp,
                leader_epoch: batch.leader_epoch(),
            }));
        }
    }
    Ok(None)
}
