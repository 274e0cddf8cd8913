//! A small seeded generator, so that a power cut that tore something can be had again.
//!
//! Owns nothing but its state. Must never draw from the clock or the system.

/// SplitMix64: enough for choosing which sectors survive.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A fair coin.
    pub(crate) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// A number from 0 up to and with `most`.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        // A modulo's bias is nothing for a test's choices.
        usize::try_from(self.next() % (most as u64 + 1)).unwrap_or(most)
    }
}
