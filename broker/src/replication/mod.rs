//! Replication between the shards of nodes (ADR 8): carries what partitions have to say to each other.
//!
//! A shard that has followers of a leader's partitions keeps one connection to the shard that leads them
//! (`following`, `dial`); the leader's shard has one for each such (`leading`, `accept`), over which it
//! sends what its partitions have that is new (`outgoing`). What partitions ask of the controller goes
//! through `requests`. The rules are `replica`'s; partitions apply them.
//!
//! A partition only notes here what it has to say. A writer for each connection gathers from all partitions
//! what there is, one frame and one write a round, so that cost goes by the round and not by the message.
//! Nothing here may copy the records' bytes or hold a borrow while it calls a partition.

mod accept;
mod dial;
mod error;
mod following;
mod greeting;
mod host;
mod inbox;
mod leading;
mod line;
mod metrics;
mod outgoing;
mod requests;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use net::recycle::FramePool;
use replica::{Answer, Follow, IsrChange, Progress};
use rt::sync::Notify;
use rt::task::Class;

use crate::partition::{Partition, PartitionId, Peers, clock_ms};
use crate::shard::Shard;
pub use error::ConnectionError;
use following::{Links, Target};
pub use host::{Host, LocalFuture};
use leading::{Followers, Inbound};
use metrics::Counts;
pub use metrics::ReplicationCounts;
use requests::Requests;

/// The longest time between two ticks.
const LONGEST_TICK: Duration = Duration::from_millis(500);

/// The shortest.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// A silent connection is ended after `replica.lag.time.max.ms`, but not before.
const LEAST_SILENCE_MS: u64 = 2_000;

/// How often memory that is not used is looked for.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

/// The replication of a shard.
pub struct Replication {
    node: i32,
    shard: u16,
    this: Weak<Self>,
    host: Box<dyn Host>,
    /// Connections of followers.
    inbound: RefCell<Vec<Rc<Inbound>>>,
    followers: Followers,
    /// Connections to leaders.
    links: Links,
    requests: Requests,
    counts: Counts,
    pool: Rc<FramePool>,
    stopped: Cell<bool>,
    stopping: Notify,
}

