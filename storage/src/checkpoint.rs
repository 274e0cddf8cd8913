//! A log's recovery point: what a start may believe without reading it. Pure.
//!
//! A checkpoint is written only after fdatasync of all it vouches for: every segment before its
//! own is finished (cut to its data, indexes written), and its own is whole up to the position.

use crate::sealed::{Sealed, SealedError};

const VERSION: u32 = 1;

/// What is known for certain about a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Base offset of the segment that was active.
    pub(crate) segment: i64,
    /// Length of its data.
    pub(crate) position: u64,
    /// Next offset there.
    pub(crate) offset: i64,
    /// First offset a reader may see.
    pub(crate) log_start: i64,
    /// Greatest timestamp in the segment and the last offset of the first batch that has it.
    pub(crate) newest: Option<(i64, i64)>,
    /// Greatest timestamp of the segment's first batch.
    pub(crate) first_timestamp: Option<i64>,
    /// Entries in its offset index file.
    pub(crate) offset_entries: usize,
    /// Entries in its time index file.
    pub(crate) time_entries: usize,
    /// Whether the owner gave a snapshot, which is then in a file of this offset.
    pub(crate) snapshot: bool,
    /// Where the log was compacted up to. The first releases don't say it: then nowhere.
    pub(crate) compacted: i64,
    /// Whether transactions were given up, so that there is an index of them. The first releases don't say
    /// it: then none were.
    pub(crate) aborted: bool,
}

/// Why a checkpoint was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error(transparent)]
    Sealed(#[from] SealedError),
    #[error("it has version {0}, this program knows up to {VERSION}")]
    Newer(u32),
    #[error("its numbers contradict each other")]
    Contradiction,
}

impl Checkpoint {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (timestamp, timestamp_offset) = self.newest.unwrap_or((-1, -1));
        Sealed::default()
            .with("version", VERSION)
            .with("segment", self.segment)
            .with("position", self.position)
            .with("offset", self.offset)
            .with("log.start.offset", self.log_start)
            .with("max.timestamp", timestamp)
            .with("max.timestamp.offset", timestamp_offset)
            .with("first.timestamp", self.first_timestamp.unwrap_or(-1))
            .with("index.entries", self.offset_entries)
            .with("timeindex.entries", self.time_entries)
            .with("snapshot", u8::from(self.snapshot))
            .with("compacted.offset", self.compacted)
            .with("aborted", u8::from(self.aborted))
            .encode()
    }

    /// Reads the file's bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let file = Sealed::decode(bytes)?;
        let version = file.number("version")?;
        if version > VERSION {
            return Err(CheckpointError::Newer(version));
        }
        let timestamp: i64 = file.number("max.timestamp")?;
        let timestamp_offset = file.number("max.timestamp.offset")?;
        let first: i64 = file.number("first.timestamp")?;
        let read = Self {
            segment: file.number("segment")?,
            position: file.number("position")?,
            offset: file.number("offset")?,
            log_start: file.number("log.start.offset")?,
            newest: (timestamp >= 0).then_some((timestamp, timestamp_offset)),
            first_timestamp: (first >= 0).then_some(first),
            offset_entries: file.number("index.entries")?,
            time_entries: file.number("timeindex.entries")?,
            snapshot: file.number::<u8>("snapshot")? != 0,
            compacted: file.number("compacted.offset").unwrap_or(0),
            aborted: file.number::<u8>("aborted").unwrap_or(0) != 0,
        };
        let sane = read.segment >= 0
            && read.offset >= read.segment
            && read.log_start >= 0
            // One that vouches for nothing of its segment may say that the log begins within it.
            && (read.log_start <= read.offset || read.position == 0);
        if sane {
            Ok(read)
        } else {
            Err(CheckpointError::Contradiction)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: Checkpoint = Checkpoint {
        segment: 100,
        position: 4097,
        offset: 230,
        log_start: 40,
        newest: Some((1_700_000_000_000, 229)),
        first_timestamp: Some(1_600_000_000_000),
        offset_entries: 3,
        time_entries: 2,
        snapshot: true,
        compacted: 90,
        aborted: true,
    };

    #[test]
    fn it_survives_its_file() {
        assert_eq!(Checkpoint::decode(&GOOD.encode()), Ok(GOOD));
        let untimed = Checkpoint {
            newest: None,
            first_timestamp: None,
            snapshot: false,
            aborted: false,
            ..GOOD
        };
        assert_eq!(Checkpoint::decode(&untimed.encode()), Ok(untimed));
    }

    #[test]
    fn contradictions_and_newer_versions_are_told() {
        for bad in [
            Checkpoint { offset: 99, ..GOOD },
            Checkpoint {
                log_start: 231,
                ..GOOD
            },
            Checkpoint {
                segment: -1,
                ..GOOD
            },
        ] {
            assert_eq!(
                Checkpoint::decode(&bad.encode()),
                Err(CheckpointError::Contradiction)
            );
        }
        let newer = Sealed::default().with("version", 2).encode();
        assert_eq!(Checkpoint::decode(&newer), Err(CheckpointError::Newer(2)));
    }

    proptest! {
        #[test]
        fn a_damaged_one_is_never_believed_to_say_something_else(at in 0_usize..400, bit in 0_u8..8) {
            let mut bytes = GOOD.encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(read) = Checkpoint::decode(&bytes) { prop_assert_eq!(read, GOOD); }
        }
    }
}
