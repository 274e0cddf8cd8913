//! The text of `/metrics` read back, and the table in the documentation against the code.

use std::collections::BTreeSet;
use std::time::Duration;

use storage::{DriveMetrics, LogMetrics};
use uuid::Uuid;

use super::super::checker::{ReadFamily, read};
use super::super::families::ALL;
use super::super::metrics::ShardMetrics;
use super::*;
use crate::share::ShareReport;

fn shard(number: usize) -> ShardReport {
    let metrics = ShardMetrics::default();
    metrics.begun(0);
    metrics.begun(1);
    metrics.answered(0, Duration::from_micros(1500));
    metrics.answered(0, Duration::from_secs(90));
    metrics.appended(10, 1000);
    metrics.fetched(300);
    ShardReport {
        shard: number,
        cpu: Some(Duration::from_millis(1250)),
        connections: 3,
        apis: metrics.apis(),
        records: metrics.records(),
        lanes: vec![(1 - number, 4)],
        calls: 2,
        sessions: (1, 7),
        remote_waits: 5,
        budgets: vec![BudgetReport {
            owner: "requests",
            limit: 100,
            used: 60,
            waiters: Some(1),
        }],
        tail_unwritten: 12,
        replication: ReplicationCounts {
            bytes_in: 70,
            bytes_out: 80,
            isr_shrinks: 2,
            isr_expands: 1,
        },
        replication_connections: (1, 2),
        compaction: CompactionCounts {
            rounds: 3,
            failed: 1,
            read_bytes: 900,
            written_bytes: 300,
            freed_bytes: 600,
            busy_us: 1_500_000,
            key_bytes: 240,
            overdue_ms: 2_500,
            given_up: 4,
        },
        under_replicated: 6,
        coordinators: CoordinatorReport {
            serving: 24,
            loading: 1,
            loads: LoadCounts {
                loads: 30,
                ms: 1500,
                max_ms: 900,
                records: 77,
            },
            groups: Figures {
                groups: [(("classic", "Stable"), 2), (("consumer", "Empty"), 1)].into(),
                offsets: 9,
                commits: 100,
                deletions: 3,
                expirations: 2,
                rebalances: 4,
            },
            transactions: transactions(),
        },
        shares: shares(),
    }
}

fn shares() -> ShareReport {
    ShareReport {
        counts: ShareCounts {
            delivered: 50,
            accepted: 30,
            released: 10,
            rejected: 5,
            writes: 8,
            failed_writes: 1,
        },
        sessions: (2, 6),
        partitions: 3,
        in_flight: 17,
    }
}

fn transactions() -> txn::Figures {
    txn::Figures {
        states: [("Ongoing", 3)].into(),
        committed: 50,
        aborted: 12,
        fenced: 5,
        timed_out: 6,
    }
}

fn drive(path: &str, health: Health) -> DriveReport {
    let mut metrics = DriveMetrics::default();
    metrics.write.buckets[0] = 1;
    metrics.write.buckets[FIRST_DRIVE_BUCKET] = 2;
    metrics.write.buckets[10] = 3;
    metrics.write.buckets[LATENCY_BUCKETS - 1] = 4;
    metrics.write.sum_us = 2_500_000;
    metrics.write_bytes = 4096;
    DriveReport {
        shard: 0,
        id: Uuid::nil(),
        path: path.to_owned(),
        health,
        space: Some((1000, 400)),
        metrics,
    }
}

fn partition(topic: &str, state: PartitionState) -> PartitionReport {
    PartitionReport {
        topic: topic.to_owned(),
        topic_id: Uuid::nil(),
        index: 0,
        shard: 1,
        drive: Uuid::nil(),
        state,
    }
}

fn node() -> NodeReport {
    let online = OnlinePartition {
        log_start: 5,
        high_watermark: 90,
        log_end: 100,
        metrics: LogMetrics {
            tail_reads: 8,
            ..LogMetrics::default()
        },
        ..OnlinePartition::default()
    };
    NodeReport {
        version: "1.2.3",
        uptime: 12.5,
        started: 1.7e9,
        ready: true,
        topics: 2,
        process: ProcessStats::read(),
        shards: vec![shard(0), shard(1)],
        drives: vec![
            drive("/data \"one\"\\\n", Health::Online),
            drive("/two", Health::Failed("EIO".to_owned())),
        ],
        partitions: vec![
            partition("a", PartitionState::Online(online)),
            partition("b", PartitionState::Opening),
            partition("c", PartitionState::Offline("gone".to_owned())),
        ],
    }
}

fn rendered() -> Vec<ReadFamily> {
    read(&render(&node())).unwrap()
}

