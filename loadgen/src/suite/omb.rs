//! Workload files of the OpenMessaging Benchmark, as they are.

use serde_yaml_ng::{Mapping, Value};

use super::Planned;
use super::file::scale_by;
use crate::workload::{Partitioner, ReadFrom, Workload};

/// Keys in use by the distributors that have any; the benchmark's own makes as many.
const KEYS: u64 = 10_000;

/// The fields of a file that are still to be looked at.
struct Fields {
    fields: Mapping,
    notes: Vec<String>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if number >= 0.0 => Ok(Some(number)),
                _ => Err(format!("{name} is not a number from 0 up")),
            },
        }
    }

    fn count(&mut self, name: &str, absent: usize) -> Result<usize, String> {
        Ok(self.number(name)?.map_or(absent, |number| number as usize))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        value.as_str().map(str::to_owned)
    }
}

/// The line of a file whose name is `stem`.
pub(super) fn parse(text: &str, stem: &str, scale: f64) -> Result<Vec<Planned>, String> {
    let fields: Value =
        serde_yaml_ng::from_str(text).map_err(|error| format!("not YAML: {error}"))?;
    let Value::Mapping(fields) = fields else {
        return Err("not a workload: it has no fields".to_owned());
    };
    let mut fields = Fields {
        fields,
        notes: Vec::new(),
    };
    let mut workload = read(&mut fields)?;
    let name: String = stem
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    if workload.title.is_empty() {
        workload.title.clone_from(&name);
    }
    workload.name = name;
    for name in fields.fields.keys().filter_map(Value::as_str) {
        fields.notes.push(format!(
            "the file's {name} is not known here, and was not heeded"
        ));
    }
    scale_by(&mut workload, scale);
    workload.check()?;
    Ok(vec![Planned {
        workload,
        notes: fields.notes,
        ..Planned::default()
    }])
}

fn read(fields: &mut Fields) -> Result<Workload, String> {
    let topics = fields.count("topics", 1)?;
    let subscriptions = fields.count("subscriptionsPerTopic", 1)?;
    let per_subscription = fields.count("consumerPerSubscription", 1)?;
    if subscriptions > 1 {
        fields.notes.push(format!(
            "the file asks for {subscriptions} subscriptions to each topic: run with one"
        ));
    }
    let rate = fields.number("producerRate")?.unwrap_or(0.0);
    let backlog_gb = fields.number("consumerBacklogSizeGB")?.unwrap_or(0.0);
    let message = fields.count("messageSize", 1024)?;
    let mut workload = Workload {
        title: fields.text("name").unwrap_or_default(),
        topics,
        partitions: fields.count("partitionsPerTopic", 1)?,
        // Replication and acknowledgement are in the benchmark's driver files; these are their common values.
        replicas: 3,
        acks: crate::workload::Acks::All,
        record_bytes: message,
        producers: fields.count("producersPerTopic", 1)? * topics,
        consumers: per_subscription * topics * subscriptions.min(1),
        rate: (rate > 0.0).then_some(rate),
        seconds: fields.number("testDurationMinutes")?.unwrap_or(5.0) * 60.0,
        warm_up_seconds: fields.number("warmupDurationMinutes")?.unwrap_or(1.0) * 60.0,
        batch_bytes: 1024 * 1024,
        linger: std::time::Duration::from_millis(1),
        ..Workload::default()
    };
    if backlog_gb > 0.0 {
        workload.read_from = ReadFrom::Backlog;
        workload.backlog_records = (backlog_gb * 1e9 / message.max(1) as f64) as u64;
    }
    distribute(fields, &mut workload)?;
    payload(fields);
    fields.notes.push(
        "replicas, acks, batch and linger are not in such files: 3, all, 1 MiB and 1 ms unless set"
            .to_owned(),
    );
    Ok(workload)
}

fn distribute(fields: &mut Fields, workload: &mut Workload) -> Result<(), String> {
    match fields.text("keyDistributor").as_deref() {
        None | Some("NO_KEY") => {}
        Some("RANDOM_NANO") => {
            workload.keys = KEYS;
            workload.partitioner = Partitioner::Key;
        }
        Some("KEY_ROUND_ROBIN") => {
            workload.keys = KEYS;
            workload.partitioner = Partitioner::Key;
            fields.notes.push(
                "keys are drawn evenly at random, where the file has them one after the other"
                    .to_owned(),
            );
        }
        Some(other) => {
            return Err(format!(
                "keyDistributor {other} is not known: there are NO_KEY, KEY_ROUND_ROBIN, RANDOM_NANO"
            ));
        }
    }
    Ok(())
}

fn payload(fields: &mut Fields) {
    if let Some(file) = fields.text("payloadFile") {
        fields.notes.push(format!(
            "payload file {file} was not used: every record has bytes of its own, so that it can be checked"
        ));
    }
    let random = fields.take("useRandomizedPayloads");
    let ratio = fields.take("randomBytesRatio");
    fields.take("randomizedPayloadPoolSize");
    let whole = ratio.as_ref().and_then(Value::as_f64) == Some(1.0);
    if random.is_some() && ratio.is_some() && !whole {
        fields
            .notes
            .push("all bytes of payloads are random, so that they do not compress".to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::parse;
    use crate::workload::{Partitioner, ReadFrom};

    /// As it stands in the benchmark's repository.
    const FILE: &str = "name: 1 topic / 100 partitions / 1Kb\n\ntopics: 1\npartitionsPerTopic: 100\n\
        messageSize: 1024\npayloadFile: \"payload/payload-1Kb.data\"\nsubscriptionsPerTopic: 1\n\
        consumerPerSubscription: 4\nproducersPerTopic: 4\n\n# Discover max-sustainable rate\n\
        producerRate: 0\nconsumerBacklogSizeGB: 0\ntestDurationMinutes: 15\n";

    #[test]
    fn files_are_read_as_they_are() {
        let line = parse(FILE, "1-topic-100-partitions-1kb", 1.0)
            .unwrap()
            .remove(0);
        let workload = line.workload;
        assert_eq!(workload.title, "1 topic / 100 partitions / 1Kb");
        assert_eq!((workload.partitions, workload.record_bytes), (100, 1024));
        assert_eq!((workload.producers, workload.consumers), (4, 4));
        assert_eq!(workload.rate, None);
        assert_eq!(workload.seconds, 900.0);
        assert_eq!(workload.read_from, ReadFrom::Live);
        assert!(
            line.notes
                .iter()
                .any(|note| note.contains("payload-1Kb.data"))
        );
    }

    #[test]
    fn backlogs_keys_and_what_is_not_known() {
        let text = "topics: 2\nproducersPerTopic: 1\nproducerRate: 5000\nconsumerBacklogSizeGB: 1\n\
                    messageSize: 1000\nkeyDistributor: RANDOM_NANO\nsubscriptionsPerTopic: 2\nstrange: 1\n";
        let line = parse(text, "x", 1.0).unwrap().remove(0);
        assert_eq!(line.workload.read_from, ReadFrom::Backlog);
        assert_eq!(line.workload.backlog_records, 1_000_000);
        assert_eq!(line.workload.partitioner, Partitioner::Key);
        assert_eq!(line.workload.consumers, 2);
        let notes = line.notes.join("\n");
        assert!(
            notes.contains("2 subscriptions") && notes.contains("strange"),
            "{notes}"
        );
        assert!(
            parse("topics: many", "x", 1.0)
                .unwrap_err()
                .contains("topics")
        );
        assert!(
            parse("keyDistributor: X", "x", 1.0)
                .unwrap_err()
                .contains("KEY_ROUND_ROBIN")
        );
    }
}
