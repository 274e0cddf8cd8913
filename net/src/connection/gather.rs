//! Answers on their way into as few writes as makes sense.
//!
//! Small pieces are copied behind one another, because an entry in a vectored write costs
//! more than copying a kilobyte; large ones are handed on as they are.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use rt::sync::Permit;

use crate::response::Response;

/// Pieces below this are copied together.
const SMALL_PIECE: usize = 2 * 1024;

/// No more answers are gathered beyond this, and no write is asked for more at once: a
/// peer that reads slowly is seen to make progress at least this often.
const WRITE_BYTES: usize = 1024 * 1024;

/// What the buffer for small pieces is made with.
const SMALL_BUFFER: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct Gather {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Small pieces that are not in `pieces` yet, and come behind them.
    small: BytesMut,
    held: Vec<Permit>,
    any: bool,
}

impl Gather {
    pub(super) fn push(&mut self, response: Response, credit: Option<Permit>) {
        self.any = true;
        self.held.extend(credit);
        for piece in response.into_pieces() {
            self.push_piece(piece);
        }
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() >= SMALL_PIECE {
            self.seal();
            self.pieces.push_back(piece);
            return;
        }
        if self.small.capacity() - self.small.len() < piece.len() {
            self.small
                .reserve(SMALL_BUFFER.max(piece.len()).max(self.small.len()));
        }
        self.small.extend_from_slice(&piece);
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= WRITE_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// The pieces of the next write; empty when everything has been handed out.
    pub(super) fn next_write(&mut self) -> VecDeque<Bytes> {
        self.seal();
        if self.bytes <= WRITE_BYTES {
            self.bytes = 0;
            return std::mem::take(&mut self.pieces);
        }
        let mut write = VecDeque::new();
        let mut room = WRITE_BYTES;
        while room > 0
            && let Some(front) = self.pieces.front_mut()
        {
            if front.len() > room {
                write.push_back(front.split_to(room));
                room = 0;
            } else {
                room -= front.len();
                write.extend(self.pieces.pop_front());
            }
        }
        self.bytes -= WRITE_BYTES - room;
        write
    }

    /// Everything is on the wire: gives back what the answers held.
    pub(super) fn clear(&mut self) {
        self.any = false;
        self.held.clear();
    }
}
