//! What is stored of share-partitions, asked of their share coordinators on whatever node those are: Kafka's
//! `Persister`.
//!
//! Owns finding the coordinator of a share-partition, asking again while it is being found, made or moved, and
//! the requests between nodes (keys 83 to 87, one [`Question`] each), of which those for one node that come
//! together go as one. Must not decide anything of a share-partition; and must not ask again once
//! a coordinator has.

mod gathering;
mod questions;

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use share::TopicIdPartition;
use share::partition::StoredState;
use share::state::{Initialize, ShareKey, Summary, WriteState};

use crate::coordinator::Internal;
use crate::partition::clock_ms;
use crate::shard::Shard;
pub(crate) use gathering::Gathered;
pub(crate) use questions::{Delete, Question, ReadIn, Summarize};

/// How long a coordinator that can't answer is asked again, in milliseconds.
const PATIENCE_MS: u64 = 5_000;
/// After which pause, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How many share-partitions of one request are asked after at the same time.
const AT_ONCE: usize = 500;

impl Shard {
    /// Begins share-partitions of a group, or begins them anew: what was stored of them is forgotten.
    /// The answers are in the order of what was asked.
    ///
    /// # Errors
    /// For each: `FENCED_STATE_EPOCH` if it has begun in a later epoch, `UNKNOWN_TOPIC_OR_PARTITION`,
    /// `INVALID_REQUEST`, `COORDINATOR_NOT_AVAILABLE` if its coordinator couldn't answer in some seconds:
    /// then it may have begun all the same.
    pub(crate) async fn share_state_initialize(
        self: &Rc<Self>,
        group: &str,
        asked: Vec<(TopicIdPartition, Initialize)>,
    ) -> Vec<Result<(), ResponseError>> {
        self.share_states(group, asked).await
    }

    /// What is stored of a share-partition, for its leader in `leader_epoch`: leaders before it can't store anything
    /// from now on. The start offset is -1 if none is known yet.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` if a later leader has read it, `INVALID_REQUEST` if it was never begun,
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `COORDINATOR_NOT_AVAILABLE` if its coordinator couldn't answer in some seconds.
    pub(crate) async fn share_state_read(
        self: &Rc<Self>,
        group: &str,
        of: TopicIdPartition,
        leader_epoch: i32,
    ) -> Result<StoredState, ResponseError> {
        self.share_state(group, of, ReadIn { leader_epoch }).await
    }

    /// Stores what changed of a share-partition.
    ///
    /// # Errors
    /// `FENCED_STATE_EPOCH` and `FENCED_LEADER_EPOCH` if it has begun anew, or has a later leader; `INVALID_REQUEST`
    /// if it was deleted, `UNKNOWN_TOPIC_OR_PARTITION`, `COORDINATOR_NOT_AVAILABLE` if its coordinator couldn't answer in
    /// some seconds: then it may be stored all the same.
    pub(crate) async fn share_state_write(
        self: &Rc<Self>,
        group: &str,
        of: TopicIdPartition,
        write: WriteState,
    ) -> Result<(), ResponseError> {
        self.share_state(group, of, write).await
    }

    /// Forgets share-partitions of a group. The answers are in the order of what was asked; one that isn't there is
    /// no error.
    ///
    /// # Errors
    /// For each: `UNKNOWN_TOPIC_OR_PARTITION`, whose coordinator forgets it by itself; `COORDINATOR_NOT_AVAILABLE`
    /// if its coordinator couldn't answer in some seconds.
    pub(crate) async fn share_state_delete(
        self: &Rc<Self>,
        group: &str,
        asked: &[TopicIdPartition],
    ) -> Vec<Result<(), ResponseError>> {
        let asked = asked.iter().map(|of| (*of, Delete)).collect();
        self.share_states(group, asked).await
    }

    /// Where share-partitions of a group begin. The answers are in the order of what was asked.
    ///
    /// # Errors
    /// For each: `UNKNOWN_TOPIC_OR_PARTITION`, `COORDINATOR_NOT_AVAILABLE` if its coordinator couldn't answer in some
    /// seconds.
    pub(crate) async fn share_state_summary(
        self: &Rc<Self>,
        group: &str,
        asked: &[TopicIdPartition],
    ) -> Vec<Result<Summary, ResponseError>> {
        let asked = asked.iter().map(|of| (*of, Summarize)).collect();
        self.share_states(group, asked).await
    }

