//! `ottla txn`: transactions listed, described and aborted.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use net::client::{TopicPartition, TransactionInfo};
use serde_json::json;

use super::confirm::confirmed;
use super::connect::BrokerArgs;
use super::failure::Failure;
use super::table::Table;

/// What to do with transactions.
#[derive(Subcommand, Debug)]
pub(crate) enum TxnCommand {
    /// List transactional ids and how far their transactions are
    List(ListArgs),
    /// Show what is known of transactional ids
    Describe(DescribeArgs),
    /// Abort the transaction of a producer, or one that hangs in a partition
    #[command(after_help = "\
Examples:
  ottla txn abort billing-7                      shut its producer out; that aborts its transaction
  ottla txn abort --partition events-3           which transactions are open there
  ottla txn abort --partition events-3 --producer-id 4001

The second way is for a transaction that nobody ends any more (its transactional id isn't known, or
`ottla txn describe` doesn't show the partition). In a transaction that is being committed, it takes
this partition's records out.")]
    Abort(AbortArgs),
}

impl TxnCommand {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(args) => args.run(),
            Self::Describe(args) => args.run(),
            Self::Abort(args) => args.run(),
        }
    }
}

/// Lists transactional ids.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Only those in this state (Ongoing, PrepareCommit, CompleteAbort, ...); may be repeated
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Only those whose transaction began more than so many seconds ago
    #[arg(long, value_name = "SECONDS")]
    older: Option<u32>,
    /// Print one JSON object a transactional id
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let older_ms = self.older.map(|seconds| i64::from(seconds) * 1000);
        let mut client = self.brokers.connect()?;
        let listed = client.list_transactions(&self.states, older_ms)?;
        let mut out = io::stdout().lock();
        let mut table = Table::new(&["TRANSACTIONAL ID", "STATE", "PRODUCER", "COORDINATOR"]);
        for of in listed {
            if self.json {
                let (id, producer) = (of.transactional_id, of.producer_id);
                let line = json!({
                    "transactional_id": id, "state": of.state, "producer_id": producer, "coordinator": of.coordinator,
                });
                writeln!(out, "{line}")?;
            } else {
                let (producer, node) = (of.producer_id.to_string(), of.coordinator.to_string());
                table.row(vec![of.transactional_id, of.state, producer, node]);
            }
        }
        if !self.json {
            table.print(&mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Describes transactional ids.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The ids
    #[arg(required = true, value_name = "TRANSACTIONAL_ID")]
    ids: Vec<String>,
    /// Print one JSON object a transactional id
    #[arg(long)]
    json: bool,
}

impl DescribeArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        let mut out = io::stdout().lock();
        for (at, id) in self.ids.iter().enumerate() {
            let Some(info) = client.describe_transaction(id)? else {
                return Err(unknown(id));
            };
            if self.json {
                writeln!(out, "{}", as_json(&info))?;
            } else {
                if at > 0 {
                    writeln!(out)?;
                }
                print(&info, &mut out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(id: &str) -> Failure {
    Failure::failed(format!(
        "transactional id {id}: not known; `ottla txn list` shows what is there"
    ))
}

fn as_json(info: &TransactionInfo) -> serde_json::Value {
    let partitions = info.partitions.iter();
    let partitions: Vec<_> = partitions
        .map(|at| json!({"topic": at.topic, "partition": at.partition}))
        .collect();
    json!({
        "transactional_id": info.transactional_id,
        "coordinator": info.coordinator,
        "producer_id": info.producer_id,
        "producer_epoch": info.producer_epoch,
        "state": info.state,
        "timeout_ms": info.timeout_ms,
        "started_ms": (info.started_ms >= 0).then_some(info.started_ms),
        "partitions": partitions,
    })
}

fn print(info: &TransactionInfo, out: &mut impl Write) -> io::Result<()> {
    let (id, epoch) = (info.producer_id, info.producer_epoch);
    writeln!(out, "transactional id  {}", info.transactional_id)?;
    writeln!(out, "state             {}", info.state)?;
    writeln!(out, "producer          {id}, epoch {epoch}")?;
    writeln!(out, "coordinator       node {}", info.coordinator)?;
    writeln!(
        out,
        "timeout           {} s",
        f64::from(info.timeout_ms) / 1000.0
    )?;
    if info.started_ms >= 0 {
        writeln!(out, "began             {} ago", ago(info.started_ms))?;
    }
    for at in &info.partitions {
        writeln!(out, "partition         {at}")?;
    }
    Ok(())
}

/// How long ago a time was, in milliseconds since 1970, to the second.
fn ago(then_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = Duration::from_millis(u64::try_from(then_ms).unwrap_or(0));
    let passed = now.unwrap_or_default().saturating_sub(then);
    format!("{} s", passed.as_secs())
}

/// Aborts transactions.
#[derive(Args, Debug)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The transactional id whose producer is to be shut out
    #[arg(
        value_name = "TRANSACTIONAL_ID",
        required_unless_present = "partition",
        conflicts_with = "partition"
    )]
    id: Option<String>,
    /// The partition in which a transaction hangs
    #[arg(long, value_name = "TOPIC-N", value_parser = topic_partition)]
    partition: Option<TopicPartition>,
    /// The producer id whose transaction hangs there
    #[arg(long, value_name = "ID", requires = "partition")]
    producer_id: Option<i64>,
    /// Don't ask on a terminal
    #[arg(short, long)]
    yes: bool,
}

fn topic_partition(text: &str) -> Result<TopicPartition, String> {
    let wrong = || format!("{text} is no partition; give one as TOPIC-N, such as events-3");
    let (topic, index) = text.rsplit_once('-').ok_or_else(wrong)?;
    let index = index.parse().map_err(|_| wrong())?;
    Ok(TopicPartition::new(topic, index))
}

impl AbortArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        match (&self.id, &self.partition) {
            (Some(id), _) => self.fence(id),
            (None, Some(at)) => self.abort_in(at),
            (None, None) => Err(Failure::usage("give a transactional id, or --partition")),
        }
    }

    fn fence(&self, id: &str) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        // Whoever begins with an id makes it known.
        if client.describe_transaction(id)?.is_none() {
            return Err(unknown(id));
        }
        let question = format!("Shut out the producer of {id} and abort its transaction?");
        if !self.yes && !confirmed(&question)? {
            return Err(Failure::failed("nothing was aborted"));
        }
        client.fence_producer(id)?;
        writeln!(
            io::stdout(),
            "{id}: its producer is shut out, nothing is open"
        )?;
        Ok(ExitCode::SUCCESS)
    }

    fn abort_in(&self, at: &TopicPartition) -> Result<ExitCode, Failure> {
        let mut client = self.brokers.connect()?;
        let open = client.open_transactions(at)?;
        let mut out = io::stdout().lock();
        let Some(producer_id) = self.producer_id else {
            let mut table = Table::new(&["PRODUCER", "EPOCH", "FROM OFFSET", "LAST WRITE"]);
            for of in open {
                let (id, epoch) = (of.producer_id.to_string(), of.producer_epoch.to_string());
                let last = format!("{} ago", ago(of.last_ms));
                table.row(vec![id, epoch, of.start_offset.to_string(), last]);
            }
            table.print(&mut out)?;
            return Ok(ExitCode::SUCCESS);
        };
        let Some(of) = open.iter().find(|of| of.producer_id == producer_id) else {
            return Err(Failure::failed(format!(
                "{at}: producer {producer_id} has no open transaction there"
            )));
        };
        let question = format!("Abort the transaction of producer {producer_id} in {at}?");
        if !self.yes && !confirmed(&question)? {
            return Err(Failure::failed("nothing was aborted"));
        }
        client.abort_in(at, of)?;
        writeln!(
            out,
            "{at}: the transaction of producer {producer_id} is aborted"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_their_directories() {
        let at = topic_partition("a-b-12").unwrap();
        assert_eq!((at.topic.as_str(), at.partition), ("a-b", 12));
        for wrong in ["events", "events-", "events-x"] {
            assert!(topic_partition(wrong).is_err(), "{wrong}");
        }
    }
}
