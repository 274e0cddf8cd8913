//! What can go wrong with the metadata log.

use std::io;
use std::path::{Path, PathBuf};

use batch::BatchError;
use metadata::ApplyError;
use thiserror::Error;

use super::format::FormatError;

/// Why the metadata log can't be opened, or can't take a commit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetaLogError {
    /// A file operation failed.
    #[error("metadata log: {action} {} failed: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room for another commit; nothing was written.
    #[error(
        "metadata log: no room in {}: {source}; make room on the drive of the first data directory",
        path.display()
    )]
    Full {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged in a way that no crash explains, or is of a later version.
    #[error(
        "metadata log: {} can't be read: {error}; restore the directory from a copy, or start the \
         version of ottla that wrote it",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: FormatError,
    },
    /// Commits are missing between two files.
    #[error(
        "metadata log: {} has nothing at offset {offset}, which comes next; a file is missing or \
         was cut: restore the directory from a copy",
        dir.display()
    )]
    Gap {
        /// The directory.
        dir: PathBuf,
        /// The offset that isn't there.
        offset: i64,
    },
    /// A record doesn't follow those before it.
    #[error("metadata log: {} before offset {next}: {error}", path.display())]
    Apply {
        /// The file.
        path: PathBuf,
        /// The offset after the commit.
        next: i64,
        /// What is wrong.
        error: ApplyError,
    },
    /// The records don't fit a batch.
    #[error("metadata log: the records don't make a commit: {0}")]
    Commit(#[from] BatchError),
    /// What the quorum keeps in the log makes no sense.
    #[error(
        "metadata log: {} is of no member of a quorum: {reason}; restore the directory from a copy",
        dir.display()
    )]
    Unfit {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The quorum's member ended while it was being opened.
    #[error("the metadata can't be opened: {0}")]
    NotOpened(std::sync::Arc<str>),
    /// A write failed before; what is on the drive isn't known.
    #[error(
        "metadata log: a write to {} failed before; it takes no more until the broker is started \
         again",
        path.display()
    )]
    Poisoned {
        /// The log file.
        path: PathBuf,
    },
}

impl MetaLogError {
    pub(in crate::meta) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the log is as it was, so that the same may be tried again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Commit(_))
    }
}
