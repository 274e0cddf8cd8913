//! Which charts a line of the suite gets, and what is in them. Pure.

use hdrhistogram::Histogram;

use super::super::groups::{self, Cell, Group};
use super::super::{ReportError, figures};
use super::chart::{Axis, Bar, Lines, Trace, Weight, bars};
use super::escape;
use crate::results::{Measured, Second};

/// Points of all curves of a page together, which bounds its size.
const POINTS: usize = 60_000;
/// The most points a curve has.
const MOST_POINTS: usize = 300;
/// Repeats of a line whose course over time is drawn.
const REPEATS: usize = 5;

/// How many points a curve over time may have.
pub(super) fn points_of_curve(groups: &[Group<'_>]) -> usize {
    let repeats = |cell: &Cell<'_>| cell.figures().count().min(REPEATS);
    let curves: usize = groups
        .iter()
        .flat_map(|group| &group.cells)
        .map(repeats)
        .sum();
    // Three curves over time for each: p50 and p99, and the rate.
    (POINTS / (3 * curves).max(1)).clamp(24, MOST_POINTS)
}

/// All charts of a line.
pub(super) fn charts(group: &Group<'_>, points: usize) -> Result<String, ReportError> {
    let mut html = "<div class=\"charts\">\n".to_owned();
    html.push_str(&percentiles(group)?);
    html.push_str(&latency_over_time(group, points)?);
    html.push_str(&throughput_over_time(group, points)?);
    html.push_str(&processor(group)?);
    html.push_str("</div>\n");
    Ok(html)
}

fn figure(title: &str, about: &str, chart: &str) -> String {
    let (title, about) = (escape(title), escape(about));
    let chart = chart.replacen(
        "<svg",
        &format!("<svg role=\"img\" aria-label=\"{title}. {about}\""),
        1,
    );
    format!("<figure><figcaption>{title}<span>{about}</span></figcaption>\n{chart}\n</figure>\n")
}

/// In the place of a chart that has nothing to show.
fn none(title: &str, why: &str) -> String {
    let text = format!("<p class=\"none\">{}</p>", escape(why));
    figure(title, "", &text)
}

/// Whether the line's latencies are end to end, by what any system has.
fn is_end_to_end(group: &Group<'_>) -> bool {
    let wholes = group.cells.iter().filter_map(Cell::shown);
    wholes.into_iter().any(|whole| whole.end_to_end.is_some())
}

fn percentiles(group: &Group<'_>) -> Result<String, ReportError> {
    const TITLE: &str = "Latency by percentile";
    let end_to_end = is_end_to_end(group);
    let histogram = |cell: &Cell<'_>| -> Option<Histogram<u64>> {
        let whole = cell.shown()?;
        let chosen = if end_to_end {
            &whole.end_to_end
        } else {
            &whole.ack
        };
        chosen.clone()
    };
    let mut traces = Vec::new();
    for cell in &group.cells {
        if let Some(histogram) = histogram(cell) {
            traces.push(Trace {
                system: cell.number,
                weight: Weight::Strong,
                points: by_percentile(&histogram),
            });
        }
    }
    let points = || traces.iter().flat_map(|trace| &trace.points);
    let nines = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let Some((low, high)) = span(points().map(|(_, y)| 10_f64.powf(*y))) else {
        return Ok(none(TITLE, "No latency was measured on this line."));
    };
    let last = nines.ceil().max(1.0);
    let marks = (0..=last as usize).map(|nines| {
        let text = match nines {
            0 => "0".to_owned(),
            1 => "90".to_owned(),
            2 => "99".to_owned(),
            nines => format!("99.{}", "9".repeat(nines - 2)),
        };
        (nines as f64, text)
    });
    let x = Axis {
        label: "percentile, %".to_owned(),
        low: 0.0,
        high: last,
        marks: marks.collect(),
    };
    let about = match end_to_end {
        true => {
            "from when a record was due (or handed over, at full speed) to its arrival at a consumer"
        }
        false => {
            "from when a record was due (or handed over, at full speed) to its acknowledgement"
        }
    };
    let lines = Lines {
        x,
        y: Axis::logarithmic("latency, ms", low, high, figures::trimmed),
        traces,
        shade_until: None,
    };
    Ok(figure(
        TITLE,
        &format!("{about}; all runs together; up to the worst record"),
        &lines.draw()?,
    ))
}

