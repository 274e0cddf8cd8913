//! Making values and keys.

use super::{KEY_BYTES, LEAST_BYTES, Numbers, TIMED_BYTES, TIMED_HEADER, filler_seed, stream_seed};

/// What a producer's records to one partition have in common.
#[derive(Debug, Clone)]
pub struct Stream {
    seed: u64,
}

impl Stream {
    /// Of this producer to this partition.
    pub fn new(seed: u64, producer: u16, topic: usize, partition: usize) -> Self {
        Self {
            seed: stream_seed(seed, producer, topic, partition),
        }
    }

    pub(super) fn filler(&self, sequence: u32, due_ns: u64, key: u64, len: usize) -> Numbers {
        Numbers::new(filler_seed(self.seed, sequence, due_ns, key, len))
    }
}

/// Makes the values of one producer in one piece of memory.
#[derive(Debug)]
pub struct Maker {
    tag: u32,
    producer: u16,
    value: Vec<u8>,
    key: [u8; KEY_BYTES],
}

impl Maker {
    /// For records of up to `most` bytes.
    pub fn new(tag: u32, producer: u16, most: usize) -> Self {
        Self {
            tag,
            producer,
            value: vec![0; most.max(LEAST_BYTES)],
            key: [0; KEY_BYTES],
        }
    }

    /// Makes a record of `len` bytes, [`LEAST_BYTES`] at least and as many as promised at most. `key` is the
    /// key's number.
    #[inline]
    pub fn make(
        &mut self,
        stream: &Stream,
        sequence: u32,
        due_ns: u64,
        key: Option<u64>,
        len: usize,
    ) {
        if self.value.len() != len {
            self.value.resize(len.max(LEAST_BYTES), 0);
        }
        let timed = self.value.len() >= TIMED_BYTES;
        let due_ns = if timed { due_ns } else { 0 };
        let key_number = key.map_or(0, |key| key.wrapping_add(1));
        if let Some(key) = key {
            self.key = key.to_be_bytes();
        }
        let len = self.value.len();
        let filler = if timed {
            self.value[0..4].copy_from_slice(&self.tag.to_le_bytes());
            self.value[4..8].copy_from_slice(&sequence.to_le_bytes());
            self.value[8..16].copy_from_slice(&due_ns.to_le_bytes());
            self.value[16..18].copy_from_slice(&self.producer.to_le_bytes());
            &mut self.value[TIMED_HEADER..]
        } else {
            self.value[0..2].copy_from_slice(&(self.tag as u16).to_le_bytes());
            self.value[2..4].copy_from_slice(&self.producer.to_le_bytes());
            self.value[4..8].copy_from_slice(&sequence.to_le_bytes());
            &mut self.value[LEAST_BYTES..]
        };
        fill(filler, stream.filler(sequence, due_ns, key_number, len));
    }

    /// The value made last.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The key made last.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

fn fill(bytes: &mut [u8], mut numbers: Numbers) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = numbers.draw().to_le_bytes();
    }
    if !rest.is_empty() {
        let last = numbers.draw().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The number of a key that was read, if it is one of ours.
pub fn key_of(key: &[u8], keys: u64) -> Option<u64> {
    let number = u64::from_be_bytes(key.try_into().ok()?);
    (number < keys).then_some(number)
}

/// The hash by which Kafka's clients choose a partition for a key.
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    /// The figures in Kafka's own tests.
    #[test]
    fn hashes_keys_as_kafka_does() {
        let known: [(&str, i32); 5] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()), hash as u32, "{key}");
        }
    }
}
