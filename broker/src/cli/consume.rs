//! `ottla consume`: records out, one fetch in memory at a time.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use batch::DecompressLimit;
use clap::Args;
use net::client::{
    Client, FetchOptions, FetchedData, Isolation, OffsetAt, Refusal, TopicPartition,
};

use super::connect::BrokerArgs;
use super::failure::Failure;
use super::line::unescape;
use super::progress::Progress;
use super::record_format::{RecordFormat, Shown, Template};
use super::stop::Stop;

/// Bytes one fetch brings at most, over all partitions.
const FETCH_BYTES: i32 = 8 << 20;
/// Bytes one batch may decompress to.
const DECOMPRESS: DecompressLimit = DecompressLimit::bytes(256 << 20);
/// The pause after an error that may pass.
const PAUSE: Duration = Duration::from_millis(200);
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// Reads a topic.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ottla consume events                          everything there is, then what comes
  ottla consume events --from end               only what comes
  ottla consume events --from -10 --exit-eof    the last ten of each partition
  ottla consume events --from @1735689600000    from a time, in milliseconds since 1970
  ottla consume events -p 0 --from 42 -n 1 --json
  ottla consume events --format '%p:%o %T %k=%v\\n'

In a format: %t topic, %p partition, %o offset, %T timestamp, %k key, %K its length, %v value, %V its length,
%h headers, %% a percent sign. Ctrl-C stops.")]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The topic
    topic: String,
    /// Only this partition; may be repeated [default: all]
    #[arg(short, long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// Where to begin in each partition: beginning, end, an offset, -N for the last N, or
    /// @MILLISECONDS
    #[arg(
        short,
        long,
        value_name = "WHERE",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    from: Begin,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop at what was the end of each partition when the command began
    #[arg(short, long)]
    exit_eof: bool,
    /// How a record is printed
    #[arg(long, value_name = "TEMPLATE", value_parser = Template::parse, conflicts_with_all = ["keys", "headers", "timestamps", "offsets"])]
    format: Option<Template>,
    /// Print one JSON object a record
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print partition and offset before the value
    #[arg(long)]
    offsets: bool,
    /// Print the timestamp before the value
    #[arg(long)]
    timestamps: bool,
    /// Print headers before the value
    #[arg(long)]
    headers: bool,
    /// Print the key before the value
    #[arg(short, long)]
    keys: bool,
    /// What stands between what is printed of a record
    #[arg(long, value_name = "TEXT", default_value = "\\t")]
    separator: String,
    /// What is printed for no key or no value
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = unescape)]
    null: Bytes,
    /// Only records of transactions that were committed are waited for
    #[arg(long)]
    committed: bool,
    /// No progress and no summary
    #[arg(short, long)]
    quiet: bool,
}

/// Bytes as an argument; an alias, because clap takes a plain Vec for a repeated flag.
type Bytes = Vec<u8>;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the first record there is.
    Beginning,
    /// With what comes.
    End,
    /// With this offset.
    Offset(i64),
    /// With as many records before the end.
    Last(i64),
    /// With the first record of this time, in milliseconds since 1970, or later.
    Time(i64),
}

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse::<i64>().ok().filter(|number| *number >= 0);
        let from = match text {
            "beginning" | "start" | "earliest" => Some(Self::Beginning),
            "end" | "latest" => Some(Self::End),
            _ => match (text.strip_prefix('-'), text.strip_prefix('@')) {
                (Some(last), _) => number(last).map(Self::Last),
                (_, Some(time)) => number(time).map(Self::Time),
                _ => number(text).map(Self::Offset),
            },
        };
        from.ok_or_else(|| "expected beginning, end, an offset, -N, or @MILLISECONDS".to_owned())
    }
}

