//! Groups as members and operators see them on the wire, and the requests that others here use.

use std::time::Duration;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use super::node::{Node, against_another, shared, unique};
use super::records::{create, topic_name};
use super::wire::{Connection, text};
use crate::harness::{Options, cores};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;

/// LOAD_IN_PROGRESS, NOT_AVAILABLE, NOT_COORDINATOR: ask again.
fn is_passing(error: i16) -> bool {
    (14..=16).contains(&error)
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A group's name that nobody has, of which the broker is the coordinator by now.
pub fn coordinated(connection: &mut Connection, name: &str) -> GroupId {
    let group = GroupId(text(&unique(name)));
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![group.0.clone()]);
    loop {
        let found = connection.call(4, &find).coordinators.remove(0);
        if found.error_code == 0 {
            break;
        }
        assert!(is_passing(found.error_code), "{found:?}");
        pause();
    }
    let describe = DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
    while is_passing(connection.call(5, &describe).groups[0].error_code) {
        pause();
    }
    group
}

/// A JoinGroup request.
pub fn join_request(group: &GroupId, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(vec![1, 2, 3].into());
    JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_member_id(text(member))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins a group, with the id that the broker gives if it insists on one.
pub fn join(connection: &mut Connection, version: i16, group: &GroupId) -> JoinGroupResponse {
    let first = connection.call(version, &join_request(group, ""));
    if first.error_code != MEMBER_ID_REQUIRED {
        return first;
    }
    connection.call(version, &join_request(group, &first.member_id))
}

/// A SyncGroup request of the leader, who gives itself an assignment.
pub fn sync_request(group: &GroupId, joined: &JoinGroupResponse) -> SyncGroupRequest {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(vec![7, 7].into());
    SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![own])
}

/// A group with one member that has its assignment.
pub fn stable(connection: &mut Connection, name: &str) -> (GroupId, JoinGroupResponse) {
    let group = coordinated(connection, name);
    let joined = join(connection, 4, &group);
    assert_eq!(joined.error_code, 0);
    let synced = connection.call(3, &sync_request(&group, &joined));
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &[7, 7][..])
    );
    (group, joined)
}

/// An OffsetCommit request of somebody who is no member.
pub fn commit_request(group: &GroupId, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let row = |&(index, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(offsets.iter().map(row).collect());
    OffsetCommitRequest::default()
        .with_group_id(group.clone())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// An OffsetFetch request since version 8; no topics for all of them.
pub fn fetch_request(group: &GroupId, topic: Option<(&str, Vec<i32>)>) -> OffsetFetchRequest {
    let topics = topic.map(|(name, indexes)| {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(name))
            .with_partition_indexes(indexes);
        vec![topic]
    });
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group.clone())
        .with_member_epoch(-1)
        .with_topics(topics);
    OffsetFetchRequest::default().with_groups(vec![group])
}

/// An OffsetDelete request.
pub fn delete_request(group: &GroupId, topic: &str, indexes: &[i32]) -> OffsetDeleteRequest {
    let row = |&index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(indexes.iter().map(row).collect());
    OffsetDeleteRequest::default()
        .with_group_id(group.clone())
        .with_topics(vec![topic])
}

/// A ConsumerGroupHeartbeat request of a new member; since version 1 members make their own ids.
pub fn consumer_request(
    group: &GroupId,
    topic: &str,
    version: i16,
) -> ConsumerGroupHeartbeatRequest {
    let member = match version {
        0 => String::new(),
        _ => unique("member"),
    };
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group.clone())
        .with_member_id(text(&member))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![topic_name(topic)]))
        .with_topic_partitions(Some(Vec::new()))
}

fn committed(connection: &mut Connection, group: &GroupId) -> Vec<(i32, i64)> {
    let answer = connection.call(8, &fetch_request(group, None));
    let topics = answer.groups[0].topics.iter();
    let rows = topics.flat_map(|topic| &topic.partitions);
    rows.map(|row| (row.partition_index, row.committed_offset))
        .collect()
}

fn commit_codes(answer: &OffsetCommitResponse) -> Vec<(i32, i16)> {
    let rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
    rows.map(|row| (row.partition_index, row.error_code))
        .collect()
}

// Points 62 and 63.
#[test]
fn offsets_of_partitions_that_are_there_are_stored_and_of_others_refused() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "committed", 2, &[]);
    let group = coordinated(&mut connection, "commits");
    let commit = commit_request(&group, &topic.name, &[(7, 1), (1, 11), (2, 1), (0, 10)]);
    let answer = connection.call(8, &commit);
    let unknown = UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(
        commit_codes(&answer),
        [(7, unknown), (1, 0), (2, unknown), (0, 0)]
    );
    let mut found = committed(&mut connection, &group);
    found.sort_unstable();
    assert_eq!(found, [(0, 10), (1, 11)]);
    let nowhere = commit_request(&group, &unique("nowhere"), &[(0, 1)]);
    assert_eq!(commit_codes(&connection.call(8, &nowhere)), [(0, unknown)]);
    let one = fetch_request(&group, Some((&topic.name, vec![1, 5])));
    let answer = connection.call(8, &one);
    let rows: Vec<_> = answer.groups[0].topics[0]
        .partitions
        .iter()
        .map(|row| (row.partition_index, row.committed_offset, row.error_code))
        .collect();
    assert_eq!(rows, [(1, 11, 0), (5, -1, 0)]);
}

