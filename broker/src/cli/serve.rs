//! `ottla [serve]`: the node's settings from the command line.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::NodeConfig;

/// The settings of a node. What isn't given comes from the environment, the configuration file or
/// the defaults.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeArgs {
    /// Configuration file, in TOML
    #[arg(long, value_name = "FILE", env = "OTTLA_CONFIG")]
    config: Option<PathBuf>,
    /// Where Kafka clients connect; port 0 takes a free one [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where clients are told to connect, if not where the node listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where metrics, health and the admin API are served, or off [default: 127.0.0.1:9644]
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Data directory, meant to be one physical drive; may be repeated [default: ottla-data]
    #[arg(long = "data-dir", value_name = "DIR")]
    data_dirs: Vec<String>,
    /// Threads that serve partitions, each pinned to a core [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Memory over all shards: 512M, 4G, or a share of the machine's [default: 25%]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Registered direct-I/O buffers of each shard [default: 16M]
    #[arg(long, value_name = "SIZE")]
    io_memory: Option<String>,
    /// Space left free on each drive: a size or a share [default: 2%]
    #[arg(long, value_name = "SIZE")]
    drive_reserve: Option<String>,
    /// The node's id in the cluster [default: 1]
    #[arg(long, value_name = "N")]
    node_id: Option<String>,
    /// Where the cluster's other nodes connect, a port more for each shard [default: off]
    #[arg(long, value_name = "HOST:PORT")]
    internal: Option<String>,
    /// The cluster's first controllers, by their internal addresses; may be repeated
    #[arg(long, value_name = "ID@HOST:PORT,...")]
    quorum: Vec<String>,
    /// How log lines are written: human or json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which log lines are written: a level or directives, such as info,broker::api=debug
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// One of Kafka's broker settings; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    sets: Vec<(String, String)>,
}

/// Splits `name=value`.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected name=value, such as retention.ms=86400000".to_owned()),
    }
}

impl ServeArgs {
    /// The settings of the node.
    pub(crate) fn node(self) -> Result<NodeConfig, Failure> {
        let one = [
            ("listen", self.listen),
            ("advertise", self.advertise),
            ("admin", self.admin),
            ("shards", self.shards),
            ("memory", self.memory),
            ("io_memory", self.io_memory),
            ("drive_reserve", self.drive_reserve),
            ("node_id", self.node_id),
            ("internal", self.internal),
            ("log_format", self.log_format),
            ("log_filter", self.log_filter),
        ];
        let mut flags: Vec<(&'static str, Vec<String>)> = one
            .into_iter()
            .filter_map(|(name, value)| Some((name, vec![value?])))
            .collect();
        if !self.data_dirs.is_empty() {
            flags.push(("data_dirs", self.data_dirs));
        }
        if !self.quorum.is_empty() {
            flags.push(("quorum", self.quorum));
        }
        NodeConfig::load(self.config, flags, self.sets).map_err(Failure::usage)
    }
}
