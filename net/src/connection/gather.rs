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

#[derive(Default)]
pub(super) struct Gather {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Small pieces that are not in `pieces` yet, and come behind them.
    small: Vec<Bytes>,
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
        self.small.push(piece);
    }

    /// Nothing is kept for the next time: there are connections by the ten thousand, most
    /// of them quiet.
    fn seal(&mut self) {
        let small = std::mem::take(&mut self.small);
        if small.len() < 2 {
            self.pieces.extend(small);
            return;
        }
        let mut joined = BytesMut::with_capacity(small.iter().map(Bytes::len).sum());
        for piece in &small {
            joined.extend_from_slice(piece);
        }
        self.pieces.push_back(joined.freeze());
    }

    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= WRITE_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Whether what is on its way holds memory that is counted.
    pub(super) fn holds_memory(&self) -> bool {
        !self.held.is_empty()
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
        self.held = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Writer;

    fn answer(pieces: &[&Bytes]) -> Response {
        let mut writer = Writer::new(1, false, 0);
        for piece in pieces {
            writer.splice((*piece).clone());
        }
        writer.finish()
    }

    fn zeros(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    fn lengths(write: &VecDeque<Bytes>) -> Vec<usize> {
        write.iter().map(Bytes::len).collect()
    }

    #[test]
    fn small_pieces_are_joined_and_large_ones_are_not_copied() {
        let (small, large) = (zeros(10), zeros(SMALL_PIECE));
        let mut gather = Gather::default();
        assert!(gather.is_empty());
        gather.push(answer(&[&small]), None);
        gather.push(answer(&[&small, &large, &large]), None);
        gather.push(answer(&[&small]), None);
        assert!(!gather.is_empty());
        let write = gather.next_write();
        // Each answer brings 8 bytes of size and header.
        assert_eq!(lengths(&write), [36, SMALL_PIECE, SMALL_PIECE, 18]);
        assert_eq!(write[1].as_ptr(), large.as_ptr());
        assert!(gather.next_write().is_empty());
        gather.clear();
        assert!(gather.is_empty());
    }

    #[test]
    fn one_small_piece_alone_is_not_copied() {
        let response = answer(&[]);
        let at = response.pieces().next().map(|piece| piece.as_ptr());
        let mut gather = Gather::default();
        gather.push(response, None);
        assert_eq!(gather.next_write().front().map(|piece| piece.as_ptr()), at);
    }

    #[test]
    fn a_large_answer_is_written_in_bounded_parts() {
        let mut gather = Gather::default();
        gather.push(answer(&[&zeros(WRITE_BYTES + 100), &zeros(5)]), None);
        assert!(gather.is_enough());
        assert_eq!(lengths(&gather.next_write()), [8, WRITE_BYTES - 8]);
        assert_eq!(lengths(&gather.next_write()), [108, 5]);
        assert!(gather.next_write().is_empty());
    }

    #[test]
    fn what_an_answer_holds_is_given_back_when_it_is_written() {
        let credit = rt::sync::Credit::new(10);
        let mut gather = Gather::default();
        gather.push(answer(&[]), credit.try_acquire(7));
        gather.next_write();
        assert_eq!(credit.in_use(), 7);
        gather.clear();
        assert_eq!(credit.in_use(), 0);
    }
}