fn find(name: &str) -> ReadFamily {
    let found = rendered().into_iter().find(|family| family.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in the text"))
}

#[test]
fn every_family_is_there_once_with_its_own_labels() {
    let rendered = rendered();
    let names: BTreeSet<&str> = rendered.iter().map(|family| family.name.as_str()).collect();
    let known: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
    assert_eq!(names, known);
    assert_eq!(ALL.len(), known.len(), "two families have one name");
    for family in &rendered {
        let known = ALL.iter().find(|known| known.name == family.name).unwrap();
        assert!(!family.samples.is_empty(), "{} is empty", family.name);
        for (sample, labels, _) in &family.samples {
            let mut names: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            names.remove("le");
            assert_eq!(names, known.labels.iter().copied().collect(), "{sample}");
        }
    }
}

#[test]
fn requests_are_counted_by_the_names_of_their_apis() {
    let produce = [("shard", "0"), ("api", "Produce")];
    assert_eq!(find("ottla_requests_total").value(&produce), Some(1.0));
    let times = find("ottla_request_duration_seconds");
    assert_eq!(
        times.value_of("ottla_request_duration_seconds_count", &produce),
        Some(2.0)
    );
    assert_eq!(
        times.value_of("ottla_request_duration_seconds_sum", &produce),
        Some(90.0015)
    );
    let bucket = |le| {
        let labels = [("shard", "0"), ("api", "Produce"), ("le", le)];
        times.value_of("ottla_request_duration_seconds_bucket", &labels)
    };
    let found = ["0.001", "0.002", "50", "+Inf"].map(bucket);
    assert_eq!(found, [Some(0.0), Some(1.0), Some(1.0), Some(2.0)]);
}

#[test]
fn the_buckets_of_a_drive_are_cumulative_from_the_quickest() {
    let times = find("ottla_drive_write_duration_seconds");
    let bucket = |le| {
        let labels = [("shard", "0"), ("drive", "/two"), ("le", le)];
        times.value_of("ottla_drive_write_duration_seconds_bucket", &labels)
    };
    let found = ["0.000016", "0.000512", "0.001024", "67.108864", "+Inf"].map(bucket);
    assert_eq!(found, [3.0, 3.0, 6.0, 6.0, 10.0].map(Some));
    let labels = [("shard", "0"), ("drive", "/two")];
    assert_eq!(
        times.value_of("ottla_drive_write_duration_seconds_sum", &labels),
        Some(2.5)
    );
}

#[test]
fn states_are_one_of_their_set() {
    let drives = find("ottla_drive_state");
    for (drive, states) in [
        ("/data \"one\"\\\n", [1.0, 0.0, 0.0]),
        ("/two", [0.0, 0.0, 1.0]),
    ] {
        let found = ["online", "full", "failed"]
            .map(|state| drives.value(&[("shard", "0"), ("drive", drive), ("state", state)]));
        assert_eq!(found, states.map(Some), "{drive}");
    }
    let partitions = find("ottla_partitions");
    for (shard, states) in [("0", [0.0, 0.0, 0.0]), ("1", [1.0, 1.0, 1.0])] {
        let found = ["online", "opening", "offline"]
            .map(|state| partitions.value(&[("shard", shard), ("state", state)]));
        assert_eq!(found, states.map(Some), "{shard}");
    }
}

#[test]
fn a_partition_shows_its_offsets_while_it_is_online() {
    let at = |topic| [("topic", topic), ("partition", "0")];
    assert_eq!(
        find("ottla_partition_high_watermark").value(&at("a")),
        Some(90.0)
    );
    assert_eq!(
        find("ottla_partition_log_end_offset").value(&at("a")),
        Some(100.0)
    );
    assert_eq!(
        find("ottla_partition_tail_reads_total").value(&at("a")),
        Some(8.0)
    );
    assert_eq!(find("ottla_partition_high_watermark").value(&at("b")), None);
    let lane = [("shard", "0"), ("to", "1")];
    assert_eq!(find("ottla_lane_messages").value(&lane), Some(4.0));
}

/// The rows of the table of metrics in the documentation: name, kind, labels, meaning.
fn documented() -> Vec<[String; 4]> {
    let rows = include_str!("../../../docs/operations.md").lines();
    let cells = rows.filter_map(|row| {
        let cells: Vec<&str> = row
            .strip_prefix("| `")?
            .strip_suffix(" |")?
            .split(" | ")
            .collect();
        let [name, kind, labels, help] = cells.try_into().ok()?;
        Some([name.trim_end_matches('`'), kind, labels, help].map(str::to_owned))
    });
    cells
        .filter(|[_, kind, ..]| ["counter", "gauge", "histogram"].contains(&kind.as_str()))
        .collect()
}

#[test]
fn the_documentation_has_every_metric_as_it_is() {
    let expected: Vec<[String; 4]> = ALL
        .iter()
        .map(|family| {
            [
                family.name.to_owned(),
                family.kind.to_string(),
                family.labels.join(", "),
                family.help.to_owned(),
            ]
        })
        .collect();
    let rows = |all: &[[String; 4]]| {
        let row = |[name, kind, labels, help]: &[String; 4]| {
            format!("| `{name}` | {kind} | {labels} | {help} |\n")
        };
        all.iter().map(row).collect::<String>()
    };
    assert_eq!(
        rows(&documented()),
        rows(&expected),
        "the table should read:\n{}",
        rows(&expected)
    );
}
