//! Nodes with one shard each, in one executor: real logs, real connections, metadata as the test says.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use replica::{IsrAnswer, IsrChange, Peer};
use rt::executor::ExecutorConfig;
use storage::{Drive, DriveConfig, Log, LogName, Read, TailBudget, Watermarks};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::following::Target;
use super::super::{ConnectionError, Host, LocalFuture, Replication};
use crate::config::{Layers, Overrides, TopicConfig};
use crate::partition::{
    Appended, Given, Opened, Partition, PartitionId, Peers, Place, Rebuilt, log_config,
};

/// How long anything may take that has to come about at last.
const AT_LAST: Duration = Duration::from_secs(60);

/// `replica.lag.time.max.ms` of all nodes.
pub(super) const LAG_MAX_MS: u64 = 1_500;

/// What all nodes know.
#[derive(Default)]
pub(super) struct World {
    addresses: RefCell<BTreeMap<i32, SocketAddr>>,
    epochs: RefCell<BTreeMap<i32, i64>>,
    partitions: RefCell<BTreeMap<i32, Given>>,
    /// Nobody finds anybody.
    parted: Cell<bool>,
}

/// A node.
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) replication: Rc<Replication>,
    partitions: Rc<RefCell<BTreeMap<PartitionId, Rc<Partition>>>>,
    drive: Drive,
    watermarks: Watermarks,
    _dir: TempDir,
}

struct TestHost {
    world: Rc<World>,
    partitions: Rc<RefCell<BTreeMap<PartitionId, Rc<Partition>>>>,
}

impl Host for TestHost {
    fn cluster_id(&self) -> Option<String> {
        Some("a-cluster".to_owned())
    }

    fn broker_epoch(&self, node: i32) -> Option<i64> {
        self.world.epochs.borrow().get(&node).copied()
    }

    fn shard_of(&self, _node: i32, _partition: PartitionId) -> Option<u16> {
        Some(0)
    }

    fn address(&self, node: i32, _shard: u16) -> Option<(String, u16)> {
        if self.world.parted.get() {
            return None;
        }
        let addresses = self.world.addresses.borrow();
        let address = addresses.get(&node)?;
        Some((address.ip().to_string(), address.port()))
    }

    fn partition(&self, id: PartitionId) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&id).map(Rc::clone)
    }

    fn partitions(&self) -> Vec<Rc<Partition>> {
        self.partitions.borrow().values().map(Rc::clone).collect()
    }

    fn lag_max_ms(&self) -> u64 {
        LAG_MAX_MS
    }

    fn alter_isr(&self, changes: Vec<(PartitionId, IsrChange)>) -> LocalFuture<Vec<IsrAnswer>> {
        let world = Rc::clone(&self.world);
        Box::pin(async move {
            rt::task::yield_now().await;
            let decide = |(id, change): (PartitionId, IsrChange)| world.decide(id.index, &change);
            changes.into_iter().map(decide).collect()
        })
    }

    fn resign(&self, partition: PartitionId, leader_epoch: i32) -> LocalFuture<()> {
        panic!("nothing makes a leader of {partition:?} resign in epoch {leader_epoch}");
    }
}

impl World {
    /// The controller's part: changes that fit are made.
    fn decide(&self, index: i32, change: &IsrChange) -> IsrAnswer {
        let mut partitions = self.partitions.borrow_mut();
        let Some(state) = partitions.get_mut(&index) else {
            return IsrAnswer::NotLeader;
        };
        if change.leader_epoch != state.leader_epoch {
            return IsrAnswer::Fenced;
        }
        if change.partition_epoch != state.partition_epoch {
            return IsrAnswer::InvalidVersion;
        }
        state.partition_epoch += 1;
        state.isr = change.isr.iter().map(|member| member.node).collect();
        IsrAnswer::Accepted {
            partition_epoch: state.partition_epoch,
        }
    }

    /// The ISR that the controller has.
    pub(super) fn isr(&self, index: i32) -> Vec<i32> {
        let mut isr = self.partitions.borrow()[&index].isr.clone();
        isr.sort_unstable();
        isr
    }
}

pub(super) fn id(index: i32) -> PartitionId {
    PartitionId {
        topic_id: Uuid::from_u128(77),
        index,
    }
}

/// The nodes and what they know.
pub(super) struct Cluster {
    pub(super) world: Rc<World>,
    pub(super) nodes: Vec<Node>,
    appended: Cell<u64>,
}

