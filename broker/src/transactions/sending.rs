//! Markers on their way to the leaders of their partitions.
//!
//! Each other node has a queue, and several requests to it under way, each with what had come together when it
//! was sent. What this node leads it writes at once. What fails is tried again, as long as the
//! coordinator that wants it still does.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{
    ProducerId, TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use kafka_protocol::protocol::StrBytes;
use txn::{Ask, Markers, Partitions, Reply};

use super::Ending;
use crate::coordinator::CoordinatorError;
use crate::shard::Shard;

/// The version of WriteTxnMarkers that is spoken between nodes.
const VERSION: i16 = 1;
/// Requests under way to one node.
const REQUESTS_MAX: usize = 5;
/// Transactions in one request.
const TRANSACTIONS_MAX: usize = 500;
/// The pause before the second try, doubled with each.
const BACKOFF: Duration = Duration::from_millis(50);
/// How often it is doubled.
const DOUBLED_MAX: u32 = 5;

/// Markers for partitions with one leader, and how often they have been tried.
struct Sending {
    markers: Markers,
    tries: u32,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Sending>,
    under_way: usize,
}

/// The markers that a shard's coordinators want written by other nodes.
#[derive(Default)]
pub(crate) struct MarkerSender {
    nodes: RefCell<BTreeMap<i32, Queue>>,
}

/// Who is to write a marker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leader {
    /// The partition doesn't exist any more.
    Gone,
    /// The partition has no leader now.
    None,
    Node(i32),
}

impl Shard {
    /// Has markers written, however long that takes, and tells their coordinator of each that is.
    pub(crate) fn write_markers(self: &Rc<Self>, markers: Markers) {
        self.send(Sending { markers, tries: 0 });
    }

    fn send(self: &Rc<Self>, sending: Sending) {
        let Sending { markers, tries } = sending;
        for (leader, partitions) in self.by_leader(&markers.partitions) {
            let part = Sending {
                markers: Markers {
                    partitions,
                    ..markers.clone()
                },
                tries,
            };
            let shard = Rc::clone(self);
            match leader {
                Leader::Gone => {
                    let told = async move { shard.tell_written(part.markers).await };
                    rt::task::spawn(told).detach();
                }
                Leader::None => rt::task::spawn(shard.send_later(part)).detach(),
                Leader::Node(node) if node == self.node_id() => {
                    rt::task::spawn(shard.write_here(part)).detach();
                }
                Leader::Node(node) => {
                    let sender = &self.markers;
                    let mut nodes = sender.nodes.borrow_mut();
                    nodes.entry(node).or_default().waiting.push_back(part);
                    drop(nodes);
                    self.send_to(node);
                }
            }
        }
    }

    fn by_leader(&self, partitions: &Partitions) -> BTreeMap<Leader, Partitions> {
        let mut split: BTreeMap<Leader, Partitions> = BTreeMap::new();
        for (topic, indexes) in partitions {
            let route = self.routes().by_name(topic);
            for index in indexes {
                let partition = route.as_deref().and_then(|route| route.partition(*index));
                let leader = match partition {
                    None => Leader::Gone,
                    Some(partition) if partition.leader < 0 => Leader::None,
                    Some(partition) => Leader::Node(partition.leader),
                };
                let of = split.entry(leader).or_default();
                of.entry(topic.clone()).or_default().insert(*index);
            }
        }
        split
    }

    /// Tells the coordinator that markers are written; gives whether it still waits for the others.
    async fn tell_written(self: &Rc<Self>, markers: Markers) -> bool {
        let id = markers.transactional_id.clone();
        match self.ask_txn(&id, Ask::Written(markers)).await {
            Ok(Reply::Written(awaited)) => awaited,
            Ok(_) => false,
            // It will know, once it has stored it.
            Err(CoordinatorError::NotAvailable | CoordinatorError::TooLarge) => true,
            // The next coordinator has all of them written.
            Err(
                CoordinatorError::NotCoordinator
                | CoordinatorError::Loading
                | CoordinatorError::TransactionEnded,
            ) => false,
        }
    }

    /// Tries again, unless nobody wants it any more.
    async fn send_later(self: Rc<Self>, sending: Sending) {
        let Sending { markers, tries } = sending;
        rt::time::sleep(BACKOFF * 2_u32.pow(tries.min(DOUBLED_MAX))).await;
        if self.is_stopping() {
            return;
        }
        let none = Markers {
            partitions: Partitions::new(),
            ..markers.clone()
        };
        if self.tell_written(none).await {
            let tries = tries + 1;
            self.send(Sending { markers, tries });
        }
    }

    async fn write_here(self: Rc<Self>, sending: Sending) {
        let ending = Ending {
            producer: sending.markers.producer,
            coordinator_epoch: sending.markers.coordinator_epoch,
            commit: sending.markers.commit,
        };
        let mut writing = Vec::new();
        for (topic, indexes) in &sending.markers.partitions {
            for index in indexes {
                let (shard, topic, index) = (Rc::clone(&self), topic.clone(), *index);
                writing.push(rt::task::spawn(async move {
                    let done = shard.end_transaction(&topic, index, ending).await;
                    (topic, index, done)
                }));
            }
        }
        let mut results = Vec::with_capacity(writing.len());
        for one in writing {
            results.push(one.await);
        }
        self.settle(sending, results).await;
    }

