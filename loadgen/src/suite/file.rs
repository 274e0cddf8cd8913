//! Workload files of our own: TOML, the fields of a workload at the top, and if there are several lines,
//! what differs in each under `[[lines]]`.

use toml::{Table, Value};

use super::Planned;
use super::fields::overlay;
use crate::workload::Workload;

/// The lines of a file whose name is `stem`.
pub(super) fn parse(text: &str, stem: &str, scale: f64) -> Result<Vec<Planned>, String> {
    let mut top: Table = text.parse().map_err(|error| format!("not TOML: {error}"))?;
    let lines = match top.remove("lines") {
        None => vec![Table::new()],
        Some(Value::Array(lines)) => lines
            .into_iter()
            .map(|line| match line {
                Value::Table(line) => Ok(line),
                _ => Err("lines is not a list of tables: write [[lines]]".to_owned()),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("lines is not a list of tables: write [[lines]]".to_owned()),
    };
    let named = Workload {
        name: stem.to_owned(),
        ..Workload::default()
    };
    let base = overlay(&named, top).map_err(|error| error.to_string())?;
    let mut planned: Vec<Planned> = Vec::new();
    let several = lines.len() > 1;
    for (number, line) in lines.into_iter().enumerate() {
        let has_name = line.contains_key("name");
        let mut workload =
            overlay(&base, line).map_err(|error| format!("line {}: {error}", number + 1))?;
        if several && !has_name {
            workload.name = format!("{}-{}", workload.name, number + 1);
        }
        if planned
            .iter()
            .any(|other| other.workload.name == workload.name)
        {
            return Err(format!("two lines have the name {}", workload.name));
        }
        if workload.title.is_empty() {
            workload.title.clone_from(&workload.name);
        }
        scale_by(&mut workload, scale);
        workload.check()?;
        planned.push(Planned {
            workload,
            ..Planned::default()
        });
    }
    Ok(planned)
}

/// Makes a workload longer or shorter.
pub(super) fn scale_by(workload: &mut Workload, scale: f64) {
    let count = |records: u64| ((records as f64 * scale) as u64).max(1);
    workload.records = workload.records.map(count);
    if workload.backlog_records > 0 {
        workload.backlog_records = count(workload.backlog_records);
    }
    workload.seconds *= scale;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::parse;
    use crate::workload::Acks;

    #[test]
    fn lines_say_what_differs() {
        let text = "partitions = 3\nproducers = 2\n[topic_settings]\nretention.ms = 5\n\
                    [[lines]]\nname = \"a\"\n[[lines]]\nacks = \"all\"\nrecords = 100\n";
        let lines = parse(text, "mine", 0.5).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].workload.name, "a");
        assert_eq!(lines[0].workload.topic_settings["retention.ms"], "5");
        assert_eq!(lines[0].workload.seconds, 15.0);
        assert_eq!(lines[1].workload.name, "mine-2");
        assert_eq!(lines[1].workload.acks, Acks::All);
        assert_eq!(lines[1].workload.records, Some(50));
        assert_eq!(lines[1].workload.partitions, 3);
    }

    #[test]
    fn systems_can_have_rates_of_their_own() {
        let lines = parse("rates = { fast = 900, slow = 0.5 }", "mine", 1.0).unwrap();
        let workload = &lines[0].workload;
        assert_eq!(workload.at_rate_of("fast").rate, Some(900.0));
        assert_eq!(workload.at_rate_of("slow").rate, Some(0.5));
        assert!(workload.has_rate_for("slow") && !workload.has_rate_for("other"));
        let lines = parse("rate = 7\nrates = { fast = 900 }", "mine", 1.0).unwrap();
        assert_eq!(lines[0].workload.at_rate_of("other").rate, Some(7.0));
        assert!(lines[0].workload.has_rate_for("other"));
        let wrong = parse("rates = { fast = -1 }", "mine", 1.0).unwrap_err();
        assert!(wrong.contains("above 0"), "{wrong}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text| parse(text, "mine", 1.0).unwrap_err();
        assert!(said("partitons = 3").contains("perhaps partitions"));
        assert!(said("partitions = 0").contains("1 at least"));
        assert!(said("[[lines]]\nrecordbytes = 3").contains("line 1"));
        assert!(said("[[lines]]\nrecordbytes = 3").contains("perhaps record_bytes"));
        assert!(said("lines = 3").contains("[[lines]]"));
        assert!(said("what").contains("TOML"));
    }
}
