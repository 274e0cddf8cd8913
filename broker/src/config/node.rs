//! What one node is told when it starts: defaults, then the configuration file, then the
//! environment, then flags, then `--set`; what comes later wins. Names nobody knows are refused
//! with the nearest known one.
//!
//! [`NodeConfig`] is made once, checked, and passed on by value. It holds our own settings
//! parsed, and Kafka's as the text they were given, which is the static layer of
//! [`super::layers::Layers`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use super::amount::Amount;
use super::broker::BrokerConfig;
use super::def::{ConfigError, Overrides, did_you_mean};
use super::layers::Layers;
pub use super::machine::Machine;
use super::node_read::Reader;
use super::node_sources::Collected;
pub use super::node_sources::{Origin, Sources, env_name};
use super::topic::TopicConfig;

/// A setting of our own.
#[derive(Clone, Copy, Debug)]
pub struct OwnSetting {
    /// Its name in the file.
    pub name: &'static str,
    /// Its flag.
    pub flag: &'static str,
    /// Its default, in words where it depends on the machine.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

const fn own(
    name: &'static str,
    flag: &'static str,
    default: &'static str,
    doc: &'static str,
) -> OwnSetting {
    OwnSetting {
        name,
        flag,
        default,
        doc,
    }
}

/// Every setting of our own.
pub static OWN: &[OwnSetting] = &[
    own(
        "listen",
        "--listen",
        "127.0.0.1:9092",
        "Where Kafka clients connect: host:port. Port 0 takes a free one.",
    ),
    own(
        "advertise",
        "--advertise",
        "as listen",
        "The host:port clients are told to connect to, where it isn't listen.",
    ),
    own(
        "admin",
        "--admin",
        "127.0.0.1:9644",
        "Where metrics, health and the admin API are served; off for nowhere.",
    ),
    own(
        "data_dirs",
        "--data-dir",
        "ottla-data",
        "The data directories, each meant to be one physical drive.",
    ),
    own(
        "shards",
        "--shards",
        "one per core",
        "How many pinned threads serve partitions; never more than cores.",
    ),
    own(
        "memory",
        "--memory",
        "25%",
        "Memory for frames, tails and caches over all shards: 512M, 4G, or 30% of the machine.",
    ),
    own(
        "io_memory",
        "--io-memory",
        "16M",
        "Registered direct-I/O buffers of each shard, part of memory.",
    ),
    own(
        "drive_reserve",
        "--drive-reserve",
        "2%",
        "Space left free on each drive; below it writes are refused.",
    ),
    own("node_id", "--node-id", "1", "The node's id in the cluster."),
    own(
        "internal",
        "--internal",
        "off",
        "Where the cluster's other nodes connect: host:port, and a port more for each shard; off for a node alone.",
    ),
    own(
        "quorum",
        "--quorum",
        "this node",
        "The cluster's first controllers, as id@host:port of their internal addresses.",
    ),
    own(
        "log_format",
        "--log-format",
        "human",
        "How log lines are written to stderr: human or json.",
    ),
    own(
        "log_filter",
        "--log-filter",
        "info",
        "Which log lines are written: a level, or directives such as info,broker::api=debug.",
    ),
];

/// The least memory a node starts with.
pub const MEMORY_MIN: u64 = 64 << 20;
/// The least registered memory of a shard.
pub const IO_MEMORY_MIN: u64 = 1 << 20;

/// Why a node's settings were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No setting has this name.
    #[error("{place}: unknown setting {name}{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// Where it was given.
        place: String,
        /// The name.
        name: String,
        /// The known one closest to it.
        nearest: Option<String>,
    },
    /// A value that isn't one.
    #[error("{origin}: {name} is {value}: {why}")]
    Invalid {
        /// The setting.
        name: String,
        /// What was given.
        value: String,
        /// Where.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// One setting under two names in one place.
    #[error("{first} and {second} are one setting; give one of them")]
    Twice {
        /// The name that came first.
        first: String,
        /// The other.
        second: String,
    },
    /// One of our own settings given with --set.
    #[error("--set takes Kafka's settings; for {name} there is {flag}")]
    OwnFlag {
        /// The setting.
        name: String,
        /// Its flag.
        flag: &'static str,
    },
    /// A Kafka setting out of range.
    #[error("{origin}: {error}")]
    Kafka {
        /// Where it was given.
        origin: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// The configuration file can't be read.
    #[error("{}: {error}; check the path given with --config", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The configuration file isn't TOML.
    #[error("{}: not valid TOML: {why}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected host:port, such as 192.0.2.1:9092 or [2001:db8::1]:9092";
        let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return Err(EXPECTED);
        }
        let port = port
            .parse()
            .map_err(|_| "the port is a number from 0 to 65535")?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where a node is reached by the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Internal {
    /// Where the control shard listens. Each shard has a listener of its own besides, on the ports
    /// that follow, or on free ones where this is 0.
    pub listen: SocketAddr,
    /// The host that others are told to connect to.
    pub host: String,
}

/// A member of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumMember {
    /// Its node id.
    pub node: i32,
    /// Its internal address.
    pub address: HostPort,
}