impl Replication {
    /// Of shard `shard` of node `node`.
    pub fn new(node: i32, shard: u16, host: Box<dyn Host>) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            node,
            shard,
            this: Weak::clone(this),
            host,
            inbound: RefCell::default(),
            followers: Followers::default(),
            links: Links::default(),
            requests: Requests::default(),
            counts: Counts::default(),
            pool: Rc::default(),
            stopped: Cell::new(false),
            stopping: Notify::new(),
        })
    }

    /// Of a shard, which owns it.
    pub(crate) fn of_shard(node: i32, shard: u16, owner: Weak<Shard>) -> Rc<Self> {
        Self::new(node, shard, Box::new(host::OfShard(owner)))
    }

    fn start(self: &Rc<Self>) {
        let work: [LocalFuture<()>; 4] = [
            Box::pin(Rc::clone(self).tick_for_ever()),
            Box::pin(Rc::clone(self).alter_for_ever()),
            Box::pin(Rc::clone(self).resign_for_ever()),
            Box::pin(Rc::clone(self).trim_for_ever()),
        ];
        for work in work {
            rt::task::spawn_in(Class::Serve, work).detach();
        }
    }

    /// Ends every connection, and makes and takes none any more. To be called when this node leads nothing
    /// any longer, before the logs are closed.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.stopping.notify_one();
        for inbound in &*self.inbound.borrow() {
            inbound.line.close(ConnectionError::Stopping);
        }
        for link in self.links.all() {
            link.retired.set(true);
            link.close(ConnectionError::Stopping);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// What was counted.
    pub fn counts(&self) -> ReplicationCounts {
        self.counts.get()
    }

    /// Connections open now: to leaders, and of followers.
    pub fn connections(&self) -> (usize, usize) {
        let links = self.links.all();
        let up = links.iter().filter(|link| link.line().is_some()).count();
        (up, self.inbound.borrow().len())
    }

    async fn trim_for_ever(self: Rc<Self>) {
        while !self.is_stopped() {
            rt::time::sleep(TRIM_INTERVAL).await;
            self.pool.trim();
        }
    }

    async fn tick_for_ever(self: Rc<Self>) {
        while !self.is_stopped() {
            let lag_max_ms = self.host.lag_max_ms();
            let interval = Duration::from_millis(lag_max_ms / 10);
            rt::time::sleep(interval.clamp(SHORTEST_TICK, LONGEST_TICK)).await;
            self.tick(lag_max_ms).await;
        }
    }

    async fn tick(&self, lag_max_ms: u64) {
        let (now_ms, limit_ms) = (clock_ms(), lag_max_ms.max(LEAST_SILENCE_MS));
        let inbound = self.inbound.borrow().clone();
        for inbound in inbound {
            inbound.line.tick(now_ms, limit_ms);
            inbound.tick();
        }
        for link in self.links.all() {
            if let Some(line) = link.line() {
                line.tick(now_ms, limit_ms);
            }
        }
        self.links.tick(self);
        for partition in self.host.partitions() {
            let id = partition.id();
            partition.tick(|node| self.followers.heard_ms(id, node));
            let hint = partition.leader_hint();
            if hint.leader == self.node && !partition.is_leader() {
                // It gave up, and the word of it may have got lost.
                self.requests.resign(id, hint.leader_epoch);
            }
            rt::task::yield_if_needed().await;
        }
    }

    /// Where the leader `node` has a partition.
    fn target(&self, node: i32, partition: PartitionId) -> Option<Target> {
        let shard = self.host.shard_of(node, partition)?;
        Some(Target { node, shard })
    }

    /// Ends connections with `node`, or all where that is this one, that were made under an earlier
    /// registration, and dials anew at once.
    fn end_outdated(&self, node: i32) {
        let epoch = |node| self.host.broker_epoch(node).unwrap_or(-1);
        let own_epoch = epoch(self.node);
        for link in self.links.all() {
            if node == link.target.node || node == self.node {
                match link.line() {
                    Some(line) => line.close_if_outdated(epoch(link.target.node), own_epoch),
                    None => link.again.notify_one(),
                }
            }
        }
        for inbound in &*self.inbound.borrow() {
            let line = &inbound.line;
            if node == line.peer.node || node == self.node {
                line.close_if_outdated(epoch(line.peer.node), own_epoch);
            }
        }
    }

    /// Has partitions that follow `node`, or should, look anew where its shards are.
    fn place_anew(&self, node: i32) {
        for (partition, target) in self.links.members_of(node) {
            if self
                .target(node, partition.id())
                .is_some_and(|now| now != target)
            {
                partition.connected();
            }
        }
        for partition in self.host.partitions() {
            if partition.leader_hint().leader == node && !self.links.has(partition.id()) {
                partition.connected();
            }
        }
    }
}

impl Peers for Replication {
    fn follow(&self, partition: &Rc<Partition>, to: i32, follow: Follow) {
        // Where the metadata doesn't tell yet where that is, the partition asks again.
        let target = self.target(to, partition.id());
        let (Some(target), Some(this)) = (target, self.this.upgrade()) else {
            self.links.remove(partition.id());
            return;
        };
        if !self.is_stopped() {
            self.links.follow(&this, partition, target, follow);
        }
    }

    fn progress(&self, partition: PartitionId, to: i32, progress: Progress) {
        self.links.progress(partition, to, progress);
    }

    fn answer(&self, partition: PartitionId, to: i32, answer: Answer) {
        if let Some(followed) = self.followers.of(partition, to) {
            followed.inbound.answer(followed.number, answer);
        }
    }

    fn alter_partition(&self, partition: PartitionId, change: IsrChange) {
        self.requests.alter(partition, change);
    }

    fn resign(&self, partition: PartitionId, leader_epoch: i32) {
        self.requests.resign(partition, leader_epoch);
    }

    fn leader_moved(&self, partition: &Partition) {
        self.followers.mark(partition.id());
    }

    fn removed(&self, partition: PartitionId) {
        self.links.remove(partition);
    }

    fn peer_changed(&self, node: i32) {
        self.end_outdated(node);
        self.place_anew(node);
    }
}
