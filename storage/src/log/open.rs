//! Opening a log: what the tables of [`crate::recovery`] decide, carried out.
//!
//! Reads only from the last checkpoint on; of segments before it, names and lengths are enough.
//! Whatever is cut off is cut from the file too, so that bytes behind the end are zeros when the
//! file is made longer again and can never be taken for records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use batch::{BatchInfo, HEADER_LEN};
use bytes::Bytes;

use crate::LogConfig;
use crate::aborted::AbortedIndex;
use crate::checkpoint::Checkpoint;
use crate::drive::{Drive, DriveInner, LogDir};
use crate::end::LogEnd;
use crate::epoch::EpochCache;
use crate::error::LogError;
use crate::identity::encode_metadata;
use crate::kafka::{self, START_FILE};
use crate::listing::{Listing, first_magic, read_if_there};
use crate::log::read::replay;
use crate::log::swap::finish_swaps;
use crate::log::{Log, LogInner, State, aborted};
use crate::name::{
    CHECKPOINT_FILE, EPOCHS_FILE, FileKind, LogName, METADATA_FILE, TOPIC_NAME_FILE,
};
use crate::reader::{READ_MIN, Window};
use crate::recovery::{self, Case, Judged, Listed, Place, Plan, ScanFrom};
use crate::segment::Segment;

/// What the owner of a log is told while it is opened, in order: its snapshot, if there is one,
/// then the batches since.
#[derive(Clone, Debug)]
pub enum ReplayEvent {
    /// The state as of this offset. Of a partition that Kafka wrote, Kafka's own bytes.
    Snapshot(i64, Bytes),
    /// A batch of the log.
    Batch(BatchInfo),
}

impl Log {
    /// Opens a log that [`Drive::logs`] found, and tells `replay` what its owner has to know. A
    /// partition that Kafka wrote becomes a log of ours: its folder is renamed, its segments stay
    /// as they are, and new records go to a new one.
    pub async fn open(
        drive: &Drive,
        dir: &LogDir,
        config: LogConfig,
        replay: &mut dyn FnMut(ReplayEvent),
    ) -> Result<Self, LogError> {
        if let Some(failed) = drive.0.failure() {
            return Err(LogError::DriveFailed(failed));
        }
        let Some(topic_id) = dir.topic_id else {
            let path = dir.path.clone();
            return Err(LogError::NoTopicId { path });
        };
        let name = LogName {
            topic: dir.topic.clone(),
            partition: dir.partition,
            topic_id,
        };
        let folder = if dir.kafka {
            take_over(drive, dir, &name).await?
        } else {
            dir.path.clone()
        };
        let mut listing = Listing::read(&folder).await?;
        listing.tidy(&folder).await?;
        if !listing.swaps.is_empty() {
            finish_swaps(&folder, &listing).await?;
            listing = Listing::read(&folder).await?;
        }
        let mut recovery = Recovery {
            drive: Rc::clone(&drive.0),
            epochs: read_epochs(&folder).await?,
            folder,
            name,
            config,
            listing,
            kafka: dir.kafka,
            segments: BTreeMap::new(),
            unfinished: Vec::new(),
            end: 0,
            start: 0,
            read: 0,
            vouched: 0,
            compacted: 0,
            aborted: AbortedIndex::default(),
            anew: false,
        };
        recovery.run(replay).await?;
        Ok(Self(recovery.finish()))
    }
}

/// Makes a partition that Kafka wrote one of ours, if it can be.
async fn take_over(drive: &Drive, dir: &LogDir, name: &LogName) -> Result<PathBuf, LogError> {
    let listing = Listing::read(&dir.path).await?;
    if let Some(file) = listing.compaction.first() {
        let path = dir.path.join(file);
        return Err(LogError::KafkaUnfinished { path });
    }
    for segment in &listing.segments {
        let file = FileKind::Log(segment.base_offset)
            .name()
            .unwrap_or_default();
        let path = dir.path.join(file);
        match first_magic(&path).await? {
            Some(magic) if magic < batch::MAGIC => {
                return Err(LogError::OldFormat { path, magic });
            }
            _ => {}
        }
    }
    let put = async |file: &str, bytes: Vec<u8>| {
        let path = dir.path.join(file);
        let written = rt::fs::write_atomic(&path, bytes).await;
        written.map_err(LogError::io("write", &path))
    };
    let start = kafka::start_offset(drive.path(), &dir.topic, dir.partition).await?;
    if start > 0 {
        put(START_FILE, start.to_string().into_bytes()).await?;
    }
    put(METADATA_FILE, encode_metadata(name.topic_id)).await?;
    if name.is_cut() {
        put(TOPIC_NAME_FILE, name.topic.clone().into_bytes()).await?;
    }
    let folder = drive.path().join(name.folder());
    let renamed = rt::fs::rename(&dir.path, &folder).await;
    renamed.map_err(LogError::io("rename", &dir.path))?;
    let synced = rt::fs::sync_dir(drive.path()).await;
    synced.map_err(LogError::io("sync", drive.path()))?;
    tracing::info!(log = %name, folder = %folder.display(), "a partition that Kafka wrote is taken over");
    Ok(folder)
}

