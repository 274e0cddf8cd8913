//! Putting a compacted segment in the place of those it was made of, so that a kill at any moment leaves a
//! log that is whole: the old one or the new one.
//!
//! | step | on the drive | a start finds | and |
//! |---|---|---|---|
//! | 1 | `.log.cleaned` is written and synced | `.cleaned` | X: removes it |
//! | 2 | renamed to `.log.swap`, folder synced: from here on the new one counts | `.swap`, whole | Y: goes on with step 3 |
//! | 3 | the other segments of the group, and all indexes of it, are removed | `.swap`, whole | Y: the same |
//! | 4 | renamed to `.log`, which replaces the group's first segment, folder synced | `.log` | nothing to do |
//! | 5 | indexes written | | makes them anew where they aren't there |
//!
//! The last batch of the group is always in the new segment, so its end says which segments it stands for.
//! A `.swap` that isn't whole (Z), which only a drive that forgot what it synced can leave, is removed.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use batch::{Batch, HEADER_LEN};
use rt::task;

use crate::budget::Evict;
use crate::error::LogError;
use crate::index;
use crate::listing::{Listing, remove_if_there};
use crate::log::LogInner;
use crate::log::rewrite::Rewrite;
use crate::name::file_name;
use crate::recovery::claimed_size;
use crate::segment::Segment;

impl LogInner {
    /// Puts what was rewritten in the place of these segments.
    pub(crate) async fn swap(
        &self,
        group: &[Rc<Segment>],
        rewritten: Rewrite,
    ) -> Result<(), LogError> {
        let _files = self.files.acquire(1).await;
        if let Err(error) = self.check_compacting() {
            rewritten.discard().await;
            return Err(error);
        }
        if !self.holds_all(group) {
            // Retention was faster.
            rewritten.discard().await;
            return Err(self.interrupted());
        }
        let (segment, file, cleaned) = rewritten.into_segment();
        let swap = swap_path(segment.path());
        self.move_file(&cleaned, &swap).await.inspect_err(|error| {
            // Whether the next start finds it there isn't known, so nothing may go on before that.
            self.drive.fail(error.to_string());
        })?;
        // Its file is reached under its own name only after the next renaming; until then it is held open.
        segment.set_file(Some(file.clone()));
        self.replace(group, &segment);
        // Readers get what is left, not what memory still has.
        let end = segment.state().next_offset;
        self.evict(end);
        let settled = self.settle_swap(group, &segment, &swap).await;
        settled.inspect_err(|error| self.drive.fail(error.to_string()))?;
        self.drive.files.insert(&segment, file);
        self.write_indexes(&segment).await;
        self.progress.notify_waiters();
        Ok(())
    }

    fn holds_all(&self, group: &[Rc<Segment>]) -> bool {
        let state = self.state.borrow();
        group.iter().all(|one| {
            let found = state.segments.get(&one.base_offset());
            found.is_some_and(|found| Rc::ptr_eq(found, one))
        })
    }

    async fn move_file(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        let renamed = rt::fs::rename(from, to).await;
        renamed.map_err(LogError::io("rename", from))?;
        let synced = rt::fs::sync_dir(&self.folder).await;
        synced.map_err(LogError::io("sync", &self.folder))
    }

    /// From here on readers find the new segment; who has one of the old ones open reads on in it.
    fn replace(&self, group: &[Rc<Segment>], segment: &Rc<Segment>) {
        let state = &mut *self.state.borrow_mut();
        for one in group {
            one.state().removed = true;
            state.segments.remove(&one.base_offset());
            state.size -= one.state().len;
            state.replaced.push(Rc::downgrade(one));
        }
        state.size += segment.state().len;
        state
            .segments
            .insert(segment.base_offset(), Rc::clone(segment));
        state.changed = true;
    }

    async fn settle_swap(
        &self,
        group: &[Rc<Segment>],
        segment: &Rc<Segment>,
        swap: &Path,
    ) -> Result<(), LogError> {
        for one in group {
            if one.base_offset() == segment.base_offset() {
                remove_if_there(one.offset_index_path()).await?;
                remove_if_there(one.time_index_path()).await?;
            } else {
                self.remove_files(one).await?;
            }
        }
        self.move_file(swap, segment.path()).await
    }

    /// Writes the new segment's indexes. Without them they are made anew when they are needed.
    async fn write_indexes(&self, segment: &Segment) {
        let (offsets, times) = {
            let indexes = &segment.state().indexes;
            let offsets = indexes.offsets.not_stored(indexes.offsets.len());
            let times = indexes.times.not_stored(indexes.times.len());
            (index::encode(offsets), index::encode(times))
        };
        let written = async {
            rt::fs::write_atomic(&segment.offset_index_path(), offsets).await?;
            rt::fs::write_atomic(&segment.time_index_path(), times).await
        };
        match written.await {
            Ok(()) => {
                let indexes = &mut segment.state().indexes;
                let counts = (indexes.offsets.len(), indexes.times.len());
                indexes.offsets.mark_stored(counts.0);
                indexes.times.mark_stored(counts.1);
                // They are loaded again when somebody looks something up.
                indexes.offsets.unload();
                indexes.times.unload();
            }
            Err(error) => {
                tracing::warn!(path = %segment.path().display(), %error, "cannot write its indexes");
            }
        }
    }
}

fn swap_path(log: &Path) -> PathBuf {
    log.with_extension("log.swap")
}

/// Ends what a kill interrupted: what the folder's `.swap` files stand for is put in place.
pub(crate) async fn finish_swaps(folder: &Path, listing: &Listing) -> Result<(), LogError> {
    for &base in &listing.swaps {
        let log = folder.join(file_name(base, "log"));
        let swap = swap_path(&log);
        let read = swap.clone();
        let end = task::blocking(move || end_of(&read)).await;
        let end = end.map_err(io::Error::other).flatten();
        let Some(end) = end.map_err(LogError::io("read", &swap))? else {
            tracing::warn!(path = %swap.display(), "a compacted segment is damaged, and removed");
            remove_if_there(swap).await?;
            continue;
        };
        let stands_for = listing.segments.iter().map(|one| one.base_offset);
        for other in stands_for.filter(|&other| base < other && other < end) {
            listing.remove(folder, other).await?;
        }
        remove_if_there(log.with_extension("index")).await?;
        remove_if_there(log.with_extension("timeindex")).await?;
        let renamed = rt::fs::rename(&swap, &log).await;
        renamed.map_err(LogError::io("rename", &swap))?;
        let synced = rt::fs::sync_dir(folder).await;
        synced.map_err(LogError::io("sync", folder))?;
        tracing::info!(path = %log.display(), "a compacted segment was put in place");
    }
    Ok(())
}

/// The offset behind the last batch of a segment file; none if it isn't whole.
fn end_of(path: &Path) -> io::Result<Option<i64>> {
    let mut file = BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    let (mut bytes, mut end) = (Vec::new(), None);
    loop {
        bytes.clear();
        file.by_ref()
            .take(HEADER_LEN as u64)
            .read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(end);
        }
        let Some(size) = claimed_size(&bytes) else {
            return Ok(None);
        };
        let rest = size.saturating_sub(bytes.len());
        file.by_ref().take(rest as u64).read_to_end(&mut bytes)?;
        let whole = Batch::parse(&bytes).and_then(|batch| batch.verify_crc().map(|()| batch));
        match whole {
            Ok(batch) => end = Some(batch.next_offset()),
            Err(_) => return Ok(None),
        }
    }
}
