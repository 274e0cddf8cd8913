//! This node among others: the connections between nodes, and who of them does what.
//!
//! Lives on the control shard. Every node dials every other one it has something to say to (`links`), and is
//! dialled (`inbound`). Over these connections the metadata's quorum agrees, and a node asks the one
//! that is the controller, which is the quorum's leader: to be taken in and stay so (`joining`), to change
//! something (`asking`). What the controller does with that is in `controller`. Records of topics
//! never travel here.

mod asking;
mod command;
mod controller;
mod inbound;
mod joining;
mod links;
mod members;
mod standstill;
mod steps;
mod telling;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use metadata::{BrokerRecord, Record, Sessions};
use rt::sync::Notify;
use uuid::Uuid;

pub use asking::AskError;
pub use command::{Answer, Command};
pub(crate) use inbound::Door;
use links::{Dialler, Links};
pub use steps::{Outcome, Step};
pub use wire::{MemberState, QuorumState};

use crate::config::NodeConfig;
use crate::config::node::HostPort;

/// The name of the listener under which a node registers its address for clients.
pub const CLIENT_LISTENER: &str = "PLAINTEXT";

/// The name of the listener under which a node registers its internal address, as Kafka's controllers
/// do.
pub const CONTROLLER_LISTENER: &str = "CONTROLLER";

/// What a node is in the cluster's eyes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its registration's epoch, -1 while it has none.
    pub(crate) epoch: i64,
    /// Whether it may lead and be in sync.
    pub(crate) unfenced: bool,
    /// Whether the others can do without it.
    pub(crate) may_stop: bool,
}

/// Another node's connection to this one.
struct Visitor {
    incarnation: Uuid,
    connection: u64,
    heard: Instant,
}

/// This node's part in the cluster, beside the metadata itself.
pub(crate) struct Cluster {
    dialler: Rc<Dialler>,
    links: Rc<Links>,
    /// Who dialled this node and is still there.
    visitors: RefCell<BTreeMap<i32, Visitor>>,
    /// The sessions of brokers, while this node is the controller.
    sessions: RefCell<Option<Sessions>>,
    /// The number of the last change of in-sync replicas that was asked for.
    isr_sequence: Cell<u64>,
    /// The broker epoch and the number of the last such change of each node, at the controller.
    isr_seen: RefCell<BTreeMap<i32, (i64, u64)>>,
    /// When each member of the quorum was last heard from, and had all that is committed, at the
    /// controller.
    members: RefCell<BTreeMap<i32, members::Seen>>,
    standing: Cell<Standing>,
    /// Rung when the standing changed.
    standing_changed: Notify,
    /// Rung when the next heartbeat is not to wait.
    hurry: Notify,
    stopping: Cell<bool>,
    begun: Instant,
}

impl Cluster {
    /// This node as its settings name it; nobody is dialled yet.
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let dialler = Rc::new(Dialler {
            node: config.node_id,
            incarnation: Uuid::new_v4(),
            cluster_id: RefCell::default(),
        });
        let others = config
            .quorum
            .iter()
            .filter(|one| one.node != config.node_id);
        let seeds = others.map(|one| (one.node, one.address.clone())).collect();
        Self {
            links: Links::new(Rc::clone(&dialler), seeds),
            dialler,
            visitors: RefCell::default(),
            sessions: RefCell::default(),
            isr_sequence: Cell::new(0),
            isr_seen: RefCell::default(),
            members: RefCell::default(),
            standing: Cell::new(Standing {
                epoch: -1,
                ..Standing::default()
            }),
            standing_changed: Notify::new(),
            hurry: Notify::new(),
            stopping: Cell::new(false),
            begun: rt::time::now(),
        }
    }

    /// The id of this start of the node.
    pub(crate) fn incarnation(&self) -> Uuid {
        self.dialler.incarnation
    }

    /// What this node is in the cluster's eyes.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// What sends the quorum's messages.
    pub(crate) fn outgoing(&self) -> crate::meta::Outgoing {
        let links = Rc::clone(&self.links);
        Box::new(move |message| links.send(&message))
    }

    /// Milliseconds of a clock that doesn't go back.
    fn now_ms(&self) -> u64 {
        let elapsed = rt::time::now().saturating_duration_since(self.begun);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Learns from records where nodes are.
    pub(crate) fn learn(&self, records: &[Record]) {
        for record in records {
            match record {
                Record::Broker(broker) => {
                    if let Some(address) = internal_address(broker) {
                        self.links.set_address(broker.node_id, address);
                    }
                }
                Record::ClusterId(id) => {
                    *self.dialler.cluster_id.borrow_mut() = Some(id.id.clone());
                }
                _ => {}
            }
        }
    }
}

/// Where a broker's control shard is reached by other nodes.
fn internal_address(broker: &BrokerRecord) -> Option<HostPort> {
    let found = broker
        .endpoints
        .iter()
        .find(|endpoint| endpoint.name == CONTROLLER_LISTENER);
    found.map(|endpoint| HostPort {
        host: endpoint.host.clone(),
        port: endpoint.port,
    })
}
