//! FindCoordinator (key 10), as far as a broker without coordinators can answer it.
//!
//! Consumers that are given their partitions (`assign`) ask for a group's coordinator only to store
//! offsets. They are told that none is available, which they retry in the background. A transactional
//! producer is told for good that there are no transactions.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// The first version that asks for several keys at once.
const SEVERAL_SINCE: i16 = 4;
const GROUP: i8 = 0;

/// Answers one request.
pub(super) fn answer(request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (error, message) = if request.key_type == GROUP {
        (
            ResponseError::CoordinatorNotAvailable,
            "this broker has no consumer groups yet; assign partitions to the consumer",
        )
    } else {
        (
            ResponseError::UnsupportedVersion,
            "this broker has neither transactions nor share groups yet",
        )
    };
    let message = StrBytes::from_static_str(message);
    if version < SEVERAL_SINCE {
        return FindCoordinatorResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(message))
            .with_node_id(BrokerId(-1))
            .with_port(-1);
    }
    let none = |key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error.code())
            .with_error_message(Some(message.clone()))
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    };
    let coordinators = request.coordinator_keys.into_iter().map(none).collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}
