//! Setting fields of a workload by name.

use thiserror::Error;
use toml::{Table, Value};

use super::nearest;
use crate::workload::Workload;

/// Fields that a workload may lack.
const OPTIONAL: [&str; 2] = ["rate", "records"];

/// Why a field can't be set so.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// No field has that name.
    #[error("a workload has no field {name}{nearest}: there are {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// A known name that is like it, in words.
        nearest: String,
        /// All fields.
        known: String,
    },
    /// The value is of the wrong kind.
    #[error("{0}")]
    Value(String),
    /// Not NAME=VALUE.
    #[error("{0:?} is not FIELD=VALUE")]
    Form(String),
}

fn table(workload: &Workload) -> Result<Table, FieldError> {
    Table::try_from(workload).map_err(|error| FieldError::Value(error.to_string()))
}

/// The workload with these fields instead of its own.
pub(super) fn overlay(workload: &Workload, fields: Table) -> Result<Workload, FieldError> {
    let mut all = table(workload)?;
    for (name, mut value) in fields {
        if !all.contains_key(&name) && !OPTIONAL.contains(&name.as_str()) {
            let mut known: Vec<&str> = all.keys().map(String::as_str).chain(OPTIONAL).collect();
            known.sort_unstable();
            known.dedup();
            return Err(FieldError::Unknown {
                nearest: nearest(&name, known.iter().copied()),
                known: known.join(", "),
                name,
            });
        }
        if matches!(
            name.as_str(),
            "rate" | "seconds" | "warm_up_seconds" | "linger"
        ) && let Value::Integer(whole) = value
        {
            value = Value::Float(whole as f64);
        }
        // A rate of nothing is as fast as they can.
        if name == "rate" && value == Value::Float(0.0) {
            all.remove("rate");
            continue;
        }
        if name == "topic_settings" {
            value = settings(value);
        }
        all.insert(name, value);
    }
    all.try_into()
        .map_err(|error: toml::de::Error| FieldError::Value(error.message().to_owned()))
}

/// Settings are text, however they are written: `retention.ms = 1000`, dots or not.
fn settings(value: Value) -> Value {
    fn put(into: &mut Table, prefix: &str, value: Value) {
        match value {
            Value::Table(inner) => {
                for (name, value) in inner {
                    let name = if prefix.is_empty() {
                        name
                    } else {
                        format!("{prefix}.{name}")
                    };
                    put(into, &name, value);
                }
            }
            Value::String(text) => {
                into.insert(prefix.to_owned(), Value::String(text));
            }
            other => {
                into.insert(prefix.to_owned(), Value::String(other.to_string()));
            }
        }
    }
    let mut flat = Table::new();
    put(&mut flat, "", value);
    Value::Table(flat)
}

/// Sets a field, as `--set` has it: `partitions=12`, `topic_settings.retention.ms=1000`.
pub fn set(workload: &Workload, field_is_value: &str) -> Result<Workload, FieldError> {
    let Some((name, text)) = field_is_value.split_once('=') else {
        return Err(FieldError::Form(field_is_value.to_owned()));
    };
    let (name, text) = (name.trim(), text.trim());
    if let Some(setting) = name.strip_prefix("topic_settings.") {
        let mut workload = workload.clone();
        workload
            .topic_settings
            .insert(setting.to_owned(), text.to_owned());
        return Ok(workload);
    }
    // What is no number, list or truth value is text.
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    overlay(workload, Table::from_iter([(name.to_owned(), value)])).map_err(|error| match error {
        FieldError::Value(why) => FieldError::Value(format!("{name}={text}: {why}")),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use super::set;
    use crate::workload::{Acks, Workload};

    #[test]
    fn fields_are_set_by_name() {
        let mut workload = Workload::default();
        for field in [
            "partitions=12",
            "rate=1000",
            "linger=0.5",
            "acks=all",
            "topic_settings.retention.ms=77",
            "title=two words",
        ] {
            workload = set(&workload, field).unwrap();
        }
        assert_eq!(workload.partitions, 12);
        assert_eq!(workload.rate, Some(1000.0));
        assert_eq!(workload.linger, Duration::from_micros(500));
        assert_eq!(workload.acks, Acks::All);
        assert_eq!(workload.topic_settings["retention.ms"], "77");
        assert_eq!(workload.title, "two words");
        assert_eq!(set(&workload, "rate=0").unwrap().rate, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |field| set(&Workload::default(), field).unwrap_err().to_string();
        assert!(said("partition=1").contains("perhaps partitions"));
        assert!(said("partitions=many").contains("partitions=many"));
        assert!(said("partitions").contains("FIELD=VALUE"));
        assert!(said("acks=two").contains("acks=two"));
    }
}