impl ConsumeArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let stop = Stop::on_signals().map_err(Failure::failed)?;
        let format = self.record_format()?;
        let mut client = self.brokers.connect()?;
        let partitions = self.partitions(&mut client)?;
        let cursors = self.cursors(&mut client, &partitions)?;
        // On a terminal the records themselves are the progress.
        let shown = !self.quiet && !io::stdout().is_terminal();
        let mut run = Run {
            client,
            format,
            cursors,
            left: self.count,
            progress: Progress::new(shown, None),
            stop,
            args: &self,
            trouble_since: None,
        };
        let done = run.all(&mut BufWriter::with_capacity(1 << 16, io::stdout().lock()));
        run.progress.end();
        done?;
        if shown && io::stderr().is_terminal() {
            run.progress.sum_up("read");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn record_format(&self) -> Result<RecordFormat, Failure> {
        if self.json {
            return Ok(RecordFormat::Json);
        }
        if let Some(template) = &self.format {
            return Ok(RecordFormat::Template(template.clone()));
        }
        let fields = [
            (self.offsets, "%p"),
            (self.offsets, "%o"),
            (self.timestamps, "%T"),
            (self.headers, "%h"),
            (self.keys, "%k"),
            (true, "%v"),
        ];
        let fields: Vec<&str> = fields
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, field)| *field)
            .collect();
        let separator = self.separator.replace('%', "%%");
        let template = Template::parse(&format!("{}\\n", fields.join(&separator)));
        template
            .map(RecordFormat::Template)
            .map_err(|why| Failure::usage(format!("--separator: {why}")))
    }

    fn partitions(&self, client: &mut Client) -> Result<Vec<i32>, Failure> {
        let cluster = client.wait_for_leaders(&[&self.topic], false)?;
        let topic = cluster.topics.get(&self.topic);
        let topic = topic.ok_or_else(|| {
            Failure::failed(format!(
                "topic {}: the broker says nothing of it",
                self.topic
            ))
        })?;
        if let Some(error) = topic.error {
            return Err(Failure::failed(format!(
                "topic {}: {error}; `ottla topic list` shows what is there",
                self.topic
            )));
        }
        let there: Vec<i32> = topic
            .partitions
            .iter()
            .map(|partition| partition.partition)
            .collect();
        if self.partitions.is_empty() {
            return Ok(there);
        }
        match self
            .partitions
            .iter()
            .find(|partition| !there.contains(partition))
        {
            Some(missing) => Err(Failure::usage(format!(
                "topic {} has {} partitions, numbered from 0; there is no partition {missing}",
                self.topic,
                there.len()
            ))),
            None => Ok(self.partitions.clone()),
        }
    }

    /// Where each partition is read from, and up to where if there is an end to it.
    fn cursors(
        &self,
        client: &mut Client,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Cursor>, Failure> {
        let ends = self.listed(client, partitions, OffsetAt::Latest)?;
        let begins = match self.from {
            Begin::Beginning | Begin::Last(_) => {
                self.listed(client, partitions, OffsetAt::Earliest)?
            }
            Begin::Time(time) => self.listed(client, partitions, OffsetAt::Time(time))?,
            Begin::End | Begin::Offset(_) => BTreeMap::new(),
        };
        let cursor = |partition: &i32| {
            let end = ends.get(partition).copied().flatten().unwrap_or(0);
            let begin = begins.get(partition).copied().flatten();
            let next = match self.from {
                Begin::Beginning => begin.unwrap_or(0),
                Begin::End => end,
                Begin::Offset(offset) => offset,
                Begin::Last(count) => (end - count).max(begin.unwrap_or(0)),
                // No record as late as that: what comes will be.
                Begin::Time(_) => begin.unwrap_or(end),
            };
            (
                *partition,
                Cursor {
                    next,
                    until: self.exit_eof.then_some(end),
                },
            )
        };
        let cursors: BTreeMap<i32, Cursor> = partitions.iter().map(cursor).collect();
        Ok(cursors
            .into_iter()
            .filter(|(_, cursor)| !cursor.done())
            .collect())
    }

    fn listed(
        &self,
        client: &mut Client,
        partitions: &[i32],
        point: OffsetAt,
    ) -> Result<BTreeMap<i32, Option<i64>>, Failure> {
        let points: Vec<_> = partitions
            .iter()
            .map(|partition| (TopicPartition::new(&self.topic, *partition), point))
            .collect();
        let listed = client.list_offsets(&points)?;
        let offsets = listed.into_iter().map(|one| match one.result {
            Ok(found) => Ok((one.at.partition, found.map(|(offset, _)| offset))),
            Err(error) => Err(Failure::failed(format!("{}: {error}", one.at))),
        });
        offsets.collect()
    }
}

/// How far one partition has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    next: i64,
    until: Option<i64>,
}

impl Cursor {
    fn done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }
}

/// One run of the command.
struct Run<'a> {
    client: Client,
    format: RecordFormat,
    /// The partitions that are still read.
    cursors: BTreeMap<i32, Cursor>,
    /// Records still to be printed, where there is a limit.
    left: Option<u64>,
    progress: Progress,
    stop: Stop,
    args: &'a ConsumeArgs,
    /// Since when nothing but errors has come.
    trouble_since: Option<Instant>,
}

