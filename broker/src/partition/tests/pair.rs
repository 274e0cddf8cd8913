//! Two replicas of a partition on two drives of one executor, whose messages are handed over by hand.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use batch::{Batch, BatchInfo, Builder, Compression, NewRecord};
use bytes::{Bytes, BytesMut};
use replica::{
    Answer, Assignment, Follow, IsrAnswer, IsrChange, Next, Peer, Progress, Records, Sender,
};
use rt::executor::{self, ExecutorConfig};
use storage::{Drive, DriveConfig, Log, LogName, Read, TailBudget, Watermarks};
use uuid::Uuid;

use super::super::*;
use crate::config::Layers;
use crate::config::Overrides;

/// Runs a test on an executor of its own, in an empty folder of the disk the build is on.
pub(crate) fn on_disk<Fut: Future<Output = ()> + 'static>(
    test: impl FnOnce(PathBuf) -> Fut + Send + 'static,
) {
    let exe = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir_in(exe.parent().unwrap()).unwrap();
    let path = folder.path().to_owned();
    let config = ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 4 << 20,
        ..ExecutorConfig::default()
    };
    executor::run(config, move || test(path)).unwrap();
}

/// Something a replica said.
pub(crate) enum Said {
    Follow(i32, Follow),
    Progress(i32, Progress),
    Answer(i32, Answer),
    Alter(IsrChange),
    Resign(i32),
}

/// Keeps what a replica says until somebody takes it.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) RefCell<Vec<Said>>);

impl Kept {
    fn say(&self, said: Said) {
        self.0.borrow_mut().push(said);
    }
}

impl Peers for Kept {
    fn follow(&self, _partition: &Rc<Partition>, to: i32, follow: Follow) {
        self.say(Said::Follow(to, follow));
    }

    fn progress(&self, _partition: PartitionId, to: i32, progress: Progress) {
        self.say(Said::Progress(to, progress));
    }

    fn answer(&self, _partition: PartitionId, to: i32, answer: Answer) {
        self.say(Said::Answer(to, answer));
    }

    fn alter_partition(&self, _partition: PartitionId, change: IsrChange) {
        self.say(Said::Alter(change));
    }

    fn resign(&self, _partition: PartitionId, leader_epoch: i32) {
        self.say(Said::Resign(leader_epoch));
    }

    fn leader_moved(&self, _partition: &Partition) {}

    fn removed(&self, _partition: PartitionId) {}

    fn peer_changed(&self, _node: i32) {}
}

pub(crate) fn default_config() -> TopicConfig {
    let none = Overrides::new();
    TopicConfig::resolve(&none, &Layers::of(&none)).unwrap()
}

/// One replica.
pub(crate) struct Node {
    pub(crate) drive: Drive,
    pub(crate) watermarks: Watermarks,
    pub(crate) kept: Rc<Kept>,
    pub(crate) partition: Rc<Partition>,
    pub(super) number: i32,
}

const ID: PartitionId = PartitionId {
    topic_id: Uuid::from_u128(7),
    index: 0,
};

pub(super) async fn drive(path: &Path) -> Drive {
    let tail = TailBudget::new(16 << 20);
    let drive = DriveConfig {
        reserve_bytes: 0,
        ..DriveConfig::new(tail)
    };
    Drive::open(path, drive).await.unwrap()
}

impl Node {
    async fn make(path: &Path, node: i32, config: TopicConfig) -> Self {
        let drive = drive(path).await;
        let name = LogName {
            topic: "t".to_owned(),
            partition: 0,
            topic_id: ID.topic_id,
        };
        let log = Log::create(&drive, &name, log_config(&config)).await;
        Self::over(drive, log.unwrap(), Rebuilt::default(), node, config).await
    }

