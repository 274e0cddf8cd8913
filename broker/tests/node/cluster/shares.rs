//! Share groups while nodes die: the leaders of partitions, which know who has which record, and the coordinators of
//! what is stored of that. Every record comes to somebody, and none again after somebody was told that it is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use kafka_protocol::messages::*;
use share::state::ShareKey;
use uuid::Uuid;

use super::Nodes;
use super::failover::{Load, PARTITIONS, TOPIC, create_topic, in_sync};
use super::line::Line;
use super::nodes::eventually;
use super::share_state::{Client, topic_id};
use crate::harness::Random;
use crate::semantics::records::{Topic, spans};
use crate::semantics::share_state::{find_request, share_key};
use crate::semantics::shares::member::{ACCEPT, RELEASE, acknowledge_request, fetch_request};

const GROUP: &str = "queue";
/// A small topic, so that few partitions have all.
const SETTINGS: &[(&str, &str)] = &[("share.coordinator.state.topic.num.partitions", "6")];
/// What a Fetch waits for at most.
const WAIT_MS: i32 = 200;

type Offsets = RangeInclusive<i64>;

/// What all members know of one partition.
#[derive(Default)]
struct Known {
    /// The records that somebody was given.
    given: BTreeSet<i64>,
    /// Those that were accepted, and when that was said.
    accepted: BTreeMap<i64, u64>,
    /// Records given that were given before.
    again: usize,
}

struct Shared {
    client: Client,
    topic: Topic,
    stop: AtomicBool,
    /// Counts what is said and asked.
    clock: AtomicU64,
    partitions: Vec<Mutex<Known>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Where a partition is led.
    fn leader(&self, index: i32) -> Option<(BrokerId, SocketAddr)> {
        use metadata_request::MetadataRequestTopic;
        let topic = MetadataRequestTopic::default().with_topic_id(self.topic.id);
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let answer = self.client.0.any(12, &request)?;
        let topic = answer.topics.first()?;
        let mut partitions = topic.partitions.iter();
        let leader = partitions
            .find(|one| one.partition_index == index)?
            .leader_id;
        let node = answer.brokers.iter().find(|node| node.node_id == leader)?;
        let address = format!("{}:{}", &*node.host, node.port).parse().ok()?;
        Some((leader, address))
    }

    /// Notes what was given for a fetch that was sent at `asked`.
    fn given(&self, index: i32, asked: u64, offsets: Offsets) {
        let mut known = self.partitions[index as usize].lock().unwrap();
        for offset in offsets {
            if let Some(at) = known.accepted.get(&offset) {
                assert!(
                    *at > asked,
                    "{offset} of partition {index} was accepted, and comes again"
                );
            }
            if !known.given.insert(offset) {
                known.again += 1;
            }
        }
    }

    fn accepted(&self, index: i32, offsets: Offsets) {
        let now = self.now();
        let mut known = self.partitions[index as usize].lock().unwrap();
        known.accepted.extend(offsets.map(|offset| (offset, now)));
    }
}

/// A member that has one partition.
struct Member {
    shared: Arc<Shared>,
    id: String,
    index: i32,
    /// Whether it takes its time with records, and often gives them back: they are with it while others come and go.
    slow: bool,
    random: Random,
}

