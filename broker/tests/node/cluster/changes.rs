//! What clients are told of several nodes, and what they change of them: who holds a partition, who leads
//! it, who is part of the cluster and who agrees on its metadata.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use net::client::{Client, ClientConfig};
use uuid::Uuid;

use super::Nodes;
use super::nodes::eventually;
use crate::compacted::{Found, read_all};
use crate::roundtrip::{Row, produce};

const LEADER_NOT_AVAILABLE: i16 = 5;
const INVALID_REQUEST: i16 = 42;

/// A client that knows of one node only, to begin with.
fn client_of(nodes: &Nodes, node: usize) -> Client {
    Client::connect(ClientConfig::new(&nodes.node(node).bootstrap())).unwrap()
}

fn call<R: Request>(nodes: &Nodes, node: usize, request: &R) -> R::Response {
    client_of(nodes, node).call(request).unwrap()
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn ids(nodes: &[i32]) -> Vec<BrokerId> {
    nodes.iter().copied().map(BrokerId).collect()
}

/// Makes a topic with these replicas of each partition.
fn create(nodes: &Nodes, topic: &str, replicas: &[&[i32]]) {
    let assignment = |(index, nodes): (i32, &&[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(index)
            .with_broker_ids(ids(nodes))
    };
    let new = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments((0..).zip(replicas).map(assignment).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![new])
        .with_timeout_ms(30_000);
    let row = call(nodes, 1, &request).topics.remove(0);
    assert_eq!(row.error_code, 0, "{:?}", row.error_message);
}

fn metadata(nodes: &Nodes, node: usize, topic: &str) -> MetadataResponse {
    let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(false);
    call(nodes, node, &request)
}

fn partition(
    nodes: &Nodes,
    node: usize,
    topic: &str,
    index: usize,
) -> Option<MetadataResponsePartition> {
    let mut answer = metadata(nodes, node, topic);
    let rows = answer.topics.remove(0).partitions;
    rows.into_iter().nth(index)
}

/// Waits until every node says that the replicas, those in sync, and the leader of a partition are these.
fn becomes(nodes: &Nodes, topic: &str, replicas: &[i32], isr: &[i32], leader: i32) {
    let what = format!("{topic}-0 is on {replicas:?}, in sync {isr:?}, led by {leader}");
    let running = (1..=3).filter(|node| nodes.nodes[node - 1].is_some());
    for node in running {
        eventually(&what, || {
            partition(nodes, node, topic, 0).is_some_and(|row| {
                let mut in_sync: Vec<i32> = row.isr_nodes.iter().map(|node| node.0).collect();
                in_sync.sort_unstable();
                row.replica_nodes == ids(replicas) && in_sync == isr && row.leader_id.0 == leader
            })
        });
    }
}

fn reassign(nodes: &Nodes, node: usize, topic: &str, replicas: Option<&[i32]>) -> i16 {
    let to = ReassignablePartition::default().with_replicas(replicas.map(ids));
    let topic = ReassignableTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![to]);
    let request = AlterPartitionReassignmentsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let answer = call(nodes, node, &request);
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.responses[0].partitions[0].error_code
}

fn elect(nodes: &Nodes, topic: &str, kind: i8) -> i16 {
    let topic = TopicPartitions::default()
        .with_topic(name(topic))
        .with_partitions(vec![0]);
    let request = ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_topic_partitions(Some(vec![topic]))
        .with_timeout_ms(30_000);
    let answer = call(nodes, 1, &request);
    assert_eq!(answer.error_code, 0);
    answer.replica_election_results[0].partition_result[0].error_code
}

/// A partition that is being moved: its topic, all replicas, those that come, those that go.
type Move = (String, Vec<BrokerId>, Vec<BrokerId>, Vec<BrokerId>);

/// What `node` says is being moved.
fn moves(nodes: &Nodes, node: usize) -> Vec<Move> {
    let request = ListPartitionReassignmentsRequest::default().with_topics(None);
    let answer = call(nodes, node, &request);
    let mut all = Vec::new();
    for topic in answer.topics {
        for row in topic.partitions {
            all.push((
                topic.name.to_string(),
                row.replicas,
                row.adding_replicas,
                row.removing_replicas,
            ));
        }
    }
    all
}

/// What `ottla` prints with these arguments, and whether it went well.
pub fn ottla(nodes: &Nodes, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(arguments).args(["-b", &nodes.bootstrap()]);
    let output = command.env_remove("OTTLA_BROKERS").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Has `ottla` do something, again if need be: while another node takes over, or one still catches up, it may
/// not be done, or nobody may know whether it is. `already` is what is said when it is.
fn done(nodes: &Nodes, arguments: &[&str], already: &str) {
    eventually(&arguments.join(" "), || {
        let (fine, text) = ottla(nodes, arguments);
        assert!(
            fine || text.contains(already) || text.contains("REQUEST_TIMED_OUT"),
            "{text}"
        );
        fine || text.contains(already)
    });
}

#[test]
fn clients_are_told_of_all_nodes_and_of_those_that_are_away() {
    let mut nodes = Nodes::start(3, 1, &[]);
    create(&nodes, "spread", &[&[1, 2], &[2, 3]]);
    create(&nodes, "alone", &[&[3]]);
    for node in 1..=3 {
        eventually("every node tells of all, and of one controller", || {
            let answer = metadata(&nodes, node, "spread");
            let brokers = answer.brokers.iter().map(|one| one.node_id.0);
            let leader = client_of(&nodes, node).quorum().unwrap().leader;
            brokers.eq([1, 2, 3])
                && answer.controller_id.0 == leader
                && answer.topics[0].error_code == 0
        });
        let answer = metadata(&nodes, node, "spread");
        let ports = answer.brokers.iter().map(|one| one.port);
        let own = (1..=3).map(|at| i32::from(nodes.node(at).kafka.port()));
        assert!(
            ports.eq(own),
            "clients are sent to the addresses for clients"
        );
        let rows = &answer.topics[0].partitions;
        assert!(rows.iter().map(|row| row.leader_id.0).eq([1, 2]));
        assert!(
            rows.iter()
                .all(|row| row.error_code == 0 && row.offline_replicas.is_empty())
        );
    }
    let other = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(StrBytes::from_static_str("2"));
    let request = DescribeConfigsRequest::default().with_resources(vec![other]);
    assert_eq!(
        call(&nodes, 1, &request).results[0].error_code,
        INVALID_REQUEST
    );

    nodes.take(3).kill();
    for node in 1..=2 {
        eventually("the node that is away is told to be so", || {
            let answer = metadata(&nodes, node, "spread");
            let spread = &answer.topics[0].partitions;
            let alone = partition(&nodes, node, "alone", 0).unwrap();
            answer.brokers.iter().map(|one| one.node_id.0).eq([1, 2])
                && spread[1].offline_replicas == ids(&[3])
                && alone.offline_replicas == ids(&[3])
                && (alone.leader_id.0, alone.error_code) == (-1, LEADER_NOT_AVAILABLE)
        });
        let told = client_of(&nodes, node).nodes().unwrap();
        let told = told.iter().map(|one| (one.broker.id, one.fenced));
        assert!(told.eq([(1, false), (2, false), (3, true)]));
    }
    let described = call(&nodes, 1, &DescribeClusterRequest::default());
    let told = described.brokers.iter().map(|one| one.broker_id.0);
    assert!(
        told.eq([1, 2]),
        "only who asks is told of those that are away"
    );
    let answer = nodes.node(2).http("/v1/cluster").unwrap();
    assert!(answer.contains("\"state\":\"fenced\""), "{answer}");
    let (fine, text) = ottla(&nodes, &["topic", "describe", "alone"]);
    assert!(fine && text.contains("none"), "{text}");
}

#[test]
fn replicas_are_moved_and_leaders_are_elected() {
    let mut nodes = Nodes::start(3, 1, &[("auto.leader.rebalance.enable", "false")]);
    create(&nodes, "moved", &[&[1, 2]]);
    becomes(&nodes, "moved", &[1, 2], &[1, 2], 1);
    assert_eq!(elect(&nodes, "moved", 0), 84, "ELECTION_NOT_NEEDED");
    assert_eq!(elect(&nodes, "moved", 1), 84, "ELECTION_NOT_NEEDED");
    assert_eq!(
        reassign(&nodes, 2, "moved", None),
        85,
        "NO_REASSIGNMENT_IN_PROGRESS"
    );
    assert_eq!(
        reassign(&nodes, 2, "moved", Some(&[1, 9])),
        39,
        "INVALID_REPLICA_ASSIGNMENT"
    );

    assert_eq!(reassign(&nodes, 2, "moved", Some(&[3, 1])), 0);
    becomes(&nodes, "moved", &[3, 1], &[1, 3], 1);
    assert_eq!(elect(&nodes, "moved", 0), 0);
    becomes(&nodes, "moved", &[3, 1], &[1, 3], 3);
    assert_eq!(moves(&nodes, 1), []);

    // One that waits for a node that is away can be seen, and cancelled.
    nodes.take(2).kill();
    eventually("node 2 is away", || {
        metadata(&nodes, 1, "moved").brokers.len() == 2
    });
    assert_eq!(reassign(&nodes, 3, "moved", Some(&[3, 2])), 0);
    let moving = vec![("moved".to_owned(), ids(&[3, 2, 1]), ids(&[2]), ids(&[1]))];
    assert_eq!(moves(&nodes, 3), moving);
    eventually("the other node knows of it", || moves(&nodes, 1) == moving);
    assert_eq!(
        partition(&nodes, 3, "moved", 0).map(|row| row.offline_replicas),
        Some(ids(&[2]))
    );
    assert_eq!(reassign(&nodes, 1, "moved", None), 0);
    assert_eq!(moves(&nodes, 1), []);
    becomes(&nodes, "moved", &[3, 1], &[1, 3], 3);
}

#[test]
fn a_replica_is_made_of_a_log_that_was_compacted() {
    const KEYS: usize = 40;
    let mut nodes = Nodes::start(
        3,
        1,
        &[
            ("auto.leader.rebalance.enable", "false"),
            ("log.cleanup.policy", "compact"),
            ("log.segment.bytes", "1048576"),
            ("log.cleaner.min.cleanable.ratio", "0.01"),
            ("log.cleaner.max.compaction.lag.ms", "200"),
            ("log.cleaner.backoff.ms", "20"),
        ],
    );
    create(&nodes, "compacted", &[&[1, 2]]);
    becomes(&nodes, "compacted", &[1, 2], &[1, 2], 1);
    let row = |n: usize| Row {
        key: Some(format!("key-{}", n % KEYS).into_bytes()),
        value: Some(format!("{n} {}", "x".repeat(1000)).into_bytes()),
        header: None,
    };
    let rows: Vec<_> = (0..4000).map(row).collect();
    produce(nodes.node(1), "compacted", &rows, &[("acks", "all")]);
    eventually("the log is compacted", || {
        read_all(nodes.node(1), "compacted").len() == KEYS
    });
    let expected = read_all(nodes.node(1), "compacted");
    assert_eq!(expected[0].0, 3960);
    // One that has none of it, then one that compacted it itself, lead.
    assert_eq!(reassign(&nodes, 1, "compacted", Some(&[3, 2, 1])), 0);
    becomes(&nodes, "compacted", &[3, 2, 1], &[1, 2, 3], 1);
    assert_eq!(elect(&nodes, "compacted", 0), 0);
    becomes(&nodes, "compacted", &[3, 2, 1], &[1, 2, 3], 3);
    assert_eq!(read_all(nodes.node(3), "compacted"), expected);
    produce(nodes.node(3), "compacted", &rows[..1], &[("acks", "all")]);
    nodes.take(3).kill();
    becomes(&nodes, "compacted", &[3, 2, 1], &[1, 2], 2);
    let found = read_all(nodes.node(2), "compacted");
    assert_eq!(found.last().map(|last| last.0), Some(4000));
    let of = |found: &[Found]| -> BTreeMap<String, String> {
        let pair = |(_, key, value): &Found| (key.clone(), value.clone());
        found.iter().map(pair).collect()
    };
    let mut expected = of(&expected);
    expected.insert("key-0".to_owned(), format!("0 {}", "x".repeat(1000)));
    assert_eq!(of(&found), expected);
}

#[test]
fn voters_and_nodes_come_and_go() {
    let mut nodes = Nodes::start(3, 1, &[]);
    let quorum = || client_of(&nodes, 1).quorum().unwrap();
    eventually("all voters have caught up", || {
        let quorum = quorum();
        let caught_up = |one: &net::client::QuorumMember| {
            one.caught_up_ms > 0 && one.log_end >= quorum.high_watermark && !one.directory.is_nil()
        };
        quorum.voters.len() == 3 && quorum.voters.iter().all(caught_up)
    });
    let known = quorum().voters;
    let stranger = Uuid::from_u128(7);
    for node in [3, 2, 1] {
        let id = node.to_string();
        done(&nodes, &["cluster", "remove-voter", &id], "VOTER_NOT_FOUND");
        eventually("it goes on as an observer", || {
            let quorum = quorum();
            quorum.voters.len() == 2 && quorum.observers.iter().any(|one| one.node == node)
        });
        let (fine, text) = ottla(&nodes, &["cluster", "remove-voter", &id]);
        assert!(!fine && text.contains("VOTER_NOT_FOUND"), "{text}");
        let refused = client_of(&nodes, 2).add_voter(node, stranger);
        assert!(refused.unwrap_err().to_string().contains("INVALID_REQUEST"));
        done(&nodes, &["cluster", "add-voter", &id], "DUPLICATE_VOTER");
        let refused = client_of(&nodes, 2).add_voter(node, Uuid::nil());
        assert!(refused.unwrap_err().to_string().contains("DUPLICATE_VOTER"));
    }
    let refused = client_of(&nodes, 2).remove_voter(3, stranger);
    assert!(refused.unwrap_err().to_string().contains("VOTER_NOT_FOUND"));
    let directories = |voters: &[net::client::QuorumMember]| -> Vec<(i32, Uuid)> {
        voters.iter().map(|one| (one.node, one.directory)).collect()
    };
    assert_eq!(directories(&quorum().voters), directories(&known));

    nodes.take(3).kill();
    let unregister = ["cluster", "unregister", "3"];
    done(&nodes, &unregister, "BROKER_ID_NOT_REGISTERED");
    let (fine, text) = ottla(&nodes, &unregister);
    assert!(!fine && text.contains("BROKER_ID_NOT_REGISTERED"), "{text}");
    done(&nodes, &["cluster", "remove-voter", "3"], "VOTER_NOT_FOUND");
    let (fine, text) = ottla(&nodes, &["cluster"]);
    let shown = text.lines().filter(|line| line.trim().starts_with('3'));
    assert!(fine && shown.count() == 0, "{text}");
    assert!(
        Path::new(&nodes.dir_of(3)).exists(),
        "its data is left alone"
    );
}
