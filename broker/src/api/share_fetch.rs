//! ShareFetch (key 78): gives a member of a share group records that nobody else has, and takes what it says of those
//! that it has.
//!
//! Acknowledgements go first, then records are read where there are any for the member; the answer waits for both.
//! What is acquired is the member's at once, so shards are asked one after the other, each for
//! what is still wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::or;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ShareFetchRequest;
use net::connection::{Request, Slot};
use net::registry::SHARE_FETCH;
use net::share_fetch::{ShareFetchResponse, SharedPartition, SharedTopic};
use rt::sync::Permit;
use share::TopicIdPartition;
use share::session::{Fetched, INITIAL_EPOCH, SessionKey};
use uuid::Uuid;

use super::error::{Refusal, wants_leader};
use super::share_asked::{SaidOf, acknowledge, key_of, said_in_fetch};
use crate::partition::PartitionId;
use crate::shard::{Shard, ShardId};
use crate::share::{Fetching, RELEASE, Said, ShareRead, ShareReads, ShareWatch, SharedRecords};

/// The least a fetch is granted of the shard's read memory, in bytes.
const LEAST_GRANT: usize = 64 * 1024;
/// A fetch is granted at most this part of the read memory that is free.
const GRANT_SHARE: usize = 16;
/// The most that is read of one partition at a time, in bytes: a member wants some hundred records, and what
/// it isn't given was read in vain.
const READ_MOST: usize = 1 << 20;

/// What a request asks for.
struct Asked {
    session: Fetching,
    /// Its acknowledgements.
    said: SaidOf,
    wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    max_records: u32,
    batch_size: u32,
}

/// A partition of the session, and where it is served.
type Planned = (
    TopicIdPartition,
    Result<(ShardId, PartitionId), ResponseError>,
);

/// What a fetch gave of each partition, and the memory that is held for it.
type Given = (Vec<Outcome>, Permit);

/// What a fetch gave of one partition, or why nothing.
type Outcome = (TopicIdPartition, Result<SharedRecords, ResponseError>);

/// Serves one request.
pub(super) async fn handle(shard: &Rc<Shard>, request: Request, slot: Slot) {
    let version = request.header.version;
    let correlation_id = request.header.correlation_id;
    let connection = request.connection.id;
    let decoded: ShareFetchRequest = match super::decode(request.body, version) {
        Ok(decoded) => decoded,
        Err(error) => return slot.close(super::unreadable(SHARE_FETCH, version, &error)),
    };
    let asked = asked_of(shard, decoded, connection);
    // A long poll holds no request memory.
    drop(request.credit);
    let answered = match asked {
        Ok(asked) => answer(shard, asked).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok((response, permit)) => slot.fill_holding(response.encode(correlation_id), permit),
        Err(refusal) => slot.fill(refused(refusal).encode(correlation_id)),
    }
}

fn refused(refusal: Refusal) -> ShareFetchResponse {
    ShareFetchResponse {
        error_code: refusal.error.code(),
        error_message: refusal.message,
        ..ShareFetchResponse::default()
    }
}

fn asked_of(shard: &Shard, request: ShareFetchRequest, connection: u64) -> Result<Asked, Refusal> {
    let key = key_of(request.group_id, request.member_id)?;
    let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let mut add = Vec::new();
    let mut said = SaidOf::new();
    for topic in request.topics {
        let topic_id = topic.topic_id;
        for asked in topic.partitions {
            let partition = TopicIdPartition {
                topic_id,
                partition: asked.partition_index,
            };
            add.push(partition);
            if !asked.acknowledgement_batches.is_empty() {
                let batches = asked.acknowledgement_batches.into_iter();
                let of_partition = said.entry(partition).or_default();
                of_partition.extend(batches.map(said_in_fetch));
            }
        }
    }
    let forget = request.forgotten_topics_data.iter().flat_map(|topic| {
        let one = |partition: &i32| TopicIdPartition {
            topic_id: topic.topic_id,
            partition: *partition,
        };
        topic.partitions.iter().map(one)
    });
    let max_bytes = size(request.max_bytes).min(shard.settings().fetch_max_bytes);
    Ok(Asked {
        session: Fetching {
            key,
            epoch: request.share_session_epoch,
            add,
            forget: forget.collect(),
            acknowledges: !said.is_empty(),
            connection,
        },
        said,
        wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        // More than the maximum can never come together.
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        max_records: u32::try_from(request.max_records).unwrap_or(0),
        batch_size: u32::try_from(request.batch_size).unwrap_or(0),
    })
}

