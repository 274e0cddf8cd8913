//! The index of transactions that were given up, on the drive: reading it, and keeping it in step with the
//! log.
//!
//! Its files are written before the checkpoint that vouches for them, and only the list says which chunks
//! count, so a kill at any moment leaves one that is true up to a checkpoint; what follows is learned
//! from the records again. A list or a chunk that can't be believed costs a look at the whole log.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::aborted::{
    self, AbortedIndex, AbortedTransaction, Captured, Chunk, Cut, decode_chunk, overlapping,
};
use crate::error::{LogError, ReadError};
use crate::listing::{Listing, read_if_there, remove_if_there};
use crate::log::{Log, LogInner};
use crate::name::{ABORTED_FILE, FileKind};

impl Log {
    /// Takes note of a transaction that was given up, whose marker is in the log. In the order of the
    /// markers; one that is known already is left out.
    pub fn note_aborted(&self, entry: AbortedTransaction) {
        let state = &mut *self.0.state.borrow_mut();
        state.aborted.note(entry);
        state.changed = true;
    }

    /// The transactions that were given up and have an offset from `from` up to `upto`, exclusive, in the
    /// order of their markers.
    ///
    /// # Errors
    /// [`ReadError`] where a file can't be read; then nothing can be said.
    pub async fn aborted(
        &self,
        from: i64,
        upto: i64,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.0.aborted(from, upto).await
    }
}

impl LogInner {
    async fn aborted(&self, from: i64, upto: i64) -> Result<Vec<AbortedTransaction>, ReadError> {
        loop {
            let search = self.state.borrow().aborted.search(from, upto);
            let mut found = Vec::new();
            match self
                .look_through(&search.chunks, (from, upto), &mut found)
                .await
            {
                Ok(true) => return Ok(found),
                Ok(false) => {
                    found.extend(search.newest);
                    return Ok(found);
                }
                // It went while it was looked for: with records that were deleted, or cut off.
                Err((chunk, _)) if !self.state.borrow().aborted.chunks().contains(&chunk) => {}
                Err((_, error)) => return Err(error),
            }
        }
    }

