//! Snapshots of the metadata: taking one, getting one from another node, and what each makes
//! unnecessary.

use std::io;

use bytes::Bytes;
use metadata::{Image, Record};
use rt::file::DirectFile;
use rt::{fs, task, time};
use tracing::{info, warn};

use super::files::{
    Files, RECEIVED_SUFFIX, SNAPSHOT_SUFFIX, begin_file, file_path, finish_install, image_of,
};
use super::format::{self, BLOCK, Mark};
use super::{Amount, LogFile, MetaLog, MetaLogError};

impl MetaLog {
    /// Whether so much was stored since the last snapshot that another is due.
    pub(in crate::meta) fn snapshot_is_due(&self) -> bool {
        let Amount { records, bytes } = self.since;
        records >= self.options.snapshot_records.max(self.snapshot.records)
            || bytes >= self.options.snapshot_bytes.max(self.snapshot.bytes)
    }

    /// Stores a snapshot: the `records` of the image as of `mark`. On an error the log goes on, if it
    /// isn't poisoned; the snapshot is due again after as much as before. Gives its bytes.
    pub(in crate::meta) async fn take_snapshot(
        &mut self,
        mark: Mark,
        records: Vec<Record>,
    ) -> Result<Bytes, MetaLogError> {
        self.check_sound()?;
        self.since = Amount::default();
        let (now_ms, count, next) = (time::wall_ms(), records.len() as u64, mark.next);
        // Encoding a large image takes longer than others on this core should wait.
        let encoded = task::blocking(move || format::snapshot(&mark, now_ms, &records)).await;
        let bytes = encoded
            .map_err(io::Error::other)
            .map_err(MetaLogError::io("encoding a snapshot in", &self.dir))??;
        self.snapshot = Amount {
            records: count,
            bytes: bytes.len() as u64,
        };
        if !self.current().spots.is_empty() {
            self.roll().await?;
        }
        self.put_snapshot(next, bytes.clone()).await?;
        info!(
            offset = next,
            records = count,
            "stored a snapshot of the metadata"
        );
        self.remove_old().await?;
        Ok(bytes.into())
    }

    /// Takes a snapshot that another node sent, in place of all there is; gives what it stands for
    /// and its image.
    pub(in crate::meta) async fn install(
        &mut self,
        bytes: &[u8],
    ) -> Result<(Mark, Image), MetaLogError> {
        self.check_sound()?;
        let received = self.dir.join("a snapshot from another node");
        let unreadable = |error| MetaLogError::Unreadable {
            path: received.clone(),
            error,
        };
        let (mark, records) = format::read_snapshot(bytes).map_err(unreadable)?;
        let image = image_of(&records, &received, mark.next)?;
        self.poisoned = true;
        let path = file_path(&self.dir, mark.next, RECEIVED_SUFFIX);
        fs::write_atomic(&path, bytes.to_vec())
            .await
            .map_err(MetaLogError::io("writing", &path))?;
        let path = finish_install(&self.dir, &mark).await?;
        let file = DirectFile::open(&path).await;
        self.file = file.map_err(MetaLogError::io("opening", &path))?;
        self.allocated = BLOCK as u64;
        self.files = vec![LogFile {
            path,
            base: mark.next,
            before: mark.index,
            spots: Vec::new(),
        }];
        self.poisoned = false;
        self.since = Amount::default();
        self.snapshot = Amount {
            records: records.len() as u64,
            bytes: bytes.len() as u64,
        };
        Ok((mark, image))
    }

    /// Notes who takes part, where the snapshot that the log begins with doesn't say it.
    pub(in crate::meta) async fn name_members(
        &mut self,
        mark: Mark,
        records: Vec<Record>,
    ) -> Result<(), MetaLogError> {
        let bytes = format::snapshot(&mark, time::wall_ms(), &records)?;
        self.put_snapshot(mark.next, bytes).await
    }

    async fn put_snapshot(&self, offset: i64, bytes: Vec<u8>) -> Result<(), MetaLogError> {
        let path = file_path(&self.dir, offset, SNAPSHOT_SUFFIX);
        fs::write_atomic(&path, bytes)
            .await
            .map_err(MetaLogError::io("writing", &path))
    }

    /// Goes on in a new log file.
    pub(super) async fn roll(&mut self) -> Result<(), MetaLogError> {
        // If the new file is there but isn't used, entries would be looked for in the wrong one.
        self.poisoned = true;
        let (base, before) = (self.next_offset(), self.last_index());
        let path = begin_file(&self.dir, base, before).await?;
        let file = DirectFile::open(&path)
            .await
            .map_err(MetaLogError::io("opening", &path))?;
        let old = std::mem::replace(&mut self.file, file);
        let (old_path, old_end) = (self.current().path.clone(), self.current().end());
        self.files.push(LogFile {
            path,
            base,
            before,
            spots: Vec::new(),
        });
        self.allocated = BLOCK as u64;
        self.poisoned = false;
        // What is preallocated behind the last entry is of no more use. Not having given it back
        // does no harm.
        if let Err(error) = old.truncate(old_end).await {
            let path = old_path.display();
            warn!(%path, %error, "can't cut a finished metadata log to its length");
        }
        old.close()
            .await
            .map_err(MetaLogError::io("closing", &old_path))
    }

    /// Removes what neither the newest snapshot nor the one before it needs.
    async fn remove_old(&mut self) -> Result<(), MetaLogError> {
        let listed = Files::list(&self.dir).await?;
        let keep = listed.snapshots.iter().rev().nth(1).copied().unwrap_or(0);
        for &offset in listed.snapshots.iter().filter(|&&offset| offset < keep) {
            let path = file_path(&self.dir, offset, SNAPSHOT_SUFFIX);
            fs::remove_file(&path)
                .await
                .map_err(MetaLogError::io("removing", &path))?;
        }
        while let [first, second, ..] = &self.files[..]
            && second.base <= keep
        {
            fs::remove_file(&first.path)
                .await
                .map_err(MetaLogError::io("removing", &first.path))?;
            self.files.remove(0);
        }
        Ok(())
    }
}
