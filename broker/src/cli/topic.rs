//! `ottla topic`: topics made, changed and removed. Showing them is in `topic_show`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use net::client::{ConfigChange, NewTopic, Outcome, Resource};
use serde_json::json;

use super::confirm::confirmed;
use super::connect::BrokerArgs;
use super::failure::Failure;
use super::serve::name_and_value;
use super::topic_show::{DescribeArgs, ListArgs};

const TOPIC_ALREADY_EXISTS: i16 = 36;
const UNKNOWN_TOPIC: i16 = 3;

/// What to do with topics.
#[derive(Subcommand, Debug)]
pub(crate) enum TopicCommand {
    /// Create topics
    #[command(after_help = "\
Examples:
  ottla topic create events
  ottla topic create events audit --partitions 6 --set retention.ms=86400000
  ottla topic create state --set cleanup.policy=compact --if-not-exists")]
    Create(CreateArgs),
    /// List topics
    List(ListArgs),
    /// Show partitions and settings of topics
    Describe(DescribeArgs),
    /// Change settings of a topic, or add partitions
    #[command(after_help = "\
Examples:
  ottla topic alter events --set retention.ms=3600000 --unset segment.ms
  ottla topic alter events --append cleanup.policy=compact
  ottla topic alter events --partitions 12")]
    Alter(AlterArgs),
    /// Delete topics and all their records
    Delete(DeleteArgs),
}

impl TopicCommand {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(args) => args.run(),
            Self::List(args) => args.run(),
            Self::Describe(args) => args.run(),
            Self::Alter(args) => args.run(),
            Self::Delete(args) => args.run(),
        }
    }
}

/// Creates topics.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partitions of each [default: num.partitions of the broker]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition [default: default.replication.factor of the broker]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replicas: Option<i16>,
    /// A setting; may be repeated
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    sets: Vec<(String, String)>,
    /// Leave a topic alone that is there already
    #[arg(long)]
    if_not_exists: bool,
    /// Only say whether it could be done
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a topic
    #[arg(long)]
    json: bool,
}

impl CreateArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let new = self.topics.iter().map(|name| NewTopic {
            name: name.clone(),
            partitions: self.partitions,
            replication: self.replicas,
            configs: self.sets.clone(),
        });
        let new: Vec<NewTopic> = new.collect();
        let outcomes = self.brokers.connect()?.create_topics(&new, self.dry_run)?;
        let mut out = io::stdout().lock();
        let mut trouble = Trouble::default();
        let done = if self.dry_run {
            "can be created"
        } else {
            "created"
        };
        for Outcome { topic, result } in outcomes {
            let there =
                matches!(&result, Err(refusal) if refusal.error.code() == TOPIC_ALREADY_EXISTS);
            match result {
                Ok(made) if self.json => {
                    let id = made.id.to_string();
                    let (partitions, replicas) = (made.partitions, made.replication);
                    let line = json!({"topic": topic, "id": id, "partitions": partitions, "replicas": replicas});
                    writeln!(out, "{line}")?;
                }
                Ok(made) if made.partitions > 0 => {
                    writeln!(
                        out,
                        "{topic}: {done}, {} partitions, {} replicas",
                        made.partitions, made.replication
                    )?;
                }
                Ok(_) => writeln!(out, "{topic}: {done}")?,
                Err(_) if there && self.if_not_exists => {
                    writeln!(out, "{topic}: is there already")?;
                }
                Err(refusal) => trouble.add(&topic, &refusal),
            }
        }
        trouble.end()
    }
}

/// Changes a topic.
#[derive(Args, Debug)]
pub(crate) struct AlterArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Its name
    topic: String,
    /// Raise the number of partitions to this
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Set a setting; may be repeated
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    sets: Vec<(String, String)>,
    /// Take a setting back to the broker's default; may be repeated
    #[arg(short, long = "unset", value_name = "NAME")]
    unsets: Vec<String>,
    /// Add to a setting that is a list; may be repeated
    #[arg(long = "append", value_name = "NAME=VALUE", value_parser = name_and_value)]
    appends: Vec<(String, String)>,
    /// Take out of a setting that is a list; may be repeated
    #[arg(long = "subtract", value_name = "NAME=VALUE", value_parser = name_and_value)]
    subtracts: Vec<(String, String)>,
    /// Only say whether it could be done
    #[arg(long)]
    dry_run: bool,
}

impl AlterArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let sets = self
            .sets
            .into_iter()
            .map(|(name, value)| ConfigChange::Set(name, value));
        let unsets = self.unsets.into_iter().map(ConfigChange::Reset);
        let appends = self
            .appends
            .into_iter()
            .map(|(name, value)| ConfigChange::Append(name, value));
        let subtracts = self
            .subtracts
            .into_iter()
            .map(|(name, value)| ConfigChange::Subtract(name, value));
        let changes: Vec<ConfigChange> =
            sets.chain(unsets).chain(appends).chain(subtracts).collect();
        if changes.is_empty() && self.partitions.is_none() {
            return Err(Failure::usage(
                "nothing to change: give --set, --unset, --append, --subtract or --partitions",
            ));
        }
        let mut client = self.brokers.connect()?;
        // A topic that isn't there is better told as such than as a setting that can't be set.
        let cluster = client.metadata(&[&self.topic], false)?;
        if let Some(error) = cluster
            .topics
            .get(&self.topic)
            .and_then(|topic| topic.error)
        {
            return Err(Failure::failed(format!("topic {}: {error}", self.topic)));
        }
        let mut out = io::stdout().lock();
        if !changes.is_empty() {
            client.alter_configs(&Resource::Topic(self.topic.clone()), &changes, self.dry_run)?;
            let done = if self.dry_run {
                "can be changed"
            } else {
                "changed"
            };
            writeln!(out, "{}: {} settings {done}", self.topic, changes.len())?;
        }
        if let Some(total) = self.partitions {
            client.create_partitions(&self.topic, total, self.dry_run)?;
            let done = if self.dry_run { "can have" } else { "has" };
            writeln!(out, "{}: {done} {total} partitions", self.topic)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Deletes topics.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Don't mind a topic that isn't there
    #[arg(long)]
    if_exists: bool,
    /// Don't ask on a terminal
    #[arg(short, long)]
    yes: bool,
}

impl DeleteArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let question = format!("Delete {} and all records in it?", self.topics.join(", "));
        if !self.yes && !confirmed(&question)? {
            return Err(Failure::failed("nothing was deleted"));
        }
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let outcomes = self.brokers.connect()?.delete_topics(&names)?;
        let mut out = io::stdout().lock();
        let mut trouble = Trouble::default();
        for Outcome { topic, result } in outcomes {
            match result {
                Ok(()) => writeln!(out, "{topic}: deleted")?,
                Err(refusal) if self.if_exists && refusal.error.code() == UNKNOWN_TOPIC => {
                    writeln!(out, "{topic}: isn't there")?;
                }
                Err(refusal) => trouble.add(&topic, &refusal),
            }
        }
        trouble.end()
    }
}

/// What went wrong with some of several topics.
#[derive(Default)]
struct Trouble(Vec<String>);

impl Trouble {
    fn add(&mut self, topic: &str, refusal: &net::client::Refusal) {
        self.0.push(format!("topic {topic}: {refusal}"));
    }

    fn end(self) -> Result<ExitCode, Failure> {
        if self.0.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::failed(self.0.join("; ")))
        }
    }
}
