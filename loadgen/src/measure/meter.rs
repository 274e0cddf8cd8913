//! Counts for one worker, and sends each second when it is over.

use std::sync::mpsc::Sender;

use super::histogram::Latencies;
use super::tick::{Role, Said, Tick};

const SECOND_NS: i128 = 1_000_000_000;

/// The counts of one worker for the second that runs.
#[derive(Debug)]
pub(super) struct Meter {
    tick: Tick,
    /// Until when the second runs, in nanoseconds since 1970; zero before the first.
    until_ns: u64,
    to: Sender<Said>,
}

impl Meter {
    pub(super) fn new(role: Role, to: Sender<Said>) -> Self {
        Self {
            tick: Tick {
                role,
                second: 0,
                records: 0,
                bytes: 0,
                counted_records: 0,
                counted_bytes: 0,
                last_counted_ns: 0,
                counted: Latencies::new(),
                others: Latencies::new(),
            },
            until_ns: 0,
            to,
        }
    }

    /// Notes that it is `now_ns`, of a time whose second zero begins at `zero_ns`.
    #[inline]
    pub(super) fn turn(&mut self, now_ns: u64, zero_ns: u64) {
        if self.is_over(now_ns) {
            self.next_second(now_ns, zero_ns);
        }
    }

    /// Whether the second that runs is over at `now_ns`.
    #[inline]
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.until_ns
    }

    #[cold]
    fn next_second(&mut self, now_ns: u64, zero_ns: u64) {
        // What was counted before second zero was known goes with what is counted from now on.
        if self.until_ns > 0 {
            self.flush();
        }
        let since = i128::from(now_ns) - i128::from(zero_ns);
        let second = since.div_euclid(SECOND_NS);
        self.tick.second = second as i64;
        let until = i128::from(zero_ns) + (second + 1) * SECOND_NS;
        self.until_ns = until as u64;
    }

    /// Counts records that took so long, all of one second.
    #[inline]
    pub(super) fn latency(&mut self, counted: bool, ns: u64, records: u64) {
        if counted {
            self.tick.counted.note(ns, records);
        } else {
            self.tick.others.note(ns, records);
        }
    }

    /// Counts records.
    #[inline]
    pub(super) fn count(&mut self, counted: bool, now_ns: u64, records: u64, bytes: u64) {
        self.tick.records += records;
        self.tick.bytes += bytes;
        if counted {
            self.tick.counted_records += records;
            self.tick.counted_bytes += bytes;
            self.tick.last_counted_ns = now_ns;
        }
    }

    /// Sends what was counted and begins anew.
    pub(super) fn flush(&mut self) {
        if self.tick.records == 0 {
            return;
        }
        // Nobody listens any more when the run was given up.
        let _ = self.to.send(Said::Tick(Box::new(self.tick.clone())));
        let tick = &mut self.tick;
        (tick.records, tick.bytes) = (0, 0);
        (tick.counted_records, tick.counted_bytes) = (0, 0);
        tick.last_counted_ns = 0;
        if !tick.counted.is_empty() {
            tick.counted.reset();
        }
        if !tick.others.is_empty() {
            tick.others.reset();
        }
    }

    pub(super) fn say(&self, what: Said) {
        let _ = self.to.send(what);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Meter, Role, Said};

    #[test]
    fn what_was_counted_before_the_time_was_known_is_in_its_first_second() {
        let (to, said) = channel();
        let mut meter = Meter::new(Role::Consumer, to);
        meter.count(true, 900, 3, 30);
        meter.turn(1_000, 2_000_000_500);
        meter.count(true, 1_000, 4, 40);
        meter.turn(2_000_000_500, 2_000_000_500);
        meter.flush();
        let ticks: Vec<_> = said.try_iter().collect();
        assert!(
            matches!(&ticks[..], [Said::Tick(tick)] if tick.second == -2 && tick.records == 7),
            "{ticks:?}"
        );
    }
}
