//! Share groups as members and operators see them on the wire, but for the records; and the requests that others
//! here use.

use std::time::{Duration, Instant};

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::*;

use super::groups::{coordinated, join_request};
use super::node::shared;
use super::records::{create, topic_name};
use super::versions::Exercise;
use super::wire::{Connection, PATIENCE, text};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_CONFIG: i16 = 40;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const FENCED_MEMBER_EPOCH: i16 = 110;

/// The kind of resource that a group is, and where a value of its own comes from.
const GROUP: i8 = 32;
const FROM_GROUP: i8 = 8;
const FROM_DEFAULT: i8 = 5;

/// A ShareGroupHeartbeat request.
pub fn share_request(
    group: &GroupId,
    member: &str,
    epoch: i32,
    topics: Option<&[&str]>,
) -> ShareGroupHeartbeatRequest {
    let names = |topics: &[&str]| topics.iter().map(|name| topic_name(name)).collect();
    ShareGroupHeartbeatRequest::default()
        .with_group_id(group.clone())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(topics.map(names))
}

/// A DescribeShareGroupOffsets request, of all partitions if none are named.
pub fn describe_offsets_request(
    group: &GroupId,
    topic: Option<(&str, &[i32])>,
) -> DescribeShareGroupOffsetsRequest {
    let topics = topic.map(|(name, partitions)| {
        let topic = DescribeShareGroupOffsetsRequestTopic::default()
            .with_topic_name(topic_name(name))
            .with_partitions(partitions.to_vec());
        vec![topic]
    });
    let group = DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(group.clone())
        .with_topics(topics);
    DescribeShareGroupOffsetsRequest::default().with_groups(vec![group])
}

/// An AlterShareGroupOffsets request.
pub fn alter_offsets_request(
    group: &GroupId,
    topic: &str,
    offsets: &[(i32, i64)],
) -> AlterShareGroupOffsetsRequest {
    let one = |(partition, offset): &(i32, i64)| {
        AlterShareGroupOffsetsRequestPartition::default()
            .with_partition_index(*partition)
            .with_start_offset(*offset)
    };
    let topic = AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(topic_name(topic))
        .with_partitions(offsets.iter().map(one).collect());
    AlterShareGroupOffsetsRequest::default()
        .with_group_id(group.clone())
        .with_topics(vec![topic])
}

/// A DeleteShareGroupOffsets request.
pub fn delete_offsets_request(group: &GroupId, topics: &[&str]) -> DeleteShareGroupOffsetsRequest {
    let topics = topics.iter().map(|name| {
        DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(name))
    });
    DeleteShareGroupOffsetsRequest::default()
        .with_group_id(group.clone())
        .with_topics(topics.collect())
}

/// Joins, and beats until the member has so many partitions; gives its epoch.
pub fn assigned(
    connection: &mut Connection,
    group: &GroupId,
    member: &str,
    topic: &str,
    partitions: usize,
) -> i32 {
    let first = share_request(group, member, 0, Some(&[topic]));
    let mut answer = connection.call(1, &first);
    let begun = Instant::now();
    loop {
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        let epoch = answer.member_epoch;
        let topics = answer
            .assignment
            .iter()
            .flat_map(|all| &all.topic_partitions);
        if topics.map(|topic| topic.partitions.len()).sum::<usize>() == partitions {
            return epoch;
        }
        assert!(begun.elapsed() < PATIENCE, "it gets its partitions");
        std::thread::sleep(Duration::from_millis(20));
        answer = connection.call(1, &share_request(group, member, epoch, None));
    }
}

fn leave(connection: &mut Connection, group: &GroupId, member: &str) {
    let left = connection.call(1, &share_request(group, member, -1, None));
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
}

/// Partitions and where the group begins in them, as it is told.
fn begins(
    connection: &mut Connection,
    group: &GroupId,
    topic: Option<(&str, &[i32])>,
) -> Vec<(i32, i64)> {
    let mut answer = connection.call(0, &describe_offsets_request(group, topic));
    let row = answer.groups.remove(0);
    assert_eq!(row.error_code, 0, "{:?}", row.error_message);
    let rows = row.topics.iter().flat_map(|topic| &topic.partitions);
    rows.map(|row| (row.partition_index, row.start_offset))
        .collect()
}

fn delete(connection: &mut Connection, group: &GroupId) -> i16 {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group.clone()]);
    connection.call(2, &request).results[0].error_code
}

