//! Share groups (KIP-932) where the data is: the share-partitions that this shard leads, and the share sessions of
//! the groups whose home it is.
//!
//! A share-partition is a partition as one group sees it. Its core is [`share::partition::SharePartition`];
//! the shell around it ([`part`]) lives on the shard that owns the partition, for as long as this node leads it
//! and the group has a session here. What has to survive goes to the share coordinator, wherever that is.
//!
//! All sessions of a group on this node are kept by one shard, the group's home: members come on connections of any
//! shard, and only where all of them are is it known when the last one is gone. Who serves a member asks the
//! home first, then the shards that own the partitions.
//!
//! It must not decide what a record's state becomes, and must not hold a borrow across an await.

mod acknowledging;
mod loading;
mod part;
mod reading;
mod sessions;
mod settings;
mod storing;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use kafka_protocol::ResponseError;

use crate::api::error::not_served;
use crate::partition::{Partition, PartitionId};
use crate::shard::Shard;
pub(crate) use acknowledging::{AckOf, Acknowledged, RELEASE, Said};
use part::SharePart;
pub(crate) use reading::{ShareRead, ShareReads, ShareWatch, SharedRecords};
pub(crate) use sessions::Fetching;
pub use sessions::Homes;

/// The share-partitions of one partition.
type ByGroup = BTreeMap<Rc<str>, Rc<SharePart>>;

/// What a shard has to do with share groups.
#[derive(Default)]
pub struct Shares {
    /// The share-partitions of this shard's partitions, by group.
    parts: RefCell<HashMap<PartitionId, ByGroup>>,
    /// The sessions of the groups whose home this shard is.
    pub(crate) homes: Homes,
    counts: Cell<ShareCounts>,
}

/// What a shard has of share groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareReport {
    /// What was counted.
    pub counts: ShareCounts,
    /// Share sessions of groups whose home this is, and the partitions they have.
    pub sessions: (usize, usize),
    /// Share-partitions that are led here.
    pub partitions: usize,
    /// Their records between the first that isn't done and the last that was given out.
    pub in_flight: u64,
}

/// What was counted of share groups on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareCounts {
    /// Records given to members, each time they are.
    pub delivered: u64,
    /// Records that members accepted.
    pub accepted: u64,
    /// Records that members gave back.
    pub released: u64,
    /// Records that members want nobody to have.
    pub rejected: u64,
    /// States stored.
    pub writes: u64,
    /// States that could not be stored.
    pub failed_writes: u64,
}

impl Shares {
    /// What there is to tell of them.
    pub fn report(&self) -> ShareReport {
        let parts = self.parts.borrow();
        let each = || parts.values().flat_map(BTreeMap::values);
        ShareReport {
            counts: self.counts.get(),
            sessions: self.homes.sizes(),
            partitions: each().count(),
            in_flight: each().map(|part| part.in_flight()).sum(),
        }
    }

    fn count(&self, add: impl FnOnce(&mut ShareCounts)) {
        let mut counts = self.counts.get();
        add(&mut counts);
        self.counts.set(counts);
    }

    fn get(&self, group: &str, id: PartitionId) -> Option<Rc<SharePart>> {
        self.parts.borrow().get(&id)?.get(group).map(Rc::clone)
    }

    /// Takes a share-partition out, unless another is in its place.
    fn remove(&self, part: &Rc<SharePart>) {
        let mut parts = self.parts.borrow_mut();
        if let Some(groups) = parts.get_mut(&part.id()) {
            if groups
                .get(part.group())
                .is_some_and(|there| Rc::ptr_eq(there, part))
            {
                groups.remove(part.group());
            }
            if groups.is_empty() {
                parts.remove(&part.id());
            }
        }
    }

    /// All of one partition.
    fn of_partition(&self, id: PartitionId) -> Vec<Rc<SharePart>> {
        let parts = self.parts.borrow();
        let groups = parts.get(&id).into_iter().flat_map(BTreeMap::values);
        groups.map(Rc::clone).collect()
    }

    /// All of one group.
    fn of_group(&self, group: &str) -> Vec<Rc<SharePart>> {
        let parts = self.parts.borrow();
        let of_group = parts.values().filter_map(|groups| groups.get(group));
        of_group.map(Rc::clone).collect()
    }

    /// Takes the part that this node has in a partition by now: what it knew as the leader of before is over.
    pub(crate) fn follow(&self, partition: &Partition) {
        for part in self.of_partition(partition.id()) {
            if !part.is_current(partition) {
                self.end(&part, ResponseError::NotLeaderOrFollower);
            }
        }
    }

    /// A partition is about to leave this shard.
    pub(crate) fn removed(&self, id: PartitionId) {
        for part in self.of_partition(id) {
            self.end(&part, ResponseError::NotLeaderOrFollower);
        }
    }

    /// A share-partition is none any more: whoever waits is told why.
    fn end(&self, part: &Rc<SharePart>, why: ResponseError) {
        self.remove(part);
        part.end(why);
    }
}

impl Shard {
    /// The share-partition of a partition that this shard leads, made if there is none.
    fn share_part(
        self: &Rc<Self>,
        group: &Rc<str>,
        id: PartitionId,
    ) -> Result<Rc<SharePart>, ResponseError> {
        let partition = self.led(id)?;
        if let Some(part) = self.shares.get(group, id) {
            if part.is_current(&partition) {
                return Ok(part);
            }
            self.shares.end(&part, ResponseError::NotLeaderOrFollower);
        }
        let part = SharePart::new(self, group, partition);
        let mut parts = self.shares.parts.borrow_mut();
        let groups = parts.entry(id).or_default();
        groups.insert(Rc::clone(group), Rc::clone(&part));
        drop(parts);
        part.begin();
        Ok(part)
    }

    /// A partition of this shard's that this node leads.
    fn led(&self, id: PartitionId) -> Result<Rc<Partition>, ResponseError> {
        let partition = self.partition(id);
        let partition = partition.map_err(|error| crate::api::error::Refusal::from(error).error)?;
        partition.check(-1, true).map_err(not_served)?;
        Ok(partition)
    }

    /// A group has no session on this node any more: what is stored of it may be changed from elsewhere, so nothing
    /// is kept of it here.
    fn retire_group(&self, group: &str) {
        for part in self.shares.of_group(group) {
            part.retire();
        }
    }
}
