//! The writer: carries a log's tail to its segment files.
//!
//! One task per log, alive while there is something to write; one write in flight, while the next
//! one gathers. A write covers whole blocks: it begins with what the last block held already and
//! ends in zeros, so a block is rewritten only with what it held and more. The file is
//! preallocated ahead and never extended by a write.

use std::io;
use std::rc::{Rc, Weak};

use rt::file::{BLOCK, DirectFile, WriteBuffer};
use rt::sync::Permit;
use rt::task::{self, Class};

use crate::budget::Evict;
use crate::error::{LogFailure, is_no_space};
use crate::log::state::Partial;
use crate::log::{LogInner, Status};
use crate::policy;
use crate::segment::Segment;

/// Longest write.
const WRITE_MAX: usize = 1 << 20;
const _: () = assert!(WRITE_MAX.is_multiple_of(BLOCK));

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no room; the drive has been marked.
    NoSpace,
    /// The drive has failed, for this reason.
    Failed(String),
}

impl WriteError {
    fn of(action: &str, segment: &Segment, error: &io::Error) -> Self {
        if is_no_space(error) {
            Self::NoSpace
        } else {
            Self::Failed(format!(
                "cannot {action} {}: {error}",
                segment.path().display()
            ))
        }
    }
}

/// A write about to be made.
struct Image {
    buffer: WriteBuffer,
    /// Where it goes.
    start: u64,
    /// Bytes of the tail in it.
    body: usize,
    /// What its last block holds, if it isn't full.
    partial: Vec<u8>,
    /// Its share of the drive's buffers.
    permit: Permit,
}

impl LogInner {
    /// Starts the writer, unless it runs.
    pub(crate) fn start_writer(&self) {
        if !self.tasks.writer.replace(true) {
            let log = self.handle();
            task::spawn_in(Class::Serve, async move { log.write_loop().await }).detach();
        }
    }

    async fn write_loop(&self) {
        loop {
            let next = {
                let state = self.state.borrow();
                let usable = matches!(state.status, Status::Open | Status::Closing);
                let base = state.tail.next_segment().filter(|_| usable);
                base.and_then(|base| state.segments.get(&base).map(Rc::clone))
            };
            let Some(segment) = next else { break };
            match self.write_some(&segment).await {
                Ok(()) => {}
                Err(WriteError::NoSpace) => {
                    self.drive.fill(policy::BLOCK);
                    self.refuse();
                    break;
                }
                Err(WriteError::Failed(reason)) => {
                    self.drive.fail(reason);
                    break;
                }
            }
        }
        self.tasks.writer.set(false);
        if matches!(self.state.borrow().status, Status::Failed(_)) {
            self.drop_tail_later();
        }
        self.progress.notify_waiters();
    }

    fn drop_tail_later(&self) {
        let log = self.handle();
        task::spawn_in(Class::Background, async move { log.drop_tail() }).detach();
    }

    /// Writes what there is, up to the longest write.
    async fn write_some(&self, segment: &Rc<Segment>) -> Result<(), WriteError> {
        let file = self.prepare(segment).await?;
        let wanted = {
            let state = self.state.borrow();
            let position = segment.state().written;
            let body = state.tail.writable(WRITE_MAX - BLOCK) as u64;
            policy::round_up(position + body)
        };
        self.ensure_allocated(segment, &file, wanted).await?;
        let length = wanted - segment.state().written / policy::BLOCK * policy::BLOCK;
        let length = usize::try_from(length).unwrap_or(WRITE_MAX);
        let permit = self.drive.writes.acquire(length).await;
        let Some(image) = self.gather(segment, permit) else {
            return Ok(());
        };
        let (bytes, start) = (image.buffer.len() as u64, image.start);
        let began = rt::time::now();
        let written = file.write_at(image.buffer, start).await;
        drop(image.permit);
        written.map_err(|error| WriteError::of("write", segment, &error))?;
        self.drive.meter(|metrics| {
            metrics.write.note(began.elapsed());
            metrics.write_bytes += bytes;
        });
        self.counters.update(|counters| counters.writes += 1);
        self.complete(segment, image.body, image.partial);
        let (allocated, written) = {
            let state = segment.state();
            (state.allocated, state.written)
        };
        self.grow_ahead(segment, allocated, written);
        Ok(())
    }

