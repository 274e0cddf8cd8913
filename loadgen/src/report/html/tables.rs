//! The page's tables. Pure.

use hdrhistogram::Histogram;

use super::super::figures;
use super::super::groups::{self, Cell, Group, Whole};
use super::escape;
use crate::results::Original;

/// Percentiles of a latency that the table of figures has.
const PERCENTILES: [f64; 4] = [50.0, 99.0, 99.9, 99.99];
/// Columns of the table of figures.
const COLUMNS: usize = 13;

/// A system's name behind its colour.
pub(super) fn named(cell: &Cell<'_>) -> String {
    key(cell.number, &cell.system.name)
}

/// A name behind a system's colour.
pub(super) fn key(number: usize, name: &str) -> String {
    format!(
        "<span class=\"key\" style=\"background:var(--s{})\"></span>{}",
        number % super::chart::COLOURS,
        escape(name)
    )
}

/// The figures of all lines beside those that were published.
pub(super) fn all(groups: &[Group<'_>]) -> String {
    let mut html = "<div class=\"wide\"><table>\n<thead><tr><th rowspan=\"2\">System</th>\
        <th rowspan=\"2\">records/s</th><th rowspan=\"2\">of the<br>original</th><th rowspan=\"2\">MB/s</th>\
        <th colspan=\"3\">to the acknowledgement, ms</th><th colspan=\"4\">end to end, ms</th>\
        <th rowspan=\"2\">CPU s per<br>million</th><th rowspan=\"2\">Records</th></tr>\n<tr>"
        .to_owned();
    for name in ["p50", "p99", "p99.9", "p50", "p99", "p99.9", "p99.99"] {
        html.push_str(&format!("<th>{name}</th>"));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for group in groups {
        html.push_str(&format!(
            "<tr class=\"line\"><th colspan=\"{COLUMNS}\"><a href=\"#{}\">{}</a> <span>{}</span></th></tr>\n",
            anchor(group.id),
            escape(group.title),
            escape(group.id)
        ));
        if let Some(original) = group.original {
            html.push_str(&published(original));
        }
        for cell in &group.cells {
            html.push_str(&row(cell, group));
        }
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// What a link to a line's charts points to.
pub(super) fn anchor(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let id: String = id.chars().map(safe).collect();
    format!("line-{id}")
}

fn cells(texts: impl IntoIterator<Item = String>) -> String {
    let texts = texts.into_iter();
    texts.map(|text| format!("<td>{text}</td>")).collect()
}

fn dash() -> String {
    "<span class=\"muted\">–</span>".to_owned()
}

fn published(original: &Original) -> String {
    let percentile = |name: &str| {
        let latency = original.latency_ms.get(name);
        latency.map_or_else(dash, |ms| figures::trimmed(*ms))
    };
    let figure = |value: Option<f64>, write: fn(f64) -> String| value.map_or_else(dash, write);
    let mut texts = vec![
        format!("original: {}", escape(&original.system)),
        figure(original.records_per_second, figures::count),
        match (original.records_per_second, original.mb_per_second) {
            (None, None) => dash(),
            _ => "1×".to_owned(),
        },
        figure(original.mb_per_second, figures::megabytes),
    ];
    texts.extend([dash(), dash(), dash()]);
    texts.extend(["50", "99", "99.9", "99.99"].map(percentile));
    texts.extend([dash(), String::new()]);
    let source =
        format!("<tr class=\"original\"><td class=\"text\" colspan=\"{COLUMNS}\">original from: ");
    format!(
        "<tr class=\"original\">{}</tr>\n{source}{}</td></tr>\n",
        cells(texts),
        escape(&original.source)
    )
}

fn row(cell: &Cell<'_>, group: &Group<'_>) -> String {
    let why = cell.not_measured();
    let Some(whole) = &cell.whole else {
        return format!(
            "<tr><td>{}</td><td class=\"text\" colspan=\"{}\">{}</td></tr>\n",
            named(cell),
            COLUMNS - 1,
            escape(&why.join("; ")),
        );
    };
    let runs = match whole.runs {
        1 => String::new(),
        runs => {
            let (least, most) = whole.least_most;
            let (least, most) = (figures::count(least), figures::count(most));
            format!("<br><span class=\"muted\">{runs} runs, {least} to {most}</span>")
        }
    };
    let ratio = groups::ratio(&whole.flow, group.original);
    let mut texts = vec![
        named(cell),
        figures::count(whole.flow.records_per_second) + &runs,
        ratio.map_or_else(dash, |ratio| format!("{}×", figures::trimmed(ratio))),
        figures::megabytes(whole.flow.mb_per_second),
    ];
    let percentiles = |histogram: &Option<Histogram<u64>>, number: usize| -> Vec<String> {
        let at = |percentile: &f64| match histogram {
            Some(histogram) => figures::millis(histogram.value_at_percentile(*percentile)),
            None => dash(),
        };
        PERCENTILES[..number].iter().map(at).collect()
    };
    texts.extend(percentiles(&whole.ack, 3));
    texts.extend(percentiles(&whole.end_to_end, 4));
    texts.push(
        whole
            .cpu_per_million
            .map_or_else(dash, figures::significant),
    );
    texts.push(judged(whole));
    let mut html = format!("<tr>{}</tr>\n", cells(texts));
    if !why.is_empty() {
        html.push_str(&format!(
            "<tr><td class=\"text wrong\" colspan=\"{COLUMNS}\">{}: {}</td></tr>\n",
            escape(&cell.system.name),
            escape(&why.join("; "))
        ));
    }
    html
}

fn judged(whole: &Whole) -> String {
    if whole.is_wrong() || !whole.errors.is_empty() {
        "<span class=\"wrong\">wrong, below</span>".to_owned()
    } else if whole.verified.checked {
        "all right".to_owned()
    } else {
        "<span class=\"muted\">not checked</span>".to_owned()
    }
}

/// What became of the records, line by line.
pub(super) fn verification(groups: &[Group<'_>]) -> String {
    let mut html = "<div class=\"wide\"><table>\n<thead><tr><th>Line</th><th class=\"text\">System</th>\
        <th>lost</th><th>duplicated</th><th>reordered</th><th>corrupted</th><th>not<br>acknowledged</th>\
        <th class=\"text\">In words</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for group in groups {
        for cell in &group.cells {
            html.push_str(&verified(group, cell));
        }
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn verified(group: &Group<'_>, cell: &Cell<'_>) -> String {
    let head = format!(
        "<td>{}</td><td class=\"text\">{}</td>",
        escape(group.id),
        named(cell)
    );
    let Some(whole) = &cell.whole else {
        return format!(
            "<tr>{head}<td class=\"text\" colspan=\"6\">not measured, see above</td></tr>\n"
        );
    };
    let seen = &whole.verified;
    let number = |number: u64| match number {
        0 => "0".to_owned(),
        number => format!(
            "<span class=\"wrong\">{}</span>",
            figures::count(number as f64)
        ),
    };
    let counted = [seen.lost, seen.duplicated, seen.reordered, seen.corrupted]
        .map(|times| if seen.checked { number(times) } else { dash() });
    let mut words: Vec<String> = Vec::new();
    if !seen.checked {
        words.push("not checked: the line has no consumers".to_owned());
    }
    let errors = whole.errors.iter();
    words.extend(errors.map(|(why, times)| format!("{} × {why}", figures::count(*times as f64))));
    words.extend(seen.examples.iter().take(5).cloned());
    if words.is_empty() {
        words.push("all there, in order and as they were sent".to_owned());
    }
    let words: Vec<String> = words.iter().map(|words| escape(words)).collect();
    let unacked = number(whole.errors.values().sum());
    format!(
        "<tr>{head}{}<td>{unacked}</td><td class=\"text\">{}</td></tr>\n",
        cells(counted),
        words.join("<br>")
    )
}
