//! The index files of a segment: entry by entry, each compared with the one before it and with
//! the log beside it.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use batch::{Batch, BatchError, HEADER_LEN};

use super::dump::Verdict;
use super::failure::Failure;
use super::table::grouped;

/// Which index a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKind {
    /// Offsets to positions.
    Offset,
    /// Timestamps to offsets.
    Time,
}

impl IndexKind {
    fn entry_len(self) -> usize {
        match self {
            Self::Offset => 8,
            Self::Time => 12,
        }
    }
}

/// One entry: an offset, and its position or its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    other: i64,
}

/// Prints up to `limit` entries of an index file and checks them all.
pub(crate) fn dump(
    path: &Path,
    kind: IndexKind,
    limit: u64,
    out: &mut impl Write,
) -> Result<Verdict, Failure> {
    let base = base_offset(path)?;
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    let mut reader = BufReader::new(file);
    let log = File::open(path.with_extension("log"))
        .ok()
        .filter(|_| kind == IndexKind::Offset);
    let mut before: Option<Entry> = None;
    let (mut count, mut wrong) = (0_u64, 0_u64);
    let mut raw = [0; 12];
    let raw = &mut raw[..kind.entry_len()];
    loop {
        let read = fill(&mut reader, raw).map_err(|error| Failure::file(path, &error))?;
        if read < raw.len() {
            if read > 0 {
                wrong += 1;
                writeln!(out, "BAD: {read} bytes after the last entry")?;
            }
            break;
        }
        // Blank entries are space that was allocated ahead.
        if raw.iter().all(|byte| *byte == 0) && before.is_some() {
            break;
        }
        let entry = read_entry(kind, base, raw);
        let problem = disorder(kind, before, entry).or_else(|| {
            let log = log.as_ref()?;
            mismatch(log, entry)
        });
        wrong += u64::from(problem.is_some());
        if count < limit || problem.is_some() {
            let problem = problem
                .map(|why| format!("  BAD: {why}"))
                .unwrap_or_default();
            match kind {
                IndexKind::Offset => writeln!(
                    out,
                    "offset {} position {}{problem}",
                    entry.offset, entry.other
                )?,
                IndexKind::Time => writeln!(
                    out,
                    "timestamp {} offset {}{problem}",
                    entry.other, entry.offset
                )?,
            }
        }
        count += 1;
        before = Some(entry);
    }
    let state = if wrong == 0 {
        "whole".to_owned()
    } else {
        format!("{wrong} BAD")
    };
    writeln!(out, "{} entries; {state}", grouped(count))?;
    Ok(if wrong == 0 {
        Verdict::Whole
    } else {
        Verdict::Corrupt
    })
}

/// Segment files are named by their base offset.
fn base_offset(path: &Path) -> Result<i64, Failure> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse().ok()).ok_or_else(|| {
        let name = path.display();
        Failure::usage(format!(
            "{name}: expected a file named by its base offset, such as 00000000000000000000.index"
        ))
    })
}

/// Reads until the buffer is full or the file ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn read_entry(kind: IndexKind, base: i64, raw: &[u8]) -> Entry {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_i64, |number, byte| number << 8 | i64::from(*byte))
    };
    match kind {
        IndexKind::Offset => Entry {
            offset: base + number(&raw[..4]),
            other: number(&raw[4..]),
        },
        IndexKind::Time => Entry {
            offset: base + number(&raw[8..]),
            other: number(&raw[..8]),
        },
    }
}

fn disorder(kind: IndexKind, before: Option<Entry>, entry: Entry) -> Option<String> {
    let before = before?;
    let in_order = match kind {
        IndexKind::Offset => entry.offset > before.offset && entry.other > before.other,
        IndexKind::Time => entry.other >= before.other && entry.offset >= before.offset,
    };
    (!in_order).then(|| "it doesn't come after the entry before it".to_owned())
}

/// The batch at an entry's position must hold its offset.
fn mismatch(log: &File, entry: Entry) -> Option<String> {
    let mut header = [0; HEADER_LEN];
    let position = u64::try_from(entry.other).ok()?;
    if let Err(error) = log.read_exact_at(&mut header, position) {
        return Some(format!("the log has no batch there: {error}"));
    }
    let length = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    // Only the header was read, so a batch that is whole seems cut short; anything else is no
    // batch.
    let header_is_sound = match Batch::parse(&header) {
        Ok(_) | Err(BatchError::Truncated { .. }) => length > 0,
        Err(_) => false,
    };
    let mut base = [0; 8];
    base.copy_from_slice(&header[..8]);
    let base = i64::from_be_bytes(base);
    let delta = i32::from_be_bytes([header[23], header[24], header[25], header[26]]);
    let last = base.saturating_add(i64::from(delta));
    match header_is_sound {
        false => Some("the log has no batch there".to_owned()),
        true if (base..=last).contains(&entry.offset) => None,
        true => Some(format!("the batch there has offsets {base} to {last}")),
    }
}
