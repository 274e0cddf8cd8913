//! InitProducerId (key 22) without a transactional id: a producer id of its own for each idempotent
//! producer, and a new epoch for one that lost track of its sequence (KIP-360).

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::shard::Shard;

const NONE: i64 = -1;
const NO_EPOCH: i16 = -1;

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(NONE))
            .with_producer_epoch(NO_EPOCH)
    };
    if let Some(id) = &request.transactional_id {
        return refused(if id.is_empty() {
            ResponseError::InvalidRequest
        } else {
            // FindCoordinator has told the client already; this one did not ask.
            ResponseError::CoordinatorNotAvailable
        });
    }
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    if (id == NONE) != (epoch == NO_EPOCH) || id < NONE || epoch < NO_EPOCH {
        return refused(ResponseError::InvalidRequest);
    }
    // An idempotent producer that asks again keeps nothing: Kafka gives it a new id, too.
    match shard.next_producer_id().await {
        Ok(id) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(error) => {
            tracing::warn!(%error, "a producer could not be given an id");
            refused(ResponseError::CoordinatorNotAvailable)
        }
    }
}
