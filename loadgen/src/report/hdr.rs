//! HdrHistogram's own files: the percentile distribution (`.hgrm`) as its plotters read it, and the interval
//! log (`.hlog`) with the whole histogram. Both as the Java implementation writes them; in milliseconds and
//! microseconds. Pure.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::figures;
use crate::results::{Latency, Line, Measured, Results};

/// The percentile distribution of a histogram of microseconds, in milliseconds.
pub(super) fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0_u64;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1e3;
        let quantile = step.quantile_iterated_to();
        let line = if quantile < 1.0 {
            let share = 1.0 / (1.0 - quantile);
            writeln!(text, "{value:12.3} {quantile:2.12} {total:10} {share:14.2}")
        } else {
            writeln!(text, "{value:12.3} {quantile:2.12} {total:10}")
        };
        debug_assert!(line.is_ok(), "a string takes all");
    }
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    text.push_str(&format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3,
        histogram.max() as f64 / 1e3,
        histogram.len(),
        histogram.buckets(),
        sub_buckets,
    ));
    text
}

/// The interval log of a line: one interval, the measured time, for each kind of latency, as tags.
pub(super) fn hlog(results: &Results, line: &Line, measured: &Measured) -> String {
    let began = figures::since_1970(&results.started).unwrap_or(0.0) + line.began;
    let mut text = format!(
        "#[Histogram log format version 1.3]\n\
         #[{} on {}, repeat {}; values in microseconds, Interval_Max in milliseconds]\n\
         #[StartTime: {began:.3} (seconds since epoch)]\n\
         #[BaseTime: {began:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        line.id.replace('\n', " "),
        line.system.name.replace('\n', " "),
        line.repeat,
    );
    for (tag, latency) in kinds(measured) {
        let worst = latency.percentiles.get("100").copied().unwrap_or(0);
        let (seconds, worst) = (measured.seconds, worst as f64 / 1e3);
        let interval = format!("0.000,{seconds:.3},{worst:.3},{}", latency.histogram);
        text.push_str(&format!("Tag={tag},{interval}\n"));
    }
    text
}

/// The latencies that were measured, by the names they have in files.
pub(super) fn kinds(measured: &Measured) -> impl Iterator<Item = (&'static str, &Latency)> {
    let kinds = [
        ("ack", measured.ack_latency.as_ref()),
        ("end-to-end", measured.end_to_end_latency.as_ref()),
    ];
    kinds
        .into_iter()
        .filter_map(|(tag, latency)| Some((tag, latency?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What HdrHistogram's `outputPercentileDistribution(out, 1000.0)` writes for these values.
    #[test]
    fn the_distribution_is_written_as_its_plotters_read_it() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in [1_000, 1_000, 1_000, 2_000] {
            histogram.record(value).unwrap();
        }
        let text = hgrm(&histogram);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(lines[1], "");
        assert_eq!(
            lines[2],
            "       1.000 0.000000000000          3           1.00"
        );
        let last = lines
            .iter()
            .rposition(|line| !line.starts_with('#'))
            .unwrap();
        assert_eq!(lines[last], "       2.000 1.000000000000          4");
        assert_eq!(
            lines[last + 1],
            "#[Mean    =        1.250, StdDeviation   =        0.433]"
        );
        assert_eq!(
            lines[last + 2],
            "#[Max     =        2.000, Total count    =            4]"
        );
        assert!(lines[last + 3].ends_with("SubBuckets     =         2048]"));
    }
}
