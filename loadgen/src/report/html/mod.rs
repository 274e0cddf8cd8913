//! The page: everything about a run in one file that needs nothing else, readable in light and dark and on
//! paper. Pure.

mod chart;
mod plots;
mod tables;

use super::groups::{self, Group};
use super::remarks::{Remark, Remarks};
use super::{ReportError, figures};
use crate::results::{Outcome, Results, System};

/// The page of a run.
pub(super) fn page(results: &Results) -> Result<String, ReportError> {
    let groups = groups::groups(results);
    let systems = groups::systems(results);
    let remarks = Remarks::of(&groups);
    let title = format!("{}: {}", results.suite, names(&systems));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        escape(&title),
        include_str!("style.css"),
    );
    html.push_str(&head(results, &title));
    html.push_str(&banners(results, &groups));
    html.push_str("<h2>Figures</h2>\n");
    html.push_str(
        "<p class=\"muted\">Rates are totals over the whole measured time; MB are 2<sup>20</sup> bytes of keys \
         and values. Percentiles are of all records of all runs. A dash is a figure that the source doesn't \
         give or that the line doesn't have.</p>\n",
    );
    html.push_str(&tables::all(&groups));
    if !remarks.of_several.is_empty() {
        html.push_str("<h3>To know, of several lines</h3>\n");
        html.push_str(&list_of(&remarks.of_several));
    }
    html.push_str("<h2>Were the records right?</h2>\n");
    html.push_str(&tables::verification(&groups));
    html.push_str("<h2>Line by line</h2>\n");
    let points = plots::points_of_curve(&groups);
    for (group, own) in groups.iter().zip(&remarks.of_lines) {
        html.push_str(&section(group, own, points)?);
    }
    html.push_str("<h2>To repeat it</h2>\n");
    html.push_str(&repeat(results, &groups));
    html.push_str("</body>\n</html>\n");
    Ok(html)
}