async fn read_epochs(folder: &Path) -> Result<EpochCache, LogError> {
    let path = folder.join(EPOCHS_FILE);
    let Some(text) = read_if_there(&path).await? else {
        return Ok(EpochCache::default());
    };
    Ok(EpochCache::decode(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "leader epochs are taken from the records");
        EpochCache::default()
    }))
}

struct Recovery {
    drive: Rc<DriveInner>,
    folder: PathBuf,
    name: LogName,
    config: LogConfig,
    listing: Listing,
    kafka: bool,
    epochs: EpochCache,
    segments: BTreeMap<i64, Rc<Segment>>,
    unfinished: Vec<Rc<Segment>>,
    end: i64,
    start: i64,
    /// Bytes read or cut off: what the next checkpoint will make unnecessary.
    read: u64,
    /// What the checkpoint says of these.
    vouched: i64,
    compacted: i64,
    aborted: AbortedIndex,
    /// Whether the owner is to be told all the log has, because an index has to be made of it.
    anew: bool,
}

impl Recovery {
    async fn run(&mut self, replay: &mut dyn FnMut(ReplayEvent)) -> Result<(), LogError> {
        let path = self.folder.join(CHECKPOINT_FILE);
        let checkpoint = read_if_there(&path).await?;
        let checkpoint = checkpoint.map(|bytes| Checkpoint::decode(&bytes));
        if let Some(Err(error)) = &checkpoint {
            tracing::warn!(log = %self.name, %error, "the checkpoint is not believed");
        }
        let checkpoint_missing = checkpoint.is_none();
        let vouched = matches!(&checkpoint, Some(Ok(known)) if known.aborted);
        let plan = match self.listing.segments.last() {
            // Stopped cleanly, all but its last segment are as they should be.
            Some(last) if self.kafka && checkpoint.is_none() => Plan::Scan(ScanFrom {
                segment: last.base_offset,
                position: 0,
                offset: last.base_offset,
            }),
            _ => recovery::plan(checkpoint, &self.listing.segments)
                .map_err(|error| LogError::newer(&path, &error))?,
        };
        if checkpoint_missing {
            self.start = kafka::stored_start(&self.folder).await?;
        }
        self.load_aborted(&plan, vouched).await?;
        match plan {
            Plan::Empty(offset) => {
                self.end = offset;
                self.start = offset;
            }
            Plan::Believe(known) => self.believe(&known, replay).await?,
            Plan::Resume(known, from) => {
                self.believe(&known, replay).await?;
                self.scan_from(from, replay).await?;
            }
            Plan::Scan(from) => {
                self.close_below(from.segment);
                let newest = self.listing.snapshots.range(..=from.offset).next_back();
                let newest = newest.copied();
                self.replay_before(from.offset, newest, replay).await?;
                self.end = from.offset;
                self.scan_from(from, replay).await?;
            }
        }
        self.settle().await
    }

    /// Takes in the index of transactions that were given up, as of where the records tell the rest.
    async fn load_aborted(&mut self, plan: &Plan, vouched: bool) -> Result<(), LogError> {
        let (upto, start) = match plan {
            Plan::Empty(_) => (0, self.start),
            Plan::Believe(known) => (known.offset, known.log_start),
            Plan::Resume(known, from) => (from.offset, known.log_start),
            Plan::Scan(from) => (from.offset, self.start),
        };
        let loaded = if self.kafka {
            aborted::load_kafkas(&self.folder, &self.listing, upto).await?
        } else {
            aborted::load(&self.folder, &self.listing, (vouched, upto, start)).await?
        };
        match loaded {
            Some(index) => self.aborted = index,
            None => {
                tracing::warn!(log = %self.name, "the index of aborted transactions is made anew");
                self.anew = true;
            }
        }
        Ok(())
    }

