//! `ottla cluster`: the nodes of the cluster.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use net::client::Cluster;
use serde_json::json;

use super::connect::BrokerArgs;
use super::failure::Failure;
use super::table::{Table, grouped};

/// Shows the nodes of the cluster.
#[derive(Args, Debug)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl ClusterArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let cluster = self.brokers.connect()?.all_topics()?;
        let mut out = io::stdout().lock();
        if self.json {
            print_json(&cluster, &mut out)?;
        } else {
            print(&cluster, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Partitions each node leads.
fn led(cluster: &Cluster, node: i32) -> usize {
    let partitions = cluster.topics.values().flat_map(|topic| &topic.partitions);
    partitions
        .filter(|partition| partition.leader == Some(node))
        .count()
}

fn print(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    let partitions: usize = cluster
        .topics
        .values()
        .map(|topic| topic.partitions.len())
        .sum();
    writeln!(
        out,
        "cluster {}: {} topics, {} partitions",
        cluster.id.as_deref().unwrap_or("-"),
        grouped(cluster.topics.len() as u64),
        grouped(partitions as u64)
    )?;
    let mut table = Table::new(&["NODE", "ADDRESS", "RACK", "LEADS", "CONTROLLER"]);
    for broker in &cluster.brokers {
        table.row(vec![
            broker.id.to_string(),
            broker.address(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            led(cluster, broker.id).to_string(),
            if cluster.controller == Some(broker.id) {
                "yes"
            } else {
                ""
            }
            .to_owned(),
        ]);
    }
    table.print(out)
}

fn print_json(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    let nodes = cluster.brokers.iter().map(|broker| {
        json!({
            "id": broker.id,
            "host": broker.host,
            "port": broker.port,
            "rack": broker.rack,
            "leads": led(cluster, broker.id),
        })
    });
    let cluster = json!({
        "cluster": cluster.id,
        "controller": cluster.controller,
        "topics": cluster.topics.len(),
        "nodes": nodes.collect::<Vec<_>>(),
    });
    writeln!(out, "{cluster}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::client::Broker;

    #[test]
    fn nodes_are_shown_with_the_controller_marked() {
        let broker = |id| Broker {
            id,
            host: "h".to_owned(),
            port: 9092,
            rack: None,
        };
        let cluster = Cluster {
            id: Some("c".to_owned()),
            controller: Some(2),
            brokers: vec![broker(1), broker(2)],
            topics: std::collections::BTreeMap::new(),
        };
        let mut out = Vec::new();
        print(&cluster, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("cluster c: 0 topics, 0 partitions\nNODE"));
        assert!(
            text.ends_with("   2  h:9092      -      0  yes\n"),
            "{text}"
        );
        let mut out = Vec::new();
        print_json(&cluster, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["nodes"][1]["id"], 2);
    }
}
