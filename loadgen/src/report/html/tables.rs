//! The page's tables. Pure.

use hdrhistogram::Histogram;

use super::super::figures;
use super::super::groups::{self, Cell, Group, Whole};
use super::escape;
use crate::results::Original;

/// Percentiles of a latency that the table of figures has.
const PERCENTILES: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];

/// Which columns the table of figures has, beside those it always has.
#[derive(Debug, Clone, Copy)]
struct Columns {
    /// Whether a line asks for a rate.
    rate: bool,
    /// Whether a line has an original.
    original: bool,
}

impl Columns {
    fn number(self) -> usize {
        usize::from(self.rate) + usize::from(self.original) + 2 * PERCENTILES.len() + 5
    }
}

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
    let mut cells = groups.iter().flat_map(|group| &group.cells);
    let columns = Columns {
        rate: cells.any(|cell| cell.wanted().is_some()),
        original: groups.iter().any(|group| group.original.is_some()),
    };
    let mut html = head(columns);
    for group in groups {
        html.push_str(&format!(
            "<tr class=\"line\"><th colspan=\"{}\"><a href=\"#{}\">{}</a> <span>{}</span></th></tr>\n",
            columns.number(),
            anchor(group.id),
            escape(group.title),
            escape(group.id)
        ));
        if let Some(original) = group.original {
            html.push_str(&published(original, columns));
        }
        for cell in &group.cells {
            html.push_str(&row(cell, group, columns));
        }
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn head(columns: Columns) -> String {
    let two_rows = |name: &str| format!("<th rowspan=\"2\">{name}</th>");
    let wide = |name: &str| format!("<th colspan=\"{}\">{name}</th>", PERCENTILES.len());
    let mut html = "<div class=\"wide\"><table>\n<thead><tr>".to_owned();
    html += &two_rows("System");
    if columns.rate {
        html += &two_rows("asked for,<br>records/s");
        html += &two_rows("reached,<br>records/s");
    } else {
        html += &two_rows("records/s");
    }
    if columns.original {
        html += &two_rows("of the<br>original");
    }
    html += &two_rows("MB/s");
    html += &wide("to the acknowledgement, ms");
    html += &wide("end to end, ms");
    html += &two_rows("CPU s per<br>million");
    html += &two_rows("Records");
    html += "</tr>\n<tr>";
    for name in PERCENTILES.iter().chain(&PERCENTILES) {
        html += &format!("<th>p{name}</th>");
    }
    html + "</tr></thead>\n<tbody>\n"
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

fn published(original: &Original, columns: Columns) -> String {
    let figure = |value: Option<f64>, write: fn(f64) -> String| value.map_or_else(dash, write);
    let mut texts = vec![format!("original: {}", escape(&original.system))];
    if columns.rate {
        texts.push(String::new());
    }
    texts.push(figure(original.records_per_second, figures::count));
    texts.push(
        match (original.records_per_second, original.mb_per_second) {
            (None, None) => dash(),
            _ => "1×".to_owned(),
        },
    );
    texts.push(figure(original.mb_per_second, figures::megabytes));
    texts.extend(PERCENTILES.map(|_| dash()));
    let latency = |name| original.latency_ms.get(name).copied();
    texts.extend(PERCENTILES.map(|name| figure(latency(name), figures::trimmed)));
    texts.extend([dash(), String::new()]);
    format!(
        "<tr class=\"original\">{}</tr>\n<tr class=\"original\"><td class=\"text\" colspan=\"{}\">original \
         from: {}</td></tr>\n",
        cells(texts),
        columns.number(),
        escape(&original.source)
    )
}

fn row(cell: &Cell<'_>, group: &Group<'_>, columns: Columns) -> String {
    let why = cell.not_measured();
    let Some(whole) = cell.shown() else {
        return format!(
            "<tr><td>{}</td><td class=\"text\" colspan=\"{}\">{}</td></tr>\n",
            named(cell),
            columns.number() - 1,
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
    let reached = figures::count(whole.flow.records_per_second);
    let mut texts = vec![named(cell)];
    if columns.rate {
        let wanted = cell.wanted().map(|(_, rate)| figures::count(rate));
        texts.push(wanted.unwrap_or_else(|| "<span class=\"muted\">full speed</span>".to_owned()));
    }
    texts.push(match whole.fell_behind() {
        Some(behind) => format!("<span class=\"wrong\">{reached}<br>{behind}</span>{runs}"),
        None => reached + &runs,
    });
    if columns.original {
        let ratio = groups::ratio(&whole.flow, group.original);
        texts.push(ratio.map_or_else(dash, |ratio| format!("{}×", figures::trimmed(ratio))));
    }
    texts.push(figures::megabytes(whole.flow.mb_per_second));
    texts.extend(percentiles(whole.ack.as_ref()));
    texts.extend(percentiles(whole.end_to_end.as_ref()));
    let cpu = whole.cpu_per_million;
    texts.push(cpu.map_or_else(dash, figures::significant));
    texts.push(judged(cell, whole));
    let mut html = format!("<tr>{}</tr>\n", cells(texts));
    if !why.is_empty() {
        html.push_str(&format!(
            "<tr><td class=\"text wrong\" colspan=\"{}\">{}: {}</td></tr>\n",
            columns.number(),
            escape(&cell.system.name),
            escape(&why.join("; "))
        ));
    }
    html
}

fn percentiles(histogram: Option<&Histogram<u64>>) -> [String; PERCENTILES.len()] {
    PERCENTILES.map(|name| match histogram {
        Some(histogram) => {
            let percentile = name.parse().unwrap_or(100.0);
            figures::millis(histogram.value_at_percentile(percentile))
        }
        None => dash(),
    })
}

fn judged(cell: &Cell<'_>, whole: &Whole) -> String {
    if whole.is_wrong() || !whole.errors.is_empty() {
        "<span class=\"wrong\">wrong, below</span>".to_owned()
    } else if cell.until.is_some() {
        "<span class=\"wrong\">partial</span>".to_owned()
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
    let Some(whole) = cell.shown() else {
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
        words.push(match cell.until {
            None => "all there, in order and as they were sent".to_owned(),
            Some(_) => {
                "what was read was in order and as it was sent; then it broke off".to_owned()
            }
        });
    }
    let words: Vec<String> = words.iter().map(|words| escape(words)).collect();
    let unacked = number(whole.errors.values().sum());
    format!(
        "<tr>{head}{}<td>{unacked}</td><td class=\"text\">{}</td></tr>\n",
        cells(counted),
        words.join("<br>")
    )
}
