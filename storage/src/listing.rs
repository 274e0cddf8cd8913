//! What lies in a log's folder, and putting it in order before the log is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rt::task;

use crate::error::LogError;
use crate::index::{OffsetEntry, TimeEntry};
use crate::name::FileKind;
use crate::recovery::Listed;

/// The files of a log.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Segments in order of offset.
    pub(crate) segments: Vec<Listed>,
    /// Lengths of the offset indexes.
    offset_indexes: BTreeMap<i64, u64>,
    /// Lengths of the time indexes.
    time_indexes: BTreeMap<i64, u64>,
    /// Offsets of the snapshots.
    pub(crate) snapshots: BTreeSet<i64>,
    /// Compacted segments that are not in their places yet, by their base offsets.
    pub(crate) swaps: Vec<i64>,
    /// Files of a compaction: in a folder of Kafka's they say that it was stopped within one.
    pub(crate) compaction: Vec<String>,
    /// First markers of the chunks of the index of transactions that were given up.
    pub(crate) aborted: BTreeSet<i64>,
    /// Base offsets of the segments that have such an index of Kafka's.
    pub(crate) kafka_aborted: BTreeSet<i64>,
    /// Files that mean nothing any more.
    leftovers: Vec<String>,
}

impl Listing {
    /// Lists the folder.
    pub(crate) async fn read(folder: &Path) -> Result<Self, LogError> {
        let entries = rt::fs::list(folder).await;
        let entries = entries.map_err(LogError::io("list", folder))?;
        let mut listing = Self::default();
        for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
            match FileKind::parse(&entry.name) {
                FileKind::Log(base_offset) => listing.segments.push(Listed {
                    base_offset,
                    len: entry.len,
                }),
                FileKind::Index(base) => {
                    listing.offset_indexes.insert(base, entry.len);
                }
                FileKind::TimeIndex(base) => {
                    listing.time_indexes.insert(base, entry.len);
                }
                FileKind::Snapshot(offset) => {
                    listing.snapshots.insert(offset);
                }
                FileKind::Swap(base) => {
                    listing.swaps.push(base);
                    listing.compaction.push(entry.name);
                }
                FileKind::Cleaned => {
                    listing.leftovers.push(entry.name.clone());
                    listing.compaction.push(entry.name);
                }
                FileKind::KafkaSwap => listing.compaction.push(entry.name),
                FileKind::Aborted(first) => {
                    listing.aborted.insert(first);
                }
                FileKind::KafkaAborted(base) => {
                    listing.kafka_aborted.insert(base);
                }
                FileKind::Temporary => listing.leftovers.push(entry.name),
                FileKind::Other => {}
            }
        }
        // Names sort like offsets, but nobody should have to know that.
        listing
            .segments
            .sort_unstable_by_key(|segment| segment.base_offset);
        let orphans = listing.orphans();
        listing.leftovers.extend(orphans);
        Ok(listing)
    }

    /// Indexes whose segment is gone.
    fn orphans(&self) -> Vec<String> {
        let has_log = |base: i64| {
            let found = self.segments.binary_search_by_key(&base, |s| s.base_offset);
            found.is_ok()
        };
        let offsets = self
            .offset_indexes
            .keys()
            .map(|&base| FileKind::Index(base));
        let times = self
            .time_indexes
            .keys()
            .map(|&base| FileKind::TimeIndex(base));
        let aborted = self.kafka_aborted.iter();
        let aborted = aborted.map(|&base| FileKind::KafkaAborted(base));
        let all = offsets.chain(times).chain(aborted);
        all.filter(|kind| match kind {
            FileKind::Index(base) | FileKind::TimeIndex(base) | FileKind::KafkaAborted(base) => {
                !has_log(*base)
            }
            _ => false,
        })
        .filter_map(FileKind::name)
        .collect()
    }

    /// Entries that the segment's index files can hold, by their lengths.
    pub(crate) fn index_entries(&self, base: i64) -> (usize, usize) {
        let entries = |len: Option<&u64>, size: usize| {
            let len = usize::try_from(len.copied().unwrap_or(0)).unwrap_or(usize::MAX);
            len / size
        };
        (
            entries(self.offset_indexes.get(&base), OffsetEntry::SIZE),
            entries(self.time_indexes.get(&base), TimeEntry::SIZE),
        )
    }

    /// Removes what means nothing any more.
    pub(crate) async fn tidy(&self, folder: &Path) -> Result<(), LogError> {
        for name in &self.leftovers {
            remove_if_there(folder.join(name)).await?;
        }
        Ok(())
    }

    /// Removes a segment and its indexes.
    pub(crate) async fn remove(&self, folder: &Path, base: i64) -> Result<(), LogError> {
        let kinds = [
            FileKind::Log(base),
            FileKind::Index(base),
            FileKind::TimeIndex(base),
        ];
        for name in kinds.into_iter().filter_map(FileKind::name) {
            remove_if_there(folder.join(name)).await?;
        }
        Ok(())
    }
}

/// Removes a file, if it is there.
pub(crate) async fn remove_if_there(path: PathBuf) -> Result<(), LogError> {
    match rt::fs::remove_file(&path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LogError::io("remove", &path)(error)),
    }
}

/// Reads a small file, if it is there.
pub(crate) async fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match rt::fs::read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("read", path)(error)),
    }
}

/// The format of the first batch of a segment file, if there is one.
pub(crate) async fn first_magic(path: &Path) -> Result<Option<i8>, LogError> {
    /// Offset, length, epoch, format: as far as all formats are alike.
    const LOOK: usize = 17;
    let opened = path.to_owned();
    let read = task::blocking(move || {
        use std::io::Read;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(opened)?;
        file.take(LOOK as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = read.await.map_err(io::Error::other).flatten();
    let bytes = bytes.map_err(LogError::io("read", path))?;
    let blank = bytes.iter().all(|&byte| byte == 0);
    match bytes.last() {
        Some(&magic) if bytes.len() == LOOK && !blank => Ok(Some(i8::from_be_bytes([magic]))),
        _ => Ok(None),
    }
}