impl FromStr for QuorumMember {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected id@host:port, such as 1@10.0.0.1:9192".to_owned();
        let (node, address) = text.trim().split_once('@').ok_or_else(wrong)?;
        let node = node.parse().ok().filter(|node: &i32| *node >= 0);
        let address: HostPort = address.parse().map_err(str::to_owned)?;
        if address.port == 0 {
            return Err("port 0 can't be connected to".to_owned());
        }
        Ok(Self {
            node: node.ok_or_else(wrong)?,
            address,
        })
    }
}

/// Kafka's way to write voters.
fn voters(members: &[QuorumMember]) -> String {
    let texts = members
        .iter()
        .map(|one| format!("{}@{}", one.node, one.address));
    texts.collect::<Vec<_>>().join(",")
}

/// A node's settings.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where Kafka clients connect.
    pub listen: SocketAddr,
    /// Where they are told to connect; its port is 0 where that of `listen` is, until it is bound.
    pub advertise: HostPort,
    /// Where the admin HTTP server listens, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The data directories, at least one.
    pub data_dirs: Vec<PathBuf>,
    /// How many shards; none is one for each core the process may use.
    pub shards: Option<NonZeroUsize>,
    /// Memory over all shards, in bytes.
    pub memory: u64,
    /// Registered direct-I/O memory of each shard, in bytes.
    pub io_memory: u64,
    /// Space left free on each drive.
    pub drive_reserve: Amount,
    /// The node's id.
    pub node_id: i32,
    /// Where other nodes connect, if the node is to be one of several.
    pub internal: Option<Internal>,
    /// The members that the metadata quorum began with, or is to begin with; none is this node.
    pub quorum: Vec<QuorumMember>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which are written.
    pub log_filter: String,
    /// Kafka's settings that were given, and those ours stand for (`node.id`, `listeners`, ...):
    /// the static layer.
    pub kafka: Overrides,
    origins: BTreeMap<String, Origin>,
}

impl NodeConfig {
    /// The settings these sources come to.
    pub fn from_sources(sources: Sources, machine: &Machine) -> Result<Self, NodeError> {
        let collected = Collected::from(sources)?;
        let read = Reader {
            collected: &collected,
        };
        let listen = read.address("listen")?;
        let mut config = Self {
            listen,
            advertise: read.advertise(listen, machine)?,
            admin: read.admin()?,
            data_dirs: read.data_dirs()?,
            shards: read.shards()?,
            memory: read.amount("memory")?.of(machine.memory),
            io_memory: read.amount("io_memory")?.of(machine.memory),
            drive_reserve: read.amount("drive_reserve")?,
            node_id: read.node_id()?,
            internal: read.internal()?,
            quorum: read.quorum()?,
            log_format: read.log_format()?,
            log_filter: read.log_filter()?,
            kafka: read.kafka()?,
            origins: collected
                .values
                .iter()
                .map(|(name, (_, origin))| (name.clone(), origin.clone()))
                .collect(),
        };
        config.check_amounts()?;
        config.check_cluster()?;
        config.mirror();
        config.check_kafka()?;
        Ok(config)
    }