    async fn share_states<Q: Question>(
        self: &Rc<Self>,
        group: &str,
        asked: Vec<(TopicIdPartition, Q)>,
    ) -> Vec<Result<Q::Answer, ResponseError>> {
        let group: Rc<str> = group.into();
        let ask = |(of, question)| {
            let (shard, group) = (Rc::clone(self), Rc::clone(&group));
            async move { shard.share_state(&group, of, question).await }
        };
        all_of(asked, ask).await
    }

    /// Asks until there is an answer, or long enough.
    async fn share_state<Q: Question>(
        self: &Rc<Self>,
        group: &str,
        of: TopicIdPartition,
        question: Q,
    ) -> Result<Q::Answer, ResponseError> {
        let begun = clock_ms();
        let mut pause = PAUSE.0;
        loop {
            let error = match self.share_state_once(group, of, &question).await {
                Ok(answer) => return Ok(answer),
                Err(error) if !self.passes(error, of) => return Err(error),
                Err(error) => error,
            };
            let late = clock_ms().saturating_sub(begun) >= PATIENCE_MS;
            if late || self.shutdown.has_begun() {
                let index = of.partition;
                tracing::debug!(group, topic_id = %of.topic_id, partition = index, %error, "a share coordinator could not be asked");
                return Err(match error {
                    ResponseError::UnknownTopicOrPartition => error,
                    _ => ResponseError::CoordinatorNotAvailable,
                });
            }
            rt::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
        }
    }

    async fn share_state_once<Q: Question>(
        self: &Rc<Self>,
        group: &str,
        of: TopicIdPartition,
        question: &Q,
    ) -> Result<Q::Answer, ResponseError> {
        let key = key(group, of);
        let name = key.to_string();
        let Some(node) = self.coordinating_node(Internal::ShareGroupState, &name) else {
            if self
                .routes()
                .by_name(Internal::ShareGroupState.name())
                .is_none()
            {
                self.make_internal(Internal::ShareGroupState);
            }
            return Err(ResponseError::CoordinatorNotAvailable);
        };
        if node != self.node_id() {
            return Gathered::ask(self, node, key, question.clone()).await;
        }
        let reply = self.ask_share_state(&name, question.clone().ask(key)).await;
        Q::answer(reply.map_err(|error| error.error())?)
    }

    /// Whether an error may be gone with the next attempt.
    fn passes(&self, error: ResponseError, of: TopicIdPartition) -> bool {
        match error {
            ResponseError::NotCoordinator
            | ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable => true,
            // The coordinator's node may hear of a topic later than this one.
            ResponseError::UnknownTopicOrPartition => self.with_image(|image| {
                let topic = image.topic_by_id(of.topic_id);
                topic.is_some_and(|topic| topic.partition(of.partition).is_some())
            }),
            _ => false,
        }
    }

    /// Answers another node's request, which goes to coordinators of this node.
    pub(crate) async fn share_states_here<Q: Question>(
        self: &Rc<Self>,
        request: Q::Request,
    ) -> Q::Response {
        let (group, asked) = Q::read(request);
        if group.is_empty() {
            return Q::Response::default();
        }
        let ask = |(of, question): (TopicIdPartition, Q)| {
            let shard = Rc::clone(self);
            let key = key(&group, of);
            async move {
                let name = key.to_string();
                let reply = shard.ask_share_state(&name, question.ask(key)).await;
                let answer = reply.map_err(|error| error.error()).and_then(Q::answer);
                (of, answer)
            }
        };
        Q::response(all_of(asked, ask).await)
    }
}

fn key(group: &str, of: TopicIdPartition) -> ShareKey {
    ShareKey {
        group_id: group.to_owned(),
        topic_id: of.topic_id,
        partition: of.partition,
    }
}

/// What comes of all of them, in order; many are under way at the same time.
async fn all_of<A, T, F>(asked: Vec<A>, ask: impl Fn(A) -> F) -> Vec<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let mut answers = Vec::with_capacity(asked.len());
    let mut asked = asked.into_iter();
    loop {
        let some: Vec<_> = asked.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return answers;
        }
        let tasks: Vec<_> = some
            .into_iter()
            .map(|one| rt::task::spawn(ask(one)))
            .collect();
        for task in tasks {
            answers.push(task.await);
        }
    }
}
