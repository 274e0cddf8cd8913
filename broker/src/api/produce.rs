//! Produce (key 0): checks each record set on the core that accepted it, hands it to the shard that
//! owns the partition, and answers when every batch is as safe as `acks` asks for: stable in the log
//! here, or with all replicas in sync.
//!
//! Everything up to the hand-over happens in the connection's order, before the next request is
//! looked at; the wait does not, so a client may pipeline.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use batch::BatchInfo;
use bytes::BytesMut;
use kafka_protocol::ResponseError;
use net::connection::{Request, Slot};
use net::produce::{
    PartitionProduced, ProducePartition, ProduceRequest, ProduceResponse, ProduceTopic,
    TopicProduced,
};
use net::registry::PRODUCE;

use super::error::{Refusal, refused_batch, wants_leader};
use super::metadata::is_internal;
use super::rules;
use crate::partition::{AckError, Claim, Partition, PartitionId};
use crate::shard::router::Call;
use crate::shard::routes::TopicRoute;
use crate::shard::{Shard, ShardId};
use crate::transactions::{self, Append};

/// `acks` as the client asked for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acks {
    None,
    Leader,
    All,
}

/// The first version of Produce that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// The first version that says that a partition isn't in the batch's transaction, which the client then
/// aborts.
const ABORTABLE_SINCE: i16 = 11;
/// The first version whose clients leave it to the broker to put a partition in a transaction.
const ADDS_SINCE: i16 = 12;
/// The client that may write to the broker's own topics, as in Kafka.
const ADMIN_CLIENT: &str = "__admin_client";

/// What a request says of all its record sets.
struct Sent {
    acks_valid: bool,
    /// The transaction that its batches are part of.
    claim: Option<Claim>,
    by_admin: bool,
    version: i16,
}

/// Where in the response an outcome belongs: topic and partition by their place in the request.
type Place = (usize, usize);

/// A checked record set on its way to its partition.
struct Part {
    place: Place,
    partition: PartitionId,
    records: BytesMut,
    info: BatchInfo,
    claim: Option<Claim>,
}

/// What became of a part.
struct PartOutcome {
    place: Place,
    outcome: Result<Stored, Refusal>,
}

#[derive(Clone, Copy)]
struct Stored {
    base_offset: i64,
    append_time_ms: i64,
    log_start_offset: i64,
}

/// Serves one request: begins it in order, and finishes it in a task of its own.
pub(super) async fn handle(shard: &Rc<Shard>, request: Request, slot: Slot) {
    let begun = rt::time::now();
    let Request {
        header,
        body,
        credit,
        ..
    } = request;
    let parsed = match ProduceRequest::parse(body, header.version) {
        Ok(parsed) => parsed,
        Err(error) => return slot.close(super::unreadable(PRODUCE, header.version, &error)),
    };
    let acks = match parsed.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    let timeout = Duration::from_millis(u64::try_from(parsed.timeout_ms).unwrap_or(0));
    let sent = Sent {
        acks_valid: acks.is_some(),
        claim: parsed.transactional_id.as_deref().map(|id| Claim {
            transactional_id: Arc::from(id),
            add: header.version >= ADDS_SINCE,
        }),
        by_admin: header.client_id.as_deref() == Some(ADMIN_CLIENT),
        version: header.version,
    };
    let (mut answer, parts) = check(shard, parsed, &sent);
    let all = acks == Some(Acks::All);
    let mut calls = Vec::with_capacity(parts.len());
    for (owner, parts) in parts {
        calls.push(
            shard
                .start_on(owner, move |shard| store(shard, parts, all))
                .await,
        );
    }
    let version = header.version;
    let correlation = header.correlation_id;
    let shard = Rc::clone(shard);
    rt::task::spawn(async move {
        finish(&mut answer, calls, acks, timeout).await;
        if version < ABORTABLE_SINCE {
            replace_abortable(&mut answer);
        }
        // Until here the frame's memory stood for batches that were not yet written.
        drop(credit);
        if acks != Some(Acks::None) {
            slot.fill(with_leaders(&shard, answer).encode(version, correlation));
        } else if let Some(refused) = first_error(&answer) {
            slot.close(format!(
                "a Produce request with acks=0 was refused: {refused:?}"
            ));
        } else {
            slot.nothing();
        }
        shard.metrics.answered(PRODUCE, begun.elapsed());
    })
    .detach();
}

