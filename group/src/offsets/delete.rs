//! OffsetDelete, and what goes with a group that is deleted.

use coordinator::{Record, Token};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::Reply;
use crate::records::offset::Key;
use crate::state::State;
use crate::step::Step;

impl State {
    /// OffsetDelete.
    pub(crate) fn delete_offsets(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: &OffsetDeleteRequest,
    ) {
        let answer = match self.delete_offsets_checked(step, request) {
            Ok(topics) => OffsetDeleteResponse::default().with_topics(topics),
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        };
        step.reply(from, Reply::DeleteOffsets(answer));
    }

    fn delete_offsets_checked(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &OffsetDeleteRequest,
    ) -> Result<Vec<OffsetDeleteResponseTopic>, ResponseError> {
        let id = request.group_id.as_str();
        if id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let group = self.groups.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        group.may_delete_offsets()?;
        let subscribed = |topic: &OffsetDeleteRequestTopic| group.subscribes(&topic.name);
        let subscribed: Vec<bool> = request.topics.iter().map(subscribed).collect();
        let mut answers = Vec::with_capacity(request.topics.len());
        for (topic, subscribed) in request.topics.iter().zip(subscribed) {
            let code = if subscribed {
                ResponseError::GroupSubscribedToTopic.code()
            } else {
                0
            };
            let mut answer = OffsetDeleteResponseTopic::default().with_name(topic.name.clone());
            for partition in &topic.partitions {
                if !subscribed && self.forget(step, id, &topic.name, partition.partition_index) {
                    self.figures.deletions += 1;
                }
                let partition = OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code);
                answer.partitions.push(partition);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Deletes what is committed of a partition. Returns whether there was anything.
    pub(super) fn forget(
        &mut self,
        step: &mut Step<'_, '_>,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> bool {
        let of = self.offsets.of(group, topic);
        if of.is_none_or(|of| {
            !of.committed.contains_key(&partition) && !of.open.contains_key(&partition)
        }) {
            return false;
        }
        step.write(vec![tombstone(group, topic, partition)]);
        self.offsets.remove(group, topic, partition);
        true
    }

    /// Deletes everything that the group has committed.
    pub(crate) fn forget_all(&mut self, step: &mut Step<'_, '_>, group: &str) {
        for (topic, partition) in self.offsets.all_of(group) {
            self.figures.deletions += 1;
            step.write(vec![tombstone(group, &topic, partition)]);
            self.offsets.remove(group, &topic, partition);
        }
    }
}

fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    let key = Key {
        group,
        topic,
        partition,
    };
    key.tombstone()
}
