//! The leader of a share group's partition, and the next one: who is told to serve, and what the next gives out when the
//! first has died.

use std::net::SocketAddr;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;

use super::Nodes;
use super::failover::{TOPIC, create_topic};
use super::nodes::eventually;
use crate::semantics::records::{Topic, batch, store};
use crate::semantics::share_state::{find_request, initialize_request, share_key};
use crate::semantics::shares::member::{ACCEPT, Member, fetch_partition, fetch_request};
use crate::semantics::wire::{Connection, FOR_EVER, text};

const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const GROUP: &str = "carried";

/// The topic, and the leader of its first partition, as a node has it.
fn led(address: SocketAddr) -> (Topic, i32) {
    let name = TopicName(text(TOPIC));
    let asked = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let answer = Connection::open(address).call(12, &request);
    let topic = Topic {
        name: TOPIC.to_owned(),
        id: answer.topics[0].topic_id,
    };
    let mut partitions = answer.topics[0].partitions.iter();
    let first = partitions.find(|one| one.partition_index == 0);
    (topic, first.map_or(-1, |one| one.leader_id.0))
}

/// Begins the group's share of the first partition, with its coordinator, wherever that is.
fn begin_state(address: SocketAddr, topic: &Topic) {
    let key = share_key(GROUP, topic.id, 0);
    eventually("the share-partition has begun", || {
        let find = find_request(&key.to_string());
        let found = Connection::open(address)
            .call(6, &find)
            .coordinators
            .remove(0);
        if found.error_code != 0 {
            return false;
        }
        let address = format!("{}:{}", found.host, found.port);
        let mut coordinator = Connection::open(address.parse().expect("an address"));
        let mut answer = coordinator.call(0, &initialize_request(&key, 1, 0));
        let row = answer.results.remove(0).partitions.remove(0);
        row.error_code == 0
    });
}

#[test]
fn the_next_leader_gives_out_what_was_not_accepted() {
    let settings = [("share.coordinator.state.topic.num.partitions", "3")];
    let mut nodes = Nodes::start(3, 2, &settings);
    create_topic(&nodes);
    let (topic, leader) = led(nodes.node(1).kafka);
    let address = nodes.node(leader as usize).kafka;
    begin_state(address, &topic);
    let mut connection = Connection::open(address);
    for _ in 0..2 {
        store(&mut connection, &topic, 0, &batch(5));
    }
    let mut member = Member::begin(Connection::open(address), GROUP, &topic);
    assert_eq!(member.fetch(FOR_EVER), [(0, 9, 1)]);
    assert_eq!(
        member.acknowledge(&[(0, 2, &[ACCEPT]), (7, 7, &[ACCEPT])]),
        0
    );

    // Only the leader serves; others say who that is.
    let other = 1 + leader % 3;
    let request = fetch_request(("other", "m"), 0, &topic, vec![fetch_partition(0)]);
    let mut asked = Connection::open(nodes.node(other as usize).kafka);
    let answer = asked.call(1, &request);
    let row = &answer.responses[0].partitions[0];
    assert_eq!(row.error_code, NOT_LEADER_OR_FOLLOWER);
    assert_eq!(row.current_leader.leader_id, leader);
    assert_eq!(answer.node_endpoints[0].node_id.0, leader);
    assert_eq!(answer.node_endpoints[0].port, i32::from(address.port()));

    nodes.take(leader as usize).kill();
    let survivor = nodes.node(other as usize).kafka;
    eventually("another leads", || {
        let next = led(survivor).1;
        next > 0 && next != leader
    });
    let next = nodes.node(led(survivor).1 as usize).kafka;
    let mut member = Member::new(Connection::open(next), GROUP, &topic);
    // It may not know yet that it leads.
    eventually_begins(&mut member);
    let mut offsets = Vec::new();
    while offsets.last().is_none_or(|last| *last < 9) {
        let given = member.fetch(FOR_EVER);
        offsets.extend(given.iter().flat_map(|range| range.0..=range.1));
    }
    assert_eq!(offsets, [3, 4, 5, 6, 8, 9]);
}

fn eventually_begins(member: &mut Member) {
    member.max_records = 0;
    while member.try_rows(0) != Ok(0) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        member.epoch = 0;
    }
    member.max_records = 500;
}
