//! Lines that belong together: the same line of a suite on several systems, and its repeats. Pure.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::results::{
    Flow, Latency, Line, Measured, Original, Outcome, Results, System, Verified, Worker,
};
use crate::workload::{ReadFrom, Workload};

/// A line of the suite on all systems.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Its title.
    pub(super) title: &'a str,
    /// Its parameters.
    pub(super) workload: &'a Workload,
    /// The published figure.
    pub(super) original: Option<&'a Original>,
    /// One for each system that has it, in the report's order of systems.
    pub(super) cells: Vec<Cell<'a>>,
}

/// A line of the suite on one system.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    /// The system.
    pub(super) system: &'a System,
    /// Its number among the report's systems, which gives it its colour.
    pub(super) number: usize,
    /// All repeats.
    pub(super) lines: Vec<&'a Line>,
    /// Those that were measured to the end, taken together.
    pub(super) whole: Option<Whole>,
    /// Where there are none: what was measured until they broke off.
    pub(super) until: Option<Whole>,
}

/// Measured repeats taken together.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// How many.
    pub(super) runs: usize,
    /// In how many runs they were not held.
    pub(super) not_held: usize,
    /// The flow that the line is about.
    pub(super) flow: Flow,
    /// The least and the most records per second of a repeat.
    pub(super) least_most: (f64, f64),
    /// To the acknowledgement.
    pub(super) ack: Option<Histogram<u64>>,
    /// To the consumer.
    pub(super) end_to_end: Option<Histogram<u64>>,
    /// CPU seconds of the system for a million records.
    pub(super) cpu_per_million: Option<f64>,
    /// Most resident bytes of the system.
    pub(super) resident_bytes: Option<u64>,
    /// What was checked.
    pub(super) verified: Verified,
    /// Not acknowledged, by the reason.
    pub(super) errors: BTreeMap<String, u64>,
}

/// The report's systems, in the order they were first run.
pub(super) fn systems(results: &Results) -> Vec<&System> {
    let mut systems: Vec<&System> = Vec::new();
    for line in &results.lines {
        if !systems.iter().any(|known| known.name == line.system.name) {
            systems.push(&line.system);
        }
    }
    systems
}

/// The processes that producers and consumers ran in, and how well their clocks were known; none where they
/// were threads of the load generator.
pub(super) fn workers(results: &Results) -> Vec<String> {
    let mut known: BTreeMap<&str, Vec<&Worker>> = BTreeMap::new();
    for worker in results.lines.iter().flat_map(|line| &line.workers) {
        known.entry(&worker.address).or_default().push(worker);
    }
    let ms = |ns: f64| format!("{:.3} ms", ns / 1e6);
    let worst = |seen: &[&Worker], of: fn(&Worker) -> u64| {
        let values = seen.iter().map(|worker| of(worker));
        values.max().unwrap_or(0) as f64
    };
    let texts = known.into_iter().map(|(address, seen)| {
        let host = seen.first().map_or("", |worker| &worker.host);
        let clock = if seen.iter().all(|worker| worker.same_clock) {
            "the same clock".to_owned()
        } else {
            let set = worst(&seen, |worker| worker.offset_ns.unsigned_abs());
            let error = worst(&seen, |worker| worker.error_ns);
            format!("its clock set by up to {}, known to {}", ms(set), ms(error))
        };
        format!("{address} on {host}, {clock}")
    });
    texts.collect()
}

/// All lines, grouped, in the order they were first run.
pub(super) fn groups(results: &Results) -> Vec<Group<'_>> {
    let systems = systems(results);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for line in &results.lines {
        let at = groups.iter().position(|group| group.id == line.id);
        let at = at.unwrap_or_else(|| {
            groups.push(Group::begun(line));
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.original = group.original.or(line.original.as_ref());
        let named = |cell: &Cell<'_>| cell.system.name == line.system.name;
        if let Some(at) = group.cells.iter().position(named) {
            group.cells[at].lines.push(line);
        } else {
            let number = systems.iter().position(|s| s.name == line.system.name);
            group.cells.push(Cell {
                system: &line.system,
                number: number.unwrap_or(0),
                lines: vec![line],
                whole: None,
                until: None,
            });
        }
    }
    for group in &mut groups {
        group.cells.sort_by_key(|cell| cell.number);
        for cell in &mut group.cells {
            let to_the_end = |outcome: &Outcome| matches!(outcome, Outcome::Measured(_));
            cell.whole = Whole::of(&cell.lines, to_the_end);
            if cell.whole.is_none() {
                cell.until = Whole::of(&cell.lines, |_| true);
            }
        }
    }
    groups
}

/// The flow a line is about: what consumers got where only they are measured, else what was acknowledged.
pub(super) fn headline<'a>(workload: &Workload, measured: &'a Measured) -> &'a Flow {
    if workload.read_from == ReadFrom::Stored || measured.produced.records == 0 {
        &measured.consumed
    } else {
        &measured.produced
    }
}

