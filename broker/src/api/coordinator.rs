//! FindCoordinator (key 10): which node leads the partition that has the state of a group, a
//! transaction or a share-partition.
//!
//! The first who asks has the topic made; until all of it is there, none is available, which clients
//! retry.

use std::rc::Rc;

use coordinator::partition_for;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use share::state::ShareKey;

use super::seen::{self, text};
use crate::coordinator::Internal;
use crate::shard::Shard;

/// The first version that asks for several keys at once.
const SEVERAL_SINCE: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// A node that clients reach.
struct Found {
    node: i32,
    host: StrBytes,
    port: i32,
}

/// Answers one request.
pub(super) fn answer(
    shard: &Rc<Shard>,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let topic = topic_of(request.key_type);
    let find_one = |key: &str| match topic {
        Ok(topic) => find(shard, topic, key),
        Err((error, why)) => Err((error, why)),
    };
    if version < SEVERAL_SINCE {
        let response = FindCoordinatorResponse::default();
        return match find_one(&request.key) {
            Ok(found) => response
                .with_node_id(BrokerId(found.node))
                .with_host(found.host)
                .with_port(found.port),
            Err((error, why)) => response
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_static_str(why)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        };
    }
    let row = |key: StrBytes| {
        let found = find_one(&key);
        let row = Coordinator::default().with_key(key);
        match found {
            Ok(found) => row
                .with_node_id(BrokerId(found.node))
                .with_host(found.host)
                .with_port(found.port),
            Err((error, why)) => row
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_static_str(why)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        }
    };
    let coordinators = request.coordinator_keys.into_iter().map(row).collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

type Refused = (ResponseError, &'static str);

/// The topic that has the state of this type of keys.
fn topic_of(key_type: i8) -> Result<Internal, Refused> {
    match key_type {
        GROUP => Ok(Internal::ConsumerOffsets),
        TRANSACTION => Ok(Internal::TransactionState),
        SHARE => Ok(Internal::ShareGroupState),
        _ => Err((
            ResponseError::InvalidRequest,
            "coordinators are found by group, transactional id or share key",
        )),
    }
}

fn find(shard: &Rc<Shard>, topic: Internal, key: &str) -> Result<Found, Refused> {
    if topic == Internal::ShareGroupState && key.parse::<ShareKey>().is_err() {
        return Err((
            ResponseError::InvalidRequest,
            "a share key is 'group:topic id:partition', the topic id in base64",
        ));
    }
    let unavailable = ResponseError::CoordinatorNotAvailable;
    let found = shard.with_image(|image| {
        let Some(topic) = image.topic(topic.name()) else {
            return Err(None);
        };
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let state = topic.partition(partition_for(key, partitions));
        let leader = state.and_then(|state| image.broker(state.leader));
        let found = leader.filter(|leader| !leader.fenced).and_then(|leader| {
            let at = seen::endpoint(leader)?;
            Some(Found {
                node: leader.node_id,
                host: text(&at.host),
                port: i32::from(at.port),
            })
        });
        found.ok_or(Some("the partition with that key has no leader now"))
    });
    found.map_err(|why| match why {
        Some(why) => (unavailable, why),
        None => {
            shard.make_internal(topic);
            (unavailable, "the coordinators' topic is being made")
        }
    })
}
