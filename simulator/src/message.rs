//! What hosts of the simulation say to each other.

use metadata::{Heartbeat, HeartbeatReply, RegisterBroker};
use replica::{Answer, Follow, IsrAnswer, IsrChange, Moved, Progress, Records, Sender};

use crate::log::Record;

/// A host of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// A node, by its id.
    Node(i32),
    /// A client, by its place.
    Client(usize),
}

/// Which request of a connection this is. A server takes them in order only, and none of a connection
/// before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which of the sender's connections; they rise, over its restarts too.
    pub(crate) connection: u64,
    /// Which request on it, from 0 on.
    pub(crate) order: u64,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) body: Body,
}

/// What a message carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Between members of the quorum, encoded.
    Quorum(Vec<u8>),
    /// Between replicas of a partition.
    Replication {
        sender: Sender,
        partition: i32,
        said: Said,
    },
    /// A node's connections to another still hold.
    Alive,
    /// To the controller. The id comes back with the answer.
    Control {
        place: Place,
        id: u64,
        request: ControlRequest,
    },
    ControlReply {
        id: u64,
        reply: ControlReply,
    },
    /// From a client.
    Client {
        place: Place,
        id: u64,
        request: ClientRequest,
    },
    ClientReply {
        id: u64,
        reply: ClientReply,
    },
}

/// What replicas say.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Follow(Follow),
    Progress(Progress),
    Answer(Answer),
    Records(Records, Vec<Record>),
    Moved(Moved),
}

/// What nodes ask of the controller.
#[derive(Clone, Debug)]
pub(crate) enum ControlRequest {
    Register(Box<RegisterBroker>),
    Heartbeat(Heartbeat),
    /// ISR changes, in order, each with its partition.
    Alter {
        node: i32,
        broker_epoch: i64,
        changes: Vec<(i32, IsrChange)>,
    },
    /// A leader can't go on in its epoch.
    Resign {
        node: i32,
        partition: i32,
        leader_epoch: i32,
    },
}

/// What the controller answers.
#[derive(Clone, Debug)]
pub(crate) enum ControlReply {
    /// Whoever was asked doesn't decide; perhaps this node does.
    NotController(Option<i32>),
    /// The broker's epoch.
    Registered(i64),
    /// The controller refused.
    Refused,
    Heartbeat(HeartbeatReply),
    /// In the order of the changes.
    Altered(Vec<IsrAnswer>),
}

/// What clients ask.
#[derive(Clone, Debug)]
pub(crate) enum ClientRequest {
    /// Who leads a partition?
    Metadata { partition: i32 },
    Produce {
        partition: i32,
        producer: u32,
        sequence: u64,
        all: bool,
    },
    Fetch {
        partition: i32,
        offset: i64,
        /// The leader epoch the client believes in.
        leader_epoch: i32,
    },
}

/// What clients are answered.
#[derive(Clone, Debug)]
pub(crate) enum ClientReply {
    Leader {
        node: i32,
        leader_epoch: i32,
    },
    /// All records of the request are there.
    Produced,
    /// Not done, or not known to be: Kafka's name of the reason.
    Failed(&'static str),
    Fetched {
        base: i64,
        records: Vec<Record>,
    },
    OutOfRange {
        start: i64,
    },
}
