//! The five questions that share coordinators are asked, and the requests that carry them between nodes:
//! InitializeShareGroupState (key 83), ReadShareGroupState (84), WriteShareGroupState (85),
//! DeleteShareGroupState (86) and ReadShareGroupStateSummary (87).

mod change;
mod look;

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::Request;
use share::TopicIdPartition;
use share::state::{Ask, Reply, ShareKey};
use uuid::Uuid;

use super::gathering::{Gathered, Gathering};
pub(crate) use change::Delete;
pub(crate) use look::{ReadIn, Summarize};

/// What came of each share-partition that was asked about.
pub(crate) type Answers<A> = BTreeMap<TopicIdPartition, Result<A, ResponseError>>;

/// A question about one share-partition.
pub(crate) trait Question: Clone + 'static {
    /// What a coordinator says, if it says something.
    type Answer: Clone + 'static;
    /// The request with any number of them, of one group.
    type Request: Request<Response = Self::Response>;
    /// The answers to that.
    type Response: Default;

    /// The version in which nodes ask each other.
    const VERSION: i16;

    /// Those that wait on a shard.
    fn gathering(all: &Gathered) -> &Gathering<Self>;

    /// The question as the coordinator takes it.
    fn ask(self, key: ShareKey) -> Ask;

    /// The coordinator's answer.
    fn answer(reply: Reply) -> Result<Self::Answer, ResponseError>;

    /// The request that asks all of it.
    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request;

    /// The group that a request is about, and what it asks.
    fn read(request: Self::Request) -> (String, Vec<(TopicIdPartition, Self)>);

    /// The response that says all of it.
    fn response(
        answers: Vec<(TopicIdPartition, Result<Self::Answer, ResponseError>)>,
    ) -> Self::Response;

    /// What a response says.
    fn answers(response: Self::Response) -> Answers<Self::Answer>;
}

/// An answer to another question than was asked.
fn stray(reply: &Reply) -> ! {
    unreachable!("a share coordinator answers what it was asked, not with {reply:?}")
}

/// Rows of one topic each, as `row` makes them of a partition and what there is about it.
fn by_topic<T, P>(
    all: Vec<(TopicIdPartition, T)>,
    row: impl Fn(i32, T) -> P,
) -> impl Iterator<Item = (Uuid, Vec<P>)> {
    let mut topics: BTreeMap<Uuid, Vec<P>> = BTreeMap::new();
    for (of, about) in all {
        let rows = topics.entry(of.topic_id).or_default();
        rows.push(row(of.partition, about));
    }
    topics.into_iter()
}

fn partition(topic_id: Uuid, partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id,
        partition,
    }
}

fn code<A>(answer: &Result<A, ResponseError>) -> i16 {
    answer.as_ref().err().map_or(0, ResponseError::code)
}

/// What an error code in front of an answer says.
fn result<A>(code: i16, answer: A) -> Result<A, ResponseError> {
    match ResponseError::try_from_code(code) {
        None => Ok(answer),
        Some(error) => Err(error),
    }
}
