//! `ottla log dump`: what is in the files of a log, batch by batch, and whether it is whole.
//!
//! Reads with plain files, one batch in memory at a time, so it works beside a running node and
//! on a copy. It changes nothing.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use batch::{
    Batch, BatchError, Compression, DecompressLimit, HEADER_LEN, LOG_OVERHEAD, TimestampType,
};
use clap::Args;

use super::dump_index::{self, IndexKind};
use super::exit;
use super::failure::Failure;
use super::table::{grouped, sized};

/// Bytes one batch may decompress to.
const DECOMPRESS: DecompressLimit = DecompressLimit::bytes(256 << 20);

/// Prints the files of a log.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ottla log dump ottla-data/events-0.*/00000000000000000000.log
  ottla log dump --records --from 1000 --count 5 00000000000000000000.log
  ottla log dump *.log *.index *.timeindex --quiet      only check them

Exit code 8 says that a file is corrupt. Zeros after the last batch are space allocated ahead.")]
pub(crate) struct DumpArgs {
    /// Segment files: .log, .index or .timeindex
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the records of each batch too
    #[arg(short, long)]
    records: bool,
    /// Print batches from the one that holds this offset; the ones before it are checked only
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// Print no more than this many batches or index entries; the rest is checked only
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Print only what is wrong, and the sum
    #[arg(short, long)]
    quiet: bool,
}

/// What was found in one file.
pub(crate) enum Verdict {
    Whole,
    Corrupt,
}

impl DumpArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut corrupt = Vec::new();
        for path in &self.files {
            if self.files.len() > 1 {
                writeln!(out, "{}:", path.display())?;
            }
            let verdict = match path.extension().and_then(|extension| extension.to_str()) {
                Some("log") => self.log(path, &mut out)?,
                Some("index") => dump_index::dump(path, IndexKind::Offset, self.limit(), &mut out)?,
                Some("timeindex") => {
                    dump_index::dump(path, IndexKind::Time, self.limit(), &mut out)?
                }
                _ => {
                    let name = path.display();
                    return Err(Failure::usage(format!(
                        "{name}: expected a .log, .index or .timeindex file"
                    )));
                }
            };
            if matches!(verdict, Verdict::Corrupt) {
                corrupt.push(path.display().to_string());
            }
        }
        out.flush()?;
        if corrupt.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::with(
            exit::CORRUPT,
            format!(
                "{}: corrupt; a node cuts a log off before its first bad batch when it starts",
                corrupt.join(", ")
            ),
        ))
    }

    /// Entries or batches that may be printed.
    fn limit(&self) -> u64 {
        if self.quiet {
            0
        } else {
            self.count.unwrap_or(u64::MAX)
        }
    }

    fn log(&self, path: &Path, out: &mut impl Write) -> Result<Verdict, Failure> {
        let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
        let about = file
            .metadata()
            .map_err(|error| Failure::file(path, &error))?;
        let mut walk = Walk {
            reader: BufReader::with_capacity(1 << 20, file),
            length: about.len(),
            position: 0,
            bytes: Vec::new(),
        };
        let mut sum = Sum::default();
        let mut left = self.limit();
        let end = loop {
            match walk.next().map_err(|error| Failure::file(path, &error))? {
                Found::Batch(batch, position) => {
                    let wrong = sum.add(&batch);
                    let shown = left > 0 && batch.last_offset() >= self.from;
                    if shown || wrong.is_some() {
                        left = left.saturating_sub(1);
                        print_batch(&batch, position, wrong.as_deref(), out)?;
                        if self.records && shown {
                            print_records(&batch, out)?;
                        }
                    }
                }
                end => break end,
            }
        };
        match end {
            Found::Wrong(why, position) => {
                sum.wrong += 1;
                writeln!(out, "BAD at position {position}: {why}")?;
            }
            Found::End(zeros) => sum.zeros = zeros,
            Found::Batch(..) => {}
        }
        sum.print(out)?;
        Ok(if sum.wrong == 0 {
            Verdict::Whole
        } else {
            Verdict::Corrupt
        })
    }
}

