//! What coordinators and workers say to each other.
//!
//! Each side begins with 8 bytes of [`MAGIC`] and the protocol's version, 4 bytes, big-endian; all versions
//! have that. Frames follow: the length, 4 bytes, big-endian, and so many bytes of JSON. JSON, because all
//! that is sent has it anyway (results, workloads), it costs no dependency, and a second of a worker is a
//! kilobyte or so: histograms are packed in themselves. The coordinator's first frame is [`Hello`], the
//! worker's is [`Greeting`]; then [`ToWorker`] and [`FromWorker`].

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::driver::Target;
use crate::engine::stop::Wanted;
use crate::engine::{Begin, Phase, Share};
use crate::measure::recorder::own_clock_ns;
use crate::measure::tick::{ConsumerSummary, ProducerSummary, Role, Said};
use crate::record::Ranges;
use crate::workload::Workload;

/// What both sides begin with.
pub const MAGIC: [u8; 8] = *b"loadgen\n";
/// Version of the protocol: a new number for every change.
pub const PROTOCOL: u32 = 1;
/// Version of this program: both sides have to be the same, or they would not count alike.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// Most bytes of a frame.
pub const MOST_BYTES: usize = 16 << 20;
/// Most ranges of sequence numbers in a frame, each of 24 bytes at most; one set more may come on top.
const MOST_RANGES: usize = 200_000;
/// How long the other side may take for its part of the greeting.
pub(super) const GREETING: Duration = Duration::from_secs(5);
/// How long a side says nothing at most while all is well.
pub(super) const ALIVE: Duration = Duration::from_secs(2);
/// After how long of silence the other side is taken for gone.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a side may take to read what it was sent.
const SLOWEST: Duration = Duration::from_secs(10);

/// The coordinator's first frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Its [`PROGRAM`].
    pub program: String,
}

/// The worker's first frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greeting {
    /// Its [`PROGRAM`].
    pub program: String,
    /// Name of its host.
    pub host: String,
    /// Which start of which machine this is: processes where it is the same have one clock.
    pub boot: String,
    /// The coordinator that it works for, if it does: another has to wait.
    pub busy: Option<String>,
}

/// What a coordinator says. Times are nanoseconds since 1970, by the coordinator's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToWorker {
    /// It is still there.
    Alive,
    /// Asks what time it is there.
    Clock {
        /// Which question, to know the answer by.
        number: u64,
    },
    /// A line begins.
    Line {
        /// Its number among those of this run.
        line: u64,
        /// The system.
        target: Target,
        /// Whether threads stay on cores.
        pin: bool,
        /// What the worker's clock is to be set forward by.
        offset_ns: i64,
    },
    /// A phase of the line begins, whose topic is there.
    Phase {
        /// Its number among those of this run.
        number: u64,
        /// What is run.
        workload: Box<Workload>,
        /// What for.
        phase: Phase,
        /// Which of the producers and consumers are the worker's.
        share: Share,
    },
    /// Start the workers of a kind.
    Start(Role),
    /// Producers may send.
    Begin(Begin),
    /// Second zero was no later than this.
    Zero(u64),
    /// Workers of a kind are to end.
    Stop(Role, Wanted),
    /// The line is over.
    Over,
}

/// What a worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromWorker {
    /// It is still there.
    Alive,
    /// What time it is, in nanoseconds since 1970, by its own clock.
    Clock {
        /// The question's.
        number: u64,
        /// When the question came.
        received_ns: u64,
        /// When it was answered.
        answered_ns: u64,
    },
    /// Whether the line can be begun.
    Opened {
        /// Which.
        line: u64,
        /// Why not, if not.
        why: Option<String>,
    },
    /// What one of its threads says.
    Said {
        /// Of which line.
        line: u64,
        /// What.
        said: Said,
    },
    /// How far it is.
    Progress {
        /// In which phase.
        phase: u64,
        /// Records acknowledged.
        acked: u64,
        /// Different records read.
        read: u64,
        /// When second zero began there; [`crate::measure::plan::UNKNOWN`] before it is known.
        zero_ns: u64,
        /// CPU seconds its process used until now.
        cpu_seconds: f64,
    },
    /// It was told to end.
    Leaving,
}