impl Cluster {
    /// Nodes 0 and on, connected to whom they follow.
    pub(super) async fn new(nodes: i32, tail_bytes: usize) -> Self {
        let world = Rc::new(World::default());
        let mut all = Vec::new();
        for id in 0..nodes {
            world.epochs.borrow_mut().insert(id, 10);
            all.push(Node::new(id, &world, tail_bytes).await);
        }
        Self {
            world,
            nodes: all,
            appended: Cell::new(0),
        }
    }

    /// Makes a partition with replicas on these nodes, the first of which leads.
    pub(super) async fn create(&self, index: i32, replicas: &[i32]) {
        for &node in replicas {
            self.nodes[node as usize].open(index).await;
        }
        self.give(index, replicas);
    }

    /// Puts a partition into the metadata, and tells it to who has opened it.
    pub(super) fn give(&self, index: i32, replicas: &[i32]) {
        let given = Given {
            leader: replicas[0],
            leader_epoch: 1,
            partition_epoch: 1,
            replicas: replicas.iter().map(|&node| self.peer(node)).collect(),
            isr: replicas.to_vec(),
        };
        self.world.partitions.borrow_mut().insert(index, given);
        self.tell(index);
    }

    fn peer(&self, node: i32) -> Peer {
        Peer {
            node,
            broker_epoch: self.world.epochs.borrow()[&node],
            eligible: true,
        }
    }

    /// Tells all nodes what the metadata has of a partition.
    pub(super) fn tell(&self, index: i32) {
        let given = self.world.partitions.borrow()[&index].clone();
        for node in &self.nodes {
            if let Some(partition) = node.find(index) {
                partition.assign(&given.assignment());
            }
        }
    }

    /// Changes what the metadata has of a partition.
    fn change(&self, index: i32, change: impl FnOnce(&mut Given)) {
        let mut partitions = self.world.partitions.borrow_mut();
        let state = partitions.get_mut(&index).unwrap();
        change(state);
        state.partition_epoch += 1;
    }

    /// Elects another leader with this ISR, and tells it to that one only.
    pub(super) fn elect_for(&self, index: i32, leader: i32, isr: &[i32]) {
        self.change(index, |state| {
            state.leader = leader;
            state.leader_epoch += 1;
            state.isr = isr.to_vec();
        });
        let given = self.world.partitions.borrow()[&index].clone();
        let partition = self.nodes[leader as usize].partition(index);
        partition.assign(&given.assignment());
    }

    /// Gives a partition another replica.
    pub(super) fn add_replica(&self, index: i32, node: i32) {
        let peer = self.peer(node);
        self.change(index, |state| state.replicas.push(peer));
        self.tell(index);
    }

    /// A node registers anew.
    pub(super) fn register(&self, node: i32, epoch: i64) {
        self.world.epochs.borrow_mut().insert(node, epoch);
        for partition in self
            .nodes
            .iter()
            .flat_map(|node| node.replication.host.partitions())
        {
            partition.peer_changed(self.peer(node));
        }
        for other in &self.nodes {
            other.replication.peer_changed(node);
        }
    }

    /// Where a node listens.
    pub(super) fn address(&self, node: i32) -> SocketAddr {
        self.world.addresses.borrow()[&node]
    }

    /// Parts all nodes from each other until they are joined.
    pub(super) fn part(&self) {
        self.world.parted.set(true);
        for node in &self.nodes {
            self.cut(node.id);
        }
    }

    /// Ends that.
    pub(super) fn join(&self) {
        self.world.parted.set(false);
    }

    /// Appends a batch of `records` records to a leader.
    pub(super) fn append(&self, node: i32, index: i32, records: usize) -> Appended {
        let number = self.appended.get() + 1;
        self.appended.set(number);
        let mut builder = batch::Builder::new(batch::Compression::None);
        for at in 0..records {
            let value = format!("record {at} of append {number} {}", "x".repeat(100));
            builder.push(batch::NewRecord {
                timestamp: 1_000,
                key: None,
                value: Some(value.as_bytes()),
                headers: &[],
            });
        }
        let bytes = BytesMut::from(&builder.build().unwrap()[..]);
        let limits = batch::ProducedLimits::new(1 << 20);
        let info = batch::check_produced(&bytes, limits).unwrap();
        let partition = self.nodes[node as usize].partition(index);
        partition.append(bytes, info, 1_000, true).unwrap()
    }

