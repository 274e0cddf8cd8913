//! What a start makes of what it finds on a drive: a table of lettered cases. Pure.
//!
//! **What lies where a batch may begin** ([`judge`]); every cut makes the log end there, and all
//! that follows, later segments too, is removed:
//!
//! | case | found | decision |
//! |---|---|---|
//! | A | the end of the file | the log ends |
//! | B | zeros | the log ends; the rest was preallocated |
//! | C | less than a header, not zeros | cut: torn |
//! | D | a format version other than 2 | cut: not a batch |
//! | E | a length no batch has | cut: not a batch |
//! | F | a batch longer than the file | cut: torn |
//! | G | an offset below the expected one | cut: stale |
//! | H | a checksum that does not fit | cut: torn or damaged |
//! | I | counts or offsets that contradict each other | cut: not a batch |
//! | J | an offset too far from the segment's first | cut: not of this segment |
//! | K | a whole batch | keep, go on behind it |
//!
//! **The checkpoint** ([`plan`]):
//!
//! | case | found | decision |
//! |---|---|---|
//! | L | none | read all segments |
//! | M | one that can't be believed | read all segments |
//! | N | one of a newer version | refuse to open |
//! | O | its segment isn't there | read the segments behind it, else the last one |
//! | P | its segment is shorter than it says | read that segment from its start, and those behind |
//! | Q | its segment is the last and as long as it says (none, if that is nothing) | read nothing |
//! | R | its segment is longer, or not the last | read from its position |
//!
//! **An index file** ([`judge_index`], when the index is first needed):
//!
//! | case | found | decision |
//! |---|---|---|
//! | S | none, or an empty one though the segment is longer than the interval | make it anew |
//! | T | a length that isn't whole entries, or fewer than were written | make it anew |
//! | U | more entries than were written | believe those that were |
//! | V | entries out of order or behind the data | make it anew |
//! | W | entries in order | believe |

use batch::{Batch, BatchError, BatchInfo, HEADER_LEN, LOG_OVERHEAD};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::index::{self, Entry, IndexFault, SegmentEnd};

/// Longest batch this crate takes or believes: bounds what a damaged length can make it read.
pub const BATCH_MAX: usize = 256 << 20;

/// A letter of the tables above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
}

impl Case {
    /// Whether the log ended as it should: nothing that was begun is lost.
    pub(crate) fn is_clean(self) -> bool {
        matches!(self, Self::A | Self::B)
    }

    /// What was found, for the log of events.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::A => "the end of the file",
            Self::B => "zeros",
            Self::C => "less than a header",
            Self::D => "another format version",
            Self::E => "a length no batch has",
            Self::F => "a batch longer than the file",
            Self::G => "a stale offset",
            Self::H => "a wrong checksum",
            Self::I => "counts that contradict each other",
            Self::J => "an offset too far from the segment's first",
        }
    }
}

/// What is expected where a batch may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Bytes from here to the end of the file.
    pub(crate) left: u64,
    /// Least base offset a batch here can have.
    pub(crate) expected: i64,
    /// Base offset of the segment.
    pub(crate) segment: i64,
}

/// The judgement of [`judge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Show this many bytes.
    Need(usize),
    /// Case K.
    Keep(BatchInfo),
    /// The log ends here.
    End(Case),
}

/// Judges the bytes from a place on, of which there may be fewer than `place.left`.
pub(crate) fn judge(bytes: &[u8], place: Place) -> Judged {
    if place.left == 0 {
        return Judged::End(Case::A);
    }
    let head = usize::try_from(place.left).map_or(HEADER_LEN, |left| left.min(HEADER_LEN));
    let Some(header) = bytes.get(..head) else {
        return Judged::Need(head);
    };
    if header.iter().all(|&byte| byte == 0) {
        return Judged::End(Case::B);
    }
    if head < HEADER_LEN {
        return Judged::End(Case::C);
    }
    let parsed = match Batch::parse(bytes) {
        Ok(batch) => batch,
        Err(BatchError::BadMagic(_)) => return Judged::End(Case::D),
        Err(BatchError::Truncated { needed, .. }) if needed > BATCH_MAX => {
            return Judged::End(Case::E);
        }
        Err(BatchError::Truncated { needed, .. }) if needed as u64 > place.left => {
            return Judged::End(Case::F);
        }
        Err(BatchError::Truncated { needed, .. }) => return Judged::Need(needed),
        Err(_) => return Judged::End(Case::E),
    };
    // The offset lies outside the checksum, so it is looked at on its own.
    if parsed.base_offset() < place.expected {
        return Judged::End(Case::G);
    }
    if parsed.verify_crc().is_err() {
        return Judged::End(Case::H);
    }
    let delta = i64::from(parsed.last_offset_delta());
    let count = i64::from(parsed.record_count());
    if delta < 0 || !(0..=delta + 1).contains(&count) || parsed.last_offset() == i64::MAX {
        return Judged::End(Case::I);
    }
    if parsed.last_offset() - place.segment > i64::from(i32::MAX) {
        return Judged::End(Case::J);
    }
    Judged::Keep(parsed.info())
}