    /// Sends what waits for a node, as far as requests may be under way.
    fn send_to(self: &Rc<Self>, node: i32) {
        loop {
            let mut nodes = self.markers.nodes.borrow_mut();
            let Some(queue) = nodes.get_mut(&node) else {
                return;
            };
            if queue.waiting.is_empty() {
                if queue.under_way == 0 {
                    nodes.remove(&node);
                }
                return;
            }
            if queue.under_way == REQUESTS_MAX {
                return;
            }
            queue.under_way += 1;
            let take = queue.waiting.len().min(TRANSACTIONS_MAX);
            let taken: Vec<Sending> = queue.waiting.drain(..take).collect();
            drop(nodes);
            rt::task::spawn(Rc::clone(self).request(node, taken)).detach();
        }
    }

    async fn request(self: Rc<Self>, node: i32, taken: Vec<Sending>) {
        let markers = taken.iter().map(|sending| marker(&sending.markers));
        let request = WriteTxnMarkersRequest::default().with_markers(markers.collect());
        let answer = self.ask_node(node, &request, VERSION).await;
        if let Some(queue) = self.markers.nodes.borrow_mut().get_mut(&node) {
            queue.under_way -= 1;
        }
        self.send_to(node);
        match answer {
            Ok(answer) => {
                let codes = codes(&answer);
                for sending in taken {
                    let results = results(&sending.markers, &codes);
                    let settled = Rc::clone(&self).settled(sending, results);
                    rt::task::spawn(settled).detach();
                }
            }
            Err(error) => {
                tracing::debug!(node, %error, "markers of transactions could not be sent; they are sent again");
                for sending in taken {
                    rt::task::spawn(Rc::clone(&self).send_later(sending)).detach();
                }
            }
        }
    }

    async fn settled(self: Rc<Self>, sending: Sending, results: Results) {
        self.settle(sending, results).await;
    }

    /// Tells the coordinator what is done, and sees to the rest.
    async fn settle(self: &Rc<Self>, sending: Sending, results: Results) {
        let Sending { markers, tries } = sending;
        let (mut done, mut again) = (Partitions::new(), Partitions::new());
        for (topic, index, result) in results {
            let id = &markers.transactional_id;
            match result {
                Ok(()) => done.entry(topic).or_default().insert(index),
                Err(ResponseError::InvalidProducerEpoch) => {
                    tracing::warn!(
                        transactional_id = id,
                        topic,
                        partition = index,
                        "a partition has batches of a later epoch of this producer; the transaction must have been ended there by hand"
                    );
                    done.entry(topic).or_default().insert(index)
                }
                Err(ResponseError::TransactionCoordinatorFenced) => {
                    tracing::warn!(
                        transactional_id = id,
                        topic,
                        partition = index,
                        "a partition has heard of a later coordinator of this transaction; that one ends it"
                    );
                    false
                }
                Err(error) => {
                    tracing::debug!(transactional_id = id, topic, partition = index, %error, "the end of a transaction isn't written yet");
                    again.entry(topic).or_default().insert(index)
                }
            };
        }
        let of = |partitions| Markers {
            partitions,
            ..markers.clone()
        };
        let awaited = done.is_empty() || self.tell_written(of(done)).await;
        if awaited && !again.is_empty() {
            let markers = of(again);
            Rc::clone(self).send_later(Sending { markers, tries }).await;
        }
    }
}

type Results = Vec<(String, i32, Result<(), ResponseError>)>;

fn marker(markers: &Markers) -> WritableTxnMarker {
    let topics = markers.partitions.iter().map(|(topic, indexes)| {
        WritableTxnMarkerTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.clone())))
            .with_partition_indexes(indexes.iter().copied().collect())
    });
    WritableTxnMarker::default()
        .with_producer_id(ProducerId(markers.producer.id))
        .with_producer_epoch(markers.producer.epoch)
        .with_transaction_result(markers.commit)
        .with_coordinator_epoch(markers.coordinator_epoch)
        .with_topics(topics.collect())
}

/// The codes of an answer, by producer id, topic and partition.
type Codes<'a> = BTreeMap<(i64, &'a str, i32), i16>;

fn codes(answer: &WriteTxnMarkersResponse) -> Codes<'_> {
    let mut codes = Codes::new();
    for marker in &answer.markers {
        for topic in &marker.topics {
            for partition in &topic.partitions {
                let key = (
                    marker.producer_id.0,
                    &**topic.name,
                    partition.partition_index,
                );
                codes.insert(key, partition.error_code);
            }
        }
    }
    codes
}

/// What became of each marker; of one that isn't in the answer that is unknown, and it is sent again.
fn results(markers: &Markers, codes: &Codes<'_>) -> Results {
    let all = markers.partitions.iter();
    let all = all.flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic, *index)));
    let result = |(topic, index): (&String, i32)| {
        let code = codes.get(&(markers.producer.id, topic.as_str(), index));
        let error = match code {
            Some(code) => ResponseError::try_from_code(*code),
            None => Some(ResponseError::UnknownServerError),
        };
        (topic.clone(), index, error.map_or(Ok(()), Err))
    };
    all.map(result).collect()
}
