//! What the admin server serves, and how it is gathered from the shards.

use std::rc::Rc;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use storage::Health;

use super::cluster::ClusterView;
use super::exposition::{NodeReport, render};
use super::http::{Answering, JSON, Reply, Routes};
use super::process_stats::ProcessStats;
use super::report::{self, DriveReport};
use super::v1::{ConnectionsView, DriveView, NodeView, PartitionsView, ShardConnections};
use crate::shard::Shard;

/// The type of the Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The routes of a node, on its control shard.
pub(super) struct NodeRoutes {
    shard: Rc<Shard>,
    /// When the node was started, in seconds since 1970.
    started: f64,
}

impl Routes for NodeRoutes {
    fn answer(&self, path: &str) -> Option<Answering> {
        let shard = Rc::clone(&self.shard);
        let started = self.started;
        Some(match path {
            "/healthz" => Box::pin(async { Reply::plain(StatusCode::OK, "ok\n") }),
            "/readyz" => Box::pin(async move { readyz(&shard).await }),
            "/metrics" => Box::pin(async move { metrics(&shard, started).await }),
            "/v1/node" => Box::pin(async move { node(&shard).await }),
            "/v1/cluster" => Box::pin(async move { cluster(&shard) }),
            "/v1/partitions" => Box::pin(async move { partitions(&shard).await }),
            "/v1/connections" => Box::pin(async move { connections(&shard).await }),
            _ => return None,
        })
    }
}

impl NodeRoutes {
    /// The routes of the node whose control shard this is.
    pub(super) fn new(shard: Rc<Shard>) -> Self {
        let started = rt::time::wall_ms() as f64 / 1e3 - shard.node.started.elapsed().as_secs_f64();
        Self { shard, started }
    }
}

/// Whether a node may be sent clients, and what is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Readiness {
    ready: bool,
    remarks: Vec<String>,
}

/// A node is ready when it is up and at least one of its drives works: the partitions on the others
/// are offline, but sending clients elsewhere would take the rest away from them too.
fn readiness(up: bool, stopping: bool, drives: &[DriveReport]) -> Readiness {
    let mut remarks = Vec::new();
    if stopping {
        remarks.push("the node is stopping".to_owned());
    } else if !up {
        remarks.push("the node is starting: its partitions are being opened".to_owned());
    }
    for drive in drives {
        match &drive.health {
            Health::Online => {}
            Health::Full => {
                remarks.push(format!("drive {} is full: it takes no records", drive.path));
            }
            Health::Failed(why) => remarks.push(format!("drive {} has failed: {why}", drive.path)),
        }
    }
    let works = |drive: &DriveReport| !matches!(drive.health, Health::Failed(_));
    Readiness {
        ready: up && !stopping && drives.iter().any(works),
        remarks,
    }
}

async fn all_drives(shard: &Rc<Shard>) -> Vec<DriveReport> {
    let drives = shard
        .run_on_all(|shard| report::drives(Rc::clone(shard)))
        .await;
    drives.into_iter().flatten().collect()
}

fn readiness_of(shard: &Shard, drives: &[DriveReport]) -> Readiness {
    readiness(shard.ready.get(), shard.is_stopping(), drives)
}

async fn readyz(shard: &Rc<Shard>) -> Reply {
    let drives = all_drives(shard).await;
    let Readiness { ready, remarks } = readiness_of(shard, &drives);
    let (status, first) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let lines = std::iter::once(first).chain(remarks.iter().map(String::as_str));
    Reply::plain(
        status,
        lines.fold(String::new(), |text, line| text + line + "\n"),
    )
}

async fn metrics(shard: &Rc<Shard>, started: f64) -> Reply {
    let everything = shard
        .run_on_all(|shard| report::everything(Rc::clone(shard)))
        .await;
    let mut node = NodeReport {
        version: VERSION,
        uptime: shard.node.started.elapsed().as_secs_f64(),
        started,
        ready: shard.ready.get() && !shard.is_stopping(),
        topics: shard.with_image(|image| image.topic_count()),
        ..NodeReport::default()
    };
    for (counters, drives, partitions) in everything {
        node.shards.push(counters);
        node.drives.extend(drives);
        node.partitions.extend(partitions);
    }
    // Thousands of partitions make megabytes of text: not on a thread that serves clients.
    let made = rt::task::blocking(move || {
        node.process = ProcessStats::read();
        node.partitions
            .sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
        render(&node)
    });
    match made.await {
        Ok(text) => Reply {
            status: StatusCode::OK,
            content_type: METRICS,
            body: Bytes::from(text),
        },
        Err(error) => failed("/metrics", &error.to_string()),
    }
}