    /// Takes in what the checkpoint vouches for.
    async fn believe(
        &mut self,
        known: &Checkpoint,
        replay: &mut dyn FnMut(ReplayEvent),
    ) -> Result<(), LogError> {
        self.close_below(known.segment);
        let listed = self.listing.segments.iter();
        let file = listed
            .into_iter()
            .find(|segment| segment.base_offset == known.segment);
        let len = file.map(|segment| segment.len);
        let active = Segment::resumed(&self.folder, known, len, rt::time::wall_ms());
        self.segments.insert(known.segment, active);
        self.end = known.offset;
        self.start = known.log_start;
        self.vouched = known.segment;
        self.compacted = known.compacted;
        if known.snapshot || self.anew {
            let older = self.listing.snapshots.range(..=known.offset).next_back();
            self.replay_before(known.offset, older.copied(), replay)
                .await?;
        }
        Ok(())
    }

    /// Takes in the listed segments below `base`, by their names.
    fn close_below(&mut self, base: i64) {
        let listed = &self.listing.segments;
        let below = listed.partition_point(|segment| segment.base_offset < base);
        for (at, &Listed { base_offset, len }) in listed[..below].iter().enumerate() {
            let next = listed.get(at + 1).map_or(base, |next| next.base_offset);
            let entries = self.listing.index_entries(base_offset);
            let segment = Segment::closed(&self.folder, base_offset, len, next.min(base), entries);
            self.segments.insert(base_offset, segment);
        }
    }

    /// Tells the owner the state as of `upto`: the snapshot, if there is one, and the batches
    /// between.
    async fn replay_before(
        &self,
        upto: i64,
        snapshot: Option<i64>,
        told: &mut dyn FnMut(ReplayEvent),
    ) -> Result<(), LogError> {
        let segments: Vec<_> = self.segments.values().map(Rc::clone).collect();
        let snapshot = snapshot.filter(|_| !self.anew);
        replay_state(&self.drive, &self.folder, &segments, (snapshot, upto), told).await
    }

    /// Reads segments from a place on, and cuts the log where it stops being whole.
    async fn scan_from(
        &mut self,
        from: ScanFrom,
        replay: &mut dyn FnMut(ReplayEvent),
    ) -> Result<(), LogError> {
        // The batches say what follows; the file may still tell of epochs that were cut off.
        self.epochs.truncate_end(from.offset);
        let listed = self.listing.segments.clone();
        let first = listed.partition_point(|segment| segment.base_offset < from.segment);
        let mut whole = true;
        for (at, &found) in listed.iter().enumerate().skip(first) {
            let base = found.base_offset;
            let gap = base != self.end && at > first;
            if !whole || base < self.end && at > first {
                self.drop_segment(found).await?;
                continue;
            }
            if gap
                && self
                    .segments
                    .last_key_value()
                    .is_some_and(|(_, last)| self.was_cut(last))
            {
                whole = false;
                self.drop_segment(found).await?;
                continue;
            }
            self.end = self.end.max(base);
            if let Some((_, last)) = self.segments.last_key_value()
                && last.base_offset() < base
                && at > first
            {
                last.close_time_index();
                self.unfinished.push(Rc::clone(last));
            }
            let segment = match self.segments.get(&base) {
                Some(resumed) => Rc::clone(resumed),
                None => Segment::new(&self.folder, base, rt::time::wall_ms()),
            };
            segment.state().exists = true;
            self.segments.insert(base, Rc::clone(&segment));
            let case = self.scan(&segment, found.len, replay).await?;
            whole = case.is_clean();
        }
        Ok(())
    }

    /// Whether the segment's file was longer than its data.
    fn was_cut(&self, segment: &Segment) -> bool {
        let base = segment.base_offset();
        let listed = self.listing.segments.iter();
        let found = listed.into_iter().find(|listed| listed.base_offset == base);
        found.is_some_and(|found| found.len > segment.state().len)
    }

    async fn drop_segment(&mut self, found: Listed) -> Result<(), LogError> {
        let Listed { base_offset, len } = found;
        if len > 0 {
            tracing::warn!(log = %self.name, base_offset, len, "segment removed: the log ends before it");
        }
        self.read += len.max(1);
        self.listing.remove(&self.folder, base_offset).await
    }

