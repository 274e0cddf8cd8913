//! `ottla cluster add-voter`, `remove-voter` and `unregister`: who is part of the cluster, and who
//! agrees on its metadata.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::confirm::confirmed;
use super::connect::BrokerArgs;
use super::failure::Failure;

/// What to do with nodes.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Let a node vote on the metadata; it has to run and have caught up
    AddVoter(NodeArgs),
    /// Take a node's vote on the metadata from it; it goes on as before otherwise
    RemoveVoter(NodeArgs),
    /// Take a node that doesn't come back out of the cluster
    #[command(after_help = "\
The replicas of its partitions stay assigned to it, until they are reassigned to other nodes. A node
that runs should be stopped first: it would try to go on. If it votes on the metadata, take its vote from
it, too (ottla cluster remove-voter).")]
    Unregister(UnregisterArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The node's id
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(i32).range(0..))]
    node: i32,
}

#[derive(Args, Debug)]
pub(crate) struct UnregisterArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Don't ask on a terminal
    #[arg(short, long)]
    yes: bool,
}

impl ClusterCommand {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut out = io::stdout().lock();
        match self {
            Self::AddVoter(args) => {
                args.change_voter(true)?;
                writeln!(out, "node {}: votes on the metadata", args.node)?;
            }
            Self::RemoveVoter(args) => {
                args.change_voter(false)?;
                writeln!(out, "node {}: doesn't vote on the metadata", args.node)?;
            }
            Self::Unregister(UnregisterArgs { node: args, yes }) => {
                let question = format!("Take node {} out of the cluster?", args.node);
                if !yes && !confirmed(&question)? {
                    return Err(Failure::failed("nothing was changed"));
                }
                args.brokers.connect()?.unregister(args.node)?;
                writeln!(
                    out,
                    "node {}: is no part of the cluster any more",
                    args.node
                )?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl NodeArgs {
    fn change_voter(&self, add: bool) -> Result<(), Failure> {
        let mut client = self.brokers.connect()?;
        let quorum = client.quorum()?;
        let member = quorum.members().find(|member| member.node == self.node);
        let directory = member.map_or(Uuid::nil(), |member| member.directory);
        match add {
            true => client.add_voter(self.node, directory)?,
            false => client.remove_voter(self.node, directory)?,
        }
        Ok(())
    }
}
