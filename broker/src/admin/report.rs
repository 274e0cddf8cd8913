//! What each shard tells of itself: copies of its counters that may leave it.
//!
//! Runs on the shard that is asked. Must not hold a borrow of the shard across an await, and yields
//! where it goes through partitions.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rt::sync::Credit;
use storage::{Drive, DriveMetrics, Health, LogMetrics};
use uuid::Uuid;

use super::metrics::{ApiCounts, RecordCounts};
use crate::coordinator::CoordinatorReport;
use crate::partition::Partition;
use crate::replication::ReplicationCounts;
use crate::shard::Shard;
use crate::shard::compaction::CompactionCounts;
use crate::share::ShareReport;

/// A drive that hangs is asked for its space for no longer than this.
const SPACE_LIMIT: Duration = Duration::from_secs(1);
/// Partitions looked at before others get their turn.
const PARTITIONS_AT_ONCE: usize = 256;

/// A budget of memory and who draws on it.
#[derive(Clone, Debug, Default)]
pub struct BudgetReport {
    /// What it is for.
    pub owner: &'static str,
    /// Bytes there are.
    pub limit: usize,
    /// Bytes in use.
    pub used: usize,
    /// Tasks that wait for some, where one can.
    pub waiters: Option<usize>,
}

/// What a shard counted and holds.
#[derive(Clone, Debug, Default)]
pub struct ShardReport {
    /// The shard's number.
    pub shard: usize,
    /// CPU time of its thread, where the kernel tells.
    pub cpu: Option<Duration>,
    /// Connections open now.
    pub connections: usize,
    /// Requests by API.
    pub apis: Vec<ApiCounts>,
    /// Records in and out.
    pub records: RecordCounts,
    /// Messages in the lane to each other shard.
    pub lanes: Vec<(usize, usize)>,
    /// Calls to other shards that are not answered.
    pub calls: usize,
    /// Fetch sessions, and the partitions they remember.
    pub sessions: (usize, usize),
    /// Fetches of other shards that wait here.
    pub remote_waits: usize,
    /// Its memory.
    pub budgets: Vec<BudgetReport>,
    /// Bytes in the tail that are not written.
    pub tail_unwritten: usize,
    /// What was counted of its replication.
    pub replication: ReplicationCounts,
    /// Its connections with leaders, and with followers.
    pub replication_connections: (usize, usize),
    /// What was counted of its compaction.
    pub compaction: CompactionCounts,
    /// Partitions it leads with an ISR that lacks a replica.
    pub under_replicated: usize,
    /// Its coordinators.
    pub coordinators: CoordinatorReport,
    /// What it has of share groups.
    pub shares: ShareReport,
}

/// A drive.
#[derive(Clone, Debug)]
pub struct DriveReport {
    /// The shard that owns it.
    pub shard: usize,
    /// Its id.
    pub id: Uuid,
    /// Its directory.
    pub path: String,
    /// How it is.
    pub health: Health,
    /// Bytes of its file system and how many are free, if it said so in time.
    pub space: Option<(u64, u64)>,
    /// Its counters.
    pub metrics: DriveMetrics,
}

/// How a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// It serves.
    Online(OnlinePartition),
    /// Its log is being opened.
    Opening,
    /// Its drive does not work, for this reason.
    Offline(String),
}

/// The figures of a partition that serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnlinePartition {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The first offset there is.
    pub log_start: i64,
    /// What is visible.
    pub high_watermark: i64,
    /// Where readers stop who want only what counts.
    pub last_stable_offset: i64,
    /// The next offset.
    pub log_end: i64,
    /// Bytes of its log.
    pub size: u64,
    /// Producers remembered.
    pub producers: usize,
    /// Transactions that are open.
    pub open_transactions: usize,
    /// Batches that are not stable.
    pub pending_batches: usize,
    /// Fetches that wait.
    pub waiting_fetches: usize,
    /// Its log's counters.
    pub metrics: LogMetrics,
}

/// A partition.
#[derive(Clone, Debug)]
pub struct PartitionReport {
    /// The topic's name.
    pub topic: String,
    /// The topic's id.
    pub topic_id: Uuid,
    /// Its index.
    pub index: i32,
    /// The shard that owns it.
    pub shard: usize,
    /// The drive it is on.
    pub drive: Uuid,
    /// How it is.
    pub state: PartitionState,
}

/// Everything of a shard.
pub type Everything = (ShardReport, Vec<DriveReport>, Vec<PartitionReport>);

/// Gathers everything.
pub async fn everything(shard: Rc<Shard>) -> Everything {
    let drives = drives(Rc::clone(&shard)).await;
    let partitions = partitions(Rc::clone(&shard)).await;
    (counters(&shard), drives, partitions)
}

