//! Makes records, each with bytes of its own, and tells from the bytes of a record that was read which
//! one it is and whether it is whole. Pure: what is made depends on nothing but what is given.
//!
//! A value of 20 bytes or more carries
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | the run's tag |
//! | 4..8 | sequence of the record among those of its producer, topic and partition |
//! | 8..16 | when it was due, in nanoseconds since 1970 |
//! | 16..18 | number of the producer |
//! | 18.. | filler |
//!
//! and a shorter one, which has no room for the time
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | low half of the run's tag |
//! | 2..4 | number of the producer |
//! | 4..8 | sequence |
//! | 8.. | filler |
//!
//! all little-endian. The filler is a stream of pseudo-random bytes that begins from the seed, producer,
//! topic, partition, sequence, due time, key and length, so no part of a record can change, be cut off or
//! be mixed up with another's without the filler being wrong. It does not compress.

mod check;
mod make;
mod ranges;

pub use check::{Checker, Fault, Seen, StreamSeen, Tally};
pub use make::{Maker, Stream, key_of, murmur2};
pub use ranges::Ranges;

/// The least value that can be told from others.
pub const LEAST_BYTES: usize = 8;
/// Least bytes of a value that says when it was due.
pub const TIMED_BYTES: usize = 20;
/// Where the filler of a timed value begins.
const TIMED_HEADER: usize = 18;
/// Bytes of a key.
pub const KEY_BYTES: usize = 8;

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;
const K2: u64 = 0x8ebc_6af0_9c88_c6e3;

/// Multiplies to 128 bits and folds: the heart of wyrand.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// A stream of pseudo-random numbers (wyrand).
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(K0);
        fold(self.0, self.0 ^ K1)
    }

    /// Uniform over `0..below`.
    #[inline]
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(below)) >> 64) as u64
    }
}

/// Where the numbers of a stream of records begin.
fn stream_seed(seed: u64, producer: u16, topic: usize, partition: usize) -> u64 {
    let place = ((topic as u64) << 32) | partition as u64;
    fold(seed ^ K0, fold(place ^ K1, u64::from(producer) ^ K2) ^ K2)
}

/// Where the filler of one record begins. `key` is one more than the key's number, zero without.
#[inline]
fn filler_seed(stream: u64, sequence: u32, due_ns: u64, key: u64, len: usize) -> u64 {
    let own = (u64::from(sequence) << 32) ^ len as u64;
    fold(stream ^ own, K2 ^ due_ns) ^ fold(key ^ K0, K1 ^ own)
}

/// The tag by which records of this run are told from others.
pub fn tag_of(topic: &str, seed: u64) -> u32 {
    let tag = topic
        .bytes()
        .fold(seed ^ K0, |tag, byte| fold(tag ^ u64::from(byte), K1));
    (tag >> 16) as u32
}