/// The response, with who leads the partitions that this node doesn't (KIP-951).
fn with_leaders(shard: &Shard, topics: Vec<TopicProduced>) -> ProduceResponse {
    let mut response = ProduceResponse {
        topics,
        ..ProduceResponse::default()
    };
    let mut leaders = BTreeSet::new();
    for topic in &mut response.topics {
        let refused = |partition: &&mut PartitionProduced| {
            ResponseError::try_from_code(partition.error_code).is_some_and(wants_leader)
        };
        for partition in topic.partitions.iter_mut().filter(refused) {
            let route = match &topic.name {
                Some(name) => shard.routes().by_name(name),
                None => shard.routes().by_id(topic.id),
            };
            let leader = route.and_then(|route| route.leader(partition.index));
            partition.current_leader = leader;
            leaders.extend(leader.map(|(node, _)| node));
        }
    }
    response.node_endpoints = shard.endpoints(&leaders);
    response
}

fn first_error(answer: &[TopicProduced]) -> Option<ResponseError> {
    let mut partitions = answer.iter().flat_map(|topic| &topic.partitions);
    partitions.find_map(|partition| ResponseError::try_from_code(partition.error_code))
}

/// Looks at every record set; gives an answer with the refusals filled in, and what is left to store,
/// by owner.
fn check(
    shard: &Rc<Shard>,
    request: ProduceRequest,
    sent: &Sent,
) -> (Vec<TopicProduced>, Vec<(ShardId, Vec<Part>)>) {
    let mut answer = Vec::with_capacity(request.topics.len());
    let mut parts: Vec<(ShardId, Vec<Part>)> = Vec::new();
    for (topic_at, topic) in request.topics.into_iter().enumerate() {
        let ProduceTopic {
            name,
            id,
            partitions,
        } = topic;
        let route = match &name {
            Some(name) => shard.routes().by_name(name),
            None => shard.routes().by_id(id),
        };
        let mut produced = TopicProduced {
            name,
            id,
            partitions: Vec::with_capacity(partitions.len()),
        };
        for (at, partition) in partitions.into_iter().enumerate() {
            let index = partition.index;
            let checked = check_one(route.as_deref(), partition, sent);
            let mut outcome = PartitionProduced::new(index);
            match checked {
                Ok((owner, mut part)) => {
                    part.place = (topic_at, at);
                    match parts.iter_mut().find(|(shard, _)| *shard == owner) {
                        Some((_, list)) => list.push(part),
                        None => parts.push((owner, vec![part])),
                    }
                }
                Err(refusal) => refuse(&mut outcome, refusal),
            }
            produced.partitions.push(outcome);
        }
        answer.push(produced);
    }
    (answer, parts)
}

fn refuse(outcome: &mut PartitionProduced, refusal: Refusal) {
    outcome.error_code = refusal.error.code();
    outcome.error_message = refusal.message;
    outcome.record_errors = refusal.record_errors;
}

/// Checks one record set as far as that needs no partition state.
fn check_one(
    route: Option<&TopicRoute>,
    partition: ProducePartition,
    sent: &Sent,
) -> Result<(ShardId, Part), Refusal> {
    if !sent.acks_valid {
        return Err(Refusal::of(ResponseError::InvalidRequiredAcks));
    }
    let Some(route) = route else {
        return Err(Refusal::of(if sent.version < BY_ID_SINCE {
            ResponseError::UnknownTopicOrPartition
        } else {
            ResponseError::UnknownTopicId
        }));
    };
    let index = partition.index;
    let place = usize::try_from(index).ok();
    let Some(target) = place.and_then(|at| route.partitions.get(at)) else {
        return Err(Refusal::of(ResponseError::UnknownTopicOrPartition));
    };
    let owner = target.place().map_err(Refusal::of)?;
    let Some(records) = partition.records else {
        return Err(Refusal::with(
            ResponseError::InvalidRecord,
            "the record set is null; a Produce request carries exactly one batch for each partition",
        ));
    };
    if is_internal(&route.name) && !sent.by_admin {
        return Err(Refusal::with(
            ResponseError::InvalidTopicException,
            format!("topic \"{}\" is the broker's own", route.name),
        ));
    }
    let limits = rules::limits(&route.config, sent.version, rt::time::wall_ms());
    let info = batch::check_produced(&records, limits).map_err(|error| refused_batch(&error))?;
    let claim = sent
        .claim
        .as_ref()
        .filter(|_| info.attributes.is_transactional());
    if info.attributes.is_transactional() && claim.is_none() {
        return Err(Refusal::with(
            ResponseError::TransactionalIdAuthorizationFailed,
            "the batch is part of a transaction, and the request doesn't say of which one",
        ));
    }
    let (records, info) = rules::recompressed(&route.config, records, info)?;
    let part = Part {
        place: (0, 0),
        partition: PartitionId {
            topic_id: route.id,
            index,
        },
        records,
        info,
        claim: claim.cloned(),
    };
    Ok((owner, part))
}

