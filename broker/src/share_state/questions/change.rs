//! The questions that change what is stored: InitializeShareGroupState, WriteShareGroupState and
//! DeleteShareGroupState.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    DeleteShareGroupStateRequest, DeleteShareGroupStateResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse, WriteShareGroupStateRequest, WriteShareGroupStateResponse,
    delete_share_group_state_request as forgets, delete_share_group_state_response as forgotten,
    initialize_share_group_state_request as begins, initialize_share_group_state_response as begun,
    write_share_group_state_request as writes, write_share_group_state_response as written,
};
use kafka_protocol::protocol::StrBytes;
use share::TopicIdPartition;
use share::partition::StateBatch;
use share::state::{Ask, Initialize, Reply, ShareKey, WriteState};

use super::{Answers, Question, by_topic, code, partition, result, stray};
use crate::share_state::gathering::{Gathered, Gathering};

/// Forgets a share-partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delete;

fn done(reply: Reply) -> Result<(), ResponseError> {
    match reply {
        Reply::Done(done) => done,
        other @ (Reply::Read(_) | Reply::Summary(_)) => stray(&other),
    }
}

impl Question for Initialize {
    type Answer = ();
    type Request = InitializeShareGroupStateRequest;
    type Response = InitializeShareGroupStateResponse;

    const VERSION: i16 = 0;

    fn gathering(all: &Gathered) -> &Gathering<Self> {
        &all.beginnings
    }

    fn ask(self, key: ShareKey) -> Ask {
        Ask::Initialize(key, self)
    }

    fn answer(reply: Reply) -> Result<(), ResponseError> {
        done(reply)
    }

    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request {
        let row = |index, with: Self| {
            begins::PartitionData::default()
                .with_partition(index)
                .with_state_epoch(with.state_epoch)
                .with_start_offset(with.start_offset)
        };
        let topic = |(id, rows)| {
            begins::InitializeStateData::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        Self::Request::default()
            .with_group_id(StrBytes::from_string(group.to_owned()))
            .with_topics(by_topic(asked, row).map(topic).collect())
    }

    fn read(request: Self::Request) -> (String, Vec<(TopicIdPartition, Self)>) {
        let mut asked = Vec::new();
        for topic in request.topics {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                asked.push((
                    of,
                    Self {
                        state_epoch: row.state_epoch,
                        start_offset: row.start_offset,
                    },
                ));
            }
        }
        (request.group_id.to_string(), asked)
    }

    fn response(answers: Vec<(TopicIdPartition, Result<(), ResponseError>)>) -> Self::Response {
        let row = |index, answer| {
            begun::PartitionResult::default()
                .with_partition(index)
                .with_error_code(code(&answer))
        };
        let topic = |(id, rows)| {
            begun::InitializeStateResult::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        let topics = by_topic(answers, row).map(topic);
        Self::Response::default().with_results(topics.collect())
    }

    fn answers(response: Self::Response) -> Answers<()> {
        let mut answers = Answers::new();
        for topic in response.results {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                answers.insert(of, result(row.error_code, ()));
            }
        }
        answers
    }
}

impl Question for WriteState {
    type Answer = ();
    type Request = WriteShareGroupStateRequest;
    type Response = WriteShareGroupStateResponse;

    const VERSION: i16 = 0;

    fn gathering(all: &Gathered) -> &Gathering<Self> {
        &all.writes
    }

    fn ask(self, key: ShareKey) -> Ask {
        Ask::Write(key, self)
    }

    fn answer(reply: Reply) -> Result<(), ResponseError> {
        done(reply)
    }

    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request {
        let row = |index, write: Self| {
            writes::PartitionData::default()
                .with_partition(index)
                .with_state_epoch(write.state_epoch)
                .with_leader_epoch(write.leader_epoch)
                .with_start_offset(write.start_offset)
                .with_state_batches(write.batches.iter().map(sent).collect())
        };
        let topic = |(id, rows)| {
            writes::WriteStateData::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        Self::Request::default()
            .with_group_id(StrBytes::from_string(group.to_owned()))
            .with_topics(by_topic(asked, row).map(topic).collect())
    }

    fn read(request: Self::Request) -> (String, Vec<(TopicIdPartition, Self)>) {
        let mut asked = Vec::new();
        for topic in request.topics {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                asked.push((
                    of,
                    Self {
                        state_epoch: row.state_epoch,
                        leader_epoch: row.leader_epoch,
                        start_offset: row.start_offset,
                        batches: row.state_batches.iter().map(taken).collect(),
                    },
                ));
            }
        }
        (request.group_id.to_string(), asked)
    }

    fn response(answers: Vec<(TopicIdPartition, Result<(), ResponseError>)>) -> Self::Response {
        let row = |index, answer| {
            written::PartitionResult::default()
                .with_partition(index)
                .with_error_code(code(&answer))
        };
        let topic = |(id, rows)| {
            written::WriteStateResult::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        let topics = by_topic(answers, row).map(topic);
        Self::Response::default().with_results(topics.collect())
    }

    fn answers(response: Self::Response) -> Answers<()> {
        let mut answers = Answers::new();
        for topic in response.results {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                answers.insert(of, result(row.error_code, ()));
            }
        }
        answers
    }
}

fn sent(batch: &StateBatch) -> writes::StateBatch {
    writes::StateBatch::default()
        .with_first_offset(batch.first_offset)
        .with_last_offset(batch.last_offset)
        .with_delivery_state(batch.delivery_state)
        .with_delivery_count(batch.delivery_count)
}

fn taken(batch: &writes::StateBatch) -> StateBatch {
    StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    }
}

impl Question for Delete {
    type Answer = ();
    type Request = DeleteShareGroupStateRequest;
    type Response = DeleteShareGroupStateResponse;

    const VERSION: i16 = 0;

    fn gathering(all: &Gathered) -> &Gathering<Self> {
        &all.deletions
    }

    fn ask(self, key: ShareKey) -> Ask {
        Ask::Delete(key)
    }

    fn answer(reply: Reply) -> Result<(), ResponseError> {
        done(reply)
    }

    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request {
        let row = |index, Self: Self| forgets::PartitionData::default().with_partition(index);
        let topic = |(id, rows)| {
            forgets::DeleteStateData::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        Self::Request::default()
            .with_group_id(StrBytes::from_string(group.to_owned()))
            .with_topics(by_topic(asked, row).map(topic).collect())
    }

    fn read(request: Self::Request) -> (String, Vec<(TopicIdPartition, Self)>) {
        let mut asked = Vec::new();
        for topic in request.topics {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                asked.push((of, Self));
            }
        }
        (request.group_id.to_string(), asked)
    }

    fn response(answers: Vec<(TopicIdPartition, Result<(), ResponseError>)>) -> Self::Response {
        let row = |index, answer| {
            forgotten::PartitionResult::default()
                .with_partition(index)
                .with_error_code(code(&answer))
        };
        let topic = |(id, rows)| {
            forgotten::DeleteStateResult::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        let topics = by_topic(answers, row).map(topic);
        Self::Response::default().with_results(topics.collect())
    }

    fn answers(response: Self::Response) -> Answers<()> {
        let mut answers = Answers::new();
        for topic in response.results {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                answers.insert(of, result(row.error_code, ()));
            }
        }
        answers
    }
}
