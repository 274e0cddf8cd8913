//! DescribeLogDirs (key 35): each drive, what it has room for, and what lies on it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use storage::Health;

use crate::shard::Shard;

/// A drive as its shard sees it.
struct DriveReport {
    path: String,
    healthy: bool,
    space: Option<(u64, u64)>,
    logs: Vec<(String, i32, u64)>,
}

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted: Option<BTreeMap<String, BTreeSet<i32>>> = request.topics.map(|topics| {
        let one =
            |topic: kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic| {
                (
                    topic.topic.to_string(),
                    topic.partitions.into_iter().collect(),
                )
            };
        topics.into_iter().map(one).collect()
    });
    let reports = shard
        .run_on_all(|shard| {
            let shard = Rc::clone(shard);
            async move { reports(&shard).await }
        })
        .await;
    let results = reports
        .into_iter()
        .flatten()
        .map(|report| result(report, wanted.as_ref()));
    DescribeLogDirsResponse::default().with_results(results.collect())
}

async fn reports(shard: &Rc<Shard>) -> Vec<DriveReport> {
    let mut reports = Vec::new();
    for drive in shard.drives() {
        let space = drive.space().await.ok();
        let on_it = |partition: &Rc<crate::partition::Partition>| {
            let log = partition.log();
            let here = log.path().starts_with(drive.path());
            here.then(|| {
                let id = partition.id();
                (partition.topic().to_owned(), id.index, log.size_bytes())
            })
        };
        reports.push(DriveReport {
            path: drive.path().display().to_string(),
            healthy: !matches!(drive.health(), Health::Failed(_)),
            space: space.map(|space| (space.total, space.available)),
            logs: shard.partitions().iter().filter_map(on_it).collect(),
        });
    }
    reports
}

fn result(
    report: DriveReport,
    wanted: Option<&BTreeMap<String, BTreeSet<i32>>>,
) -> DescribeLogDirsResult {
    let error = if report.healthy {
        0
    } else {
        ResponseError::KafkaStorageError.code()
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (topic, index, size) in report.logs {
        let asked = wanted.is_none_or(|wanted| {
            wanted
                .get(&topic)
                .is_some_and(|partitions| partitions.contains(&index))
        });
        if asked {
            let row = DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(size).unwrap_or(i64::MAX));
            topics.entry(topic).or_default().push(row);
        }
    }
    let (total, usable) = report.space.unwrap_or((0, 0));
    let bytes = |n: u64| {
        if report.space.is_some() {
            i64::try_from(n).unwrap_or(i64::MAX)
        } else {
            -1
        }
    };
    let topics = topics.into_iter().map(|(name, partitions)| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(partitions)
    });
    DescribeLogDirsResult::default()
        .with_error_code(error)
        .with_log_dir(StrBytes::from_string(report.path))
        .with_topics(topics.collect())
        .with_total_bytes(bytes(total))
        .with_usable_bytes(bytes(usable))
}
