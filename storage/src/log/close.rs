//! Making, closing and deleting a log.

use std::io;

use rt::task;

use crate::LogConfig;
use crate::aborted::AbortedIndex;
use crate::drive::Drive;
use crate::end::LogEnd;
use crate::epoch::EpochCache;
use crate::error::LogError;
use crate::identity::encode_metadata;
use crate::log::compact::Hold;
use crate::log::{Log, LogInner, State, Status};
use crate::name::{LogName, METADATA_FILE, TOPIC_NAME_FILE};
use crate::segment::Segment;
use crate::tail::Tail;

impl Log {
    /// Makes a log on the drive. Its folder is durable when this comes back.
    pub async fn create(
        drive: &Drive,
        name: &LogName,
        config: LogConfig,
    ) -> Result<Self, LogError> {
        if let Some(failed) = drive.0.failure() {
            return Err(LogError::DriveFailed(failed));
        }
        let folder = drive.path().join(name.folder());
        let path = folder.clone();
        let made = task::blocking(move || std::fs::create_dir(path)).await;
        match made.map_err(io::Error::other).flatten() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LogError::Exists { path: folder });
            }
            Err(error) => return Err(LogError::io("create", &folder)(error)),
        }
        let file = folder.join(METADATA_FILE);
        let written = rt::fs::write_atomic(&file, encode_metadata(name.topic_id)).await;
        written.map_err(LogError::io("write", &file))?;
        if name.is_cut() {
            let file = folder.join(TOPIC_NAME_FILE);
            let written = rt::fs::write_atomic(&file, name.topic.clone().into_bytes()).await;
            written.map_err(LogError::io("write", &file))?;
        }
        let synced = rt::fs::sync_dir(drive.path()).await;
        synced.map_err(LogError::io("sync", drive.path()))?;
        let first = Segment::new(&folder, 0, rt::time::wall_ms());
        let state = State::new(LogEnd::at(0), 0, [first], EpochCache::default());
        let inner = LogInner::new(name.clone(), folder, &drive.0, config, state, false);
        Ok(Self(inner))
    }

    /// Closes the log so that the next start reads nothing of it: everything is written and
    /// flushed, its files are cut to their data. Appends are refused from the start of the call.
    pub async fn close(&self) -> Result<(), LogError> {
        let log = &self.0;
        {
            let state = &mut *log.state.borrow_mut();
            match &state.status {
                Status::Closed => return Ok(()),
                Status::Open | Status::Closing => state.status = Status::Closing,
                Status::Failed(_) => {}
            }
        }
        let _hold = Hold::on(log);
        log.not_compacting().await;
        let closed = log.close_files().await;
        log.state.borrow_mut().status = Status::Closed;
        log.let_go();
        closed
    }

    /// Deletes the log. What was not written is dropped; its folder is gone from the drive's list
    /// when this comes back, whatever happens then.
    pub async fn delete(&self) -> Result<(), LogError> {
        let log = &self.0;
        {
            let state = &mut *log.state.borrow_mut();
            if !matches!(state.status, Status::Failed(_)) {
                // Ends the writer after the write it is at.
                state.status = Status::Closed;
            }
        }
        log.progress.notify_waiters();
        log.quiet().await;
        let _files = log.files.acquire(1).await;
        log.let_go();
        let gone = log.drive.path.join(log.name.deleted_folder());
        let renamed = rt::fs::rename(&log.folder, &gone).await;
        renamed.map_err(LogError::io("rename", &log.folder))?;
        log.state.borrow_mut().status = Status::Closed;
        let synced = rt::fs::sync_dir(&log.drive.path).await;
        synced.map_err(LogError::io("sync", &log.drive.path))?;
        let removed = rt::fs::remove_dir_all(&gone).await;
        removed.map_err(LogError::io("remove", &gone))
    }
}

impl LogInner {
    async fn close_files(&self) -> Result<(), LogError> {
        self.written_out().await?;
        let changed = self.has_unchecked().await;
        let active = self.state.borrow().active();
        let cut = {
            let segment = active.state();
            segment.finished || !segment.exists
        };
        if !changed && cut {
            return Ok(());
        }
        let end = self.state.borrow().end.appended();
        self.flushed_to(end).await?;
        {
            let _files = self.files.acquire(1).await;
            active.close_time_index();
            self.finish(&active).await?;
        }
        match self.checkpoint_now(None).await {
            // The last checkpoint stands, with what the owner knew then.
            Err(LogError::NoOwner { .. }) => Ok(()),
            other => other,
        }
    }

    /// Waits until the log isn't being compacted.
    async fn not_compacting(&self) {
        loop {
            let progress = self.progress.notified();
            if !self.tasks.compacting.get() {
                return;
            }
            progress.await;
        }
    }

    /// Waits until no task of the log runs.
    async fn quiet(&self) {
        loop {
            let progress = self.progress.notified();
            if !self.is_busy() {
                return;
            }
            progress.await;
        }
    }

    /// Whether a task of the log runs.
    pub(crate) fn is_busy(&self) -> bool {
        let tasks = &self.tasks;
        tasks.writer.get()
            || tasks.flusher.get()
            || tasks.checkpointer.get()
            || tasks.compacting.get()
    }

    /// Lets go of memory and open files.
    fn let_go(&self) {
        self.drop_tail();
        let segments: Vec<_> = self.state.borrow().segments.values().cloned().collect();
        for segment in segments {
            segment.set_file(None);
        }
        self.drive.config.tail.sweep();
        self.progress.notify_waiters();
    }
}

impl State {
    /// The state of a log that lies on the drive as told; the last segment is the active one.
    pub(crate) fn new(
        end: LogEnd,
        start: i64,
        segments: impl IntoIterator<Item = std::rc::Rc<Segment>>,
        epochs: EpochCache,
    ) -> Self {
        let segments = segments
            .into_iter()
            .map(|segment| (segment.base_offset(), segment));
        let segments: std::collections::BTreeMap<_, _> = segments.collect();
        let size = segments.values().map(|segment| segment.state().len).sum();
        Self {
            status: Status::Open,
            end,
            start,
            segments,
            unfinished: std::collections::VecDeque::new(),
            tail: Tail::default(),
            partial: None,
            epochs,
            aborted: AbortedIndex::default(),
            epochs_changed: false,
            folder_changed: false,
            size,
            since_checkpoint: 0,
            changed: false,
            vouched: 0,
            compacted: 0,
            replaced: Vec::new(),
            refusals: 0,
        }
    }
}
