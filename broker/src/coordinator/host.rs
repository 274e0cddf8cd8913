//! What a coordinator needs of the shard it runs on.

use std::rc::Rc;

use batch::Compression;
use coordinator::{Core, Topics};
use rt::sync::Credit;

use super::Kind;
use super::topics::ImageTopics;
use crate::shard::Shard;

/// What a coordinator is bound by, whatever it coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// How long an answer may wait for what it rests on to be committed.
    pub(super) commit_timeout_ms: u64,
    /// How its records are compressed.
    pub(super) compression: Compression,
    /// How much of its log is read at a time, in bytes.
    pub(super) load_step: usize,
}

/// A coordinator's surroundings.
pub(super) trait Host<C: Core> {
    /// Calls `look` once with the cluster's topics.
    fn with_topics(&self, look: &mut dyn FnMut(&dyn Topics));
    /// The core's settings in force, where this node leads in `leader_epoch`.
    fn settings(&self, leader_epoch: i32) -> C::Settings;
    /// What binds the shell.
    fn limits(&self) -> Limits;
    /// Memory for what is read of a log; bytes.
    fn memory(&self) -> &Credit;
    /// A log was read whole: how long that took, and how many records it had.
    fn loaded(&self, took_ms: u64, records: u64);
    /// The core is no more.
    fn dropped(&self, core: &C);
    /// Does what the core wants done.
    fn perform(&self, effect: C::Effect);
}

/// A shard as the host of its coordinators.
pub(super) struct OnShard(pub(super) Rc<Shard>);

impl<K: Kind> Host<K> for OnShard {
    fn with_topics(&self, look: &mut dyn FnMut(&dyn Topics)) {
        let version = self.0.coordinators().topics_version.get();
        self.0
            .with_image(|image| look(&ImageTopics::new(image, version)));
    }

    fn settings(&self, leader_epoch: i32) -> K::Settings {
        K::settings(&self.0.settings(), leader_epoch)
    }

    fn limits(&self) -> Limits {
        K::TOPIC.limits(&self.0.settings())
    }

    fn memory(&self) -> &Credit {
        &self.0.read_memory
    }

    fn loaded(&self, took_ms: u64, records: u64) {
        self.0.coordinators().metrics.loaded(took_ms, records);
    }

    fn dropped(&self, core: &K) {
        K::dropped(self.0.coordinators(), core);
    }

    fn perform(&self, effect: K::Effect) {
        K::perform(&self.0, effect);
    }
}
