//! Consumer groups as operators see and change them: which there are, who is in them, how far they are.

use std::collections::BTreeMap;

use bytes::Buf;
use kafka_protocol::messages::consumer_group_describe_response as newer;
use kafka_protocol::messages::describe_groups_response as classic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::Request;

use super::error::{ClientError, KafkaError, Refusal};
use super::{Client, TopicPartition, text};

/// Several keys at once came after this version of FindCoordinator.
const FIND_ONE_KEY: i16 = 3;
/// Several groups at once came after this version of OffsetFetch.
const FETCH_ONE_GROUP: i16 = 7;
/// GROUP_ID_NOT_FOUND.
pub(super) const NO_SUCH_GROUP: i16 = 69;
/// The state of a classic group that isn't there.
const DEAD: &str = "Dead";

/// A group as the list of all has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// `classic`, `consumer` or `share`; empty where the broker doesn't tell.
    pub kind: String,
    /// Its state by Kafka's name; empty where the broker doesn't tell.
    pub state: String,
    /// What its members agreed to speak, `consumer` for consumers.
    pub protocol: String,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The id it was given.
    pub id: String,
    /// The name it has for good, if it has one.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads.
    pub partitions: Vec<TopicPartition>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// `classic`, `consumer` or `share`.
    pub kind: &'static str,
    /// Its state by Kafka's name.
    pub state: String,
    /// How partitions are assigned.
    pub assignor: String,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// How far a group is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The partition.
    pub at: TopicPartition,
    /// The offset that it goes on from.
    pub offset: i64,
    /// What it noted there.
    pub metadata: String,
}

/// What became of a partition's offset.
pub type OffsetOutcome = (TopicPartition, Result<(), Refusal>);

/// A topic, and what became of what was asked for it.
pub type TopicOutcome = (String, Result<(), Refusal>);

impl Client {
    /// The groups of all nodes, by id; those in one of `states` only, unless that is empty.
    pub fn groups(&mut self, states: &[String]) -> Result<Vec<GroupListing>, ClientError> {
        let filter = states.iter().map(|state| text(state)).collect();
        let request = ListGroupsRequest::default().with_states_filter(filter);
        let nodes: Vec<i32> = {
            let cluster = self.metadata(&[], false)?;
            cluster.brokers.iter().map(|broker| broker.id).collect()
        };
        let mut groups = Vec::new();
        for node in nodes {
            let answer = self.retrying(|client| {
                let answer = client.call_node(node, &request)?;
                refused(format!("the groups of node {node}"), answer.error_code)?;
                Ok(answer)
            })?;
            groups.extend(answer.groups.iter().map(|group| GroupListing {
                id: group.group_id.to_string(),
                kind: group.group_type.to_string(),
                state: group.group_state.to_string(),
                protocol: group.protocol_type.to_string(),
            }));
        }
        groups.sort();
        groups.dedup_by(|a, b| a.id == b.id);
        Ok(groups)
    }

    /// A group; `None` if there is none of that id.
    pub fn group(&mut self, id: &str) -> Result<Option<Group>, ClientError> {
        type Describe = fn(&mut Client, &str) -> Result<Option<Group>, ClientError>;
        let kinds: [Describe; 2] = [Self::newer_group, Self::share_group];
        for describe in kinds {
            match describe(self, id) {
                Ok(None) | Err(ClientError::Unsupported { .. }) => {}
                found => return found,
            }
        }
        self.classic_group(id)
    }