async fn answer(
    shard: &Rc<Shard>,
    mut asked: Asked,
) -> Result<(ShareFetchResponse, Permit), Refusal> {
    let deadline = rt::time::now() + asked.wait;
    let (key, epoch) = (asked.session.key.clone(), asked.session.epoch);
    let refused =
        |error: share::session::SessionError| Refusal::with(error.error(), error.to_string());
    let opened = match shard.open_share_session(asked.session.clone()).await {
        Ok(opened) => opened,
        Err(error) => {
            if error.error() == ResponseError::ShareSessionLimitReached {
                // The client would come again at once.
                or(rt::time::sleep(asked.wait), shard.shutdown.begun()).await;
            }
            return Err(refused(error));
        }
    };
    let acknowledging = acknowledge(shard, &key, std::mem::take(&mut asked.said)).await;
    let resolve = |partition: TopicIdPartition| {
        let place = shard.find_by_id(partition.topic_id, partition.partition);
        (partition, place)
    };
    let planned: Vec<Planned> = opened.partitions.into_iter().map(resolve).collect();
    let (given, permit) = gather(shard, &asked, &planned, deadline).await;
    let acknowledged = acknowledging.outcomes().await;
    let mut named = vec![false; given.len()];
    if opened.last {
        shard.close_share_session(key.clone()).await;
    } else {
        let came = given.iter().map(|(partition, records)| {
            let fetched = Fetched {
                records: records.as_ref().is_ok_and(|records| records.size > 0),
                error: records.is_err(),
            };
            (*partition, fetched)
        });
        let came = came.collect();
        let answers = shard.answer_share_session(key.clone(), epoch, came).await;
        if answers.is_err() {
            give_back(shard, &key, &given).await;
        }
        named = answers.map_err(refused)?;
        if epoch == INITIAL_EPOCH {
            named.fill(true);
        }
    }
    let given = given
        .into_iter()
        .zip(named)
        .filter_map(|(one, named)| named.then_some(one));
    let mut response = ShareFetchResponse {
        lock_timeout_ms: shard.share_settings(&key.group).lock_ms(),
        ..ShareFetchResponse::default()
    };
    fill(shard, &mut response, given.collect(), acknowledged);
    Ok((response, permit))
}

/// Takes back what nobody will hear of: the session ended, or went on, while this request waited.
async fn give_back(shard: &Rc<Shard>, key: &SessionKey, given: &[Outcome]) {
    let mut said = SaidOf::new();
    for (partition, records) in given {
        let Ok(records) = records else { continue };
        let each = records.acquired.iter().map(|range| Said {
            first: range.first,
            last: range.last,
            types: vec![RELEASE],
        });
        said.entry(*partition).or_default().extend(each);
    }
    said.retain(|_, said| !said.is_empty());
    acknowledge(shard, key, said).await.outcomes().await;
}

/// Reads until there is enough, something is wrong, or the time is over. The permit stands for the
/// bytes of the records given.
async fn gather(shard: &Rc<Shard>, asked: &Asked, planned: &[Planned], deadline: Instant) -> Given {
    let memory = &shard.read_memory;
    loop {
        let grant = (memory.available() / GRANT_SHARE).max(LEAST_GRANT);
        let grant = grant.min(asked.max_bytes);
        let mut permit = memory.acquire(grant).await;
        let left = || deadline.saturating_duration_since(rt::time::now());
        let over = || left().is_zero() || shard.is_stopping() || planned.is_empty();
        let mut measure = asked.min_bytes > 1 && !over();
        let mut reads = read_round(shard, asked, planned, (grant, measure)).await;
        let sum = |reads: &[ShareRead]| reads.iter().map(ShareRead::size).sum::<usize>();
        let wrong = |reads: &[ShareRead]| reads.iter().any(|read| read.records.is_err());
        if measure && !wrong(&reads) && sum(&reads) >= asked.min_bytes.min(grant) {
            measure = false;
            reads = read_round(shard, asked, planned, (grant, measure)).await;
        }
        let total = sum(&reads);
        let enough = !measure && total > 0;
        if enough || wrong(&reads) || over() {
            permit.shrink(total);
            // A first batch may be larger than what was granted: it counts as far as there is room.
            if let Some(more) = memory.try_acquire(total.saturating_sub(grant)) {
                drop(permit.merge(more));
            }
            let each = reads.into_iter();
            let given = each.map(|read| (planned[read.place].0, read.records));
            return (given.collect(), permit);
        }
        drop(permit);
        let wanted = asked.min_bytes.saturating_sub(total);
        watch(shard, asked, planned, (reads, wanted), left()).await;
    }
}

