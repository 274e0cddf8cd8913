//! Nodes of a cluster, each with its ports and directories for good, so that each can go and come back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Broker, Options, keep_ports, temp_dir};

/// Longest that nodes may take to agree.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes 1 to n.
pub struct Nodes {
    dir: TempDir,
    listen: Vec<SocketAddr>,
    internal: Vec<u16>,
    shards: usize,
    arguments: Vec<String>,
    /// A data directory that a node has besides.
    besides: Option<(usize, std::path::PathBuf)>,
    /// The running ones, by their id less one.
    pub nodes: Vec<Option<Broker>>,
}

impl Nodes {
    /// `count` nodes with these settings of Kafka's, all of them voters, up and ready.
    pub fn start(count: usize, shards: usize, settings: &[(&str, &str)]) -> Self {
        let mut nodes = Self::new(count, shards, settings);
        nodes.start_all();
        nodes
    }

    /// The same, not started.
    pub fn new(count: usize, shards: usize, settings: &[(&str, &str)]) -> Self {
        let set = |(name, value): &(&str, &str)| ["--set".to_owned(), format!("{name}={value}")];
        let address = |_| SocketAddr::from(([127, 0, 0, 1], keep_ports(1)));
        Self {
            dir: temp_dir(),
            listen: (0..count).map(address).collect(),
            internal: (0..count).map(|_| keep_ports(1 + shards)).collect(),
            shards,
            arguments: settings.iter().flat_map(set).collect(),
            besides: None,
            nodes: (0..count).map(|_| None).collect(),
        }
    }

    /// Gives `node` another data directory, from its next start on.
    pub fn give_besides(&mut self, node: usize, dir: &Path) {
        self.besides = Some((node, dir.to_owned()));
    }

    /// Where data of `node` is.
    pub fn dir_of(&self, node: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    /// The internal address of `node`.
    pub fn internal(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.internal[node - 1])
    }

    /// `--quorum` for all of them.
    pub fn quorum(&self) -> String {
        let members =
            (1..=self.internal.len()).map(|node| format!("{node}@{}", self.internal(node)));
        members.collect::<Vec<_>>().join(",")
    }

    /// How `node` is started.
    pub fn options(&self, node: usize) -> Options {
        self.options_in(node, &self.dir_of(node))
    }

    /// How `node` is started with its data elsewhere.
    pub fn options_in(&self, node: usize, dir: &Path) -> Options {
        let mut options = Options::with_shards(dir, self.shards)
            .argument("--node-id")
            .argument(&node.to_string())
            .argument("--internal")
            .argument(&self.internal(node))
            .argument("--quorum")
            .argument(&self.quorum());
        if let Some((_, besides)) = self.besides.as_ref().filter(|(at, _)| *at == node) {
            options.data_dirs.push(besides.clone());
        }
        options.listen = Some(self.listen[node - 1]);
        options.arguments.extend(self.arguments.iter().cloned());
        options
    }

    /// Starts all nodes and waits until they are ready.
    pub fn start_all(&mut self) {
        for node in 1..=self.nodes.len() {
            self.begin(node);
        }
        for node in 1..=self.nodes.len() {
            self.wait_ready(node);
        }
    }

    /// Starts `node`, without waiting for it.
    pub fn begin(&mut self, node: usize) {
        self.nodes[node - 1] = Some(Broker::begin(&self.options(node)));
    }

    /// Waits until `node` is ready.
    pub fn wait_ready(&mut self, node: usize) {
        let broker = self.nodes[node - 1].as_mut().expect("it was started");
        if let Err(log) = broker.wait_ready() {
            panic!("node {node} did not come up:\n{log}");
        }
    }

    /// A node that runs.
    pub fn node(&self, node: usize) -> &Broker {
        self.nodes[node - 1].as_ref().expect("it runs")
    }

    /// Takes a node out, to be ended.
    pub fn take(&mut self, node: usize) -> Broker {
        self.nodes[node - 1].take().expect("it runs")
    }

    /// Where clients begin.
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    /// A node that runs, whichever.
    pub fn any(&self) -> &Broker {
        self.nodes.iter().flatten().next().expect("one runs")
    }
}

/// Waits until `what` holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
