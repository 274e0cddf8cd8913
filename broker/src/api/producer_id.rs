//! InitProducerId (key 22): a producer id of its own for each idempotent producer, and the producer of a
//! transactional id, by its coordinator.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use txn::{Ask, Init, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer, Reply};

use super::transactions::{fenced, stray};
use crate::shard::Shard;

/// The first version whose clients know `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 4;

/// Answers one request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    request: InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    match init(shard, request).await {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(fenced(error, version >= FENCED_SINCE).code())
            .with_producer_id(ProducerId(NO_PRODUCER_ID))
            .with_producer_epoch(NO_PRODUCER_EPOCH),
    }
}

async fn init(
    shard: &Rc<Shard>,
    request: InitProducerIdRequest,
) -> Result<Producer, ResponseError> {
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    let is_new = id == NO_PRODUCER_ID;
    if is_new != (epoch == NO_PRODUCER_EPOCH) || id < NO_PRODUCER_ID || epoch < NO_PRODUCER_EPOCH {
        return Err(ResponseError::InvalidRequest);
    }
    let Some(transactional_id) = request.transactional_id else {
        // An idempotent producer that asks again keeps nothing: Kafka gives it a new id, too.
        let id = fresh_id(shard).await?;
        return Ok(Producer { id, epoch: 0 });
    };
    if transactional_id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let mut init = Init {
        transactional_id: transactional_id.to_string(),
        timeout_ms: request.transaction_timeout_ms,
        expected: (!is_new).then_some(Producer { id, epoch }),
        fresh_id: None,
    };
    loop {
        let asked = shard.ask_txn(&transactional_id, Ask::Init(init.clone()));
        match asked.await.map_err(|error| error.error())? {
            Reply::Init(done) => return done,
            Reply::NeedsProducerId => init.fresh_id = Some(fresh_id(shard).await?),
            other => stray(&other),
        }
    }
}

/// A producer id that nobody has had.
pub(super) async fn fresh_id(shard: &Rc<Shard>) -> Result<i64, ResponseError> {
    shard.next_producer_id().await.map_err(|error| {
        tracing::warn!(%error, "a producer could not be given an id");
        ResponseError::CoordinatorNotAvailable
    })
}
