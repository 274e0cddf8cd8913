//! A shard: one pinned thread with its own connections, drives, partitions and copy of the metadata.
//!
//! Owns the partitions on its drives and serves every request for them, its own connections' and
//! those that other shards send over the lanes. Everything in here lives on one thread and is reached
//! through `Rc`; only closures sent by the router, and [`Node`], cross to another.
//!
//! It must never wait while it holds a borrow of its own state, and never share state with another
//! shard in another way than over the lanes.

mod addresses;
pub mod apply;
mod background;
pub mod compaction;
mod config_rules;
pub mod control;
mod drives;
mod listen;
mod lost;
mod memory;
pub mod reads;
pub mod router;
pub mod routes;
mod several;
mod start;
mod watermarks;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kafka_protocol::ResponseError;
use net::NodeEndpoint;
use net::connection::Shutdown;
use rt::sync::Credit;
use storage::{Drive, TailBudget, Watermarks};
use uuid::Uuid;

use crate::admin::metrics::ShardMetrics;
use crate::api::session::Sessions;
use crate::config::{BrokerConfig, Layers, NodeConfig, Overrides};
use crate::coordinator::Coordinators;
use crate::partition::{Partition, PartitionId};
use crate::peers::Peers;
use crate::replication::Replication;
use crate::share::Shares;
use crate::share_state::Gathered;
use crate::transactions::MarkerSender;
use metadata::{Image, ResourceType};
use reads::RemoteWaits;
use router::Router;
use routes::Routes;
pub use start::{ServeError, Stop, serve};

/// A shard's number on its node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

/// The shard that runs the metadata log and the admin server.
pub const CONTROL_SHARD: ShardId = ShardId(0);

/// What every shard of a node knows and none changes. Shared by all shards.
#[derive(Debug)]
pub struct Node {
    /// The settings the node was started with.
    pub config: NodeConfig,
    /// How many shards there are.
    pub shards: usize,
    /// When the node started.
    pub started: Instant,
    /// Where fetch session ids begin, another place at each start.
    pub session_base: i32,
}

/// Why a shard can't serve a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionUnavailable {
    /// There is no such partition in the metadata.
    #[error("there is no such topic or partition")]
    Unknown,
    /// This node has no replica of it.
    #[error("this node has no replica of the partition; refresh the metadata")]
    NotHere,
    /// It is known, and its log is being opened.
    #[error("the partition is being opened; try again")]
    Opening,
    /// Its drive failed.
    #[error("the partition is offline: {0}")]
    Offline(String),
}

/// What became of a partition of this shard's.
enum Replica {
    Opening,
    Online(Rc<Partition>),
    Offline(String),
    /// The metadata has it here no longer; its log is being deleted.
    Removing,
}

/// One shard.
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// What all shards know.
    pub node: Arc<Node>,
    /// Calls to other shards.
    router: Router,
    drives: RefCell<Vec<Drive>>,
    /// Which shard owns which drive of this node.
    owners: RefCell<HashMap<Uuid, ShardId>>,
    /// The log directories found on the drives at the start, until they are opened.
    found: RefCell<apply::FoundLogs>,
    replicas: RefCell<HashMap<PartitionId, Replica>>,
    /// The high watermarks that its drives keep.
    watermarks: RefCell<HashMap<Uuid, Watermarks>>,
    routes: Routes,
    image: RefCell<Image>,
    settings: RefCell<Rc<BrokerConfig>>,
    /// Memory for requests that are being read or are not yet written; bytes.
    pub request_memory: Credit,
    /// Memory for records on their way out; bytes.
    pub read_memory: Credit,
    /// Memory for connections' larger receive buffers; bytes.
    pub buffer_memory: Credit,
    tail: TailBudget,
    /// Fetch sessions of this shard's connections.
    pub sessions: RefCell<Sessions>,
    /// Fetches of other shards that wait here.
    pub waits: RemoteWaits,
    /// What is counted.
    pub metrics: ShardMetrics,
    /// The compaction of its logs.
    pub compaction: compaction::Compaction,
    /// Connections open now.
    pub connections: Cell<usize>,
    /// Nodes whose connection has just broken.
    lost: RefCell<lost::LostNodes>,
    /// Begun when the node is to stop: ends connections and background work.
    pub shutdown: Shutdown,
    /// The node that decides changes of the metadata, as far as this one knows.
    pub controller: Cell<Option<i32>>,
    /// Whether all of the node is up; only the control shard knows.
    pub ready: Cell<bool>,
    control: RefCell<Option<Rc<control::Control>>>,
    /// The way from its partitions to other nodes.
    replication: Rc<Replication>,
    pub(crate) coordinators: Coordinators,
    pub(crate) shares: Shares,
    /// Its connections to other nodes, for what this node asks of them.
    pub(crate) peers: Peers,
    /// Ends of transactions on their way to other nodes.
    pub(crate) markers: MarkerSender,
    /// Questions to share coordinators on their way to other nodes.
    pub(crate) share_states: Gathered,
}

