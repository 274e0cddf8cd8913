//! Fetch (key 1): reads partitions on the shards that own them, waits for more where the client asks
//! for it, and sends what is in memory without copying it.
//!
//! Owns the session of a request and its deadline. The wait is a loop of two steps, read and watch:
//! a partition that changed between the two ends the watch at once, so nothing is missed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use net::connection::{Request, Slot};
use net::fetch::{FetchResponse, FetchedPartition, FetchedTopic};
use net::registry::FETCH;
use rt::sync::Permit;
use uuid::Uuid;

use super::error::wants_leader;
use super::session::{Asked, FetchKey, Opened, Told, TopicKey, Wanted};
use crate::partition::PartitionId;
use crate::shard::reads::{ReadOutcome, ReadPart, WatchPart};
use crate::shard::{Shard, ShardId};

/// The least a fetch is granted of the shard's read memory, in bytes.
const LEAST_GRANT: usize = 64 * 1024;
/// A fetch is granted at most this part of the read memory that is free.
const GRANT_SHARE: usize = 16;

/// The limits of one request.
struct Limits {
    max_bytes: usize,
    min_bytes: usize,
    deadline: Instant,
    from: From,
    /// Whether only what counts is to be read (`isolation.level=read_committed`).
    committed: bool,
}

/// Where a request may be served from.
#[derive(Clone)]
struct From {
    /// Only by leaders: the client doesn't know of anything else.
    by_leader: bool,
    /// The client's rack, if it is to be sent to a replica there.
    rack: Option<Arc<str>>,
}

/// The isolation level of readers who want only what counts.
pub(super) const READ_COMMITTED: i8 = 1;

/// The first version of clients that may read from followers (KIP-392).
const RACKS_SINCE: i16 = 11;

/// One partition of the request, as far as it could be resolved.
struct Planned {
    key: FetchKey,
    route: Result<(ShardId, PartitionId), ResponseError>,
    wanted: Wanted,
}

/// Serves one request.
pub(super) async fn handle(shard: &Rc<Shard>, request: Request, slot: Slot) {
    let version = request.header.version;
    let correlation_id = request.header.correlation_id;
    let decoded: FetchRequest = match super::decode(request.body, version) {
        Ok(decoded) => decoded,
        Err(error) => return slot.close(super::unreadable(FETCH, version, &error)),
    };
    // A long poll holds no request memory.
    drop(request.credit);
    let limits = limits_of(shard, &decoded, version);
    let asked = asked_of(&decoded, version);
    let now_ms = rt::time::wall_ms();
    let opened = shard.sessions.borrow_mut().open(asked, now_ms);
    let mut response = FetchResponse::new(correlation_id, version);
    match opened {
        Err(error) => {
            response.error_code = error.code();
            slot.fill(response.encode());
        }
        Ok(opened) => {
            response.session_id = opened.session_id;
            let planned = plan(shard, &opened);
            let (outcomes, permit) = gather(shard, &planned, &limits).await;
            answer(shard, &opened, planned, outcomes, &mut response);
            slot.fill_holding(response.encode(), permit);
        }
    }
}

fn limits_of(shard: &Shard, request: &FetchRequest, version: i16) -> Limits {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let settings = shard.settings();
    let max_bytes = max_bytes.min(settings.fetch_max_bytes);
    let rack = Some(&*request.rack_id).filter(|rack| !rack.is_empty());
    Limits {
        max_bytes,
        // More than the maximum can never come together.
        min_bytes: min_bytes.min(max_bytes),
        deadline: rt::time::now() + wait,
        from: From {
            by_leader: version < RACKS_SINCE,
            rack: rack.filter(|_| settings.rack_aware_reads).map(Arc::from),
        },
        committed: request.isolation_level == READ_COMMITTED,
    }
}

fn asked_of(request: &FetchRequest, version: i16) -> Asked {
    let by_id = version >= 13;
    let topic_key = |name: &str, id: Uuid| {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name.into())
        }
    };
    let mut partitions = Vec::new();
    for topic in &request.topics {
        let topic_key = topic_key(&topic.topic.0, topic.topic_id);
        for partition in &topic.partitions {
            let key = FetchKey {
                topic: topic_key.clone(),
                index: partition.partition,
            };
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            partitions.push((key, wanted));
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let topic_key = topic_key(&topic.topic.0, topic.topic_id);
        topic.partitions.iter().map(move |index| FetchKey {
            topic: topic_key.clone(),
            index: *index,
        })
    });
    Asked {
        // Versions before 7 know no sessions; the decoder gives them -1 for the epoch.
        session_id: request.session_id,
        epoch: request.session_epoch,
        by_id,
        forgotten: forgotten.collect(),
        partitions,
    }
}

