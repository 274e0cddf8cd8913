//! `ottla produce`: lines in, records out.
//!
//! A thread reads lines and hands them on in small chunks through a bounded channel, so that
//! reading goes on while a request is under way, and a slow broker holds up the reader instead of
//! filling memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use batch::{Compression, Header, NewRecord};
use clap::{Args, ValueEnum};
use net::client::{Acks, Client};

use super::connect::BrokerArgs;
use super::exit;
use super::failure::Failure;
use super::line::{Line, LineFormat, separator, unescape};
use super::progress::Progress;
use super::send::{SendOptions, Sender};
use super::serve::name_and_value;
use super::stop::Stop;
use super::table::grouped;
use crate::config::amount::Amount;

/// Bytes of lines that make a chunk.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait between reader and sender.
const CHUNKS_WAITING: usize = 4;
/// How often a wait looks whether a signal came.
const GLANCE: Duration = Duration::from_millis(100);

/// Writes lines to a topic.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ottla produce events --file app.log
  printf 'k1\\tv1\\nk2\\tv2\\n' | ottla produce events --key-separator '\\t'
  zcat big.gz | ottla produce events --compression zstd --batch-size 256K
  printf 'trace=7|user:42|hello\\n' | ottla produce events --headers-separator '|' --key-separator '|'

Each line is one record, byte for byte, without its newline. Ctrl-C sends what has gathered and stops.")]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The topic; it is created if the broker does that
    topic: String,
    /// Read this file in place of standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send everything to this partition [default: by key, or evenly]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// A line is key and value with this between them (\t and the like may be used)
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<Bytes>,
    /// A line begins with headers, name=value,name=value, ended by this
    #[arg(short = 'H', long, value_name = "TEXT", value_parser = separator)]
    headers_separator: Option<Bytes>,
    /// A header for every record; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// A key or value that is this is null
    #[arg(long, value_name = "TEXT", value_parser = unescape)]
    null: Option<Bytes>,
    /// What the broker waits for before it acknowledges: none, the leader, or all in-sync replicas
    #[arg(short, long, value_enum, default_value_t = AcksArg::All, allow_hyphen_values = true)]
    acks: AcksArg,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Codec::None)]
    compression: Codec,
    /// The size at which a partition's batch is full
    #[arg(long, value_name = "SIZE", default_value = "128K", value_parser = size)]
    batch_size: usize,
    /// How long, in milliseconds, the first record of a batch waits for others
    #[arg(long, value_name = "MS", default_value_t = 20)]
    linger: u64,
    /// Send no more than this many records a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// The longest line that is accepted
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    max_line: usize,
    /// Don't let the broker recognise what is sent twice; with acks other than all it never does
    #[arg(long)]
    no_idempotence: bool,
    /// No summary at the end
    #[arg(short, long)]
    quiet: bool,
}

/// Bytes as an argument; an alias, because clap takes a plain Vec for a repeated flag.
type Bytes = Vec<u8>;

