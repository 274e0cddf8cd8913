//! How far apart clocks are. Pure: it is told what was measured.
//!
//! As NTP does it: of several exchanges the one with the least round trip, and half the way for each
//! direction. However the way was shared between the directions, that is wrong by no more than half of
//! the round trip.

use crate::results::{Measured, Worker};

/// From when on not knowing a clock better is said.
const WORTH_SAYING_NS: u64 = 1_000_000;

/// What one exchange, or the best of several, says of a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// What that clock has to be set forward by, to agree with ours.
    pub(super) offset_ns: i64,
    /// How long question and answer took together.
    pub(super) round_trip_ns: u64,
}

impl Seen {
    /// Of a question asked and answered at these times of ours, that came and was answered at these of theirs.
    pub(super) fn of(asked: u64, received: u64, answered: u64, heard: u64) -> Self {
        let [asked, received, answered, heard] = [asked, received, answered, heard].map(i128::from);
        let offset = ((asked - received) + (heard - answered)) / 2;
        let trip = (heard - asked) - (answered - received);
        Self {
            offset_ns: i64::try_from(offset).unwrap_or(0),
            round_trip_ns: u64::try_from(trip).unwrap_or(0),
        }
    }

    /// How wrong it is at most.
    pub(super) fn error_ns(self) -> u64 {
        self.round_trip_ns.div_ceil(2)
    }

    /// Of processes on one running machine, which read the same clock. That a copy of a machine calls itself
    /// the same is noticed by its clock.
    pub(super) fn is_same_clock(self, same_machine: bool) -> bool {
        same_machine && self.offset_ns.unsigned_abs() <= self.error_ns()
    }
}

/// What a reader must know of the clocks of a line.
pub fn notes(workers: &[Worker], measured: Option<&Measured>) -> Vec<String> {
    let mut notes = Vec::new();
    for worker in workers {
        if worker.error_ns > WORTH_SAYING_NS {
            notes.push(format!(
                "the clock of worker {} is known to {} ms only",
                worker.address,
                ms(worker.error_ns)
            ));
        }
        if let (Some(after), Some(trip)) = (worker.offset_after_ns, worker.round_trip_after_ns) {
            let moved = after.abs_diff(worker.offset_ns);
            if moved > worker.error_ns + trip.div_ceil(2) {
                notes.push(format!(
                    "the clock of worker {} moved by {} ms while the line ran, which is in its latencies",
                    worker.address,
                    ms(moved)
                ));
            }
        }
    }
    let latency = measured.and_then(|measured| measured.end_to_end_latency.as_ref());
    if let Some(p50_us) = latency.and_then(|latency| latency.percentiles.get("50")) {
        // A record may go from one of the two least known clocks to the other.
        let mut errors: Vec<u64> = workers.iter().map(|worker| worker.error_ns).collect();
        errors.sort_unstable_by(|a, b| b.cmp(a));
        let apart: u64 = errors.iter().take(2).sum();
        if apart > p50_us * 1000 {
            notes.push(format!(
                "end-to-end latencies between workers may be wrong by {} ms, which is more than their p50 of \
                 {} ms",
                ms(apart),
                ms(p50_us * 1000)
            ));
        }
    }
    notes
}

fn ms(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Seen, notes};
    use crate::results::{Latency, Measured, Worker};

    proptest! {
        #[test]
        fn the_offset_is_known_to_half_the_round_trip(
            ahead in -4_000_000_000i64..4_000_000_000,
            there in 0u64..50_000_000,
            thinking in 0u64..50_000_000,
            back in 0u64..50_000_000,
        ) {
            let asked = 1_790_000_000_000_000_000_u64;
            let received = (asked + there).saturating_add_signed(ahead);
            let heard = asked + there + thinking + back;
            let seen = Seen::of(asked, received, received + thinking, heard);
            prop_assert_eq!(seen.round_trip_ns, there + back);
            prop_assert!((seen.offset_ns + ahead).unsigned_abs() <= seen.error_ns());
        }
    }

    #[test]
    fn one_machine_has_one_clock() {
        let near = Seen {
            offset_ns: -40_000,
            round_trip_ns: 90_000,
        };
        assert!(near.is_same_clock(true) && !near.is_same_clock(false));
        let copy = Seen {
            offset_ns: 40_000_000,
            ..near
        };
        assert!(!copy.is_same_clock(true));
    }

    fn worker(error_ns: u64, after: Option<i64>) -> Worker {
        Worker {
            address: "h:1".to_owned(),
            error_ns,
            offset_after_ns: after,
            round_trip_after_ns: after.map(|_| 2 * error_ns),
            ..Worker::default()
        }
    }

    #[test]
    fn what_the_clocks_hide_is_said() {
        let measured = Measured {
            end_to_end_latency: Some(Latency {
                percentiles: BTreeMap::from([("50".to_owned(), 900)]),
                ..Latency::default()
            }),
            ..Measured::default()
        };
        let said = |workers: &[Worker]| notes(workers, Some(&measured));
        let good = worker(100_000, Some(150_000));
        assert!(said(&[good.clone(), good.clone()]).is_empty());
        let slow = said(&[good, worker(1_300_000, None)]);
        assert!(slow[0].contains("known to 1.300 ms only"), "{slow:?}");
        assert!(
            slow[1].contains("1.400 ms") && slow[1].contains("p50 of 0.900 ms"),
            "{slow:?}"
        );
        let moved = said(&[worker(100_000, Some(-250_000))]);
        assert!(moved[0].contains("moved by 0.250 ms"), "{moved:?}");
        assert_eq!(notes(&[worker(100_000, None)], None).len(), 0);
    }
}