    /// Makes the segment ready for its next write: its file exists, ends where its data does or
    /// in zeros, and the block the write begins with is known.
    async fn prepare(&self, segment: &Rc<Segment>) -> Result<DirectFile, WriteError> {
        let failed =
            |action: &'static str| move |error: io::Error| WriteError::of(action, segment, &error);
        if !segment.state().exists {
            let made = DirectFile::create(segment.path()).await;
            self.drive
                .files
                .insert(segment, made.map_err(failed("create"))?);
            segment.state().exists = true;
            self.state.borrow_mut().folder_changed = true;
        }
        segment.state().finished = false;
        let file = self
            .drive
            .files
            .get(segment)
            .await
            .map_err(failed("open"))?;
        if segment.state().stale {
            let end = self.wait_grown(segment).await;
            file.truncate(end).await.map_err(failed("cut"))?;
            let mut state = segment.state();
            state.allocated = end;
            state.stale = false;
        }
        let (base, written) = (segment.base_offset(), segment.state().written);
        let partial = written % policy::BLOCK;
        let known = {
            let state = self.state.borrow();
            state
                .partial
                .as_ref()
                .is_some_and(|known| known.segment == base)
        };
        if known {
            return Ok(file);
        }
        let mut bytes = Vec::new();
        if partial > 0 {
            let start = written - partial;
            let read = file.read_at(start, BLOCK).await.map_err(failed("read"))?;
            let length = usize::try_from(partial).unwrap_or(BLOCK);
            let Some(held) = read.get(..length) else {
                let path = segment.path().display();
                return Err(WriteError::Failed(format!("{path} became shorter")));
            };
            bytes.extend_from_slice(held);
        }
        let segment = base;
        self.state.borrow_mut().partial = Some(Partial { segment, bytes });
        Ok(file)
    }

    /// Waits for a preallocation under way; gives back where the data on the drive ends.
    async fn wait_grown(&self, segment: &Segment) -> u64 {
        loop {
            let progress = self.progress.notified();
            {
                let state = segment.state();
                if !state.growing {
                    return state.written;
                }
            }
            progress.await;
        }
    }

    /// Sees to it that the file is at least `need` long.
    async fn ensure_allocated(
        &self,
        segment: &Rc<Segment>,
        file: &DirectFile,
        need: u64,
    ) -> Result<(), WriteError> {
        loop {
            self.wait_grown(segment).await;
            if segment.state().allocated >= need {
                return Ok(());
            }
            self.grow(segment, file, need).await?;
        }
    }

    /// Preallocates the next step.
    async fn grow(
        &self,
        segment: &Segment,
        file: &DirectFile,
        need: u64,
    ) -> Result<(), WriteError> {
        segment.state().growing = true;
        let grown = self.grow_file(segment, file, need).await;
        {
            let mut state = segment.state();
            state.growing = false;
            if let Ok(allocated) = &grown {
                state.allocated = *allocated;
            }
        }
        self.progress.notify_waiters();
        grown.map(|_| ())
    }

    async fn grow_file(
        &self,
        segment: &Segment,
        file: &DirectFile,
        need: u64,
    ) -> Result<u64, WriteError> {
        let allocated = segment.state().allocated;
        let segment_bytes = self.config.borrow().segment_bytes;
        let failed = |error: io::Error| WriteError::of("preallocate", segment, &error);
        let mut target = policy::next_allocation(allocated, need, segment_bytes);
        if !self.has_room(target - allocated).await? {
            // No room for a step; what is at hand may still fit.
            target = policy::round_up(need);
            if target <= allocated || !self.has_room(target - allocated).await? {
                self.drive
                    .fill(target.saturating_sub(allocated).max(policy::BLOCK));
                return Err(WriteError::NoSpace);
            }
        }
        let grown = file.preallocate(target).await;
        if grown.as_ref().is_err_and(is_no_space) {
            self.drive.fill(target - allocated);
        }
        grown.map_err(failed)?;
        self.drive.meter(|metrics| metrics.preallocations += 1);
        Ok(target)
    }

    async fn has_room(&self, bytes: u64) -> Result<bool, WriteError> {
        let room = self.drive.has_room(bytes).await;
        room.map_err(|error| {
            WriteError::Failed(format!(
                "cannot see the room on {}: {error}",
                self.drive.path.display()
            ))
        })
    }

