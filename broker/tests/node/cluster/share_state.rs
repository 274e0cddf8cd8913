//! What is stored of share-partitions while nodes die and come back: what a share coordinator acknowledged, the next
//! one knows, and whoever was fenced stays so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use share::state::ShareKey;
use uuid::Uuid;

use super::Nodes;
use super::failover::{PARTITIONS, TOPIC, create_topic, in_sync};
use super::line::{Addresses, call};
use super::nodes::PATIENCE;
use crate::harness::Random;
use crate::semantics::share_state::{
    find_request, initialize_request, read_request, share_key, summary_request, write_request,
};
use crate::semantics::wire::text;

/// A small topic, so that few partitions have all.
const SETTINGS: &[(&str, &str)] = &[("share.coordinator.state.topic.num.partitions", "6")];
const FENCED_LEADER_EPOCH: i16 = 74;
/// The epochs of the leader that writes: of the state, and of its partition.
const EPOCHS: (i32, i32) = (1, 7);

/// One who asks the coordinators of share-partitions.
#[derive(Clone)]
pub struct Client(pub Addresses);

impl Client {
    /// One who knows the nodes, of which some may not be there.
    pub fn of(nodes: &Nodes) -> Self {
        Self(Addresses::of(nodes))
    }

    /// Asks the coordinator of a share-partition until `of` finds an answer that isn't one to ask again.
    fn ask<R: Request, T>(
        &self,
        key: &ShareKey,
        request: &R,
        of: impl Fn(R::Response) -> (i16, T),
    ) -> (i16, T) {
        let begun = Instant::now();
        let find = find_request(&key.to_string());
        loop {
            let answer = self.0.any(6, &find).and_then(|found| {
                let found = &found.coordinators[0];
                let address = format!("{}:{}", found.host, found.port).parse().ok();
                call(address.filter(|_| found.error_code == 0)?, 0, request)
            });
            match answer.map(&of) {
                Some((error, told)) if !(14..=16).contains(&error) => return (error, told),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            assert!(begun.elapsed() < PATIENCE, "nobody coordinates {key}");
        }
    }

    fn write(&self, key: &ShareKey, epochs: (i32, i32), start: i64) -> i16 {
        let request = write_request(key, epochs, start, &[(start, start + 3, 2, 1)]);
        let code =
            |answer: WriteShareGroupStateResponse| (answer.results[0].partitions[0].error_code, ());
        self.ask(key, &request, code).0
    }

    /// Begins a share-partition at offset 0.
    pub fn initialize(&self, key: &ShareKey, state_epoch: i32) {
        let request = initialize_request(key, state_epoch, 0);
        let code = |answer: InitializeShareGroupStateResponse| {
            (answer.results[0].partitions[0].error_code, ())
        };
        assert_eq!(self.ask(key, &request, code).0, 0);
    }

    /// The start offset that is stored, as others than leaders are told it.
    pub fn start_in_summary(&self, key: &ShareKey) -> i64 {
        let (code, start) = self.ask(key, &summary_request(key), |answer| {
            let row = &answer.results[0].partitions[0];
            (row.error_code, row.start_offset)
        });
        assert_eq!(code, 0);
        start
    }

    /// The start offset that is stored.
    fn start(&self, key: &ShareKey) -> i64 {
        let (code, start) = self.ask(key, &read_request(key, EPOCHS.1), |answer| {
            let row = &answer.results[0].partitions[0];
            let batches = row.state_batches.iter();
            let batches: Vec<_> = batches
                .map(|of| (of.first_offset, of.last_offset))
                .collect();
            let start = row.start_offset;
            assert!(row.error_code != 0 || start == 0 || batches == [(start, start + 3)]);
            (row.error_code, start)
        });
        assert_eq!(code, 0);
        start
    }
}

/// The id of the topic.
pub fn topic_id(client: &Client) -> Uuid {
    use metadata_request::MetadataRequestTopic;
    let name = TopicName(text(TOPIC));
    let topic = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    let answer = client.0.any(12, &request).expect("a node");
    answer.topics[0].topic_id
}

/// Moves the start of a share-partition on until it is told to stop; gives what was acknowledged last.
fn leader(client: &Client, key: &ShareKey, stop: &Arc<AtomicBool>) -> JoinHandle<i64> {
    let (client, key, stop) = (client.clone(), key.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        client.initialize(&key, EPOCHS.0);
        assert_eq!(client.start(&key), 0);
        let mut start = 0;
        while !stop.load(Ordering::Relaxed) {
            start += 1;
            assert_eq!(client.write(&key, EPOCHS, start), 0);
        }
        start
    })
}

#[test]
fn what_is_stored_of_share_partitions_survives_the_death_of_any_coordinator() {
    let mut random = Random::from_env();
    let mut nodes = Nodes::start(3, 2, SETTINGS);
    create_topic(&nodes);
    let client = Client::of(&nodes);
    let topic = topic_id(&client);
    let key = |number: i32| share_key(&format!("group-{number}"), topic, number % PARTITIONS);
    let stop = Arc::new(AtomicBool::new(false));
    let leaders: Vec<_> = (0..8)
        .map(|number| leader(&client, &key(number), &stop))
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
    stop.store(true, Ordering::Relaxed);
    for (number, leader) in (0..).zip(leaders) {
        let acknowledged = leader.join().unwrap();
        assert!(acknowledged > 0);
        let key = key(number);
        assert_eq!(client.start(&key), acknowledged);
        let late = client.write(&key, (EPOCHS.0, EPOCHS.1 - 1), acknowledged + 1);
        assert_eq!(late, FENCED_LEADER_EPOCH);
    }
}
