//! The questions about what is stored: ReadShareGroupState and ReadShareGroupStateSummary.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ReadShareGroupStateRequest, ReadShareGroupStateResponse, ReadShareGroupStateSummaryRequest,
    ReadShareGroupStateSummaryResponse, read_share_group_state_request as reads,
    read_share_group_state_response as was_read,
    read_share_group_state_summary_request as summarizes,
    read_share_group_state_summary_response as summarized,
};
use kafka_protocol::protocol::StrBytes;
use share::TopicIdPartition;
use share::partition::{StateBatch, StoredState};
use share::state::{Ask, Reply, ShareKey, Summary};

use super::{Answers, Question, by_topic, code, partition, result, stray};
use crate::share_state::gathering::{Gathered, Gathering};

/// All that is stored, for the leader in this epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadIn {
    pub(crate) leader_epoch: i32,
}

/// The leader epoch of somebody who doesn't lead.
const NO_EPOCH: i32 = -1;

/// The little that others are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summarize;

impl Question for ReadIn {
    type Answer = StoredState;
    type Request = ReadShareGroupStateRequest;
    type Response = ReadShareGroupStateResponse;

    const VERSION: i16 = 0;

    fn gathering(all: &Gathered) -> &Gathering<Self> {
        &all.reads
    }

    fn ask(self, key: ShareKey) -> Ask {
        Ask::Read(key, self.leader_epoch)
    }

    fn answer(reply: Reply) -> Result<StoredState, ResponseError> {
        match reply {
            Reply::Read(answer) => answer,
            other @ (Reply::Done(_) | Reply::Summary(_)) => stray(&other),
        }
    }

    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request {
        let row = |index, asked: Self| {
            reads::PartitionData::default()
                .with_partition(index)
                .with_leader_epoch(asked.leader_epoch)
        };
        let topic = |(id, rows)| {
            reads::ReadStateData::default()
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
                        leader_epoch: row.leader_epoch,
                    },
                ));
            }
        }
        (request.group_id.to_string(), asked)
    }

    fn response(
        answers: Vec<(TopicIdPartition, Result<StoredState, ResponseError>)>,
    ) -> Self::Response {
        let row = |index, answer: Result<StoredState, ResponseError>| {
            let row = was_read::PartitionResult::default()
                .with_partition(index)
                .with_error_code(code(&answer));
            match answer {
                Ok(found) => row
                    .with_state_epoch(found.state_epoch)
                    .with_start_offset(found.start_offset)
                    .with_state_batches(found.batches.iter().map(sent).collect()),
                Err(_) => row,
            }
        };
        let topic = |(id, rows)| {
            was_read::ReadStateResult::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        let topics = by_topic(answers, row).map(topic);
        Self::Response::default().with_results(topics.collect())
    }

    fn answers(response: Self::Response) -> Answers<StoredState> {
        let mut answers = Answers::new();
        for topic in response.results {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                let found = StoredState {
                    state_epoch: row.state_epoch,
                    start_offset: row.start_offset,
                    batches: row.state_batches.iter().map(taken).collect(),
                };
                answers.insert(of, result(row.error_code, found));
            }
        }
        answers
    }
}

fn sent(batch: &StateBatch) -> was_read::StateBatch {
    was_read::StateBatch::default()
        .with_first_offset(batch.first_offset)
        .with_last_offset(batch.last_offset)
        .with_delivery_state(batch.delivery_state)
        .with_delivery_count(batch.delivery_count)
}

fn taken(batch: &was_read::StateBatch) -> StateBatch {
    StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    }
}

impl Question for Summarize {
    type Answer = Summary;
    type Request = ReadShareGroupStateSummaryRequest;
    type Response = ReadShareGroupStateSummaryResponse;

    const VERSION: i16 = 0;

    fn gathering(all: &Gathered) -> &Gathering<Self> {
        &all.summaries
    }

    fn ask(self, key: ShareKey) -> Ask {
        Ask::Summary(key)
    }

    fn answer(reply: Reply) -> Result<Summary, ResponseError> {
        match reply {
            Reply::Summary(answer) => answer,
            other @ (Reply::Done(_) | Reply::Read(_)) => stray(&other),
        }
    }

    fn request(group: &str, asked: Vec<(TopicIdPartition, Self)>) -> Self::Request {
        let row = |index, Self: Self| {
            summarizes::PartitionData::default()
                .with_partition(index)
                .with_leader_epoch(NO_EPOCH)
        };
        let topic = |(id, rows)| {
            summarizes::ReadStateSummaryData::default()
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

    fn response(
        answers: Vec<(TopicIdPartition, Result<Summary, ResponseError>)>,
    ) -> Self::Response {
        let row = |index, answer: Result<Summary, ResponseError>| {
            let row = summarized::PartitionResult::default()
                .with_partition(index)
                .with_error_code(code(&answer));
            match answer {
                Ok(found) => row
                    .with_state_epoch(found.state_epoch)
                    .with_leader_epoch(found.leader_epoch)
                    .with_start_offset(found.start_offset),
                Err(_) => row,
            }
        };
        let topic = |(id, rows)| {
            summarized::ReadStateSummaryResult::default()
                .with_topic_id(id)
                .with_partitions(rows)
        };
        let topics = by_topic(answers, row).map(topic);
        Self::Response::default().with_results(topics.collect())
    }

    fn answers(response: Self::Response) -> Answers<Summary> {
        let mut answers = Answers::new();
        for topic in response.results {
            for row in topic.partitions {
                let of = partition(topic.topic_id, row.partition);
                let found = Summary {
                    state_epoch: row.state_epoch,
                    leader_epoch: row.leader_epoch,
                    start_offset: row.start_offset,
                };
                answers.insert(of, result(row.error_code, found));
            }
        }
        answers
    }
}