    fn newer_group(&mut self, id: &str) -> Result<Option<Group>, ClientError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(id)]);
        let (coordinator, answer) = self.coordinated(id, &request, |answer| {
            answer.groups.first().map_or(0, |group| group.error_code)
        })?;
        let Some(group) = answer.groups.into_iter().next() else {
            return Ok(None);
        };
        if group.error_code == NO_SUCH_GROUP {
            return Ok(None);
        }
        Ok(Some(Group {
            id: id.to_owned(),
            kind: "consumer",
            state: group.group_state.to_string(),
            assignor: group.assignor_name.to_string(),
            coordinator,
            members: group.members.iter().map(newer_member).collect(),
        }))
    }

    fn classic_group(&mut self, id: &str) -> Result<Option<Group>, ClientError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(id)]);
        let (coordinator, answer) = self.coordinated(id, &request, |answer| {
            answer.groups.first().map_or(0, |group| group.error_code)
        })?;
        let Some(group) = answer.groups.into_iter().next() else {
            return Ok(None);
        };
        if group.error_code == NO_SUCH_GROUP || group.group_state.as_str() == DEAD {
            return Ok(None);
        }
        Ok(Some(Group {
            id: id.to_owned(),
            kind: "classic",
            state: group.group_state.to_string(),
            assignor: group.protocol_data.to_string(),
            coordinator,
            members: group.members.iter().map(classic_member).collect(),
        }))
    }

    /// How far a group is, in the order of topics and partitions.
    pub fn committed(&mut self, group: &str) -> Result<Vec<CommittedOffset>, ClientError> {
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(None);
        let (_, answer) =
            self.coordinated_in(group, &request, FETCH_ONE_GROUP, |answer| answer.error_code)?;
        let mut offsets = Vec::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                refused(format!("group {group}: {at}"), partition.error_code)?;
                let metadata = partition.metadata.as_ref();
                offsets.push(CommittedOffset {
                    at,
                    offset: partition.committed_offset,
                    metadata: metadata.map(ToString::to_string).unwrap_or_default(),
                });
            }
        }
        offsets.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(offsets)
    }

    /// Sets how far a group is that has no members.
    pub fn commit(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<Vec<OffsetOutcome>, ClientError> {
        let rows = offsets.iter().map(|(at, offset)| {
            let row = OffsetCommitRequestPartition::default()
                .with_partition_index(at.partition)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(text("")));
            (at, row)
        });
        let topics = by_topic(rows).map(|(name, rows)| {
            OffsetCommitRequestTopic::default()
                .with_name(name)
                .with_partitions(rows)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.collect());
        let (_, answer) = self.coordinated(group, &request, |answer| {
            let mut rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
            // What passes is of all of them, or of none.
            let passing = rows.find(|row| passes(row.error_code));
            passing.map_or(0, |row| row.error_code)
        })?;
        let outcomes = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|row| {
                let at = TopicPartition::new(topic.name.as_str(), row.partition_index);
                (at, Refusal::check(row.error_code, None))
            })
        });
        Ok(outcomes.collect())
    }

    /// Deletes a group with its offsets.
    pub fn delete_group(&mut self, id: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(id)]);
        let (_, answer) = self.coordinated(id, &request, |answer| {
            answer.results.first().map_or(0, |result| result.error_code)
        })?;
        let code = answer.results.first().map_or(0, |result| result.error_code);
        refused(format!("group {id}"), code)
    }

    /// Deletes what a group has committed for these partitions.
    pub fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<OffsetOutcome>, ClientError> {
        let rows = partitions.iter().map(|at| {
            let row = OffsetDeleteRequestPartition::default().with_partition_index(at.partition);
            (at, row)
        });
        let topics = by_topic(rows).map(|(name, rows)| {
            OffsetDeleteRequestTopic::default()
                .with_name(name)
                .with_partitions(rows)
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let (_, answer) = self.coordinated(group, &request, |answer| answer.error_code)?;
        refused(format!("group {group}"), answer.error_code)?;
        let outcomes = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|row| {
                let at = TopicPartition::new(topic.name.as_str(), row.partition_index);
                (at, Refusal::check(row.error_code, None))
            })
        });
        Ok(outcomes.collect())
    }

    /// Asks a group's coordinator, and again while its answer's `code` is one that passes; gives its node,
    /// too.
    pub(super) fn coordinated<R: Request>(
        &mut self,
        group: &str,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<(i32, R::Response), ClientError> {
        self.coordinated_in(group, request, i16::MAX, code)
    }

    fn coordinated_in<R: Request>(
        &mut self,
        group: &str,
        request: &R,
        max_version: i16,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<(i32, R::Response), ClientError> {
        self.retrying(|client| {
            let node = client.coordinator_of(group)?;
            let address = client.address_of(node)?;
            let answer = client.call_at(&address, request, max_version)?;
            match code(&answer) {
                code if passes(code) => Err(ClientError::refused(
                    format!("group {group}"),
                    Refusal::check(code, None).err().unwrap_or_else(unknown),
                )),
                NO_SUCH_GROUP | 0 => Ok((node, answer)),
                code => {
                    refused(format!("group {group}"), code)?;
                    Ok((node, answer))
                }
            }
        })
    }

    fn coordinator_of(&mut self, group: &str) -> Result<i32, ClientError> {
        let request = FindCoordinatorRequest::default().with_key(text(group));
        let found = self.call_any(&request, FIND_ONE_KEY)?;
        let what = format!("the coordinator of group {group}");
        Refusal::check(found.error_code, found.error_message.as_deref())
            .map_err(|refusal| ClientError::refused(what, refusal))?;
        Ok(found.node_id.0)
    }
}

/// What is said of partitions, put together by topic as requests have it; in the order of names.
pub(super) fn by_topic<'a, Row>(
    rows: impl Iterator<Item = (&'a TopicPartition, Row)>,
) -> impl Iterator<Item = (TopicName, Vec<Row>)> {
    let mut topics: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for (at, row) in rows {
        topics.entry(&at.topic).or_default().push(row);
    }
    let named = |(name, rows)| (TopicName(text(name)), rows);
    topics.into_iter().map(named)
}

pub(super) fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

fn unknown() -> Refusal {
    Refusal::from(KafkaError::UNKNOWN_SERVER_ERROR)
}

pub(super) fn refused(what: String, code: i16) -> Result<(), ClientError> {
    Refusal::check(code, None).map_err(|refusal| ClientError::refused(what, refusal))
}

/// Whether an error is of a coordinator that moves, begins, or can't write just now.
fn passes(code: i16) -> bool {
    // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
    matches!(code, 14..=16)
}

fn newer_member(member: &newer::Member) -> GroupMember {
    let topics = member.assignment.topic_partitions.iter();
    let partitions = topics.flat_map(|topic| {
        let numbers = topic.partitions.iter();
        numbers.map(|number| TopicPartition::new(topic.topic_name.as_str(), *number))
    });
    GroupMember {
        id: member.member_id.to_string(),
        instance: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: partitions.collect(),
    }
}

fn classic_member(member: &classic::DescribedGroupMember) -> GroupMember {
    GroupMember {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: assigned(&member.member_assignment),
    }
}

/// The partitions of a consumer's assignment; none where it can't be read: other kinds of members have
/// assignments of their own form.
fn assigned(assignment: &[u8]) -> Vec<TopicPartition> {
    let mut partitions = Vec::new();
    match read_assignment(assignment, &mut partitions) {
        Some(()) => partitions,
        None => Vec::new(),
    }
}

/// Reads a version, topics with their partitions, and leaves what is behind. Members send what they like,
/// so nothing is allocated by a count.
fn read_assignment(mut rest: &[u8], partitions: &mut Vec<TopicPartition>) -> Option<()> {
    rest.try_get_i16().ok()?;
    for _ in 0..rest.try_get_i32().ok()? {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (name, behind) = rest.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        rest = behind;
        for _ in 0..rest.try_get_i32().ok()? {
            let number = rest.try_get_i32().ok()?;
            partitions.push(TopicPartition::new(name, number));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_of_consumers_are_read_and_others_left() {
        let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 2, b't', b'u'];
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5]);
        bytes.extend([0xff; 4]);
        let both = [TopicPartition::new("tu", 3), TopicPartition::new("tu", 5)];
        assert_eq!(assigned(&bytes), both);
        assert_eq!(assigned(b""), []);
        assert_eq!(assigned(b"\0"), []);
        assert_eq!(assigned(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), []);
        assert_eq!(assigned(&bytes[..bytes.len() - 5]), [], "cut short");
    }

    #[test]
    fn only_what_passes_is_asked_again() {
        for code in [14, 15, 16] {
            assert!(passes(code));
        }
        for code in [0, 3, 25, 69] {
            assert!(!passes(code));
        }
    }
}