/// Gathers the shard's own counters.
pub fn counters(shard: &Shard) -> ShardReport {
    let (depths, calls) = shard.depths();
    let others = (0..shard.node.shards).filter(|other| *other != shard.id.0);
    let tail = shard.tail();
    let io = usize::try_from(shard.node.config.io_memory).unwrap_or(usize::MAX);
    ShardReport {
        shard: shard.id.0,
        cpu: super::process_stats::thread_cpu(),
        connections: shard.connections.get(),
        apis: shard.metrics.apis(),
        records: shard.metrics.records(),
        lanes: others.zip(depths).collect(),
        calls,
        sessions: shard.sessions.borrow().sizes(),
        remote_waits: shard.waits.count(),
        budgets: vec![
            budget("requests", &shard.request_memory),
            budget("buffers", &shard.buffer_memory),
            budget("reads", &shard.read_memory),
            BudgetReport {
                owner: "tail",
                limit: tail.limit(),
                used: tail.used(),
                waiters: None,
            },
            // Registered as one piece at the start, and never given back.
            BudgetReport {
                owner: "io",
                limit: io,
                used: io,
                waiters: None,
            },
        ],
        tail_unwritten: tail.unwritten(),
        replication: shard.replication().counts(),
        replication_connections: shard.replication().connections(),
        compaction: shard.compaction.counts(),
        under_replicated: shard
            .partitions()
            .iter()
            .filter(|partition| is_under_replicated(partition))
            .count(),
        coordinators: shard.coordinators().report(),
        shares: shard.shares.report(),
    }
}

fn is_under_replicated(partition: &Partition) -> bool {
    partition.is_replicated()
        && partition.is_leader()
        && partition.isr_len() <= partition.followers().len()
}

fn budget(owner: &'static str, credit: &Credit) -> BudgetReport {
    BudgetReport {
        owner,
        limit: credit.total(),
        used: credit.in_use(),
        waiters: Some(credit.waiting()),
    }
}

/// Gathers the shard's drives.
pub async fn drives(shard: Rc<Shard>) -> Vec<DriveReport> {
    let mut reports = Vec::new();
    for drive in shard.drives() {
        let space = space(&shard, &drive).await;
        reports.push(DriveReport {
            shard: shard.id.0,
            id: drive.id(),
            path: shown(drive.path()),
            health: drive.health(),
            space,
            metrics: drive.metrics(),
        });
    }
    reports
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A drive that hangs is asked once: every call that waits for it takes a thread away from the others.
async fn space(shard: &Rc<Shard>, drive: &Drive) -> Option<(u64, u64)> {
    let id = drive.id();
    let failed = matches!(drive.health(), Health::Failed(_));
    if failed || !shard.metrics.asked_for_room.borrow_mut().insert(id) {
        return None;
    }
    let (shard, drive) = (Rc::clone(shard), drive.clone());
    let (tell, told) = rt::sync::oneshot();
    rt::task::spawn(async move {
        let space = drive.space().await;
        shard.metrics.asked_for_room.borrow_mut().remove(&id);
        // Whoever asked may have given up.
        let _ = tell.send(space);
    })
    .detach();
    let space = rt::time::timeout(SPACE_LIMIT, told)
        .await
        .ok()?
        .ok()?
        .ok()?;
    Some((space.total, space.available))
}

/// Gathers the shard's partitions.
pub async fn partitions(shard: Rc<Shard>) -> Vec<PartitionReport> {
    let mut reports = Vec::new();
    for some in shard.partitions().chunks(PARTITIONS_AT_ONCE) {
        let online = some.iter().filter_map(|partition| {
            let state = PartitionState::Online(online(partition));
            one(&shard, partition.id().topic_id, partition.id().index, state)
        });
        reports.extend(online);
        rt::task::yield_if_needed().await;
    }
    for (id, why) in shard.away() {
        let state = why.map_or(PartitionState::Opening, PartitionState::Offline);
        reports.extend(one(&shard, id.topic_id, id.index, state));
    }
    reports
}

/// `None` if the topic has just been deleted.
fn one(
    shard: &Shard,
    topic_id: Uuid,
    index: i32,
    state: PartitionState,
) -> Option<PartitionReport> {
    let route = shard.routes().by_id(topic_id)?;
    let place = route.partitions.get(usize::try_from(index).ok()?)?;
    Some(PartitionReport {
        topic: route.name.clone(),
        topic_id,
        index,
        shard: shard.id.0,
        drive: place.drive,
        state,
    })
}

fn online(partition: &Partition) -> OnlinePartition {
    let log = partition.log();
    let (producers, pending_batches, waiting_fetches) = partition.held();
    OnlinePartition {
        leader_epoch: partition.leader_epoch(),
        log_start: log.log_start(),
        high_watermark: partition.high_watermark(),
        last_stable_offset: partition.last_stable_offset(),
        log_end: log.end().appended(),
        size: log.size_bytes(),
        producers,
        open_transactions: partition.open_transactions(),
        pending_batches,
        waiting_fetches,
        metrics: log.metrics(),
    }
}
