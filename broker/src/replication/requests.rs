//! What partitions ask of the controller: other ISRs, and the end of a leadership.
//!
//! One call is under way at a time, with all that has come up meanwhile, so that the controller hears a
//! partition's requests in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use replica::{IsrAnswer, IsrChange};
use rt::sync::Notify;

use super::Replication;
use crate::partition::PartitionId;

/// What is to be asked. Of one partition only the latest counts.
#[derive(Default)]
pub(super) struct Requests {
    changes: RefCell<BTreeMap<PartitionId, IsrChange>>,
    changed: Notify,
    resigned: RefCell<BTreeMap<PartitionId, i32>>,
    resigns: Notify,
}

impl Requests {
    pub(super) fn alter(&self, partition: PartitionId, change: IsrChange) {
        self.changes.borrow_mut().insert(partition, change);
        self.changed.notify_one();
    }

    pub(super) fn resign(&self, partition: PartitionId, leader_epoch: i32) {
        self.resigned.borrow_mut().insert(partition, leader_epoch);
        self.resigns.notify_one();
    }
}

impl Replication {
    pub(super) async fn alter_for_ever(self: Rc<Self>) {
        while !self.is_stopped() {
            self.requests.changed.notified().await;
            let changes = std::mem::take(&mut *self.requests.changes.borrow_mut());
            if changes.is_empty() {
                continue;
            }
            // Sizes are taken now: the metadata may tell of the change before the answer does.
            let size = |id| self.host.partition(id).map(|partition| partition.isr_len());
            let asked: Vec<_> = changes
                .iter()
                .map(|(id, change)| (*id, change.request, size(*id), change.isr.len()))
                .collect();
            let answers = self.host.alter_isr(changes.into_iter().collect()).await;
            for ((id, request, before, after), answer) in asked.into_iter().zip(answers) {
                if let (IsrAnswer::Accepted { .. }, Some(before)) = (answer, before) {
                    self.counts.isr_changed(before, after);
                }
                if let Some(partition) = self.host.partition(id) {
                    partition.isr_answer(request, answer);
                }
            }
        }
    }

    pub(super) async fn resign_for_ever(self: Rc<Self>) {
        while !self.is_stopped() {
            self.requests.resigns.notified().await;
            loop {
                let next = self.requests.resigned.borrow_mut().pop_first();
                let Some((partition, leader_epoch)) = next else {
                    break;
                };
                self.host.resign(partition, leader_epoch).await;
            }
        }
    }
}