    /// A replica with this log.
    pub(super) async fn over(
        drive: Drive,
        log: Log,
        producers: Rebuilt,
        node: i32,
        config: TopicConfig,
    ) -> Self {
        let kept = Rc::new(Kept::default());
        let watermarks = Watermarks::open(&drive).await;
        let opened = Opened {
            id: ID,
            topic: "t".to_owned(),
            log,
            producers,
            config: Rc::new(config),
        };
        let place = Place {
            node,
            peers: Rc::clone(&kept) as Rc<dyn Peers>,
            watermarks: watermarks.clone(),
            lag_max_ms: 30_000,
        };
        Self {
            drive,
            watermarks,
            kept,
            partition: Partition::new(opened, place),
            number: node,
        }
    }

    /// All bytes of its log.
    pub(crate) async fn bytes(&self) -> Vec<u8> {
        let log = self.partition.log();
        let (mut at, end) = (log.log_start(), log.end().appended());
        let mut all = Vec::new();
        while at < end {
            let (bytes, next) = read(log, at, end).await;
            all.extend_from_slice(&bytes);
            at = next;
        }
        all
    }
}

async fn read(log: &Log, from: i64, end: i64) -> (Bytes, i64) {
    let batches = match log.read(from, end, 64 << 10, true) {
        Read::Tail(batches) => batches,
        Read::Cold(cold) => cold.run().await.unwrap(),
        other => panic!("nothing at {from}: {other:?}"),
    };
    let bytes = Bytes::from(batches.concat());
    let next = batch::batches(&bytes)
        .last()
        .unwrap()
        .unwrap()
        .next_offset();
    (bytes, next)
}

/// Both replicas.
pub(crate) struct Pair {
    pub(crate) nodes: [Node; 2],
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) partition_epoch: i32,
    /// What was asked of the controller, answered with yes.
    pub(crate) changes: Vec<IsrChange>,
}

impl Pair {
    pub(crate) async fn make(path: &Path, config: TopicConfig) -> Self {
        let nodes = [
            Node::make(&path.join("0"), 0, config.clone()).await,
            Node::make(&path.join("1"), 1, config).await,
        ];
        Self {
            nodes,
            leader: -1,
            leader_epoch: 0,
            partition_epoch: 0,
            changes: Vec::new(),
        }
    }

    pub(crate) fn node(&self, at: i32) -> &Node {
        &self.nodes[usize::try_from(at).unwrap()]
    }

    /// Gives both the same metadata.
    pub(crate) fn assign(&mut self, leader: i32, isr: &[i32]) {
        self.leader_epoch += i32::from(leader != self.leader);
        self.leader = leader;
        self.partition_epoch += 1;
        let replicas = [0, 1].map(|node| Peer {
            node,
            broker_epoch: 1,
            eligible: true,
        });
        for node in &self.nodes {
            node.partition.assign(&Assignment {
                leader,
                leader_epoch: self.leader_epoch,
                partition_epoch: self.partition_epoch,
                replicas: &replicas,
                isr,
            });
        }
    }

