//! Checkpoints: moving the point from where a start has to read.
//!
//! Order, on which recovery rests: flush everything the checkpoint vouches for; finish the closed
//! segments (cut to their data, sync, complete their indexes); write the owner's snapshot and the
//! epochs; append the active segment's index entries; then put the checkpoint in place at once.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use rt::task::{self, Class};

use crate::aborted;
use crate::checkpoint::Checkpoint;
use crate::error::{LogError, is_no_space};
use crate::index::{self, Entry};
use crate::log::{Log, LogInner};
use crate::name::{CHECKPOINT_FILE, EPOCHS_FILE, FileKind};
use crate::policy::BLOCK;
use crate::segment::Segment;

/// What a checkpoint will say, taken in one step.
struct Captured {
    checkpoint: Checkpoint,
    active: Rc<Segment>,
    unfinished: Vec<Rc<Segment>>,
    snapshot: Option<Bytes>,
    epochs: Option<Vec<u8>>,
    aborted: Option<aborted::Captured>,
    /// How much of [`crate::log::State::since_checkpoint`] it covers.
    covers: u64,
}

impl Log {
    /// Writes a checkpoint if anything changed since the last one. For whoever sweeps over idle
    /// logs: it bounds what a start after a kill has to read.
    pub async fn checkpoint(&self) -> Result<(), LogError> {
        if self.0.has_unchecked().await {
            self.0.checkpoint_now(None).await?;
        }
        Ok(())
    }
}

impl LogInner {
    /// Asks for a checkpoint in the background.
    pub(crate) fn want_checkpoint(&self) {
        self.tasks.checkpoint_wanted.set(true);
        if !self.tasks.checkpointer.replace(true) {
            let log = self.handle();
            task::spawn_in(
                Class::Background,
                async move { log.checkpoint_loop().await },
            )
            .detach();
        }
    }

    /// Whether so much was written, or a segment closed, that a checkpoint should follow.
    pub(crate) fn checkpoint_due(&self) -> bool {
        let state = self.state.borrow();
        !state.unfinished.is_empty() || state.since_checkpoint >= self.drive.config.checkpoint_bytes
    }

    /// Whether anything changed that no checkpoint says, once one under way is done.
    pub(crate) async fn has_unchecked(&self) -> bool {
        drop(self.files.acquire(1).await);
        self.state.borrow().changed
    }

    async fn checkpoint_loop(&self) {
        while self.tasks.checkpoint_wanted.replace(false) {
            if let Err(error) = self.checkpoint_now(None).await {
                // Nothing is lost by it: the last checkpoint still stands.
                tracing::warn!(log = %self.name, %error, "no checkpoint");
                break;
            }
            if self.checkpoint_due() {
                self.tasks.checkpoint_wanted.set(true);
            }
        }
        self.tasks.checkpointer.set(false);
        self.progress.notify_waiters();
    }

    /// Writes a checkpoint of everything appended now; `start` is the log's start from then on,
    /// where it moves.
    pub(crate) async fn checkpoint_now(&self, start: Option<i64>) -> Result<(), LogError> {
        let _files = self.files.acquire(1).await;
        self.check_usable()?;
        let Some(captured) = self.capture(start) else {
            // What the owner knows is on the drive as of the last checkpoint, which has to stay.
            let log = self.name.to_string();
            return Err(LogError::NoOwner { log });
        };
        let written = self.make_certain(captured).await;
        if written.is_err() {
            // Whatever it was to say is still to be said.
            let state = &mut *self.state.borrow_mut();
            state.changed = true;
            state.epochs_changed = true;
            state.aborted.not_written();
        }
        written
    }

    async fn make_certain(&self, captured: Captured) -> Result<(), LogError> {
        self.flushed_to(captured.checkpoint.offset).await?;
        for segment in &captured.unfinished {
            self.finish(segment).await?;
        }
        self.persist(captured).await
    }

    /// `None` while nobody can tell the owner's state.
    fn capture(&self, start: Option<i64>) -> Option<Captured> {
        // Asked for first, and in the same step, so that it is the state as of the same end.
        let mut snapshot = (!self.owned.get()).then_some(None);
        self.tell(|owner| snapshot = Some(owner.snapshot()));
        let snapshot = snapshot?;
        let state = &mut *self.state.borrow_mut();
        let active = state.active();
        let epochs = state.epochs_changed.then(|| state.epochs.encode());
        let aborted = state.aborted.capture();
        state.epochs_changed = false;
        state.changed = false;
        let segment = active.state();
        let checkpoint = Checkpoint {
            segment: active.base_offset(),
            position: segment.len,
            offset: state.end.appended(),
            log_start: start.unwrap_or(state.start).max(state.start),
            newest: segment.newest.flatten(),
            first_timestamp: segment.first_timestamp,
            offset_entries: segment.indexes.offsets.len(),
            time_entries: segment.indexes.times.len(),
            snapshot: snapshot.is_some(),
            compacted: state.compacted,
            aborted: !state.aborted.is_empty(),
        };
        drop(segment);
        Some(Captured {
            checkpoint,
            unfinished: state.unfinished.iter().map(Rc::clone).collect(),
            snapshot,
            epochs,
            aborted,
            covers: state.since_checkpoint + state.tail.backlog() as u64,
            active,
        })
    }

