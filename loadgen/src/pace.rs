//! When each record is due. Pure: it is told the time.
//!
//! Open loop: record `i` is due at `start + (i + phase) / rate`, whatever became of those before it. The
//! due times never slip, so a system that stalls is charged with the wait of every record that was due
//! meanwhile. Closed loop: a record is due when it is asked for.

/// The pace of one producer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// At a fixed rate.
    Open {
        /// Nanoseconds between two records, not rounded.
        every_ns: f64,
        /// Where in that time the first is due, so that producers don't all send at once: 0 to 1.
        phase: f64,
    },
    /// As fast as the system takes them.
    Closed,
}

impl Pace {
    /// The pace of producer `index` of `producers` that share `rate` records per second.
    pub fn shared(rate: Option<f64>, index: usize, producers: usize) -> Self {
        let producers = producers.max(1) as f64;
        match rate {
            Some(rate) => Self::Open {
                every_ns: 1e9 * producers / rate,
                phase: index as f64 / producers,
            },
            None => Self::Closed,
        }
    }

    /// When record `number` is due, of a producer that started at `start_ns`. None in closed loop.
    #[inline]
    pub fn due_ns(self, start_ns: u64, number: u64) -> Option<u64> {
        match self {
            Self::Open { every_ns, phase } => {
                Some(start_ns + ((number as f64 + phase) * every_ns) as u64)
            }
            Self::Closed => None,
        }
    }

    /// How many records are due before `end_ns`.
    pub fn due_before(self, start_ns: u64, end_ns: u64) -> Option<u64> {
        match self {
            Self::Open { every_ns, phase } => {
                let time = end_ns.saturating_sub(start_ns) as f64;
                Some((time / every_ns - phase).ceil().max(0.0) as u64)
            }
            Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pace;

    #[test]
    fn a_closed_loop_has_no_times() {
        assert_eq!(Pace::shared(None, 0, 3).due_ns(5, 7), None);
    }

    proptest! {
        #[test]
        fn producers_together_make_the_rate(rate in 0.5f64..1e7, producers in 1usize..60, seconds in 1u64..100) {
            let start = 1_790_000_000_000_000_000;
            let end = start + seconds * 1_000_000_000;
            let mut all = 0;
            for index in 0..producers {
                let pace = Pace::shared(Some(rate), index, producers);
                let own = pace.due_before(start, end).unwrap_or(0);
                all += own;
                if own > 0 {
                    prop_assert!(pace.due_ns(start, own - 1) < Some(end));
                }
                // Times are rounded to a nanosecond.
                prop_assert!(pace.due_ns(start, own) >= Some(end - 1));
            }
            let wanted = rate * seconds as f64;
            prop_assert!((all as f64 - wanted).abs() <= producers as f64, "{all} for {wanted}");
        }

        #[test]
        fn due_times_rise_and_do_not_drift(rate in 1f64..1e6, number in 0u64..10_000_000_000) {
            let pace = Pace::shared(Some(rate), 0, 1);
            let due = pace.due_ns(0, number).unwrap_or(0);
            prop_assert!(pace.due_ns(0, number + 1) >= Some(due));
            let exact = number as f64 / rate * 1e9;
            prop_assert!((due as f64 - exact).abs() <= 1.0 + exact * 1e-14);
        }
    }
}
