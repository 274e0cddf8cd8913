//! One consumer of a workload: reads its partitions and hands over every record.

use std::time::Duration;

use batch::{BatchError, DecompressLimit, batches};
use net::consumer::{Consumer, ConsumerConfig, Event, StartAt};

use super::{link_config, of_link, partition_at, topic_names};
use crate::driver::{ConsumerJob, DriverError};
use crate::engine::stop::Wanted;
use crate::measure::recorder::{ConsumerProbe, now_ns};
use crate::workload::{ReadFrom, Workload};

/// Most bytes a batch may have uncompressed.
const LIMIT: DecompressLimit = DecompressLimit::bytes(256 << 20);

/// The longest wait before it is looked at whether to end.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The partitions of consumer `index`, by their numbers over all topics.
fn share(workload: &Workload, index: usize) -> Vec<usize> {
    (0..workload.topics * workload.partitions)
        .filter(|place| place % workload.consumers.max(1) == index)
        .collect()
}

pub(super) async fn run(addresses: Vec<String>, mut job: ConsumerJob) -> Result<(), DriverError> {
    let names = topic_names(&job.workload);
    let places = share(&job.workload, job.index);
    let from = match job.workload.read_from {
        ReadFrom::Live => StartAt::Latest,
        ReadFrom::Stored | ReadFrom::Backlog => StartAt::Earliest,
    };
    let partitions: Vec<_> = places
        .iter()
        .map(|place| (partition_at(&job.workload, &names, *place), from))
        .collect();
    let config = ConsumerConfig::default();
    let mut consumer = Consumer::open(addresses, &partitions, config, link_config())
        .await
        .map_err(of_link)?;
    job.probe.ready();
    let per_topic = job.workload.partitions;
    while job.stop.wanted() == Wanted::Run {
        consumer.turn();
        let Some(event) = consumer.next_event() else {
            job.probe.idle(now_ns());
            if let Some(trouble) = consumer.take_trouble() {
                job.probe.noted(&trouble.to_string());
            }
            consumer.wait(LONGEST_WAIT).await;
            continue;
        };
        match event {
            Event::Fetched {
                slot,
                from,
                records,
            } => {
                let at = (places[slot] / per_topic, places[slot] % per_topic);
                take(&mut job.probe, at, from, &records);
                // Lets what comes meanwhile be read.
                rt::task::yield_if_needed().await;
            }
            Event::Moved { slot, from, to } => job.probe.noted(&format!(
                "{}: offset {from} was not there any more, read on from {to}",
                consumer.partition(slot)
            )),
            Event::Trouble { slot, error } => job
                .probe
                .noted(&format!("{}: {error}", consumer.partition(slot))),
        }
    }
    consumer.close().await;
    Ok(())
}

/// Hands over the records of some batches.
fn take(probe: &mut ConsumerProbe, at: (usize, usize), from: i64, records: &[u8]) {
    let arrived = now_ns();
    for batch in batches(records) {
        let read = match batch {
            Err(BatchError::Truncated { .. }) => return,
            Ok(batch) if batch.attributes().is_control() => continue,
            Ok(batch) => batch.verify_crc().and_then(|()| batch.records(LIMIT)),
            Err(error) => Err(error),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                probe.noted(&format!("partition {}: {error}", at.1));
                continue;
            }
        };
        for record in &read {
            match record {
                Ok(record) if record.offset < from => {}
                Ok(record) => {
                    let value = record.value().unwrap_or_default();
                    probe.received(at.0, at.1, record.key(), value, arrived);
                }
                Err(error) => {
                    probe.noted(&format!("partition {}: {error}", at.1));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_consumer() {
        let workload = Workload {
            topics: 3,
            partitions: 5,
            consumers: 4,
            ..Workload::default()
        };
        let mut all: Vec<_> = (0..4).flat_map(|index| share(&workload, index)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..15).collect::<Vec<_>>());
        assert_eq!(share(&workload, 1), [1, 5, 9, 13]);
    }
}
