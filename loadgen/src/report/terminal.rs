//! What a run says on the terminal, while it goes on and at its end.
//!
//! On a terminal one line is drawn over and over; elsewhere a plain line is written every few seconds. All of
//! it goes to stderr: stdout belongs to the summary.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::figures;
use super::groups::{self, Cell, Group};
use crate::results::{Line, Measured, Original, Outcome, Results, Second};

/// Plain lines come once in so many seconds of measuring.
const PLAIN_EVERY: i64 = 5;
/// The widest a summary gets.
const WIDTH: usize = 100;

/// The display of a run that goes on.
#[derive(Debug)]
pub struct Live {
    total: usize,
    finished: usize,
    bar: Option<ProgressBar>,
}

impl Live {
    /// For a run of so many lines, over all systems and repeats.
    pub fn new(total_lines: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total_lines as u64);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} [{elapsed_precise}] {bar:20} {pos}/{len} {wide_msg}",
            ) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            total: total_lines,
            finished: 0,
            bar,
        }
    }

    /// A second of a line has passed; `line` names it and the system.
    pub fn tick(&mut self, line: &str, second: &Second) {
        let text = ticked(line, second);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if second.second.rem_euclid(PLAIN_EVERY) == 0 => {
                eprintln!("[{}/{}] {text}", self.finished + 1, self.total);
            }
            None => {}
        }
    }

    /// A line has ended, in whichever way.
    pub fn done(&mut self, line: &Line) {
        self.finished += 1;
        let text = format!("[{}/{}] {}", self.finished, self.total, ended(line));
        match &self.bar {
            Some(bar) => {
                bar.println(text);
                bar.set_position(self.finished as u64);
                if self.finished >= self.total {
                    bar.finish_and_clear();
                }
            }
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A run that is broken off leaves no half-drawn line behind.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn ticked(line: &str, second: &Second) -> String {
    let (records, bytes, what) = if second.acked > 0 || second.consumed == 0 {
        (second.acked, second.acked_bytes, "acknowledged")
    } else {
        (second.consumed, second.consumed_bytes, "consumed")
    };
    let when = if second.second < 0 {
        "warm-up".to_owned()
    } else {
        format!("{} s", second.second)
    };
    let latency = match second.latency[1] {
        0 => "no latency yet".to_owned(),
        p99 => format!("p99 {} ms", figures::millis(p99)),
    };
    format!(
        "{line}: {when}, {} records/s {what}, {} MB/s, {latency}",
        figures::count(records as f64),
        figures::megabytes(bytes as f64 / f64::from(1 << 20)),
    )
}

fn ended(line: &Line) -> String {
    let name = format!("{} on {}", line.id, line.system.name);
    let run = match line.repeat {
        0 => String::new(),
        repeat => format!(", run {}", repeat + 1),
    };
    match &line.outcome {
        Outcome::Measured(measured) => format!("{name}{run}: {}", measured_text(line, measured)),
        Outcome::Skipped { why } => format!("{name}{run}: skipped: {why}"),
        Outcome::Failed { why, .. } => format!("{name}{run}: FAILED: {why}"),
    }
}

fn measured_text(line: &Line, measured: &Measured) -> String {
    let flow = groups::headline(&line.workload, measured);
    let latency = measured.end_to_end_latency.as_ref();
    let latency = latency.or(measured.ack_latency.as_ref());
    let p99 = latency.and_then(|latency| latency.percentiles.get("99"));
    let p99 = p99.map_or(String::new(), |p99| {
        format!(", p99 {} ms", figures::millis(*p99))
    });
    let verdict = match groups::verdict(&measured.verified) {
        verdict if measured.verified.checked && verdict != "ok" => format!(", RECORDS {verdict}"),
        _ => String::new(),
    };
    format!(
        "{} records/s, {} MB/s{p99}{verdict}",
        figures::count(flow.records_per_second),
        figures::megabytes(flow.mb_per_second),
    )
}

/// A run as tables, one for each line of the suite with the systems under one another. No more than 100
/// columns wide.
pub fn summary(results: &Results) -> String {
    let mut text = format!("{}, loadgen {}\n", results.suite, results.version);
    if let Some(why) = &results.partial {
        wrap(&mut text, "", &format!("PARTIAL: {why}"));
    }
    for group in groups::groups(results) {
        text.push('\n');
        wrap(&mut text, "", &format!("{} ({})", group.title, group.id));
        text.push_str(&table(&group));
        for cell in &group.cells {
            let whole = cell.whole.as_ref();
            if let Some(whole) = whole.filter(|whole| whole.is_wrong()) {
                let wrong = format!("{}: RECORDS {}", cell.system.name, whole.verdict());
                wrap(&mut text, "  ", &wrong);
            }
            for why in cell.not_measured() {
                wrap(&mut text, "  ", &format!("{} {why}", cell.system.name));
            }
            let mut notes: Vec<&String> = cell.lines.iter().flat_map(|line| &line.notes).collect();
            notes.dedup();
            for note in notes {
                wrap(&mut text, "  ", &format!("{}: {note}", cell.system.name));
            }
        }
    }
    text
}

const NUMBERS: usize = 7;

fn table(group: &Group<'_>) -> String {
    let wholes = || group.cells.iter().filter_map(|cell| cell.whole.as_ref());
    let end_to_end = wholes().any(|whole| whole.end_to_end.is_some());
    let kind = if end_to_end { "end to end" } else { "ack" };
    let mut rows = vec![row(
        &format!("  ms: {kind}"),
        ["records/s", "MB/s", "p50", "p99", "p99.9", "CPU s/M", ""].map(str::to_owned),
        "records",
    )];
    if let Some(original) = group.original {
        rows.push(published(original));
    }
    rows.extend(group.cells.iter().map(|cell| measured_row(cell, group)));
    rows.concat()
}

fn row(name: &str, numbers: [String; NUMBERS], verdict: &str) -> String {
    let name: String = name.chars().take(24).collect();
    let [rate, mb, p50, p99, p999, cpu, ratio] = numbers;
    let line = format!(
        "{name:<24} {rate:>11} {ratio:>6} {mb:>7} {p50:>8} {p99:>8} {p999:>8} {cpu:>7} {verdict}"
    );
    let line: String = line.trim_end().chars().take(WIDTH).collect();
    line + "\n"
}

fn published(original: &Original) -> String {
    let percentile = |name: &str| {
        let latency = original.latency_ms.get(name);
        latency.map_or("-".to_owned(), |ms| figures::trimmed(*ms))
    };
    let figure = |value: Option<f64>, write: fn(f64) -> String| value.map_or("-".to_owned(), write);
    row(
        &format!("  original: {}", original.system),
        [
            figure(original.records_per_second, figures::count),
            figure(original.mb_per_second, figures::megabytes),
            percentile("50"),
            percentile("99"),
            percentile("99.9"),
            "-".to_owned(),
            String::new(),
        ],
        "",
    )
}

fn measured_row(cell: &Cell<'_>, group: &Group<'_>) -> String {
    let name = format!("  {}", cell.system.name);
    let Some(whole) = &cell.whole else {
        let dashes = std::array::from_fn(|at| if at == 6 { "" } else { "-" }.to_owned());
        return row(&name, dashes, "none");
    };
    let ratio = groups::ratio(&whole.flow, group.original);
    let ratio = ratio.map_or(String::new(), |ratio| {
        format!("{}x", figures::trimmed(ratio))
    });
    let percentile = |percentile: f64| {
        whole.latency().map_or("-".to_owned(), |histogram| {
            figures::millis(histogram.value_at_percentile(percentile))
        })
    };
    row(
        &name,
        [
            figures::count(whole.flow.records_per_second),
            figures::megabytes(whole.flow.mb_per_second),
            percentile(50.0),
            percentile(99.0),
            percentile(99.9),
            whole
                .cpu_per_million
                .map_or("-".to_owned(), figures::significant),
            ratio,
        ],
        &match whole.is_wrong() {
            true => "WRONG, below".to_owned(),
            false => whole.verdict(),
        },
    )
}

/// Words up to the width, the following lines indented.
fn wrap(text: &mut String, indent: &str, words: &str) {
    let mut column = indent.len();
    text.push_str(indent);
    let mut first = true;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if !first && column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(indent);
            text.push_str("  ");
            column = indent.len() + 2;
        } else if !first {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
        first = false;
    }
    text.push('\n');
}