/// On the owner's shard: appends every part now, or when the coordinator of its transaction allows it, and
/// answers when each is stable, or with all replicas in sync.
fn store(
    shard: &Rc<Shard>,
    parts: Vec<Part>,
    all: bool,
) -> impl Future<Output = Vec<PartOutcome>> + use<> {
    let now_ms = rt::time::wall_ms();
    let mut appends = Vec::with_capacity(parts.len());
    for part in parts {
        let Part {
            place,
            partition: id,
            records,
            info,
            claim,
        } = part;
        let amount = (info.record_count, records.len());
        let append = shard.partition(id).map(|partition| {
            let batch = (records, info, claim);
            let append = transactions::append(shard, &partition, batch, now_ms, all);
            (partition, append)
        });
        appends.push((place, amount, append));
    }
    let shard = Rc::clone(shard);
    async move {
        let mut outcomes = Vec::with_capacity(appends.len());
        for (place, amount, append) in appends {
            let outcome = match append {
                Ok((partition, append)) => stored(&shard, &partition, append, amount).await,
                Err(why) => Err(Refusal::from(why)),
            };
            outcomes.push(PartOutcome { place, outcome });
        }
        outcomes
    }
}

/// What becomes of an append of so many records and bytes.
async fn stored(
    shard: &Shard,
    partition: &Partition,
    append: Append,
    (records, bytes): (i32, usize),
) -> Result<Stored, Refusal> {
    let result = match append {
        Append::Done(result) => result,
        Append::Waits(told) => told.await.map_err(|_| Refusal::from(closed()))?,
    };
    let done = result?;
    shard.metrics.appended(records, bytes);
    if let Some(receiver) = done.acked {
        receiver.await.unwrap_or_else(|_| Err(closed()))?;
    }
    Ok(Stored {
        base_offset: done.base_offset,
        append_time_ms: done.append_time_ms,
        log_start_offset: partition.log().log_start(),
    })
}

/// The partition went away together with its wait list.
fn closed() -> AckError {
    AckError::NotWritten("the partition was closed".to_owned())
}

/// Waits for the owners and fills the answer in.
async fn finish(
    answer: &mut [TopicProduced],
    calls: Vec<Call<Vec<PartOutcome>>>,
    acks: Option<Acks>,
    timeout: Duration,
) {
    let mut left = Vec::new();
    for call in calls {
        // Kafka's timeout is for the other replicas of acks=all. A leader that can't write within it
        // is told of in the same way, because the batch may yet be written.
        let outcomes = if acks == Some(Acks::All) && !timeout.is_zero() {
            rt::time::timeout(timeout, call).await.ok()
        } else {
            Some(call.await)
        };
        match outcomes {
            Some(outcomes) => left.extend(outcomes),
            None => mark_timed_out(answer),
        }
    }
    for PartOutcome { place, outcome } in left {
        let slot = &mut answer[place.0].partitions[place.1];
        match outcome {
            Ok(stored) => {
                slot.error_code = 0;
                slot.base_offset = stored.base_offset;
                slot.log_append_time_ms = stored.append_time_ms;
                slot.log_start_offset = stored.log_start_offset;
            }
            Err(refusal) => refuse(slot, refusal),
        }
    }
}

/// Older clients know another error for a partition that isn't in the transaction.
fn replace_abortable(answer: &mut [TopicProduced]) {
    for slot in answer.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if slot.error_code == ResponseError::TransactionAbortable.code() {
            slot.error_code = ResponseError::InvalidTxnState.code();
        }
    }
}

/// Every partition without an outcome yet has timed out; outcomes that did come overwrite this.
fn mark_timed_out(answer: &mut [TopicProduced]) {
    for slot in answer.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if slot.error_code == 0 && slot.base_offset < 0 {
            slot.error_code = ResponseError::RequestTimedOut.code();
        }
    }
}
