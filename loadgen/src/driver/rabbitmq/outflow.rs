//! What a producer may send now and how long it waits for confirms in the end, alike for both protocols.
//!
//! It counts what is on its way; what it is and how it is sent is the protocols' own.

use super::DRAIN_WITHIN;
use crate::engine::stop::{Stop, Wanted};
use crate::measure::recorder::{Next, Outgoing, ProducerProbe, Ticket, now_ns};

/// How long to wait at most before looking whether to end.
const LOOK_NS: u64 = 20_000_000;

/// What to do after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum After {
    /// There is more to send.
    Again,
    /// Nothing can be done before this time, or before a confirm comes.
    Wait(u64),
    /// Everything was sent and answered.
    Finished,
}

/// What to do now.
pub(in crate::driver) enum Step<'a> {
    /// Send this record; it counts as on its way.
    Send(Outgoing<'a>),
    /// There is nothing to send.
    Rest(After),
}

/// A producer's records, from when they are due until they are answered.
pub(in crate::driver) struct Outflow {
    probe: ProducerProbe,
    stop: Stop,
    /// How many may be unconfirmed.
    window: usize,
    unconfirmed: usize,
    /// When it was first seen that there is nothing more to send.
    ending_since: Option<u64>,
}

impl Outflow {
    pub(in crate::driver) fn new(probe: ProducerProbe, stop: Stop, window: usize) -> Self {
        Self {
            probe,
            stop,
            window,
            unconfirmed: 0,
            ending_since: None,
        }
    }

    /// What to do at `now`.
    pub(in crate::driver) fn step(&mut self, now: u64) -> Step<'_> {
        let look = now + LOOK_NS;
        if self.ending_since.is_none() && self.stop.wanted() == Wanted::Run {
            if self.unconfirmed >= self.window {
                return Step::Rest(After::Wait(look));
            }
            match self.probe.next(now) {
                Next::Send(record) => {
                    self.unconfirmed += 1;
                    return Step::Send(record);
                }
                Next::Wait(until) => return Step::Rest(After::Wait(until.min(look))),
                Next::Done => {}
            }
        }
        self.ending_since.get_or_insert(now);
        Step::Rest(match self.unconfirmed {
            0 => After::Finished,
            _ => After::Wait(look),
        })
    }

    /// How many records are on their way.
    pub(in crate::driver) fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }

    /// Whether there is nothing more to send.
    pub(in crate::driver) fn is_ending(&self) -> bool {
        self.ending_since.is_some()
    }

    /// Whether confirms have had their time since the last record.
    pub(in crate::driver) fn is_overdue(&self) -> bool {
        let limit = u64::try_from(DRAIN_WITHIN.as_nanos()).unwrap_or(u64::MAX);
        self.ending_since
            .is_some_and(|since| now_ns() > since.saturating_add(limit))
    }

    /// These records of a partition were confirmed at that time.
    pub(in crate::driver) fn acked(
        &mut self,
        topic: usize,
        partition: usize,
        tickets: &[Ticket],
        at_ns: u64,
    ) {
        if !tickets.is_empty() {
            self.unconfirmed -= tickets.len();
            self.probe.acked(topic, partition, tickets, at_ns);
        }
    }

    /// These were not, or nobody knows.
    pub(in crate::driver) fn failed(
        &mut self,
        topic: usize,
        partition: usize,
        tickets: &[Ticket],
        reason: &str,
    ) {
        if !tickets.is_empty() {
            self.unconfirmed -= tickets.len();
            self.probe.failed(topic, partition, tickets, reason);
        }
    }
}
