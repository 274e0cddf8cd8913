//! Why a connection between two shards can't be had, or ended.

use std::io;
use std::time::Duration;

use net::link::LinkError;
use replica::wire::WireError;

use crate::partition::PartitionId;

/// Why there is no connection, or it ended. What can be mended by whoever runs the cluster says how.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// This node has no cluster id or no registration yet.
    #[error("this node is not registered with a controller yet")]
    NotRegistered,
    /// The metadata doesn't say where the shard listens.
    #[error("the metadata has no address of shard {shard} of node {node}")]
    NoAddress {
        /// The node.
        node: i32,
        /// Its shard.
        shard: u16,
    },
    /// Nobody is there.
    #[error(transparent)]
    Unreachable(#[from] LinkError),
    /// The other side belongs to another cluster.
    #[error(
        "node {node} there is of cluster {theirs}, this node is of cluster {ours}; \
         two clusters are mixed up: correct the addresses in --internal or --quorum"
    )]
    WrongCluster {
        /// Who says so.
        node: i32,
        /// Its cluster.
        theirs: String,
        /// This node's.
        ours: String,
    },
    /// The other side isn't who was meant, or this node isn't who it meant.
    #[error(
        "node {node} shard {shard} speaks to node {to_node} shard {to_shard}, but this is node {me} \
         shard {my_shard}; does a node advertise an address that is another's?"
    )]
    NotMeant {
        /// Who speaks.
        node: i32,
        /// Its shard.
        shard: u16,
        /// Whom it means.
        to_node: i32,
        /// The shard it means.
        to_shard: u16,
        /// This node.
        me: i32,
        /// This shard.
        my_shard: u16,
    },
    /// Another node answered at the address of the one that was dialled.
    #[error(
        "node {found} shard {found_shard} answered where node {wanted} shard {wanted_shard} was \
         expected; do two nodes advertise the same internal address?"
    )]
    WrongNode {
        /// Who was dialled.
        wanted: i32,
        /// Its shard.
        wanted_shard: u16,
        /// Who answered.
        found: i32,
        /// Its shard.
        found_shard: u16,
    },
    /// The bytes aren't those of this protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side closed it.
    #[error("the other side closed it")]
    Closed,
    /// The other side did not say who it is.
    #[error("the other side did not say who it is within {} s", .0.as_secs_f32())]
    NoHello(Duration),
    /// Nothing was heard for too long.
    #[error("nothing was heard of the other side for {} ms", .0)]
    Silent(u64),
    /// A message that only the other side may send, or a number that names another partition.
    #[error("the other side sent {0}, which it may not; do both nodes run the same version?")]
    Unexpected(&'static str),
    /// Records that can't be what the leader has.
    #[error("records of partition {} of topic id {} were refused: {why}", .partition.index, .partition.topic_id)]
    Records {
        /// Whose.
        partition: PartitionId,
        /// What is wrong with them.
        why: String,
    },
    /// There is a newer one from the same shard.
    #[error("the other side connected anew")]
    Replaced,
    /// The other side is another process by now, or listens elsewhere.
    #[error("the metadata has a newer registration of the other side, or of this node")]
    Registered,
    /// Nothing is to be had from there any longer.
    #[error("no partition is followed over it any longer")]
    Unused,
    /// This node stops.
    #[error("this node is stopping")]
    Stopping,
}

impl ConnectionError {
    /// Whether it ends a connection in the course of things, so that nobody needs to look.
    pub fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::NotRegistered
                | Self::Replaced
                | Self::Registered
                | Self::Unused
                | Self::Stopping
                | Self::Closed
        )
    }
}
