//! The JSON that `/v1` answers with: what the command line and scripts need beyond Kafka's APIs.
//!
//! These names are a promise: fields may be added, none changes its meaning or goes away under `/v1`.

use serde::Serialize;
use storage::Health;

use super::exposition::{health_name, state_name};
use super::report::{DriveReport, PartitionReport, PartitionState};

/// `/v1/node`.
#[derive(Debug, Serialize)]
pub struct NodeView {
    /// The node's id.
    pub node_id: i32,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The program's version.
    pub version: &'static str,
    /// Whether it serves clients.
    pub ready: bool,
    /// What is not as it should be, one line each.
    pub remarks: Vec<String>,
    /// Seconds since it was started.
    pub uptime_seconds: f64,
    /// Where it listens for Kafka clients.
    pub listen: String,
    /// Where clients are told to connect.
    pub advertise: String,
    /// How many shards it has.
    pub shards: usize,
    /// Memory over all shards.
    pub memory_bytes: u64,
    /// Topics in the metadata.
    pub topics: usize,
    /// Its drives.
    pub drives: Vec<DriveView>,
}

/// A drive.
#[derive(Debug, Serialize)]
pub struct DriveView {
    /// Its id.
    pub id: String,
    /// Its directory.
    pub path: String,
    /// The shard that owns it.
    pub shard: usize,
    /// online, full or failed.
    pub state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Size of its file system.
    pub size_bytes: Option<u64>,
    /// Room on it.
    pub available_bytes: Option<u64>,
}

impl From<&DriveReport> for DriveView {
    fn from(drive: &DriveReport) -> Self {
        Self {
            id: drive.id.to_string(),
            path: drive.path.clone(),
            shard: drive.shard,
            state: health_name(&drive.health),
            reason: match &drive.health {
                Health::Failed(why) => Some(why.clone()),
                Health::Online | Health::Full => None,
            },
            size_bytes: drive.space.map(|space| space.0),
            available_bytes: drive.space.map(|space| space.1),
        }
    }
}

/// `/v1/partitions`.
#[derive(Debug, Serialize)]
pub struct PartitionsView {
    /// Every partition of this node, by topic and index.
    pub partitions: Vec<PartitionView>,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct PartitionView {
    /// The topic's name.
    pub topic: String,
    /// The topic's id.
    pub topic_id: String,
    /// Its index.
    pub partition: i32,
    /// The shard that owns it.
    pub shard: usize,
    /// The id of the drive it is on.
    pub drive: String,
    /// online, opening or offline.
    pub state: &'static str,
    /// Why it is offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its figures, while it is online.
    #[serde(flatten)]
    pub figures: Option<PartitionFigures>,
}

/// What is known of a partition that is online.
#[derive(Debug, Serialize)]
pub struct PartitionFigures {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The first offset there is.
    pub log_start_offset: i64,
    /// The offset below which everything may be read.
    pub high_watermark: i64,
    /// The offset below which every transaction has ended.
    pub last_stable_offset: i64,
    /// The offset the next record gets.
    pub log_end_offset: i64,
    /// Bytes of records.
    pub size_bytes: u64,
    /// Idempotent producers remembered.
    pub producers: usize,
    /// Transactions that have begun here and not ended.
    pub open_transactions: usize,
    /// Batches appended and not yet stable.
    pub pending_batches: usize,
    /// Fetches that wait for data.
    pub waiting_fetches: usize,
}

impl From<PartitionReport> for PartitionView {
    fn from(partition: PartitionReport) -> Self {
        let state = state_name(&partition.state);
        let (reason, figures) = match partition.state {
            PartitionState::Opening => (None, None),
            PartitionState::Offline(why) => (Some(why), None),
            PartitionState::Online(online) => {
                let figures = PartitionFigures {
                    leader_epoch: online.leader_epoch,
                    log_start_offset: online.log_start,
                    high_watermark: online.high_watermark,
                    last_stable_offset: online.last_stable_offset,
                    log_end_offset: online.log_end,
                    size_bytes: online.size,
                    producers: online.producers,
                    open_transactions: online.open_transactions,
                    pending_batches: online.pending_batches,
                    waiting_fetches: online.waiting_fetches,
                };
                (None, Some(figures))
            }
        };
        Self {
            topic: partition.topic,
            topic_id: partition.topic_id.to_string(),
            partition: partition.index,
            shard: partition.shard,
            drive: partition.drive.to_string(),
            state,
            reason,
            figures,
        }
    }
}

/// `/v1/connections`.
#[derive(Debug, Serialize)]
pub struct ConnectionsView {
    /// Connections of Kafka clients, over all shards.
    pub total: usize,
    /// As many as `max.connections` allows.
    pub limit: usize,
    /// The same by shard.
    pub shards: Vec<ShardConnections>,
}

/// The connections of one shard.
#[derive(Debug, Serialize)]
pub struct ShardConnections {
    /// The shard.
    pub shard: usize,
    /// Its connections.
    pub connections: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::admin::report::OnlinePartition;

    fn partition(state: PartitionState) -> PartitionView {
        PartitionView::from(PartitionReport {
            topic: "t".to_owned(),
            topic_id: Uuid::from_u128(1),
            index: 2,
            shard: 0,
            drive: Uuid::from_u128(3),
            state,
        })
    }

    #[test]
    fn a_partition_that_is_online_has_its_figures_beside_its_place() {
        let online = OnlinePartition {
            high_watermark: 7,
            log_end: 8,
            ..OnlinePartition::default()
        };
        let view = serde_json::to_value(partition(PartitionState::Online(online))).unwrap();
        assert_eq!(view["high_watermark"], json!(7));
        assert_eq!(view["state"], json!("online"));
        assert_eq!(view.get("reason"), None);
    }

    #[test]
    fn a_partition_that_is_away_says_why() {
        let offline = PartitionState::Offline("drive failed".to_owned());
        let view = serde_json::to_value(partition(offline)).unwrap();
        let expected = json!({
            "topic": "t",
            "topic_id": "00000000-0000-0000-0000-000000000001",
            "partition": 2,
            "shard": 0,
            "drive": "00000000-0000-0000-0000-000000000003",
            "state": "offline",
            "reason": "drive failed",
        });
        assert_eq!(view, expected);
    }
}