async fn node(shard: &Rc<Shard>) -> Reply {
    let drives = all_drives(shard).await;
    let Readiness { ready, remarks } = readiness_of(shard, &drives);
    let config = &shard.node.config;
    json(&NodeView {
        node_id: shard.node_id(),
        cluster_id: shard.with_image(|image| image.cluster_id().map(str::to_owned)),
        version: VERSION,
        ready,
        remarks,
        uptime_seconds: shard.node.started.elapsed().as_secs_f64(),
        listen: config.listen.to_string(),
        advertise: config.advertise.to_string(),
        shards: shard.node.shards,
        memory_bytes: config.memory,
        topics: shard.with_image(|image| image.topic_count()),
        drives: drives.iter().map(DriveView::from).collect(),
    })
}

fn cluster(shard: &Shard) -> Reply {
    let controller = shard.controller.get();
    json(&shard.with_image(|image| ClusterView::new(image, controller)))
}

async fn partitions(shard: &Rc<Shard>) -> Reply {
    let all = shard
        .run_on_all(|shard| report::partitions(Rc::clone(shard)))
        .await;
    let made = rt::task::blocking(move || {
        let mut all: Vec<_> = all.into_iter().flatten().collect();
        all.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
        json(&PartitionsView {
            partitions: all.into_iter().map(Into::into).collect(),
        })
    });
    made.await
        .unwrap_or_else(|error| failed("/v1/partitions", &error.to_string()))
}

async fn connections(shard: &Rc<Shard>) -> Reply {
    let open = |shard: &Rc<Shard>| {
        let open = shard.connections.get();
        async move { open }
    };
    let by_shard = shard.run_on_all(open).await;
    let shards = by_shard.iter().enumerate();
    json(&ConnectionsView {
        total: by_shard.iter().sum(),
        limit: shard.settings().max_connections,
        shards: shards
            .map(|(shard, connections)| ShardConnections {
                shard,
                connections: *connections,
            })
            .collect(),
    })
}

fn json(view: &impl Serialize) -> Reply {
    match serde_json::to_vec(view) {
        Ok(body) => Reply {
            status: StatusCode::OK,
            content_type: JSON,
            body: Bytes::from(body),
        },
        Err(error) => failed("/v1", &error.to_string()),
    }
}

fn failed(path: &str, why: &str) -> Reply {
    tracing::error!(path, why, "an admin answer could not be made");
    Reply::error(path, StatusCode::INTERNAL_SERVER_ERROR, why)
}

#[cfg(test)]
mod tests {
    use storage::DriveMetrics;
    use uuid::Uuid;

    use super::*;

    fn drive(path: &str, health: Health) -> DriveReport {
        DriveReport {
            shard: 0,
            id: Uuid::nil(),
            path: path.to_owned(),
            health,
            space: None,
            metrics: DriveMetrics::default(),
        }
    }

    fn failed_drive(path: &str) -> DriveReport {
        drive(path, Health::Failed("EIO".to_owned()))
    }

    #[test]
    fn one_working_drive_is_enough() {
        let drives = [
            failed_drive("/a"),
            drive("/b", Health::Full),
            drive("/c", Health::Online),
        ];
        let found = readiness(true, false, &drives);
        assert!(found.ready);
        assert_eq!(
            found.remarks,
            [
                "drive /a has failed: EIO",
                "drive /b is full: it takes no records"
            ]
        );
    }

    #[test]
    fn a_full_drive_still_serves_reads_and_a_failed_one_nothing() {
        assert!(readiness(true, false, &[drive("/a", Health::Full)]).ready);
        assert!(!readiness(true, false, &[failed_drive("/a")]).ready);
    }

    #[test]
    fn a_node_that_starts_or_stops_says_so() {
        let drives = [drive("/a", Health::Online)];
        let starting = readiness(false, false, &drives);
        assert!(
            !starting.ready && starting.remarks[0].contains("starting"),
            "{starting:?}"
        );
        let stopping = readiness(false, true, &drives);
        assert!(
            !stopping.ready && stopping.remarks[0].contains("stopping"),
            "{stopping:?}"
        );
        let ready = readiness(true, false, &drives);
        assert_eq!((ready.ready, ready.remarks.len()), (true, 0));
    }
}