/// Why coordinator and worker don't come together, or part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Nobody answers there.
    #[error(
        "cannot reach worker {address}: {reason}; start it there with `loadgen worker --listen {address}`"
    )]
    Unreachable {
        /// The address tried.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The port cannot be had.
    #[error("cannot listen at {address}: {reason}")]
    Listen {
        /// The address tried.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Whoever is there speaks something else.
    #[error("{address} does not speak as loadgen's workers and coordinators do: {how}")]
    Stranger {
        /// Its address.
        address: String,
        /// How it showed.
        how: String,
    },
    /// It is of another version.
    #[error(
        "{address} is loadgen {there}, and this is loadgen {here}: run the same version on both sides"
    )]
    Version {
        /// Its address.
        address: String,
        /// Its version.
        there: String,
        /// The version here.
        here: String,
    },
    /// It works for another coordinator.
    #[error(
        "worker {address} is busy: it works for the coordinator at {with}; wait until that is done, or take another worker"
    )]
    Busy {
        /// Its address.
        address: String,
        /// Whom it works for.
        with: String,
    },
    /// The other side ended the connection.
    #[error("it closed the connection")]
    Closed,
    /// The other side was told to end.
    #[error("it was told to end")]
    Left,
    /// The other side says nothing.
    #[error("nothing was heard of it for {} s", .0.as_secs())]
    Silent(Duration),
    /// The other side does not read.
    #[error("it did not take what it was sent for {} s", .0.as_secs())]
    Stuck(Duration),
    /// A frame that nobody of ours sends.
    #[error("a message of {0} bytes is longer than the {MOST_BYTES} that are allowed")]
    TooLong(usize),
    /// A frame that cannot be read.
    #[error("a message cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                Self::Closed
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent(SILENCE),
            _ => Self::Io(error),
        }
    }
}

/// The sending half of a connection, which threads share. The connection ends with it.
#[derive(Debug)]
pub struct Outgoing(Mutex<TcpStream>);

impl Outgoing {
    /// Of this connection, on which the greeting is over.
    pub fn new(stream: TcpStream) -> Self {
        Self(Mutex::new(stream))
    }

    /// Sends a frame, whole or not at all.
    pub fn send<T: Serialize>(&self, what: &T) -> Result<(), WireError> {
        let bytes = frame(what)?;
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = stream.write_all(&bytes);
        if sent.is_err() {
            // Half a frame may be out: nothing that follows would be understood.
            let _ = stream.shutdown(Shutdown::Both);
        }
        sent.map_err(|error| match WireError::from(error) {
            WireError::Silent(_) => WireError::Stuck(SLOWEST),
            error => error,
        })
    }

    /// Ends the connection, for both sides.
    pub(super) fn end(&self) {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.end();
    }
}

fn frame<T: Serialize>(what: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, what)?;
    let len = bytes.len() - 4;
    if len > MOST_BYTES {
        return Err(WireError::TooLong(len));
    }
    bytes[..4].copy_from_slice(&(len as u32).to_be_bytes());
    Ok(bytes)
}

/// Waits for a frame; also says when its last byte was there, by this process's own clock.
pub fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> Result<(T, u64), WireError> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MOST_BYTES {
        return Err(WireError::TooLong(len));
    }
    // Memory is taken as bytes come, and not because somebody says that many will.
    let mut bytes = Vec::new();
    stream.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() < len {
        return Err(WireError::Closed);
    }
    let at_ns = own_clock_ns();
    Ok((serde_json::from_slice(&bytes)?, at_ns))
}

/// Sends the beginning of a side, with its first frame.
pub(super) fn introduce<T: Serialize>(stream: &mut TcpStream, first: &T) -> Result<(), WireError> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SLOWEST))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(PROTOCOL.to_be_bytes());
    bytes.extend(frame(first)?);
    Ok(stream.write_all(&bytes)?)
}

/// Whoever fails like this in the greeting is none of ours.
pub(super) fn stranger(address: &str, error: &WireError) -> WireError {
    WireError::Stranger {
        address: address.to_owned(),
        how: error.to_string(),
    }
}

/// Reads the fixed bytes of the other side's beginning. Errors name it.
pub(super) fn meet(stream: &mut TcpStream, address: &str) -> Result<(), WireError> {
    let mut bytes = [0; 12];
    let stranger = |how: String| WireError::Stranger {
        address: address.to_owned(),
        how,
    };
    stream.set_read_timeout(Some(GREETING))?;
    let mut read = || stream.read_exact(&mut bytes);
    read().map_err(|error| match WireError::from(error) {
        WireError::Silent(_) => stranger(format!("no greeting came for {} s", GREETING.as_secs())),
        error => stranger(error.to_string()),
    })?;
    if bytes[..8] != MAGIC {
        return Err(stranger("its greeting is another".to_owned()));
    }
    let protocol = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if protocol != PROTOCOL {
        return Err(WireError::Version {
            address: address.to_owned(),
            there: format!("with workers' protocol {protocol}"),
            here: format!("{PROGRAM} with workers' protocol {PROTOCOL}"),
        });
    }
    Ok(())
}

/// Says whether the other side's program is this one.
pub(super) fn same_program(there: &str, address: &str) -> Result<(), WireError> {
    if there == PROGRAM {
        return Ok(());
    }
    Err(WireError::Version {
        address: address.to_owned(),
        there: there.to_owned(),
        here: PROGRAM.to_owned(),
    })
}

/// From here on the other side is to be heard of now and then.
pub(super) fn greeted(stream: &TcpStream) -> Result<(), WireError> {
    Ok(stream.set_read_timeout(Some(SILENCE))?)
}

