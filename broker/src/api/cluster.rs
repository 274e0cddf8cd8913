//! DescribeCluster (60) and ListPartitionReassignments (46).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::NO_OPERATIONS;
use super::metadata::Advertised;
use crate::shard::Shard;

/// Endpoints of brokers, the only type a broker may be asked for.
const BROKERS: i8 = 1;

/// Answers DescribeCluster.
pub(super) fn describe(
    shard: &Shard,
    request: &DescribeClusterRequest,
    version: i16,
    advertised: &Advertised,
) -> DescribeClusterResponse {
    let text = |s: &str| StrBytes::from_string(s.to_owned());
    if version >= 1 && request.endpoint_type != BROKERS {
        return DescribeClusterResponse::default()
            .with_error_code(ResponseError::MismatchedEndpointType.code())
            .with_error_message(Some(text(
                "this address serves clients; the controllers' endpoints are not known here",
            )))
            .with_endpoint_type(BROKERS);
    }
    let node = BrokerId(shard.node_id());
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node)
        .with_host(text(&advertised.host))
        .with_port(i32::from(advertised.port))
        .with_rack(shard.settings().rack.as_deref().map(text));
    let cluster_id = shard.with_image(|image| image.cluster_id().map(text));
    DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(cluster_id.unwrap_or_default())
        .with_controller_id(node)
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

/// Answers ListPartitionReassignments: with one node nothing is ever being moved.
pub(super) fn reassignments() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
