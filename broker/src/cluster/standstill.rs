//! Whether this process stood still: was stopped, or got no processor.
//!
//! It has read nothing meanwhile, so the silence of others says nothing about them. Told by a beat that should come
//! often, whatever else waits.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often the beat comes.
const BEAT: Duration = Duration::from_millis(50);
/// A beat so late says that the process stood still.
const LATE: Duration = Duration::from_millis(1000);

/// When the last beat was, and what was noticed by then.
#[derive(Debug)]
pub(super) struct Standstill {
    last: Cell<Instant>,
    noticed: Cell<bool>,
}

impl Standstill {
    pub(super) fn from(now: Instant) -> Self {
        Self {
            last: Cell::new(now),
            noticed: Cell::new(false),
        }
    }

    /// Beats for ever.
    pub(super) async fn beat(&self) {
        loop {
            rt::time::sleep(BEAT).await;
            self.beat_at(rt::time::now());
        }
    }

    fn beat_at(&self, now: Instant) {
        let late = now.saturating_duration_since(self.last.replace(now)) > BEAT + LATE;
        self.noticed.set(self.noticed.get() || late);
    }

    /// Whether the process stood still since this was last asked. It may be asked before the beat that is late.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.beat_at(now);
        self.noticed.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_is_late_is_noticed_once_whoever_comes_first() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let standstill = Standstill::from(begun);
        standstill.beat_at(at(50));
        assert!(!standstill.take(at(900)));
        standstill.beat_at(at(1_900));
        assert!(!standstill.take(at(1_950)), "1 s is not long");
        standstill.beat_at(at(3_100));
        standstill.beat_at(at(3_150));
        assert!(standstill.take(at(3_160)), "the beat came first");
        assert!(!standstill.take(at(3_170)));
        assert!(standstill.take(at(4_300)), "asked before the beat");
        standstill.beat_at(at(4_300));
        assert!(!standstill.take(at(4_350)));
    }
}
