//! Puts together what all workers counted. Pure: it is told what they said.

use std::collections::BTreeMap;

use super::histogram::Latencies;
use super::tick::{ConsumerSummary, ProducerSummary, Role, Tick};
use crate::record::{Ranges, Tally};
use crate::results::{Flow, Measured, Second, Verified};

/// How many seconds are kept whole, for workers that are late to tell.
const OPEN_SECONDS: i64 = 10;
/// As the benchmark of 2014 counts.
const MEGABYTE: f64 = 1_048_576.0;

#[derive(Debug, Default)]
struct Sum {
    second: Second,
    acks: Option<Box<Latencies>>,
    reads: Option<Box<Latencies>>,
}

impl Sum {
    fn brief(&self) -> [u64; 4] {
        let of = |from: &Option<Box<Latencies>>| from.as_ref().map(|all| all.brief());
        of(&self.reads).or(of(&self.acks)).unwrap_or_default()
    }

    /// The second with its latencies, which are computed only now.
    fn shown(&self) -> Second {
        let mut second = self.second.clone();
        let brief = self.brief();
        for (kept, new) in second.latency.iter_mut().zip(brief) {
            *kept = (*kept).max(new);
        }
        second
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    records: u64,
    bytes: u64,
    last_ns: u64,
}

#[derive(Debug, Default)]
struct Fate {
    sent: u32,
    acked: Ranges,
    seen: Ranges,
}

/// Gathers what workers say about one line.
#[derive(Debug, Default)]
pub struct Collector {
    seconds: BTreeMap<i64, Sum>,
    acks: Latencies,
    reads: Latencies,
    acked: Total,
    read: Total,
    fates: BTreeMap<(u16, usize, usize), Fate>,
    tally: Tally,
    checked: bool,
    errors: BTreeMap<String, u64>,
    noted: BTreeMap<String, u64>,
    unanswered: u64,
    unsent: u64,
    latest_ns: u64,
    before_due: u64,
}

/// What the engine knows of the time of a line.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When second zero began.
    pub zero_ns: u64,
    /// When it was to end, if it was to end by time.
    pub end_ns: Option<u64>,
    /// Records per second asked for.
    pub rate: Option<f64>,
    /// Whether the line was broken off, so that what was not read cannot be called lost.
    pub broken_off: bool,
}

impl Collector {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A second of a worker.
    pub fn tick(&mut self, tick: &Tick) {
        let sum = self.seconds.entry(tick.second).or_default();
        sum.second.second = tick.second;
        let (total, all, hist) = match tick.role {
            Role::Producer => {
                sum.second.acked += tick.records;
                sum.second.acked_bytes += tick.bytes;
                (&mut self.acked, &mut self.acks, &mut sum.acks)
            }
            Role::Consumer => {
                sum.second.consumed += tick.records;
                sum.second.consumed_bytes += tick.bytes;
                (&mut self.read, &mut self.reads, &mut sum.reads)
            }
        };
        total.records += tick.counted_records;
        total.bytes += tick.counted_bytes;
        total.last_ns = total.last_ns.max(tick.last_counted_ns);
        if !tick.counted.is_empty() {
            all.add(&tick.counted);
        }
        for latencies in [&tick.counted, &tick.others] {
            if !latencies.is_empty() {
                hist.get_or_insert_default().add(latencies);
            }
        }
        self.settle();
    }

    /// Keeps only figures of seconds long past.
    fn settle(&mut self) {
        let Some((&newest, _)) = self.seconds.last_key_value() else {
            return;
        };
        for (_, sum) in self.seconds.range_mut(..newest - OPEN_SECONDS) {
            if sum.acks.is_some() || sum.reads.is_some() {
                sum.second = sum.shown();
                (sum.acks, sum.reads) = (None, None);
            }
        }
    }

    /// CPU seconds the system used in a second.
    pub fn broker_cpu(&mut self, second: i64, cpu: f64) {
        let sum = self.seconds.entry(second).or_default();
        sum.second.second = second;
        sum.second.broker_cpu += cpu;
    }

    /// A second as it is known by now.
    pub fn second(&self, second: i64) -> Second {
        self.seconds.get(&second).map_or_else(
            || Second {
                second,
                ..Second::default()
            },
            Sum::shown,
        )
    }

    /// A producer is done.
    pub fn produced(&mut self, summary: ProducerSummary) {
        for (reason, count) in summary.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.unanswered += summary.unanswered;
        self.unsent += summary.unsent;
        self.latest_ns = self.latest_ns.max(summary.latest_ns);
        for stream in summary.streams {
            let key = (stream.producer, stream.topic, stream.partition);
            let fate = self.fates.entry(key).or_default();
            fate.sent = fate.sent.max(stream.sent);
            fate.acked.merge(&stream.acked);
        }
    }

