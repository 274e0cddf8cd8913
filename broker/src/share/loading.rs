//! Reading what is stored of a share-partition, and finding where one begins that nothing is stored of.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use share::partition::SharePartition;

use super::part::SharePart;
use super::settings::Reset;
use super::storing::told;
use crate::api::error::{not_served, read_code};
use crate::shard::Shard;

/// How long to wait before the state is asked for again, where its coordinator isn't there.
const PAUSE: Duration = Duration::from_millis(200);
/// How often that is done before members are told.
const TRIES: usize = 20;

/// What the share coordinator says of a share-partition that its group has not begun.
const NEVER_BEGUN: ResponseError = ResponseError::InvalidRequest;

/// Whether it is worth asking again: the coordinator may come back, a new leader will know what is committed, and a
/// member that knows its topic by name may be earlier at a new one than its group is.
fn may_pass(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::CoordinatorNotAvailable | ResponseError::OffsetNotAvailable | NEVER_BEGUN
    )
}

impl SharePart {
    /// Has its state read.
    pub(super) fn begin(self: &Rc<Self>) {
        rt::task::spawn(Rc::clone(self).load()).detach();
    }

    async fn load(self: Rc<Self>) {
        let Some(shard) = self.shard() else { return };
        let mut tries = TRIES;
        let loaded = loop {
            match self.read_state(&shard).await {
                Err(error) if may_pass(error) && tries > 0 && !self.is_over() => {
                    tries -= 1;
                    rt::time::sleep(PAUSE).await;
                }
                other => break other,
            }
        };
        match loaded {
            Ok(core) => {
                self.serve(core);
                self.end_if_stored();
            }
            Err(error) => {
                let (group, topic) = (self.group(), self.partition.topic());
                let partition = self.id().index;
                if error == NEVER_BEGUN {
                    tracing::debug!(
                        group,
                        topic,
                        partition,
                        "a share-partition that never began is fetched from"
                    );
                } else {
                    tracing::warn!(group, topic, partition, %error, "the state of a share-partition could not be read");
                }
                // It stays in its place until somebody has been told. Members know nothing of coordinators here.
                self.end(match told(error) {
                    ResponseError::CoordinatorNotAvailable => ResponseError::UnknownServerError,
                    other => other,
                });
            }
        }
    }

    /// Whether nobody wants its state any more.
    fn is_over(&self) -> bool {
        self.has_ended() || self.is_retiring() || !self.is_current(&self.partition)
    }

    async fn read_state(&self, shard: &Rc<Shard>) -> Result<SharePartition, ResponseError> {
        let read = shard.share_state_read(self.group(), self.of(), self.leader_epoch);
        let mut stored = read.await?;
        if stored.start_offset < 0 {
            stored.start_offset = self.first_offset(shard).await?;
        }
        let settings = shard.share_settings(self.group()).partition;
        SharePartition::new(&stored, settings).map_err(|error| {
            let (group, topic) = (self.group(), self.partition.topic());
            let partition = self.id().index;
            tracing::error!(group, topic, partition, %error, "the stored state of a share-partition is damaged");
            ResponseError::UnknownServerError
        })
    }

    /// Where a group begins that has had nothing of the partition.
    async fn first_offset(&self, shard: &Rc<Shard>) -> Result<i64, ResponseError> {
        let partition = &self.partition;
        partition
            .check(self.leader_epoch, true)
            .map_err(not_served)?;
        match shard.share_settings(self.group()).reset {
            Reset::Earliest => Ok(partition.log().log_start()),
            Reset::Latest => partition.latest_offset().map_err(not_served),
            Reset::ByDuration(ms) => {
                let time = rt::time::wall_ms().saturating_sub(ms).max(0);
                let visible_end = partition.latest_offset().map_err(not_served)?;
                let found = partition.log().offset_for_time(time, visible_end).await;
                let found = found.map_err(|error| read_code(&error))?;
                Ok(found.map_or(visible_end, |found| found.offset))
            }
        }
    }
}
