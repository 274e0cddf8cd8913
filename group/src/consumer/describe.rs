//! ConsumerGroupDescribe: what people see of a group. And who may commit and read its offsets.

use coordinator::World;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::ConsumerGroup;
use super::member::Member;
use crate::assign::Partitions;
use crate::group::Committer;

/// Since which version of OffsetCommit an epoch of a consumer group's member can be told.
const COMMIT_WITH_EPOCH: i16 = 9;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn maybe(some: Option<&String>) -> Option<StrBytes> {
    some.map(|some| text(some))
}

impl ConsumerGroup {
    /// The group with its members.
    pub(crate) fn describe(&self, world: &World<'_>, assignors: &[String]) -> DescribedGroup {
        let mut group = DescribedGroup::default()
            .with_group_id(GroupId(text(&self.id)))
            .with_group_state(text(self.state()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.assignment_epoch)
            .with_assignor_name(text(self.assignor_name(assignors)));
        let members = self.members.iter();
        group.members = members
            .map(|(id, member)| self.describe_member(world, id, member))
            .collect();
        group
    }

    fn describe_member(&self, world: &World<'_>, id: &str, member: &Member) -> DescribedMember {
        let about = &member.about;
        let target = self.targets.get(id).map(|target| named(world, target));
        DescribedMember::default()
            .with_member_id(text(id))
            .with_instance_id(maybe(about.instance_id.as_ref()))
            .with_rack_id(maybe(about.rack_id.as_ref()))
            .with_member_epoch(member.at.epoch)
            .with_client_id(text(&about.client_id))
            .with_client_host(text(&about.client_host))
            .with_subscribed_topic_names(
                about
                    .topics
                    .iter()
                    .map(|name| TopicName(text(name)))
                    .collect(),
            )
            .with_subscribed_topic_regex(maybe(about.regex.as_ref()))
            .with_assignment(named(world, &member.at.assigned))
            .with_target_assignment(target.unwrap_or_default())
            .with_member_type(i8::from(about.classic.is_none()))
    }

    /// Whether offsets may be committed.
    ///
    /// # Errors
    /// By one that isn't a member, or of another epoch.
    pub(crate) fn may_commit(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        let Committer {
            member_id: member,
            instance,
            generation: epoch,
            version,
        } = *committer;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        // A producer need not say for whom it commits.
        if version.is_none() && epoch == -1 && member.is_empty() && instance.is_none() {
            return Ok(());
        }
        let known = self
            .members
            .get(member)
            .ok_or(ResponseError::UnknownMemberId)?;
        if version.is_some_and(|version| version < COMMIT_WITH_EPOCH)
            && known.about.classic.is_none()
        {
            return Err(ResponseError::UnsupportedVersion);
        }
        check_epoch(known, epoch)
    }

    /// Whether offsets may be read on behalf of a member, if on anybody's.
    ///
    /// # Errors
    /// It isn't one, or of another epoch.
    pub(crate) fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let known = member.and_then(|member| self.members.get(member));
        check_epoch(known.ok_or(ResponseError::UnknownMemberId)?, epoch)
    }
}

fn check_epoch(member: &Member, epoch: i32) -> Result<(), ResponseError> {
    if epoch == member.at.epoch {
        return Ok(());
    }
    Err(match member.about.classic {
        Some(_) => ResponseError::IllegalGeneration,
        None => ResponseError::StaleMemberEpoch,
    })
}

/// Partitions with the names of their topics; those of deleted topics are left out.
fn named(world: &World<'_>, partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().filter_map(|(topic, partitions)| {
        let name = world.topics.name_of(*topic)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(*topic)
                .with_topic_name(TopicName(text(&name)))
                .with_partitions(partitions.iter().copied().collect()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
