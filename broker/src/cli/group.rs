//! `ottla group`: groups set to other offsets and deleted. Showing them is in `group_show`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use net::client::{Client, OffsetAt, OffsetOutcome, TopicPartition};
use serde_json::json;

use super::confirm::confirmed;
use super::connect::BrokerArgs;
use super::consume::Begin;
use super::failure::Failure;
use super::group_show::{DescribeArgs, ListArgs, SHARE, ends, known, offsets};
use super::table::Table;

/// What to do with groups.
#[derive(Subcommand, Debug)]
pub(crate) enum GroupCommand {
    /// List groups
    List(ListArgs),
    /// Show the members of groups, their offsets and their lag
    Describe(DescribeArgs),
    /// Have a group without members go on from somewhere else
    #[command(after_help = "\
Examples:
  ottla group reset billing --to beginning
  ottla group reset billing --topic events --to @1735689600000   from a time, in milliseconds since 1970
  ottla group reset billing --topic events:0,3 --to 4200
  ottla group reset billing --by -100 --dry-run                  a hundred records back")]
    Reset(ResetArgs),
    /// Delete groups without members, or their offsets of some topics
    Delete(DeleteArgs),
}

impl GroupCommand {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(args) => args.run(),
            Self::Describe(args) => args.run(),
            Self::Reset(args) => args.run(),
            Self::Delete(args) => args.run(),
        }
    }
}

/// A topic, or some of its partitions: `TOPIC` or `TOPIC:0,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    topic: String,
    /// All, if none are named.
    partitions: Vec<i32>,
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, numbers) = text.split_once(':').unwrap_or((text, ""));
        let wrong = |_| format!("{numbers:?} are no numbers of partitions");
        let partitions: Result<Vec<i32>, _> = match numbers {
            "" => Ok(Vec::new()),
            numbers => numbers.split(',').map(str::parse).collect(),
        };
        Ok(Self {
            topic: topic.to_owned(),
            partitions: partitions.map_err(wrong)?,
        })
    }
}

/// The partitions that are meant.
fn partitions(client: &mut Client, parts: &[Part]) -> Result<Vec<TopicPartition>, Failure> {
    let names: Vec<&str> = parts.iter().map(|part| part.topic.as_str()).collect();
    let cluster = client.metadata(&names, false)?;
    let mut partitions = BTreeSet::new();
    for part in parts {
        let name = &part.topic;
        let Some(topic) = cluster.topics.get(name) else {
            return Err(Failure::failed(format!("topic {name}: not told of")));
        };
        if let Some(error) = topic.error {
            return Err(Failure::failed(format!("topic {name}: {error}")));
        }
        let numbers: Vec<i32> = topic.partitions.iter().map(|row| row.partition).collect();
        if let Some(missing) = part.partitions.iter().find(|one| !numbers.contains(one)) {
            return Err(Failure::failed(format!(
                "topic {name} has {} partitions, numbered from 0; there is no partition {missing}",
                numbers.len()
            )));
        }
        let meant = if part.partitions.is_empty() {
            &numbers
        } else {
            &part.partitions
        };
        partitions.extend(
            meant
                .iter()
                .map(|number| TopicPartition::new(name, *number)),
        );
    }
    Ok(partitions.into_iter().collect())
}

/// Sets a group's offsets.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("where").required(true).args(["to", "by"])))]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Its id
    group: String,
    /// Only this topic, or some of its partitions; may be repeated [default: where it has offsets]
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:N,...]")]
    topics: Vec<Part>,
    /// Where to go on: beginning, end, an offset, -N before the end, or @MILLISECONDS since 1970
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Option<Begin>,
    /// How many records to go forward, or back
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    by: Option<i64>,
    /// Only show what would be set
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a partition
    #[arg(long)]
    json: bool,
    /// Don't ask on a terminal
    #[arg(short, long)]
    yes: bool,
}

/// A partition's offset before and after.
struct Move {
    at: TopicPartition,
    from: Option<i64>,
    to: i64,
}