/// Points of a distribution: how many nines, and the logarithm of the milliseconds. The last is the worst
/// record's, at the share of records it is.
fn by_percentile(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let most = (histogram.len() as f64).log10().min(7.0);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for step in histogram.iter_quantiles(8) {
        let below = 1.0 - step.quantile_iterated_to();
        let nines = if below > 0.0 { -below.log10() } else { most };
        let millis = histogram.max().min(step.value_iterated_to()).max(1) as f64 / 1e3;
        points.push((nines.min(most).max(0.0), millis.log10()));
    }
    points
}

fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |span, value| match span {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// Seconds of a repeat put together so that they are few: the first second and those that belong together.
fn buckets(measured: &Measured, points: usize) -> impl Iterator<Item = &[Second]> {
    let each = measured.series.len().div_ceil(points).max(1);
    measured.series.chunks(each)
}

fn longest(group: &Group<'_>, points: usize) -> usize {
    let figures = group.cells.iter().flat_map(Cell::figures);
    let each = |(measured, _): (&Measured, bool)| measured.series.len().div_ceil(points);
    figures.map(each).max().unwrap_or(1).max(1)
}

/// Curves over time of every repeat of every system; the weight is by the system's place in the group.
fn over_time(
    group: &Group<'_>,
    points: usize,
    weight: impl Fn(usize) -> Weight,
    value: impl Fn(&Measured, &[Second]) -> Option<f64>,
) -> Vec<Trace> {
    let mut traces = Vec::new();
    for (place, cell) in group.cells.iter().enumerate() {
        for (measured, _) in cell.figures().take(REPEATS) {
            let point = |bucket: &[Second]| {
                let (first, last) = (bucket.first()?, bucket.last()?);
                let middle = (first.second + last.second + 1) as f64 / 2.0;
                Some((middle, value(measured, bucket)?))
            };
            traces.push(Trace {
                system: cell.number,
                weight: weight(place),
                points: buckets(measured, points).filter_map(point).collect(),
            });
        }
    }
    traces
}

/// The axis of time, where there is any.
fn time_axis(traces: &[Trace]) -> Option<Axis> {
    let times = traces.iter().flat_map(|trace| &trace.points);
    let (low, high) = span(times.map(|(x, _)| *x))?;
    let mut axis = Axis::even("time, s", low.min(0.0).floor(), high.ceil(), figures::count);
    // Time needs no empty room at its end.
    axis.high = high.ceil().max(axis.low + 1.0);
    axis.marks.retain(|(mark, _)| *mark <= axis.high);
    Some(axis)
}

fn warm_up(axis: &Axis) -> (Option<f64>, &'static str) {
    if axis.low < 0.0 {
        (Some(0.0), "; shaded: warm-up, not counted")
    } else {
        (None, "")
    }
}

/// What is said of curves of many seconds and runs.
fn about_runs(group: &Group<'_>, points: usize, each: &str) -> String {
    let seconds = longest(group, points);
    let mut text = match seconds {
        1 => String::new(),
        seconds => format!("; a point is {each} {seconds} s"),
    };
    let runs = group.cells.iter().map(|cell| cell.figures().count());
    match runs.max().unwrap_or(0) {
        0 | 1 => {}
        runs if runs > REPEATS => text.push_str(&format!("; the first {REPEATS} runs")),
        _ => text.push_str("; each run a line"),
    }
    text
}

fn latency_over_time(group: &Group<'_>, points: usize) -> Result<String, ReportError> {
    const TITLE: &str = "Latency over time";
    let worst = |at: usize| {
        move |_: &Measured, bucket: &[Second]| {
            let worst = bucket.iter().map(|second| second.latency[at]).max()?;
            (worst > 0).then(|| (worst as f64 / 1e3).log10())
        }
    };
    let mut traces = over_time(group, points, |_| Weight::Light, worst(0));
    traces.extend(over_time(group, points, |_| Weight::Strong, worst(1)));
    let values = traces.iter().flat_map(|trace| &trace.points);
    let span = span(values.map(|(_, y)| 10_f64.powf(*y)));
    let (Some((low, high)), Some(x)) = (span, time_axis(&traces)) else {
        return Ok(none(TITLE, "No latency was measured on this line."));
    };
    let (shade_until, warm_up) = warm_up(&x);
    let kind = if is_end_to_end(group) {
        "end to end"
    } else {
        "to the acknowledgement"
    };
    let runs = about_runs(group, points, "the worst of");
    let lines = Lines {
        x,
        y: Axis::logarithmic("latency, ms", low, high, figures::trimmed),
        traces,
        shade_until,
    };
    Ok(figure(
        TITLE,
        &format!("{kind}, second by second: p99 strong, p50 thin{runs}{warm_up}"),
        &lines.draw()?,
    ))
}

fn throughput_over_time(group: &Group<'_>, points: usize) -> Result<String, ReportError> {
    const TITLE: &str = "Throughput over time";
    let consumed = {
        let mut figures = group.cells.iter().flat_map(Cell::figures);
        figures.any(|(measured, _)| {
            std::ptr::eq(
                groups::headline(group.workload, measured),
                &raw const measured.consumed,
            )
        })
    };
    let rate = |measured: &Measured, bucket: &[Second]| {
        // A second that was over before it had passed has no rate.
        let end = measured.seconds.floor().max(1.0) as i64;
        let whole = bucket.iter().filter(|second| second.second < end);
        let records = whole.map(|second| match consumed {
            true => second.consumed,
            false => second.acked,
        });
        let (seconds, records) = records.fold((0, 0), |(n, sum), records| (n + 1, sum + records));
        (seconds > 0).then(|| records as f64 / f64::from(seconds))
    };
    // At the same rate the lines lie on one another: those below are wider, so that each is seen.
    let systems = group.cells.len();
    let paced = group.cells.iter().any(|cell| cell.wanted().is_some());
    let weight = |place: usize| match paced {
        true => Weight::Wide(2 * (systems - place) as u32),
        false => Weight::Strong,
    };
    let traces = over_time(group, points, weight, rate);
    let most = traces.iter().flat_map(|trace| &trace.points);
    let most = most.map(|(_, y)| *y).fold(0.0, f64::max);
    let Some(x) = time_axis(&traces) else {
        return Ok(none(TITLE, "Nothing was measured on this line."));
    };
    let (shade_until, warm_up) = warm_up(&x);
    let runs = about_runs(group, points, "the mean of");
    let what = if consumed { "consumed" } else { "acknowledged" };
    let lines = Lines {
        x,
        y: Axis::even("records/s", 0.0, most, short),
        traces,
        shade_until,
    };
    Ok(figure(
        TITLE,
        &format!("records {what}{runs}{warm_up}"),
        &lines.draw()?,
    ))
}

/// Large numbers in little room.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{} M", figures::trimmed(value / 1e6)),
        v if v >= 1e3 => format!("{} k", figures::trimmed(value / 1e3)),
        _ => figures::trimmed(value),
    }
}

fn processor(group: &Group<'_>) -> Result<String, ReportError> {
    const TITLE: &str = "Processor time for a record";
    let bar = |cell: &Cell<'_>| {
        let value = cell.shown().and_then(|whole| whole.cpu_per_million);
        let text = match (cell.shown(), value) {
            (_, Some(value)) => figures::significant(value),
            (Some(_), None) => "unknown: no process of it was found here".to_owned(),
            (None, _) => "not measured".to_owned(),
        };
        Bar {
            system: cell.number,
            name: cell.system.name.clone(),
            value,
            text,
        }
    };
    let all: Vec<Bar> = group.cells.iter().map(bar).collect();
    let chart = bars(&all, "CPU seconds per million records (µs per record)")?;
    Ok(figure(
        TITLE,
        "of the system's processes, for records produced and consumed together; less is better",
        &chart,
    ))
}
