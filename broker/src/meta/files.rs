//! The directory of the metadata log: names of its files, reading them, and which snapshot counts.

use std::path::{Path, PathBuf};

use rt::fs;
use tracing::warn;

use super::format::{self, FormatError, Scanned};
use super::log::{Amount, MetaLogError};
use metadata::Image;

pub(super) const LOG_SUFFIX: &str = ".log";
pub(super) const SNAPSHOT_SUFFIX: &str = ".snapshot";
const TEMPORARY_SUFFIX: &str = ".tmp";
const DAMAGED_EXTENSION: &str = "snapshot-damaged";

/// The files of a log, by the offsets in their names.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) logs: Vec<i64>,
    pub(super) snapshots: Vec<i64>,
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

/// Puts an empty log file in place whose first record will have offset `base`.
pub(super) async fn begin_file(dir: &Path, base: i64) -> Result<PathBuf, MetaLogError> {
    let path = file_path(dir, base, LOG_SUFFIX);
    fs::write_atomic(&path, format::log_header(base))
        .await
        .map_err(MetaLogError::io("writing", &path))?;
    Ok(path)
}

/// What the snapshots give.
pub(super) struct Loaded {
    pub(super) offset: i64,
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
        match read_snapshot(&path, offset).await {
            Ok((image, size)) => {
                return Ok(Loaded {
                    offset,
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
            offset: 0,
            image: Image::new(),
            size: Amount::default(),
            damaged,
        }),
    }
}

async fn read_snapshot(path: &Path, offset: i64) -> Result<(Image, Amount), MetaLogError> {
    let bytes = fs::read(path)
        .await
        .map_err(MetaLogError::io("reading", path))?;
    let unreadable = |error| MetaLogError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let (next, records) = format::read_snapshot(&bytes).map_err(unreadable)?;
    if next != offset {
        return Err(unreadable(FormatError::Header));
    }
    let mut image = Image::new();
    for record in &records {
        image.apply(record).map_err(|error| MetaLogError::Apply {
            path: path.to_owned(),
            next,
            error,
        })?;
    }
    Ok((
        image,
        Amount {
            records: records.len() as u64,
            bytes: bytes.len() as u64,
        },
    ))
}

pub(super) async fn read_log(path: &Path) -> Result<Scanned, MetaLogError> {
    let bytes = fs::read(path)
        .await
        .map_err(MetaLogError::io("reading", path))?;
    format::scan_log(&bytes).map_err(|error| MetaLogError::Unreadable {
        path: path.to_owned(),
        error,
    })
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
