//! Groups as operators see them: DescribeGroups (key 15), ListGroups (16) and DeleteGroups (42), and
//! ConsumerGroupDescribe (69) of groups of the newer protocol (KIP-848).

use std::rc::Rc;

use group::{Ask, Reply};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    ListGroupsRequest, ListGroupsResponse,
};

use super::groups::stray;
use super::groups_share::delete_states;
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

/// Answers ListGroups: the groups that this node coordinates.
pub(super) async fn list(shard: &Rc<Shard>, request: ListGroupsRequest) -> ListGroupsResponse {
    let texts = |texts: Vec<kafka_protocol::protocol::StrBytes>| -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    };
    let states = texts(request.states_filter);
    let types = texts(request.types_filter);
    let make = move || Ask::List {
        states: states.clone(),
        types: types.clone(),
    };
    let mut groups = Vec::new();
    for answer in shard.all_groups(make).await {
        match answer {
            Ok(Reply::List(more)) => groups.extend(more),
            Ok(other) => stray(&other),
            // It became another node's, which lists them.
            Err(CoordinatorError::NotCoordinator) => {}
            Err(error) => return ListGroupsResponse::default().with_error_code(error.code()),
        }
    }
    ListGroupsResponse::default().with_groups(groups)
}

/// Answers DescribeGroups.
pub(super) async fn describe(
    shard: &Rc<Shard>,
    request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for id in request.groups {
        let ask = Ask::Describe(id.clone(), version);
        groups.push(match shard.ask_group(&id, ask).await {
            Ok(Reply::Describe(group)) => group,
            Ok(other) => stray(&other),
            Err(error) => DescribedGroup::default()
                .with_group_id(id)
                .with_error_code(error.code()),
        });
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

/// Answers DeleteGroups.
pub(super) async fn delete(
    shard: &Rc<Shard>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        results.push(match delete_one(shard, &id).await {
            Ok(result) => result,
            Err(error) => DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(error.code()),
        });
    }
    DeleteGroupsResponse::default().with_results(results)
}

/// A share group has states elsewhere, which go before it does.
async fn delete_one(
    shard: &Rc<Shard>,
    id: &GroupId,
) -> Result<DeletableGroupResult, ResponseError> {
    delete_states(shard, id).await?;
    match shard.ask_group(id, Ask::Delete(id.clone())).await {
        Ok(Reply::Delete(result)) => Ok(result),
        Ok(other) => stray(&other),
        Err(error) => Err(error.error()),
    }
}

/// Answers ConsumerGroupDescribe.
pub(super) async fn describe_consumer(
    shard: &Rc<Shard>,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in request.group_ids {
        let ask = Ask::ConsumerDescribe(id.clone());
        groups.push(match shard.ask_group(&id, ask).await {
            Ok(Reply::ConsumerDescribe(group)) => group,
            Ok(other) => stray(&other),
            Err(error) => DescribedConsumerGroup::default()
                .with_group_id(id)
                .with_error_code(error.code()),
        });
    }
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}