impl<'a> Group<'a> {
    /// A group without cells.
    fn begun(line: &'a Line) -> Self {
        let titled = !line.title.is_empty();
        Self {
            id: &line.id,
            title: if titled { &line.title } else { &line.id },
            workload: &line.workload,
            original: None,
            cells: Vec::new(),
        }
    }
}

impl Cell<'_> {
    /// Why repeats were skipped or failed, each reason once, with what came of it before.
    pub(super) fn not_measured(&self) -> Vec<String> {
        let mut texts: Vec<(String, usize)> = Vec::new();
        for line in &self.lines {
            let text = match &line.outcome {
                Outcome::Measured(_) => continue,
                Outcome::Skipped { why } => format!("skipped: {why}"),
                Outcome::Failed { why, until: None } => format!("failed: {why}"),
                Outcome::Failed {
                    why,
                    until: Some(until),
                } => format!(
                    "failed after {} s: {why} (until then {} records/s)",
                    super::figures::trimmed(until.seconds),
                    super::figures::count(headline(&line.workload, until).records_per_second),
                ),
            };
            match texts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, times)) => *times += 1,
                None => texts.push((text, 1)),
            }
        }
        let runs = self.lines.len();
        let say = |(text, times): (String, usize)| match (times, runs) {
            (_, 1) => text,
            (times, runs) if times == runs => format!("all {runs} runs {text}"),
            (times, runs) => format!("{times} of {runs} runs {text}"),
        };
        texts.into_iter().map(say).collect()
    }

    /// The figures to show: of what was measured to the end, else of what was until it broke off.
    pub(super) fn shown(&self) -> Option<&Whole> {
        self.whole.as_ref().or(self.until.as_ref())
    }

    /// The rate that was asked for, with the system's name.
    pub(super) fn wanted(&self) -> Option<(&str, f64)> {
        let measured = self
            .lines
            .iter()
            .filter(|line| line.outcome.measured().is_some());
        let rate = measured.filter_map(|line| line.workload.rate).next()?;
        Some((&self.system.name, rate))
    }

    /// Each repeat's figures, as far as there are any, with whether it was measured to the end.
    pub(super) fn figures(&self) -> impl Iterator<Item = (&Measured, bool)> {
        self.lines.iter().filter_map(|line| match &line.outcome {
            Outcome::Measured(measured) => Some((measured.as_ref(), true)),
            Outcome::Failed { until, .. } => until.as_deref().map(|until| (until, false)),
            Outcome::Skipped { .. } => None,
        })
    }
}

impl Whole {
    /// Of the lines with such an outcome; none where nothing was measured on them.
    fn of(lines: &[&Line], wanted: fn(&Outcome) -> bool) -> Option<Self> {
        let mut whole = Self::default();
        let (mut seconds, mut cpu, mut cpu_records) = (0.0, 0.0, 0_u64);
        for line in lines {
            let outcome = Some(&line.outcome).filter(|outcome| wanted(outcome));
            let Some(measured) = outcome.and_then(Outcome::measured) else {
                continue;
            };
            let flow = headline(&line.workload, measured);
            let rate = flow.records_per_second;
            let (least, most) = whole.least_most;
            whole.least_most = match whole.runs {
                0 => (rate, rate),
                _ => (least.min(rate), most.max(rate)),
            };
            whole.runs += 1;
            whole.not_held += usize::from(measured.rate_held == Some(false));
            // The time that the flow's own rate is over: the other flow may have gone on longer.
            seconds += match rate {
                rate if rate > 0.0 => flow.records as f64 / rate,
                _ => measured.seconds,
            };
            whole.flow.records += flow.records;
            whole.flow.bytes += flow.bytes;
            add(&mut whole.ack, measured.ack_latency.as_ref());
            add(&mut whole.end_to_end, measured.end_to_end_latency.as_ref());
            if let Some(broker) = &measured.broker {
                cpu += broker.cpu_seconds;
                cpu_records += measured.produced.records + measured.consumed.records;
                let resident = whole.resident_bytes.unwrap_or(0);
                whole.resident_bytes = Some(resident.max(broker.resident_bytes));
            }
            add_verified(&mut whole.verified, &measured.verified);
            for (reason, times) in &measured.errors {
                *whole.errors.entry(reason.clone()).or_default() += times;
            }
        }
        if seconds > 0.0 {
            whole.flow.records_per_second = whole.flow.records as f64 / seconds;
            whole.flow.mb_per_second = whole.flow.bytes as f64 / f64::from(1 << 20) / seconds;
        }
        whole.cpu_per_million = (cpu_records > 0).then(|| cpu * 1e6 / cpu_records as f64);
        (whole.runs > 0).then_some(whole)
    }

