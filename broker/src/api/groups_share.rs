//! Share groups (KIP-932) as their members and operators ask about them: ShareGroupHeartbeat (key 76) and
//! ShareGroupDescribe (77). And what a group wants done with the states of its share-partitions, which
//! the share coordinator keeps.

use std::rc::Rc;

use group::{Ask, Asker, Effect, Partitions, Reply, ShareAsk, ShareReply, ShareStart};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    GroupId, ShareGroupDescribeRequest, ShareGroupDescribeResponse, ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
};
use share::TopicIdPartition;
use share::state::Initialize;

use super::groups::stray;
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

/// Answers ShareGroupHeartbeat.
pub(super) async fn beat(
    shard: &Rc<Shard>,
    asker: Asker,
    request: ShareGroupHeartbeatRequest,
) -> ShareGroupHeartbeatResponse {
    let group = request.group_id.clone();
    let ask = Ask::ShareHeartbeat(asker, request);
    match shard.ask_group(&group, ask).await {
        Ok(Reply::ShareHeartbeat(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => ShareGroupHeartbeatResponse::default().with_error_code(error.code()),
    }
}

/// Answers ShareGroupDescribe.
pub(super) async fn describe(
    shard: &Rc<Shard>,
    request: ShareGroupDescribeRequest,
) -> ShareGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in request.group_ids {
        groups.push(describe_one(shard, id).await);
    }
    ShareGroupDescribeResponse::default().with_groups(groups)
}

async fn describe_one(shard: &Rc<Shard>, id: GroupId) -> DescribedGroup {
    let refused = |error: ResponseError| {
        DescribedGroup::default()
            .with_group_id(id.clone())
            .with_error_code(error.code())
    };
    if id.is_empty() {
        return refused(ResponseError::InvalidGroupId);
    }
    match shard.ask_group(&id, Ask::ShareDescribe(id.clone())).await {
        Ok(Reply::ShareDescribe(group)) => group,
        Ok(other) => stray(&other),
        Err(error) => refused(error.error()),
    }
}

/// Asks about the states of a group's share-partitions.
pub(super) async fn ask(
    shard: &Rc<Shard>,
    group: &str,
    ask: ShareAsk,
) -> Result<ShareReply, CoordinatorError> {
    match shard
        .ask_group(group, Ask::Share(group.to_owned(), ask))
        .await?
    {
        Reply::Share(reply) => Ok(reply),
        other => stray(&other),
    }
}

/// An answer to another question than was asked.
pub(super) fn stray_share(reply: &ShareReply) -> ! {
    unreachable!("a coordinator of groups answers what it was asked, not with {reply:?}")
}

/// Deletes the states of a group that is to be deleted.
///
/// # Errors
/// It has members, or a state can't be deleted now.
pub(super) async fn delete_states(shard: &Rc<Shard>, group: &str) -> Result<(), ResponseError> {
    let asked = ask(shard, group, ShareAsk::Delete).await;
    let partitions = match asked.map_err(CoordinatorError::error)? {
        ShareReply::Partitions(Ok(partitions)) => partitions,
        ShareReply::Partitions(Err((error, _))) => return Err(error),
        other => stray_share(&other),
    };
    let all = each(&partitions);
    let deleted = shard.share_state_delete(group, &all).await;
    // Those of a topic that is no more are deleted without us.
    let failed = |result: &Result<(), ResponseError>| match result {
        Err(ResponseError::UnknownTopicOrPartition) | Ok(()) => None,
        Err(error) => Some(*error),
    };
    match deleted.iter().find_map(failed) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Partitions one by one.
pub(super) fn each(partitions: &Partitions) -> Vec<TopicIdPartition> {
    let one = |(topic, partitions): (&uuid::Uuid, &std::collections::BTreeSet<i32>)| {
        let topic_id = *topic;
        let partitions: Vec<i32> = partitions.iter().copied().collect();
        partitions
            .into_iter()
            .map(move |partition| TopicIdPartition {
                topic_id,
                partition,
            })
    };
    partitions.iter().flat_map(one).collect()
}

impl Shard {
    /// Does what a coordinator of groups wants done.
    pub(crate) fn perform_of_group(self: &Rc<Self>, effect: Effect) {
        let Effect::InitializeShare {
            group,
            state_epoch,
            partitions,
        } = effect;
        let shard = Rc::clone(self);
        rt::task::spawn(async move {
            initialize(&shard, &group, state_epoch, &partitions).await;
        })
        .detach();
    }
}

/// Has states made, and tells the group how that went. The answers are in the order of what was asked.
pub(super) async fn initialize(
    shard: &Rc<Shard>,
    group: &str,
    state_epoch: i32,
    starts: &[ShareStart],
) -> Vec<Result<(), ResponseError>> {
    let asked = starts.iter().map(|start| {
        let of = TopicIdPartition {
            topic_id: start.topic,
            partition: start.partition,
        };
        let begins = Initialize {
            state_epoch,
            start_offset: start.start_offset,
        };
        (of, begins)
    });
    let results = shard.share_state_initialize(group, asked.collect()).await;
    let (mut there, mut missing) = (Partitions::new(), Partitions::new());
    for (start, result) in starts.iter().zip(&results) {
        let to = match result {
            Ok(()) => &mut there,
            Err(_) => &mut missing,
        };
        to.entry(start.topic).or_default().insert(start.partition);
    }
    if let Some(error) = results.iter().find_map(|result| result.err()) {
        tracing::warn!(group, %error, "the state of share-partitions could not be made; the group's next heartbeats have it tried again");
    }
    for (partitions, news) in [
        (there, ShareAsk::Initialized as fn(Partitions) -> ShareAsk),
        (missing, ShareAsk::NotInitialized),
    ] {
        if partitions.is_empty() {
            continue;
        }
        if let Err(error) = ask(shard, group, news(partitions)).await {
            // Whoever coordinates the group by then finds in its log what was begun.
            tracing::debug!(group, %error, "a group could not be told of its share-partitions' state");
        }
    }
    results
}
