//! Two results against each other: what differs, and whether by more than the noise of repeated runs. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::figures;
use super::groups::{self, Cell, Group, Whole};
use super::welch::{self, Welch};
use crate::results::{Latency, Measured, Outcome, Results};
use crate::workload::Workload;

/// Fewer repeats than this on either side tell nothing about the noise.
pub const LEAST_REPEATS: usize = 3;
/// Of the differences called real, no more than this share is expected to be chance.
const CHANCE: f64 = 0.05;
/// Relative spread below which a measurement can't see: histograms keep three digits.
const RESOLUTION: f64 = 1e-3;

/// What a comparison found. Its `Display` is the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Differences between the two in anything but the outcome: machine, versions, settings, parameters.
    pub conditions: Vec<String>,
    /// By line and system, in the order of the first results.
    pub lines: Vec<LineComparison>,
}

/// A line on a system, in both results.
#[derive(Debug, Clone, PartialEq)]
pub struct LineComparison {
    /// The line's id.
    pub id: String,
    /// The system's name.
    pub system: String,
    /// Measured repeats in each.
    pub runs: (usize, usize),
    /// The figures that both have.
    pub figures: Vec<FigureComparison>,
    /// What is no figure: records lost, a line skipped or failed, or only in one.
    pub notes: Vec<String>,
}

/// A figure in both results.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureComparison {
    /// What it is, with its unit.
    pub what: &'static str,
    /// In the first results, all repeats taken together.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// Whether more is better.
    pub more_is_better: bool,
    /// The second relative to the first (1.1 is a tenth more): from the repeats' geometric means, as far as
    /// there are repeats.
    pub ratio: f64,
    /// The interval that holds the true ratio 95 times in 100.
    pub interval: Option<(f64, f64)>,
    /// Whether it differs.
    pub verdict: Verdict,
}

/// Whether a figure differs by more than the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// By more than the noise.
    Differs,
    /// By no more than the noise.
    Noise,
    /// There are too few repeats to know the noise.
    CannotTell,
}

/// Sets `b` against `a`.
pub fn compare(a: &Results, b: &Results) -> Comparison {
    let (groups_a, groups_b) = (groups::groups(a), groups::groups(b));
    let mut lines = Vec::new();
    let mut tests: Vec<(usize, usize, Welch)> = Vec::new();
    for (group, cell) in cells(&groups_a) {
        let other = find(&groups_b, group.id, &cell.system.name);
        let (line, found) = compare_line(group, cell, other);
        let at = lines.len();
        tests.extend(found.into_iter().map(|(figure, test)| (at, figure, test)));
        lines.push(line);
    }
    for (group, cell) in cells(&groups_b) {
        if find(&groups_a, group.id, &cell.system.name).is_none() {
            lines.push(LineComparison {
                id: group.id.to_owned(),
                system: cell.system.name.clone(),
                runs: (0, cell.whole.as_ref().map_or(0, |whole| whole.runs)),
                figures: Vec::new(),
                notes: vec!["only in B".to_owned()],
            });
        }
    }
    let p: Vec<f64> = tests.iter().map(|(_, _, test)| test.p).collect();
    for ((line, figure, test), believed) in tests.iter().zip(welch::believed(&p, CHANCE)) {
        let figure = &mut lines[*line].figures[*figure];
        figure.ratio = test.difference.exp();
        figure.interval = Some((
            (test.difference - test.margin).exp(),
            (test.difference + test.margin).exp(),
        ));
        figure.verdict = match believed {
            true => Verdict::Differs,
            false => Verdict::Noise,
        };
    }
    Comparison {
        conditions: conditions(a, b, &groups_a, &groups_b),
        lines,
    }
}

fn cells<'g, 'a>(groups: &'g [Group<'a>]) -> impl Iterator<Item = (&'g Group<'a>, &'g Cell<'a>)> {
    let of_group = |group: &'g Group<'a>| group.cells.iter().map(move |cell| (group, cell));
    groups.iter().flat_map(of_group)
}

fn find<'g, 'a>(groups: &'g [Group<'a>], id: &str, system: &str) -> Option<&'g Cell<'a>> {
    let mut cells = cells(groups);
    let found = cells.find(|(group, cell)| group.id == id && cell.system.name == system);
    found.map(|(_, cell)| cell)
}