#[derive(ValueEnum, Clone, Copy, Debug)]
enum AcksArg {
    /// Don't wait; a record may be lost without a word
    #[value(name = "0")]
    None,
    /// The leader has it
    #[value(name = "1")]
    Leader,
    /// All in-sync replicas have it
    #[value(alias = "-1")]
    All,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse::<Amount>() {
        Ok(Amount::Bytes(bytes)) if (1..=1 << 30).contains(&bytes) => Ok(bytes as usize),
        Ok(_) => Err("expected a size from 1 to 1G".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Codec {
    fn compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Snappy => Compression::Snappy,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        }
    }
}

/// Where lines come from.
struct Input {
    reader: Box<dyn Read + Send>,
    name: String,
    total: Option<u64>,
    typed: bool,
}

impl ProduceArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let stop = Stop::on_signals().map_err(Failure::failed)?;
        let input = self.input()?;
        let mut client = self.brokers.connect()?;
        let options = self.send_options(&mut client)?;
        let sender = Sender::new(client, options)?;
        let progress = Progress::new(!self.quiet && !input.typed, input.total);
        let lines = read_in_background(input, self.max_line);
        let mut run = Run {
            format: LineFormat {
                headers_end: self.headers_separator.clone(),
                key_end: self.key_separator.clone(),
                null: self.null.clone(),
            },
            sender,
            progress,
            stop,
            linger: Duration::from_millis(self.linger),
            pace: self.rate.map(Pace::new),
            number: 0,
            waiting: (0, 0),
            since: None,
            args: &self,
        };
        if let Err(failure) = run.all(&lines) {
            run.progress.end();
            let sent = grouped(run.progress.records());
            return Err(failure.after(format!("{sent} records were sent before")));
        }
        if !self.quiet {
            run.progress.sum_up("sent");
        }
        Ok(ExitCode::from(if run.stop.asked() {
            exit::INTERRUPTED
        } else {
            exit::OK
        }))
    }

    fn input(&self) -> Result<Input, Failure> {
        let Some(path) = &self.file else {
            let typed = io::stdin().is_terminal();
            return Ok(Input {
                reader: Box::new(io::stdin()),
                name: "standard input".to_owned(),
                total: None,
                typed,
            });
        };
        let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
        let about = file
            .metadata()
            .map_err(|error| Failure::file(path, &error))?;
        if about.is_dir() {
            return Err(Failure::usage(format!(
                "{}: is a directory; name a file",
                path.display()
            )));
        }
        // A pipe has no length that means anything.
        let total = about.is_file().then_some(about.len());
        Ok(Input {
            reader: Box::new(file),
            name: path.display().to_string(),
            total,
            typed: false,
        })
    }

    fn send_options(&self, client: &mut Client) -> Result<SendOptions, Failure> {
        let cluster = client.wait_for_leaders(&[&self.topic], true)?;
        let topic = cluster.topics.get(&self.topic);
        let topic = topic.ok_or_else(|| {
            Failure::failed(format!(
                "topic {}: the broker says nothing of it",
                self.topic
            ))
        })?;
        if let Some(error) = topic.error {
            return Err(Failure::failed(format!(
                "topic {}: {error}; `ottla topic create {}` makes it",
                self.topic, self.topic
            )));
        }
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if let Some(partition) = self.partition.filter(|partition| *partition >= partitions) {
            return Err(Failure::usage(format!(
                "topic {} has {partitions} partitions, numbered from 0; there is no partition {partition}",
                self.topic
            )));
        }
        let acks = match self.acks {
            AcksArg::None => Acks::None,
            AcksArg::Leader => Acks::Leader,
            AcksArg::All => Acks::All,
        };
        Ok(SendOptions {
            topic: self.topic.clone(),
            partition: self.partition,
            partitions,
            acks,
            compression: self.compression.compression(),
            batch_bytes: self.batch_size,
            idempotent: acks == Acks::All && !self.no_idempotence,
        })
    }
}

/// What the reading thread hands on: whole lines, or why there are no more.
type Chunk = Result<Vec<Vec<u8>>, Failure>;

fn read_in_background(input: Input, max_line: usize) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(CHUNKS_WAITING);
    thread::spawn(move || {
        let name = input.name.clone();
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, input.reader);
        if let Err(failure) = read_lines(&mut reader, &name, max_line, &sender) {
            // Nobody listens when the sending side has failed first.
            let _unheard = sender.send(Err(failure));
        }
    });
    receiver
}

