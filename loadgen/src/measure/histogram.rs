//! Distributions of latencies, in microseconds with three significant digits, up to an hour.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{
    Deserializer as HdrDeserializer, Serializer as HdrSerializer, V2Serializer,
};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::results::Latency;

/// The longest latency told from longer ones: an hour.
const MOST: u64 = 3_600_000_000;

/// A histogram that can be sent to another process.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Empty.
    #[expect(
        clippy::expect_used,
        reason = "the bounds are constants that the library takes"
    )]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MOST, 3).expect("bounds of a histogram"))
    }

    /// Notes `count` records that took `ns` nanoseconds.
    #[inline]
    pub fn note(&mut self, ns: u64, count: u64) {
        // Rounded up: nothing takes no time.
        self.0.saturating_record_n(ns.div_ceil(1000), count);
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Self) {
        // It cannot fail: all have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Microseconds at a percentile, 0 to 100; zero when empty.
    pub fn at(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile)
    }

    /// p50, p99, p99.9 and the worst.
    pub fn brief(&self) -> [u64; 4] {
        [50.0, 99.0, 99.9, 100.0].map(|percentile| self.at(percentile))
    }

    /// As it stands in results; none when empty.
    pub fn latency(&self) -> Option<Latency> {
        if self.is_empty() {
            return None;
        }
        // Encoding into memory does not fail for a histogram of ours.
        Latency::of(&self.0).ok()
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            return to.serialize_str("");
        }
        let mut bytes = Vec::new();
        HdrSerializer::serialize(&mut V2Serializer::new(), &self.0, &mut bytes)
            .map_err(S::Error::custom)?;
        to.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut all = Self::new();
        if !text.is_empty() {
            let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
            let read: Histogram<u64> = HdrDeserializer::new()
                .deserialize(&mut bytes.as_slice())
                .map_err(D::Error::custom)?;
            all.0.add(&read).map_err(D::Error::custom)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::Latencies;

    #[test]
    fn is_the_same_after_a_journey() {
        let mut there = Latencies::new();
        for ns in [1, 999, 1_000_000, 77_000_000_000, u64::MAX] {
            there.note(ns, 3);
        }
        let text = serde_json::to_string(&there).unwrap();
        let back: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(back.count(), 15);
        assert_eq!(back.brief(), there.brief());
        let empty: Latencies =
            serde_json::from_str(&serde_json::to_string(&Latencies::new()).unwrap()).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn keeps_three_digits_up_to_ten_minutes_and_more() {
        let mut latencies = Latencies::new();
        latencies.note(601_234_567_000, 1);
        let got = latencies.at(100.0) as f64;
        assert!((got / 601_234_567.0 - 1.0).abs() < 0.001, "{got}");
    }
}
