//! The shells of coordinators: each runs a [`coordinator::Core`] on the shard that owns its partition of
//! an internal topic, for as long as this node leads that partition.
//!
//! Owns the life of a core: made when leadership begins, given the partition's log, asked, dropped when
//! leadership ends or a record can't be stored. Owns its log's appends, its timer, and the answers that
//! wait until what they rest on is committed. A step of a core never waits; nothing a client is told
//! can be taken back by a failover.
//!
//! It must not know what a core decides, and must not hold a borrow of its state while it calls its host.

mod append;
mod asking;
mod driving;
mod held;
mod host;
mod internal;
mod kind;
mod loading;
mod metrics;
mod running;
mod table;
#[cfg(test)]
mod tests;
mod topics;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use share::state::ShareStates;

use crate::partition::Partition;
use crate::shard::Shard;
pub use internal::Internal;
use kind::Kind;
use metrics::Counted;
pub use metrics::{CoordinatorMetrics, CoordinatorReport, LoadCounts};
use table::Table;

/// Why a coordinator doesn't answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorError {
    /// Another node leads the partition that has the key, or none; the client finds out which.
    #[error("this node isn't the coordinator of that key; find the coordinator anew")]
    NotCoordinator,
    /// The partition's log is being read.
    #[error("the coordinator is reading its log; try again")]
    Loading,
    /// What was asked for could not be stored with enough replicas, or not in time.
    #[error("the coordinator could not store it with its replicas in time; try again")]
    NotAvailable,
    /// The transaction that it was to be part of has ended.
    #[error("the transaction has ended; begin another")]
    TransactionEnded,
    /// It would have taken a record that is larger than the log takes.
    #[error("what is to be stored is larger than a log takes; send less at a time")]
    TooLarge,
}

impl CoordinatorError {
    /// Kafka's error.
    pub fn error(self) -> ResponseError {
        match self {
            Self::NotCoordinator => ResponseError::NotCoordinator,
            Self::Loading => ResponseError::CoordinatorLoadInProgress,
            Self::NotAvailable => ResponseError::CoordinatorNotAvailable,
            Self::TransactionEnded => ResponseError::TransactionAbortable,
            Self::TooLarge => ResponseError::UnknownServerError,
        }
    }

    /// Kafka's error code.
    pub fn code(self) -> i16 {
        self.error().code()
    }
}

/// The coordinators of one shard.
#[derive(Default)]
pub struct Coordinators {
    groups: Table<group::Groups>,
    transactions: Table<txn::Transactions>,
    share_states: Table<ShareStates>,
    /// Counts the changes of topics.
    topics_version: Cell<i64>,
    /// Internal topics that are being made on behalf of this shard.
    making: RefCell<BTreeSet<Internal>>,
    /// What is counted.
    pub metrics: CoordinatorMetrics,
}

impl Coordinators {
    /// Takes the part that this node has in a partition by now.
    pub(crate) fn follow(shard: &Rc<Shard>, partition: &Rc<Partition>) {
        match Internal::of_name(partition.topic()) {
            Some(Internal::ConsumerOffsets) => Table::<group::Groups>::follow(shard, partition),
            Some(Internal::TransactionState) => {
                Table::<txn::Transactions>::follow(shard, partition);
            }
            Some(Internal::ShareGroupState) => Table::<ShareStates>::follow(shard, partition),
            None => {}
        }
    }

    /// A partition is about to leave this shard.
    pub(crate) fn removed(&self, partition: &Partition) {
        let index = partition.id().index;
        match Internal::of_name(partition.topic()) {
            Some(Internal::ConsumerOffsets) => self.groups.end(index),
            Some(Internal::TransactionState) => self.transactions.end(index),
            Some(Internal::ShareGroupState) => self.share_states.end(index),
            None => {}
        }
    }

    /// A topic was made, deleted or given partitions.
    pub(crate) fn topics_changed(&self) {
        self.topics_version.set(self.topics_version.get() + 1);
        self.groups.topics_changed();
        self.transactions.topics_changed();
        self.share_states.topics_changed();
    }

    /// The broker's settings changed.
    pub(crate) fn settings_changed(&self) {
        self.groups.settings_changed();
        self.transactions.settings_changed();
        self.share_states.settings_changed();
    }

    /// What there is to tell of them.
    pub fn report(&self) -> CoordinatorReport {
        let mut report = CoordinatorReport {
            loads: self.metrics.loads(),
            groups: self.metrics.retired_groups.all(),
            transactions: self.metrics.retired_transactions.all(),
            ..CoordinatorReport::default()
        };
        for running in self.groups.all() {
            if let Some(figures) = running.look_at(group::Groups::figures) {
                report.groups.add(&figures);
            }
        }
        for running in self.transactions.all() {
            if let Some(figures) = running.look_at(txn::Transactions::figures) {
                report.transactions.add(&figures);
            }
        }
        let of_kinds = [
            self.groups.counts(),
            self.transactions.counts(),
            self.share_states.counts(),
        ];
        for (serving, loading) in of_kinds {
            report.serving += serving;
            report.loading += loading;
        }
        report
    }

    /// The node is stopping: whoever waits is told that it isn't the coordinator any more.
    pub(crate) fn stop(&self) {
        self.groups.end_all();
        self.transactions.end_all();
        self.share_states.end_all();
    }

    /// A marker that ends a producer's transaction was appended to a partition of an internal topic.
    pub fn transaction_ended(
        &self,
        partition: &Partition,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    ) {
        if partition.topic() == Internal::ConsumerOffsets.name() {
            let index = partition.id().index;
            self.groups
                .transaction_ended(index, producer_id, producer_epoch, committed);
        }
    }
}

/// The coordinators of `K` on a shard.
fn table<K: Kind>(shard: &Shard) -> &Table<K> {
    K::table(shard.coordinators())
}