    /// A consumer is done.
    pub fn consumed(&mut self, summary: ConsumerSummary) {
        self.checked = true;
        for (what, count) in summary.noted {
            *self.noted.entry(what).or_default() += count;
        }
        self.before_due += summary.before_due;
        self.tally.merge(summary.tally);
        for stream in summary.streams {
            let key = (stream.producer, stream.topic, stream.partition);
            let again = self.fates.entry(key).or_default().seen.merge(&stream.seen);
            // Two consumers read the same record.
            self.tally.duplicated += again;
            if again > 0 {
                self.tally
                    .example(|| format!("{again} records were read by two consumers"));
            }
        }
    }

    /// How many records failed or were never answered, until now.
    pub fn doubtful(&self) -> u64 {
        self.unanswered + self.errors.values().sum::<u64>()
    }

    /// The figures, and what a reader must know.
    pub fn finish(mut self, times: Times) -> (Measured, Vec<String>) {
        let mut notes = Vec::new();
        let verified = self.verify(&mut notes, times.broken_off);
        let seconds = |total: Total| {
            let last = total.last_ns.max(times.end_ns.unwrap_or(0));
            last.saturating_sub(times.zero_ns) as f64 / 1e9
        };
        let produced = flow(self.acked, seconds(self.acked));
        let consumed = flow(self.read, seconds(self.read));
        self.say_rate(&mut notes, times, &produced);
        if self.unanswered > 0 {
            let words = "not answered before the end".to_owned();
            *self.errors.entry(words).or_default() += self.unanswered;
        }
        for (what, count) in &self.noted {
            notes.push(format!("consumers noted, {count} times: {what}"));
        }
        if self.tally.foreign > 0 {
            let foreign = self.tally.foreign;
            notes.push(format!(
                "{foreign} records were read that are not of this run"
            ));
        }
        if self.before_due > 0 {
            notes.push(format!(
                "{} records arrived before they were due: the clocks of the hosts disagree",
                self.before_due
            ));
        }
        let measured = Measured {
            seconds: seconds(self.acked).max(seconds(self.read)),
            produced,
            consumed,
            ack_latency: self.acks.latency(),
            end_to_end_latency: self.reads.latency(),
            series: self.seconds.values().map(Sum::shown).collect(),
            verified,
            errors: self.errors,
            ..Measured::default()
        };
        (measured, notes)
    }

    fn say_rate(&self, notes: &mut Vec<String>, times: Times, produced: &Flow) {
        let Some(rate) = times.rate else { return };
        let reached = produced.records_per_second;
        if self.unsent == 0 && reached >= rate * 0.99 {
            return;
        }
        let mut note = format!(
            "asked for {rate:.0} records/s, reached {reached:.0}/s; {} records were due and not sent before the \
             end, and the latest was handed over {:.0} ms after it was due",
            self.unsent,
            self.latest_ns as f64 / 1e6
        );
        if self.unsent > 0 {
            // Records that are late are of the warm-up long after it.
            let acked: u64 = self.seconds.values().map(|sum| sum.second.acked).sum();
            note += &format!(
                "; with those of the warm-up, {acked} records were acknowledged in {} s",
                self.seconds.len()
            );
        }
        notes.push(note);
    }

    /// Sets what was acknowledged against what was read.
    fn verify(&mut self, notes: &mut Vec<String>, broken_off: bool) -> Verified {
        if !self.checked {
            return Verified::default();
        }
        let (mut lost, mut unacked, mut joined) = (0, 0, 0);
        for ((producer, topic, partition), fate) in &self.fates {
            let missing = fate.acked.without(&fate.seen);
            lost += missing.count();
            // Of a line that was broken off, producers may not have said what they sent.
            if fate.sent > 0 || !broken_off {
                unacked += fate.seen.without(&fate.acked).count();
            }
            joined += fate.acked.joined() + fate.seen.joined();
            if let Some((from, to)) = missing.iter().next()
                && !broken_off
            {
                let last = to - 1;
                self.tally.example(|| {
                    format!(
                        "records {from} to {last} of producer {producer} to partition {partition} of \
                         topic {topic} were acknowledged and never read"
                    )
                });
            }
        }
        // A damaged record that does not say which it is, is one of those missing.
        lost = lost.saturating_sub(self.tally.unplaced);
        if joined > 0 {
            notes.push(format!(
                "there were more holes than are kept: about {joined} records are not checked for loss"
            ));
        }
        if unacked > 0 {
            notes.push(format!(
                "{unacked} records were read that had not been acknowledged to their producer"
            ));
        }
        if broken_off && lost > 0 {
            notes.push(format!(
                "{lost} acknowledged records had not been read when it was broken off: not counted as lost"
            ));
            lost = 0;
        }
        Verified {
            checked: true,
            lost,
            duplicated: self.tally.duplicated,
            reordered: self.tally.reordered,
            corrupted: self.tally.corrupted,
            examples: std::mem::take(&mut self.tally.examples),
        }
    }
}

fn flow(total: Total, seconds: f64) -> Flow {
    let over = |what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
    Flow {
        records: total.records,
        bytes: total.bytes,
        records_per_second: over(total.records as f64),
        mb_per_second: over(total.bytes as f64 / MEGABYTE),
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