impl Member {
    fn start(shared: &Arc<Shared>, at: i32, random: Random) -> JoinHandle<()> {
        let id = share_key("", Uuid::new_v4(), 0).to_string();
        let mut member = Self {
            shared: Arc::clone(shared),
            id: id.split(':').nth(1).unwrap().to_owned(),
            index: at % PARTITIONS,
            slow: at >= PARTITIONS,
            random,
        };
        std::thread::spawn(move || {
            while !member.shared.stop.load(Ordering::Relaxed) {
                let leader = member.shared.leader(member.index);
                let line = leader.and_then(|(_, address)| Line::open(address));
                if let Some(mut line) = line {
                    // Until the connection or the leadership ends.
                    let _: Option<()> = member.share(&mut line);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    }

    /// Fetches and acknowledges in a session, until that fails.
    fn share(&mut self, line: &mut Line) -> Option<()> {
        let mut epoch = 0;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let partition =
                share_fetch_request::FetchPartition::default().with_partition_index(self.index);
            let partitions = if epoch == 0 {
                vec![partition]
            } else {
                Vec::new()
            };
            let who = (GROUP, self.id.as_str());
            let request = fetch_request(who, epoch, &self.shared.topic, partitions)
                .with_max_wait_ms(WAIT_MS)
                .with_min_bytes(1)
                .with_max_records(20)
                .with_batch_size(20);
            let asked = self.shared.now();
            let answer = line
                .call(1, &request)
                .filter(|answer| answer.error_code == 0)?;
            epoch += 1;
            let rows = answer
                .responses
                .into_iter()
                .flat_map(|topic| topic.partitions);
            for row in rows {
                if row.error_code != 0 {
                    return None;
                }
                let sent = spans(&row.records.clone().unwrap_or_default());
                for of in &row.acquired_records {
                    let offsets = of.first_offset..=of.last_offset;
                    let is_sent = |at: i64| {
                        sent.iter()
                            .any(|(first, last)| (*first..=*last).contains(&at))
                    };
                    assert!(
                        offsets.clone().all(is_sent),
                        "{offsets:?} is not in {sent:?}"
                    );
                    self.shared.given(self.index, asked, offsets.clone());
                    self.acknowledge(line, epoch, offsets)?;
                    epoch += 1;
                }
            }
        }
        Some(())
    }

    /// Accepts records, or now and then gives them back.
    fn acknowledge(&mut self, line: &mut Line, epoch: i32, offsets: Offsets) -> Option<()> {
        let accepts = self.random.below(if self.slow { 2 } else { 5 }) > 0;
        if self.slow {
            let pause = self.random.below(1_500);
            std::thread::sleep(Duration::from_millis(pause as u64));
        }
        let types = if accepts { [ACCEPT] } else { [RELEASE] };
        let said = [(*offsets.start(), *offsets.end(), &types[..])];
        let who = (GROUP, self.id.as_str());
        let of = (&self.shared.topic, self.index);
        let answer = line.call(1, &acknowledge_request(who, epoch, of, &said))?;
        if answer.error_code != 0 {
            return None;
        }
        if answer.responses[0].partitions[0].error_code == 0 && accepts {
            self.shared.accepted(self.index, offsets);
        }
        Some(())
    }
}

/// The node that is to die: one that leads a partition, or coordinates what is stored of it.
fn victim(shared: &Shared, random: &mut Random) -> usize {
    let index = random.below(PARTITIONS as usize) as i32;
    loop {
        let node = if random.below(2) == 0 {
            shared.leader(index).map(|(node, _)| node)
        } else {
            let key = share_key(GROUP, shared.topic.id, index);
            let found = shared.client.0.any(6, &find_request(&key.to_string()));
            let found = found.map(|mut found| found.coordinators.remove(0));
            found
                .filter(|found| found.error_code == 0)
                .map(|found| found.node_id)
        };
        match node {
            Some(node) if node.0 > 0 => return node.0 as usize,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What happens to nodes while members share a topic.
fn trial(settings: &[(&str, &str)], mut disturb: impl FnMut(&mut Nodes, usize, &mut Random)) {
    let mut random = Random::from_env();
    let mut nodes = Nodes::start(3, 2, settings);
    create_topic(&nodes);
    let client = Client::of(&nodes);
    let topic = Topic {
        id: topic_id(&client),
        name: TOPIC.to_owned(),
    };
    let keys: Vec<_> = (0..PARTITIONS)
        .map(|index| share_key(GROUP, topic.id, index))
        .collect();
    for key in &keys {
        client.initialize(key, 1);
    }
    let shared = Arc::new(Shared {
        client,
        topic,
        stop: AtomicBool::new(false),
        clock: AtomicU64::new(0),
        partitions: keys.iter().map(|_| Mutex::default()).collect(),
    });
    let members: Vec<_> = (0..2 * PARTITIONS)
        .map(|at| Member::start(&shared, at, random.fork()))
        .collect();
    let load = Load::start(&nodes, 1);
    std::thread::sleep(Duration::from_millis(1_000));
    for _ in 0..4 {
        let node = victim(&shared, &mut random);
        disturb(&mut nodes, node, &mut random);
        std::thread::sleep(Duration::from_millis(random.below(1_000) as u64));
    }
    let produced = load.end();
    in_sync(&nodes);
    shared.check(&keys, &produced);
    for member in members {
        member.join().unwrap();
    }
}

impl Shared {
    /// Waits until all is done, ends the members, and looks whether each record came to one of them.
    fn check(&self, keys: &[ShareKey], produced: &[(i32, i64, String)]) {
        let end = |index: i32| {
            let of_partition = produced
                .iter()
                .filter(|(partition, ..)| *partition == index);
            let ends = of_partition.map(|(_, offset, _)| offset + 1);
            ends.max().unwrap_or(0)
        };
        eventually("all records are done", || {
            let mut indexes = (0..).zip(keys);
            indexes.all(|(index, key)| self.client.start_in_summary(key) == end(index))
        });
        self.stop.store(true, Ordering::Relaxed);
        let (mut accepted, mut again) = (0, 0);
        for (index, known) in (0..).zip(&self.partitions) {
            let known = known.lock().unwrap();
            accepted += known.accepted.len();
            again += known.again;
            let missed = (0..end(index)).find(|offset| !known.given.contains(offset));
            assert_eq!(missed, None, "nobody got it of partition {index}");
        }
        eprintln!(
            "{} records, {accepted} known to be accepted, {again} given again",
            produced.len()
        );
        assert!(accepted > 0);
    }
}

#[test]
fn accepted_records_never_come_again_and_all_others_do_whichever_node_dies() {
    trial(SETTINGS, |nodes, node, random| {
        nodes.take(node).kill();
        std::thread::sleep(Duration::from_millis(random.below(2_000) as u64));
        nodes.begin(node);
        nodes.wait_ready(node);
    });
}

/// Those that hang go on when others have what they led, or before that is noticed.
#[test]
fn accepted_records_never_come_again_and_all_others_do_whichever_node_hangs() {
    let quick = [
        SETTINGS[0],
        ("broker.heartbeat.interval.ms", "200"),
        ("broker.session.timeout.ms", "1500"),
    ];
    trial(&quick, |nodes, node, random| {
        nodes.node(node).signal(libc::SIGSTOP);
        // Mostly until its leaderships are others', sometimes not.
        std::thread::sleep(Duration::from_millis(1_000 + random.below(4_000) as u64));
        nodes.node(node).signal(libc::SIGCONT);
    });
}
