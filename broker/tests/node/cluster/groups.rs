//! Groups while nodes die and come back: what a coordinator acknowledged, the next one knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::Nodes;
use super::failover::{Load, PARTITIONS, TOPIC, config, create_topic, in_sync};
use super::nodes::PATIENCE;
use crate::harness::Random;

/// Settings that make the topic of groups small, and let no time pass.
const SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "6"),
    ("group.initial.rebalance.delay.ms", "0"),
];

/// Commits one offset after the other until it is told to stop.
struct Committer {
    consumer: Arc<BaseConsumer>,
    stop: Arc<AtomicBool>,
    /// Gives the last offset that was acknowledged, and the last that was sent.
    thread: JoinHandle<(i64, i64)>,
}

fn at(offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(offset);
    list.add_partition_offset(TOPIC, 0, offset).unwrap();
    list
}

impl Committer {
    fn start(nodes: &Nodes, group: usize) -> Self {
        let consumer: BaseConsumer = config(nodes)
            .set("group.id", format!("group-{group}"))
            .create()
            .unwrap();
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let (told, client) = (Arc::clone(&stop), Arc::clone(&consumer));
        let thread = std::thread::spawn(move || {
            let (mut acknowledged, mut sent) = (0, 0);
            while !told.load(Ordering::Relaxed) {
                sent = acknowledged + 1;
                match client.commit(&at(sent), CommitMode::Sync) {
                    Ok(()) => acknowledged = sent,
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
            (acknowledged, sent)
        });
        Self {
            consumer,
            stop,
            thread,
        }
    }

    /// Ends it, and compares what the coordinator has with what it said.
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (acknowledged, sent) = self.thread.join().unwrap();
        assert!(acknowledged > 0, "no commit was ever acknowledged");
        let begun = Instant::now();
        let found = loop {
            match self.consumer.committed_offsets(at(0), PATIENCE) {
                Ok(found) => break found.elements()[0].offset(),
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        };
        let Offset::Offset(found) = found else {
            panic!("nothing is committed: {found:?}, {acknowledged} was acknowledged");
        };
        assert!(
            (acknowledged..=sent).contains(&found),
            "{acknowledged} was acknowledged, {sent} sent, and {found} is there"
        );
    }
}

#[test]
fn acknowledged_offsets_survive_the_death_of_any_coordinator() {
    let mut random = Random::from_env();
    let mut nodes = Nodes::start(3, 2, SETTINGS);
    create_topic(&nodes);
    let committers: Vec<_> = (0..8)
        .map(|group| Committer::start(&nodes, group))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..4 {
        let node = 1 + random.below(3);
        nodes.take(node).kill();
        std::thread::sleep(Duration::from_millis(random.below(1500) as u64));
        nodes.begin(node);
        nodes.wait_ready(node);
        std::thread::sleep(Duration::from_millis(random.below(500) as u64));
    }
    in_sync(&nodes);
    for committer in committers {
        committer.end();
    }
}

/// A member of the group that reads until it is told to stop; gives what it read.
fn member(nodes: &Nodes, stop: &Arc<AtomicBool>) -> JoinHandle<HashSet<String>> {
    let consumer: BaseConsumer = config(nodes)
        .set("group.id", "sharers")
        .set("session.timeout.ms", "6000")
        .set("auto.offset.reset", "earliest")
        .set("auto.commit.interval.ms", "100")
        .create()
        .unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut read = HashSet::new();
        consumer.subscribe(&[TOPIC]).unwrap();
        while !stop.load(Ordering::Relaxed) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                let value = String::from_utf8(message.payload().unwrap().to_vec());
                read.insert(value.unwrap());
            }
        }
        read
    })
}

/// How many records there are up to what the group has committed, and up to the end.
fn progress(nodes: &Nodes) -> (i64, i64) {
    let consumer: BaseConsumer = config(nodes).set("group.id", "sharers").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(TOPIC, 0, PARTITIONS - 1);
    let found = consumer.committed_offsets(list, PATIENCE);
    let offset = |offset: Offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    let done = found.map_or(0, |found| {
        found
            .elements()
            .iter()
            .map(|one| offset(one.offset()))
            .sum()
    });
    let end = |index| {
        let marks = consumer.fetch_watermarks(TOPIC, index, PATIENCE);
        marks.map_or(i64::MAX / 64, |(_, end)| end)
    };
    (done, (0..PARTITIONS).map(end).sum())
}

#[test]
fn members_go_on_when_their_coordinator_dies_and_every_record_is_read() {
    let mut nodes = Nodes::start(3, 1, SETTINGS);
    create_topic(&nodes);
    let stop = Arc::new(AtomicBool::new(false));
    let members: Vec<_> = (0..3).map(|_| member(&nodes, &stop)).collect();
    let mut acknowledged = Vec::new();
    for node in 1..=3 {
        let load = Load::start(&nodes, node);
        std::thread::sleep(Duration::from_millis(700));
        nodes.take(node).kill();
        std::thread::sleep(Duration::from_millis(700));
        nodes.begin(node);
        nodes.wait_ready(node);
        acknowledged.extend(load.end());
    }
    in_sync(&nodes);
    let begun = Instant::now();
    loop {
        let (done, end) = progress(&nodes);
        if done == end {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{done} of {end} records are committed"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    stop.store(true, Ordering::Relaxed);
    let read: HashSet<String> = members
        .into_iter()
        .flat_map(|member| member.join().unwrap())
        .collect();
    assert!(!acknowledged.is_empty());
    for (partition, offset, value) in &acknowledged {
        assert!(
            read.contains(value),
            "nobody read {offset} of partition {partition}"
        );
    }
}