#[test]
fn members_share_and_are_shown() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "shared", 2, &[]);
    let group = coordinated(&mut connection, "share");
    let epoch = assigned(&mut connection, &group, "a", &topic.name, 2);
    let stale = share_request(&group, "a", epoch + 1, None);
    assert_eq!(connection.call(1, &stale).error_code, FENCED_MEMBER_EPOCH);
    let unknown = share_request(&group, "b", 1, None);
    assert_eq!(connection.call(1, &unknown).error_code, UNKNOWN_MEMBER_ID);

    let other = coordinated(&mut connection, "none");
    let names = vec![group.clone(), other];
    let request = ShareGroupDescribeRequest::default().with_group_ids(names);
    let described = connection.call(1, &request).groups;
    let codes: Vec<i16> = described.iter().map(|row| row.error_code).collect();
    assert_eq!(codes, [0, GROUP_ID_NOT_FOUND]);
    assert_eq!(described[0].group_state.as_str(), "Stable");
    assert_eq!(described[0].assignor_name.as_str(), "simple");
    let given = &described[0].members[0].assignment.topic_partitions[0];
    assert_eq!(
        (given.topic_id, given.topic_name.as_str()),
        (topic.id, &*topic.name)
    );

    let list = ListGroupsRequest::default().with_types_filter(vec![text("Share")]);
    let listed = connection.call(5, &list).groups;
    let row = listed.iter().find(|row| row.group_id == group);
    let row = row.expect("it is listed");
    assert_eq!(
        (row.group_type.as_str(), row.protocol_type.as_str()),
        ("share", "share")
    );
    let joined = connection.call(9, &join_request(&group, ""));
    assert_eq!(joined.error_code, INCONSISTENT_GROUP_PROTOCOL);

    assert_eq!(delete(&mut connection, &group), NON_EMPTY_GROUP);
    leave(&mut connection, &group, "a");
    assert_eq!(delete(&mut connection, &group), 0);
    assert_eq!(delete(&mut connection, &group), GROUP_ID_NOT_FOUND);
}

#[test]
fn a_group_without_members_is_put_to_other_offsets() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "altered", 2, &[]);
    let group = coordinated(&mut connection, "altered");
    let alter = alter_offsets_request(&group, &topic.name, &[(0, 5), (7, 5)]);
    assert_eq!(connection.call(0, &alter).error_code, GROUP_ID_NOT_FOUND);
    assigned(&mut connection, &group, "a", &topic.name, 2);
    assert_eq!(begins(&mut connection, &group, None), [(0, -1), (1, -1)]);
    assert_eq!(connection.call(0, &alter).error_code, NON_EMPTY_GROUP);
    let forget = delete_offsets_request(&group, &[&topic.name, "there-is-none"]);
    assert_eq!(connection.call(0, &forget).error_code, NON_EMPTY_GROUP);
    leave(&mut connection, &group, "a");

    let altered = connection.call(0, &alter);
    assert_eq!(altered.error_code, 0);
    let rows = altered.responses[0].partitions.iter();
    let codes: Vec<i16> = rows.map(|row| row.error_code).collect();
    assert_eq!(codes, [0, UNKNOWN_TOPIC_OR_PARTITION]);
    assert_eq!(begins(&mut connection, &group, None), [(0, 5), (1, -1)]);
    let some = Some((&*topic.name, &[0, 1, 9][..]));
    assert_eq!(
        begins(&mut connection, &group, some),
        [(0, 5), (1, -1), (9, -1)]
    );
    let none = Some(("there-is-none", &[0][..]));
    assert_eq!(begins(&mut connection, &group, none), [(0, -1)]);

    let forgotten = connection.call(0, &forget);
    let rows = forgotten.responses.iter();
    let codes: Vec<_> = rows
        .map(|row| (row.topic_name.as_str(), row.error_code))
        .collect();
    let expected = [
        (&*topic.name, 0),
        ("there-is-none", UNKNOWN_TOPIC_OR_PARTITION),
    ];
    assert_eq!((forgotten.error_code, &codes[..]), (0, &expected[..]));
    assert_eq!(begins(&mut connection, &group, None), []);
    assert_eq!(delete(&mut connection, &group), 0);
}

pub(super) fn set(connection: &mut Connection, group: &str, name: &str, value: &str) -> i16 {
    let config = AlterableConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(text(group))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    connection.call(1, &request).responses[0].error_code
}

