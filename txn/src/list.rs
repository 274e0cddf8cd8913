//! `DescribeTransactions` and `ListTransactions`.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use regex::Regex;

use crate::api::Description;
use crate::state::State;
use crate::transaction::Transaction;

type Known = BTreeMap<String, Transaction>;

/// What is known of `id`.
pub(crate) fn describe(known: &Known, id: &str) -> Result<Description, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let of = known
        .get(id)
        .ok_or(ResponseError::TransactionalIdNotFound)?;
    Ok(Description {
        state: of.state.name(),
        timeout_ms: of.timeout_ms,
        started_ms: of.started_ms,
        producer: of.producer,
        partitions: of.partitions.clone(),
    })
}

/// The transactional ids that pass the request's filters, in order.
pub(crate) fn list(
    known: &Known,
    request: &ListTransactionsRequest,
    now_ms: i64,
) -> ListTransactionsResponse {
    let pattern = request.transactional_id_pattern.as_deref();
    let pattern = pattern.filter(|pattern| !pattern.is_empty());
    let pattern = match pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))) {
        Some(Err(_)) => {
            let error = ResponseError::InvalidRegularExpression.code();
            return ListTransactionsResponse::default().with_error_code(error);
        }
        Some(Ok(pattern)) => Some(pattern),
        None => None,
    };
    let states: BTreeSet<&str> = request.state_filters.iter().map(|name| &**name).collect();
    let ids: BTreeSet<i64> = request.producer_id_filters.iter().map(|id| id.0).collect();
    let is_old = |of: &Transaction| {
        request.duration_filter < 0 || now_ms - of.started_ms > request.duration_filter
    };
    let listed = known.iter().filter(|(id, of)| {
        (ids.is_empty() || ids.contains(&of.producer.id))
            && (states.is_empty() || states.contains(of.state.name()))
            && is_old(of)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    });
    let listed = listed.map(|(id, of)| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(id.clone())))
            .with_producer_id(ProducerId(of.producer.id))
            .with_transaction_state(StrBytes::from_static_str(of.state.name()))
    });
    let unknown = request.state_filters.iter();
    let unknown = unknown.filter(|name| !State::is_name(name)).cloned();
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.collect())
        .with_transaction_states(listed.collect())
}
