//! `ottla group list` and `ottla group describe`: which groups there are, who is in them, how far they are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use net::client::{Client, CommittedOffset, Group, GroupMember, OffsetAt, TopicPartition};
use serde_json::{Value, json};

use super::connect::BrokerArgs;
use super::failure::Failure;
use super::table::Table;

/// The type of groups that share partitions.
pub(super) const SHARE: &str = "share";

/// Lists groups.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Only those in this state, such as Stable or Empty; may be repeated
    #[arg(short, long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Print one JSON object a group
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let groups = self.brokers.connect()?.groups(&self.states)?;
        let mut out = io::stdout().lock();
        let mut table = Table::new(&["GROUP", "TYPE", "STATE", "PROTOCOL"]);
        for group in groups {
            if self.json {
                let line = json!({
                    "group": group.id, "type": group.kind, "state": group.state,
                    "protocol": group.protocol,
                });
                writeln!(out, "{line}")?;
            } else {
                let cells = [group.id, group.kind, group.state, group.protocol];
                table.row(cells.into_iter().map(or_dash).collect());
            }
        }
        if !self.json {
            table.print(&mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Describes groups.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Their ids
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Print one JSON object a group
    #[arg(long)]
    json: bool,
}

impl DescribeArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        let mut out = io::stdout().lock();
        for (at, id) in self.groups.iter().enumerate() {
            let description = describe(&mut client, id)?;
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

/// A group that has to be there.
pub(super) fn known(client: &mut Client, id: &str) -> Result<Group, Failure> {
    client.group(id)?.ok_or_else(|| {
        Failure::failed(format!(
            "group {id}: there is none; `ottla group list` shows what is there"
        ))
    })
}

/// The ends of partitions, where their leaders say.
pub(super) fn ends(
    client: &mut Client,
    partitions: &[TopicPartition],
    point: OffsetAt,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let points: Vec<_> = partitions.iter().map(|at| (at.clone(), point)).collect();
    let listed = client.list_offsets(&points)?.into_iter();
    let found = listed.filter_map(|one| Some((one.at, one.result.ok()??.0)));
    Ok(found.collect())
}

/// Where a group is: a share group, where it begins.
pub(super) fn offsets(client: &mut Client, group: &Group) -> Result<Vec<CommittedOffset>, Failure> {
    Ok(match group.kind {
        SHARE => client.share_offsets(&group.id)?,
        _ => client.committed(&group.id)?,
    })
}

/// A group with all that is shown of it.
struct Description {
    group: Group,
    offsets: Vec<CommittedOffset>,
    ends: BTreeMap<TopicPartition, i64>,
}

fn describe(client: &mut Client, id: &str) -> Result<Description, Failure> {
    let group = known(client, id)?;
    let offsets = offsets(client, &group)?;
    let mut partitions: Vec<TopicPartition> = offsets.iter().map(|one| one.at.clone()).collect();
    let assigned = group.members.iter().flat_map(|member| &member.partitions);
    partitions.extend(assigned.cloned());
    partitions.sort();
    partitions.dedup();
    // What was deleted has no leader, and no end.
    let names: Vec<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    let cluster = client.metadata(&names, false)?;
    partitions.retain(|at| {
        let topic = cluster.topics.get(&at.topic);
        let rows = topic.map_or(&[][..], |topic| &topic.partitions);
        rows.iter()
            .any(|row| row.partition == at.partition && row.leader.is_some())
    });
    let ends = ends(client, &partitions, OffsetAt::Latest)?;
    Ok(Description {
        group,
        offsets,
        ends,
    })
}

/// A partition of a group: how far it is, and who reads it.
struct Row<'a> {
    at: &'a TopicPartition,
    committed: Option<i64>,
    end: Option<i64>,
    member: Option<&'a GroupMember>,
}

impl Row<'_> {
    /// How many records there are still to read.
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

impl Description {
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: BTreeMap<&TopicPartition, Row<'_>> = BTreeMap::new();
        let row = |at| Row {
            at,
            committed: None,
            end: self.ends.get(at).copied(),
            member: None,
        };
        for one in &self.offsets {
            rows.entry(&one.at)
                .or_insert_with(|| row(&one.at))
                .committed = Some(one.offset);
        }
        for member in &self.group.members {
            for at in &member.partitions {
                rows.entry(at).or_insert_with(|| row(at)).member = Some(member);
            }
        }
        rows.into_values().collect()
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let group = &self.group;
        let assignor = match group.assignor.as_str() {
            "" => String::new(),
            assignor => format!(", {assignor}"),
        };
        writeln!(
            out,
            "{}  {}, {}{assignor}, coordinated by node {}",
            group.id, group.kind, group.state, group.coordinator
        )?;
        if !group.members.is_empty() {
            let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
            for member in &group.members {
                let instance = member.instance.clone().unwrap_or_default();
                table.row(vec![
                    member.id.clone(),
                    or_dash(instance),
                    or_dash(member.client_id.clone()),
                    or_dash(member.host.clone()),
                    member.partitions.len().to_string(),
                ]);
            }
            table.print(out)?;
        }
        let rows = self.rows();
        if rows.is_empty() {
            return writeln!(out, "no offsets");
        }
        let heading = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
        let mut table = Table::new(&heading);
        let number = |number: Option<i64>| number.map_or_else(String::new, |one| one.to_string());
        for row in rows {
            table.row(vec![
                row.at.topic.clone(),
                row.at.partition.to_string(),
                or_dash(number(row.committed)),
                or_dash(number(row.end)),
                or_dash(number(row.lag())),
                or_dash(row.member.map_or_else(String::new, |one| one.id.clone())),
            ]);
        }
        table.print(out)
    }

    fn json(&self) -> Value {
        let group = &self.group;
        let members = group.members.iter().map(|member| {
            json!({
                "member": member.id, "instance": member.instance, "client": member.client_id,
                "host": member.host,
            })
        });
        let partitions = self.rows().into_iter().map(|row| {
            json!({
                "topic": row.at.topic, "partition": row.at.partition,
                "committed": row.committed, "end": row.end, "lag": row.lag(),
                "member": row.member.map(|member| &member.id),
            })
        });
        json!({
            "group": group.id, "type": group.kind, "state": group.state,
            "assignor": group.assignor, "coordinator": group.coordinator,
            "members": members.collect::<Vec<_>>(),
            "partitions": partitions.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_described_with_its_lag() {
        let at = |partition| TopicPartition::new("t", partition);
        let committed = |partition, offset| CommittedOffset {
            at: at(partition),
            offset,
            metadata: String::new(),
        };
        let member = GroupMember {
            id: "m-1".to_owned(),
            instance: None,
            client_id: "app".to_owned(),
            host: "/10.0.0.1".to_owned(),
            partitions: vec![at(0), at(2)],
        };
        let description = Description {
            group: Group {
                id: "g".to_owned(),
                kind: "classic",
                state: "Stable".to_owned(),
                assignor: "range".to_owned(),
                coordinator: 3,
                members: vec![member],
            },
            offsets: vec![committed(0, 5), committed(1, 9), committed(7, 4)],
            ends: BTreeMap::from([(at(0), 12), (at(1), 8), (at(2), 3)]),
        };
        let mut out = Vec::new();
        description.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "g  classic, Stable, range, coordinated by node 3");
        let cells = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>();
        assert_eq!(cells(2), ["m-1", "-", "app", "/10.0.0.1", "2"]);
        assert_eq!(cells(4), ["t", "0", "5", "12", "7", "m-1"]);
        assert_eq!(cells(5), ["t", "1", "9", "8", "0", "-"], "never below 0");
        assert_eq!(cells(6), ["t", "2", "-", "3", "-", "m-1"]);
        assert_eq!(cells(7), ["t", "7", "4", "-", "-", "-"], "deleted");
        let json = description.json();
        assert_eq!(json["partitions"][0]["lag"], 7);
        assert_eq!(json["partitions"][2]["committed"], Value::Null);
        assert_eq!(json["members"][0]["member"], "m-1");
    }
}