impl ResetArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        let group = client.group(&self.group)?;
        let committed = match &group {
            Some(group) => offsets(&mut client, group)?,
            None => client.committed(&self.group)?,
        };
        let committed: BTreeMap<TopicPartition, i64> = committed
            .into_iter()
            .map(|one| (one.at, one.offset))
            .collect();
        if let Some(group) = &group
            && !group.members.is_empty()
        {
            return Err(Failure::failed(format!(
                "group {} has {} members; stop them first",
                self.group,
                group.members.len()
            )));
        }
        let meant = if self.topics.is_empty() {
            committed.keys().cloned().collect()
        } else {
            partitions(&mut client, &self.topics)?
        };
        if meant.is_empty() {
            return Err(Failure::failed(format!(
                "group {} has no offsets; say where with --topic",
                self.group
            )));
        }
        let moves = self.moves(&mut client, &meant, &committed)?;
        let question = format!("Set {} offsets of group {}?", moves.len(), self.group);
        if !self.dry_run && !self.yes && !confirmed(&question)? {
            return Err(Failure::failed("nothing was set"));
        }
        if !self.dry_run {
            let offsets: Vec<_> = moves.iter().map(|one| (one.at.clone(), one.to)).collect();
            let is_share = group.is_some_and(|group| group.kind == SHARE);
            told(match is_share {
                true => client.alter_share_offsets(&self.group, &offsets)?,
                false => client.commit(&self.group, &offsets)?,
            })?;
        }
        self.show(&moves)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Where each partition is to go on, which is always somewhere in its log.
    fn moves(
        &self,
        client: &mut Client,
        meant: &[TopicPartition],
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Vec<Move>, Failure> {
        let first = ends(client, meant, OffsetAt::Earliest)?;
        let end = ends(client, meant, OffsetAt::Latest)?;
        let later = match self.to {
            Some(Begin::Time(time)) => ends(client, meant, OffsetAt::Time(time))?,
            _ => BTreeMap::new(),
        };
        let mut moves = Vec::with_capacity(meant.len());
        for at in meant {
            let (Some(&first), Some(&end)) = (first.get(at), end.get(at)) else {
                return Err(Failure::failed(format!("{at}: its leader doesn't answer")));
            };
            let from = committed.get(at).copied();
            let wanted = match (self.to, self.by) {
                (Some(Begin::Beginning), _) => first,
                (Some(Begin::Offset(offset)), _) => offset,
                (Some(Begin::Last(count)), _) => end.saturating_sub(count),
                // No record as late as that: what comes will be.
                (Some(Begin::Time(_)), _) => later.get(at).copied().unwrap_or(end),
                (None, Some(by)) => match from {
                    Some(from) => from.saturating_add(by),
                    None => {
                        return Err(Failure::failed(format!(
                            "{at}: the group has no offset there to count from"
                        )));
                    }
                },
                (Some(Begin::End), _) | (None, None) => end,
            };
            moves.push(Move {
                at: at.clone(),
                from,
                to: wanted.clamp(first, end),
            });
        }
        Ok(moves)
    }

    fn show(&self, moves: &[Move]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut table = Table::new(&["TOPIC", "PARTITION", "BEFORE", "NOW"]);
        for one in moves {
            let TopicPartition { topic, partition } = &one.at;
            if self.json {
                let line = json!({"topic": topic, "partition": partition, "before": one.from, "now": one.to});
                writeln!(out, "{line}")?;
            } else {
                let before = one
                    .from
                    .map_or_else(|| "-".to_owned(), |from| from.to_string());
                let cells = [topic.clone(), partition.to_string(), before];
                table.row(cells.into_iter().chain([one.to.to_string()]).collect());
            }
        }
        if !self.json {
            table.print(&mut out)?;
        }
        Ok(())
    }
}

/// Fails if one of the outcomes is a refusal.
fn told(outcomes: Vec<OffsetOutcome>) -> Result<(), Failure> {
    let refused = outcomes.into_iter().filter_map(|(at, outcome)| {
        let refusal = outcome.err()?;
        Some(format!("{at}: {refusal}"))
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(refused.join("; ")))
    }
}

/// Deletes groups.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Their ids
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Only their offsets of this topic, or of some of its partitions; may be repeated
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:N,...]")]
    topics: Vec<Part>,
    /// Don't ask on a terminal
    #[arg(short, long)]
    yes: bool,
}

impl DeleteArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let names = self.groups.join(", ");
        let question = if self.topics.is_empty() {
            format!("Delete {names} and all their offsets?")
        } else {
            format!("Delete these offsets of {names}?")
        };
        if !self.yes && !confirmed(&question)? {
            return Err(Failure::failed("nothing was deleted"));
        }
        let mut client = self.brokers.connect()?;
        let mut out = io::stdout().lock();
        let mut trouble = Vec::new();
        for group in &self.groups {
            match self.delete(&mut client, group) {
                Ok(done) => writeln!(out, "{group}: {done}")?,
                Err(Failure::Told { text, .. }) => trouble.push(text),
                Err(nobody) => return Err(nobody),
            }
        }
        if trouble.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::failed(trouble.join("; ")))
        }
    }

    fn delete(&self, client: &mut Client, group: &str) -> Result<String, Failure> {
        if self.topics.is_empty() {
            client.delete_group(group)?;
            return Ok("deleted".to_owned());
        }
        if known(client, group)?.kind == SHARE {
            return self.delete_share(client, group);
        }
        let meant = partitions(client, &self.topics)?;
        told(client.delete_offsets(group, &meant)?)?;
        Ok(format!("offsets of {} partitions deleted", meant.len()))
    }

    fn delete_share(&self, client: &mut Client, group: &str) -> Result<String, Failure> {
        if let Some(part) = self.topics.iter().find(|part| !part.partitions.is_empty()) {
            return Err(Failure::failed(format!(
                "group {group} is a share group, whose offsets of a topic are only deleted together; \
                 say --topic {}",
                part.topic
            )));
        }
        let topics: Vec<&str> = self.topics.iter().map(|part| part.topic.as_str()).collect();
        let outcomes = client.delete_share_offsets(group, &topics)?;
        let refused = outcomes.into_iter().filter_map(|(topic, outcome)| {
            let refusal = outcome.err()?;
            Some(format!("group {group}: {topic}: {refusal}"))
        });
        let refused: Vec<String> = refused.collect();
        match refused.is_empty() {
            true => Ok(format!("offsets of {} topics deleted", topics.len())),
            false => Err(Failure::failed(refused.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_topics_are_named() {
        let part = |text: &str| text.parse::<Part>();
        let all = Part {
            topic: "t".to_owned(),
            partitions: Vec::new(),
        };
        assert_eq!(part("t"), Ok(all));
        let some = Part {
            topic: "t.x".to_owned(),
            partitions: vec![0, 12],
        };
        assert_eq!(part("t.x:0,12"), Ok(some));
        assert!(part("t:a").is_err());
    }
}