/// Length of the batch whose header these bytes begin with, where they look like one. For walks
/// that skip batches; checks no more than that it can be stepped over.
pub(crate) fn claimed_size(header: &[u8]) -> Option<usize> {
    let length = header.get(8..LOG_OVERHEAD)?;
    let length = i32::from_be_bytes(length.try_into().ok()?);
    let size = LOG_OVERHEAD + usize::try_from(length).ok()?;
    (HEADER_LEN..=BATCH_MAX).contains(&size).then_some(size)
}

/// A segment as the folder lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) base_offset: i64,
    pub(crate) len: u64,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanFrom {
    /// Base offset of the segment to begin with; those behind it are read whole.
    pub(crate) segment: i64,
    /// Position in it.
    pub(crate) position: u64,
    /// Least offset expected there.
    pub(crate) offset: i64,
}

/// What a start does about a log's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Believe the checkpoint, read nothing.
    Believe(Checkpoint),
    /// Read from here on; the checkpoint is believed for what lies before.
    Resume(Checkpoint, ScanFrom),
    /// Read from here on; segments before it are believed by their names.
    Scan(ScanFrom),
    /// There is no data: an empty log that goes on at this offset.
    Empty(i64),
}

/// Decides by the checkpoint, if there is one, and the listed segments, in order of offset.
pub(crate) fn plan(
    checkpoint: Option<Result<Checkpoint, CheckpointError>>,
    segments: &[Listed],
) -> Result<Plan, CheckpointError> {
    let whole = |segment: Listed| {
        Plan::Scan(ScanFrom {
            segment: segment.base_offset,
            position: 0,
            offset: segment.base_offset,
        })
    };
    let (Some(&first), Some(&last)) = (segments.first(), segments.last()) else {
        return match checkpoint {
            Some(Ok(known)) if known.position == 0 => Ok(Plan::Believe(known)),
            Some(Ok(known)) => Ok(Plan::Empty(known.offset)),
            Some(Err(CheckpointError::Newer(version))) => Err(CheckpointError::Newer(version)),
            _ => Ok(Plan::Empty(0)),
        };
    };
    let known = match checkpoint {
        None => return Ok(whole(first)),
        Some(Err(CheckpointError::Newer(version))) => return Err(CheckpointError::Newer(version)),
        Some(Err(_)) => return Ok(whole(first)),
        Some(Ok(known)) => known,
    };
    let at = segments.partition_point(|listed| listed.base_offset < known.segment);
    let Some(&found) = segments.get(at) else {
        // A segment gets its file with its first record.
        return Ok(match known.position {
            0 => Plan::Believe(known),
            _ => whole(last),
        });
    };
    if found.base_offset != known.segment || found.len < known.position {
        return Ok(whole(found));
    }
    if found == last && found.len == known.position {
        return Ok(Plan::Believe(known));
    }
    let from = ScanFrom {
        segment: known.segment,
        position: known.position,
        offset: known.offset,
    };
    Ok(Plan::Resume(known, from))
}

/// What is to be done about an index that somebody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexVerdict<E> {
    /// Cases U and W.
    Believe(Vec<E>),
    /// Cases S, T and V.
    Rebuild(Option<IndexFault>),
}

/// What is known of a segment when its index is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedSegment {
    pub(crate) end: SegmentEnd,
    /// Entries that were written to the file, where it is known.
    pub(crate) written: Option<usize>,
    pub(crate) interval: u32,
}

/// Judges an index file's bytes, `None` where there is no file.
pub(crate) fn judge_index<E: Entry>(
    bytes: Option<&[u8]>,
    segment: IndexedSegment,
) -> IndexVerdict<E> {
    let entry_len = size_of::<E::Raw>();
    if segment.written == Some(0) {
        return IndexVerdict::Believe(Vec::new());
    }
    let Some(bytes) = bytes else {
        return IndexVerdict::Rebuild(None);
    };
    if bytes.is_empty() && segment.end.position > 2 * u64::from(segment.interval) {
        return IndexVerdict::Rebuild(None);
    }
    let bytes = match segment.written {
        Some(written) if bytes.len() < written * entry_len => {
            return IndexVerdict::Rebuild(Some(IndexFault::Short));
        }
        Some(written) => &bytes[..written * entry_len],
        None => bytes,
    };
    match index::decode(bytes, segment.end) {
        Ok(entries) => {
            let expected = segment.written.unwrap_or(entries.len());
            if entries.len() < expected {
                return IndexVerdict::Rebuild(Some(IndexFault::Short));
            }
            IndexVerdict::Believe(entries)
        }
        Err(fault) => IndexVerdict::Rebuild(Some(fault)),
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
