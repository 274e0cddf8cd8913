//! Where share groups are: DescribeShareGroupOffsets (key 90), AlterShareGroupOffsets (91) and
//! DeleteShareGroupOffsets (92).
//!
//! The group's coordinator says whether it may be, and of which partitions; the share coordinators of
//! those know and do the rest.

use std::collections::BTreeMap;
use std::rc::Rc;

use group::{NO_START_OFFSET, ShareAsk, ShareReply, ShareTopic};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use share::TopicIdPartition;
use share::state::Summary;
use uuid::Uuid;

use super::groups_share::{ask, initialize, stray_share};
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Answers DescribeShareGroupOffsets.
pub(super) async fn describe(
    shard: &Rc<Shard>,
    request: DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for asked in request.groups {
        let id = asked.group_id.clone();
        let row = DescribeShareGroupOffsetsResponseGroup::default().with_group_id(id);
        groups.push(match describe_one(shard, asked).await {
            Ok(topics) => row.with_topics(topics),
            Err(error) => row
                .with_error_code(error.code())
                .with_error_message(Some(text(error.to_string()))),
        });
    }
    DescribeShareGroupOffsetsResponse::default().with_groups(groups)
}

/// A topic that there is, or its name only, and those of its partitions that were asked for.
type Asked = (Option<Uuid>, TopicName, Vec<i32>);

async fn describe_one(
    shard: &Rc<Shard>,
    asked: DescribeShareGroupOffsetsRequestGroup,
) -> Result<Vec<DescribeShareGroupOffsetsResponseTopic>, ResponseError> {
    let group = asked.group_id.as_str();
    let topics: Vec<Asked> = match asked.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let id = shard.routes().by_name(&topic.topic_name);
                let id = id.map(|route| route.id);
                (id, topic.topic_name, topic.partitions)
            })
            .collect(),
        None => all_topics(shard, group).await?,
    };
    let one = |id: &Uuid, partition: &i32| TopicIdPartition {
        topic_id: *id,
        partition: *partition,
    };
    let known = topics.iter().flat_map(|(id, _, partitions)| {
        let id = id.as_ref();
        id.into_iter()
            .flat_map(|id| partitions.iter().map(|partition| one(id, partition)))
    });
    let known: Vec<TopicIdPartition> = known.collect();
    let found = shard.share_state_summary(group, &known).await;
    let found: BTreeMap<TopicIdPartition, Summary> = known
        .into_iter()
        .zip(found)
        .filter_map(|(of, summary)| Some((of, summary.ok()?)))
        .collect();
    let row = |(id, name, partitions): Asked| {
        let id = id.unwrap_or_default();
        let rows = partitions.iter().map(|partition| {
            // Where nothing is known, that is no error, as with OffsetFetch.
            let (offset, epoch) = found
                .get(&one(&id, partition))
                .map_or((NO_START_OFFSET, 0), |summary| {
                    (summary.start_offset, summary.leader_epoch)
                });
            DescribeShareGroupOffsetsResponsePartition::default()
                .with_partition_index(*partition)
                .with_start_offset(offset)
                .with_leader_epoch(epoch)
        });
        DescribeShareGroupOffsetsResponseTopic::default()
            .with_topic_id(id)
            .with_topic_name(name)
            .with_partitions(rows.collect())
    };
    Ok(topics.into_iter().map(row).collect())
}

/// Every partition of the group that has a state.
async fn all_topics(shard: &Rc<Shard>, group: &str) -> Result<Vec<Asked>, ResponseError> {
    let answer = ask(shard, group, ShareAsk::WithState).await;
    let partitions = match answer.map_err(CoordinatorError::error)? {
        ShareReply::Partitions(Ok(partitions)) => partitions,
        ShareReply::Partitions(Err((error, _))) => return Err(error),
        other => stray_share(&other),
    };
    let named = |(id, partitions): (Uuid, std::collections::BTreeSet<i32>)| {
        let name = shard.with_image(|image| Some(image.topic_by_id(id)?.name.to_string()))?;
        Some((
            Some(id),
            TopicName(text(name)),
            partitions.into_iter().collect(),
        ))
    };
    Ok(partitions.into_iter().filter_map(named).collect())
}

