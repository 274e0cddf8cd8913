//! What becomes of the partitions when a broker comes, goes, stops or loses a drive. Pure, like
//! `core`.
//!
//! A broker that is fenced or about to stop is in no set of in-sync replicas that has other
//! members, and leads nothing; nor does a replica on a drive that isn't online. The last member of
//! a set stays in it without leading, so that it leads again when it is back.

use uuid::Uuid;

use super::core::Controller;
use super::election::Target;
use super::error::MetaError;
use super::record::{BrokerChangeRecord, BrokerRecord, Record, UnregisterBrokerRecord};

impl Controller<'_> {
    /// Takes a broker out of all partitions: it isn't heard of any more. Nothing when it is fenced.
    ///
    /// # Errors
    /// [`MetaError::BrokerNotRegistered`].
    pub fn fence(&self, node: i32) -> Result<Vec<Record>, MetaError> {
        let before = self.registered(node)?;
        let after = BrokerRecord {
            fenced: true,
            ..before.clone()
        };
        Ok(self.change_broker(before, &after))
    }

    /// Lets a broker lead and be in sync again; it leads at once where it is the last that was in
    /// sync. Nothing when it is active.
    ///
    /// # Errors
    /// [`MetaError::BrokerNotRegistered`].
    pub fn unfence(&self, node: i32) -> Result<Vec<Record>, MetaError> {
        let before = self.registered(node)?;
        let after = BrokerRecord {
            fenced: false,
            in_controlled_shutdown: false,
            ..before.clone()
        };
        Ok(self.change_broker(before, &after))
    }

    /// Gives away everything that a broker leads, before it stops.
    ///
    /// # Errors
    /// [`MetaError::BrokerNotRegistered`].
    pub fn controlled_shutdown(&self, node: i32) -> Result<Vec<Record>, MetaError> {
        let before = self.registered(node)?;
        let after = BrokerRecord {
            in_controlled_shutdown: true,
            ..before.clone()
        };
        Ok(self.change_broker(before, &after))
    }

    /// Notes that drives of a broker have failed, and moves what it leads on them. They stay failed
    /// until the broker starts again. Ids that aren't its drives are ignored.
    ///
    /// # Errors
    /// [`MetaError::BrokerNotRegistered`].
    pub fn drives_failed(&self, node: i32, drives: &[Uuid]) -> Result<Vec<Record>, MetaError> {
        let before = self.registered(node)?;
        Ok(self.change_broker(before, &with_failed(before, drives)))
    }

    /// Takes a broker out of the cluster. Its replicas stay assigned to it; what they need is a
    /// reassignment, or a broker that registers with its id.
    ///
    /// # Errors
    /// [`MetaError::BrokerNotRegistered`].
    pub fn unregister_broker(&self, node: i32) -> Result<Vec<Record>, MetaError> {
        let before = self.registered(node)?;
        let mut records = self.follow_broker(node, None);
        records.push(Record::UnregisterBroker(UnregisterBrokerRecord {
            node_id: node,
            epoch: before.epoch,
        }));
        Ok(records)
    }

    /// The changes that bring a registered broker to what it is `after`, epoch and drives as before.
    pub(crate) fn change_broker(&self, before: &BrokerRecord, after: &BrokerRecord) -> Vec<Record> {
        let changed = |differs: bool, value: bool| differs.then_some(value);
        let change = BrokerChangeRecord {
            node_id: before.node_id,
            epoch: before.epoch,
            fenced: changed(before.fenced != after.fenced, after.fenced),
            in_controlled_shutdown: changed(
                before.in_controlled_shutdown != after.in_controlled_shutdown,
                after.in_controlled_shutdown,
            ),
            offline_drives: (before.offline_drives != after.offline_drives)
                .then(|| after.offline_drives.clone()),
        };
        if before == after {
            return Vec::new();
        }
        self.with_partitions(after, Record::BrokerChange(change))
    }

    /// `record`, which makes a broker what it is `after`, and what follows for its partitions.
    pub(crate) fn with_partitions(&self, after: &BrokerRecord, record: Record) -> Vec<Record> {
        let node = after.node_id;
        let leads = |change: &Record| match change {
            Record::PartitionChange(change) => change.leader == Some(node),
            _ => false,
        };
        // After every record, whoever leads may lead.
        let changes = self.follow_broker(node, Some(after)).into_iter();
        let (gained, mut records): (Vec<Record>, Vec<Record>) = changes.partition(leads);
        records.push(record);
        records.extend(gained);
        records
    }

    /// What becomes of the partitions with a replica on `node` when the broker is as `after`, or
    /// gone.
    fn follow_broker(&self, node: i32, after: Option<&BrokerRecord>) -> Vec<Record> {
        let online = |drive| after.is_some_and(|b| b.is_active() && b.has_online(drive));
        let unclean = self.unclean_rule();
        let mut records = Vec::new();
        for (topic, index, state) in self.partitions() {
            let Some(drive) = state.directory_on(node) else {
                continue;
            };
            let stays = online(drive);
            if stays && state.leader != -1 {
                continue;
            }
            let mut target = Target::new(topic.id, index, state);
            target.isr.retain(|&member| stays || member != node);
            let change = target.decide(
                |other, drive| match other == node {
                    true => online(drive),
                    false => self.image.is_online(other, drive),
                },
                || unclean.allows(&topic.name),
            );
            records.extend(change.map(Record::PartitionChange));
        }
        records
    }

    pub(crate) fn registered(&self, node: i32) -> Result<&BrokerRecord, MetaError> {
        self.image
            .broker(node)
            .ok_or(MetaError::BrokerNotRegistered(node))
    }
}

/// The broker with these of its drives failed, too.
pub(crate) fn with_failed(broker: &BrokerRecord, drives: &[Uuid]) -> BrokerRecord {
    let mut after = broker.clone();
    for &drive in drives {
        if after.has_online(drive) {
            after.offline_drives.push(drive);
        }
    }
    after
}