    async fn look_through(
        &self,
        chunks: &[Chunk],
        between: (i64, i64),
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<bool, (Chunk, ReadError)> {
        for &chunk in chunks {
            let entries = self.chunk(chunk).await.map_err(|error| (chunk, error))?;
            if overlapping(&entries, between, found) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn chunk(&self, chunk: Chunk) -> Result<Rc<[AbortedTransaction]>, ReadError> {
        if let Some((cached, entries)) = &self.state.borrow().aborted.cached
            && *cached == chunk
        {
            return Ok(Rc::clone(entries));
        }
        let entries: Rc<[_]> = match read_chunk(&self.folder, chunk).await {
            Ok(entries) => entries.into(),
            Err(error) => {
                if matches!(error, ReadError::Damaged { .. })
                    && let Err(error) = self.remove_chunks(&[chunk]).await
                {
                    tracing::warn!(log = %self.name, %error, "a damaged file is still there");
                }
                return Err(error);
            }
        };
        self.state.borrow_mut().aborted.cached = Some((chunk, Rc::clone(&entries)));
        Ok(entries)
    }

    /// Writes what a checkpoint captured.
    pub(crate) async fn put_aborted(&self, captured: &Captured) -> Result<(), LogError> {
        for (chunk, bytes) in &captured.chunks {
            self.put(&chunk_name(*chunk), bytes.clone()).await?;
        }
        self.put(ABORTED_FILE, captured.list.clone()).await?;
        self.state.borrow_mut().aborted.written(captured);
        Ok(())
    }

    /// Forgets the transactions that end at `end` or behind it, durably. The log's small files are held.
    pub(crate) async fn cut_aborted(&self, end: i64) -> Result<(), LogError> {
        let cut = {
            let state = &mut *self.state.borrow_mut();
            state.aborted.cached = None;
            state.aborted.cut(end)
        };
        let captured = {
            let kept = match cut.divided {
                Some(chunk) => read_chunk(&self.folder, chunk).await?,
                None => Vec::new(),
            };
            let state = &mut *self.state.borrow_mut();
            state.aborted.reopen(&kept, end);
            state.aborted.capture()
        };
        if let Some(captured) = captured {
            self.put_aborted(&captured).await?;
        }
        self.remove_chunks(&cut.removed).await
    }

    /// Removes chunks that are in the index no longer.
    pub(crate) async fn remove_chunks(&self, chunks: &[Chunk]) -> Result<(), LogError> {
        for chunk in chunks {
            remove_if_there(self.folder.join(chunk_name(*chunk))).await?;
        }
        Ok(())
    }
}

fn chunk_name(chunk: Chunk) -> String {
    FileKind::Aborted(chunk.first).name().unwrap_or_default()
}

async fn read_chunk(folder: &Path, chunk: Chunk) -> Result<Vec<AbortedTransaction>, ReadError> {
    let path = folder.join(chunk_name(chunk));
    let bytes = match rt::fs::read(&path).await {
        Ok(bytes) => bytes,
        Err(source) => return Err(ReadError::Io { path, source }),
    };
    decode_chunk(&bytes).ok_or_else(|| ReadError::Damaged {
        path,
        position: 0,
        reason: "it is no list of aborted transactions; it is removed, and made anew when the node starts again"
            .to_owned(),
    })
}

/// The index of a log as of `upto`, if it can be believed; `vouched` if there must be one. Files of it that
/// don't count are removed.
pub(crate) async fn load(
    folder: &Path,
    listing: &Listing,
    (vouched, upto, log_start): (bool, i64, i64),
) -> Result<Option<AbortedIndex>, LogError> {
    let index = match read_if_there(&folder.join(ABORTED_FILE)).await? {
        Some(bytes) => AbortedIndex::decode(&bytes),
        None => (!vouched).then(AbortedIndex::default),
    };
    let Some(mut index) = index else {
        return Ok(None);
    };
    let listed: BTreeSet<i64> = index.chunks().iter().map(|chunk| chunk.first).collect();
    // Their files may have gone already.
    index.drop_below(log_start);
    let Cut { divided, .. } = index.cut(upto);
    if let Some(chunk) = divided {
        match read_chunk(folder, chunk).await {
            Ok(entries) => index.reopen(&entries, upto),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "an index is made anew");
                return Ok(None);
            }
        }
    }
    let there = |chunk: &Chunk| listing.aborted.contains(&chunk.first);
    if !index.chunks().iter().all(there) {
        return Ok(None);
    }
    // What the list on the drive still has stays until there is another.
    for &first in listing
        .aborted
        .iter()
        .filter(|first| !listed.contains(first))
    {
        let chunk = Chunk { first, last: first };
        remove_if_there(folder.join(chunk_name(chunk))).await?;
    }
    Ok(Some(index))
}

/// The index of a log that Kafka wrote: what its segments' have, as of `upto`. `None` if one of them can't
/// be believed.
pub(crate) async fn load_kafkas(
    folder: &Path,
    listing: &Listing,
    upto: i64,
) -> Result<Option<AbortedIndex>, LogError> {
    let mut all: Vec<AbortedTransaction> = Vec::new();
    for &base in &listing.kafka_aborted {
        let name = FileKind::KafkaAborted(base).name().unwrap_or_default();
        let bytes = read_if_there(&folder.join(name)).await?.unwrap_or_default();
        let Some(entries) = aborted::decode_kafka(&bytes) else {
            return Ok(None);
        };
        all.extend(entries);
    }
    let mut index = AbortedIndex::default();
    for entry in all.into_iter().filter(|entry| entry.last_offset < upto) {
        index.note(entry);
    }
    Ok(Some(index))
}