fn plan(shard: &Shard, opened: &Opened) -> Vec<Planned> {
    let resolve = |key: &FetchKey| {
        let (route, missing) = match &key.topic {
            TopicKey::Name(name) => (
                shard.routes().by_name(name),
                ResponseError::UnknownTopicOrPartition,
            ),
            TopicKey::Id(id) => (shard.routes().by_id(*id), ResponseError::UnknownTopicId),
        };
        let route = route.ok_or(missing)?;
        let target = route
            .partition(key.index)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let owner = target.place()?;
        let partition = PartitionId {
            topic_id: route.id,
            index: key.index,
        };
        Ok((owner, partition))
    };
    let one = |(key, wanted): &(FetchKey, Wanted)| Planned {
        key: key.clone(),
        route: resolve(key),
        wanted: *wanted,
    };
    opened.partitions.iter().map(one).collect()
}

/// Reads until there is enough, something is wrong, or the time is over. The permit stands for the
/// bytes of the records given.
async fn gather(
    shard: &Rc<Shard>,
    planned: &[Planned],
    limits: &Limits,
) -> (Vec<ReadOutcome>, Permit) {
    loop {
        let memory = &shard.read_memory;
        let grant = (memory.available() / GRANT_SHARE)
            .max(LEAST_GRANT)
            .min(limits.max_bytes);
        let mut permit = memory.acquire(grant).await;
        let outcomes = read_round(shard, planned, grant, limits).await;
        let total: usize = outcomes.iter().map(ReadOutcome::size).sum();
        let wrong =
            |o: &ReadOutcome| o.records.is_err() || o.diverging.is_some() || o.preferred.is_some();
        let left = limits.deadline.saturating_duration_since(rt::time::now());
        // A response that is as full as it may be is not kept waiting for more.
        let full = outcomes.iter().any(|outcome| outcome.cut_short);
        let enough = full || total >= limits.min_bytes.min(grant);
        if enough
            || left.is_zero()
            || shard.is_stopping()
            || outcomes.is_empty()
            || outcomes.iter().any(wrong)
        {
            permit.shrink(total);
            // A first batch may be larger than what was granted: it counts as far as there is room.
            if let Some(more) = memory.try_acquire(total.saturating_sub(grant)) {
                drop(permit.merge(more));
            }
            return (outcomes, permit);
        }
        drop(permit);
        let wanted = limits.min_bytes - total;
        watch(shard, planned, &outcomes, (wanted, limits.committed), left).await;
    }
}

async fn read_round(
    shard: &Rc<Shard>,
    planned: &[Planned],
    max_bytes: usize,
    limits: &Limits,
) -> Vec<ReadOutcome> {
    let mut outcomes = Vec::with_capacity(planned.len());
    let mut by_owner: Vec<(ShardId, Vec<ReadPart>)> = Vec::new();
    for (place, one) in planned.iter().enumerate() {
        match one.route {
            Err(error) => outcomes.push(ReadOutcome::refused(place, error)),
            Ok((owner, partition)) => {
                let part = ReadPart {
                    place,
                    partition,
                    offset: one.wanted.fetch_offset,
                    max_bytes: usize::try_from(one.wanted.max_bytes).unwrap_or(0),
                    current_leader_epoch: one.wanted.current_leader_epoch,
                    last_fetched_epoch: one.wanted.last_fetched_epoch,
                    by_leader: limits.from.by_leader,
                    committed: limits.committed,
                };
                match by_owner.iter_mut().find(|(shard, _)| *shard == owner) {
                    Some((_, parts)) => parts.push(part),
                    None => by_owner.push((owner, vec![part])),
                }
            }
        }
    }
    let several = by_owner.len() > 1;
    let mut calls = Vec::with_capacity(by_owner.len());
    for (owner, parts) in by_owner {
        let rack = limits.from.rack.clone();
        let call = shard.start_on(owner, move |shard| {
            let shard = Rc::clone(shard);
            async move { shard.read_parts(parts, max_bytes, rack).await }
        });
        calls.push(call.await);
    }
    for call in calls {
        outcomes.extend(call.await);
    }
    outcomes.sort_by_key(|outcome| outcome.place);
    if several {
        cut_to(&mut outcomes, planned, max_bytes);
    }
    outcomes
}

/// Several shards have each read up to the limit: keeps, in request order, what fits.
fn cut_to(outcomes: &mut [ReadOutcome], planned: &[Planned], max_bytes: usize) {
    let mut left = max_bytes;
    let mut nothing_yet = true;
    for outcome in outcomes {
        let of_partition = planned[outcome.place].wanted.max_bytes;
        let of_partition = usize::try_from(of_partition).unwrap_or(0);
        let Ok(records) = &mut outcome.records else {
            continue;
        };
        let mut given = 0;
        let mut kept = 0;
        for record_batch in records.iter() {
            let size = record_batch.len();
            if !nothing_yet && (size > left || given + size > of_partition) {
                outcome.cut_short |= size > left;
                break;
            }
            left = left.saturating_sub(size);
            given += size;
            nothing_yet = false;
            kept += 1;
        }
        records.truncate(kept);
    }
}