/// A file of batches, walked one by one.
struct Walk {
    reader: BufReader<File>,
    length: u64,
    position: u64,
    bytes: Vec<u8>,
}

/// What comes next in a file.
enum Found<'a> {
    /// A batch of the right shape, and where it begins.
    Batch(Batch<'a>, u64),
    /// The end, with so many zeros before it.
    End(u64),
    /// Bytes that are no batch, and where they begin.
    Wrong(String, u64),
}

impl Walk {
    fn next(&mut self) -> io::Result<Found<'_>> {
        let position = self.position;
        let left = self.length - position;
        self.bytes.clear();
        self.fill(left.min(HEADER_LEN as u64))?;
        if self.bytes.iter().all(|byte| *byte == 0) {
            return self.zeros(position);
        }
        let claimed = match self.bytes.get(8..LOG_OVERHEAD) {
            Some(&[a, b, c, d]) => i32::from_be_bytes([a, b, c, d]),
            _ => {
                return Ok(Found::Wrong(
                    format!("{left} bytes that are too few for a batch"),
                    position,
                ));
            }
        };
        // A length that can't be is told by the check below; nothing is read for it.
        let size = u64::try_from(claimed).map_or(0, |claimed| claimed + LOG_OVERHEAD as u64);
        let more = size.min(left).saturating_sub(self.bytes.len() as u64);
        self.fill(more)?;
        match Batch::parse(&self.bytes) {
            Ok(batch) => {
                self.position += batch.size() as u64;
                Ok(Found::Batch(batch, position))
            }
            Err(error) => Ok(Found::Wrong(error.to_string(), position)),
        }
    }

    fn fill(&mut self, count: u64) -> io::Result<()> {
        let read = self
            .reader
            .by_ref()
            .take(count)
            .read_to_end(&mut self.bytes)?;
        // A running node may have cut its file since its length was asked for.
        if (read as u64) < count {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    /// Nothing but zeros may follow zeros: they are what was allocated ahead.
    fn zeros(&mut self, from: u64) -> io::Result<Found<'_>> {
        let mut at = from + self.bytes.len() as u64;
        let mut chunk = vec![0; 1 << 16];
        loop {
            let read = self.reader.read(&mut chunk)?;
            if read == 0 {
                return Ok(Found::End(at - from));
            }
            if let Some(found) = chunk[..read].iter().position(|byte| *byte != 0) {
                let after = at + found as u64;
                return Ok(Found::Wrong(
                    format!("zeros, and after them data at position {after}"),
                    from,
                ));
            }
            at += read as u64;
        }
    }
}

/// What a file adds up to.
#[derive(Default)]
struct Sum {
    batches: u64,
    records: u64,
    bytes: u64,
    zeros: u64,
    wrong: u64,
    first: Option<i64>,
    next: Option<i64>,
    oldest: Option<i64>,
    newest: Option<i64>,
}

impl Sum {
    /// Counts a batch, and says what is wrong with it.
    fn add(&mut self, batch: &Batch<'_>) -> Option<String> {
        let wrong = self.problem(batch);
        self.batches += 1;
        self.records += u64::try_from(batch.record_count()).unwrap_or(0);
        self.bytes += batch.size() as u64;
        self.first.get_or_insert(batch.base_offset());
        self.next = Some(batch.next_offset());
        if !batch.attributes().has_delete_horizon() {
            self.oldest = Some(self.oldest.map_or(batch.base_timestamp(), |oldest| {
                oldest.min(batch.base_timestamp())
            }));
        }
        self.newest = Some(self.newest.map_or(batch.max_timestamp(), |newest| {
            newest.max(batch.max_timestamp())
        }));
        if wrong.is_some() {
            self.wrong += 1;
        }
        wrong
    }