    /// Where the value of a setting comes from, ours or Kafka's.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// The static layer, for what needs no dynamic settings.
    pub fn layers(&self) -> Layers<'_> {
        Layers::of(&self.kafka)
    }

    /// Our own settings as they came out, with where each comes from, for a line in the log.
    pub fn summary(&self) -> Vec<(&'static str, String, &Origin)> {
        let value = |name: &str| match name {
            "listen" => self.listen.to_string(),
            "advertise" => self.advertise.to_string(),
            "admin" => self
                .admin
                .map_or_else(|| "off".to_owned(), |admin| admin.to_string()),
            "data_dirs" => joined(&self.data_dirs),
            "shards" => self
                .shards
                .map_or_else(|| "one per core".to_owned(), |shards| shards.to_string()),
            "memory" => Amount::Bytes(self.memory).to_string(),
            "io_memory" => Amount::Bytes(self.io_memory).to_string(),
            "drive_reserve" => self.drive_reserve.to_string(),
            "node_id" => self.node_id.to_string(),
            "internal" => self
                .internal
                .as_ref()
                .map_or_else(|| "off".to_owned(), |internal| internal.listen.to_string()),
            "quorum" if self.quorum.is_empty() => "this node".to_owned(),
            "quorum" => voters(&self.quorum),
            "log_format" => format!("{:?}", self.log_format).to_lowercase(),
            _ => self.log_filter.clone(),
        };
        OWN.iter()
            .map(|own| (own.name, value(own.name), self.origin(own.name)))
            .collect()
    }

    fn check_amounts(&self) -> Result<(), NodeError> {
        let limits = [
            ("memory", self.memory, MEMORY_MIN),
            ("io_memory", self.io_memory, IO_MEMORY_MIN),
        ];
        for (name, value, least) in limits {
            if value < least {
                return Err(NodeError::Invalid {
                    name: name.to_owned(),
                    value: Amount::Bytes(value).to_string(),
                    origin: self.origin(name).to_string(),
                    why: format!("the least is {}", Amount::Bytes(least)),
                });
            }
        }
        Ok(())
    }

    /// A node of several has to be reached, and to be known under one address.
    fn check_cluster(&self) -> Result<(), NodeError> {
        let refuse = |value: String, why: String| NodeError::Invalid {
            name: "quorum".to_owned(),
            value,
            origin: self.origin("quorum").to_string(),
            why,
        };
        let Some(internal) = &self.internal else {
            return match self.quorum.is_empty() {
                true => Ok(()),
                false => Err(refuse(
                    voters(&self.quorum),
                    "a node of a cluster needs an address for the others; give --internal"
                        .to_owned(),
                )),
            };
        };
        let own = self.quorum.iter().find(|one| one.node == self.node_id);
        match own {
            Some(own)
                if own.address.port != internal.listen.port() && internal.listen.port() != 0 =>
            {
                Err(refuse(
                    voters(&self.quorum),
                    format!(
                        "this is node {}, whose internal address has port {}, not {}",
                        self.node_id,
                        internal.listen.port(),
                        own.address.port
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Kafka's names for our own settings, for the tools that read them.
    fn mirror(&mut self) {
        let mirrored = [
            ("node.id", self.node_id.to_string()),
            ("broker.id", self.node_id.to_string()),
            ("listeners", format!("PLAINTEXT://{}", self.listen)),
            (
                "advertised.listeners",
                format!("PLAINTEXT://{}", self.advertise),
            ),
            ("log.dirs", joined(&self.data_dirs)),
            ("process.roles", "broker,controller".to_owned()),
        ];
        for (name, value) in mirrored {
            self.kafka.insert(name.to_owned(), value);
        }
        if !self.quorum.is_empty() {
            let name = "controller.quorum.voters".to_owned();
            self.kafka.insert(name, voters(&self.quorum));
        }
    }

    /// Each by itself was checked when it was read; here, that they go together.
    fn check_kafka(&self) -> Result<(), NodeError> {
        let layers = self.layers();
        let resolved = TopicConfig::resolve(&Overrides::new(), &layers)
            .and(BrokerConfig::resolve(&layers).map(|_| ()));
        resolved.map_err(|error| NodeError::Kafka {
            origin: "settings".to_owned(),
            error,
        })
    }
}

impl NodeConfig {
    /// This process's settings: the file, `OTTLA_` variables, flags.
    pub fn load(
        file: Option<PathBuf>,
        flags: Vec<(&'static str, Vec<String>)>,
        sets: Vec<(String, String)>,
    ) -> Result<Self, NodeError> {
        let text = |path: PathBuf| match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(NodeError::File { path, error }),
        };
        let env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name
                .into_string()
                .ok()
                .filter(|name| name.starts_with("OTTLA_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        let sources = Sources {
            file: file.map(text).transpose()?,
            env: env.collect(),
            flags,
            sets,
        };
        Self::from_sources(sources, &Machine::this())
    }
}

fn joined(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    texts.join(",")
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
