//! Share groups as operators see and change them: who is in them, where they are in each partition.

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::share_group_describe_response::Member;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequest, ShareGroupDescribeRequest, TopicName,
};

use super::error::{ClientError, Refusal};
use super::groups::{
    CommittedOffset, Group, GroupMember, NO_SUCH_GROUP, OffsetOutcome, TopicOutcome, by_topic,
    group_id, refused,
};
use super::{Client, TopicPartition, text};

impl Client {
    /// A share group; `None` if there is none of that id.
    pub(super) fn share_group(&mut self, id: &str) -> Result<Option<Group>, ClientError> {
        let request = ShareGroupDescribeRequest::default().with_group_ids(vec![group_id(id)]);
        let (coordinator, answer) = self.coordinated(id, &request, |answer| {
            answer.groups.first().map_or(0, |group| group.error_code)
        })?;
        let group = answer.groups.into_iter().next();
        let group = group.filter(|group| group.error_code != NO_SUCH_GROUP);
        Ok(group.map(|group| Group {
            id: id.to_owned(),
            kind: "share",
            state: group.group_state.to_string(),
            assignor: group.assignor_name.to_string(),
            coordinator,
            members: group.members.iter().map(member).collect(),
        }))
    }

    /// Where a share group begins in each of its partitions, in their order; those of which nothing is known yet
    /// are left out.
    pub fn share_offsets(&mut self, group: &str) -> Result<Vec<CommittedOffset>, ClientError> {
        let asked = DescribeShareGroupOffsetsRequestGroup::default()
            .with_group_id(group_id(group))
            .with_topics(None);
        let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![asked]);
        let (_, answer) = self.coordinated(group, &request, |answer| {
            answer.groups.first().map_or(0, |group| group.error_code)
        })?;
        let mut offsets = Vec::new();
        for topic in answer.groups.iter().flat_map(|group| &group.topics) {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.topic_name.as_str(), partition.partition_index);
                refused(format!("group {group}: {at}"), partition.error_code)?;
                if partition.start_offset >= 0 {
                    offsets.push(CommittedOffset {
                        at,
                        offset: partition.start_offset,
                        metadata: String::new(),
                    });
                }
            }
        }
        offsets.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(offsets)
    }

    /// Has a share group without members begin at other offsets.
    pub fn alter_share_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<Vec<OffsetOutcome>, ClientError> {
        let rows = offsets.iter().map(|(at, offset)| {
            let row = AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(at.partition)
                .with_start_offset(*offset);
            (at, row)
        });
        let topics = by_topic(rows).map(|(name, rows)| {
            AlterShareGroupOffsetsRequestTopic::default()
                .with_topic_name(name)
                .with_partitions(rows)
        });
        let request = AlterShareGroupOffsetsRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let (_, answer) = self.coordinated(group, &request, |answer| answer.error_code)?;
        refused(format!("group {group}"), answer.error_code)?;
        let outcomes = answer.responses.iter().flat_map(|topic| {
            topic.partitions.iter().map(|row| {
                let at = TopicPartition::new(topic.topic_name.as_str(), row.partition_index);
                (at, Refusal::check(row.error_code, None))
            })
        });
        Ok(outcomes.collect())
    }

    /// Has a share group without members forget where it is in these topics.
    pub fn delete_share_offsets(
        &mut self,
        group: &str,
        topics: &[&str],
    ) -> Result<Vec<TopicOutcome>, ClientError> {
        let topics = topics.iter().map(|topic| {
            DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(TopicName(text(topic)))
        });
        let request = DeleteShareGroupOffsetsRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let (_, answer) = self.coordinated(group, &request, |answer| answer.error_code)?;
        refused(format!("group {group}"), answer.error_code)?;
        let outcomes = answer.responses.iter().map(|row| {
            let refusal = Refusal::check(row.error_code, row.error_message.as_deref());
            (row.topic_name.to_string(), refusal)
        });
        Ok(outcomes.collect())
    }
}

fn member(member: &Member) -> GroupMember {
    let topics = member.assignment.topic_partitions.iter();
    let partitions = topics.flat_map(|topic| {
        let numbers = topic.partitions.iter();
        numbers.map(|number| TopicPartition::new(topic.topic_name.as_str(), *number))
    });
    GroupMember {
        id: member.member_id.to_string(),
        instance: None,
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: partitions.collect(),
    }
}