    /// Waits until all replicas have the same, and know that all of it is committed.
    pub(super) async fn settle(&self, index: i32) {
        let replicas = self.world.partitions.borrow()[&index].clone();
        let leader = self.nodes[replicas.leader as usize].partition(index);
        let all: Vec<_> = replicas
            .replicas
            .iter()
            .map(|peer| self.nodes[peer.node as usize].partition(index))
            .collect();
        at_last("all replicas are equal", || {
            let end = leader.log().end().appended();
            all.iter().all(|partition| {
                partition.log().stable_end() == end && partition.high_watermark() == end
            })
        })
        .await;
        let wanted = content(&leader).await;
        for partition in all {
            assert!(content(&partition).await == wanted, "the logs differ");
        }
    }

    /// Breaks every connection of a node, and says how many there were.
    pub(super) fn cut(&self, node: i32) -> usize {
        let replication = &self.nodes[node as usize].replication;
        let why = || ConnectionError::Unexpected("a cut of the test's");
        for inbound in &*replication.inbound.borrow() {
            inbound.line.close(why());
        }
        for link in replication.links.all() {
            if let Some(line) = link.line() {
                line.close(why());
            }
        }
        let (up, down) = replication.connections();
        up + down
    }

    /// Ends all of it.
    pub(super) fn stop(&self) {
        for node in &self.nodes {
            node.replication.stop();
        }
    }
}

impl Node {
    async fn new(id: i32, world: &Rc<World>, tail_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = DriveConfig::new(TailBudget::new(tail_bytes));
        let drive = Drive::open(dir.path(), config).await.unwrap();
        let watermarks = Watermarks::open(&drive).await;
        let partitions = Rc::default();
        let host = TestHost {
            world: Rc::clone(world),
            partitions: Rc::clone(&partitions),
        };
        let replication = Replication::new(id, 0, Box::new(host));
        let address = replication.listen(([127, 0, 0, 1], 0).into()).unwrap();
        world.addresses.borrow_mut().insert(id, address);
        Self {
            id,
            replication,
            partitions,
            drive,
            watermarks,
            _dir: dir,
        }
    }

    /// Makes the log of a replica.
    pub(super) async fn open(&self, index: i32) {
        let config = TopicConfig::resolve(&Overrides::new(), &Layers::defaults()).unwrap();
        let name = LogName {
            topic: "topic".to_owned(),
            partition: index,
            topic_id: id(index).topic_id,
        };
        let log = Log::create(&self.drive, &name, log_config(&config))
            .await
            .unwrap();
        let opened = Opened {
            id: id(index),
            topic: "topic".to_owned(),
            log,
            producers: Rebuilt::default(),
            config: Rc::new(config),
        };
        let place = Place {
            node: self.id,
            peers: Rc::clone(&self.replication) as Rc<dyn Peers>,
            watermarks: self.watermarks.clone(),
            lag_max_ms: LAG_MAX_MS,
        };
        let partition = Partition::new(opened, place);
        self.partitions.borrow_mut().insert(id(index), partition);
    }

    fn find(&self, index: i32) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&id(index)).map(Rc::clone)
    }

    /// A partition that is here.
    pub(super) fn partition(&self, index: i32) -> Rc<Partition> {
        self.find(index).unwrap()
    }

    /// Takes a partition away, as a reassignment does.
    pub(super) async fn remove(&self, index: i32) {
        let partition = self.partitions.borrow_mut().remove(&id(index)).unwrap();
        self.replication.removed(id(index));
        partition.abandon("it was reassigned");
        partition.log().delete().await.unwrap();
    }

    /// What it would say to another node when it dials.
    pub(super) fn hello_to(&self, node: i32) -> replica::wire::Hello {
        let target = Target { node, shard: 0 };
        self.replication.hello(target, 1).unwrap()
    }
}

/// All of a log's batches.
pub(super) async fn content(partition: &Partition) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = partition.log().log_start();
    let end = partition.log().end().appended();
    while from < end {
        let batches: Vec<Bytes> = match partition.log().read(from, end, 1 << 20, true) {
            Read::Tail(batches) => batches,
            Read::Cold(read) => read.run().await.unwrap(),
            other => panic!("no records at {from}: {other:?}"),
        };
        for bytes in batches {
            for batch in batch::batches(&bytes) {
                from = batch.unwrap().next_offset();
            }
            all.extend_from_slice(&bytes);
        }
    }
    all
}

/// Waits for what has to come about at last.
pub(super) async fn at_last(what: &str, is_so: impl Fn() -> bool) {
    let begun = rt::time::now();
    while !is_so() {
        assert!(begun.elapsed() < AT_LAST, "it never came about that {what}");
        rt::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a test in an executor of its own.
pub(super) fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    let config = ExecutorConfig {
        io_memory: 4 << 20,
        ..ExecutorConfig::default()
    };
    rt::executor::run(config, test).unwrap();
}
