//! Taking what members say of the records they have.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use rt::sync::oneshot;
use share::partition::AckBatch;
use uuid::Uuid;

use super::part::Outcome;
use crate::partition::PartitionId;
use crate::shard::Shard;

/// One batch of acknowledgements, as a request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The first offset.
    pub(crate) first: i64,
    /// The last offset.
    pub(crate) last: i64,
    /// One for all offsets, or one for each.
    pub(crate) types: Vec<i8>,
}

/// What a member says of records of one partition.
#[derive(Clone, Debug)]
pub(crate) struct AckOf {
    /// Where the outcome belongs in the request.
    pub(crate) place: usize,
    /// The partition.
    pub(crate) partition: PartitionId,
    /// The batches, in order.
    pub(crate) said: Vec<Said>,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// Where it belongs in the request.
    pub(crate) place: usize,
    /// Why it was not taken.
    pub(crate) outcome: Outcome,
}

/// The types of acknowledgements that are counted.
const ACCEPT: i8 = 1;
/// A record is given back.
pub(crate) const RELEASE: i8 = 2;
const REJECT: i8 = 3;

/// Acknowledgements that were taken: what tells that they are stored, if they have to be.
type Begun = Result<Option<oneshot::Receiver<Outcome>>, ResponseError>;

impl Shard {
    /// Takes acknowledgements for partitions of this shard's, at once; ready when they are stored.
    pub(crate) fn share_acknowledge(
        self: &Rc<Self>,
        group: &str,
        member: Uuid,
        acks: Vec<AckOf>,
    ) -> impl Future<Output = Vec<Acknowledged>> + use<> {
        let begun: Vec<_> = acks
            .into_iter()
            .map(|ack| (self.begin_acknowledging(group, member, &ack), ack))
            .collect();
        Rc::clone(self).end_acknowledging(begun)
    }

    async fn end_acknowledging(self: Rc<Self>, begun: Vec<(Begun, AckOf)>) -> Vec<Acknowledged> {
        let mut done = Vec::with_capacity(begun.len());
        for (begun, ack) in begun {
            let outcome = match begun {
                Ok(Some(stored)) => {
                    let gone = |_| Err(ResponseError::NotLeaderOrFollower);
                    stored.await.unwrap_or_else(gone)
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if outcome.is_ok() {
                self.count_acknowledged(&ack.said);
            }
            done.push(Acknowledged {
                place: ack.place,
                outcome,
            });
        }
        done
    }

    fn begin_acknowledging(self: &Rc<Self>, group: &str, member: Uuid, ack: &AckOf) -> Begun {
        self.led(ack.partition)?;
        // As in Kafka, where nothing was given to anybody.
        let part = self.shares.get(group, ack.partition);
        let part = part.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let batches = ack.said.iter().map(|said| AckBatch {
            first_offset: said.first,
            last_offset: said.last,
            types: &said.types,
        });
        let batches: Vec<_> = batches.collect();
        match part.step(|core| core.acknowledge(member, &batches))? {
            // Nothing was given out since its state was read.
            None => Err(ResponseError::InvalidRecordState),
            Some(Err(error)) => Err(error.error()),
            // The write is only begun by now.
            Some(Ok(ticket)) => Ok(ticket.map(|ticket| part.until(ticket))),
        }
    }

    /// Takes back what a member has of these partitions: its session is closed.
    pub(crate) fn share_release(&self, group: &str, member: Uuid, partitions: &[PartitionId]) {
        for id in partitions {
            if let Some(part) = self.shares.get(group, *id) {
                // What has ended has nothing that it could take back.
                let _ = part.step(|core| core.release(member));
            }
        }
    }

    fn count_acknowledged(&self, said: &[Said]) {
        self.shares.count(|counts| {
            for batch in said {
                let all = batch.last.abs_diff(batch.first) + 1;
                let each = if batch.types.len() == 1 { all } else { 1 };
                for kind in &batch.types {
                    match *kind {
                        ACCEPT => counts.accepted += each,
                        RELEASE => counts.released += each,
                        REJECT => counts.rejected += each,
                        _ => {}
                    }
                }
            }
        });
    }
}