// Point 65.
#[test]
fn offsets_and_groups_are_deleted_where_nobody_needs_them() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "forgotten", 2, &[]);
    let group = coordinated(&mut connection, "deletes");
    connection.call(8, &commit_request(&group, &topic.name, &[(0, 1), (1, 2)]));
    let answer = connection.call(0, &delete_request(&group, &topic.name, &[0, 9]));
    assert_eq!(answer.error_code, 0);
    let mut rows: Vec<_> = answer.topics[0]
        .partitions
        .iter()
        .map(|row| (row.partition_index, row.error_code))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [(0, 0), (9, UNKNOWN_TOPIC_OR_PARTITION)]);
    assert_eq!(committed(&mut connection, &group), [(1, 2)]);
    let (busy, _) = stable(&mut connection, "busy");
    let gone = GroupId(text(&unique("gone")));
    let names = vec![group.clone(), busy, gone];
    let delete = DeleteGroupsRequest::default().with_groups_names(names);
    let answer = connection.call(2, &delete);
    let codes: Vec<_> = answer.results.iter().map(|row| row.error_code).collect();
    assert_eq!(codes, [0, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND]);
    assert_eq!(committed(&mut connection, &group), []);
}

// Points 56 to 59.
#[test]
fn a_second_member_has_the_first_one_join_again() {
    let node = shared();
    let mut connection = node.connect();
    let (group, first) = stable(&mut connection, "two");
    let beat = HeartbeatRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(first.generation_id)
        .with_member_id(first.member_id.clone());
    assert_eq!(connection.call(3, &beat).error_code, 0);
    // The connection waits for the other member, so the first one needs its own.
    let mut second = node.connect();
    let id = second.call(4, &join_request(&group, "")).member_id;
    let waiting = second.send(4, &join_request(&group, &id));
    while connection.call(3, &beat).error_code != REBALANCE_IN_PROGRESS {
        pause();
    }
    let again = connection.call(4, &join_request(&group, &first.member_id));
    let joined = second.receive::<JoinGroupRequest>(4, waiting);
    assert_eq!((again.error_code, joined.error_code), (0, 0));
    assert_eq!(again.generation_id, first.generation_id + 1);
    assert_eq!(joined.generation_id, again.generation_id);
    assert_eq!((again.members.len(), joined.members.len()), (2, 0));
    assert_eq!(joined.leader, first.member_id);
    let stale = beat.with_member_id(text("nobody"));
    assert_eq!(connection.call(3, &stale).error_code, UNKNOWN_MEMBER_ID);
}

#[test]
fn groups_of_every_shard_are_listed_described_and_found() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "listed", 1, &[]);
    let groups: Vec<_> = (0..20)
        .map(|_| coordinated(&mut connection, "listed"))
        .collect();
    for group in &groups {
        let commit = commit_request(group, &topic.name, &[(0, 5)]);
        assert_eq!(commit_codes(&connection.call(8, &commit)), [(0, 0)]);
    }
    let listed = connection.call(4, &ListGroupsRequest::default());
    assert_eq!(listed.error_code, 0);
    for group in &groups {
        let row = listed.groups.iter().find(|row| row.group_id == *group);
        assert_eq!(
            row.map(|row| row.group_state.as_str()),
            Some("Empty"),
            "{group:?}"
        );
    }
    let stable_only = ListGroupsRequest::default().with_states_filter(vec![text("Stable")]);
    let listed = connection.call(4, &stable_only);
    assert!(
        !listed
            .groups
            .iter()
            .any(|row| groups.contains(&row.group_id))
    );
    let describe = DescribeGroupsRequest::default().with_groups(groups.clone());
    let described = connection.call(5, &describe);
    let ids: Vec<_> = described.groups.iter().map(|row| &row.group_id).collect();
    assert_eq!(ids, groups.iter().collect::<Vec<_>>());
    let keys = groups.iter().map(|group| group.0.clone()).collect();
    let find = FindCoordinatorRequest::default().with_coordinator_keys(keys);
    let found = connection.call(6, &find);
    assert_eq!(found.coordinators.len(), groups.len());
    assert!(
        found
            .coordinators
            .iter()
            .all(|row| row.error_code == 0 && row.port > 0)
    );
    let strange = FindCoordinatorRequest::default()
        .with_key_type(9)
        .with_coordinator_keys(vec![text("x")]);
    if !against_another() {
        assert_eq!(connection.call(6, &strange).coordinators[0].error_code, 42);
    }
}

// Point 55.
#[test]
fn offsets_and_members_are_there_after_a_restart() {
    if against_another() {
        return;
    }
    let options = |dir: &std::path::Path| {
        Options::with_shards(dir, cores().min(2))
            .set("group.initial.rebalance.delay.ms", "0")
            .set("offsets.topic.num.partitions", "4")
    };
    let mut node = Node::start(options);
    let mut connection = node.connect();
    let topic = create(&mut connection, "restarted", 1, &[]);
    let groups: Vec<_> = (0..8)
        .map(|_| coordinated(&mut connection, "restarted"))
        .collect();
    let (members, joined) = stable(&mut connection, "members");
    for round in 1..=3_i64 {
        for (at, group) in (0..).zip(&groups) {
            let commit = commit_request(group, &topic.name, &[(0, 100 * round + at)]);
            assert_eq!(commit_codes(&connection.call(8, &commit)), [(0, 0)]);
        }
        node.restart(round != 2, options);
        connection = node.connect();
        for (at, group) in (0..).zip(&groups) {
            let describe = DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
            while is_passing(connection.call(5, &describe).groups[0].error_code) {
                pause();
            }
            let found = committed(&mut connection, group);
            assert_eq!(found, [(0, 100 * round + at)], "after restart {round}");
        }
        let beat = HeartbeatRequest::default()
            .with_group_id(members.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        assert_eq!(connection.call(3, &beat).error_code, 0, "restart {round}");
    }
}
