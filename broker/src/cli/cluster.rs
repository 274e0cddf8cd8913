//! `ottla cluster`: the nodes of the cluster, and who agrees on its metadata. Changing them is in
//! `cluster_change`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use net::client::{Client, ClientError, Cluster, DriveInfo, Node, Quorum, QuorumMember};
use serde_json::{Value, json};

use super::cluster_change::ClusterCommand;
use super::connect::BrokerArgs;
use super::failure::Failure;
use super::table::{Table, grouped};

/// Shows the nodes of the cluster, or changes them.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    change: Option<ClusterCommand>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl ClusterArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.change {
            Some(change) => change.run(),
            None => self.show.run(),
        }
    }
}

impl ShowArgs {
    fn run(self) -> Result<ExitCode, Failure> {
        let view = View::gather(&mut self.brokers.connect()?)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", view.json())?;
        } else {
            view.print(&mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is shown of a cluster.
struct View {
    cluster: Cluster,
    nodes: Vec<(Node, Option<Vec<DriveInfo>>)>,
    quorum: Option<Quorum>,
}

impl View {
    fn gather(client: &mut Client) -> Result<Self, Failure> {
        let cluster = client.all_topics()?;
        let mut nodes = Vec::new();
        for node in client.nodes()? {
            // A node that is away, or goes just now, can't be asked.
            let drives = match node.fenced {
                true => None,
                false => client.drives(node.broker.id).ok(),
            };
            nodes.push((node, drives));
        }
        let quorum = match client.quorum() {
            Ok(quorum) => Some(quorum),
            Err(ClientError::Unsupported { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            cluster,
            nodes,
            quorum,
        })
    }

    /// Partitions that a node leads.
    fn led(&self, node: i32) -> usize {
        let topics = self.cluster.topics.values();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        partitions
            .filter(|partition| partition.leader == Some(node))
            .count()
    }

    fn is_controller(&self, node: i32) -> bool {
        match &self.quorum {
            Some(quorum) => quorum.leader == node,
            None => self.cluster.controller == Some(node),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let topics = self.cluster.topics.values();
        let partitions: usize = topics.map(|topic| topic.partitions.len()).sum();
        writeln!(
            out,
            "cluster {}: {} topics, {} partitions",
            self.cluster.id.as_deref().unwrap_or("-"),
            grouped(self.cluster.topics.len() as u64),
            grouped(partitions as u64)
        )?;
        let mut table = Table::new(&[
            "NODE",
            "ADDRESS",
            "RACK",
            "STATE",
            "DRIVES",
            "LEADS",
            "CONTROLLER",
        ]);
        for (node, drives) in &self.nodes {
            let broker = &node.broker;
            let controls = self.is_controller(broker.id);
            table.row(vec![
                broker.id.to_string(),
                broker.address(),
                broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
                state(node).to_owned(),
                drives.as_deref().map_or_else(|| "-".to_owned(), counted),
                self.led(broker.id).to_string(),
                if controls { "yes" } else { "" }.to_owned(),
            ]);
        }
        table.print(out)?;
        match &self.quorum {
            Some(quorum) => print_quorum(quorum, out),
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let nodes = self.nodes.iter().map(|(node, drives)| {
            let broker = &node.broker;
            json!({
                "id": broker.id,
                "host": broker.host,
                "port": broker.port,
                "rack": broker.rack,
                "state": state(node),
                "drives": drives.as_ref().map(|drives| drives.iter().map(drive_json).collect::<Vec<_>>()),
                "leads": self.led(broker.id),
            })
        });
        let controller = self.quorum.as_ref().map(|quorum| quorum.leader);
        json!({
            "cluster": self.cluster.id,
            "controller": controller.or(self.cluster.controller),
            "topics": self.cluster.topics.len(),
            "nodes": nodes.collect::<Vec<_>>(),
            "quorum": self.quorum.as_ref().map(quorum_json),
        })
    }
}

fn state(node: &Node) -> &'static str {
    if node.fenced { "fenced" } else { "up" }
}

/// How many drives a node has, and how many of them can't be used.
fn counted(drives: &[DriveInfo]) -> String {
    let failed = drives.iter().filter(|drive| drive.error.is_some()).count();
    match failed {
        0 => drives.len().to_string(),
        failed => format!("{}, {failed} failed", drives.len()),
    }
}

fn drive_json(drive: &DriveInfo) -> Value {
    json!({
        "path": drive.path,
        "error": drive.error.as_ref().map(ToString::to_string),
        "size_bytes": drive.space.map(|space| space.0),
        "available_bytes": drive.space.map(|space| space.1),
    })
}

/// What a member is, and the records it lacks.
fn part(quorum: &Quorum, member: &QuorumMember) -> (&'static str, Option<i64>) {
    let votes = quorum.voters.iter().any(|voter| voter.node == member.node);
    let name = match votes {
        true if member.node == quorum.leader => "leader",
        true => "voter",
        false => "observer",
    };
    let known = member.log_end >= 0;
    let lag = known.then(|| (quorum.high_watermark - member.log_end).max(0));
    (name, lag)
}

fn print_quorum(quorum: &Quorum, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nmetadata: {} records, leader's term {}",
        grouped(u64::try_from(quorum.high_watermark).unwrap_or(0)),
        quorum.epoch
    )?;
    let mut table = Table::new(&["NODE", "PART", "END", "LAG"]);
    for member in quorum.members() {
        let (name, lag) = part(quorum, member);
        table.row(vec![
            member.node.to_string(),
            name.to_owned(),
            lag.map_or_else(|| "-".to_owned(), |_| member.log_end.to_string()),
            lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
        ]);
    }
    table.print(out)
}

fn quorum_json(quorum: &Quorum) -> Value {
    let members = quorum.members().map(|member| {
        let (name, lag) = part(quorum, member);
        json!({
            "node": member.node,
            "part": name,
            "end_offset": lag.map(|_| member.log_end),
            "lag": lag,
            "caught_up_ms": Some(member.caught_up_ms).filter(|ms| *ms >= 0),
        })
    });
    json!({
        "leader": quorum.leader,
        "term": quorum.epoch,
        "high_watermark": quorum.high_watermark,
        "members": members.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::client::Broker;

    fn member(node: i32, log_end: i64) -> QuorumMember {
        QuorumMember {
            node,
            directory: uuid::Uuid::nil(),
            log_end,
            caught_up_ms: -1,
        }
    }

    fn view() -> View {
        let node = |id, fenced| Node {
            broker: Broker {
                id,
                host: "h".to_owned(),
                port: 9092,
                rack: Some("r".to_owned()),
            },
            fenced,
        };
        let drive = |failed: bool| DriveInfo {
            path: "/d".to_owned(),
            error: failed.then(|| net::client::KafkaError::UNKNOWN_SERVER_ERROR.into()),
            space: Some((2, 1)),
        };
        View {
            cluster: Cluster {
                id: Some("c".to_owned()),
                controller: Some(1),
                brokers: Vec::new(),
                topics: std::collections::BTreeMap::new(),
            },
            nodes: vec![
                (node(1, false), Some(vec![drive(false), drive(true)])),
                (node(2, false), Some(vec![drive(false)])),
                (node(3, true), None),
            ],
            quorum: Some(Quorum {
                leader: 2,
                epoch: 7,
                high_watermark: 40,
                voters: vec![member(1, 38), member(2, 41)],
                observers: vec![member(3, -1)],
            }),
        }
    }

    #[test]
    fn nodes_and_quorum_are_shown_to_people() {
        let mut out = Vec::new();
        view().print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
cluster c: 0 topics, 0 partitions
NODE  ADDRESS  RACK  STATE   DRIVES       LEADS  CONTROLLER
   1  h:9092   r     up      2, 1 failed      0
   2  h:9092   r     up      1                0  yes
   3  h:9092   r     fenced  -                0

metadata: 40 records, leader's term 7
NODE  PART      END  LAG
   1  voter      38    2
   2  leader     41    0
   3  observer    -    -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn nodes_and_quorum_are_shown_to_programs() {
        let value = view().json();
        assert_eq!(value["controller"], 2);
        assert_eq!(value["nodes"][0]["drives"][1]["path"], "/d");
        assert_eq!(value["nodes"][2]["state"], "fenced");
        assert_eq!(value["nodes"][2]["drives"], Value::Null);
        assert_eq!(value["quorum"]["members"][0]["lag"], 2);
        assert_eq!(value["quorum"]["members"][2]["lag"], Value::Null);
    }

    #[test]
    fn a_broker_that_tells_of_no_quorum_is_shown_as_it_says() {
        let view = View {
            quorum: None,
            ..view()
        };
        let mut out = Vec::new();
        view.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("metadata"), "{text}");
        assert_eq!(view.json()["controller"], 1);
    }
}
