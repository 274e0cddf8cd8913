//! Requests cut out of a connection's bytes.
//!
//! Owns the receive buffer of one connection and decides how large it is: a kilobyte while
//! the connection is quiet, more while it is busy and the shard has room for it. Frames that
//! fit are split off the buffer without a copy; a larger one gets a buffer of its own.
//!
//! It must never believe a size: memory is held, and touched, only as far as bytes have come.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rt::sync::Permit;
use rt::tcp::ReadHalf;
use rt::time::{now, timeout};
use thiserror::Error;

pub use crate::memory::{FrameMemory, RequestCredit};

/// Bytes of the size in front of every frame.
const PREFIX: usize = 4;

/// The receive buffer of a connection that is quiet. Holds the small requests clients send
/// when they connect.
const QUIET_BUFFER: usize = 1024;

/// How much a busy connection's buffer grows at a time.
const BUFFER_GROWTH: usize = 4;

/// The largest receive buffer. Larger frames have one each.
const MAX_BUFFER: usize = 64 * 1024;

/// How long a connection has to be silent before its buffer shrinks.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// What the buffer of a large frame starts with: all that a claim alone gets.
const OWN_BUFFER: usize = 16 * 1024;

/// How many times what has come of a frame its buffer may be, up to [`LARGE_BUFFER`]; from there on it
/// doubles.
const OWN_GROWTH: usize = 16;

/// The most bytes of a frame that are waited for at a time: each wait costs a turn of the shard, and
/// bytes that wait cost the system's memory.
const MOST_AWAITED: usize = 128 * 1024;

/// The time that what has come by a deadline has for being read.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// Where growth becomes slower.
const LARGE_BUFFER: usize = 1024 * 1024;

/// What one connection may send.
#[derive(Debug, Clone)]
pub struct FrameLimits {
    /// The largest request (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// A frame that has begun must make progress within this time, again and again.
    pub progress: Duration,
    /// How much progress that is, in bytes; or the rest of the frame, if that is less.
    pub progress_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            max_request_bytes: 100 * 1024 * 1024,
            progress: Duration::from_secs(30),
            progress_bytes: 64 * 1024,
        }
    }
}

/// One request, without the size in front.
#[derive(Debug)]
pub struct Frame {
    /// The request: header and body.
    pub bytes: BytesMut,
    /// The memory promised for it.
    pub credit: RequestCredit,
}

/// Why a connection gives no more frames.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A size of zero or less.
    #[error("a frame of {size} bytes: a size must be above zero")]
    NotPositive {
        /// As read.
        size: i32,
    },
    /// A size beyond the limit.
    #[error("a frame of {size} bytes is more than the {max} allowed by socket.request.max.bytes{}", hint(*.size))]
    TooLarge {
        /// As read.
        size: u32,
        /// The limit.
        max: usize,
    },
    /// The peer ended the connection inside a frame.
    #[error("the peer ended the connection after {got} of {wanted} bytes of a frame")]
    Truncated {
        /// Bytes that came, the size included.
        got: usize,
        /// Bytes the frame has, the size included; 4 while even that is not known.
        wanted: usize,
    },
    /// A frame has begun and does not come on.
    #[error("a frame stands at {got} of {wanted} bytes: too little came within {} s", .within.as_secs_f32())]
    TooSlow {
        /// Bytes that came, the size included.
        got: usize,
        /// Bytes the frame has, the size included; 4 while even that is not known.
        wanted: usize,
        /// The time allowed.
        within: Duration,
    },
    /// No frame began in the time given. The reader can go on.
    #[error("nothing came for {} s", .after.as_secs_f32())]
    Idle {
        /// The time given.
        after: Duration,
    },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl FrameError {
    /// Whether the peer broke a rule, rather than went away.
    pub fn is_violation(&self) -> bool {
        matches!(
            self,
            Self::NotPositive { .. } | Self::TooLarge { .. } | Self::TooSlow { .. }
        )
    }
}

/// What other protocols' first bytes look like when they are read as a size.
fn hint(size: u32) -> &'static str {
    match &size.to_be_bytes() {
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" => " (it looks like HTTP)",
        [0x16, 3, ..] => " (it looks like TLS, which this listener does not speak)",
        b"SSH-" => " (it looks like SSH)",
        _ => "",
    }
}

/// How large the buffer of a frame may be of which `come` bytes have come.
fn own_buffer(come: usize) -> usize {
    (come * OWN_GROWTH).clamp(OWN_BUFFER, LARGE_BUFFER)
}