/// Compares a line on a system; the tests of its figures come by the figure's number.
fn compare_line(
    group: &Group<'_>,
    a: &Cell<'_>,
    b: Option<&Cell<'_>>,
) -> (LineComparison, Vec<(usize, Welch)>) {
    let runs = |cell: &Cell<'_>| cell.whole.as_ref().map_or(0, |whole| whole.runs);
    let mut line = LineComparison {
        id: group.id.to_owned(),
        system: a.system.name.clone(),
        runs: (runs(a), b.map_or(0, runs)),
        figures: Vec::new(),
        notes: Vec::new(),
    };
    let Some(b) = b else {
        line.notes.push("only in A".to_owned());
        return (line, Vec::new());
    };
    for (side, cell) in [("A", a), ("B", b)] {
        let why = cell.not_measured();
        line.notes
            .extend(why.iter().map(|why| format!("{side}: {why}")));
        if let Some(whole) = &cell.whole
            && whole.is_wrong()
        {
            line.notes
                .push(format!("{side}: records {}", whole.verdict()));
        }
    }
    let (Some(whole_a), Some(whole_b)) = (&a.whole, &b.whole) else {
        return (line, Vec::new());
    };
    let mut tests = Vec::new();
    for figure in FIGURES {
        let (Some(value_a), Some(value_b)) = ((figure.whole)(whole_a), (figure.whole)(whole_b))
        else {
            continue;
        };
        if let Some(test) = test(figure, a, b) {
            tests.push((line.figures.len(), test));
        }
        line.figures.push(FigureComparison {
            what: figure.what,
            a: value_a,
            b: value_b,
            more_is_better: figure.more_is_better,
            ratio: value_b / value_a,
            interval: None,
            verdict: Verdict::CannotTell,
        });
    }
    (line, tests)
}

/// A figure that is compared.
struct Figure {
    what: &'static str,
    more_is_better: bool,
    /// Of all repeats together.
    whole: fn(&Whole) -> Option<f64>,
    /// Of one repeat.
    one: fn(&Workload, &Measured) -> Option<f64>,
}

macro_rules! latency {
    ($what:literal, $whole:ident, $one:ident, $percentile:literal) => {
        Figure {
            what: $what,
            more_is_better: false,
            whole: |whole| {
                let histogram = whole.$whole.as_ref()?;
                Some(histogram.value_at_percentile($percentile) as f64 / 1e3)
            },
            one: |_, measured| at_percentile(measured.$one.as_ref()?, $percentile),
        }
    };
}

const FIGURES: &[Figure] = &[
    Figure {
        what: "records/s",
        more_is_better: true,
        whole: |whole| Some(whole.flow.records_per_second),
        one: |workload, measured| Some(groups::headline(workload, measured).records_per_second),
    },
    latency!("ack p50, ms", ack, ack_latency, 50.0),
    latency!("ack p99, ms", ack, ack_latency, 99.0),
    latency!("ack p99.9, ms", ack, ack_latency, 99.9),
    latency!("end to end p50, ms", end_to_end, end_to_end_latency, 50.0),
    latency!("end to end p99, ms", end_to_end, end_to_end_latency, 99.0),
    latency!("end to end p99.9, ms", end_to_end, end_to_end_latency, 99.9),
    Figure {
        what: "CPU s per million",
        more_is_better: false,
        whole: |whole| whole.cpu_per_million,
        one: |_, measured| {
            let broker = measured.broker.as_ref()?;
            let records = measured.produced.records + measured.consumed.records;
            (records > 0).then(|| broker.cpu_seconds * 1e6 / records as f64)
        },
    },
];

fn at_percentile(latency: &Latency, percentile: f64) -> Option<f64> {
    let histogram = latency.decode().ok()?;
    (!histogram.is_empty()).then(|| histogram.value_at_percentile(percentile) as f64 / 1e3)
}

/// Tests the repeats' logarithms: what disturbs a run does so by a factor, and rates and latencies are
/// skewed. Each repeat's own figure is one observation.
fn test(figure: &Figure, a: &Cell<'_>, b: &Cell<'_>) -> Option<Welch> {
    let observations = |cell: &Cell<'_>| -> Vec<f64> {
        let lines = cell.lines.iter().filter_map(|line| match &line.outcome {
            Outcome::Measured(measured) => (figure.one)(&line.workload, measured),
            _ => None,
        });
        lines.map(f64::ln).collect()
    };
    let (a, b) = (observations(a), observations(b));
    if a.len() < LEAST_REPEATS || b.len() < LEAST_REPEATS {
        return None;
    }
    welch::welch(&a, &b, RESOLUTION)
}

