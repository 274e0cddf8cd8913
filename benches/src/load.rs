//! Records as a load generator makes them, and chance that is the same in every run.

use batch::{Batch, BatchInfo, Builder, Compression, NewRecord};
use bytes::{Bytes, BytesMut};

/// Length of a record's value.
const VALUE: usize = 100;
/// What a record costs at most besides its value.
const RECORD_OVERHEAD: usize = 16;

/// A produced batch: uncompressed, of as many records with 100-byte values as fit `size` bytes,
/// the first of this timestamp, each a millisecond later.
pub fn batch(size: usize, timestamp: i64) -> Bytes {
    let mut chance = Chance::new(1);
    let mut builder = Builder::new(Compression::None);
    let mut timestamp = timestamp;
    while builder.uncompressed_size() + VALUE + RECORD_OVERHEAD <= size {
        let value: [u8; VALUE] = std::array::from_fn(|_| chance.below(256) as u8);
        builder.push(NewRecord {
            timestamp,
            value: Some(&value),
            ..NewRecord::default()
        });
        timestamp += 1;
    }
    builder.build().expect("the records fit a batch")
}

/// The same batch again and again, each stamped with another offset. Each costs a copy, which
/// stands for the receive that fills a frame.
#[derive(Clone, Debug)]
pub struct Feed {
    template: Bytes,
    info: BatchInfo,
}

impl Feed {
    /// Copies of this batch.
    pub fn new(template: Bytes) -> Self {
        let info = Batch::parse(&template).expect("it is a batch").info();
        Self { template, info }
    }

    /// Bytes of a batch.
    pub fn size(&self) -> usize {
        self.info.size
    }

    /// Offsets that a batch takes.
    pub fn offsets(&self) -> i64 {
        self.info.last_offset - self.info.base_offset + 1
    }

    /// A batch as a log takes it, at this offset.
    pub fn at(&self, base_offset: i64) -> (Bytes, BatchInfo) {
        const EPOCH: i32 = 1;
        let mut bytes = BytesMut::from(&self.template[..]);
        batch::stamp(&mut bytes, base_offset, EPOCH);
        let info = BatchInfo {
            base_offset,
            last_offset: base_offset + self.offsets() - 1,
            leader_epoch: EPOCH,
            ..self.info
        };
        (bytes.freeze(), info)
    }
}

/// Numbers without order; the same ones after the same seed (xorshift64*).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From this seed, which must not be 0.
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "of 0 nothing comes");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        // The high bits are the good ones.
        let wide = u128::from(drawn) * u128::from(bound);
        (wide >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_what_a_broker_takes() {
        let feed = Feed::new(batch(16 << 10, 5));
        assert!((16_200..=16_384).contains(&feed.size()), "{}", feed.size());
        let limits = batch::ProducedLimits::new(1 << 20);
        let checked = batch::check_produced(&feed.template, limits).unwrap();
        assert_eq!(i64::from(checked.record_count), feed.offsets());
        let (bytes, info) = feed.at(1000);
        let parsed = Batch::parse(&bytes).unwrap();
        parsed.verify_crc().unwrap();
        assert_eq!(parsed.info().last_offset, info.last_offset);
        assert_eq!((parsed.base_offset(), info.base_offset), (1000, 1000));
    }

    #[test]
    fn chance_covers_its_range() {
        let mut chance = Chance::new(7);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[chance.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
