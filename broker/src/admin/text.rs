//! Writes the Prometheus text format, version 0.0.4. Pure.
//!
//! Own code, since the libraries that write it want to own the counters as well, shared between
//! threads by atomics; here each shard counts in cells of its own and the text is made of copies.

use std::fmt::{self, Write};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A metric: one name, one meaning, a series for each combination of label values.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A count or a size.
    Whole(u64),
    /// An offset.
    Signed(i64),
    /// Seconds, mostly.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(value) => write!(f, "{value}"),
        }
    }
}

/// A label's value, escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, from) = rest.split_at(at);
            f.write_str(plain)?;
            f.write_str(match from.as_bytes()[0] {
                b'\\' => "\\\\",
                b'"' => "\\\"",
                _ => "\\n",
            })?;
            rest = &from[1..];
        }
        f.write_str(rest)
    }
}

/// A text being written, family by family.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
}

impl Text {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let Family {
            name, kind, help, ..
        } = family;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Samples { text: self, family }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.out
    }

    fn put(&mut self, arguments: fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.out.write_fmt(arguments);
    }
}

/// The samples of one family.
pub struct Samples<'a> {
    text: &'a mut Text,
    family: &'static Family,
}

impl Samples<'_> {
    /// Writes a sample of a counter or gauge; `labels` are the values of the family's labels.
    pub fn sample(&mut self, labels: &[&str], value: impl Into<Value>) {
        debug_assert!(self.family.kind != Kind::Histogram);
        self.line("", labels, None, value.into());
    }

    /// Writes a histogram: for each bucket its bound in seconds and how many it counts that the one
    /// before does not; those above the last bound are in `beyond`.
    pub fn histogram(
        &mut self,
        labels: &[&str],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        beyond: u64,
        sum_seconds: f64,
    ) {
        debug_assert!(self.family.kind == Kind::Histogram);
        let mut count = 0;
        for (bound, more) in buckets {
            count += more;
            self.line("_bucket", labels, Some(bound), Value::Whole(count));
        }
        count += beyond;
        self.line("_bucket", labels, Some(f64::INFINITY), Value::Whole(count));
        self.line("_sum", labels, None, Value::Real(sum_seconds));
        self.line("_count", labels, None, Value::Whole(count));
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<f64>, value: Value) {
        assert_eq!(
            labels.len(),
            self.family.labels.len(),
            "{} has the labels {:?}",
            self.family.name,
            self.family.labels
        );
        self.text.put(format_args!("{}{suffix}", self.family.name));
        let mut before = '{';
        for (name, label) in self.family.labels.iter().zip(labels) {
            self.text
                .put(format_args!("{before}{name}=\"{}\"", Escaped(label)));
            before = ',';
        }
        if let Some(bound) = bound {
            self.text
                .put(format_args!("{before}le=\"{}\"", Value::Real(bound)));
            before = ',';
        }
        let after = if before == '{' { "" } else { "}" };
        self.text.put(format_args!("{after} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PLAIN: Family = Family {
        name: "plain",
        kind: Kind::Gauge,
        labels: &[],
        help: "a \\ and\na line",
    };
    static LABELLED: Family = Family {
        name: "labelled_total",
        kind: Kind::Counter,
        labels: &["a", "b"],
        help: "two labels",
    };
    static TIMES: Family = Family {
        name: "times_seconds",
        kind: Kind::Histogram,
        labels: &["a"],
        help: "times",
    };

    #[test]
    fn samples_are_written_as_the_format_wants_them() {
        let mut text = Text::default();
        let mut plain = text.family(&PLAIN);
        plain.sample(&[], -7_i64);
        plain.sample(&[], 0.25);
        plain.sample(&[], f64::NAN);
        plain.sample(&[], f64::NEG_INFINITY);
        let mut labelled = text.family(&LABELLED);
        labelled.sample(&["x", "a\\b\"c\nd é"], u64::MAX);
        let mut times = text.family(&TIMES);
        times.histogram(&["x"], [(0.00001, 2), (0.5, 0), (20.0, 3)], 1, 81.5);
        let expected = "\
# HELP plain a \\\\ and\\na line
# TYPE plain gauge
plain -7
plain 0.25
plain NaN
plain -Inf
# HELP labelled_total two labels
# TYPE labelled_total counter
labelled_total{a=\"x\",b=\"a\\\\b\\\"c\\nd é\"} 18446744073709551615
# HELP times_seconds times
# TYPE times_seconds histogram
times_seconds_bucket{a=\"x\",le=\"0.00001\"} 2
times_seconds_bucket{a=\"x\",le=\"0.5\"} 2
times_seconds_bucket{a=\"x\",le=\"20\"} 5
times_seconds_bucket{a=\"x\",le=\"+Inf\"} 6
times_seconds_sum{a=\"x\"} 81.5
times_seconds_count{a=\"x\"} 6
";
        assert_eq!(text.finish(), expected);
    }
}
