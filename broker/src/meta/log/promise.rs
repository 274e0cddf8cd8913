//! What this node promised in elections: the newest term it knows of, and its vote in that term. A node
//! that forgot it could vote twice. And how far it knew the log to be committed.

use std::path::Path;

use rt::fs;

use super::MetaLogError;
use super::format::{self, Entry, Mark};

/// The file of promises.
pub(super) const FILE: &str = "quorum-state";

/// What was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::meta) struct Promise {
    /// The newest term.
    pub(in crate::meta) term: u64,
    /// The node that has this one's vote in it, if one has.
    pub(in crate::meta) vote: Option<i32>,
    /// The last index known to be committed.
    pub(in crate::meta) commit: u64,
}

/// What the node whose log this is has promised.
pub(super) async fn load(
    dir: &Path,
    mark: &Mark,
    entries: &[Entry],
    commit: u64,
) -> Result<Promise, MetaLogError> {
    let path = dir.join(FILE);
    let last = entries.last().map_or(mark.index, |last| last.index);
    let seen = entries.last().map_or(mark.term, |last| last.term);
    match fs::read(&path).await {
        Ok(bytes) => {
            let read = format::read_promise(&bytes);
            let promise = read.map_err(|error| MetaLogError::Unreadable { path, error })?;
            Ok(Promise {
                term: promise.term.max(seen),
                // A vote counts in its own term only.
                vote: promise.vote.filter(|_| promise.term >= seen),
                // Of the last write there may be the beginning only.
                commit: promise.commit.max(commit).clamp(mark.index, last),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Promise {
            term: seen,
            vote: None,
            commit: commit.clamp(mark.index, last),
        }),
        Err(error) => Err(MetaLogError::io("reading", &path)(error)),
    }
}

/// Makes a promise durable.
pub(super) async fn store(dir: &Path, promise: Promise) -> Result<(), MetaLogError> {
    let path = dir.join(FILE);
    fs::write_atomic(&path, format::promise(promise))
        .await
        .map_err(MetaLogError::io("writing", &path))
}
