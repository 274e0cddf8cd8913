//! DescribeCluster (60) and UnregisterBroker (64).

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, UnregisterBrokerRequest,
    UnregisterBrokerResponse,
};

use super::NO_OPERATIONS;
use super::seen::{self, text};
use crate::cluster::Command;
use crate::shard::Shard;

/// Endpoints of brokers, the only type a broker may be asked for.
const BROKERS: i8 = 1;
/// Endpoints of controllers, which clients ask a controller for.
const CONTROLLERS: i8 = 2;

/// Answers DescribeCluster.
pub(super) fn describe(
    shard: &Shard,
    request: &DescribeClusterRequest,
    version: i16,
) -> DescribeClusterResponse {
    let refuse = |error: ResponseError, why: &str| {
        DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(why)))
            .with_endpoint_type(BROKERS)
    };
    match request.endpoint_type {
        _ if version < 1 => {}
        BROKERS => {}
        CONTROLLERS => {
            return refuse(
                ResponseError::MismatchedEndpointType,
                "this address serves clients; the controllers' endpoints are not known here",
            );
        }
        other => {
            let why = format!("{other} is no type of endpoint; brokers have type {BROKERS}");
            return refuse(ResponseError::UnsupportedEndpointType, &why);
        }
    }
    let brokers = shard.with_image(|image| {
        let all = seen::brokers(image, version >= 2 && request.include_fenced_brokers);
        let rows = all.map(|(broker, at)| {
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(broker.node_id))
                .with_host(text(&at.host))
                .with_port(i32::from(at.port))
                .with_rack(broker.rack.as_deref().map(text))
                .with_is_fenced(version >= 2 && broker.fenced)
        });
        rows.collect()
    });
    let cluster_id = shard.with_image(|image| image.cluster_id().map(text));
    DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(cluster_id.unwrap_or_default())
        .with_controller_id(seen::controller(shard))
        .with_brokers(brokers)
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

/// Answers UnregisterBroker: the broker is gone from the cluster, its replicas stay assigned to it.
pub(super) async fn unregister(
    shard: &Rc<Shard>,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let command = Command::UnregisterBroker(request.broker_id.0);
    let response = UnregisterBrokerResponse::default();
    match shard.command(command, false).await {
        Ok(_) => response.with_error_message(None),
        Err(error) => response
            .with_error_code(error.code())
            .with_error_message(Some(text(&error.to_string()))),
    }
}