    /// The latency a reader cares about: to the consumer, else to the acknowledgement.
    pub(super) fn latency(&self) -> Option<&Histogram<u64>> {
        self.end_to_end.as_ref().or(self.ack.as_ref())
    }

    /// That the rate was not held, if it wasn't, and how often.
    pub(super) fn fell_behind(&self) -> Option<String> {
        match (self.not_held, self.runs) {
            (0, _) => None,
            (times, runs) if times == runs => Some("rate not held".to_owned()),
            (times, runs) => Some(format!("rate not held in {times} of {runs} runs")),
        }
    }

    /// Whether somebody looked at the records and found them wrong.
    pub(super) fn is_wrong(&self) -> bool {
        self.verified.checked && self.verdict() != "ok"
    }

    /// What was lost or came otherwise than it was sent.
    pub(super) fn verdict(&self) -> String {
        verdict(&self.verified)
    }
}

/// What checking found, in few words.
pub(super) fn verdict(verified: &Verified) -> String {
    if !verified.checked {
        return "not checked".to_owned();
    }
    let found = [
        ("lost", verified.lost),
        ("duplicated", verified.duplicated),
        ("reordered", verified.reordered),
        ("corrupted", verified.corrupted),
    ];
    let found: Vec<String> = found
        .iter()
        .filter(|(_, times)| *times > 0)
        .map(|(what, times)| format!("{} {what}", super::figures::count(*times as f64)))
        .collect();
    if found.is_empty() {
        "ok".to_owned()
    } else {
        found.join(", ")
    }
}

fn add(whole: &mut Option<Histogram<u64>>, part: Option<&Latency>) {
    // What is loaded was decoded once, so that a histogram that cannot be read never comes this far.
    let Some(part) = part.and_then(|part| part.decode().ok()) else {
        return;
    };
    if part.is_empty() {
        return;
    }
    match whole {
        None => {
            let mut part = part;
            part.auto(true);
            *whole = Some(part);
        }
        Some(whole) => {
            let added = whole.add(part);
            debug_assert!(added.is_ok(), "histograms that resize take any other");
        }
    }
}

fn add_verified(whole: &mut Verified, part: &Verified) {
    whole.checked |= part.checked;
    whole.lost += part.lost;
    whole.duplicated += part.duplicated;
    whole.reordered += part.reordered;
    whole.corrupted += part.corrupted;
    whole.examples.extend(part.examples.iter().cloned());
}

/// How many times the published figure a rate is.
pub(super) fn ratio(flow: &Flow, original: Option<&Original>) -> Option<f64> {
    let original = original?;
    let (figure, published) = match (original.records_per_second, original.mb_per_second) {
        (Some(published), _) => (flow.records_per_second, published),
        (None, Some(published)) => (flow.mb_per_second, published),
        (None, None) => return None,
    };
    (published > 0.0).then_some(figure / published)
}

/// All parameters of a workload but its name and title, as its files name and write them, by the alphabet. Where
/// each system has a rate of its own, no one rate is the line's.
pub(super) fn parameters(workload: &Workload) -> Vec<(String, String)> {
    use serde_json::Value;
    let hidden = [
        "name",
        "title",
        if workload.rates.is_empty() {
            "rates"
        } else {
            "rate"
        },
    ];
    let Ok(Value::Object(fields)) = serde_json::to_value(workload) else {
        return Vec::new();
    };
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let fields = fields
        .iter()
        .filter(|(name, _)| !hidden.contains(&name.as_str()));
    fields
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}