fn names(systems: &[&System]) -> String {
    let names: Vec<&str> = systems.iter().map(|system| system.name.as_str()).collect();
    match names.split_last() {
        None => "nothing was run".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

fn head(results: &Results, title: &str) -> String {
    let machine = &results.machine;
    let place = format!(
        "{}, {}, {} of memory, Linux {}, TCP {}",
        machine.processor,
        figures::of(machine.processors, "processor"),
        figures::bytes(machine.memory_bytes),
        machine.kernel,
        machine.congestion_control,
    );
    let workers = match groups::workers(results).len() {
        0 => String::new(),
        workers => format!(
            ", with producers and consumers in {}, below",
            figures::of(workers, "worker")
        ),
    };
    format!(
        "<h1>{}</h1>\n<p class=\"muted\">Measured from {} on {} by loadgen {}{workers}.</p>\n",
        escape(title),
        escape(&results.started),
        escape(&place),
        escape(&results.version),
    )
}

/// What must be known before any figure is read.
fn banners(results: &Results, groups: &[Group<'_>]) -> String {
    let mut html = String::new();
    if let Some(why) = &results.partial {
        html.push_str(&format!(
            "<p class=\"banner partial\"><strong>This run is partial.</strong> {}</p>\n",
            escape(why)
        ));
    }
    let (mut wrong, mut behind) = (Vec::new(), Vec::new());
    for group in groups {
        for cell in &group.cells {
            let Some(whole) = cell.shown() else { continue };
            let who = format!("{} on {}", cell.system.name, group.id);
            if whole.is_wrong() {
                wrong.push(format!("{who}: {}", whole.verdict()));
            }
            behind.extend(whole.fell_behind().map(|words| format!("{who}: {words}")));
        }
    }
    if !wrong.is_empty() {
        html.push_str(&format!(
            "<p class=\"banner bad\"><strong>Records were not what was sent.</strong> {}</p>\n",
            escape(&wrong.join("; "))
        ));
    }
    if !behind.is_empty() {
        html.push_str(&format!(
            "<p class=\"banner partial\"><strong>Not every rate that was asked for was held</strong>, and latencies \
             there are those of a system that has fallen behind. {}</p>\n",
            escape(&behind.join("; "))
        ));
    }
    html
}

/// A line of the suite with its charts.
fn section(group: &Group<'_>, remarks: &[Remark], points: usize) -> Result<String, ReportError> {
    let mut html = format!(
        "<section id=\"{}\">\n<h3>{}</h3>\n",
        tables::anchor(group.id),
        escape(group.title)
    );
    let own_rates = !group.workload.rates.is_empty();
    let keys = group.cells.iter().map(|cell| {
        let rate = match cell.wanted().filter(|_| own_rates) {
            Some((_, rate)) => format!(", asked for {} records/s", figures::count(rate)),
            None => String::new(),
        };
        format!("<li>{}{rate}</li>", tables::named(cell))
    });
    let keys: String = keys.collect();
    html.push_str(&format!("<ul class=\"legend\">{keys}</ul>\n"));
    if !remarks.is_empty() {
        html.push_str(&list_of(remarks));
    }
    if group
        .cells
        .iter()
        .any(|cell| cell.figures().next().is_some())
    {
        html.push_str(&plots::charts(group, points)?);
    } else {
        html.push_str("<p>Nothing was measured on this line, so there are no charts.</p>\n");
    }
    html.push_str(&details("Parameters of this line", &parameters(group)));
    html.push_str("</section>\n");
    Ok(html)
}

fn list_of(remarks: &[Remark]) -> String {
    let text = |remark: &Remark| format!("{}: {}", remark.about, remark.text);
    list(&remarks.iter().map(text).collect::<Vec<_>>())
}

fn list(texts: &[String]) -> String {
    let items = texts
        .iter()
        .map(|text| format!("<li>{}</li>", escape(text)));
    format!("<ul>{}</ul>\n", items.collect::<String>())
}

fn details(title: &str, html: &str) -> String {
    format!(
        "<details><summary>{}</summary>\n{html}</details>\n",
        escape(title)
    )
}

fn two_columns<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows = rows.into_iter().map(|(name, value)| {
        format!(
            "<tr><td>{}</td><td class=\"text\">{}</td></tr>\n",
            escape(name),
            escape(&value)
        )
    });
    format!(
        "<table><tbody>{}</tbody></table>\n",
        rows.collect::<String>()
    )
}

fn parameters(group: &Group<'_>) -> String {
    let parameters = groups::parameters(group.workload);
    two_columns(
        parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    )
}

/// Everything needed to do it again.
fn repeat(results: &Results, groups: &[Group<'_>]) -> String {
    let command = format!(
        "<pre>{}</pre>\n",
        escape(&figures::command(&results.command))
    );
    let mut html = details("The command", &command);
    let machine = &results.machine;
    let rows = [
        ("processor", machine.processor.clone()),
        ("processors", machine.processors.to_string()),
        ("memory", figures::bytes(machine.memory_bytes)),
        ("kernel", machine.kernel.clone()),
        ("TCP congestion control", machine.congestion_control.clone()),
        ("loadgen", results.version.clone()),
        ("begun", results.started.clone()),
    ];
    html.push_str(&details("The machine", &two_columns(rows)));
    let workers = groups::workers(results);
    if !workers.is_empty() {
        html.push_str(&details("The workers", &list(&workers)));
    }
    for system in groups::systems(results) {
        let mut rows = vec![
            ("product", system.product.clone()),
            ("version", system.version.clone()),
            ("driver", system.driver.clone()),
            ("brokers", system.brokers.to_string()),
        ];
        let settings = system.settings.iter();
        rows.extend(settings.map(|(name, value)| (name.as_str(), value.clone())));
        let title = format!("{}: version and settings", system.name);
        html.push_str(&details(&title, &two_columns(rows)));
    }
    html.push_str(&details("The order of the runs", &order(results)));
    let parameters = groups.iter().map(|group| {
        let heading = format!("<p><strong>{}</strong></p>\n", escape(group.id));
        heading + &parameters(group)
    });
    html.push_str(&details(
        "Parameters of all lines",
        &parameters.collect::<String>(),
    ));
    html
}

fn order(results: &Results) -> String {
    let items = results.lines.iter().map(|line| {
        let outcome = match &line.outcome {
            Outcome::Measured(measured) => {
                format!("measured {} s", figures::trimmed(measured.seconds))
            }
            Outcome::Skipped { why } => format!("skipped: {why}"),
            Outcome::Failed { why, .. } => format!("failed: {why}"),
        };
        format!(
            "after {} s: {} on {}, run {}: {outcome}",
            figures::count(line.began.round()),
            line.id,
            line.system.name,
            line.repeat + 1,
        )
    });
    list(&items.collect::<Vec<_>>())
}

/// Text that means only itself in HTML.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
