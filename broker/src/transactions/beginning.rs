//! The first batch of a transaction on a partition: it waits here for the coordinator's word.

use std::rc::Rc;

use batch::BatchInfo;
use bytes::BytesMut;
use rt::sync::oneshot;

use crate::partition::{Appended, Begun, Claim, Partition, ProduceError, Question};
use crate::shard::Shard;

/// An append that is done, or waits for the coordinator of its transaction.
pub(crate) enum Append {
    /// It is appended, or refused.
    Done(Result<Appended, ProduceError>),
    /// It will be; nothing comes if the partition goes away.
    Waits(oneshot::Receiver<Result<Appended, ProduceError>>),
}

/// Appends a client's batch to a partition of this shard's, as [`Partition::begin_append`], and has the
/// coordinator asked if it has to be.
pub(crate) fn append(
    shard: &Rc<Shard>,
    partition: &Rc<Partition>,
    (records, info, claim): (BytesMut, BatchInfo, Option<Claim>),
    now_ms: i64,
    all: bool,
) -> Append {
    match partition.begin_append(records, info, now_ms, all, claim) {
        Begun::Done(result) => Append::Done(result),
        Begun::Waits(told, question) => {
            if let Some(question) = question {
                ask(Rc::clone(shard), Rc::clone(partition), question);
            }
            Append::Waits(told)
        }
    }
}

fn ask(shard: Rc<Shard>, partition: Rc<Partition>, question: Question) {
    let asking = async move {
        let (topic, index) = (partition.topic(), partition.id().index);
        let mut next = Some(question);
        while let Some(question) = next {
            let Claim {
                transactional_id,
                add,
            } = &question.claim;
            let (id, epoch) = (question.producer_id, question.epoch);
            let answer = shard
                .verify_transaction(transactional_id, id, epoch, topic, index, *add)
                .await;
            next = partition.verified(&question, answer, rt::time::wall_ms());
        }
    };
    rt::task::spawn(asking).detach();
}
