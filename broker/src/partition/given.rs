//! A partition as the metadata has it, kept for as long as it takes.

use replica::{Assignment, Peer};

/// An [`Assignment`] that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The leading node, -1 for none.
    pub leader: i32,
    /// Counts the leaders.
    pub leader_epoch: i32,
    /// Counts the changes.
    pub partition_epoch: i32,
    /// The nodes with a replica, in the order of the metadata.
    pub replicas: Vec<Peer>,
    /// The nodes whose replica is in sync.
    pub isr: Vec<i32>,
}

impl Given {
    /// A copy of what was given.
    pub fn of(given: &Assignment<'_>) -> Self {
        Self {
            leader: given.leader,
            leader_epoch: given.leader_epoch,
            partition_epoch: given.partition_epoch,
            replicas: given.replicas.to_vec(),
            isr: given.isr.to_vec(),
        }
    }

    /// As the core takes it.
    pub fn assignment(&self) -> Assignment<'_> {
        Assignment {
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            replicas: &self.replicas,
            isr: &self.isr,
        }
    }
}