/// What a thread says, in parts that fit into frames. Put together by the collector they are the whole.
pub(super) fn parts(said: Said) -> Vec<Said> {
    match said {
        Said::Produced(mut summary) => {
            let streams = std::mem::take(&mut summary.streams);
            let producer = summary.producer;
            let rest = ProducerSummary {
                producer,
                ..ProducerSummary::default()
            };
            let chunks = chunks(streams, |stream| &stream.acked).into_iter();
            let firsts = std::iter::once(*summary).chain(std::iter::repeat(rest));
            let summaries = firsts.zip(chunks).map(|(summary, streams)| {
                Said::Produced(Box::new(ProducerSummary { streams, ..summary }))
            });
            summaries.collect()
        }
        Said::Consumed(mut summary) => {
            let streams = std::mem::take(&mut summary.streams);
            let consumer = summary.consumer;
            let rest = ConsumerSummary {
                consumer,
                ..ConsumerSummary::default()
            };
            let chunks = chunks(streams, |stream| &stream.seen).into_iter();
            let firsts = std::iter::once(*summary).chain(std::iter::repeat(rest));
            let summaries = firsts.zip(chunks).map(|(summary, streams)| {
                Said::Consumed(Box::new(ConsumerSummary { streams, ..summary }))
            });
            summaries.collect()
        }
        other => vec![other],
    }
}

/// One part at least, also of nothing.
fn chunks<T>(streams: Vec<T>, ranges: impl Fn(&T) -> &Ranges) -> Vec<Vec<T>> {
    let mut chunks = vec![Vec::new()];
    let mut sum = 0;
    for stream in streams {
        if sum >= MOST_RANGES {
            chunks.push(Vec::new());
            sum = 0;
        }
        // What stands around its ranges is as long as a few of them.
        sum += 4 + ranges(&stream).iter().count();
        if let Some(last) = chunks.last_mut() {
            last.push(stream);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use super::{FromWorker, MOST_BYTES, Ranges, Said, WireError, frame, parts};
    use crate::measure::collector::{Collector, Times};
    use crate::measure::tick::{ConsumerSummary, ProducerSummary, StreamSent};
    use crate::record::StreamSeen;

    /// As many holes as are kept.
    fn holes(producer: u16) -> Ranges {
        let mut ranges = Ranges::new();
        for at in (u32::MAX - 131_072..u32::MAX).step_by(2) {
            ranges.insert(at, at + 1);
        }
        ranges.insert(u32::from(producer), u32::from(producer) + 1);
        ranges
    }

    fn sent(producer: u16) -> StreamSent {
        StreamSent {
            producer,
            sent: 1,
            acked: holes(producer),
            ..StreamSent::default()
        }
    }

    #[test]
    fn what_is_too_much_for_a_frame_is_the_same_in_parts() {
        let produced = Said::Produced(Box::new(ProducerSummary {
            streams: (0..8).map(sent).collect(),
            errors: BTreeMap::from([("refused".to_owned(), 5)]),
            unanswered: 7,
            ..ProducerSummary::default()
        }));
        let consumed = Said::Consumed(Box::new(ConsumerSummary {
            streams: (0..7)
                .map(|producer| StreamSeen {
                    producer,
                    topic: 0,
                    partition: 0,
                    seen: holes(producer),
                })
                .collect(),
            before_due: 3,
            ..ConsumerSummary::default()
        }));
        let mut collector = Collector::new();
        for said in [produced, consumed] {
            let parts = parts(said);
            assert!(parts.len() > 1);
            for said in parts {
                let bytes = frame(&FromWorker::Said { line: 1, said }).unwrap();
                match serde_json::from_slice(&bytes[4..]).unwrap() {
                    FromWorker::Said {
                        said: Said::Produced(all),
                        ..
                    } => collector.produced(*all),
                    FromWorker::Said {
                        said: Said::Consumed(all),
                        ..
                    } => collector.consumed(*all),
                    other => panic!("{other:?}"),
                }
            }
        }
        let times = Times {
            zero_ns: 0,
            end_ns: None,
            rate: None,
            broken_off: false,
        };
        let (measured, notes) = collector.finish(times);
        // Nobody read what the eighth producer sent.
        assert_eq!(measured.verified.lost, holes(7).count());
        assert_eq!(measured.verified.duplicated, 0);
        assert_eq!(measured.errors["refused"], 5);
        assert_eq!(measured.errors["not answered before the end"], 7);
        assert!(
            notes
                .iter()
                .any(|note| note.starts_with("3 records arrived")),
            "{notes:?}"
        );
    }

    #[test]
    fn what_is_longer_than_a_frame_is_not_sent() {
        let long = "x".repeat(MOST_BYTES);
        assert!(matches!(frame(&long), Err(WireError::TooLong(_))));
    }
}
