//! A strict reader of the Prometheus text format, for tests: what it takes, a server takes.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// A family as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadFamily {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: String,
    /// Name with its suffix, labels, value.
    pub(super) samples: Vec<(String, Labels, f64)>,
}

impl ReadFamily {
    /// The value of the sample with exactly these labels.
    pub(super) fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        self.value_of(&self.name, labels)
    }

    /// The same, of a sample whose name has a suffix.
    pub(super) fn value_of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut found = self
            .samples
            .iter()
            .filter(|(n, l, _)| n == name && *l == wanted);
        found.next().map(|(_, _, value)| *value)
    }
}

/// Reads a whole text, or says what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<ReadFamily>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families: Vec<ReadFamily> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line
            .strip_prefix("# HELP ")
            .ok_or(format!("not a HELP line: {line}"))?;
        let (name, help) = help.split_once(' ').ok_or(format!("no help: {line}"))?;
        let next = lines.next().unwrap_or_default();
        let kind = next
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_prefix(name));
        let kind = kind
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or(format!("not its TYPE: {next}"))?;
        if !["counter", "gauge", "histogram"].contains(&kind) {
            return Err(format!("no such type: {next}"));
        }
        if families.iter().any(|family| family.name == name) {
            return Err(format!("{name} comes twice"));
        }
        let mut family = ReadFamily {
            name: checked_name(name)?,
            help: help.to_owned(),
            kind: kind.to_owned(),
            samples: Vec::new(),
        };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            family.samples.push(sample(line)?);
        }
        check(&family)?;
        families.push(family);
    }
    Ok(families)
}

fn checked_name(name: &str) -> Result<String, String> {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(name.to_owned())
    } else {
        Err(format!("not a name: {name:?}"))
    }
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or(format!("no value: {line}"))?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest).map_err(|why| format!("{why}: {line}"))?,
        None => (Labels::new(), rest),
    };
    let value = value
        .strip_prefix(' ')
        .ok_or(format!("no space before the value: {line}"))?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => number
            .parse()
            .map_err(|_| format!("not a number: {line}"))?,
        _ => return Err(format!("not a value: {line}")),
    };
    Ok((checked_name(name)?, labels, value))
}

/// Reads labels up to and with the closing brace.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("no label")?;
        let name = checked_name(name)?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("an open label value")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    _ => return Err("not an escape".to_owned()),
                }),
                (_, c) => value.push(c),
            }
        };
        if labels.insert(name, value).is_some() {
            return Err("a label comes twice".to_owned());
        }
        rest = &after[end + 1..];
        match (rest.strip_prefix(','), rest.strip_prefix('}')) {
            (Some(more), _) => rest = more,
            (None, Some(done)) => return Ok((labels, done)),
            (None, None) => return Err("no end of the labels".to_owned()),
        }
    }
}

fn check(family: &ReadFamily) -> Result<(), String> {
    let name = &family.name;
    let mut seen = BTreeSet::new();
    for (sample, labels, value) in &family.samples {
        if !seen.insert((sample.clone(), labels.clone())) {
            return Err(format!("{sample} {labels:?} comes twice"));
        }
        if family.kind == "counter" && (!name.ends_with("_total") || *value < 0.0) {
            return Err(format!("not a counter: {sample} {value}"));
        }
        if family.kind != "histogram" && sample != name {
            return Err(format!("{sample} stands under {name}"));
        }
    }
    if family.kind == "histogram" {
        check_histogram(family)
    } else {
        Ok(())
    }
}

/// Buckets in rising order, counts that never fall, `+Inf` at the end and equal to the count.
fn check_histogram(family: &ReadFamily) -> Result<(), String> {
    let name = &family.name;
    let (bucket, sum, count) = (
        format!("{name}_bucket"),
        format!("{name}_sum"),
        format!("{name}_count"),
    );
    let mut at = family.samples.iter().peekable();
    while at.peek().is_some() {
        let mut last: Option<(f64, f64)> = None;
        let mut of = None;
        while let Some((_, labels, value)) = at.next_if(|(sample, ..)| *sample == bucket) {
            let mut labels = labels.clone();
            let bound = labels.remove("le").ok_or(format!("{bucket} without le"))?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().map_err(|_| "le")?
            };
            if last.is_some_and(|(b, v)| b >= bound || v > *value) {
                return Err(format!("{bucket} does not rise at {bound}"));
            }
            if of.get_or_insert(labels.clone()) != &labels {
                return Err(format!("{bucket} has no end before {labels:?}"));
            }
            last = Some((bound, *value));
        }
        let (bound, all) = last.ok_or(format!("{name} without buckets"))?;
        let sum_at = at
            .next()
            .filter(|(sample, labels, _)| *sample == sum && Some(labels) == of.as_ref());
        let count_at = at
            .next()
            .filter(|(sample, labels, _)| *sample == count && Some(labels) == of.as_ref());
        if bound.is_finite() || sum_at.is_none() || count_at.map(|sample| sample.2) != Some(all) {
            return Err(format!("{name} {of:?} is not whole"));
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_found() {
    let good = "# HELP a b\n# TYPE a histogram\na_bucket{x=\"\\n\",le=\"1\"} 1\na_bucket{x=\"\\n\",le=\"+Inf\"} 2\na_sum{x=\"\\n\"} 2.5\na_count{x=\"\\n\"} 2\n";
    assert_eq!(read(good).map(|families| families.len()), Ok(1));
    for (from, to) in [
        ("le=\"1\"} 1", "le=\"1\"} 3"),
        ("le=\"+Inf\"", "le=\"7\""),
        ("a_count{x=\"\\n\"} 2", "a_count{x=\"\\n\"} 3"),
        ("a_sum{x=\"\\n\"} 2.5\n", ""),
        ("x=\"\\n\",le=\"1\"", "x=\"\\t\",le=\"1\""),
        ("histogram", "summary"),
        ("histogram", "counter"),
        ("# TYPE a", "# TYPE b"),
        ("} 2.5", "}2.5"),
        ("} 2.5", "} x"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(read(&bad).is_err(), "{bad}");
    }
    assert!(read(&format!("{good}{good}")).is_err());
    assert!(read("# HELP a b\n# TYPE a counter\na 1\n").is_err());
    assert!(read("# HELP a b\n# TYPE a gauge\na 1\na 1\n").is_err());
}