    /// Hands messages over until nobody has anything to say and all is written.
    pub(crate) async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 20 {
            quiet += 1;
            for at in 0..2 {
                if self.deliver_all(at) {
                    quiet = 0;
                }
                while self.send(at).await {
                    quiet = 0;
                }
            }
            let busy = |node: &Node| {
                let log = node.partition.log();
                log.stable_end() < log.end().appended()
                    || node.partition.state.borrow().work.is_under_way()
            };
            if self.nodes.iter().any(busy) {
                quiet = 0;
            }
            rt::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Hands over what a replica has said; false if that is nothing.
    pub(crate) fn deliver_all(&mut self, from: i32) -> bool {
        let said = std::mem::take(&mut *self.node(from).kept.0.borrow_mut());
        let any = !said.is_empty();
        for said in said {
            self.deliver(from, said);
        }
        any
    }

    fn deliver(&mut self, from: i32, said: Said) {
        let sender = Sender {
            node: from,
            broker_epoch: 1,
            session: 1,
        };
        match said {
            Said::Follow(to, follow) => self.node(to).partition.on_follow(sender, &follow),
            Said::Progress(to, progress) => self.node(to).partition.on_progress(sender, &progress),
            Said::Answer(to, answer) => self.node(to).partition.on_answer(from, &answer),
            Said::Alter(change) => {
                self.partition_epoch = change.partition_epoch + 1;
                let answer = IsrAnswer::Accepted {
                    partition_epoch: self.partition_epoch,
                };
                self.node(from).partition.isr_answer(change.request, answer);
                self.changes.push(change);
            }
            Said::Resign(epoch) => panic!("{from} can't lead in epoch {epoch}"),
        }
    }

    /// Sends one message of a leader's log to the other; false if there is none.
    async fn send(&self, from: i32) -> bool {
        let to = 1 - from;
        let (leader, follower) = (&self.node(from).partition, &self.node(to).partition);
        match leader.next_for(to) {
            Next::Nothing => return false,
            Next::Records { .. } => {
                let (header, bytes) = self.records(from).await;
                follower.on_records(from, &header, &bytes).unwrap();
            }
            Next::Moved(moved) => {
                leader.sent_moved(to, &moved);
                follower.on_moved(from, &moved);
            }
            Next::OutOfRange(answer) => follower.on_answer(from, &answer),
        }
        true
    }

    /// The records that a leader would send now.
    pub(crate) async fn records(&self, from: i32) -> (Records, Bytes) {
        let to = 1 - from;
        let leader = &self.node(from).partition;
        let Next::Records { from, end } = leader.next_for(to) else {
            panic!("there is nothing to send");
        };
        let epoch = leader.leader_epoch();
        let batches = match leader.read_to_send(from, end, 10_000) {
            Read::Tail(batches) => batches,
            Read::Cold(cold) => cold.run().await.unwrap(),
            other => panic!("nothing to send at {from}: {other:?}"),
        };
        let bytes = Bytes::from(batches.concat());
        let last = batch::batches(&bytes).last().unwrap().unwrap();
        let between = (from, last.next_offset());
        let header = leader.sent_records(to, epoch, between).unwrap();
        (header, bytes)
    }

    /// Both logs are the same, and all of them is committed.
    pub(crate) async fn assert_same(&self, end: i64) {
        for node in &self.nodes {
            assert_eq!(node.partition.log().end().appended(), end);
            assert_eq!(node.partition.high_watermark(), end);
        }
        assert_eq!(self.nodes[0].bytes().await, self.nodes[1].bytes().await);
    }

    pub(crate) async fn close(self) {
        for node in self.nodes {
            node.partition.log().close().await.unwrap();
            node.drive.close(true).await.unwrap();
        }
    }
}

/// A batch of `count` records as a producer sends it; `sequence` is of the idempotent producer 9.
pub(crate) fn produced(count: usize, sequence: Option<i32>) -> (BytesMut, BatchInfo) {
    let mut builder = Builder::new(Compression::None);
    if let Some(sequence) = sequence {
        builder = builder.producer(9, 0, sequence);
    }
    for at in 0..count {
        builder.push(NewRecord {
            timestamp: 1_000 + at as i64,
            value: Some(&[at as u8; 500]),
            ..NewRecord::default()
        });
    }
    let bytes = BytesMut::from(&builder.build().unwrap()[..]);
    let info = Batch::parse(&bytes).unwrap().info();
    (bytes, info)
}

/// Appends a batch, and gives who waits for it.
pub(crate) fn append(
    partition: &Partition,
    count: usize,
    sequence: Option<i32>,
    all: bool,
) -> Result<Appended, ProduceError> {
    let (bytes, info) = produced(count, sequence);
    partition.append(bytes, info, 5_000, all)
}

/// Whether a wait is over, and how it ended.
pub(crate) async fn now(waiting: &mut oneshot::Receiver<Outcome>) -> Option<Outcome> {
    let looked = rt::time::timeout(Duration::ZERO, waiting).await.ok()?;
    Some(looked.unwrap())
}
