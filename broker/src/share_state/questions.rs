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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fmt::Debug;

    use bytes::BytesMut;
    use kafka_protocol::protocol::{Decodable, Encodable};
    use share::partition::{StateBatch, StoredState};
    use share::state::{Initialize, Summary, WriteState};

    use super::*;

    fn over_the_wire<M: Encodable + Decodable>(message: &M, version: i16) -> M {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).unwrap();
        M::decode(&mut bytes.freeze(), version).unwrap()
    }

    /// What is asked and answered comes over, for two partitions of a topic and one of another.
    fn comes_over<Q>(asked: [Q; 3], answer: Q::Answer)
    where
        Q: Question + Debug,
        Q::Request: Decodable,
        Q::Response: Decodable + Encodable,
        Q::Answer: PartialEq + Debug,
    {
        let of = [(7, 2), (7, 0), (9, 1)].map(|(id, index)| partition(Uuid::from_u128(id), index));
        let asked: Vec<_> = of.into_iter().zip(asked).collect();
        let request = over_the_wire(&Q::request("group", asked.clone()), Q::VERSION);
        let (group, read) = Q::read(request);
        assert_eq!(group, "group");
        assert_eq!(format!("{read:?}"), format!("{asked:?}"));
        let fenced = Err(ResponseError::FencedStateEpoch);
        let answers = of.into_iter().zip([Ok(answer.clone()), fenced, Ok(answer)]);
        let answers: Vec<_> = answers.collect();
        let response = over_the_wire(&Q::response(answers.clone()), Q::VERSION);
        assert_eq!(Q::answers(response), answers.into_iter().collect());
    }

    fn batch(first_offset: i64, delivery_state: i8) -> StateBatch {
        StateBatch {
            first_offset,
            last_offset: first_offset + 4,
            delivery_state,
            delivery_count: 3,
        }
    }

    #[test]
    fn changes_come_over() {
        let with = |state_epoch| Initialize {
            state_epoch,
            start_offset: 40 - i64::from(state_epoch),
        };
        comes_over([with(1), with(2), with(-1)], ());
        let write = |state_epoch| WriteState {
            state_epoch,
            leader_epoch: state_epoch + 1,
            start_offset: -1,
            batches: vec![batch(5, 2), batch(20, 4)],
        };
        comes_over([write(1), write(2), write(-1)], ());
        comes_over([Delete; 3], ());
    }

    #[test]
    fn what_is_stored_comes_over() {
        let stored = StoredState {
            state_epoch: 4,
            start_offset: 5,
            batches: vec![batch(5, 2), batch(20, 0)],
        };
        comes_over(
            [1, 2, 3].map(|leader_epoch| ReadIn { leader_epoch }),
            stored,
        );
        let summary = Summary {
            state_epoch: 4,
            leader_epoch: 9,
            start_offset: 5,
        };
        comes_over([Summarize; 3], summary);
    }
}
