//! The end of a transaction in the partitions that this node leads.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use txn::Producer;

use crate::api::error::Refusal;
use crate::partition::{Outcome, PartitionId};
use crate::shard::Shard;

/// How long a marker may take to be committed before whoever wants it is told to try again. It stays in
/// the log, and a second one does no harm.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A transaction's end as it is written into a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The producer, with the epoch of the marker.
    pub(crate) producer: Producer,
    /// The epoch of the coordinator that decided.
    pub(crate) coordinator_epoch: i32,
    /// Commit, or abort.
    pub(crate) commit: bool,
}

impl Shard {
    /// Writes the end of a transaction into a partition that this node leads, and waits until it is
    /// committed.
    ///
    /// # Errors
    /// Kafka's, for `WriteTxnMarkers`.
    pub(crate) async fn end_transaction(
        self: &Rc<Self>,
        topic: &str,
        index: i32,
        ending: Ending,
    ) -> Result<(), ResponseError> {
        let (owner, id) = self.find(topic, index)?;
        let done = self.run_on(owner, move |shard| {
            let begun = shard.begin_end(id, ending);
            async move {
                let Some(committed) = begun? else {
                    return Ok(());
                };
                match rt::time::timeout(COMMIT_TIMEOUT, committed).await {
                    Ok(Ok(Ok(()))) => Ok(()),
                    Ok(Ok(Err(error))) => Err(Refusal::from(error).error),
                    Ok(Err(_)) => Err(ResponseError::NotLeaderOrFollower),
                    Err(_) => Err(ResponseError::RequestTimedOut),
                }
            }
        });
        done.await
    }

    /// Appends the marker; gives what completes when it is committed, unless it is already.
    fn begin_end(
        self: &Rc<Self>,
        id: PartitionId,
        ending: Ending,
    ) -> Result<Option<rt::sync::oneshot::Receiver<Outcome>>, ResponseError> {
        let refused = |refusal: Refusal| refusal.error;
        let partition = self.partition(id).map_err(|error| refused(error.into()))?;
        let Producer {
            id: producer,
            epoch,
        } = ending.producer;
        let appended = partition.end_transaction(
            producer,
            epoch,
            ending.coordinator_epoch,
            ending.commit,
            rt::time::wall_ms(),
        );
        let appended = appended.map_err(|error| refused(error.into()))?;
        let coordinators = self.coordinators();
        coordinators.transaction_ended(&partition, producer, epoch, ending.commit);
        Ok(appended.acked)
    }
}
