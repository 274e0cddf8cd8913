//! What replication needs of the shard around it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use replica::{IsrAnswer, IsrChange};

use crate::partition::{Partition, PartitionId};
use crate::shard::{ServeError, Shard};

/// A future of this thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// The shard that replication is part of, and what it knows of the cluster.
pub trait Host {
    /// The cluster's id, once it has one.
    fn cluster_id(&self) -> Option<String>;

    /// The epoch of a node's registration; `None` if it isn't registered.
    fn broker_epoch(&self, node: i32) -> Option<i64>;

    /// The shard of `node` that holds its replica of a partition; `None` if the metadata doesn't tell.
    fn shard_of(&self, node: i32, partition: PartitionId) -> Option<u16>;

    /// Where a shard of `node` listens for other nodes: a host and a port.
    fn address(&self, node: i32, shard: u16) -> Option<(String, u16)>;

    /// A partition of this shard's that is online.
    fn partition(&self, id: PartitionId) -> Option<Rc<Partition>>;

    /// All partitions of this shard's that are online.
    fn partitions(&self) -> Vec<Rc<Partition>>;

    /// `replica.lag.time.max.ms`.
    fn lag_max_ms(&self) -> u64;

    /// Asks the controller for other ISRs: an answer for each, in the same order.
    fn alter_isr(&self, changes: Vec<(PartitionId, IsrChange)>) -> LocalFuture<Vec<IsrAnswer>>;

    /// Asks the controller to end a leadership of this node's.
    fn resign(&self, partition: PartitionId, leader_epoch: i32) -> LocalFuture<()>;
}

impl Shard {
    /// Listens for the shards of other nodes, and begins to replicate. Gives the address, with its port
    /// where 0 was asked for.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn listen_replication(&self, address: SocketAddr) -> Result<SocketAddr, ServeError> {
        let listening = self.replication().listen(address);
        listening.map_err(|source| ServeError::Listen {
            address,
            source,
            flag: "--internal",
        })
    }
}

/// The shard of a node. It owns the replication, so it is known by a weak reference here.
pub(super) struct OfShard(pub(super) Weak<Shard>);

impl OfShard {
    fn look<R>(&self, look: impl FnOnce(&Rc<Shard>) -> Option<R>) -> Option<R> {
        look(&self.0.upgrade()?)
    }
}

impl Host for OfShard {
    fn cluster_id(&self) -> Option<String> {
        self.look(|shard| shard.with_image(|image| image.cluster_id().map(str::to_owned)))
    }

    fn broker_epoch(&self, node: i32) -> Option<i64> {
        self.look(|shard| shard.with_image(|image| image.broker(node).map(|broker| broker.epoch)))
    }

    fn shard_of(&self, node: i32, id: PartitionId) -> Option<u16> {
        self.look(|shard| {
            shard.with_image(|image| {
                let partition = image.topic_by_id(id.topic_id)?.partition(id.index)?;
                let drive = partition.directory_on(node)?;
                let drives = &image.broker(node)?.drives;
                let info = drives.iter().find(|info| info.id == drive)?;
                u16::try_from(info.shard).ok()
            })
        })
    }

    fn address(&self, node: i32, shard: u16) -> Option<(String, u16)> {
        self.look(|this| {
            this.with_image(|image| {
                let endpoints = &image.broker(node)?.internal_endpoints;
                let endpoint = endpoints.get(usize::from(shard))?;
                Some((endpoint.host.clone(), endpoint.port))
            })
        })
    }

    fn partition(&self, id: PartitionId) -> Option<Rc<Partition>> {
        self.look(|shard| shard.partition(id).ok())
    }

    fn partitions(&self) -> Vec<Rc<Partition>> {
        self.look(|shard| Some(shard.partitions()))
            .unwrap_or_default()
    }

    fn lag_max_ms(&self) -> u64 {
        self.look(|shard| Some(shard.settings().replica_lag_time_max_ms))
            .unwrap_or(30_000)
    }

    fn alter_isr(&self, changes: Vec<(PartitionId, IsrChange)>) -> LocalFuture<Vec<IsrAnswer>> {
        let shard = self.0.upgrade();
        Box::pin(async move {
            match shard {
                Some(shard) => shard.alter_isr(changes).await,
                None => vec![IsrAnswer::Unknown; changes.len()],
            }
        })
    }

    fn resign(&self, partition: PartitionId, leader_epoch: i32) -> LocalFuture<()> {
        let shard = self.0.upgrade();
        Box::pin(async move {
            if let Some(shard) = shard {
                shard.resign(partition, leader_epoch).await;
            }
        })
    }
}