/// Asks the shards that have the partitions, one after the other, for what is still wanted.
async fn read_round(
    shard: &Rc<Shard>,
    asked: &Asked,
    planned: &[Planned],
    (max_bytes, measure): (usize, bool),
) -> Vec<ShareRead> {
    let mut reads = Vec::with_capacity(planned.len());
    let mut by_owner: Vec<(ShardId, Vec<(usize, PartitionId)>)> = Vec::new();
    for (place, (_, target)) in planned.iter().enumerate() {
        match *target {
            Err(error) => reads.push(ShareRead::refused(place, error)),
            Ok((owner, id)) => match by_owner.iter_mut().find(|(shard, _)| *shard == owner) {
                Some((_, parts)) => parts.push((place, id)),
                None => by_owner.push((owner, vec![(place, id)])),
            },
        }
    }
    let each = max_bytes / planned.len().max(1);
    let each = each.clamp(LEAST_GRANT.min(max_bytes), READ_MOST);
    let key = &asked.session.key;
    let group: Arc<str> = Arc::from(&*key.group);
    let (mut bytes, mut records) = (max_bytes, asked.max_records);
    for (owner, parts) in by_owner {
        let wanted = ShareReads {
            group: Arc::clone(&group),
            member: key.member,
            parts,
            max_bytes: bytes,
            max_bytes_each: each,
            max_records: records,
            batch_size: asked.batch_size,
            given: bytes < max_bytes,
            measure,
        };
        let given = shard.run_on(owner, move |shard| {
            let shard = Rc::clone(shard);
            async move { shard.share_read(wanted).await }
        });
        for read in given.await {
            if let Ok(given) = &read.records {
                bytes = bytes.saturating_sub(given.size);
                records = records.saturating_sub(given.count());
            }
            reads.push(read);
        }
    }
    reads
}

/// Waits until any shard has something for this member, at most for `limit`.
async fn watch(
    shard: &Rc<Shard>,
    asked: &Asked,
    planned: &[Planned],
    (reads, wanted): (Vec<ShareRead>, usize),
    limit: Duration,
) {
    let mut by_owner: BTreeMap<ShardId, Vec<ShareWatch>> = BTreeMap::new();
    for read in reads {
        if let (Ok((owner, _)), Some(watch)) = (planned[read.place].1, read.watch) {
            by_owner.entry(owner).or_default().push(watch);
        }
    }
    // Each shard sees only its own arrivals; together they must not wait for more than is wanted.
    let wanted = wanted.div_ceil(by_owner.len().max(1));
    let token = (shard.id, shard.waits.token());
    let group: Arc<str> = Arc::from(&*asked.session.key.group);
    let mut calls = Vec::with_capacity(by_owner.len());
    let mut elsewhere = Vec::new();
    for (owner, parts) in by_owner {
        let remote = owner != shard.id;
        if remote {
            elsewhere.push(owner);
        }
        let group = Arc::clone(&group);
        let call = shard.start_on(owner, move |shard| {
            let shard = Rc::clone(shard);
            let token = remote.then_some(token);
            async move {
                shard
                    .share_wait_here(group, parts, wanted, limit, token)
                    .await;
            }
        });
        calls.push(call.await);
    }
    shard.first_wait(calls, token, elsewhere).await;
}

/// Puts the answer together by topic, and names the leaders of partitions that this node doesn't lead.
fn fill(
    shard: &Shard,
    response: &mut ShareFetchResponse,
    given: Vec<Outcome>,
    mut acknowledged: BTreeMap<TopicIdPartition, Result<(), ResponseError>>,
) {
    let mut topics: BTreeMap<Uuid, Vec<SharedPartition>> = BTreeMap::new();
    let mut leaders = BTreeSet::new();
    let mut put = |partition: TopicIdPartition,
                   mut row: SharedPartition,
                   errors: [Option<ResponseError>; 2]| {
        if errors.into_iter().flatten().any(wants_leader) {
            let route = shard.routes().by_id(partition.topic_id);
            row.current_leader = route.and_then(|route| route.leader(partition.partition));
            leaders.extend(row.current_leader.map(|(node, _)| node));
        }
        topics.entry(partition.topic_id).or_default().push(row);
    };
    for (partition, records) in given {
        let said = acknowledged.remove(&partition).and_then(Result::err);
        let mut row = SharedPartition {
            index: partition.partition,
            acknowledge_error_code: said.map_or(0, |error| error.code()),
            ..SharedPartition::default()
        };
        let error = records.as_ref().err().copied();
        match records {
            Ok(given) => {
                row.records = given.records;
                row.acquired = given.acquired;
            }
            Err(error) => row.error_code = error.code(),
        }
        put(partition, row, [said, error]);
    }
    // What was acknowledged in partitions that nothing else is said of.
    for (partition, outcome) in acknowledged {
        let error = outcome.err();
        let row = SharedPartition {
            index: partition.partition,
            acknowledge_error_code: error.map_or(0, |error| error.code()),
            ..SharedPartition::default()
        };
        put(partition, row, [error, None]);
    }
    response.node_endpoints = shard.endpoints(&leaders);
    let topics = topics.into_iter();
    response.topics = topics
        .map(|(id, partitions)| SharedTopic { id, partitions })
        .collect();
}