/// What else differs.
fn conditions(a: &Results, b: &Results, in_a: &[Group<'_>], in_b: &[Group<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut differs = |what: &str, a: &str, b: &str| {
        if a != b {
            found.push(format!("{what}: A {a}, B {b}"));
        }
    };
    differs("suite", &a.suite, &b.suite);
    differs("loadgen", &a.version, &b.version);
    differs("processor", &a.machine.processor, &b.machine.processor);
    let processors = |results: &Results| results.machine.processors.to_string();
    differs("processors", &processors(a), &processors(b));
    differs("kernel", &a.machine.kernel, &b.machine.kernel);
    let memory = |results: &Results| figures::bytes(results.machine.memory_bytes);
    differs("memory", &memory(a), &memory(b));
    for system in groups::systems(a) {
        let others = groups::systems(b);
        let Some(other) = others.iter().find(|other| other.name == system.name) else {
            continue;
        };
        let name = &system.name;
        differs(&format!("{name}, product"), &system.product, &other.product);
        differs(&format!("{name}, version"), &system.version, &other.version);
        let brokers = (system.brokers.to_string(), other.brokers.to_string());
        differs(&format!("{name}, brokers"), &brokers.0, &brokers.1);
        let keys = system.settings.keys().chain(other.settings.keys());
        for key in keys.collect::<BTreeSet<_>>() {
            let value = |of: Option<&String>| of.map_or("unset".to_owned(), Clone::clone);
            let values = (
                value(system.settings.get(key)),
                value(other.settings.get(key)),
            );
            differs(&format!("{name}, {key}"), &values.0, &values.1);
        }
    }
    for group in in_a {
        if let Some(other) = in_b.iter().find(|other| other.id == group.id) {
            found.extend(parameters(group, other));
        }
    }
    for (side, results) in [("A", a), ("B", b)] {
        if let Some(why) = &results.partial {
            found.push(format!("{side} is partial: {why}"));
        }
    }
    found
}

/// The parameters of a line that differ.
fn parameters(a: &Group<'_>, b: &Group<'_>) -> Vec<String> {
    let of = |group: &Group<'_>| -> BTreeMap<String, String> {
        let common = group.workload.in_common();
        groups::parameters(&common).into_iter().collect()
    };
    let (in_a, in_b) = (of(a), of(b));
    let names: BTreeSet<&String> = in_a.keys().chain(in_b.keys()).collect();
    let value = |of: Option<&String>| of.map_or("unset".to_owned(), Clone::clone);
    let pairs = names
        .into_iter()
        .map(|name| (name, in_a.get(name), in_b.get(name)));
    pairs
        .filter(|(_, a, b)| a != b)
        .map(|(name, in_a, in_b)| format!("{}, {name}: A {}, B {}", a.id, value(in_a), value(in_b)))
        .collect()
}

impl Comparison {
    /// How many figures have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let figures = self.lines.iter().flat_map(|line| &line.figures);
        figures.filter(|figure| figure.verdict == verdict).count()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return writeln!(to, "Neither has any lines.");
        }
        if !self.conditions.is_empty() {
            writeln!(
                to,
                "Not the same conditions, which may be all the difference:"
            )?;
            for condition in &self.conditions {
                writeln!(to, "  {condition}")?;
            }
            writeln!(to)?;
        }
        for line in &self.lines {
            writeln!(
                to,
                "{} on {} ({} in A, {} in B)",
                line.id,
                line.system,
                figures::of(line.runs.0, "run"),
                figures::of(line.runs.1, "run"),
            )?;
            for figure in &line.figures {
                writeln!(to, "  {figure}")?;
            }
            for note in &line.notes {
                writeln!(to, "  {note}")?;
            }
        }
        writeln!(
            to,
            "\n{} by more than the noise, {} within it, {} can't be told (fewer than {LEAST_REPEATS} runs \
             on a side).",
            figures::of(self.count(Verdict::Differs), "figure") + " differ",
            self.count(Verdict::Noise),
            self.count(Verdict::CannotTell),
        )?;
        writeln!(
            to,
            "Changes are of the runs' geometric means, with 95 % intervals (Welch's t on logarithms); of those \
             called\nreal, no more than 1 in 20 is expected to be chance (Benjamini and Hochberg). Figures are \
             of all runs together."
        )
    }
}

impl fmt::Display for FigureComparison {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{:<22} {:>11} -> {:>11} {:>8}",
            self.what,
            figures::significant(self.a),
            figures::significant(self.b),
            change(self.ratio),
        )?;
        if let Some((low, high)) = self.interval {
            write!(to, " ({} to {})", change(low), change(high))?;
        }
        match self.verdict {
            Verdict::CannotTell => write!(to, "  can't tell: too few runs"),
            Verdict::Noise => write!(to, "  within the noise"),
            Verdict::Differs if (self.ratio > 1.0) == self.more_is_better => {
                write!(to, "  B IS BETTER")
            }
            Verdict::Differs => write!(to, "  B IS WORSE"),
        }
    }
}

/// A ratio as a change in percent; large ones as a factor.
fn change(ratio: f64) -> String {
    if !ratio.is_finite() {
        "?".to_owned()
    } else if ratio >= 10.0 {
        format!("x{}", figures::trimmed(ratio))
    } else {
        format!("{:+.1}%", (ratio - 1.0) * 100.0)
    }
}