/// Waits until any shard has news for this fetch, at most for `limit`.
async fn watch(
    shard: &Rc<Shard>,
    planned: &[Planned],
    outcomes: &[ReadOutcome],
    (wanted, committed): (usize, bool),
    limit: Duration,
) {
    let mut by_owner: Vec<(ShardId, Vec<WatchPart>)> = Vec::new();
    for outcome in outcomes {
        let Ok((owner, partition)) = planned[outcome.place].route else {
            continue;
        };
        let part = WatchPart {
            partition,
            seen: if committed {
                outcome.last_stable_offset
            } else {
                outcome.high_watermark
            },
            committed,
        };
        match by_owner.iter_mut().find(|(shard, _)| *shard == owner) {
            Some((_, parts)) => parts.push(part),
            None => by_owner.push((owner, vec![part])),
        }
    }
    // Each shard sees only its own arrivals; together they must not wait for more than is wanted.
    let wanted = wanted.div_ceil(by_owner.len().max(1));
    let token = (shard.id, shard.waits.token());
    let mut calls = Vec::with_capacity(by_owner.len());
    let mut elsewhere = Vec::new();
    for (owner, parts) in by_owner {
        let remote = owner != shard.id;
        if remote {
            elsewhere.push(owner);
        }
        let call = shard.start_on(owner, move |shard| {
            let shard = Rc::clone(shard);
            let token = remote.then_some(token);
            async move { shard.wait_here(parts, wanted, limit, token).await }
        });
        calls.push(call.await);
    }
    shard.first_wait(calls, token, elsewhere).await;
}

/// Groups the outcomes by topic in the order read, leaving out what an incremental response need not
/// repeat, and names the leaders of partitions that this node doesn't lead (KIP-951).
fn answer(
    shard: &Shard,
    opened: &Opened,
    planned: Vec<Planned>,
    outcomes: Vec<ReadOutcome>,
    response: &mut FetchResponse,
) {
    let mut leaders = BTreeSet::new();
    let mut sessions = shard.sessions.borrow_mut();
    let topics = &mut response.topics;
    for (planned, outcome) in planned.into_iter().zip(outcomes) {
        let told = Told {
            // After an error whatever comes is news.
            high_watermark: outcome
                .records
                .as_ref()
                .map_or(-1, |_| outcome.high_watermark),
            log_start_offset: outcome.log_start_offset,
        };
        let has_news = outcome.size() > 0
            || outcome.records.is_err()
            || outcome.diverging.is_some()
            || outcome.preferred.is_some();
        let named = if opened.session_id == 0 {
            true
        } else {
            sessions.tell(opened.session_id, &planned.key, told, has_news)
        };
        if opened.incremental && !named {
            continue;
        }
        let partition = fetched(shard, &planned.key, outcome);
        leaders.extend(partition.current_leader.map(|(node, _)| node));
        let same = |topic: &FetchedTopic| match &planned.key.topic {
            TopicKey::Name(name) => *topic.name == **name,
            TopicKey::Id(id) => topic.id == *id,
        };
        match topics.last_mut().filter(|topic| same(topic)) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let (name, id) = match planned.key.topic {
                    TopicKey::Name(name) => (name.to_string(), Uuid::nil()),
                    TopicKey::Id(id) => (String::new(), id),
                };
                topics.push(FetchedTopic {
                    name,
                    id,
                    partitions: vec![partition],
                });
            }
        }
    }
    drop(sessions);
    response.node_endpoints = shard.endpoints(&leaders);
}

fn fetched(shard: &Shard, key: &FetchKey, outcome: ReadOutcome) -> FetchedPartition {
    let mut partition = FetchedPartition::new(key.index);
    partition.high_watermark = outcome.high_watermark;
    partition.last_stable_offset = outcome.last_stable_offset;
    partition.aborted = outcome.aborted;
    partition.log_start_offset = outcome.log_start_offset;
    partition.diverging = outcome.diverging;
    partition.preferred_read_replica = outcome.preferred.unwrap_or(-1);
    match outcome.records {
        Ok(records) => partition.records = records,
        Err(error) => {
            partition.error_code = error.code();
            if wants_leader(error) {
                let route = match &key.topic {
                    TopicKey::Name(name) => shard.routes().by_name(name),
                    TopicKey::Id(id) => shard.routes().by_id(*id),
                };
                partition.current_leader = route.and_then(|route| route.leader(key.index));
            }
        }
    }
    partition
}
