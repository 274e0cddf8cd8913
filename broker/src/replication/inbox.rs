//! Frames cut out of a connection's bytes.
//!
//! Bytes are received into large buffers, and a frame is a slice of one, so that the records in it can
//! stay where they are in memory for as long as the log keeps them. It must never take memory of a size
//! that it was only told.

use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use net::recycle::FramePool;
use replica::wire::{FRAME_HEAD_LEN, HELLO_MAX_BYTES, Hello, frame_len, hello_len};
use rt::tcp::ReadHalf;

use super::error::ConnectionError;

/// The buffer of a connection on which little comes.
const QUIET_BUFFER: usize = 16 << 10;

/// The buffer of a busy one: a few frames, so that seldom one lies across its end. It is also the most
/// that is made on no more than a claim; a frame that is longer gets more as it comes.
const BUSY_BUFFER: usize = 2 << 20;

/// How much a buffer grows that a read has filled.
const GROWTH: usize = 4;

/// The most bytes that are waited for at a time.
const MOST_AWAITED: usize = 128 << 10;

/// Reads one connection.
pub(super) struct Inbox {
    half: ReadHalf,
    buffer: BytesMut,
    /// How large the next buffer is.
    target: usize,
    pool: Rc<FramePool>,
}

impl Inbox {
    pub(super) fn new(half: ReadHalf, pool: Rc<FramePool>) -> Self {
        Self {
            half,
            buffer: BytesMut::new(),
            target: QUIET_BUFFER,
            pool,
        }
    }

    /// The first words of the other side.
    ///
    /// # Errors
    /// [`ConnectionError::Wire`], [`ConnectionError::Io`], [`ConnectionError::Closed`].
    pub(super) async fn hello(&mut self) -> Result<Hello, ConnectionError> {
        loop {
            if let Some(len) = hello_len(&self.buffer)?
                && len <= self.buffer.len()
            {
                return Ok(Hello::decode(&self.buffer.split_to(len))?);
            }
            self.fill(HELLO_MAX_BYTES, 1).await?;
        }
    }

    /// The content of the next frame. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ConnectionError::Wire`] for one that is too long, [`ConnectionError::Io`],
    /// [`ConnectionError::Closed`].
    pub(super) async fn frame(&mut self) -> Result<Bytes, ConnectionError> {
        loop {
            let have = self.buffer.len();
            let whole = match self.buffer.first_chunk::<FRAME_HEAD_LEN>() {
                None => FRAME_HEAD_LEN,
                Some(head) => {
                    let whole = FRAME_HEAD_LEN + frame_len(*head)?;
                    if whole <= have {
                        self.buffer.advance(FRAME_HEAD_LEN);
                        return Ok(self.buffer.split_to(whole - FRAME_HEAD_LEN).freeze());
                    }
                    whole
                }
            };
            let missing = whole - have;
            self.fill(missing, missing.min(MOST_AWAITED)).await?;
        }
    }

    /// One read, which waits for `awaited` bytes if it has to wait, where `missing` bytes are to come.
    async fn fill(&mut self, missing: usize, awaited: usize) -> Result<(), ConnectionError> {
        self.make_room(missing);
        let room = self.buffer.capacity() - self.buffer.len();
        let got = self.half.read_many(&mut self.buffer, awaited).await?;
        if got == room {
            self.target = (self.target * GROWTH).min(BUSY_BUFFER);
        }
        match got {
            0 => Err(ConnectionError::Closed),
            _ => Ok(()),
        }
    }

    fn make_room(&mut self, missing: usize) {
        let (have, room) = (
            self.buffer.len(),
            self.buffer.capacity() - self.buffer.len(),
        );
        // What doesn't fit would be copied later, and then there would be more of it.
        if room >= missing.min(BUSY_BUFFER / 2) && room >= self.target / 16 {
            return;
        }
        let believed = missing.min(have.max(BUSY_BUFFER));
        let mut fresh = self.pool.take(self.target.max(have + believed));
        fresh.extend_from_slice(&self.buffer);
        self.buffer = fresh;
    }
}
