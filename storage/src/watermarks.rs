//! The high watermarks of a drive's logs, as the last checkpoint of them says: Kafka's
//! `replication-offset-checkpoint`.
//!
//! A start takes them for what was committed at least; that they lag behind loses nothing. What must
//! never be on the drive is one that is too high: who cuts a log back below its own writes the lower one
//! before the log grows again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use rt::sync::Credit;

use crate::drive::Drive;
use crate::error::LogError;
use crate::kafka;
use crate::listing::read_if_there;

/// The name of the file, one for all logs of a drive.
const FILE: &str = "replication-offset-checkpoint";

/// The high watermarks that a drive keeps. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Watermarks(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    by_log: RefCell<BTreeMap<(String, i32), i64>>,
    changed: Cell<bool>,
    /// Held while the file is written.
    file: Credit,
}

impl Watermarks {
    /// Reads those of a drive. A file that can't be read, or isn't understood, counts as none: every
    /// high watermark then begins at its log's start, which loses nothing.
    pub async fn open(drive: &Drive) -> Self {
        let path = drive.path().join(FILE);
        let read = read_if_there(&path).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "high watermarks begin at the logs' starts");
            None
        });
        let text = read.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let known = if text.is_empty() {
            Vec::new()
        } else {
            kafka::offsets(&text).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "high watermarks are not as Kafka writes them; they begin at the logs' starts");
                Vec::new()
            })
        };
        let entries = known
            .into_iter()
            .map(|(topic, partition, offset)| ((topic.to_owned(), partition), offset));
        Self(Rc::new(Inner {
            by_log: RefCell::new(entries.collect()),
            path,
            changed: Cell::new(false),
            file: Credit::new(1),
        }))
    }

    /// The high watermark of a log, if one is known.
    pub fn get(&self, topic: &str, partition: i32) -> Option<i64> {
        let by_log = self.0.by_log.borrow();
        by_log.get(&(topic.to_owned(), partition)).copied()
    }

    /// Notes the high watermark of a log for the next [`write`](Self::write).
    pub fn set(&self, topic: &str, partition: i32, high_watermark: i64) {
        let mut by_log = self.0.by_log.borrow_mut();
        let before = by_log.insert((topic.to_owned(), partition), high_watermark);
        if before != Some(high_watermark) {
            self.0.changed.set(true);
        }
    }

    /// Forgets a log; true if it was known.
    pub fn remove(&self, topic: &str, partition: i32) -> bool {
        let mut by_log = self.0.by_log.borrow_mut();
        let known = by_log.remove(&(topic.to_owned(), partition)).is_some();
        if known {
            self.0.changed.set(true);
        }
        known
    }

    /// Makes what was noted durable, if anything changed.
    ///
    /// # Errors
    /// [`LogError::Io`]; the file is then as it was, and the next call tries again.
    pub async fn write(&self) -> Result<(), LogError> {
        let _file = self.0.file.acquire(1).await;
        if !self.0.changed.replace(false) {
            return Ok(());
        }
        let text = encode(&self.0.by_log.borrow());
        let written = rt::fs::write_atomic(&self.0.path, text.into_bytes()).await;
        written.map_err(|error| {
            self.0.changed.set(true);
            LogError::io("write", &self.0.path)(error)
        })
    }
}

fn encode(by_log: &BTreeMap<(String, i32), i64>) -> String {
    let mut text = format!("0\n{}\n", by_log.len());
    for ((topic, partition), offset) in by_log {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let entries = [(("orders".to_owned(), 0), 7), (("orders".to_owned(), 1), 0)];
        let text = encode(&BTreeMap::from(entries));
        assert_eq!(text, "0\n2\norders 0 7\norders 1 0\n");
        assert_eq!(
            kafka::offsets(&text),
            Some(vec![("orders", 0, 7), ("orders", 1, 0)])
        );
    }
}
