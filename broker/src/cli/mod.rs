//! The command line of `ottla`.
//!
//! Owns what arguments mean, what is printed, and the exit codes. Commands that talk to a broker
//! do so over the network like any client, with the blocking client of `net`; none of them runs
//! an executor. `serve` is a function that comes from outside, so that this module knows nothing
//! of shards.

mod check;
mod check_drive;
mod cluster;
mod cluster_change;
mod confirm;
mod connect;
mod consume;
mod dump;
mod dump_index;
pub mod exit;
mod failure;
mod group;
mod group_show;
mod key_hash;
mod line;
mod produce;
mod progress;
mod record_format;
mod send;
mod serve;
mod stop;
mod table;
mod topic;
mod topic_show;
mod txn;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;
use self::serve::ServeArgs;
use crate::config::NodeConfig;

/// What starts a node and returns when it has stopped.
pub type Serve = fn(NodeConfig) -> ExitCode;

const EXAMPLES: &str = "\
Examples:
  ottla                                         a node on 127.0.0.1:9092, data in ./ottla-data
  ottla --data-dir /mnt/d1 --data-dir /mnt/d2 --listen 0.0.0.0:9092 --advertise kafka1:9092
  ottla --set num.partitions=4 --set log.retention.hours=24
  ottla check --data-dir /mnt/d1                is this host fit, and what to change
  ottla topic create events --partitions 6
  seq 1000 | ottla produce events
  ottla consume events --from beginning --exit-eof

Every command has its own --help. Settings are described in docs/configuration.md.";

#[derive(Parser, Debug)]
#[command(
    name = "ottla",
    version,
    about = "An event broker that speaks the Kafka protocol",
    long_about = "An event broker that speaks the Kafka protocol. Without a command it starts a node.",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a node (what `ottla` does without a command)
    Serve(ServeArgs),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// List, describe and abort transactions
    #[command(subcommand)]
    Txn(txn::TxnCommand),
    /// Write lines from a file or a pipe to a topic, one record each
    Produce(produce::ProduceArgs),
    /// Read a topic's records and print them
    Consume(consume::ConsumeArgs),
    /// Show the nodes of the cluster, or change who is part of it
    Cluster(cluster::ClusterArgs),
    /// Look into the files of a data directory
    #[command(subcommand)]
    Log(LogCommand),
    /// Find out whether this host is fit for a node, and what to change
    Check(check::CheckArgs),
}

#[derive(Subcommand, Debug)]
enum LogCommand {
    /// Print what is in a segment's .log, .index or .timeindex file
    Dump(dump::DumpArgs),
}

/// `ottla`, with the arguments of this process.
pub fn main(serve: Serve) -> ExitCode {
    run(std::env::args_os(), serve)
}

/// `ottla`, with `args`; the first is the program's name.
pub fn run<I, T>(args: I, serve: Serve) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, so they go to stdout; nobody is left to tell if
            // printing fails.
            let _unprinted = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            });
        }
    };
    match dispatch(cli, serve) {
        Ok(code) => code,
        Err(Failure::NobodyReads) => ExitCode::from(exit::OK),
        Err(Failure::Told { text, code }) => {
            // A closed stderr must not turn the exit code into that of a panic.
            let _unprinted = writeln!(io::stderr(), "ottla: {text}");
            ExitCode::from(code)
        }
    }
}

fn dispatch(cli: Cli, serve: Serve) -> Result<ExitCode, Failure> {
    match cli.command {
        None => Ok(serve(cli.serve.node()?)),
        Some(Command::Serve(args)) => Ok(serve(args.node()?)),
        Some(Command::Topic(command)) => command.run(),
        Some(Command::Group(command)) => command.run(),
        Some(Command::Txn(command)) => command.run(),
        Some(Command::Produce(args)) => args.run(),
        Some(Command::Consume(args)) => args.run(),
        Some(Command::Cluster(args)) => args.run(),
        Some(Command::Log(LogCommand::Dump(args))) => args.run(),
        Some(Command::Check(args)) => args.run(),
    }
}

#[cfg(test)]
mod tests;
