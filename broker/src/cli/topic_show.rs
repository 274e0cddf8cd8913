//! `ottla topic list` and `ottla topic describe`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use net::client::{
    Client, ConfigEntry, ConfigSource, OffsetAt, Resource, TopicInfo, TopicPartition,
};
use serde_json::{Value, json};

use super::connect::BrokerArgs;
use super::failure::Failure;
use super::table::Table;

/// Lists topics.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Also the cluster's own topics
    #[arg(long)]
    internal: bool,
    /// Print one JSON object a topic
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let cluster = self.brokers.connect()?.all_topics()?;
        let topics = cluster
            .topics
            .values()
            .filter(|topic| self.internal || !topic.internal);
        let mut out = io::stdout().lock();
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
        for topic in topics {
            let replicas = topic
                .partitions
                .first()
                .map_or(0, |first| first.replicas.len());
            if self.json {
                let (name, id, partitions) =
                    (&topic.name, topic.id.to_string(), topic.partitions.len());
                let line = json!({
                    "topic": name, "id": id, "partitions": partitions, "replicas": replicas,
                    "internal": topic.internal,
                });
                writeln!(out, "{line}")?;
            } else {
                let id = if topic.id.is_nil() {
                    "-".to_owned()
                } else {
                    topic.id.to_string()
                };
                let (partitions, replicas) =
                    (topic.partitions.len().to_string(), replicas.to_string());
                table.row(vec![topic.name.clone(), partitions, replicas, id]);
            }
        }
        if !self.json {
            table.print(&mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Describes topics.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Show every setting with its source, not only those set on the topic
    #[arg(short, long)]
    all: bool,
    /// Print one JSON object a topic
    #[arg(long)]
    json: bool,
}

/// A topic with all that is shown of it.
struct Description {
    info: TopicInfo,
    /// First offset and end of each partition, where its leader says.
    offsets: BTreeMap<i32, (Option<i64>, Option<i64>)>,
    settings: Vec<ConfigEntry>,
}

impl DescribeArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let mut cluster = client.metadata(&names, false)?;
        let mut out = io::stdout().lock();
        for (at, name) in names.iter().enumerate() {
            let info = cluster
                .topics
                .remove(*name)
                .ok_or_else(|| Failure::failed(format!("topic {name}: named twice")))?;
            if let Some(error) = info.error {
                return Err(Failure::failed(format!(
                    "topic {name}: {error}; `ottla topic list` shows what is there"
                )));
            }
            let description = describe(&mut client, info, self.all)?;
            if self.json {
                writeln!(out, "{}", description.json())?;
            } else {
                if at > 0 {
                    writeln!(out)?;
                }
                description.print(&mut out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(client: &mut Client, info: TopicInfo, all: bool) -> Result<Description, Failure> {
    let led = info
        .partitions
        .iter()
        .filter(|partition| partition.leader.is_some());
    let led: Vec<TopicPartition> = led
        .map(|p| TopicPartition::new(&info.name, p.partition))
        .collect();
    let mut offsets: BTreeMap<i32, (Option<i64>, Option<i64>)> = BTreeMap::new();
    for point in [OffsetAt::Earliest, OffsetAt::Latest] {
        let points: Vec<_> = led.iter().map(|at| (at.clone(), point)).collect();
        for listed in client.list_offsets(&points)? {
            let offset = listed.result.ok().flatten().map(|(offset, _)| offset);
            let entry = offsets.entry(listed.at.partition).or_default();
            if point == OffsetAt::Earliest {
                entry.0 = offset;
            } else {
                entry.1 = offset;
            }
        }
    }
    let mut settings = client.describe_configs(&Resource::Topic(info.name.clone()), None)?;
    settings.retain(|setting| all || setting.source == ConfigSource::Topic);
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Description {
        info,
        offsets,
        settings,
    })
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker, while running",
        ConfigSource::AllBrokers => "all brokers, while running",
        ConfigSource::Start => "broker, at start",
        ConfigSource::Default => "default",
        _ => "unknown",
    }
}

fn nodes(ids: &[i32]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    ids.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn or_dash(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl Description {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let info = &self.info;
        write!(out, "{}", info.name)?;
        if !info.id.is_nil() {
            write!(out, "  id {}", info.id)?;
        }
        writeln!(out, "{}", if info.internal { "  internal" } else { "" })?;
        let mut table = Table::new(&[
            "PARTITION",
            "LEADER",
            "EPOCH",
            "REPLICAS",
            "IN SYNC",
            "OFFLINE",
            "FIRST",
            "END",
        ]);
        for partition in &info.partitions {
            let (first, end) = self
                .offsets
                .get(&partition.partition)
                .copied()
                .unwrap_or_default();
            table.row(vec![
                partition.partition.to_string(),
                partition
                    .leader
                    .map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                partition.leader_epoch.to_string(),
                nodes(&partition.replicas),
                nodes(&partition.in_sync),
                nodes(&partition.offline),
                or_dash(first),
                or_dash(end),
            ]);
        }
        table.print(out)?;
        if self.settings.is_empty() {
            return writeln!(
                out,
                "no settings of its own (--all shows those it inherits)"
            );
        }
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for setting in &self.settings {
            let value = setting.value.clone().unwrap_or_else(|| "-".to_owned());
            table.row(vec![
                setting.name.clone(),
                value,
                source_name(setting.source).to_owned(),
            ]);
        }
        table.print(out)
    }

    fn json(&self) -> Value {
        let info = &self.info;
        let partitions = info.partitions.iter().map(|partition| {
            let (first, end) = self
                .offsets
                .get(&partition.partition)
                .copied()
                .unwrap_or_default();
            json!({
                "partition": partition.partition,
                "leader": partition.leader,
                "leader_epoch": partition.leader_epoch,
                "replicas": partition.replicas,
                "in_sync": partition.in_sync,
                "offline": partition.offline,
                "first_offset": first,
                "end_offset": end,
            })
        });
        let settings = self.settings.iter().map(|setting| {
            json!({"name": setting.name, "value": setting.value, "from": source_name(setting.source)})
        });
        json!({
            "topic": info.name,
            "id": info.id.to_string(),
            "internal": info.internal,
            "partitions": partitions.collect::<Vec<_>>(),
            "settings": settings.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::client::PartitionInfo;

    #[test]
    fn a_topic_is_described_for_people_and_programs() {
        let partition = |partition, leader| PartitionInfo {
            partition,
            leader,
            leader_epoch: 3,
            replicas: vec![1, 2],
            in_sync: vec![1],
            offline: vec![2],
            error: None,
        };
        let info = TopicInfo {
            name: "t".to_owned(),
            id: uuid::Uuid::from_u128(1),
            internal: false,
            partitions: vec![partition(0, Some(1)), partition(1, None)],
            error: None,
        };
        let offsets = BTreeMap::from([(0, (Some(5), Some(12)))]);
        let description = Description {
            info,
            offsets,
            settings: Vec::new(),
        };
        let mut out = Vec::new();
        description.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "t  id 00000000-0000-0000-0000-000000000001");
        assert!(
            lines[2].starts_with("        0  1 ") && lines[2].ends_with("5   12"),
            "{text}"
        );
        assert!(
            lines[3].contains("none") && lines[3].ends_with('-'),
            "{text}"
        );
        let json = description.json();
        assert_eq!(json["partitions"][0]["end_offset"], 12);
        assert_eq!(json["partitions"][1]["leader"], Value::Null);
    }
}
