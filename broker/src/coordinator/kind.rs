//! The kinds of coordinators: what each core needs of its shell that the others don't.

use std::rc::Rc;

use coordinator::Core;
use share::state::ShareStates;

use super::{Coordinators, Internal, Table};
use crate::config::BrokerConfig;
use crate::shard::Shard;

/// A kind of coordinator.
pub(crate) trait Kind: Core<Ask: Send, Reply: Send> + Sized {
    /// The topic that has its state.
    const TOPIC: Internal;

    /// Its part of the broker's settings; `leader_epoch` is its partition's.
    fn settings(config: &BrokerConfig, leader_epoch: i32) -> Self::Settings;

    /// Those of a shard.
    fn table(all: &Coordinators) -> &Table<Self>;

    /// Keeps what is to be kept of the counts of one that is no more.
    fn dropped(all: &Coordinators, core: &Self);

    /// Does what a coordinator wants done elsewhere. Must not wait.
    fn perform(shard: &Rc<Shard>, effect: Self::Effect);
}

impl Kind for txn::Transactions {
    const TOPIC: Internal = Internal::TransactionState;

    fn settings(config: &BrokerConfig, leader_epoch: i32) -> txn::Settings {
        txn::Settings {
            coordinator_epoch: leader_epoch,
            ..config.transactions
        }
    }

    fn table(all: &Coordinators) -> &Table<Self> {
        &all.transactions
    }

    fn dropped(all: &Coordinators, core: &Self) {
        all.metrics.retired_transactions.add(&core.figures());
    }

    fn perform(shard: &Rc<Shard>, effect: txn::Effect) {
        match effect {
            txn::Effect::Write(markers) => shard.write_markers(markers),
        }
    }
}

impl Kind for ShareStates {
    const TOPIC: Internal = Internal::ShareGroupState;

    fn settings(_: &BrokerConfig, _: i32) {}

    fn table(all: &Coordinators) -> &Table<Self> {
        &all.share_states
    }

    fn dropped(_: &Coordinators, _: &Self) {}

    fn perform(_: &Rc<Shard>, effect: Self::Effect) {
        match effect {}
    }
}

impl Kind for group::Groups {
    const TOPIC: Internal = Internal::ConsumerOffsets;

    fn settings(config: &BrokerConfig, _: i32) -> group::Settings {
        config.groups.clone()
    }

    fn table(all: &Coordinators) -> &Table<Self> {
        &all.groups
    }

    fn dropped(all: &Coordinators, core: &Self) {
        all.metrics.retired_groups.add(&core.figures());
    }

    fn perform(shard: &Rc<Shard>, effect: Self::Effect) {
        shard.perform_of_group(effect);
    }
}
