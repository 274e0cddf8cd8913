//! Questions for other nodes that come together, on their way as one request.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use rt::sync::oneshot;
use share::TopicIdPartition;
use share::state::{Initialize, ShareKey, WriteState};

use super::questions::{Delete, Question, ReadIn, Summarize};
use crate::shard::Shard;

/// How long another node may take: longer than storing may take there.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// As many questions go in one request.
const TOGETHER: usize = 500;

/// One who waits for an answer of another node.
pub(crate) struct Waiting<Q: Question> {
    of: TopicIdPartition,
    question: Q,
    answer: oneshot::Sender<Result<Q::Answer, ResponseError>>,
}

/// A node, and a group.
type At = (i32, String);

/// Those of one kind, by the node and the group that they are about. None is empty.
pub(crate) struct Gathering<Q: Question> {
    waiting: RefCell<BTreeMap<At, Vec<Waiting<Q>>>>,
}

impl<Q: Question> Default for Gathering<Q> {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
        }
    }
}

/// A shard's, of every kind.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(super) beginnings: Gathering<Initialize>,
    pub(super) reads: Gathering<ReadIn>,
    pub(super) writes: Gathering<WriteState>,
    pub(super) deletions: Gathering<Delete>,
    pub(super) summaries: Gathering<Summarize>,
}

impl Gathered {
    /// Asks the coordinator of a share-partition on another node.
    pub(super) async fn ask<Q: Question>(
        shard: &Rc<Shard>,
        node: i32,
        key: ShareKey,
        question: Q,
    ) -> Result<Q::Answer, ResponseError> {
        let (sender, receiver) = oneshot();
        let of = TopicIdPartition {
            topic_id: key.topic_id,
            partition: key.partition,
        };
        let at = (node, key.group_id);
        let first = {
            let gathering = Q::gathering(&shard.share_states);
            let mut waiting = gathering.waiting.borrow_mut();
            let waiting = waiting.entry(at.clone()).or_default();
            waiting.push(Waiting {
                of,
                question,
                answer: sender,
            });
            waiting.len() == 1
        };
        if first {
            // By a task of its own, which isn't only the first one's.
            let shard = Rc::clone(shard);
            rt::task::spawn(async move { send::<Q>(&shard, at).await }).detach();
        }
        let gone = |_| Err(ResponseError::CoordinatorNotAvailable);
        receiver.await.unwrap_or_else(gone)
    }
}

/// Sends what is asked by the time that everybody who can ask now has.
async fn send<Q: Question>(shard: &Rc<Shard>, at: At) {
    rt::task::yield_now().await;
    let gathering = Q::gathering(&shard.share_states);
    let asked = gathering.waiting.borrow_mut().remove(&at);
    let (node, group) = at;
    for some in requests(asked.unwrap_or_default()) {
        let (shard, group) = (Rc::clone(shard), group.clone());
        rt::task::spawn(async move { send_some(&shard, node, &group, some).await }).detach();
    }
}

/// What goes in one request each: not too many, and a share-partition once, by which its answer is known.
fn requests<Q: Question>(asked: Vec<Waiting<Q>>) -> Vec<Vec<Waiting<Q>>> {
    let mut requests: Vec<Vec<Waiting<Q>>> = Vec::new();
    let mut there = BTreeSet::new();
    for one in asked {
        let fits = there.len() < TOGETHER && there.insert(one.of);
        match requests.last_mut() {
            Some(request) if fits => request.push(one),
            _ => {
                there = [one.of].into();
                requests.push(vec![one]);
            }
        }
    }
    requests
}

async fn send_some<Q: Question>(shard: &Rc<Shard>, node: i32, group: &str, asked: Vec<Waiting<Q>>) {
    let rows = asked.iter().map(|one| (one.of, one.question.clone()));
    let request = Q::request(group, rows.collect());
    let answer = rt::time::timeout(ANSWER_WITHIN, shard.ask_node(node, &request, Q::VERSION));
    let mut answers = match answer.await {
        Ok(Ok(response)) => Q::answers(response),
        Ok(Err(error)) => {
            tracing::debug!(node, group, %error, "a node with share coordinators could not be asked");
            BTreeMap::new()
        }
        Err(_) => {
            tracing::debug!(node, group, "a node with share coordinators doesn't answer");
            BTreeMap::new()
        }
    };
    for one in asked {
        let answer = answers.remove(&one.of);
        let answer = answer.unwrap_or(Err(ResponseError::CoordinatorNotAvailable));
        // Who asked may have gone.
        drop(one.answer.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_request_has_a_share_partition_once_and_not_too_many() {
        let waiting = |partition| Waiting {
            of: TopicIdPartition {
                topic_id: Uuid::from_u128(1),
                partition,
            },
            question: Summarize,
            answer: oneshot().0,
        };
        let asked = (0..3).chain([1, 1]).chain(0..1_100).map(waiting);
        let together = requests(asked.collect());
        let of = |request: &Vec<Waiting<Summarize>>| {
            let partitions = request.iter().map(|one| one.of.partition);
            partitions.collect::<Vec<_>>()
        };
        let lengths: Vec<_> = together.iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1, 2, 500, 500, 99]);
        assert_eq!(of(&together[0]), [0, 1, 2]);
        assert_eq!(of(&together[2]), [1, 0]);
        assert!(of(&together[3]).into_iter().eq(1..501));
    }
}
