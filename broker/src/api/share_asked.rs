//! What ShareFetch and ShareAcknowledge have in common: whose session it is, and acknowledgements, which are
//! taken by the shards that own the partitions.

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::share_acknowledge_request as acknowledge;
use kafka_protocol::messages::share_fetch_request as fetch;
use kafka_protocol::protocol::StrBytes;
use share::TopicIdPartition;
use share::session::SessionKey;

use super::error::Refusal;
use crate::shard::router::Call;
use crate::shard::{Shard, ShardId};
use crate::share::{AckOf, Acknowledged, Said};

/// Whose session a request is about.
///
/// # Errors
/// `INVALID_GROUP_ID` without a group, `INVALID_REQUEST` without a member.
pub(super) fn key_of(
    group: Option<GroupId>,
    member: Option<StrBytes>,
) -> Result<SessionKey, Refusal> {
    let group = group.filter(|group| !group.is_empty());
    let group = group
        .ok_or_else(|| Refusal::with(ResponseError::InvalidGroupId, "the group's id is empty"))?;
    let member = member.filter(|member| !member.is_empty());
    let member = member
        .ok_or_else(|| Refusal::with(ResponseError::InvalidRequest, "the member's id is empty"))?;
    Ok(SessionKey {
        group: group.to_string(),
        member: share::member_key(&member),
    })
}

/// Acknowledgements, by partition.
pub(super) type SaidOf = BTreeMap<TopicIdPartition, Vec<Said>>;

/// A batch of acknowledgements in a ShareFetch.
pub(super) fn said_in_fetch(batch: fetch::AcknowledgementBatch) -> Said {
    Said {
        first: batch.first_offset,
        last: batch.last_offset,
        types: batch.acknowledge_types,
    }
}

/// A batch of acknowledgements in a ShareAcknowledge.
pub(super) fn said_alone(batch: acknowledge::AcknowledgementBatch) -> Said {
    Said {
        first: batch.first_offset,
        last: batch.last_offset,
        types: batch.acknowledge_types,
    }
}

/// Acknowledgements that are being stored.
pub(super) struct Acknowledging {
    partitions: Vec<TopicIdPartition>,
    outcomes: Vec<Acknowledged>,
    calls: Vec<Call<Vec<Acknowledged>>>,
}

/// Has them taken by those who own the partitions: in the order of other requests of this connection, and before
/// anything that is asked of them afterwards.
pub(super) async fn acknowledge(
    shard: &Rc<Shard>,
    key: &SessionKey,
    said: SaidOf,
) -> Acknowledging {
    let mut by_owner: BTreeMap<ShardId, Vec<AckOf>> = BTreeMap::new();
    let mut partitions = Vec::with_capacity(said.len());
    let mut outcomes = Vec::new();
    for (place, (partition, said)) in said.into_iter().enumerate() {
        partitions.push(partition);
        let TopicIdPartition {
            topic_id,
            partition: index,
        } = partition;
        let mut done = |outcome| outcomes.push(Acknowledged { place, outcome });
        match shard.find_by_id(topic_id, index) {
            Err(error) => done(Err(error)),
            Ok(_) if said.is_empty() => done(Ok(())),
            Ok((owner, partition)) => by_owner.entry(owner).or_default().push(AckOf {
                place,
                partition,
                said,
            }),
        }
    }
    let mut calls = Vec::with_capacity(by_owner.len());
    for (owner, acks) in by_owner {
        let SessionKey { group, member } = key.clone();
        let call = shard.start_on(owner, move |shard| {
            shard.share_acknowledge(&group, member, acks)
        });
        calls.push(call.await);
    }
    Acknowledging {
        partitions,
        outcomes,
        calls,
    }
}

impl Acknowledging {
    /// What became of each partition's, once all are stored.
    pub(super) async fn outcomes(
        mut self,
    ) -> BTreeMap<TopicIdPartition, Result<(), ResponseError>> {
        for call in self.calls {
            self.outcomes.extend(call.await);
        }
        let each = self.outcomes.into_iter();
        each.map(|one| (self.partitions[one.place], one.outcome))
            .collect()
    }
}
