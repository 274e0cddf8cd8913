//! OffsetCommit and TxnOffsetCommit.

use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use uuid::Uuid;

use super::Committed;
use crate::Reply;
use crate::group::{Committer, Group};
use crate::records::offset::Key;
use crate::state::State;
use crate::step::Step;

/// A partition of a commit, and what is to be committed, or why not.
type Wanted = (i32, Result<Committed, ResponseError>);

/// What either request says of a partition.
struct Offered {
    index: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Box<str>,
}

impl State {
    /// OffsetCommit.
    pub(crate) fn commit(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        version: i16,
        request: OffsetCommitRequest,
    ) {
        let result = self.commit_checked(step, version, &request);
        let codes = result.unwrap_or_else(|error| {
            vec![error.code(); partitions(&request.topics, |topic| &topic.partitions)]
        });
        step.reply(from, Reply::Commit(committed(&request, codes)));
    }

    /// The error codes of the request's partitions in their order, or the one of all of them.
    fn commit_checked(
        &mut self,
        step: &mut Step<'_, '_>,
        version: i16,
        request: &OffsetCommitRequest,
    ) -> Result<Vec<i16>, ResponseError> {
        let group_id = request.group_id.as_str();
        let committer = Committer {
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            version: Some(version),
        };
        let missing = if version >= 9 {
            ResponseError::GroupIdNotFound
        } else {
            ResponseError::IllegalGeneration
        };
        let group = self.group_for_commit(step, group_id, &committer, missing)?;
        group.committed(step, committer.member_id);
        let expire_ms = (request.retention_time_ms != -1)
            .then(|| step.wall_ms().saturating_add(request.retention_time_ms));
        let one = |partition: &OffsetCommitRequestPartition| Offered {
            index: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: metadata(partition.committed_metadata.as_deref()),
        };
        let wanted = |topic: &OffsetCommitRequestTopic| {
            let topic_id = id_of(step, &topic.name, topic.topic_id);
            wanted(step, topic_id, expire_ms, topic.partitions.iter().map(one))
        };
        let topics = request.topics.iter();
        let wanted: Vec<_> = topics
            .map(|topic| (topic.name.as_str(), wanted(topic)))
            .collect();
        self.write_commits(step, group_id, None, wanted)
    }

    /// TxnOffsetCommit.
    pub(crate) fn commit_of_transaction(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: TxnOffsetCommitRequest,
    ) {
        let result = self.commit_of_transaction_checked(step, &request);
        let codes = result.unwrap_or_else(|error| {
            vec![error.code(); partitions(&request.topics, |topic| &topic.partitions)]
        });
        step.reply(
            from,
            Reply::TxnCommit(committed_of_transaction(&request, codes)),
        );
    }