fn read_lines(
    reader: &mut BufReader<impl Read>,
    name: &str,
    max_line: usize,
    sender: &SyncSender<Chunk>,
) -> Result<(), Failure> {
    let mut number = 0_u64;
    let mut chunk = Vec::new();
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        // One byte more than the longest line and its newline, to tell a longer one.
        let mut limited = reader.by_ref().take(max_line as u64 + 1);
        let read = limited.read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::failed(format!("{name}: {error}")))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > max_line {
            return Err(Failure::failed(format!(
                "{name}: line {} is longer than {} bytes; raise --max-line (and the topic's max.message.bytes)",
                number + 1,
                max_line
            )));
        }
        if read > 0 {
            number += 1;
            bytes += line.len();
            chunk.push(line);
        }
        let over = read == 0;
        // An empty buffer means that the next read may wait for somebody to type.
        if (over || bytes >= CHUNK_BYTES || reader.buffer().is_empty()) && !chunk.is_empty() {
            bytes = 0;
            if sender.send(Ok(std::mem::take(&mut chunk))).is_err() {
                return Ok(());
            }
        }
        if over {
            return Ok(());
        }
    }
}

/// Spreads records evenly over time.
struct Pace {
    begun: Instant,
    rate: u64,
    sent: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self {
            begun: Instant::now(),
            rate,
            sent: 0,
        }
    }

    /// How long the next record has to wait.
    fn wait(&mut self) -> Duration {
        let due = Duration::from_secs_f64(self.sent as f64 / self.rate as f64);
        self.sent += 1;
        due.saturating_sub(self.begun.elapsed())
    }
}

/// One run of the command.
struct Run<'a> {
    format: LineFormat,
    sender: Sender,
    progress: Progress,
    stop: Stop,
    linger: Duration,
    pace: Option<Pace>,
    /// Lines taken so far.
    number: u64,
    /// Records and bytes added and not yet sent.
    waiting: (u64, u64),
    /// When the oldest of them was added.
    since: Option<Instant>,
    args: &'a ProduceArgs,
}

impl Run<'_> {
    /// Sends everything that comes, until the end or a signal.
    fn all(&mut self, chunks: &Receiver<Chunk>) -> Result<(), Failure> {
        while !self.stop.asked() {
            let patience = match self.since {
                Some(since) => self.linger.saturating_sub(since.elapsed()).min(GLANCE),
                None => GLANCE,
            };
            match chunks.recv_timeout(patience) {
                Ok(chunk) => self.chunk(chunk?)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self
                .since
                .is_some_and(|since| since.elapsed() >= self.linger)
            {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn chunk(&mut self, lines: Vec<Vec<u8>>) -> Result<(), Failure> {
        for line in lines {
            if let Some(wait) = self.pace.as_mut().map(Pace::wait) {
                self.rest(wait)?;
            }
            if self.stop.asked() {
                return Ok(());
            }
            self.number += 1;
            self.add(&line)?;
        }
        Ok(())
    }

    fn rest(&mut self, wait: Duration) -> Result<(), Failure> {
        if wait > self.linger {
            self.flush()?;
        }
        let until = Instant::now() + wait;
        while !self.stop.asked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(GLANCE));
        }
        Ok(())
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Failure> {
        let parsed = self.format.parse(line);
        let Line {
            headers,
            key,
            value,
        } = parsed.map_err(|error| Failure::failed(format!("line {} {error}", self.number)))?;
        let always = self.args.headers.iter();
        let always = always.map(|(key, value)| Header {
            key,
            value: Some(value.as_bytes()),
        });
        let own = headers
            .iter()
            .map(|(key, value)| Header { key, value: *value });
        let headers: Vec<Header<'_>> = always.chain(own).collect();
        let record = NewRecord {
            timestamp: now_ms(),
            key,
            value,
            headers: &headers,
        };
        self.sender.add(record, self.number)?;
        self.since.get_or_insert_with(Instant::now);
        self.waiting.0 += 1;
        self.waiting.1 += line.len() as u64 + 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if !self.sender.is_empty() {
            self.sender.flush()?;
        }
        let (records, bytes) = std::mem::take(&mut self.waiting);
        self.progress.add(records, bytes);
        self.since = None;
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
#[path = "produce_tests.rs"]
mod tests;
