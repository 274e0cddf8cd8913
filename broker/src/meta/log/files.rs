//! The directory of the metadata log: names of its files, reading them, and which snapshot counts.

use std::io;
use std::path::{Path, PathBuf};

use rt::fs;
use tracing::warn;

use super::format::{self, Entry, FormatError, Mark, Scanned};
use super::{Amount, LogFile, MetaLogError, Spot};
use metadata::{Image, Record};

pub(super) const LOG_SUFFIX: &str = ".log";
pub(super) const SNAPSHOT_SUFFIX: &str = ".snapshot";
/// Of a snapshot that another node sent, until all it replaces is gone.
pub(super) const RECEIVED_SUFFIX: &str = ".received";
const TEMPORARY_SUFFIX: &str = ".tmp";
const DAMAGED_EXTENSION: &str = "snapshot-damaged";

/// The files of a log, by the offsets in their names.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) logs: Vec<i64>,
    pub(super) snapshots: Vec<i64>,
    pub(super) received: Option<i64>,
}

/// Whether a metadata log was begun in `dir`.
///
/// # Errors
/// [`MetaLogError`] where the directory can't be read.
pub async fn is_begun(dir: &Path) -> Result<bool, MetaLogError> {
    match Files::list(dir).await {
        Ok(files) => Ok(!files.snapshots.is_empty() || files.received.is_some()),
        Err(MetaLogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl Files {
    /// Lists `dir`, lowest offsets first, and clears away what a crash left half-written.
    pub(super) async fn list(dir: &Path) -> Result<Self, MetaLogError> {
        let mut files = Self::default();
        for entry in fs::list(dir)
            .await
            .map_err(MetaLogError::io("listing", dir))?
        {
            let offset = |suffix| {
                entry
                    .name
                    .strip_suffix(suffix)
                    .filter(|name| name.len() == 20)?
                    .parse()
                    .ok()
            };
            if let Some(offset) = offset(LOG_SUFFIX) {
                files.logs.push(offset);
            } else if let Some(offset) = offset(SNAPSHOT_SUFFIX) {
                files.snapshots.push(offset);
            } else if let Some(offset) = offset(RECEIVED_SUFFIX) {
                files.received = Some(offset);
            } else if entry.name.ends_with(TEMPORARY_SUFFIX) {
                let path = dir.join(&entry.name);
                fs::remove_file(&path)
                    .await
                    .map_err(MetaLogError::io("removing", &path))?;
            }
        }
        // The names have a fixed width, but a copy of a directory may be listed as it likes.
        files.logs.sort_unstable();
        files.snapshots.sort_unstable();
        Ok(files)
    }
}

pub(super) fn file_path(dir: &Path, offset: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{offset:020}{suffix}"))
}

/// Puts an empty log file in place whose first record will have offset `base`, after `entries` entries.
pub(super) async fn begin_file(
    dir: &Path,
    base: i64,
    entries: u64,
) -> Result<PathBuf, MetaLogError> {
    let path = file_path(dir, base, LOG_SUFFIX);
    fs::write_atomic(&path, format::log_header(base, entries))
        .await
        .map_err(MetaLogError::io("writing", &path))?;
    Ok(path)
}

/// What the snapshots give.
pub(super) struct Loaded {
    pub(super) mark: Mark,
    pub(super) image: Image,
    pub(super) size: Amount,
    /// Snapshots that are newer and no good.
    pub(super) damaged: Vec<PathBuf>,
}

/// The newest snapshot that is whole. Without snapshots: nothing, at offset 0.
pub(super) async fn load_snapshot(dir: &Path, files: &Files) -> Result<Loaded, MetaLogError> {
    let (mut damaged, mut first) = (Vec::new(), None);
    for &offset in files.snapshots.iter().rev() {
        let path = file_path(dir, offset, SNAPSHOT_SUFFIX);
        match load(&path, offset).await {
            Ok((mark, image, size)) => {
                return Ok(Loaded {
                    mark,
                    image,
                    size,
                    damaged,
                });
            }
            Err(error @ MetaLogError::Unreadable { .. }) => {
                warn!(%error, "going back to the snapshot of the metadata before this one");
                damaged.push(path);
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(error) if !files.logs.contains(&0) => Err(error),
        _ => Ok(Loaded {
            mark: Mark::nothing(),
            image: Image::new(),
            size: Amount::default(),
            damaged,
        }),
    }
}

async fn load(path: &Path, offset: i64) -> Result<(Mark, Image, Amount), MetaLogError> {
    let bytes = fs::read(path)
        .await
        .map_err(MetaLogError::io("reading", path))?;
    let unreadable = |error| MetaLogError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let (mark, records) = format::read_snapshot(&bytes).map_err(unreadable)?;
    if mark.next != offset {
        return Err(unreadable(FormatError::Header));
    }
    let image = image_of(&records, path, mark.next)?;
    Ok((
        mark,
        image,
        Amount {
            records: records.len() as u64,
            bytes: bytes.len() as u64,
        },
    ))
}

/// The image that a snapshot's records make.
pub(super) fn image_of(records: &[Record], path: &Path, next: i64) -> Result<Image, MetaLogError> {
    let mut image = Image::new();
    for record in records {
        image.apply(record).map_err(|error| MetaLogError::Apply {
            path: path.to_owned(),
            next,
            error,
        })?;
    }
    Ok(image)
}

async fn read_log(path: &Path) -> Result<Scanned, MetaLogError> {
    let bytes = fs::read(path)
        .await
        .map_err(MetaLogError::io("reading", path))?;
    format::scan_log(&bytes).map_err(|error| MetaLogError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

/// What the log's files hold.
pub(super) struct Read {
    pub(super) files: Vec<LogFile>,
    /// The entries behind the snapshot.
    pub(super) entries: Vec<Entry>,
    /// The last index that was known to be committed when the last entry was written.
    pub(super) commit: u64,
    /// The last file, and what was found in it.
    pub(super) last: (PathBuf, Scanned),
}

/// Reads the log's files.
pub(super) async fn read_files(
    dir: &Path,
    listed: &Files,
    mark: &Mark,
) -> Result<Read, MetaLogError> {
    let gap = |offset| MetaLogError::Gap {
        dir: dir.to_owned(),
        offset,
    };
    // A snapshot is stored when the file behind it has begun.
    if listed.logs.last().is_none_or(|&base| base < mark.next) {
        return Err(gap(mark.next));
    }
    let first = listed.logs.partition_point(|&base| base <= mark.next);
    let first = first.checked_sub(1).ok_or_else(|| gap(mark.next))?;
    let (mut files, mut entries, mut last, mut commit) = (Vec::new(), Vec::new(), None, 0);
    for &base in &listed.logs[..first] {
        files.push(LogFile::old(file_path(dir, base, LOG_SUFFIX), base));
    }
    let mut reached: Option<(i64, u64)> = None;
    for &base in &listed.logs[first..] {
        let path = file_path(dir, base, LOG_SUFFIX);
        let scanned = read_log(&path).await?;
        let (next, before) = match reached {
            Some((next, index)) if scanned.version > 1 => (next, index.max(scanned.before)),
            Some(follows) => follows,
            None => (base, scanned.before),
        };
        if scanned.base != next || base != next || scanned.version > 1 && scanned.before != before {
            return Err(gap(next));
        }
        let mut position_end = scanned.entries.iter().skip(1).map(|stored| stored.position);
        let spots = scanned.entries.iter().map(|stored| Spot {
            next: stored.next,
            end: position_end.next().unwrap_or(scanned.end) as u64,
        });
        let file = LogFile {
            path: path.clone(),
            base,
            before,
            spots: spots.collect(),
        };
        let found = (before + 1..).zip(&scanned.entries);
        let found = found.map(|(index, stored)| Entry {
            index,
            term: stored.term,
            body: stored.body.clone(),
        });
        entries.extend(found.filter(|entry| entry.index > mark.index));
        commit = scanned
            .entries
            .iter()
            .map(|stored| stored.commit)
            .fold(commit, u64::max);
        reached = Some((scanned.next, file.last_index()));
        files.push(file);
        last = Some((path, scanned));
    }
    if reached.is_none_or(|(next, _)| next < mark.next) {
        return Err(gap(mark.next));
    }
    let last = last.ok_or_else(|| gap(mark.next))?;
    Ok(Read {
        files,
        entries,
        commit,
        last,
    })
}

/// Puts a snapshot that another node sent in place of all there is; gives the log file behind it. May
/// be done again if it was not done to its end.
pub(super) async fn finish_install(dir: &Path, mark: &Mark) -> Result<PathBuf, MetaLogError> {
    let listed = Files::list(dir).await?;
    let logs = listed.logs.iter().map(|&base| (base, LOG_SUFFIX));
    let snapshots = listed
        .snapshots
        .iter()
        .map(|&offset| (offset, SNAPSHOT_SUFFIX));
    for (offset, suffix) in logs.chain(snapshots) {
        let path = file_path(dir, offset, suffix);
        fs::remove_file(&path)
            .await
            .map_err(MetaLogError::io("removing", &path))?;
    }
    let path = begin_file(dir, mark.next, mark.index).await?;
    let received = file_path(dir, mark.next, RECEIVED_SUFFIX);
    let snapshot = file_path(dir, mark.next, SNAPSHOT_SUFFIX);
    fs::rename(&received, &snapshot)
        .await
        .map_err(MetaLogError::io("renaming", &received))?;
    fs::sync_dir(dir)
        .await
        .map_err(MetaLogError::io("syncing", dir))?;
    Ok(path)
}

/// Goes on where an installation was broken off.
pub(super) async fn resume_install(dir: &Path, offset: i64) -> Result<(), MetaLogError> {
    let path = file_path(dir, offset, RECEIVED_SUFFIX);
    let bytes = fs::read(&path)
        .await
        .map_err(MetaLogError::io("reading", &path))?;
    let read = format::read_snapshot(&bytes);
    let (mark, _) = read.map_err(|error| MetaLogError::Unreadable { path, error })?;
    finish_install(dir, &mark).await?;
    Ok(())
}

/// Renames damaged snapshots, so that they aren't counted on and are there for who wants to know.
pub(super) async fn set_aside(damaged: &[PathBuf]) -> Result<(), MetaLogError> {
    for path in damaged {
        let aside = path.with_extension(DAMAGED_EXTENSION);
        let failed = MetaLogError::io("setting aside", path);
        fs::rename(path, &aside).await.map_err(failed)?;
    }
    Ok(())
}
