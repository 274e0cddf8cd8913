//! The brokers of an image.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::record::{
    BrokerChangeRecord, BrokerRecord, LastBrokerEpochRecord, Record, UnregisterBrokerRecord,
};
use super::{ApplyError, Image};

impl Image {
    /// The brokers, by node id.
    pub fn brokers(&self) -> &BTreeMap<i32, BrokerRecord> {
        &self.brokers
    }

    /// The broker of this node id, if one has registered.
    pub fn broker(&self, node: i32) -> Option<&BrokerRecord> {
        self.brokers.get(&node)
    }

    /// Whether `node` may lead partitions and be in sync: it has registered, and is neither fenced
    /// nor about to stop.
    pub fn is_active(&self, node: i32) -> bool {
        self.broker(node).is_some_and(BrokerRecord::is_active)
    }

    /// Whether a replica of `node` on `drive` may lead and be in sync.
    pub fn is_online(&self, node: i32, drive: Uuid) -> bool {
        self.broker(node)
            .is_some_and(|broker| broker.is_active() && broker.has_online(drive))
    }

    /// The highest epoch that a broker has had; 0 when none has had one.
    pub fn last_broker_epoch(&self) -> i64 {
        self.last_broker_epoch
    }

    pub(super) fn add_broker(&mut self, record: &BrokerRecord) -> Result<(), ApplyError> {
        let (node, epoch) = (record.node_id, record.epoch);
        if let Some(known) = self.broker(node).map(|broker| broker.epoch)
            && epoch < known
        {
            return Err(ApplyError::BrokerEpochBackwards { node, epoch, known });
        }
        self.last_broker_epoch = self.last_broker_epoch.max(epoch);
        self.brokers.insert(node, record.clone());
        Ok(())
    }

    pub(super) fn change_broker(&mut self, record: &BrokerChangeRecord) -> Result<(), ApplyError> {
        self.check_broker(record.node_id, record.epoch)?;
        if let Some(broker) = self.brokers.get_mut(&record.node_id) {
            broker.fenced = record.fenced.unwrap_or(broker.fenced);
            broker.in_controlled_shutdown = record
                .in_controlled_shutdown
                .unwrap_or(broker.in_controlled_shutdown);
            if let Some(drives) = &record.offline_drives {
                broker.offline_drives.clone_from(drives);
            }
        }
        Ok(())
    }

    pub(super) fn remove_broker(
        &mut self,
        record: UnregisterBrokerRecord,
    ) -> Result<(), ApplyError> {
        self.check_broker(record.node_id, record.epoch)?;
        self.brokers.remove(&record.node_id);
        Ok(())
    }

    fn check_broker(&self, node: i32, epoch: i64) -> Result<(), ApplyError> {
        let known = self.broker(node).map(|broker| broker.epoch);
        if known == Some(epoch) {
            return Ok(());
        }
        Err(ApplyError::UnknownBroker { node, epoch, known })
    }

    /// Records that make the brokers of this image out of none.
    pub(super) fn broker_records(&self) -> impl Iterator<Item = Record> {
        let epoch = self.last_broker_epoch;
        let known = self.brokers.values().map(|broker| broker.epoch).max();
        // Said apart only when no broker says it: a record more is a kind more that has to be known.
        let last = (epoch > known.unwrap_or(0)).then_some(LastBrokerEpochRecord { epoch });
        let brokers = self.brokers.values().cloned().map(Record::Broker);
        brokers.chain(last.map(Record::LastBrokerEpoch))
    }
}