impl Run<'_> {
    fn all(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        let options = FetchOptions {
            max_bytes: FETCH_BYTES,
            isolation: if self.args.committed {
                Isolation::ReadCommitted
            } else {
                Isolation::ReadUncommitted
            },
            ..FetchOptions::default()
        };
        while !self.stop.asked() && !self.cursors.is_empty() && self.left != Some(0) {
            let topic = &self.args.topic;
            let from: Vec<_> = self
                .cursors
                .iter()
                .map(|(partition, cursor)| (TopicPartition::new(topic, *partition), cursor.next))
                .collect();
            match self.client.fetch(&options, &from) {
                Ok(fetched) => {
                    for one in fetched {
                        match one.result {
                            Ok(data) => self.print(one.at.partition, &data, out)?,
                            Err(refusal) => self.refused(&one.at, &refusal)?,
                        }
                    }
                }
                Err(error) if error.is_retriable() => self.pause(&error)?,
                Err(error) => return Err(error.into()),
            }
            // A reader at the other end of a pipe gets what there is before the next wait.
            out.flush()?;
        }
        Ok(out.flush()?)
    }

    fn print(
        &mut self,
        partition: i32,
        data: &FetchedData,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        self.trouble_since = None;
        let Some(cursor) = self.cursors.get(&partition).copied() else {
            return Ok(());
        };
        let (mut records, mut bytes) = (0, 0);
        let mut written = Ok(());
        let next = data.for_each(cursor.next, DECOMPRESS, |record| {
            let past = cursor.until.is_some_and(|until| record.offset >= until);
            if past || self.left == Some(0) || written.is_err() {
                return;
            }
            let shown = Shown {
                topic: &self.args.topic,
                partition,
                record,
            };
            written = self.format.print(shown, &self.args.null, out);
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            records += 1;
            bytes += record.value().map_or(0, <[u8]>::len) as u64;
        });
        written?;
        let next = next.map_err(|error| {
            Failure::failed(format!(
                "{}-{partition} from offset {}: {error}",
                self.args.topic, cursor.next
            ))
        })?;
        self.progress.add(records, bytes);
        let cursor = Cursor { next, ..cursor };
        if cursor.done() {
            self.cursors.remove(&partition);
        } else {
            self.cursors.insert(partition, cursor);
        }
        Ok(())
    }

    fn refused(&mut self, at: &TopicPartition, refusal: &Refusal) -> Result<(), Failure> {
        let place = self
            .cursors
            .get(&at.partition)
            .map_or(0, |cursor| cursor.next);
        if refusal.error.code() == OFFSET_OUT_OF_RANGE {
            return self.moved_on(at, place);
        }
        if refusal.error.is_retriable() {
            return self.pause(&refusal.error);
        }
        Err(Failure::failed(format!(
            "{at} at offset {place}: {refusal}"
        )))
    }

    /// Retention has taken what was to be read next: go on with the oldest there is, and say so.
    fn moved_on(&mut self, at: &TopicPartition, place: i64) -> Result<(), Failure> {
        let offsets = self
            .args
            .listed(&mut self.client, &[at.partition], OffsetAt::Earliest)?;
        let first = offsets.get(&at.partition).copied().flatten().unwrap_or(0);
        if first <= place {
            return Err(Failure::failed(format!(
                "{at}: offset {place} is beyond its end; --from end waits for what comes"
            )));
        }
        if self.args.from != Begin::Offset(place) {
            let _unprinted = writeln!(
                io::stderr(),
                "ottla: {at}: offsets {place} to {} are gone; going on at {first}",
                first - 1
            );
        } else {
            return Err(Failure::failed(format!(
                "{at}: offset {place} is gone; the first there is {first}"
            )));
        }
        if let Some(cursor) = self.cursors.get_mut(&at.partition) {
            cursor.next = first;
            if cursor.done() {
                self.cursors.remove(&at.partition);
            }
        }
        Ok(())
    }

    /// Waits a little after an error that may pass; gives up when nothing else has come for the
    /// whole timeout.
    fn pause(&mut self, error: &dyn std::fmt::Display) -> Result<(), Failure> {
        let since = *self.trouble_since.get_or_insert_with(Instant::now);
        if since.elapsed() > Duration::from_secs(self.args.brokers.timeout) {
            return Err(Failure::failed(format!(
                "topic {}: {error}",
                self.args.topic
            )));
        }
        thread::sleep(PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_are_read() {
        let read = |text: &str| text.parse::<Begin>();
        assert_eq!(read("beginning"), Ok(Begin::Beginning));
        assert_eq!(read("end"), Ok(Begin::End));
        assert_eq!(read("42"), Ok(Begin::Offset(42)));
        assert_eq!(read("-10"), Ok(Begin::Last(10)));
        assert_eq!(read("@1735689600000"), Ok(Begin::Time(1_735_689_600_000)));
        for bad in ["", "-", "@", "--1", "@-1", "middle", "1.5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_ends_where_it_was_told_to() {
        assert!(
            Cursor {
                next: 5,
                until: Some(5)
            }
            .done()
        );
        assert!(
            !Cursor {
                next: 4,
                until: Some(5)
            }
            .done()
        );
        assert!(
            !Cursor {
                next: 5,
                until: None
            }
            .done()
        );
    }
}