    /// Reads one segment from where it is known on, and cuts it to what is whole.
    async fn scan(
        &mut self,
        segment: &Rc<Segment>,
        file_len: u64,
        replay: &mut dyn FnMut(ReplayEvent),
    ) -> Result<Case, LogError> {
        let failed = |error| LogError::io("read", segment.path())(error);
        let file = self.drive.files.get(segment).await.map_err(failed)?;
        let mut window = Window::new(&self.drive, file.clone(), file_len, READ_MIN);
        let from = segment.state().len;
        let case = loop {
            rt::task::yield_if_needed().await;
            let at = segment.state().len;
            let place = Place {
                left: file_len - at,
                expected: self.end,
                segment: segment.base_offset(),
            };
            let mut want = HEADER_LEN;
            let judged = loop {
                let bytes = window.bytes(at, want).await.map_err(failed)?;
                match recovery::judge(bytes, place) {
                    Judged::Need(more) => want = more,
                    other => break other,
                }
            };
            match judged {
                Judged::Keep(info) => {
                    segment.note(&info, self.config.index_interval_bytes);
                    self.end = info.next_offset();
                    self.epochs.assign(info.leader_epoch, info.base_offset);
                    replay(ReplayEvent::Batch(info));
                }
                Judged::End(case) => break case,
                Judged::Need(_) => unreachable!("what was needed has been shown"),
            }
        };
        let len = segment.state().len;
        segment.all_written();
        self.read += (len - from).max(1);
        if !case.is_clean() {
            let lost = file_len - len;
            let found = case.text();
            tracing::warn!(log = %self.name, segment = segment.base_offset(), at = len, lost, found, "log cut");
        }
        if file_len > len {
            let cut = file.truncate(len).await;
            cut.map_err(LogError::io("cut", segment.path()))?;
        }
        segment.state().allocated = len;
        let synced = file.fdatasync().await;
        synced.map_err(LogError::io("sync", segment.path()))?;
        Ok(case)
    }

    /// Makes what was found a log: an active segment at the end, the start within.
    async fn settle(&mut self) -> Result<(), LogError> {
        self.epochs.truncate_end(self.end);
        if self.kafka {
            // What Kafka says doesn't outweigh the records that are there.
            self.start = self.start.min(self.end);
        }
        if self.end < self.start {
            // Records that were there are not; offsets that were given are not given again.
            tracing::warn!(log = %self.name, end = self.end, start = self.start, "log ends below its start");
            let bases: Vec<_> = self.segments.keys().copied().collect();
            for base in bases {
                self.listing.remove(&self.folder, base).await?;
            }
            self.segments.clear();
            self.unfinished.clear();
            self.end = self.start;
        }
        let last = self
            .segments
            .last_key_value()
            .map(|(_, last)| Rc::clone(last));
        let now = rt::time::wall_ms();
        match last {
            // Kafka's segment stays as it is; new records go to a new one.
            Some(last) if self.kafka && last.state().len > 0 => {
                last.close_time_index();
                self.unfinished.push(last);
                self.begin_segment(now);
            }
            Some(last) if self.kafka => {
                self.listing
                    .remove(&self.folder, last.base_offset())
                    .await?;
                self.segments.remove(&last.base_offset());
                self.begin_segment(now);
            }
            Some(_) => {}
            None => self.begin_segment(now),
        }
        if let Some((&first, _)) = self.segments.first_key_value() {
            self.start = self.start.max(first.min(self.end));
        }
        Ok(())
    }

    fn begin_segment(&mut self, now_ms: i64) {
        let segment = Segment::new(&self.folder, self.end, now_ms);
        self.segments.insert(self.end, segment);
        self.read += 1;
    }

    fn finish(self) -> Rc<LogInner> {
        let segments = self.segments.into_values();
        let mut state = State::new(LogEnd::at(self.end), self.start, segments, self.epochs);
        state.unfinished.extend(self.unfinished);
        state.aborted = self.aborted;
        state.since_checkpoint = self.read;
        state.changed = self.read > 0;
        state.epochs_changed = self.read > 0;
        state.vouched = self.vouched;
        state.compacted = self.compacted.min(self.end);
        tracing::debug!(
            log = %self.name, start = state.start, end = self.end, read = self.read, "log opened"
        );
        LogInner::new(
            self.name,
            self.folder,
            &self.drive,
            self.config,
            state,
            true,
        )
    }
}

/// Tells an owner its state: the snapshot of an offset, if there is one, and the batches of these
/// segments from there up to another.
pub(crate) async fn replay_state(
    drive: &Rc<DriveInner>,
    folder: &Path,
    segments: &[Rc<Segment>],
    (snapshot, upto): (Option<i64>, i64),
    told: &mut dyn FnMut(ReplayEvent),
) -> Result<(), LogError> {
    let mut from = 0;
    if let Some(offset) = snapshot {
        let name = FileKind::Snapshot(offset).name().unwrap_or_default();
        let path = folder.join(name);
        let bytes = rt::fs::read(&path)
            .await
            .map_err(LogError::io("read", &path))?;
        told(ReplayEvent::Snapshot(offset, bytes.into()));
        from = offset;
    }
    if from >= upto {
        return Ok(());
    }
    let mut batch = |info| told(ReplayEvent::Batch(info));
    replay(drive, segments, (from, upto), &mut batch).await?;
    Ok(())
}
