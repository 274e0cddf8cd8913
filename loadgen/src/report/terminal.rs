//! What a run says on the terminal, while it goes on and at its end.
//!
//! On a terminal one line is drawn over and over; elsewhere a plain line is written every few seconds. All of
//! it goes to stderr: stdout belongs to the summary.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::figures;
use super::groups::{self, Cell, Group, Whole};
use super::remarks::{Remark, Remarks};
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
    let behind = match measured.rate_held {
        Some(false) => ", RATE NOT HELD",
        _ => "",
    };
    format!(
        "{} records/s, {} MB/s{p99}{behind}{verdict}",
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
    let workers = groups::workers(results);
    if !workers.is_empty() {
        wrap(&mut text, "", &format!("workers: {}", workers.join("; ")));
    }
    let groups = groups::groups(results);
    let remarks = Remarks::of(&groups);
    for (group, own) in groups.iter().zip(&remarks.of_lines) {
        text.push('\n');
        wrap(&mut text, "", &format!("{} ({})", group.title, group.id));
        text.push_str(&table(group));
        for cell in &group.cells {
            for wrong in cell.shown().map(wrongs).unwrap_or_default() {
                wrap(&mut text, "  ", &format!("{}: {wrong}", cell.system.name));
            }
        }
        for Remark { about, text: words } in own {
            wrap(&mut text, "  ", &format!("{about}: {words}"));
        }
    }
    if !remarks.of_several.is_empty() {
        text.push_str("\nOf several lines\n");
        for Remark { about, text: words } in &remarks.of_several {
            wrap(&mut text, "  ", &format!("{about}: {words}"));
        }
    }
    text
}

/// Numbers in a row of the table.
const NUMBERS: usize = 9;

/// What is not as it should be.
fn wrongs(whole: &Whole) -> Vec<String> {
    let mut wrongs = Vec::new();
    if whole.is_wrong() {
        wrongs.push(format!("RECORDS {}", whole.verdict()));
    }
    let errors = whole.errors.iter();
    wrongs.extend(errors.map(|(reason, times)| {
        let times = figures::count(*times as f64);
        format!("{times} RECORDS NOT ACKNOWLEDGED: {reason}")
    }));
    wrongs.extend(whole.fell_behind().map(|behind| behind.to_uppercase()));
    wrongs
}

/// Percentiles in the table.
const PERCENTILES: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];
/// The widest a name in the table gets.
const NAME: usize = 19;

fn table(group: &Group<'_>) -> String {
    let wholes = || group.cells.iter().filter_map(Cell::shown);
    let end_to_end = wholes().any(|whole| whole.end_to_end.is_some());
    let kind = if end_to_end { "end to end" } else { "ack" };
    let mut rows = String::new();
    if let Some(wanted) = wanted(group) {
        wrap(&mut rows, "  ", &wanted);
    }
    let mut heads = ["records/s", "", "MB/s", "", "", "", "", "", "CPU s/M"].map(str::to_owned);
    for (head, percentile) in heads[3..8].iter_mut().zip(PERCENTILES) {
        *head = format!("p{percentile}");
    }
    rows += &row(&format!("  ms: {kind}"), &heads, "records");
    if let Some(original) = group.original {
        rows += &published(original);
    }
    for cell in &group.cells {
        rows += &measured_row(cell, group);
    }
    rows
}

/// The rate that was asked for; each system's, where they differ.
fn wanted(group: &Group<'_>) -> Option<String> {
    let rates: Vec<(&str, f64)> = group.cells.iter().filter_map(Cell::wanted).collect();
    let (_, first) = *rates.first()?;
    Some(if rates.iter().all(|(_, rate)| *rate == first) {
        format!("asked for {} records/s", figures::count(first))
    } else {
        let each = |(name, rate): &(&str, f64)| format!("{name} {}", figures::count(*rate));
        let each: Vec<String> = rates.iter().map(each).collect();
        format!("asked for, records/s: {}", each.join(", "))
    })
}

fn row(name: &str, numbers: &[String; NUMBERS], verdict: &str) -> String {
    let name: String = name.chars().take(NAME).collect();
    let [rate, ratio, mb, p50, p90, p99, p999, p9999, cpu] = numbers;
    let line = format!(
        "{name:<NAME$} {rate:>9} {ratio:>5} {mb:>6} {p50:>7} {p90:>7} {p99:>7} {p999:>7} {p9999:>7} \
         {cpu:>7} {verdict}"
    );
    let line: String = line.trim_end().chars().take(WIDTH).collect();
    line + "\n"
}

fn published(original: &Original) -> String {
    let figure = |value: Option<f64>, write: fn(f64) -> String| value.map_or("-".to_owned(), write);
    let mut numbers: [String; NUMBERS] = std::array::from_fn(|_| "-".to_owned());
    numbers[0] = figure(original.records_per_second, figures::count);
    numbers[1] = String::new();
    numbers[2] = figure(original.mb_per_second, figures::megabytes);
    for (number, percentile) in numbers[3..8].iter_mut().zip(PERCENTILES) {
        *number = figure(
            original.latency_ms.get(percentile).copied(),
            figures::trimmed,
        );
    }
    row(&format!("  orig. {}", original.system), &numbers, "")
}

fn measured_row(cell: &Cell<'_>, group: &Group<'_>) -> String {
    let name = format!("  {}", cell.system.name);
    let mut numbers: [String; NUMBERS] = std::array::from_fn(|_| "-".to_owned());
    numbers[1] = String::new();
    let Some(whole) = cell.shown() else {
        return row(&name, &numbers, "none");
    };
    numbers[0] = figures::count(whole.flow.records_per_second);
    if let Some(ratio) = groups::ratio(&whole.flow, group.original) {
        numbers[1] = format!("{}x", figures::trimmed(ratio));
    }
    numbers[2] = figures::megabytes(whole.flow.mb_per_second);
    if let Some(histogram) = whole.latency() {
        for (number, percentile) in numbers[3..8].iter_mut().zip(PERCENTILES) {
            let percentile = percentile.parse().unwrap_or(100.0);
            *number = figures::millis(histogram.value_at_percentile(percentile));
        }
    }
    if let Some(cpu) = whole.cpu_per_million {
        numbers[8] = figures::significant(cpu);
    }
    let verdict = match whole.verified.checked {
        _ if whole.is_wrong() => "WRONG",
        _ if cell.until.is_some() => "PARTIAL",
        _ if !whole.errors.is_empty() => "ERRORS",
        _ if whole.not_held > 0 => "NOT HELD",
        true => "ok",
        false => "unchecked",
    };
    row(&name, &numbers, verdict)
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