impl Shard {
    /// This node's id.
    pub fn node_id(&self) -> i32 {
        self.node.config.node_id
    }

    /// Replication with the shards of other nodes.
    pub fn replication(&self) -> &Rc<Replication> {
        &self.replication
    }

    /// The topics as requests look them up.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The broker's settings in force.
    pub fn settings(&self) -> Rc<BrokerConfig> {
        Rc::clone(&self.settings.borrow())
    }

    /// Looks at the metadata; the borrow ends with the closure.
    pub fn with_image<R>(&self, look: impl FnOnce(&Image) -> R) -> R {
        look(&self.image.borrow())
    }

    /// Looks at the layers of broker settings in force.
    pub fn with_layers<R>(&self, look: impl FnOnce(&Layers<'_>) -> R) -> R {
        self.with_image(|image| look(&layers(&self.node, image)))
    }

    /// Where a partition is served.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, or as [`routes::PartitionRoute::place`].
    pub fn find(&self, topic: &str, index: i32) -> Result<(ShardId, PartitionId), ResponseError> {
        let route = self.routes.by_name(topic);
        let found = route.as_deref().and_then(|route| {
            let at = usize::try_from(index).ok()?;
            Some((route.id, route.partitions.get(at)?))
        });
        let (topic_id, target) = found.ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok((target.place()?, PartitionId { topic_id, index }))
    }

    /// Where clients reach these nodes.
    pub fn endpoints(&self, nodes: &BTreeSet<i32>) -> Vec<NodeEndpoint> {
        let image = self.image.borrow();
        let endpoint = |node: &i32| {
            let broker = image.broker(*node)?;
            let endpoint = broker.endpoints.first()?;
            Some(NodeEndpoint {
                node_id: *node,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            })
        };
        nodes.iter().filter_map(endpoint).collect()
    }

    /// A partition of this shard's.
    ///
    /// # Errors
    /// [`PartitionUnavailable`].
    pub fn partition(&self, id: PartitionId) -> Result<Rc<Partition>, PartitionUnavailable> {
        match self.replicas.borrow().get(&id) {
            Some(Replica::Online(partition)) => Ok(Rc::clone(partition)),
            Some(Replica::Opening) => Err(PartitionUnavailable::Opening),
            Some(Replica::Offline(why)) => Err(PartitionUnavailable::Offline(why.clone())),
            Some(Replica::Removing) | None if self.routes.has(id) => {
                Err(PartitionUnavailable::NotHere)
            }
            Some(Replica::Removing) | None => Err(PartitionUnavailable::Unknown),
        }
    }

    /// All partitions of this shard's that are online, in no particular order.
    pub fn partitions(&self) -> Vec<Rc<Partition>> {
        let replicas = self.replicas.borrow();
        let online = replicas.values().filter_map(|replica| match replica {
            Replica::Online(partition) => Some(Rc::clone(partition)),
            Replica::Opening | Replica::Offline(_) | Replica::Removing => None,
        });
        online.collect()
    }

    /// The partitions of this shard's that are not online, with the reason, or none while they are
    /// being opened.
    pub fn away(&self) -> Vec<(PartitionId, Option<String>)> {
        let replicas = self.replicas.borrow();
        let away = replicas.iter().filter_map(|(id, replica)| match replica {
            Replica::Online(_) | Replica::Removing => None,
            Replica::Opening => Some((*id, None)),
            Replica::Offline(why) => Some((*id, Some(why.clone()))),
        });
        away.collect()
    }

    /// Messages that wait in each lane out of this shard, to each other shard in turn, and calls
    /// without an answer yet.
    pub fn depths(&self) -> (Vec<usize>, usize) {
        self.router.depths()
    }

    /// The drives of this shard's.
    pub fn drives(&self) -> Vec<Drive> {
        self.drives.borrow().clone()
    }

    /// The bytes of records kept in memory because they were just written, and their limit.
    pub fn tail(&self) -> &TailBudget {
        &self.tail
    }

    /// Whether the node is on its way down.
    pub fn is_stopping(&self) -> bool {
        self.shutdown.has_begun()
    }
}

/// The layers of a node's broker settings where `image` has the dynamic ones.
fn layers<'a>(node: &'a Node, image: &'a Image) -> Layers<'a> {
    static NONE: Overrides = Overrides::new();
    let own = node.config.node_id.to_string();
    let mut layers = Layers::of(&node.config.kafka);
    layers.node = image.configs(ResourceType::Broker, &own).unwrap_or(&NONE);
    layers.cluster = image.configs(ResourceType::Broker, "").unwrap_or(&NONE);
    layers
}
