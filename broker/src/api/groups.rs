//! What members of groups ask: JoinGroup (key 11), Heartbeat (12), LeaveGroup (13), SyncGroup (14), and
//! ConsumerGroupHeartbeat (68) of the newer protocol (KIP-848).
//!
//! Passed to the group's coordinator; if that isn't here, or can't answer, the client is told so in the
//! response's own way.

use std::rc::Rc;

use group::{Ask, Asker, Reply};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use net::connection::Request;

use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

/// The first version of JoinGroup whose protocol may be null.
const NO_PROTOCOL_SINCE: i16 = 7;

/// Who asks, as others see it.
pub(super) fn asker(request: &Request) -> Asker {
    Asker {
        client_id: request.header.client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", request.connection.peer.ip()),
    }
}

/// An answer to another question than was asked.
pub(super) fn stray(reply: &Reply) -> ! {
    unreachable!("a coordinator of groups answers what it was asked, not with {reply:?}")
}

/// Answers JoinGroup.
pub(super) async fn join(
    shard: &Rc<Shard>,
    asker: Asker,
    request: JoinGroupRequest,
    version: i16,
) -> JoinGroupResponse {
    let (group, member) = (request.group_id.clone(), request.member_id.clone());
    match shard
        .ask_group(&group, Ask::Join(asker, version, request))
        .await
    {
        Ok(Reply::Join(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name((version < NO_PROTOCOL_SINCE).then(StrBytes::default))
            .with_member_id(member),
    }
}

/// Answers SyncGroup.
pub(super) async fn sync(
    shard: &Rc<Shard>,
    request: SyncGroupRequest,
    version: i16,
) -> SyncGroupResponse {
    let group = request.group_id.clone();
    match shard.ask_group(&group, Ask::Sync(version, request)).await {
        Ok(Reply::Sync(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

/// Answers Heartbeat.
pub(super) async fn heartbeat(shard: &Rc<Shard>, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = request.group_id.clone();
    match shard.ask_group(&group, Ask::Heartbeat(request)).await {
        Ok(Reply::Heartbeat(response)) => response,
        Ok(other) => stray(&other),
        // As in Kafka: nothing is known against the member yet.
        Err(CoordinatorError::Loading) => HeartbeatResponse::default(),
        Err(error) => HeartbeatResponse::default().with_error_code(error.code()),
    }
}

/// Answers LeaveGroup.
pub(super) async fn leave(
    shard: &Rc<Shard>,
    request: LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    let group = request.group_id.clone();
    match shard.ask_group(&group, Ask::Leave(version, request)).await {
        Ok(Reply::Leave(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
    }
}

/// Answers ConsumerGroupHeartbeat.
pub(super) async fn beat(
    shard: &Rc<Shard>,
    asker: Asker,
    request: ConsumerGroupHeartbeatRequest,
    version: i16,
) -> ConsumerGroupHeartbeatResponse {
    let refused = |error: ResponseError| {
        ConsumerGroupHeartbeatResponse::default().with_error_code(error.code())
    };
    if !shard.settings().coordinators.consumer_protocol {
        return refused(ResponseError::UnsupportedVersion);
    }
    let group = request.group_id.clone();
    let ask = Ask::ConsumerHeartbeat(asker, version, request);
    match shard.ask_group(&group, ask).await {
        Ok(Reply::ConsumerHeartbeat(response)) => response,
        Ok(other) => stray(&other),
        Err(error) => refused(error.error()),
    }
}