/// How far a frame has to have come by when.
struct Progress {
    deadline: Instant,
    goal: usize,
}

/// Reads the frames of one connection.
pub struct FrameReader {
    half: ReadHalf,
    limits: FrameLimits,
    memory: FrameMemory,
    buffer: BytesMut,
    /// The size the next buffer will have.
    target: usize,
    /// For what `target` has beyond [`QUIET_BUFFER`].
    grown: Option<Permit>,
}

impl FrameReader {
    /// Reads from `half`.
    pub fn new(half: ReadHalf, limits: FrameLimits, memory: FrameMemory) -> Self {
        Self {
            half,
            limits,
            memory,
            buffer: BytesMut::new(),
            target: QUIET_BUFFER,
            grown: None,
        }
    }

    /// The next frame; `None` when the peer has ended the connection between two frames.
    ///
    /// Waits up to `idle` for a frame to begin; after [`FrameError::Idle`] it can be called
    /// again, after every other error not. Also not after this future was dropped.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Frame>, FrameError> {
        if self.buffer.is_empty() && !self.wait_for_bytes(idle).await? {
            return Ok(None);
        }
        let size = match self.claimed_size()? {
            Some(size) => size,
            None => self.read_size().await?,
        };
        let total = PREFIX + size;
        let mut credit = self.memory.begin();
        if self.buffer.len() < total {
            if total > self.target {
                // Boxed, so that connections that never have one don't hold room for it.
                return Box::pin(self.read_apart(size, credit)).await.map(Some);
            }
            self.read_up_to(total, total).await?;
        }
        if !self.memory.try_grow(&mut credit, size) {
            Box::pin(self.memory.grow(&mut credit, size)).await;
        }
        credit.arrived();
        self.buffer.advance(PREFIX);
        let bytes = self.buffer.split_to(size);
        Ok(Some(Frame { bytes, credit }))
    }

    /// Reads and drops what the peer still sends, until it ends the connection, `max_bytes`
    /// have come, or `span` has passed. Closing with unread bytes would make the system
    /// send a reset, which may destroy an answer on its way.
    pub async fn discard(&mut self, span: Duration, max_bytes: usize) {
        let mut left = max_bytes;
        let read = async {
            while left > 0 {
                self.buffer.clear();
                self.make_room(1);
                match self.half.read(&mut self.buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(got) => left = left.saturating_sub(got),
                }
            }
        };
        // Out of time is as good as done.
        let _: Result<(), _> = timeout(span, read).await;
    }

    /// The size at the front of the buffer, checked.
    fn claimed_size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let size = i32::from_be_bytes(*prefix);
        let max = self.limits.max_request_bytes;
        match u32::try_from(size) {
            Err(_) | Ok(0) => Err(FrameError::NotPositive { size }),
            Ok(size) if size as usize > max => Err(FrameError::TooLarge { size, max }),
            Ok(size) => Ok(Some(size as usize)),
        }
    }

    /// Waits for the first bytes of a frame; false at the end of the connection.
    async fn wait_for_bytes(&mut self, idle: Duration) -> Result<bool, FrameError> {
        if self.grown.is_some() && QUIET_AFTER < idle {
            match timeout(QUIET_AFTER, self.fill(1, 1)).await {
                Ok(read) => return Ok(read? > 0),
                Err(_quiet) => self.shrink(),
            }
        }
        match timeout(idle, self.fill(1, 1)).await {
            Ok(read) => Ok(read? > 0),
            Err(_elapsed) => Err(FrameError::Idle { after: idle }),
        }
    }

    async fn read_size(&mut self) -> Result<usize, FrameError> {
        self.read_up_to(PREFIX, PREFIX).await?;
        self.claimed_size().map(Option::unwrap_or_default)
    }

    /// Reads into the shared buffer until it holds `until` bytes of a frame of `total`.
    async fn read_up_to(&mut self, until: usize, total: usize) -> Result<(), FrameError> {
        let mut progress = self.progress(self.buffer.len());
        while self.buffer.len() < until {
            let got = self.buffer.len();
            let missing = until - got;
            let left = self.time_left(&mut progress, got, total)?;
            match timeout(left, self.fill(missing, missing)).await {
                Ok(Ok(0)) => return Err(FrameError::Truncated { got, wanted: total }),
                Ok(read) => read?,
                // The next turn sees whether enough has come.
                Err(_elapsed) => {
                    let last = timeout(LAST_LOOK, self.fill(missing, 1)).await;
                    last.unwrap_or(Ok(0))?
                }
            };
        }
        Ok(())
    }

    /// Reads a frame too large for the shared buffer into one of its own, which grows as
    /// bytes come.
    async fn read_apart(
        &mut self,
        size: usize,
        mut credit: RequestCredit,
    ) -> Result<Frame, FrameError> {
        let wanted = PREFIX + size;
        let come = self.buffer.len() + self.half.queued()?;
        let first = size.min(own_buffer(come).max(self.buffer.len()));
        self.memory.grow(&mut credit, first).await;
        let mut bytes = self.memory.buffer(first);
        self.buffer.advance(PREFIX);
        bytes.extend_from_slice(&self.buffer);
        self.buffer.clear();
        if wanted > MAX_BUFFER {
            // What follows is likely to be as large, and read apart as well.
            self.shrink();
        }
        let mut progress = self.progress(PREFIX + bytes.len());
        while bytes.len() < size {
            if bytes.len() == bytes.capacity() {
                let larger = match bytes.len() {
                    large @ LARGE_BUFFER.. => large * 2,
                    small => own_buffer(small),
                };
                let larger = size.min(larger);
                self.memory.grow(&mut credit, larger).await;
                let mut larger = self.memory.buffer(larger);
                larger.extend_from_slice(&bytes);
                bytes = larger;
                // The time that waiting took is not the peer's.
                progress = self.progress(PREFIX + bytes.len());
            }
            let got = PREFIX + bytes.len();
            let awaited = MOST_AWAITED.min(wanted - got);
            let left = self.time_left(&mut progress, got, wanted)?;
            match timeout(left, self.half.read_many(&mut bytes, awaited)).await {
                Ok(Ok(0)) => return Err(FrameError::Truncated { got, wanted }),
                Ok(read) => read?,
                Err(_elapsed) => {
                    let last = timeout(LAST_LOOK, self.half.read(&mut bytes)).await;
                    last.unwrap_or(Ok(0))?
                }
            };
        }
        credit.arrived();
        Ok(Frame { bytes, credit })
    }

    fn progress(&self, got: usize) -> Progress {
        Progress {
            deadline: now() + self.limits.progress,
            goal: got.saturating_add(self.limits.progress_bytes),
        }
    }

    /// The time left for the frame to come as far as it has to; a new span where it has.
    fn time_left(
        &self,
        progress: &mut Progress,
        got: usize,
        wanted: usize,
    ) -> Result<Duration, FrameError> {
        let left = progress.deadline.saturating_duration_since(now());
        if !left.is_zero() {
            return Ok(left);
        }
        if got < progress.goal {
            return Err(FrameError::TooSlow {
                got,
                wanted,
                within: self.limits.progress,
            });
        }
        *progress = self.progress(got);
        Ok(self.limits.progress)
    }

    /// One read into the shared buffer, with room for at least `least` bytes; one that has to wait
    /// waits for `awaited` bytes.
    async fn fill(&mut self, least: usize, awaited: usize) -> io::Result<usize> {
        self.make_room(least);
        let room = self.buffer.capacity() - self.buffer.len();
        let got = self.half.read_many(&mut self.buffer, awaited).await?;
        if got == room {
            self.grow();
        }
        Ok(got)
    }

    /// Room for at least `least` more bytes, and for enough to make a read worth its while.
    fn make_room(&mut self, least: usize) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room >= least.max(self.target / 4) {
            return;
        }
        let wanted = self.target.max(self.buffer.len() + least);
        if !self.buffer.try_reclaim(wanted - self.buffer.len()) {
            // Frames split off earlier keep the old buffer alive.
            let mut fresh = self.memory.buffer(wanted);
            fresh.extend_from_slice(&self.buffer);
            self.buffer = fresh;
        }
    }

    /// A read filled all the room there was: the next buffer may be larger.
    fn grow(&mut self) {
        let larger = (self.target * BUFFER_GROWTH).min(MAX_BUFFER);
        if larger == self.target {
            return;
        }
        let Some(more) = self.memory.buffers.try_acquire(larger - self.target) else {
            return;
        };
        match &mut self.grown {
            Some(held) => drop(held.merge(more)),
            None => self.grown = Some(more),
        }
        self.target = larger;
    }

    fn shrink(&mut self) {
        self.buffer = BytesMut::new();
        self.target = QUIET_BUFFER;
        self.grown = None;
    }
}