    fn commit_of_transaction_checked(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &TxnOffsetCommitRequest,
    ) -> Result<Vec<i16>, ResponseError> {
        let group_id = request.group_id.as_str();
        if group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let committer = Committer {
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            version: None,
        };
        let producer = (request.producer_id.0, request.producer_epoch);
        if producer.0 < 0 || producer.1 < 0 {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if self.offsets.epochs.is_over(producer.0, producer.1) {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        self.group_for_commit(step, group_id, &committer, ResponseError::IllegalGeneration)
            .map_err(|error| match error {
                ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
                other => other,
            })?;
        let one = |partition: &TxnOffsetCommitRequestPartition| Offered {
            index: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: metadata(partition.committed_metadata.as_deref()),
        };
        let wanted = |topic: &TxnOffsetCommitRequestTopic| {
            let topic_id = id_of(step, &topic.name, Uuid::nil());
            wanted(step, topic_id, None, topic.partitions.iter().map(one))
        };
        let topics = request.topics.iter();
        let wanted: Vec<_> = topics
            .map(|topic| (topic.name.as_str(), wanted(topic)))
            .collect();
        self.write_commits(step, group_id, Some(producer), wanted)
    }

    /// The group if this one may commit to it; made if it isn't there and the committer is no member of any.
    fn group_for_commit(
        &mut self,
        step: &Step<'_, '_>,
        group_id: &str,
        committer: &Committer<'_>,
        missing: ResponseError,
    ) -> Result<&mut Group, ResponseError> {
        if self.groups.contains_key(group_id) {
            let group = self.group_mut(group_id).ok_or(missing)?;
            group.may_commit(committer)?;
            return Ok(group);
        }
        if committer.generation >= 0 {
            return Err(missing);
        }
        let group = Group::new_classic(group_id, step.wall_ms());
        group.may_commit(committer)?;
        Ok(self.insert(group_id, group))
    }

    fn write_commits(
        &mut self,
        step: &mut Step<'_, '_>,
        group: &str,
        producer: Option<(i64, i16)>,
        wanted: Vec<(&str, Vec<Wanted>)>,
    ) -> Result<Vec<i16>, ResponseError> {
        let mut codes = Vec::new();
        let mut records = Vec::new();
        for (topic, partitions) in &wanted {
            for (partition, committed) in partitions {
                let key = Key {
                    group,
                    topic,
                    partition: *partition,
                };
                codes.push(committed.as_ref().map_or_else(ResponseError::code, |_| 0));
                records.extend(
                    committed
                        .as_ref()
                        .ok()
                        .map(|committed| key.record(committed)),
                );
            }
        }
        if !step.fit(&records) {
            // What Kafka makes of a batch that is larger than the topic takes.
            return Err(ResponseError::UnknownServerError);
        }
        self.figures.commits += records.len() as u64;
        match producer {
            Some(producer) => step.write_of(producer, records),
            None => step.write(records),
        }
        for (topic, partitions) in wanted {
            for (partition, committed) in partitions {
                match (committed, producer) {
                    (Ok(committed), None) => {
                        self.offsets.put(group, topic, partition, committed, None);
                    }
                    (Ok(committed), Some(producer)) => {
                        self.offsets.put_pending(
                            producer,
                            (group, topic, partition),
                            committed,
                            None,
                        );
                    }
                    (Err(_), _) => {}
                }
            }
        }
        Ok(codes)
    }
}

fn metadata(metadata: Option<&str>) -> Box<str> {
    metadata.unwrap_or_default().into()
}

/// What is to be committed of a topic's partitions, in their order.
fn wanted(
    step: &Step<'_, '_>,
    topic_id: Uuid,
    expire_ms: Option<i64>,
    offered: impl Iterator<Item = Offered>,
) -> Vec<Wanted> {
    let one = |offered: Offered| {
        let committed = Committed {
            offset: offered.offset,
            leader_epoch: offered.leader_epoch,
            metadata: offered.metadata,
            commit_ms: step.wall_ms(),
            expire_ms,
            topic_id,
            order: 0,
        };
        (offered.index, sized(step, committed))
    };
    offered.map(one).collect()
}

/// Refuses metadata that is too long; like Kafka in UTF-16.
fn sized(step: &Step<'_, '_>, committed: Committed) -> Result<Committed, ResponseError> {
    let most = step.settings.offset_metadata_max_bytes;
    if committed.metadata.len() > most && committed.metadata.encode_utf16().count() > most {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(committed)
}

/// The topic's id as the client said it, or as it is now.
fn id_of(step: &Step<'_, '_>, topic: &str, said: Uuid) -> Uuid {
    if !said.is_nil() {
        return said;
    }
    step.world
        .topics
        .by_name(topic)
        .map_or(Uuid::nil(), |topic| topic.id)
}

fn partitions<T, P>(topics: &[T], of: impl Fn(&T) -> &Vec<P>) -> usize {
    topics.iter().map(|topic| of(topic).len()).sum()
}

fn committed(request: &OffsetCommitRequest, codes: Vec<i16>) -> OffsetCommitResponse {
    let mut codes = codes.into_iter();
    let topic = |topic: &OffsetCommitRequestTopic| {
        let partition = |(partition, code): (&OffsetCommitRequestPartition, i16)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        };
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(
                topic
                    .partitions
                    .iter()
                    .zip(&mut codes)
                    .map(partition)
                    .collect(),
            )
    };
    OffsetCommitResponse::default().with_topics(request.topics.iter().map(topic).collect())
}

fn committed_of_transaction(
    request: &TxnOffsetCommitRequest,
    codes: Vec<i16>,
) -> TxnOffsetCommitResponse {
    let mut codes = codes.into_iter();
    let topic = |topic: &TxnOffsetCommitRequestTopic| {
        let partition = |(partition, code): (&TxnOffsetCommitRequestPartition, i16)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(
                topic
                    .partitions
                    .iter()
                    .zip(&mut codes)
                    .map(partition)
                    .collect(),
            )
    };
    TxnOffsetCommitResponse::default().with_topics(request.topics.iter().map(topic).collect())
}
