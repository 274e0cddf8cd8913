//! How fast compaction may read and write. Pure: times since the beginning come in.

use std::time::Duration;

/// How much of what it didn't use it may make up for.
const BURST: Duration = Duration::from_millis(300);
/// Waits shorter than this are put off.
const SHORT: Duration = Duration::from_millis(10);

/// The pace of one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Throttle {
    /// When what was done until now may be done at the earliest.
    due: Duration,
}

impl Throttle {
    /// Notes that `bytes` were read or written, where `rate` a second may be; `now` is the time since the
    /// beginning. Gives back how long to wait before more is.
    pub(crate) fn note(&mut self, bytes: u64, rate: f64, now: Duration) -> Option<Duration> {
        let least = now.saturating_sub(BURST);
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate.max(1.0));
        self.due = self.due.max(least) + cost.unwrap_or(Duration::ZERO);
        let wait = self.due.saturating_sub(now);
        (wait >= SHORT).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_to_the_rate() {
        let (mut throttle, mut now) = (Throttle::default(), Duration::ZERO);
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            now += throttle.note(100_000, 1e6, now).unwrap_or_default();
        }
        let expected = Duration::from_secs(100);
        assert!(now >= expected - BURST - SHORT, "{now:?}");
        assert!(now <= expected + SHORT, "{now:?}");
    }

    #[test]
    fn what_was_not_used_is_not_made_up_for_later() {
        let mut throttle = Throttle::default();
        let later = Duration::from_secs(3600);
        assert_eq!(throttle.note(100_000, 1e6, later), None);
        let wait = throttle.note(1_000_000, 1e6, later);
        assert_eq!(wait, Some(Duration::from_millis(800)));
    }

    #[test]
    fn without_a_rate_it_never_waits() {
        let mut throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(throttle.note(1 << 30, f64::MAX, Duration::ZERO), None);
        }
    }
}