    /// Preallocates in the background when the end comes near. A drive that is found full here
    /// refuses appends while what is under way still fits.
    fn grow_ahead(&self, segment: &Rc<Segment>, allocated: u64, written: u64) {
        let segment_bytes = self.config.borrow().segment_bytes;
        let wanted = policy::wants_more(allocated, written, segment_bytes);
        let last = self.state.borrow().is_active(segment);
        if !wanted || !last || segment.state().growing || self.drive.is_full() {
            return;
        }
        let Some(file) = segment.open_file() else {
            return;
        };
        let (log, segment) = (self.handle(), Rc::clone(segment));
        segment.state().growing = true;
        let growing = async move {
            match log.grow(&segment, &file, allocated + 1).await {
                Ok(()) | Err(WriteError::NoSpace) => {}
                Err(WriteError::Failed(reason)) => log.drive.fail(reason),
            }
        };
        task::spawn_in(Class::Background, growing).detach();
    }

    /// Fills a buffer with the next bytes of the segment; none if they are gone.
    fn gather(&self, segment: &Segment, mut permit: Permit) -> Option<Image> {
        let state = self.state.borrow();
        let (written, allocated) = {
            let segment = segment.state();
            (segment.written, segment.allocated)
        };
        let partial = state.partial.as_ref()?;
        assert_eq!(partial.segment, segment.base_offset());
        let head = partial.bytes.len();
        assert_eq!(
            head as u64,
            written % policy::BLOCK,
            "the partial block is known"
        );
        let start = written - head as u64;
        // What came since is taken along, as far as there is room for it.
        let room = usize::try_from(allocated - written).unwrap_or(usize::MAX);
        let body = state.tail.writable((WRITE_MAX - head).min(room));
        let length = (head + body).next_multiple_of(BLOCK);
        if let Some(missing) = length.checked_sub(permit.amount()).filter(|&n| n > 0)
            && let Some(more) = self.drive.writes.try_acquire(missing)
        {
            permit.merge(more);
        }
        let fits = permit.amount().max(BLOCK);
        let length = length.min(fits / BLOCK * BLOCK);
        let body = body.min(length - head);
        if state.tail.next_segment() != Some(partial.segment) || body == 0 {
            return None;
        }
        let mut buffer = WriteBuffer::alloc(length);
        let bytes = buffer.as_mut_slice();
        bytes[..head].copy_from_slice(&partial.bytes);
        state.tail.gather(&mut bytes[head..head + body]);
        bytes[head + body..].fill(0);
        let last = (head + body) / BLOCK * BLOCK;
        let partial = bytes[last..head + body].to_vec();
        Some(Image {
            buffer,
            start,
            body,
            partial,
            permit,
        })
    }

    /// Notes that a write was completed, and tells.
    fn complete(&self, segment: &Rc<Segment>, body: usize, partial: Vec<u8>) {
        let done = {
            let state = &mut *self.state.borrow_mut();
            let done = state.tail.complete(body);
            {
                let mut segment = segment.state();
                segment.written += body as u64;
                segment.whole = segment.written - state.tail.part() as u64;
                segment.dirty = true;
                if let Some(newest) = done.newest
                    && newest.0 >= 0
                    && segment
                        .whole_newest
                        .is_none_or(|before| newest.0 > before.0)
                {
                    segment.whole_newest = Some(newest);
                }
            }
            state.partial = Some(Partial {
                segment: segment.base_offset(),
                bytes: partial,
            });
            state.since_checkpoint += body as u64;
            if let Some(next_offset) = done.next_offset {
                state.end.write_to(next_offset);
            }
            done
        };
        let Some(next_offset) = done.next_offset else {
            return;
        };
        let budget = &self.drive.config.tail;
        budget.now_written(done.charged);
        let log: Weak<dyn Evict> = Rc::downgrade(&self.handle()) as _;
        budget.push_written(log, next_offset);
        self.after_write();
        self.announce();
        budget.enforce();
    }

    /// Takes back everything that isn't written: there is no room for it.
    pub(crate) fn refuse(&self) {
        let (freed, from, to) = {
            let state = &mut *self.state.borrow_mut();
            let (from, to) = (state.end.written(), state.end.appended());
            (state.take_back(), from, to)
        };
        self.drive.config.tail.release(freed, false);
        self.progress.notify_waiters();
        if from < to {
            tracing::warn!(log = %self.name, from, to, "no room: appended records were refused");
            self.tell(|owner| owner.failed(&LogFailure::Refused { from, to }));
        }
    }
}
