//! ShareGroupDescribe: what people see of a group.

use coordinator::World;
use kafka_protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{ShareGroup, assignor};
use crate::assign::Partitions;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl ShareGroup {
    /// The group with its members.
    pub(super) fn describe(&self, world: &World<'_>) -> DescribedGroup {
        let members = self.members.iter().map(|(id, member)| {
            let about = &member.about;
            let names = about.topics.iter().map(|name| TopicName(text(name)));
            DescribedMember::default()
                .with_member_id(text(id))
                .with_rack_id(about.rack_id.as_deref().map(text))
                .with_member_epoch(member.at.epoch)
                .with_client_id(text(&about.client_id))
                .with_client_host(text(&about.client_host))
                .with_subscribed_topic_names(names.collect())
                .with_assignment(named(world, &member.at.assigned))
        });
        DescribedGroup::default()
            .with_group_id(GroupId(text(&self.id)))
            .with_group_state(text(self.state()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.assignment_epoch)
            .with_assignor_name(text(assignor::NAME))
            .with_members(members.collect())
    }
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