#[test]
fn groups_have_settings_of_their_own() {
    let node = shared();
    let mut connection = node.connect();
    let topic = create(&mut connection, "configured", 1, &[]);
    let group = coordinated(&mut connection, "configured");
    let mut put = |name: &str, value: &str| set(&mut connection, &group, name, value);
    assert_eq!(put("share.heartbeat.interval.ms", "6000"), 0);
    assert_eq!(put("share.auto.offset.reset", "earliest"), 0);
    assert_eq!(put("share.auto.offset.reset", "sometime"), INVALID_CONFIG);
    assert_eq!(put("share.heartbeat.interval.ms", "1"), INVALID_CONFIG);
    assert_eq!(put("share.patience", "1"), INVALID_CONFIG);

    let resource = DescribeConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(group.0.clone());
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let described = connection.call(4, &request).results.remove(0);
    assert_eq!(described.error_code, 0);
    let row = |name: &str| {
        let mut rows = described.configs.iter();
        let row = rows.find(|row| row.name.as_str() == name);
        row.map(|row| (row.value.as_deref().unwrap_or_default(), row.config_source))
    };
    assert_eq!(
        row("share.auto.offset.reset"),
        Some(("earliest", FROM_GROUP))
    );
    assert_eq!(
        row("share.heartbeat.interval.ms"),
        Some(("6000", FROM_GROUP))
    );
    assert_eq!(
        row("share.isolation.level"),
        Some(("read_uncommitted", FROM_DEFAULT))
    );
    let epoch = assigned(&mut connection, &group, "m", &topic.name, 1);
    let again = share_request(&group, "m", epoch, None);
    assert_eq!(connection.call(1, &again).heartbeat_interval_ms, 6000);
}

impl Exercise<'_> {
    /// The APIs of share groups.
    pub(super) fn run_share(&mut self, key: i16, version: i16) {
        match key {
            76 => self.share_heartbeat(),
            77 => self.share_describe(version),
            78 => self.share_fetch(),
            79 => self.share_acknowledge(),
            83..=85 => self.store_share_state(),
            86 => self.delete_share_state(version),
            87 => self.read_share_state_summary(version),
            90 => self.describe_share_offsets(version),
            91 => self.alter_share_offsets(version),
            92 => self.delete_share_offsets(version),
            key => panic!("API {key} is advertised and not exercised"),
        }
    }

    fn share_heartbeat(&mut self) {
        let group = coordinated(self.connection, "share-beat");
        let epoch = assigned(self.connection, &group, "m", &self.topic.name, 2);
        assert!(epoch > 1, "{epoch}");
    }

    fn share_describe(&mut self, version: i16) {
        let group = coordinated(self.connection, "share-describe");
        assigned(self.connection, &group, "m", &self.topic.name, 2);
        let request = ShareGroupDescribeRequest::default().with_group_ids(vec![group.clone()]);
        let answer = self.connection.call(version, &request);
        let row = &answer.groups[0];
        assert_eq!((row.error_code, &row.group_id), (0, &group));
        assert_eq!(row.members[0].client_id.as_str(), "semantics");
    }

    /// A group that had a member.
    fn empty_share_group(&mut self) -> GroupId {
        let group = coordinated(self.connection, "share-empty");
        assigned(self.connection, &group, "m", &self.topic.name, 2);
        leave(self.connection, &group, "m");
        group
    }

    fn describe_share_offsets(&mut self, version: i16) {
        let group = self.empty_share_group();
        let request = describe_offsets_request(&group, Some((&self.topic.name, &[1])));
        let answer = self.connection.call(version, &request);
        let row = &answer.groups[0].topics[0].partitions[0];
        assert_eq!(
            (row.partition_index, row.start_offset, row.error_code),
            (1, -1, 0)
        );
    }

    fn alter_share_offsets(&mut self, version: i16) {
        let group = self.empty_share_group();
        let request = alter_offsets_request(&group, &self.topic.name, &[(1, 4)]);
        let answer = self.connection.call(version, &request);
        assert_eq!(answer.responses[0].partitions[0].error_code, 0);
        assert_eq!(begins(self.connection, &group, None), [(0, -1), (1, 4)]);
    }

    fn delete_share_offsets(&mut self, version: i16) {
        let group = self.empty_share_group();
        let request = delete_offsets_request(&group, &[&self.topic.name]);
        let answer = self.connection.call(version, &request);
        assert_eq!((answer.error_code, answer.responses[0].error_code), (0, 0));
    }
}
