//! A small blocking Kafka client for command lines and tests.
//!
//! Owns its connections (one per broker, made when first needed), the versions agreed on
//! with each broker, and what it last learnt about leaders. It uses `std::net` only, so it
//! runs on any thread; it must never be used on a shard, where a blocking call stops every
//! connection.

mod cluster;
mod configs;
mod error;
mod fetch;
mod groups;
mod nodes;
mod produce;
mod share_groups;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;
mod wire;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::protocol::{Request, StrBytes};

pub(crate) use cluster::describe_cluster;
pub use cluster::{Broker, Cluster, PartitionInfo, TopicInfo};
pub use configs::{ConfigChange, ConfigEntry, ConfigSource, ConfigType, Resource};
pub use error::{ClientError, KafkaError, Refusal};
pub use fetch::{FetchOptions, Fetched, FetchedData, Isolation, ListedOffset, OffsetAt};
pub use groups::{CommittedOffset, Group, GroupListing, GroupMember, OffsetOutcome, TopicOutcome};
pub use nodes::{DriveInfo, Node, Quorum, QuorumMember};
pub use produce::{
    Acks, PartitionBatch, ProduceOptions, Produced, ProducedAt, ProducerIdentity, RecordRefusal,
};
pub use topics::{CreatedTopic, DeletedRecords, NewTopic, Outcome};
pub use transactions::{ListedTransaction, OpenTransaction, TransactionInfo};
use wire::Wire;

/// Kafka's port, used where an address has none.
pub const DEFAULT_PORT: u16 = 9092;

/// The pause between two tries of something that is expected to come right by itself.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// One partition of a topic, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// How a [`Client`] finds and treats its brokers.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Addresses to start from, as HOST:PORT or HOST; the first that answers is used.
    pub bootstrap: Vec<String>,
    /// The name this client gives itself in every request.
    pub client_id: String,
    /// How long to wait for a connection, per address.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, beyond what the request lets the broker wait.
    pub request_timeout: Duration,
    /// How long to go on asking when the answer is one that passes, such as a topic whose
    /// leaders are not known yet.
    pub retry_for: Duration,
}

impl ClientConfig {
    /// The defaults for the brokers in `bootstrap`, a comma-separated list.
    pub fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap
                .split(',')
                .map(str::trim)
                .filter(|address| !address.is_empty())
                .map(str::to_owned)
                .collect(),
            client_id: "ottla".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(30),
        }
    }
}

/// A client of one cluster.
pub struct Client {
    config: ClientConfig,
    bootstrap: Vec<String>,
    connections: HashMap<String, Wire>,
    cluster: Cluster,
}

impl Client {
    /// Connects to the first broker of the list that answers and asks it for the cluster's
    /// brokers. Tries the list once.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let bootstrap = config
            .bootstrap
            .iter()
            .map(|address| with_port(address))
            .collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(ClientError::NoBootstrap);
        }
        let mut client = Self {
            config,
            bootstrap,
            connections: HashMap::new(),
            cluster: Cluster::default(),
        };
        client.learn_brokers()?;
        Ok(client)
    }

    /// The settings this client was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Sends any request of the protocol to any broker, in the highest version both sides
    /// have.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        self.call_any(request, i16::MAX)
    }

    /// Sends any request of the protocol to the broker with id `node`.
    pub fn call_node<R: Request>(
        &mut self,
        node: i32,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let address = self.address_of(node)?;
        self.call_at(&address, request, i16::MAX)
    }

    fn call_any<R: Request>(
        &mut self,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, ClientError> {
        let address = self.any_address()?;
        self.call_at(&address, request, max_version)
    }

    fn call_at<R: Request>(
        &mut self,
        address: &str,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, ClientError> {
        let result = self.wire(address)?.call(request, max_version);
        self.keep_if_sound(address, result)
    }

    /// Forgets a connection on which something went wrong: what comes next on it could
    /// belong to the request that failed.
    fn keep_if_sound<T>(
        &mut self,
        address: &str,
        result: Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let refused_here = matches!(
            result,
            Ok(_) | Err(ClientError::Refused { .. } | ClientError::Unsupported { .. })
        );
        if !refused_here {
            self.connections.remove(address);
        }
        result
    }

    fn wire(&mut self, address: &str) -> Result<&mut Wire, ClientError> {
        match self.connections.entry(address.to_owned()) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Wire::open(
                address,
                &self.config.client_id,
                self.config.connect_timeout,
                self.config.request_timeout,
            )?)),
        }
    }

    /// A broker that has a connection, or else the first that takes one: the bootstrap
    /// list in its order, then the brokers the cluster named.
    fn any_address(&mut self) -> Result<String, ClientError> {
        if let Some(address) = self.connections.keys().min() {
            return Ok(address.clone());
        }
        let mut candidates = self.bootstrap.clone();
        for broker in &self.cluster.brokers {
            let address = broker.address();
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        let mut tried = Vec::new();
        for address in candidates {
            match self.wire(&address) {
                Ok(_) => return Ok(address),
                Err(stranger @ ClientError::NotKafka { .. }) => return Err(stranger),
                Err(ClientError::Io { source, .. }) => tried.push(format!("{address}: {source}")),
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(ClientError::NoBroker { tried })
    }

    fn address_of(&mut self, node: i32) -> Result<String, ClientError> {
        if self.cluster.broker(node).is_none() {
            self.metadata(&[], false)?;
        }
        self.cluster
            .broker(node)
            .map(Broker::address)
            .ok_or_else(|| ClientError::NoBroker {
                tried: vec![format!("node {node}: not a node of the cluster")],
            })
    }

    /// Tries `step` until it succeeds, fails for good, or `retry_for` has passed. Only for
    /// what may be done twice.
    fn retrying<T>(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.config.retry_for;
        loop {
            match step(self) {
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    thread::sleep(RETRY_PAUSE);
                }
                done => return done,
            }
        }
    }

    /// The time limit a request carries for the broker's own work.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// `HOST:PORT`, with Kafka's port where there is none.
fn with_port(address: &str) -> Result<String, ClientError> {
    let wrong = || ClientError::Address {
        address: address.to_owned(),
    };
    let bare_v6 = !address.starts_with('[') && address.matches(':').count() > 1;
    if address.is_empty() || address.contains(['/', ' ']) || bare_v6 {
        return Err(wrong());
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(wrong());
            }
            Ok(address.to_owned())
        }
        _ => Ok(format!("{address}:{DEFAULT_PORT}")),
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