/// Answers AlterShareGroupOffsets.
pub(super) async fn alter(
    shard: &Rc<Shard>,
    request: AlterShareGroupOffsetsRequest,
) -> AlterShareGroupOffsetsResponse {
    let refused = |(error, message): (ResponseError, String)| {
        AlterShareGroupOffsetsResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    let group = request.group_id.clone();
    if group.is_empty() {
        let error = ResponseError::InvalidGroupId;
        return refused((error, error.to_string()));
    }
    let altered = match ask(shard, &group, ShareAsk::Alter(request)).await {
        Ok(ShareReply::Altered(Ok(altered))) => altered,
        Ok(ShareReply::Altered(Err(refusal))) => return refused(refusal),
        Ok(other) => stray_share(&other),
        Err(error) => return refused((error.error(), error.to_string())),
    };
    let results = initialize(shard, &group, altered.state_epoch, &altered.starts).await;
    let starts = altered.starts.iter().zip(results);
    let failed: BTreeMap<(Uuid, i32), ResponseError> = starts
        .filter_map(|(start, result)| Some(((start.topic, start.partition), result.err()?)))
        .collect();
    let mut rows = altered.rows;
    for row in &mut rows {
        for partition in &mut row.partitions {
            if let Some(error) = failed.get(&(row.topic_id, partition.partition_index)) {
                partition.error_code = error.code();
                partition.error_message = Some(text(error.to_string()));
            }
        }
    }
    AlterShareGroupOffsetsResponse::default().with_responses(rows)
}

/// Answers DeleteShareGroupOffsets.
pub(super) async fn delete(
    shard: &Rc<Shard>,
    request: DeleteShareGroupOffsetsRequest,
) -> DeleteShareGroupOffsetsResponse {
    let refused = |(error, message): (ResponseError, String)| {
        DeleteShareGroupOffsetsResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    let group = request.group_id.clone();
    if group.is_empty() {
        let error = ResponseError::InvalidGroupId;
        return refused((error, error.to_string()));
    }
    if request.topics.is_empty() {
        return DeleteShareGroupOffsetsResponse::default();
    }
    let begun = match ask(shard, &group, ShareAsk::DeleteOffsets(request)).await {
        Ok(ShareReply::OffsetsDeleted(Ok(begun))) => begun,
        Ok(ShareReply::OffsetsDeleted(Err(refusal))) => return refused(refusal),
        Ok(other) => stray_share(&other),
        Err(error) => return refused((error.error(), error.to_string())),
    };
    let mut rows = Vec::with_capacity(begun.topics.len() + begun.refused.len());
    let mut deleted = Vec::new();
    for topic in begun.topics {
        let result = delete_topic(shard, &group, &topic).await;
        let row = DeleteShareGroupOffsetsResponseTopic::default()
            .with_topic_id(topic.id)
            .with_topic_name(TopicName(text(topic.name)));
        rows.push(match result {
            Ok(()) => {
                deleted.push(topic.id);
                row
            }
            Err(error) => row
                .with_error_code(error.code())
                .with_error_message(Some(text(error.to_string()))),
        });
    }
    if !deleted.is_empty()
        && let Err(error) = ask(shard, &group, ShareAsk::OffsetsDeleted(deleted)).await
    {
        return refused((error.error(), error.to_string()));
    }
    rows.extend(begun.refused);
    DeleteShareGroupOffsetsResponse::default().with_responses(rows)
}

async fn delete_topic(
    shard: &Rc<Shard>,
    group: &str,
    topic: &ShareTopic,
) -> Result<(), ResponseError> {
    let partitions = topic.partitions.iter().map(|partition| TopicIdPartition {
        topic_id: topic.id,
        partition: *partition,
    });
    let partitions: Vec<TopicIdPartition> = partitions.collect();
    let results = shard.share_state_delete(group, &partitions).await;
    results.into_iter().collect()
}