    fn problem(&self, batch: &Batch<'_>) -> Option<String> {
        if let Err(error) = batch.verify_crc() {
            return Some(error.to_string());
        }
        if batch.last_offset_delta() < 0 {
            return Some(format!(
                "its last offset lies {} before its first",
                -i64::from(batch.last_offset_delta())
            ));
        }
        let next = self.next.filter(|next| batch.base_offset() < *next)?;
        Some(format!(
            "its first offset is {}, and the batch before it ends before {next}",
            batch.base_offset()
        ))
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let (batches, records) = (grouped(self.batches), grouped(self.records));
        write!(
            out,
            "{batches} batches, {records} records, {} ({} bytes)",
            sized(self.bytes),
            self.bytes
        )?;
        if let (Some(first), Some(next)) = (self.first, self.next) {
            write!(out, "; offsets {first} to {}", next - 1)?;
        }
        if let (Some(oldest), Some(newest)) = (self.oldest, self.newest) {
            write!(out, "; timestamps {oldest} to {newest}")?;
        }
        if self.zeros > 0 {
            write!(out, "; then {} bytes allocated ahead", self.zeros)?;
        }
        writeln!(
            out,
            "; {}",
            if self.wrong == 0 {
                "whole".to_owned()
            } else {
                format!("{} BAD", self.wrong)
            }
        )
    }
}

fn print_batch(
    batch: &Batch<'_>,
    position: u64,
    wrong: Option<&str>,
    out: &mut impl Write,
) -> io::Result<()> {
    let attributes = batch.attributes();
    write!(
        out,
        "offsets {}-{} count {} position {position} size {} epoch {} ",
        batch.base_offset(),
        batch.last_offset(),
        batch.record_count(),
        batch.size(),
        batch.leader_epoch()
    )?;
    match attributes.compression() {
        Ok(codec) => write!(out, "codec {codec} ")?,
        Err(error) => write!(out, "codec ? ({error}) ")?,
    }
    let clock = match attributes.timestamp_type() {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "append",
    };
    write!(
        out,
        "{clock} time {}-{} ",
        batch.base_timestamp(),
        batch.max_timestamp()
    )?;
    if batch.producer_id() >= 0 {
        let (first, last) = (batch.base_sequence(), batch.last_sequence());
        write!(
            out,
            "producer {}/{} sequences {first}-{last} ",
            batch.producer_id(),
            batch.producer_epoch()
        )?;
    }
    let marks = [
        (attributes.is_transactional(), "transactional "),
        (attributes.is_control(), "control "),
        (attributes.has_delete_horizon(), "delete-horizon "),
    ];
    for (_, mark) in marks.iter().filter(|(set, _)| *set) {
        write!(out, "{mark}")?;
    }
    match wrong {
        None => writeln!(out, "crc {:#010x} ok", batch.crc()),
        Some(wrong) => writeln!(out, "BAD: {wrong}"),
    }
}

fn print_records(batch: &Batch<'_>, out: &mut impl Write) -> io::Result<()> {
    let unreadable =
        |out: &mut dyn Write, error: BatchError| writeln!(out, "  can't be read: {error}");
    // What a corrupt batch holds is still worth a look; its own errors are told as they come.
    let records = match batch.records(DECOMPRESS) {
        Ok(records) => records,
        Err(error) => return unreadable(out, error),
    };
    if batch.attributes().compression() != Ok(Compression::None) {
        writeln!(out, "  {} bytes uncompressed", records.uncompressed_size())?;
    }
    for record in &records {
        let record = match record {
            Ok(record) => record,
            Err(error) => return unreadable(out, error),
        };
        write!(out, "  offset {} time {}", record.offset, record.timestamp)?;
        if let Some(control) = record.control().filter(|_| batch.attributes().is_control()) {
            writeln!(out, " marker {control:?}")?;
            continue;
        }
        for header in record.headers() {
            write!(
                out,
                " header {}={}",
                Bytes(Some(header.key)),
                Bytes(header.value)
            )?;
        }
        writeln!(
            out,
            " key {} value {}",
            Bytes(record.key()),
            Bytes(record.value())
        )?;
    }
    Ok(())
}

/// Bytes on one line, with what doesn't print escaped.
struct Bytes<'a>(Option<&'a [u8]>);

impl std::fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("null"),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => write!(f, "{text:?}"),
                Err(_) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            },
        }
    }
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