    async fn persist(&self, captured: Captured) -> Result<(), LogError> {
        let known = captured.checkpoint;
        if let Some(snapshot) = captured.snapshot {
            let name = FileKind::Snapshot(known.offset).name().unwrap_or_default();
            self.put(&name, snapshot.to_vec()).await?;
        }
        if let Some(epochs) = captured.epochs {
            self.put(EPOCHS_FILE, epochs).await?;
        }
        if let Some(aborted) = captured.aborted {
            self.put_aborted(&aborted).await?;
        }
        let counts = (known.offset_entries, known.time_entries);
        self.store_indexes(&captured.active, counts).await?;
        self.put(CHECKPOINT_FILE, known.encode()).await?;
        {
            let state = &mut *self.state.borrow_mut();
            state.start = state.start.max(known.log_start);
            state.vouched = known.segment;
            state.since_checkpoint = state.since_checkpoint.saturating_sub(captured.covers);
        }
        self.drive.meter(|metrics| metrics.checkpoints += 1);
        self.drop_old_snapshots(known.offset).await;
        Ok(())
    }

    pub(crate) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), LogError> {
        let path = self.folder.join(name);
        let written = rt::fs::write_atomic(&path, bytes).await;
        written.map_err(|error| {
            if is_no_space(&error) {
                self.drive.fill(BLOCK);
            }
            LogError::io("write", &path)(error)
        })
    }

    /// Finishes a segment: cut to its data, durable, its index files complete.
    pub(crate) async fn finish(&self, segment: &Rc<Segment>) -> Result<(), LogError> {
        loop {
            let progress = self.progress.notified();
            if !segment.state().growing {
                break;
            }
            progress.await;
        }
        let (len, exists) = {
            let state = segment.state();
            assert!(
                state.removed || state.len == state.whole,
                "all of it is written"
            );
            (state.len, state.exists && !state.removed)
        };
        if exists {
            let failed = LogError::io("cut", segment.path());
            if let Err(error) = self.cut(segment, len).await {
                self.drive
                    .fail(format!("cannot cut {}: {error}", segment.path().display()));
                return Err(failed(error));
            }
            let counts = {
                let state = segment.state();
                (state.indexes.offsets.len(), state.indexes.times.len())
            };
            self.store_indexes(segment, counts).await?;
        }
        segment.state().finished = true;
        let base = segment.base_offset();
        let state = &mut *self.state.borrow_mut();
        state.unfinished.retain(|other| other.base_offset() != base);
        Ok(())
    }

    async fn cut(&self, segment: &Rc<Segment>, len: u64) -> io::Result<()> {
        let file = self.drive.files.get(segment).await?;
        if file.size()? > len {
            file.truncate(len).await?;
        }
        segment.state().allocated = len;
        segment.state().stale = false;
        self.sync_segment(segment).await
    }

    /// Brings the segment's index files up to these counts of entries.
    pub(crate) async fn store_indexes(
        &self,
        segment: &Segment,
        counts: (usize, usize),
    ) -> Result<(), LogError> {
        // A segment gets its file with its first record.
        if segment.state().removed || !segment.state().exists {
            return Ok(());
        }
        let (offsets, times) = {
            let indexes = &segment.state().indexes;
            (
                Addition::of(&indexes.offsets, counts.0),
                Addition::of(&indexes.times, counts.1),
            )
        };
        let path = segment.offset_index_path();
        let stored = append_index(path.clone(), offsets).await;
        stored.map_err(LogError::io("write", &path))?;
        segment.state().indexes.offsets.mark_stored(counts.0);
        let path = segment.time_index_path();
        let stored = append_index(path.clone(), times).await;
        stored.map_err(LogError::io("write", &path))?;
        segment.state().indexes.times.mark_stored(counts.1);
        Ok(())
    }

    /// Removes all snapshots but the one of `newest` and the one before it.
    async fn drop_old_snapshots(&self, newest: i64) {
        let Ok(listed) = rt::fs::list(&self.folder).await else {
            return;
        };
        let mut old: Vec<i64> = listed
            .iter()
            .filter_map(|entry| match FileKind::parse(&entry.name) {
                FileKind::Snapshot(offset) if offset != newest => Some(offset),
                _ => None,
            })
            .collect();
        old.sort_unstable();
        // One from before a damaged newest one is worth keeping; those above it are not.
        let keep = old.iter().rposition(|&offset| offset < newest);
        for (at, offset) in old.into_iter().enumerate() {
            if Some(at) != keep
                && let Some(name) = FileKind::Snapshot(offset).name()
                && let Err(error) = rt::fs::remove_file(self.folder.join(name)).await
            {
                tracing::debug!(log = %self.name, %error, "cannot remove an old snapshot");
            }
        }
    }
}

/// Bytes to be added to an index file.
pub(crate) struct Addition {
    /// Length of the file without them.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Addition {
    fn of<E: Entry>(index: &index::SparseIndex<E>, count: usize) -> Self {
        Self {
            at: (index.stored() * size_of::<E::Raw>()) as u64,
            bytes: index::encode(index.not_stored(count)),
        }
    }
}

/// Adds to an index file. Its content is not synced: an index that a power loss damages is made
/// anew.
pub(crate) async fn append_index(path: PathBuf, addition: Addition) -> io::Result<()> {
    let Addition { at, bytes } = addition;
    if bytes.is_empty() && at > 0 {
        return Ok(());
    }
    let write = move || {
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = open?;
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&bytes)
    };
    task::blocking(write).await.map_err(io::Error::other)?
}
